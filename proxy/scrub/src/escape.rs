//! One byte of text, or the escape that stands for it.
//!
//! `%2F`, `\u002f` (hexadecimal digits of either case, RFC 3986 2.1 and RFC 8259 7), `\/`, `\"` and `\\`. Nothing else
//! that these formats can escape occurs in a credential. A reading is never exclusive: `\\` may be two backslashes, too,
//! and an escape may begin inside of what another reading takes for an escape.

/// What begins at a place of a text, read as an escape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// None.
    None,
    /// A whole one: the byte that it stands for, and its length.
    Whole(u8, usize),
    /// The text ends inside of it. What can be told of its byte is the upper half, or nothing.
    Cut(Option<u8>),
}

/// The longest escape, in bytes.
pub(crate) const LONGEST: usize = 6;

/// Whether an escape may begin with this byte.
pub(crate) fn may_begin(byte: u8) -> bool {
    byte == b'%' || byte == b'\\'
}

/// Reads an escape at the beginning of `text`.
pub(crate) fn read(text: &[u8]) -> Escape {
    match text {
        [b'%', digits @ ..] => hexadecimal(digits, 3),
        [b'\\'] => Escape::Cut(None),
        [b'\\', byte @ (b'/' | b'"' | b'\\'), ..] => Escape::Whole(*byte, 2),
        [b'\\', b'u', digits @ ..] => match digits {
            [b'0', b'0', digits @ ..] => match hexadecimal(digits, LONGEST) {
                // Beyond ASCII, a code point is not the byte of that number.
                Escape::Whole(byte, _) if !byte.is_ascii() => Escape::None,
                read => read,
            },
            [] | [b'0'] => Escape::Cut(None),
            _ => Escape::None,
        },
        _ => Escape::None,
    }
}

fn hexadecimal(digits: &[u8], length: usize) -> Escape {
    match digits {
        [] => Escape::Cut(None),
        [high] => nibble(*high).map_or(Escape::None, |high| Escape::Cut(Some(high))),
        [high, low, ..] => match (nibble(*high), nibble(*low)) {
            (Some(high), Some(low)) => Escape::Whole(high << 4 | low, length),
            _ => Escape::None,
        },
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_percent_and_json_encoders_write() {
        for (text, expected) in [
            (&b"%2f"[..], Escape::Whole(b'/', 3)),
            (b"%2Frest", Escape::Whole(b'/', 3)),
            (b"%aB", Escape::Whole(0xab, 3)),
            (b"%", Escape::Cut(None)),
            (b"%7", Escape::Cut(Some(7))),
            (b"%g", Escape::None),
            (b"%2g", Escape::None),
            (b"\\/", Escape::Whole(b'/', 2)),
            (b"\\\"", Escape::Whole(b'"', 2)),
            (b"\\\\", Escape::Whole(b'\\', 2)),
            (b"\\", Escape::Cut(None)),
            (b"\\n", Escape::None),
            (b"\\u", Escape::Cut(None)),
            (b"\\u0", Escape::Cut(None)),
            (b"\\u00", Escape::Cut(None)),
            (b"\\u002", Escape::Cut(Some(2))),
            (b"\\u002b", Escape::Whole(b'+', 6)),
            (b"\\u002B", Escape::Whole(b'+', 6)),
            (b"\\u00e4", Escape::None),
            (b"\\u0141", Escape::None),
            (b"\\U0041", Escape::None),
            (b"", Escape::None),
            (b"a", Escape::None),
        ] {
            assert_eq!(read(text), expected, "{}", text.escape_ascii());
        }
    }
}
