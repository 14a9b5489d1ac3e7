//! The name that a leaf is minted for.
//!
//! rcgen would take a name with spaces, NUL or nothing in it; this refuses all of that, and wildcards, so that what
//! came off the wire can only ever become a certificate for exactly that name (TL-03, TL-22).

use std::net::IpAddr;

use rcgen::SanType;
use rustls_pki_types::DnsName;

use crate::authority::CaError;

/// A host that an agent connects to by TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeafName<'a> {
    /// A canonical DNS name: ASCII lower case, no trailing dot, no wildcard.
    Dns(&'a str),
    /// An IP literal, reachable only through CONNECT or SOCKS.
    Ip(IpAddr),
}

impl LeafName<'_> {
    /// Whether a certificate may be minted for it. Case and the trailing dot are refused, not folded: folding is the
    /// business of the caller's name type, and two spellings here would be two cache entries.
    pub(crate) fn is_canonical(&self) -> bool {
        match self {
            Self::Ip(_) => true,
            Self::Dns(name) => {
                !name.ends_with('.')
                    && !name.bytes().any(|byte| byte.is_ascii_uppercase())
                    && name.parse::<IpAddr>().is_err()
                    && DnsName::try_from(*name).is_ok()
            }
        }
    }

    pub(crate) fn subject_alt_name(&self) -> Result<SanType, CaError> {
        match self {
            Self::Dns(name) => Ok(SanType::DnsName((*name).try_into()?)),
            Self::Ip(address) => Ok(SanType::IpAddress(*address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_canonical_names_only() {
        let long_label = format!("{}.example.com", "a".repeat(64));
        let long_name = ["a"; 130].join(".");
        for (name, expected) in [
            ("api.github.com", true),
            ("localhost", true),
            ("a_b.example.com", true),
            ("xn--bcher-kva.example", true),
            ("", false),
            (".", false),
            ("example.com.", false),
            (".example.com", false),
            ("a..b", false),
            ("Example.com", false),
            ("*.example.com", false),
            ("exa mple.com", false),
            ("example.com\0.evil.test", false),
            ("example.com\r\n", false),
            ("example.com:443", false),
            ("user@example.com", false),
            ("example.com/x", false),
            ("-a.example.com", false),
            ("b\u{fc}cher.example", false),
            ("127.0.0.1", false),
            ("::1", false),
            (long_label.as_str(), false),
            (long_name.as_str(), false),
        ] {
            assert_eq!(LeafName::Dns(name).is_canonical(), expected, "{name:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_taken_is_a_plain_lower_case_name(name in "\\PC*|[a-zA-Z0-9.*_\\-]{0,80}|[ -~\\x00-\\x1f]{0,40}") {
            if LeafName::Dns(&name).is_canonical() {
                let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
                proptest::prop_assert!(name.bytes().all(plain));
                proptest::prop_assert!((1..=253).contains(&name.len()));
                proptest::prop_assert!(name.split('.').all(|label| (1..=63).contains(&label.len())));
            }
        }
    }
}
