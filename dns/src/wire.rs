//! The part of the DNS message format that this server needs (RFC 1035 section 4, RFC 6891, RFC 8914): reads one
//! question, writes one answer. It refuses everything that a plain question doesn't have (a second question, records,
//! pointers in the question's name, bytes after the end), so what is let through has one meaning only.
//!
//! Names stay in wire form: they are compared and converted label by label, never through a text form in which the one
//! label `api.test` and the two labels `api`, `test` could look the same (law 2).

mod answer;
mod name;
mod query;

pub(crate) use answer::{Addresses, Answer, Content, ExtendedError, Rcode, faulty};
pub(crate) use name::{joined, present, same_name};
pub(crate) use query::{Fault, Header, Query, Question};

/// Record types and classes that the server treats on their own (IANA DNS parameters).
pub(crate) mod number {
    pub(crate) const A: u16 = 1;
    pub(crate) const SOA: u16 = 6;
    pub(crate) const HINFO: u16 = 13;
    pub(crate) const AAAA: u16 = 28;
    pub(crate) const OPT: u16 = 41;
    pub(crate) const IXFR: u16 = 251;
    pub(crate) const AXFR: u16 = 252;
    pub(crate) const ANY: u16 = 255;
    pub(crate) const CLASS_IN: u16 = 1;
}

/// The largest UDP answer that is ever sent, and the size advertised in OPT: no fragments on common paths.
pub(crate) const UDP_PAYLOAD: u16 = 1232;
/// What a client without EDNS takes over UDP (RFC 1035 section 4.2.1).
pub(crate) const UDP_PLAIN: u16 = 512;
/// The longest question that is read; the longest legal plain one is 12 + 255 + 4 bytes, options come on top.
pub(crate) const MAX_QUERY: usize = 4096;

#[cfg(test)]
mod tests;
