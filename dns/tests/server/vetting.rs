//! What a forwarded zone's server says is passed on only where it belongs to the zone (DN-19).

use std::net::Ipv4Addr;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use stubgate_dns::QueryOutcome;
use stubgate_policy::Reason;

use crate::setup::{DEVBOT, Origin, Server, answer, forwarding};

const DB: &str = "db.ns.svc.cluster.local.";

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn alias(owner: &str, target: &str) -> Record {
    Record::from_rdata(name(owner), 5, RData::CNAME(rdata::CNAME(name(target))))
}

fn address(owner: &str, ip: [u8; 4]) -> Record {
    Record::from_rdata(name(owner), 5, RData::A(Ipv4Addr::from(ip).into()))
}

/// What an agent is told when the zone's server answers with these records, and what was recorded.
fn told(answers: Vec<Record>) -> (Message, QueryOutcome, Option<Reason>) {
    let origin = Origin::start(move |_, asked| {
        let mut reply = answer(asked, &[], 5);
        reply.add_answers(answers.clone());
        vec![reply.to_vec().unwrap()]
    });
    let server = Server::start(forwarding(&[origin.at]));
    let reply = server.client(DEVBOT).ask(DB, RecordType::A);
    let record = server.around.records().pop().unwrap();
    (reply, record.outcome, record.reason)
}

#[test]
fn an_alias_within_the_zone_is_passed_on_with_its_end() {
    let records = vec![alias(DB, "primary.db.cluster.local."), address("primary.db.cluster.local.", [10, 42, 0, 9])];
    let (reply, outcome, _) = told(records.clone());
    assert_eq!((reply.answers, outcome), (records, QueryOutcome::Forwarded));
}

#[test]
fn what_does_not_belong_to_the_zone_or_the_question_is_refused_as_a_whole() {
    for (what, records) in [
        ("an alias of a public name", vec![alias(DB, "evil.example.")]),
        ("the same with its address", vec![alias(DB, "evil.example."), address("evil.example.", [198, 51, 100, 6])]),
        ("an alias that only ends like the zone", vec![alias(DB, "x.evilcluster.local.")]),
        ("a loop", vec![alias(DB, "a.cluster.local."), alias("a.cluster.local.", DB)]),
        ("an address of another name", vec![address("api.github.com.", [198, 51, 100, 6])]),
        (
            "an address of another name beside a good one",
            vec![address(DB, [10, 0, 0, 1]), address("x.cluster.local.", [10, 0, 0, 2])],
        ),
        ("the metadata service", vec![address(DB, [169, 254, 169, 254])]),
        ("this host", vec![address(DB, [10, 0, 0, 1]), address(DB, [127, 0, 0, 1])]),
        ("nobody", vec![address(DB, [0, 0, 0, 0])]),
        ("everybody", vec![address(DB, [255, 255, 255, 255])]),
        (
            "another type",
            vec![Record::from_rdata(
                name(DB),
                5,
                RData::AAAA("::ffff:169.254.169.254".parse::<std::net::Ipv6Addr>().unwrap().into()),
            )],
        ),
    ] {
        let (reply, outcome, reason) = told(records);
        assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::ServFail, 0), "{what}");
        assert_eq!((outcome, reason), (QueryOutcome::ForwardFailed, Some(Reason::UpstreamProtocol)), "{what}");
    }
}

#[test]
fn a_chain_of_many_aliases_is_not_followed() {
    let at = |at: usize| if at == 0 { DB.to_owned() } else { format!("a{at}.cluster.local.") };
    let links = |count: usize| (0..count).map(|link| alias(&at(link), &at(link + 1))).collect::<Vec<_>>();
    assert_eq!(told(links(8)).1, QueryOutcome::Forwarded, "DN-07");
    assert_eq!(told(links(9)).1, QueryOutcome::ForwardFailed, "DN-07");
}

#[test]
fn name_servers_and_additional_records_are_left_out_and_a_denial_keeps_its_soa() {
    let origin = Origin::start(|_, asked| {
        let mut reply = answer(asked, &["10.42.0.7"], 5);
        let ns = Record::from_rdata(name("cluster.local."), 5, RData::NS(rdata::NS(name("ns.evil.example."))));
        reply.add_authority(ns);
        reply.add_additional(address("ns.evil.example.", [198, 51, 100, 6]));
        reply.metadata.authentic_data = true;
        vec![reply.to_vec().unwrap()]
    });
    let server = Server::start(forwarding(&[origin.at]));
    let reply = server.client(DEVBOT).ask(DB, RecordType::A);
    assert_eq!(reply.answers, [address(DB, [10, 42, 0, 7])]);
    assert!(reply.authorities.is_empty() && reply.additionals.is_empty() && !reply.metadata.authentic_data);

    let origin = Origin::start(|_, asked| {
        let mut reply = answer(asked, &[], 5);
        reply.metadata.response_code = ResponseCode::NXDomain;
        let soa = |owner: &str| {
            let data = rdata::SOA::new(name("ns.cluster.local."), name("x.cluster.local."), 1, 2, 3, 4, 5);
            Record::from_rdata(name(owner), 5, RData::SOA(data))
        };
        reply.add_authorities([soa("example."), soa("cluster.local.")]);
        vec![reply.to_vec().unwrap()]
    });
    let server = Server::start(forwarding(&[origin.at]));
    let reply = server.client(DEVBOT).ask(DB, RecordType::A);
    assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    let owners: Vec<String> = reply.authorities.iter().map(|record| record.name.to_ascii()).collect();
    assert_eq!(owners, ["cluster.local."]);
}

#[test]
fn an_answer_that_is_no_message_is_refused() {
    let origin = Origin::start(|_, asked| {
        let mut packet = answer(asked, &["10.42.0.7"], 5).to_vec().unwrap();
        packet.truncate(packet.len() - 3);
        vec![packet]
    });
    let server = Server::start(forwarding(&[origin.at]));
    assert_eq!(server.client(DEVBOT).ask(DB, RecordType::A).metadata.response_code, ResponseCode::ServFail);
}
