//! What letters look like. From UTS 39's confusables, the letters that IDNA takes and that most fonts draw as ASCII.

/// A name as the eye takes it. Two names with one look can be taken for one another.
pub(super) fn look(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        match LIKE_ASCII.iter().find(|(alike, _)| alike.contains(letter)) {
            Some((_, ascii)) => out.push_str(ascii),
            None => out.push(letter),
        }
    }
    out.replace("rn", "m").replace("vv", "w")
}

/// Whether one label has letters of alphabets that are drawn alike.
pub(super) fn is_mixed(label: &str) -> bool {
    let mut found: Option<Alphabet> = None;
    for alphabet in label.chars().filter_map(alphabet) {
        if *found.get_or_insert(alphabet) != alphabet {
            return true;
        }
    }
    false
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Georgian,
    Cherokee,
}

/// The alphabet of a letter, of those whose letters are drawn alike. Others are told apart at a glance.
fn alphabet(letter: char) -> Option<Alphabet> {
    match letter {
        'a'..='z'
        | '\u{00df}'..='\u{00f6}'
        | '\u{00f8}'..='\u{024f}'
        | '\u{0250}'..='\u{02af}'
        | '\u{1e00}'..='\u{1eff}' => Some(Alphabet::Latin),
        '\u{0370}'..='\u{03ff}' | '\u{1f00}'..='\u{1fff}' => Some(Alphabet::Greek),
        '\u{0400}'..='\u{052f}' => Some(Alphabet::Cyrillic),
        '\u{0530}'..='\u{058f}' => Some(Alphabet::Armenian),
        '\u{10d0}'..='\u{10ff}' => Some(Alphabet::Georgian),
        '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}' => Some(Alphabet::Cherokee),
        _ => None,
    }
}

/// Letters, and what they are taken for.
const LIKE_ASCII: &[(&str, &str)] = &[
    ("\u{0430}\u{03b1}\u{0251}", "a"),
    ("\u{044c}\u{0184}", "b"),
    ("\u{0441}\u{03f2}\u{1d04}", "c"),
    ("\u{0501}", "d"),
    ("\u{0435}\u{04bd}\u{212e}", "e"),
    ("\u{0261}\u{0581}\u{018d}", "g"),
    ("\u{04bb}\u{0570}", "h"),
    ("\u{0456}\u{03b9}\u{0131}\u{0269}", "i"),
    ("\u{0458}\u{03f3}", "j"),
    ("\u{03ba}\u{043a}\u{0138}", "k"),
    ("1\u{01c0}\u{05d5}\u{04cf}", "l"),
    ("\u{043c}", "m"),
    ("\u{0578}\u{057c}\u{043f}", "n"),
    ("0\u{043e}\u{03bf}\u{03c3}\u{0585}\u{10ff}", "o"),
    ("\u{0440}\u{03c1}", "p"),
    ("\u{051b}\u{0563}\u{0566}", "q"),
    ("\u{0433}\u{1d26}", "r"),
    ("\u{0455}\u{01bd}", "s"),
    ("\u{0442}\u{03c4}", "t"),
    ("\u{03c5}\u{057d}\u{028b}\u{1d1c}", "u"),
    ("\u{03bd}\u{0475}\u{1d20}", "v"),
    ("\u{051d}\u{0461}\u{0561}\u{1d21}", "w"),
    ("\u{0445}\u{03c7}", "x"),
    ("\u{0443}\u{03b3}\u{04af}\u{028f}", "y"),
    ("\u{1d22}", "z"),
];

#[cfg(test)]
mod tests {
    use super::{is_mixed, look};

    #[test]
    fn letters_of_other_alphabets_look_like_ascii() {
        for (name, seen) in [
            ("\u{0430}\u{0440}\u{0440}\u{04cf}\u{0435}.com", "apple.com"),
            ("g1thub.com", "glthub.com"),
            ("g00gle.com", "google.com"),
            ("rnodel.example", "model.example"),
            ("b\u{fc}cher.example", "b\u{fc}cher.example"),
        ] {
            assert_eq!(look(name), seen, "{name}");
        }
    }

    #[test]
    fn alphabets_are_mixed_only_within_a_label() {
        assert!(is_mixed("p\u{0430}ypal"));
        assert!(!is_mixed("paypal-2"));
        assert!(!is_mixed("b\u{fc}cher"));
        assert!(!is_mixed("\u{043f}\u{0440}\u{0438}\u{043c}\u{0435}\u{0440}"));
        assert!(!is_mixed("\u{4f8b}a\u{3048}"));
    }
}
