//! Text of others made fit for one line of a log or a page: no control character, nothing that turns the direction of writing, no
//! stub. Whatever the agent can write, and that is all that the client prints, comes through here.

/// Bytes of a line at most.
pub const LONGEST: usize = 2048;

/// One line of it, cut to 2 KiB: as [`one_line`].
pub fn line(text: &str) -> String {
    let mut line = one_line(text);
    cut(&mut line, LONGEST);
    line
}

/// One line of it: line ends, tabs and runs of blanks become one blank; escape codes lose their escape, and control characters
/// and those that turn the direction of writing or take no place are left out.
pub fn one_line(text: &str) -> String {
    let mut line = String::new();
    for letter in text.chars() {
        if letter.is_whitespace() {
            if !line.is_empty() && !line.ends_with(' ') {
                line.push(' ');
            }
        } else if !is_hidden(letter) {
            line.push(letter);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// What a server says of itself, as part of an error: one line of it, of 300 bytes at most.
pub fn quoted(text: &str) -> String {
    let mut line = one_line(text);
    cut(&mut line, 300);
    line
}

/// Cuts a text to so many bytes at a border of its characters, `…` being its last one then.
pub fn cut(text: &mut String, longest: usize) {
    if text.len() > longest {
        let mut end = longest.saturating_sub('…'.len_utf8());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
}

/// One line of it with these values covered, cut to 2 KiB. Clean first, so that nothing invisible within a stub hides it; covered
/// before it is cut, so that no part of one is left.
pub fn told(text: &str, values: &[String]) -> String {
    let mut line = masked(&one_line(text), values);
    cut(&mut line, LONGEST);
    line
}

/// The text with each of these values covered.
pub fn masked(text: &str, values: &[String]) -> String {
    let mut text = text.to_owned();
    for value in values.iter().filter(|value| !value.is_empty()) {
        if text.contains(value.as_str()) {
            text = text.replace(value.as_str(), "[stub]");
        }
    }
    text
}

/// Control characters (C0, DEL, C1), bidirectional controls and isolates, characters of no width, tags, and what is private.
pub fn is_hidden(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
