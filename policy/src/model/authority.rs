//! Scheme, host and port that a request is for: the one value that is matched, resolved, dialled, sent as SNI and
//! verified (law 2).
//!
//! The scheme is never read from the text but comes from the transport. There is no way back from `Display`: callers
//! keep the value.

use std::fmt;
use std::num::NonZeroU16;

use thiserror::Error;

use super::name::{Host, NameError};

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP. No credential ever goes out this way (law 3).
    Http,
    /// HTTP over verified TLS; also `wss`.
    Https,
}

impl Scheme {
    /// 80 or 443.
    pub const fn default_port(self) -> NonZeroU16 {
        match self {
            Scheme::Http => HTTP_PORT,
            Scheme::Https => HTTPS_PORT,
        }
    }

    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Canonical scheme, host and port. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Authority {
    scheme: Scheme,
    host: Host,
    port: NonZeroU16,
}

/// Why bytes are no [`Authority`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum AuthorityError {
    /// The host part is no host.
    #[error(transparent)]
    Host(#[from] NameError),
    /// `user@host`.
    #[error("user information before the host")]
    Userinfo,
    /// Empty, signed, with a leading zero, 0, above 65535, or no number.
    #[error("the port is not a number from 1 to 65535")]
    Port,
}

impl Authority {
    /// Puts parts together that were parsed before.
    pub fn new(scheme: Scheme, host: Host, port: NonZeroU16) -> Self {
        Authority { scheme, host, port }
    }

    /// Reads what stands in a `Host` header, in `:authority` or in a CONNECT target: `h`, `h:443`, `[::1]:8443`.
    /// Without a port it is the scheme's (RFC 9110 §4.2).
    ///
    /// # Errors
    /// See [`AuthorityError`].
    pub fn parse(scheme: Scheme, host_and_port: &[u8]) -> Result<Authority, AuthorityError> {
        if host_and_port.contains(&b'@') {
            return Err(AuthorityError::Userinfo);
        }
        let (host, port) = split(host_and_port);
        let host = Host::parse(host)?;
        let port = port.map_or(Ok(scheme.default_port()), |port| parse_port(port).ok_or(AuthorityError::Port))?;
        Ok(Authority { scheme, host, port })
    }

    /// How the request travels.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whom it is for.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port.get()
    }

    /// What a `Host` header says: `host`, or `host:port` where the port is not the scheme's; IPv6 in brackets.
    pub fn host_header(&self) -> String {
        if self.port == self.scheme.default_port() {
            Bracketed(&self.host).to_string()
        } else {
            format!("{}:{}", Bracketed(&self.host), self.port)
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, Bracketed(&self.host), self.port)
    }
}

/// A host as it stands before a colon.
pub(crate) struct Bracketed<'a>(pub(crate) &'a Host);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Host::Ip(ip) if ip.is_ipv6() => write!(f, "[{ip}]"),
            host => host.fmt(f),
        }
    }
}

/// Host and port; the colons inside brackets are the address's own.
pub(crate) fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let port_colon = match text.iter().rposition(|byte| *byte == b']') {
        Some(bracket) => text.iter().skip(bracket + 1).position(|byte| *byte == b':').map(|at| at + bracket + 1),
        None => text.iter().position(|byte| *byte == b':'),
    };
    match port_colon.and_then(|at| text.split_at_checked(at)) {
        Some((host, port)) => (host, Some(port.strip_prefix(b":").unwrap_or(port))),
        None => (text, None),
    }
}

/// Digits only, no leading zero, 1 to 65535.
pub(crate) fn parse_port(text: &[u8]) -> Option<NonZeroU16> {
    if text.first() == Some(&b'0') || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

const HTTP_PORT: NonZeroU16 = NonZeroU16::new(80).unwrap();
const HTTPS_PORT: NonZeroU16 = NonZeroU16::new(443).unwrap();
