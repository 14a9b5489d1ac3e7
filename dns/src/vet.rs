//! What of a zone's answer is passed on (DN-19, RFC 5452 section 6). The zone's servers are trusted with their zone and
//! with nothing else, and an agent may have a hand in what they know.
//!
//! The answer is written anew. Passed on are the records that answer the question: its name, or the end of a chain of
//! aliases that stays in zones of the same servers, in the type that was asked for, and the SOA of a negative answer. Name
//! servers and "additional" records are left out, and so are the DNAME that an alias was made of (RFC 6672) and the flag
//! that says that somebody checked signatures. An answer that leads out of those zones, or to an address that no host in it can have (this host, the local link with its metadata
//! services, many at once, nobody), is refused as a whole: nothing is altered in silence (law 9).

use std::net::IpAddr;

use hickory_resolver::proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{Name as WireName, RData, Record, RecordType},
};
use stubgate_policy::Name;

use crate::wire::{Query, UDP_PAYLOAD};

/// Aliases that are followed (DN-07).
const CHAIN: usize = 8;

/// A name for all below another one.
const DNAME: RecordType = RecordType::DNAME;

/// The answer to pass on, or `None` where it can't be trusted.
///
/// `is_theirs`: whether a name is one that the servers who answered are there for.
pub(crate) fn vet(answer: &[u8], query: &Query<'_>, is_theirs: impl Fn(&Name) -> bool) -> Option<Vec<u8>> {
    let given = Message::from_vec(answer).ok()?;
    let is_theirs = |name: &WireName| {
        let text = name.to_ascii();
        Name::parse(text.trim_end_matches('.').as_bytes()).is_ok_and(|name| is_theirs(&name))
    };
    let asked = given.queries.first()?;
    let code = given.metadata.response_code;
    if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain | ResponseCode::ServFail | ResponseCode::Refused)
    {
        return None;
    }
    let chain = chain(asked.name(), &given.answers, is_theirs)?;
    let mut out = Message::new(query.header.id, MessageType::Response, OpCode::Query);
    out.metadata.response_code = code;
    out.metadata.recursion_desired = query.header.recursion_desired;
    out.metadata.recursion_available = true;
    out.metadata.checking_disabled = query.header.checking_disabled;
    out.metadata.truncation = given.metadata.truncation;
    out.add_query(asked.clone());
    let aliases = chain.split_last().map_or(&[][..], |(_, aliases)| aliases);
    for mut record in given.answers {
        if record.record_type() == DNAME
            && is_theirs(&record.name)
            && aliases.iter().any(|name| *name != record.name && record.name.zone_of(name))
        {
            continue;
        }
        if !(chain.contains(&record.name) && is_wanted(&record, asked.query_type())) {
            return None;
        }
        if record.name == *asked.name() {
            // In the client's spelling, which the zone's servers were not told.
            record.name = asked.name().clone();
        }
        out.add_answer(record);
    }
    let denial = |record: &Record| record.record_type() == RecordType::SOA && is_theirs(&record.name);
    out.add_authorities(given.authorities.into_iter().filter(denial).take(1));
    if let Some(edns) = query.edns {
        let mut ours = Edns::new();
        ours.set_max_payload(UDP_PAYLOAD).set_dnssec_ok(edns.dnssec_ok);
        out.set_edns(ours);
    }
    out.to_vec().ok()
}

/// The name that was asked for and what it is an alias of, if that stays with those servers and ends.
fn chain(asked: &WireName, answers: &[Record], is_theirs: impl Fn(&WireName) -> bool) -> Option<Vec<WireName>> {
    let mut chain = vec![asked.clone()];
    while let Some(last) = chain.last() {
        let alias = answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *last => Some(target.0.clone()),
            _ => None,
        });
        let Some(target) = alias else { break };
        if chain.len() > CHAIN || chain.contains(&target) || !is_theirs(&target) {
            return None;
        }
        chain.push(target);
    }
    Some(chain)
}

fn is_wanted(record: &Record, asked: RecordType) -> bool {
    let address = match &record.data {
        RData::A(address) => IpAddr::V4(address.0),
        RData::AAAA(address) => IpAddr::V6(address.0),
        _ => {
            return record.record_type() == asked
                || matches!(record.record_type(), RecordType::CNAME | RecordType::RRSIG);
        }
    };
    record.record_type() == asked && is_of_a_host(address)
}

/// Whether a host of a private zone can have an address. Which ones may be dialled is the guard's to say.
fn is_of_a_host(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_loopback() || ip.is_unspecified() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast()),
    }
}
