//! What a scrubber must do, written as slowly and plainly as it can be: every place, every needle, every reading.

use stubgate_scrub::{Builder, Letters, Scrubber};

/// A needle and what replaces it.
#[derive(Clone, Debug)]
pub(crate) struct Needle {
    pub(crate) any_case: bool,
    pub(crate) needle: Vec<u8>,
    pub(crate) replacement: Vec<u8>,
}

impl Needle {
    fn is(&self, expected: u8, byte: u8) -> bool {
        expected == byte || self.any_case && expected.eq_ignore_ascii_case(&byte)
    }
}

/// The same needles for the engine under test.
pub(crate) fn scrubber(needles: &[Needle]) -> Scrubber {
    let mut builder = Builder::default();
    for (index, needle) in needles.iter().enumerate() {
        let owner = builder.owner(format!("n{index}").into());
        let letters = if needle.any_case { Letters::AnyCase } else { Letters::Exact };
        builder.needle(owner, letters, needle.needle.clone().into(), needle.replacement.clone()).unwrap();
    }
    builder.build()
}

/// A needle that stands somewhere.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) needle: usize,
    /// The lengths of what stands for each byte; more than one reading where they are ambiguous.
    pub(crate) readings: Vec<Vec<usize>>,
}

/// All spans, from the left, the longest first, then the earliest needle.
pub(crate) fn spans(text: &[u8], needles: &[Needle]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let mut best: Option<Span> = None;
        for (index, needle) in needles.iter().enumerate() {
            let mut readings = Vec::new();
            read(text, start, needle, 0, &mut Vec::new(), &mut readings);
            let Some(end) = readings.iter().map(|lengths| start + lengths.iter().sum::<usize>()).max() else {
                continue;
            };
            if best.as_ref().is_none_or(|best| end > best.end) {
                readings.retain(|lengths| start + lengths.iter().sum::<usize>() == end);
                best = Some(Span { start, end, needle: index, readings });
            }
        }
        match best {
            Some(span) => {
                start = span.end;
                spans.push(span);
            }
            None => start += 1,
        }
    }
    spans
}

fn read(text: &[u8], at: usize, needle: &Needle, done: usize, path: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    if done == needle.needle.len() {
        found.push(path.clone());
        return;
    }
    let expected = needle.needle[done];
    let mut lengths = Vec::new();
    if text.get(at).is_some_and(|byte| needle.is(expected, *byte)) {
        lengths.push(1);
    }
    for length in [2, 3, 6] {
        if text.len() >= at + length && unescape(&text[at..at + length]).is_some_and(|byte| needle.is(expected, byte)) {
            lengths.push(length);
        }
    }
    for length in lengths {
        path.push(length);
        read(text, at + length, needle, done + 1, path, found);
        path.pop();
    }
}

fn unescape(escape: &[u8]) -> Option<u8> {
    let number = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u8::from_str_radix(digits, 16).ok()
    };
    match escape.len() {
        2 => (escape[0] == b'\\' && br#"/"\"#.contains(&escape[1])).then_some(escape[1]),
        3 => number(escape.strip_prefix(b"%")?),
        6 => number(escape.strip_prefix(b"\\u00")?).filter(u8::is_ascii),
        _ => None,
    }
}

/// Checks one output against the text that went in. `released` is how many bytes of a needle may have left at a pause.
pub(crate) fn check(text: &[u8], out: &[u8], needles: &[Needle], released: usize) -> usize {
    assert_eq!(text.len(), out.len(), "the length changed");
    let spans = spans(text, needles);
    let mut at = 0;
    for span in &spans {
        assert_eq!(&text[at..span.start], &out[at..span.start], "a false change before {span:?}");
        let is = &out[span.start..span.end];
        let was = &text[span.start..span.end];
        let fits = span.readings.iter().any(|lengths| {
            let full = rewritten(was, lengths, &needles[span.needle]);
            (0..=released.min(was.len())).any(|let_go| is[..let_go] == was[..let_go] && is[let_go..] == full[let_go..])
        });
        assert!(fits, "{:?} became {:?} for {:?}", was.escape_ascii(), is.escape_ascii(), needles[span.needle]);
        at = span.end;
    }
    assert_eq!(&text[at..], &out[at..], "a false change at the end");
    spans.len()
}

fn rewritten(was: &[u8], lengths: &[usize], needle: &Needle) -> Vec<u8> {
    let upper = needle.any_case && was.iter().any(u8::is_ascii_uppercase);
    let mut out = Vec::new();
    let mut at = 0;
    for (&length, &byte) in lengths.iter().zip(&needle.replacement) {
        let byte = if upper { byte.to_ascii_uppercase() } else { byte };
        let unit = &was[at..at + length];
        let digits = &unit[length.saturating_sub(2)..];
        let digits_upper = digits.iter().any(u8::is_ascii_uppercase);
        let escaped = if digits_upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        match length {
            1 => out.push(byte),
            2 => out.extend(b"\\/"),
            3 => out.extend(format!("%{escaped}").bytes()),
            _ => out.extend(format!("\\u00{escaped}").bytes()),
        }
        at += length;
    }
    out
}
