//! DNS names and hosts as they may stand on a wire, in one spelling only.
//!
//! Law 2: what is held here is lower-case ASCII without a trailing dot, and never a number in disguise (`127.1`,
//! `0x7f.1`, `2130706433`), so that what is matched is what every resolver and peer understands. There is no IDNA on
//! the wire: it maps many spellings to one (UTS 46), so only policy files may write U-labels, and only in the
//! spelling that comes back out.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use thiserror::Error;

/// A canonical DNS name: lower-case ASCII, no trailing dot, labels of letters, digits, `-` and `_`, 1 to 63 octets
/// each, at most 253 in all (RFC 1035 §2.3.4), the last one no number (WHATWG URL "ends in a number").
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why bytes are no [`Name`] or [`Host`]. Holds nothing of what the peer sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum NameError {
    /// No bytes, or a dot alone.
    #[error("the name is empty")]
    Empty,
    /// Over 253 octets, or a label over 63.
    #[error("the name or one of its labels is too long")]
    TooLong,
    /// Two dots in a row, or one in front.
    #[error("the name has an empty label")]
    EmptyLabel,
    /// `-` at either end of a label (RFC 5890 §2.3.1).
    #[error("a label begins or ends with `-`")]
    Hyphen,
    /// A byte that no name holds: control, space, `%`, `@`, `/`, `:`, `*`, brackets and the like.
    #[error("the name holds a character that names don't have")]
    BadByte,
    /// A byte outside ASCII.
    #[error("the name is not ASCII")]
    NotAscii,
    /// The last label is a number, so that some resolvers take the name for an address.
    #[error("the name ends in a number")]
    Numeric,
    /// In brackets, but no IPv6 address; or one with a zone, or an IPv4 address inside `::ffff:0:0/96`.
    #[error("not a plain IPv6 address")]
    BadIpv6,
    /// A policy wrote a U-label that IDNA refuses or maps to another spelling.
    #[error("the name is not in the form that IDNA gives back")]
    NotIdna,
}

impl Name {
    /// Longest name in octets.
    pub const MAX: usize = 253;
    const MAX_LABEL: usize = 63;

    /// Reads a name from the wire. ASCII only; upper case is folded and one trailing dot stripped.
    ///
    /// # Errors
    /// Whatever is not one canonical name; see [`NameError`].
    pub fn parse(bytes: &[u8]) -> Result<Name, NameError> {
        let bytes = bytes.strip_suffix(b".").unwrap_or(bytes);
        check(bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|_| NameError::NotAscii)?;
        if bytes.iter().any(u8::is_ascii_uppercase) {
            return Ok(Name(text.to_ascii_lowercase().into()));
        }
        Ok(Name(text.into()))
    }

    /// Reads a name from a policy file: as [`Name::parse`], and U-labels become A-labels.
    ///
    /// # Errors
    /// As [`Name::parse`]; also a U-label that IDNA maps to something else than its lower case, because a reader of
    /// the file would take it for another name.
    pub fn parse_policy(text: &str) -> Result<Name, NameError> {
        if text.is_ascii() {
            return Name::parse(text.as_bytes());
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        let ascii =
            idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::URL).map_err(|_| NameError::NotIdna)?;
        let (back, valid) = idna::domain_to_unicode(&ascii);
        if valid.is_err() || back != text.to_lowercase() {
            return Err(NameError::NotIdna);
        }
        Name::parse(ascii.as_bytes())
    }

    /// The name, lower case, no trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its labels, the leftmost first.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The name without its first label; `None` for a single label.
    pub fn parent(&self) -> Option<Name> {
        self.0.split_once('.').map(|(_, parent)| Name(parent.into()))
    }

    /// Whether this name lies strictly below `base`, at a label border.
    pub fn is_below(&self, base: &Name) -> bool {
        self.0.strip_suffix(&*base.0).is_some_and(|head| head.ends_with('.'))
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn check(name: &[u8]) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > Name::MAX {
        return Err(NameError::TooLong);
    }
    let mut last: &[u8] = &[];
    for label in name.split(|byte| *byte == b'.') {
        check_label(label)?;
        last = label;
    }
    if is_number(last) { Err(NameError::Numeric) } else { Ok(()) }
}

fn check_label(label: &[u8]) -> Result<(), NameError> {
    for byte in label {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {}
            0x80.. => return Err(NameError::NotAscii),
            _ => return Err(NameError::BadByte),
        }
    }
    match label {
        [] => Err(NameError::EmptyLabel),
        [b'-', ..] | [.., b'-'] => Err(NameError::Hyphen),
        long if long.len() > Name::MAX_LABEL => Err(NameError::TooLong),
        _ => Ok(()),
    }
}

/// All digits, or `0x` and hexadecimal digits (also none): what `inet_aton` and URL parsers read as an address.
fn is_number(label: &[u8]) -> bool {
    match label {
        [b'0', b'x' | b'X', hex @ ..] => hex.iter().all(u8::is_ascii_hexdigit),
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

/// A name or an address. `Display` writes IPv6 without brackets; [`Authority`](crate::Authority) adds them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// A DNS name.
    Name(Name),
    /// An address literal; never an IPv4 address in IPv6 clothes.
    Ip(IpAddr),
}

impl Host {
    /// Reads a host from the wire: a name, a dotted quad in its one canonical spelling, or IPv6 in brackets.
    ///
    /// # Errors
    /// See [`NameError`]. Zone ids (RFC 6874) and IPv4-mapped addresses are refused.
    pub fn parse(bytes: &[u8]) -> Result<Host, NameError> {
        if let [b'[', inner @ ..] = bytes {
            let inner = inner.strip_suffix(b"]").ok_or(NameError::BadIpv6)?;
            return ipv6(inner).map(|ip| Host::Ip(IpAddr::V6(ip)));
        }
        if let Some(ip) = ipv4(bytes) {
            return Ok(Host::Ip(IpAddr::V4(ip)));
        }
        Name::parse(bytes).map(Host::Name)
    }

    /// The name, if it is one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Host::Name(name) => Some(name),
            Host::Ip(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => name.fmt(f),
            Host::Ip(ip) => ip.fmt(f),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn ipv6(inner: &[u8]) -> Result<Ipv6Addr, NameError> {
    let text = std::str::from_utf8(inner).map_err(|_| NameError::BadIpv6)?;
    let ip: Ipv6Addr = text.parse().map_err(|_| NameError::BadIpv6)?;
    if ip.to_ipv4_mapped().is_some() { Err(NameError::BadIpv6) } else { Ok(ip) }
}

fn ipv4(bytes: &[u8]) -> Option<Ipv4Addr> {
    if !bytes.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(bytes).ok()?.parse().ok()
}
