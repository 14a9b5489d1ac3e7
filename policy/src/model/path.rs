//! The path of a request in one spelling: what rules match is what is sent.
//!
//! The raw path is split at `/`, then unreserved bytes are decoded (RFC 3986 §6.2.2); all else stays as it came, with
//! hexadecimal digits in upper case. Spellings that servers read differently (dot segments, `//`, `\`, `;`, double
//! encoding, control bytes, broken UTF-8) have no canonical form: they become [`Target::Odd`], which no rule with
//! paths can match. The query is never seen here.

use std::fmt;

use thiserror::Error;

/// A canonical path. Parsing what it displays gives it back.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Path {
    text: Box<str>,
    encoded_slash: bool,
}

/// Why a path has no canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum PathError {
    /// It doesn't begin with `/`.
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    /// A raw control byte.
    #[error("the path holds a control byte")]
    ControlByte,
    /// A raw space.
    #[error("the path holds a space")]
    Space,
    /// A raw byte outside ASCII.
    #[error("the path holds a byte outside ASCII")]
    NotAscii,
    /// `#`, which never stands in a request target.
    #[error("the path holds a fragment")]
    Fragment,
    /// `?`: the caller did not cut the query off.
    #[error("the path holds a query")]
    Query,
    /// `.` or `..` as a segment, in any spelling, also beside `%2F` or before `%3B`.
    #[error("the path holds a dot segment")]
    DotSegment,
    /// `//`.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// `\`, raw or encoded.
    #[error("the path holds a backslash")]
    Backslash,
    /// `;`, which some servers cut off with what follows.
    #[error("the path holds a semicolon")]
    Semicolon,
    /// A control byte, encoded.
    #[error("the path holds an encoded control byte")]
    EncodedControl,
    /// `%25` before two hexadecimal digits: some servers decode twice.
    #[error("the path is encoded twice")]
    DoubleEncoding,
    /// `%` without two hexadecimal digits.
    #[error("the path holds an incomplete percent encoding")]
    BadPercent,
    /// What the encoded bytes spell is not UTF-8.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// A character that must be encoded in a path (RFC 3986 §3.3).
    #[error("the path holds a character that must be encoded")]
    IllegalByte,
}

impl PathError {
    /// Whether no request may carry this, whatever the policy: it would not survive being sent.
    pub fn is_hopeless(self) -> bool {
        use PathError as E;
        match self {
            E::NotAbsolute | E::ControlByte | E::Space | E::NotAscii | E::Fragment | E::Query => true,
            E::DotSegment
            | E::EmptySegment
            | E::Backslash
            | E::Semicolon
            | E::EncodedControl
            | E::DoubleEncoding
            | E::BadPercent
            | E::NotUtf8
            | E::IllegalByte => false,
        }
    }
}

impl Path {
    /// Reads the part of a request target before `?`.
    ///
    /// # Errors
    /// Whatever has no canonical form; see [`PathError`].
    pub fn parse(raw: &[u8]) -> Result<Path, PathError> {
        sendable(raw)?;
        let plain = !raw.contains(&b'%');
        let text = if plain { legal(raw)? } else { decode(raw)? };
        let encoded_slash = !plain && text.contains("%2F");
        check_segments(&text, plain)?;
        Ok(Path { text: text.into(), encoded_slash })
    }

    /// The canonical text, beginning with `/`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands between the slashes; a trailing slash gives an empty last segment.
    pub fn segments(&self) -> std::str::Split<'_, char> {
        self.text.strip_prefix('/').unwrap_or(&self.text).split('/')
    }

    /// Whether some segment holds `%2F`.
    pub(crate) fn has_encoded_slash(&self) -> bool {
        self.encoded_slash
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

/// What a request asks for at its authority, without the query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A path that rules can match.
    Canonical(Path),
    /// A path that no rule with paths may match; passes only where no rule of the host has any.
    Odd {
        /// As it came; visible ASCII without `#` and `?`.
        raw: Box<str>,
        /// What is odd about it.
        why: PathError,
    },
}

