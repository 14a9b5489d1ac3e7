//! What a forwarded zone's server says is passed on only where it belongs to the zone (DN-19).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata},
};
use stubgate_dns::{DnsConfig, ForwardZone, QueryOutcome};
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
    told_of((DB, RecordType::A), answers, |at| forwarding(&[at]))
}

fn told_of(
    (asked, kind): (&str, RecordType),
    answers: Vec<Record>,
    config: impl FnOnce(SocketAddr) -> DnsConfig,
) -> (Message, QueryOutcome, Option<Reason>) {
    let origin = Origin::start(move |_, asked| {
        let mut reply = answer(asked, &[], 5);
        reply.add_answers(answers.clone());
        vec![reply.to_vec().unwrap()]
    });
    let server = Server::start(config(origin.at));
    let reply = server.client(DEVBOT).ask(asked, kind);
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
fn an_address_that_no_host_of_a_zone_can_have_is_refused_in_version_6_too() {
    const SIX: &str = "six.ns.svc.cluster.local.";
    for (ip, passes) in [
        ("::1", false),
        ("fe80::1", false),
        ("febf::1", false),
        ("ff02::1", false),
        ("::", false),
        ("::ffff:169.254.169.254", false),
        ("::ffff:127.0.0.1", false),
        ("fd00::7", true),
        ("2001:db8::7", true),
    ] {
        let record = Record::from_rdata(name(SIX), 5, RData::AAAA(ip.parse::<Ipv6Addr>().unwrap().into()));
        let (reply, outcome, _) = told_of((SIX, RecordType::AAAA), vec![record], |at| forwarding(&[at]));
        let expected = if passes { QueryOutcome::Forwarded } else { QueryOutcome::ForwardFailed };
        assert_eq!((outcome, reply.answers.len()), (expected, usize::from(passes)), "{ip}");
    }
}

/// Zones that are configured for the same servers are one trust; what their servers say about a third is not.
#[test]
fn an_alias_into_another_zone_of_the_same_servers_is_passed_on() {
    let zone = |text: &str, to: &[SocketAddr]| ForwardZone {
        zones: vec![stubgate_policy::Name::parse(text.as_bytes()).unwrap()],
        to: to.to_vec(),
    };
    let other: SocketAddr = "127.0.0.1:9".parse().unwrap();
    for (what, target, expected) in [
        ("the same servers", "db.corp.internal.", QueryOutcome::Forwarded),
        ("the same servers in another order", "db.lab.internal.", QueryOutcome::Forwarded),
        ("other servers", "db.far.internal.", QueryOutcome::ForwardFailed),
        ("other servers for a part of the zone", "db.part.cluster.local.", QueryOutcome::ForwardFailed),
        ("no zone at all", "db.public.example.", QueryOutcome::ForwardFailed),
    ] {
        let records = vec![alias(DB, target), address(target, [10, 42, 0, 9])];
        let (reply, outcome, _) = told_of((DB, RecordType::A), records.clone(), |at| {
            let mut config = forwarding(&[at, other]);
            config.forward.push(zone("corp.internal", &[at, other]));
            config.forward.push(zone("lab.internal", &[other, at]));
            config.forward.push(zone("far.internal", &[other]));
            config.forward.push(zone("part.cluster.local", &[other]));
            config
        });
        assert_eq!(outcome, expected, "{what}");
        assert!(reply.answers.is_empty() || reply.answers == records, "{what}");
    }
}

/// RFC 6672: the alias that a server makes of it stands beside it, and is what clients follow.
#[test]
fn a_name_for_a_whole_branch_is_left_out_and_its_alias_is_passed_on() {
    let branch = |owner: &str, target: &str| {
        let labels =
            target.split('.').flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat());
        let rdata = rdata::NULL::with(labels.collect());
        Record::from_rdata(name(owner), 5, RData::Unknown { code: RecordType::from(39), rdata })
    };
    let end = "db.ns.pod.cluster.local.";
    let rest = [alias(DB, end), address(end, [10, 42, 0, 9])];
    let with = |record: Record| [vec![record], rest.to_vec()].concat();
    let (reply, outcome, _) = told(with(branch("svc.cluster.local.", "pod.cluster.local.")));
    assert_eq!((reply.answers.as_slice(), outcome), (&rest[..], QueryOutcome::Forwarded));
    for (what, records) in [
        ("no alias beside it", vec![branch("svc.cluster.local.", "pod.cluster.local."), address(DB, [10, 0, 0, 1])]),
        ("of another branch", with(branch("other.cluster.local.", "pod.cluster.local."))),
        ("of more than the zone", with(branch("local.", "pod.cluster.local."))),
    ] {
        assert_eq!(told(records).1, QueryOutcome::ForwardFailed, "{what}");
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
