//! Types of DNS records by name, as policy and questions write them.

/// Types that may be forwarded, by name. Others are written `TYPE123` (RFC 3597 §5).
pub(super) const TYPES: &[(&str, u16)] = &[
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("HINFO", 13),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AAAA", 28),
    ("LOC", 29),
    ("SRV", 33),
    ("NAPTR", 35),
    ("DNAME", 39),
    ("DS", 43),
    ("SSHFP", 44),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("NSEC3", 50),
    ("TLSA", 52),
    ("OPENPGPKEY", 61),
    ("SPF", 99),
    ("URI", 256),
    ("CAA", 257),
];

/// Types that have a name and are never forwarded.
const OTHERS: &[(&str, u16)] = &[("SVCB", 64), ("HTTPS", 65), ("IXFR", 251), ("AXFR", 252), ("ANY", 255)];

/// The number of a type, by its name or as `TYPE123` (RFC 3597 §5).
pub(crate) fn number(text: &str) -> Option<u16> {
    let named = TYPES.iter().chain(OTHERS).find(|(name, _)| *name == text).map(|(_, number)| *number);
    named.or_else(|| text.strip_prefix("TYPE")?.parse().ok())
}

/// The other way round.
pub(crate) fn text(number: u16) -> String {
    let named = TYPES.iter().chain(OTHERS).find(|(_, known)| *known == number);
    named.map_or_else(|| format!("TYPE{number}"), |(name, _)| (*name).to_owned())
}
