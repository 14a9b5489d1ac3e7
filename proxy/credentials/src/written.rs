//! What is written into requests to servers of secrets and of tokens: JSON and percent-encoding, in memory that is wiped and
//! does not grow, since what grows leaves copies behind.

use zeroize::Zeroizing;

/// An object of texts, in memory that is wiped.
pub(crate) fn object(entries: &[(&str, &[u8])]) -> Zeroizing<Vec<u8>> {
    // A byte becomes six at most; nothing grows, which would leave copies behind.
    let most = entries.iter().map(|(key, value)| 6 * (key.len() + value.len()) + 6).sum::<usize>() + 2;
    let mut body = Zeroizing::new(Vec::with_capacity(most));
    body.push(b'{');
    for (at, (key, value)) in entries.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        quote(&mut body, key.as_bytes());
        body.push(b':');
        quote(&mut body, value);
    }
    body.push(b'}');
    body
}

/// A JSON text (RFC 8259 §7). What is given is ASCII.
fn quote(body: &mut Vec<u8>, text: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four: u8| DIGITS.get(usize::from(four)).copied().unwrap_or(b'0');
    body.push(b'"');
    for byte in text {
        match byte {
            b'"' | b'\\' => body.extend([b'\\', *byte]),
            byte if byte.is_ascii_control() => {
                body.extend_from_slice(b"\\u00");
                body.extend([digit(byte >> 4), digit(byte & 15)]);
            }
            byte => body.push(*byte),
        }
    }
    body.push(b'"');
}

/// Percent-encodes what RFC 3986 (2.3) does not call unreserved. Three bytes become of one at most.
pub(crate) fn encode(into: &mut Vec<u8>, value: &[u8]) {
    encode_but(into, value, |_| false);
}

/// A text as a part of a URL, with the slashes that separate its parts kept where they do.
pub(crate) fn encoded(text: &str, keep_slashes: bool) -> String {
    let mut into = Vec::with_capacity(3 * text.len());
    encode_but(&mut into, text.as_bytes(), |byte| keep_slashes && byte == b'/');
    // ASCII alone.
    String::from_utf8(into).unwrap_or_default()
}

fn encode_but(into: &mut Vec<u8>, value: &[u8], is_kept: impl Fn(u8) -> bool) {
    for &byte in value {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') || is_kept(byte) {
            into.push(byte);
        } else {
            let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
            into.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{encoded, object};

    #[test]
    fn whatever_a_text_is_its_json_is_read_as_that_text() {
        for text in ["", "plain", "a\"b\\c", "\n\t\u{7f}\u{0}", "/='"] {
            let body = object(&[("key", text.as_bytes()), ("other", b"x")]);
            let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(read, serde_json::json!({ "key": text, "other": "x" }));
        }
    }

    #[test]
    fn an_object_of_nothing_is_empty() {
        assert_eq!(*object(&[]), b"{}");
    }

    #[test]
    fn names_are_encoded_for_urls() {
        assert_eq!(encoded("team/a b+c&d=ü?", true), "team/a%20b%2Bc%26d%3D%C3%BC%3F");
        assert_eq!(encoded("/a", false), "%2Fa");
    }
}
