//! Writes one answer: header, the question as it was asked, what is known, and OPT if the client sent one. Everything
//! written is of our own making; the only bytes taken from the client are its question.

use std::net::IpAddr;

use super::{Header, Query, UDP_PAYLOAD, number};

/// A pointer to the name of the question, which stands right behind the header.
const QUESTION_NAME: [u8; 2] = [0xc0, 12];
const EDE_OPTION: u16 = 15;

/// Response codes (RFC 1035 section 4.1.1, RFC 6891 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rcode {
    NoError,
    FormatError,
    ServerFailure,
    NoSuchName,
    NotImplemented,
    Refused,
    BadVersion,
}

impl Rcode {
    /// Low four bits for the header, high eight for OPT.
    fn split(self) -> (u8, u8) {
        match self {
            Rcode::NoError => (0, 0),
            Rcode::FormatError => (1, 0),
            Rcode::ServerFailure => (2, 0),
            Rcode::NoSuchName => (3, 0),
            Rcode::NotImplemented => (4, 0),
            Rcode::Refused => (5, 0),
            Rcode::BadVersion => (0, 1),
        }
    }
}

/// Extended DNS Errors (RFC 8914) that this server gives. The texts name no rule; they are short because an answer to a
/// forged source must not be much larger than its question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtendedError {
    /// 15: policy denies the name.
    Blocked,
    /// 18: the source may ask nothing here.
    Prohibited,
    /// 18 too: the agent asked for too many new names under a wildcard.
    TooManyNames,
    /// 22: no server of the zone answered.
    NoReachableAuthority,
    /// 22 too: what a server of the zone answered does not belong to the zone.
    Untrusted,
}

impl ExtendedError {
    fn code(self) -> u16 {
        match self {
            ExtendedError::Blocked => 15,
            ExtendedError::Prohibited | ExtendedError::TooManyNames => 18,
            ExtendedError::NoReachableAuthority | ExtendedError::Untrusted => 22,
        }
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            ExtendedError::Blocked => "not allowed by policy",
            ExtendedError::Prohibited => "",
            ExtendedError::TooManyNames => "too many new names",
            ExtendedError::NoReachableAuthority => "no server answered",
            ExtendedError::Untrusted => "answer outside zone",
        }
    }
}

/// Records of one kind, written once and copied into every answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section {
    bytes: Vec<u8>,
    count: u16,
}

impl Section {
    fn push(&mut self, kind: u16, ttl: u32, data: &[u8]) {
        self.bytes.extend_from_slice(&QUESTION_NAME);
        put_record(&mut self.bytes, kind, ttl, data);
        self.count = self.count.saturating_add(1);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The answers that never change while the server runs: the addresses that an allowed name has, the SOA of negative
/// answers, and the HINFO of RFC 8482.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) v4: Section,
    pub(crate) v6: Section,
    any: Section,
    soa: Vec<u8>,
}

impl Addresses {
    /// `ttl` and `negative_ttl` in seconds.
    pub(crate) fn new(addresses: &[IpAddr], ttl: u32, negative_ttl: u32) -> Addresses {
        let (mut v4, mut v6, mut any) = (Section::default(), Section::default(), Section::default());
        for address in addresses {
            match address {
                IpAddr::V4(address) => v4.push(number::A, ttl, &address.octets()),
                IpAddr::V6(address) => v6.push(number::AAAA, ttl, &address.octets()),
            }
        }
        any.push(number::HINFO, ttl, b"\x07RFC8482\x00");
        // Of the root, so that it is an ancestor of every name; without names of its own, so that it is short.
        let mut soa = vec![0];
        let mut data = vec![0, 0];
        for number in [1, 3600, 600, 86400, negative_ttl] {
            data.extend_from_slice(&number.to_be_bytes());
        }
        put_record(&mut soa, number::SOA, negative_ttl, &data);
        Addresses { v4, v6, any, soa }
    }
}

/// What an answer says besides its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing: the code says it all.
    Nothing,
    /// The advertised IPv4 addresses.
    V4,
    /// The advertised IPv6 addresses.
    V6,
    /// The stand-in of RFC 8482 for ANY.
    Any,
    /// The SOA that says for how long there is nothing (RFC 2308).
    Absence,
}

/// An answer to a query that could be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'q, 'p> {
    pub(crate) query: &'q Query<'p>,
    pub(crate) code: Rcode,
    pub(crate) content: Content,
    pub(crate) error: Option<ExtendedError>,
}

impl Answer<'_, '_> {
    /// Appends the answer to `out`; if it is longer than `limit` bytes, only header, question and OPT, with TC set.
    pub(crate) fn write(&self, addresses: &Addresses, limit: usize, out: &mut Vec<u8>) {
        let start = out.len();
        let empty = Section::default();
        let answers = match self.content {
            Content::V4 => &addresses.v4,
            Content::V6 => &addresses.v6,
            Content::Any => &addresses.any,
            Content::Nothing | Content::Absence => &empty,
        };
        let soa = if self.content == Content::Absence { addresses.soa.as_slice() } else { &[] };
        self.put(false, answers, soa, self.error, out);
        if out.len() - start > limit {
            out.truncate(start);
            self.put(true, &empty, &[], None, out);
        }
    }

    fn put(&self, truncated: bool, answers: &Section, soa: &[u8], error: Option<ExtendedError>, out: &mut Vec<u8>) {
        let (low, high) = self.code.split();
        let authoritative = matches!(self.code, Rcode::NoError | Rcode::NoSuchName);
        put_flags(&self.query.header, authoritative, truncated, low, out);
        put16(out, 1);
        put16(out, answers.count);
        put16(out, u16::from(!soa.is_empty()));
        put16(out, u16::from(self.query.edns.is_some()));
        out.extend_from_slice(self.query.question.bytes);
        out.extend_from_slice(&answers.bytes);
        out.extend_from_slice(soa);
        let Some(edns) = self.query.edns else { return };
        out.push(0);
        put16(out, number::OPT);
        put16(out, UDP_PAYLOAD);
        out.extend_from_slice(&[high, 0, if edns.dnssec_ok { 0x80 } else { 0 }, 0]);
        let Some(error) = error else { return put16(out, 0) };
        let text = error.text();
        put16(out, length(6 + text.len()));
        put16(out, EDE_OPTION);
        put16(out, length(2 + text.len()));
        put16(out, error.code());
        out.extend_from_slice(text.as_bytes());
    }
}

/// Appends the bare header that answers what is no query.
pub(crate) fn faulty(header: &Header, code: Rcode, out: &mut Vec<u8>) {
    put_flags(header, false, false, code.split().0, out);
    out.extend_from_slice(&[0; 8]);
}

fn put_flags(header: &Header, authoritative: bool, truncated: bool, code: u8, out: &mut Vec<u8>) {
    put16(out, header.id);
    let flags0 = 0x80
        | header.opcode << 3
        | u8::from(authoritative) << 2
        | u8::from(truncated) << 1
        | u8::from(header.recursion_desired);
    // Recursion is "available": clients that ask for it take an answer without the bit for that of a lame server.
    let flags1 = 0x80 | u8::from(header.checking_disabled) << 4 | code;
    out.extend_from_slice(&[flags0, flags1]);
}

/// Type, class IN, TTL and data of a record whose name was written before.
fn put_record(out: &mut Vec<u8>, kind: u16, ttl: u32, data: &[u8]) {
    put16(out, kind);
    put16(out, number::CLASS_IN);
    out.extend_from_slice(&ttl.to_be_bytes());
    put16(out, length(data.len()));
    out.extend_from_slice(data);
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// A length of something of our own making, all of which are far below 64 KiB.
fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}