impl Target {
    /// Reads the part of a request target before `?`.
    ///
    /// # Errors
    /// What no request may carry: see [`PathError::is_hopeless`].
    pub fn parse(raw: &[u8]) -> Result<Target, PathError> {
        match Path::parse(raw) {
            Ok(path) => Ok(Target::Canonical(path)),
            Err(why) if why.is_hopeless() => Err(why),
            Err(why) => {
                let raw = std::str::from_utf8(raw).map_err(|_| PathError::NotAscii)?;
                Ok(Target::Odd { raw: raw.into(), why })
            }
        }
    }

    /// What is sent.
    pub fn as_str(&self) -> &str {
        match self {
            Target::Canonical(path) => path.as_str(),
            Target::Odd { raw, .. } => raw,
        }
    }
}

fn sendable(raw: &[u8]) -> Result<(), PathError> {
    if raw.first() != Some(&b'/') {
        return Err(PathError::NotAbsolute);
    }
    raw.iter().try_for_each(|byte| match byte {
        b'#' => Err(PathError::Fragment),
        b'?' => Err(PathError::Query),
        b' ' => Err(PathError::Space),
        0..0x20 | 0x7f => Err(PathError::ControlByte),
        0x80.. => Err(PathError::NotAscii),
        _ => Ok(()),
    })
}

/// A path without `%`, as it stands.
fn legal(raw: &[u8]) -> Result<String, PathError> {
    raw.iter().try_for_each(|byte| check_raw(*byte))?;
    String::from_utf8(raw.to_vec()).map_err(|_| PathError::NotAscii)
}

/// `pchar` and `/` of RFC 3986 §3.3, without `;`.
fn check_raw(byte: u8) -> Result<(), PathError> {
    match byte {
        b';' => Err(PathError::Semicolon),
        b'\\' => Err(PathError::Backslash),
        b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' => Ok(()),
        byte if is_unreserved(byte) => Ok(()),
        _ => Err(PathError::IllegalByte),
    }
}

pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn decode(raw: &[u8]) -> Result<String, PathError> {
    let mut out = String::with_capacity(raw.len());
    let mut meant = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'%' {
            check_raw(*byte)?;
            out.push(char::from(*byte));
            meant.push(*byte);
            continue;
        }
        let byte = hex(rest.next())? << 4 | hex(rest.next())?;
        match byte {
            0..0x20 | 0x7f => return Err(PathError::EncodedControl),
            b'\\' => return Err(PathError::Backslash),
            byte if is_unreserved(byte) => out.push(char::from(byte)),
            byte => push_encoded(&mut out, byte),
        }
        meant.push(byte);
    }
    if std::str::from_utf8(&meant).is_err() {
        return Err(PathError::NotUtf8);
    }
    if is_encoded_twice(&out) { Err(PathError::DoubleEncoding) } else { Ok(out) }
}

fn hex(digit: Option<&u8>) -> Result<u8, PathError> {
    match digit {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(PathError::BadPercent),
    }
}

fn push_encoded(out: &mut String, byte: u8) {
    let digit = |nibble: u8| char::from(if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 });
    out.extend(['%', digit(byte >> 4), digit(byte & 0x0f)]);
}

/// Judged on the decoded text, so that `%25%32%65` is seen as well.
fn is_encoded_twice(out: &str) -> bool {
    out.match_indices("%25").any(|(at, _)| {
        let after = out.as_bytes().get(at + 3..at + 5);
        after.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn check_segments(text: &str, plain: bool) -> Result<(), PathError> {
    let mut segments = text.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(PathError::EmptySegment);
        }
        let dots = if plain { is_dots(segment) } else { segment.split("%2F").any(is_dots) };
        if dots {
            return Err(PathError::DotSegment);
        }
    }
    Ok(())
}

fn is_dots(segment: &str) -> bool {
    let head = segment.split_once("%3B").map_or(segment, |(head, _)| head);
    matches!(head, "." | "..")
}
