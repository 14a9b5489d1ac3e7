//! A text taken out of a JSON document, by its key, before it is a secret.
//!
//! Read in one way only: text that is not UTF-8, a key that stands twice in one object at any depth (after its escapes are
//! read), half a surrogate pair in what is taken, and anything behind the document are errors. Values are looked at where
//! they stand; the one that is taken is copied once, into memory that is wiped. Bounded in size and depth (law 7).

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// The longest document that is read.
pub(crate) const DOCUMENT_MAXIMUM_BYTES: usize = 64 * 1024;
/// Levels of maps and lists.
const MOST_LEVELS: usize = 32;

/// Why nothing could be taken. Never a byte of the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Longer than 64 KiB.
    #[error("is longer than 65536 bytes, too long for a JSON document that a key is taken of")]
    TooLong,
    /// No JSON, or JSON that could be read in two ways.
    #[error("is not valid JSON: not UTF-8, broken, nested too deeply, or with a key that stands twice")]
    NotJson,
    /// Nothing there.
    #[error("has no key `{0}`")]
    Missing(Box<str>),
    /// There is something else than a text.
    #[error("has no text at the key `{0}`")]
    NotText(Box<str>),
}

/// The value in `bytes`: all of them, or the text at a key such as `data.token`.
pub(crate) fn inside(bytes: Zeroizing<Vec<u8>>, key: Option<&str>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let Some(key) = key else { return Ok(bytes) };
    text_at(&bytes, &key.split('.').collect::<Vec<_>>())
}

/// The text at a path of keys, with its escapes read.
pub(crate) fn text_at(document: &[u8], path: &[&str]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    text(find(document, path)?, &path.join("."))
}

/// The text that stands at a key, where one was found.
pub(crate) fn text(found: Option<&RawValue>, name: &str) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    match found {
        None => Err(KeyError::Missing(name.into())),
        Some(value) => unescaped(value.get()).ok_or_else(|| KeyError::NotText(name.into())),
    }
}

/// The value at a path of keys, as it is written.
pub(crate) fn find<'d>(document: &'d [u8], path: &[&str]) -> Result<Option<&'d RawValue>, KeyError> {
    if document.len() > DOCUMENT_MAXIMUM_BYTES {
        return Err(KeyError::TooLong);
    }
    find_in_bounded(document, path)
}

/// The same, in a document whose length somebody else has bounded.
pub(crate) fn find_in_bounded<'d>(document: &'d [u8], path: &[&str]) -> Result<Option<&'d RawValue>, KeyError> {
    let text = std::str::from_utf8(document).map_err(|_| KeyError::NotJson)?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|_| KeyError::NotJson)?;
    walk(whole, Some(path), 0)
}

/// Looks through all of a value, also where nothing is looked for: what stands twice anywhere is refused.
fn walk<'d>(value: &'d RawValue, path: Option<&[&str]>, level: usize) -> Result<Option<&'d RawValue>, KeyError> {
    if level > MOST_LEVELS {
        return Err(KeyError::NotJson);
    }
    let mut found = path.filter(|path| path.is_empty()).map(|_| value);
    let parts = parts(value).map_err(|_| KeyError::NotJson)?;
    for (key, part) in parts {
        let below = match (path.and_then(<[_]>::split_first), key) {
            (Some((first, rest)), Some(key)) if *first == key => Some(rest),
            _ => None,
        };
        if let Some(value) = walk(part, below, level + 1)? {
            found = Some(value);
        }
    }
    Ok(found)
}

type Part<'d> = (Option<Cow<'d, str>>, &'d RawValue);

/// What a map or a list has in it; nothing where a value is neither.
fn parts(value: &RawValue) -> Result<Vec<Part<'_>>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    match value.get().as_bytes().first() {
        Some(b'{') => deserializer.deserialize_map(Parts),
        Some(b'[') => deserializer.deserialize_seq(Parts),
        _ => Ok(Vec::new()),
    }
}

struct Parts;

impl<'d> Visitor<'d> for Parts {
    type Value = Vec<Part<'d>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map or a list")
    }

    fn visit_map<A: MapAccess<'d>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut parts, mut keys) = (Vec::new(), BTreeSet::new());
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom("twice"));
            }
            parts.push((Some(Cow::Owned(key)), map.next_value()?));
        }
        Ok(parts)
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while let Some(value) = list.next_element()? {
            parts.push((None, value));
        }
        Ok(parts)
    }
}

/// A JSON text without its quotes and escapes. Reading escapes never makes a text longer, so that nothing grows.
fn unescaped(written: &str) -> Option<Zeroizing<Vec<u8>>> {
    let inner = written.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = Zeroizing::new(Vec::with_capacity(inner.len()));
    let mut rest = inner.chars();
    while let Some(char) = rest.next() {
        let char = match char {
            '\\' => escape(&mut rest)?,
            other => other,
        };
        text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(text)
}

fn escape(rest: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let high = unit(rest)?;
            if !(0xd800..0xdc00).contains(&high) {
                return char::from_u32(high);
            }
            let is_pair = rest.next() == Some('\\') && rest.next() == Some('u');
            let low = unit(rest).filter(|low| is_pair && (0xdc00..0xe000).contains(low))?;
            char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))?
        }
        same @ ('"' | '\\' | '/') => same,
        _ => return None,
    })
}

fn unit(rest: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |number, _| Some(number << 4 | rest.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(document: &str, key: &str) -> Result<String, String> {
        let path: Vec<_> = key.split('.').collect();
        let text = text_at(document.as_bytes(), &path).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(text.to_vec()).unwrap())
    }

    #[test]
    fn takes_the_text_at_a_key_with_its_escapes_read() {
        for (document, key, expected) in [
            (r#"{"token":"abc"}"#, "token", "abc"),
            (r#" { "a" : { "b" : "x" , "c":"y" } } "#, "a.b", "x"),
            (r#"{"list":[{"token":"no"}],"token":"yes"}"#, "token", "yes"),
            (r#"{"t":"\u0061\/\"\\=\u003d"}"#, "t", "a/\"\\=="),
            (r#"{"t":"\ud83d\ude00"}"#, "t", "\u{1f600}"),
            (r#"{"\u0074":"k"}"#, "t", "k"),
            (r#"{"t":""}"#, "t", ""),
        ] {
            assert_eq!(at(document, key).as_deref(), Ok(expected), "{document}");
        }
    }

    #[test]
    fn refuses_what_can_be_read_in_two_ways_and_shows_nothing_of_it() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(40), "]".repeat(40));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(DOCUMENT_MAXIMUM_BYTES));
        for (document, key, expected) in [
            (r#"{"t":"secret-one","t":"secret-two"}"#, "t", "is not valid JSON"),
            (r#"{"t":"secret-one","\u0074":"secret-two"}"#, "t", "is not valid JSON"),
            (r#"{"t":"secret-one","o":[{"x":1,"x":2}]}"#, "t", "is not valid JSON"),
            (r#"{"t":"secret-one"} more"#, "t", "is not valid JSON"),
            (r#"{"t":"secret-one",}"#, "t", "is not valid JSON"),
            ("\u{feff}{\"t\":\"secret-one\"}", "t", "is not valid JSON"),
            ("secret-one", "t", "is not valid JSON"),
            (&deep, "a", "is not valid JSON"),
            (&long, "a", "is longer"),
            (r#"{"t":"secret-one"}"#, "u", "has no key `u`"),
            (r#"{"t":"secret-one"}"#, "t.u", "has no key `t.u`"),
            (r#""secret-one""#, "t", "has no key `t`"),
            (r#"["secret-one"]"#, "0", "has no key `0`"),
            (r#"{"t":12345678}"#, "t", "has no text at the key `t`"),
            (r#"{"t":null}"#, "t", "has no text"),
            (r#"{"t":{"u":"secret-one"}}"#, "t", "has no text"),
            (r#"{"t":"\ud83d"}"#, "t", "has no text"),
        ] {
            let why = at(document, key).unwrap_err();
            assert!(why.starts_with(expected) && !why.contains("secret"), "{document}: {why}");
        }
        assert_eq!(find(b"{\"t\":\"\xff\"}", &["t"]).unwrap_err(), KeyError::NotJson);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_text_is_it_comes_back_as_it_was(text: String, key in "[a-z]{1,8}") {
            let document = serde_json::json!({ "o": { &key: &text } }).to_string();
            proptest::prop_assert_eq!(at(&document, &format!("o.{key}")), Ok(text));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(0u8.., 0..64)) {
            let _ = text_at(&bytes, &["a"]);
        }
    }
}
