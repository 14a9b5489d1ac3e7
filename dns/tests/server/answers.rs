//! What is answered here, over UDP.

use std::sync::atomic::Ordering;

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{DNSClass, Name, RData, RecordType},
};
use stubgate_dns::{QueryOutcome, Transport};
use stubgate_policy::Reason;

use crate::setup::{
    DEVBOT, OTHERBOT, Origin, QUARANTINED, Recorded, STRANGER, Server, answer, config, forwarding, policy, question,
};

/// Codes of the Extended DNS Errors in an answer.
fn extended_errors(message: &Message) -> Vec<u16> {
    let Some(edns) = &message.edns else { return Vec::new() };
    let options = edns.options().as_ref().iter();
    options
        .filter(|(code, _)| u16::from(*code) == 15)
        .map(|(_, option)| {
            let bytes: Vec<u8> = option.try_into().unwrap();
            u16::from_be_bytes([bytes[0], bytes[1]])
        })
        .collect()
}

fn soa(message: &Message) -> Option<(String, u32)> {
    message
        .authorities
        .iter()
        .find(|record| record.record_type() == RecordType::SOA)
        .map(|record| (record.name.to_ascii(), record.ttl))
}

#[test]
fn an_allowed_name_has_the_advertised_addresses() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    for (name, kind, address) in [
        ("api.github.com.", RecordType::A, "192.0.2.53"),
        ("api.github.com.", RecordType::AAAA, "2001:db8::53"),
        ("plain.test.", RecordType::A, "192.0.2.53"),
        ("a.b.wild.test.", RecordType::A, "192.0.2.53"),
        ("aPi.GitHUB.com.", RecordType::A, "192.0.2.53"),
    ] {
        let answer = client.ask(name, kind);
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        assert_eq!(answer.answers.len(), 1);
        assert_eq!((answer.answers[0].data.to_string().as_str(), answer.answers[0].ttl), (address, 60));
        assert_eq!(answer.queries[0].name().to_ascii(), name, "the case of the question is kept");
    }
    assert_eq!(
        server.around.records()[0],
        Recorded {
            agent: Some("devbot".into()),
            peer: DEVBOT.into(),
            transport: Transport::Udp,
            name: Some("api.github.com".into()),
            qtype: 1,
            outcome: QueryOutcome::Advertised,
            reason: None,
        }
    );
}

#[test]
fn every_other_type_of_an_allowed_name_is_nodata_with_soa() {
    let server = Server::start(stubgate_dns::DnsConfig { advertise: vec!["192.0.2.53".parse().unwrap()], ..config() });
    let client = server.client(DEVBOT);
    // AAAA too, as no IPv6 address is advertised (DN-05); HTTPS and SVCB (DN-06); types that tunnel (DN-03).
    for kind in [28, 64, 65, 16, 10, 15, 33, 5, 12, 6, 2, 35, 52, 256, 46, 48, 65535] {
        let answer = client.ask("api.github.com.", RecordType::from(kind));
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{kind}");
        assert!(answer.answers.is_empty(), "{kind}");
        assert_eq!(soa(&answer), Some((".".into(), 10)), "{kind}");
    }
    assert!(server.around.outcomes().iter().all(|(_, _, outcome)| *outcome == QueryOutcome::Nodata));
}

#[test]
fn any_is_answered_with_a_small_stand_in() {
    let server = Server::start(config());
    let packet = question("api.github.com.", RecordType::ANY).to_vec().unwrap();
    let answer = server.client(DEVBOT).exchange(&packet);
    assert!(answer.len() <= 2 * packet.len());
    let answer = Message::from_vec(&answer).unwrap();
    assert!(matches!(answer.answers[0].data, RData::HINFO(_)));
    assert_eq!(answer.answers.len(), 1);
    let denied = server.client(DEVBOT).ask("evil.test.", RecordType::ANY);
    assert_eq!(denied.metadata.response_code, ResponseCode::NXDomain);
}

#[test]
fn a_denied_name_does_not_exist_and_says_so_by_an_extended_error() {
    let server = Server::start(config());
    let cases = [
        (DEVBOT, "evil.test."),
        (DEVBOT, "only-other.test."),
        (DEVBOT, "wild.test.evil."),
        (DEVBOT, "evilgithub.com."),
        (DEVBOT, "api.github.com.evil.test."),
        (DEVBOT, "notapi.github.com."),
        (DEVBOT, "1.0.0.10.in-addr.arpa."),
        (DEVBOT, "kubernetes.default.svc.cluster.local."),
        (OTHERBOT, "api.github.com."),
        (QUARANTINED, "api.github.com."),
    ];
    for (agent, name) in cases {
        for kind in [RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::PTR] {
            let answer = server.client(agent).ask(name, kind);
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name} {kind}");
            assert_eq!(soa(&answer), Some((".".into(), 10)));
            assert_eq!(extended_errors(&answer), [15]);
        }
    }
    let reasons: Vec<_> = server.around.records().into_iter().map(|record| (record.outcome, record.reason)).collect();
    assert!(reasons.iter().all(|(outcome, _)| *outcome == QueryOutcome::Denied));
    assert_eq!(reasons[0].1, Some(Reason::NameNotAllowed));
    assert_eq!(reasons.last().unwrap().1, Some(Reason::Quarantined));
}

#[test]
fn what_a_search_list_makes_of_an_allowed_name_does_not_exist() {
    let server = Server::start(forwarding(&["192.0.2.1:53".parse().unwrap()]));
    let client = server.client(DEVBOT);
    for name in
        ["api.github.com.ns.svc.cluster.local.", "api.github.com.svc.cluster.local.", "api.github.com.cluster.local."]
    {
        assert_eq!(client.ask(name, RecordType::A).metadata.response_code, ResponseCode::NXDomain, "{name}");
    }
    assert_eq!(client.ask("api.github.com.", RecordType::A).answers.len(), 1);
}

#[test]
fn a_denied_ancestor_of_an_allowed_name_exists_and_has_nothing() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    for name in ["github.com.", "com.", ".", "wild.test.", "svc.cluster.local."] {
        let answer = client.ask(name, RecordType::A);
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{name}");
        assert!(answer.answers.is_empty() && soa(&answer).is_some(), "{name}");
    }
}

#[test]
fn an_unknown_source_is_refused_whatever_it_asks() {
    let server = Server::start(config());
    let client = server.client(STRANGER);
    for name in ["api.github.com.", "evil.test.", "."] {
        let packet = question(name, RecordType::A).to_vec().unwrap();
        let answer = client.exchange(&packet);
        assert!(answer.len() <= packet.len() + 6);
        let answer = Message::from_vec(&answer).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
        assert_eq!(extended_errors(&answer), [18]);
    }
    let records = server.around.records();
    assert!(
        records
            .iter()
            .all(|r| r.agent.is_none() && r.outcome == QueryOutcome::Refused && r.reason == Some(Reason::UnknownAgent))
    );
    // Garbage from a stranger gets nothing at all.
    client.send(b"\x00\x01\x28\x00\x00\x00\x00\x00\x00\x00\x00\x00");
    for _ in 0..2 {
        assert_eq!(client.ask("api.github.com.", RecordType::A).metadata.response_code, ResponseCode::Refused);
    }
}

#[test]
fn labels_with_odd_bytes_are_denied_and_recorded_in_one_line() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    let odd: [&[&[u8]]; 8] = [
        &[b"api.github", b"com"],
        &[b"api.github.com"],
        &[b"api", b"github", b"com\0"],
        &[b"\0"],
        &[b"a\nb", b"\x1b[31m", b"wild", b"test"],
        &[b"*", b"wild", b"test"],
        &[b"\xff\xfe", b"wild", b"test"],
        &[b"a b", b"wild", b"test"],
    ];
    for labels in odd {
        let mut asked = question("x.", RecordType::A);
        asked.queries[0].set_name(Name::from_labels(labels.iter().copied()).unwrap());
        let answer = Message::from_vec(&client.exchange(&asked.to_vec().unwrap())).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{labels:?}");
    }
    let names: Vec<String> = server.around.records().into_iter().filter_map(|record| record.name).collect();
    assert_eq!(names[0], "api\\.github.com");
    assert_eq!(names[4], "a\\010b.\\027[31m.wild.test");
    assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_graphic())));
}

#[test]
fn other_classes_opcodes_and_transfers_are_refused() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    for class in [DNSClass::CH, DNSClass::ANY, DNSClass::HS] {
        let mut asked = question("api.github.com.", RecordType::A);
        asked.queries[0].set_query_class(class);
        let answer = Message::from_vec(&client.exchange(&asked.to_vec().unwrap())).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused);
    }
    for kind in [251, 252, 249, 250, 253, 254] {
        let answer = client.ask("api.github.com.", RecordType::from(kind));
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "{kind}");
    }
    for opcode in [1_u8, 2, 3, 4, 5, 6, 15] {
        let mut packet = question("api.github.com.", RecordType::A).to_vec().unwrap();
        packet[2] |= opcode << 3;
        let answer = client.exchange(&packet);
        assert_eq!((answer.len(), answer[2] >> 3 & 15, answer[3] & 15), (12, opcode, 4));
    }
}

#[test]
fn malformed_questions_are_format_errors_and_answers_are_dropped() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    let good = question("api.github.com.", RecordType::A).to_vec().unwrap();
    let mut two = good.clone();
    two[5] = 2;
    let mut cut = good.clone();
    cut.truncate(20);
    let looped = [&good[..12], b"\xc0\x0c\x00\x01\x00\x01"].concat();
    for packet in [two, cut, looped, good[..12].to_vec()] {
        let answer = client.exchange(&packet);
        assert_eq!((answer.len(), answer[3] & 15), (12, 1));
        assert_eq!(answer[..2], packet[..2]);
    }
    let mut answer = good.clone();
    answer[2] |= 0x80;
    for dropped in [answer.as_slice(), &good[..11], b"", &[0; 20_000]] {
        client.send(dropped);
    }
    assert_eq!(
        client.ask("api.github.com.", RecordType::A).answers.len(),
        1,
        "the first answer is to the last question"
    );
    let outcomes = server.around.outcomes();
    assert_eq!(outcomes.len(), 9);
    assert!(outcomes[..8].iter().all(|(name, _, outcome)| name.is_empty() && *outcome == QueryOutcome::Malformed));
}

#[test]
fn edns_of_another_version_is_badvers() {
    let server = Server::start(config());
    let mut asked = question("api.github.com.", RecordType::A);
    asked.edns.as_mut().unwrap().set_version(1);
    let answer = Message::from_vec(&server.client(DEVBOT).exchange(&asked.to_vec().unwrap())).unwrap();
    assert_eq!(u16::from(answer.metadata.response_code), 16);
    assert_eq!(answer.edns.unwrap().version(), 0);
}

#[test]
fn an_answer_that_is_too_long_for_the_client_is_truncated() {
    let advertise = (0..60).map(|last| std::net::IpAddr::from([192, 0, 2, last])).collect();
    let server = Server::start(stubgate_dns::DnsConfig { advertise, ..config() });
    let mut asked = question("api.github.com.", RecordType::A);
    let client = server.client(DEVBOT);
    assert_eq!(client.ask("api.github.com.", RecordType::A).answers.len(), 60);
    asked.edns = None;
    let answer = client.exchange(&asked.to_vec().unwrap());
    assert!(answer.len() <= 512);
    let answer = Message::from_vec(&answer).unwrap();
    assert!(answer.metadata.truncation && answer.answers.is_empty());
    assert_eq!(server.connect(DEVBOT).ask("api.github.com.", RecordType::A).answers.len(), 60);
}

#[test]
fn nothing_is_answered_that_could_not_be_recorded() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    server.around.keeps.store(false, Ordering::SeqCst);
    client.send(&question("api.github.com.", RecordType::A).to_vec().unwrap());
    let mut connection = server.connect(DEVBOT);
    connection.send(&question("api.github.com.", RecordType::A).to_vec().unwrap());
    assert_eq!(connection.receive(), None);
    assert_eq!(server.around.wait(2).len(), 2);
    server.around.keeps.store(true, Ordering::SeqCst);
    assert_eq!(client.ask("plain.test.", RecordType::A).answers.len(), 1);
}

#[test]
fn a_new_policy_decides_the_next_question() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    let mut connection = server.connect(DEVBOT);
    assert_eq!(connection.ask("api.github.com.", RecordType::A).answers.len(), 1);
    server.around.reload(policy("version: 1\nagents:\n  a: { sources: [\"127.0.0.9/32\"] }\n  devbot: { sources: [\"127.0.0.2/32\"] }\nrules:\n  - name: new\n    agents: [devbot]\n    hosts: [new.test]\n    methods: [GET]\n"));
    assert_eq!(client.ask("api.github.com.", RecordType::A).metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(connection.ask("api.github.com.", RecordType::A).metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(client.ask("new.test.", RecordType::A).answers.len(), 1);
    let records = server.around.records();
    assert!(records.iter().all(|record| record.agent.as_deref() == Some("devbot")));
    server.around.reload(std::sync::Arc::new(stubgate_policy::Policy::empty()));
    assert_eq!(client.ask("new.test.", RecordType::A).metadata.response_code, ResponseCode::Refused);
}

#[test]
fn answers_come_from_the_address_that_was_asked() {
    let origin = Origin::start(|_, asked| vec![answer(asked, &["10.42.0.7"], 5).to_vec().unwrap()]);
    let udp_and_tcp = vec!["0.0.0.0:0".parse().unwrap()];
    let server = Server::start(stubgate_dns::DnsConfig { udp_and_tcp, ..forwarding(&[origin.at]) });
    // The client's socket takes answers from that address only.
    let client = server.client(DEVBOT);
    assert_eq!(client.ask("api.github.com.", RecordType::A).answers.len(), 1);
    assert_eq!(client.ask("db.ns.svc.cluster.local.", RecordType::A).answers.len(), 1);
}

#[test]
fn an_ipv6_address_is_served_too() {
    for listen in ["[::1]:0", "[::]:0"] {
        let bound = config();
        let udp_and_tcp = vec![listen.parse().unwrap()];
        let server = Server::start(stubgate_dns::DnsConfig { udp_and_tcp, ..bound });
        let socket = std::net::UdpSocket::bind("[::1]:0").unwrap();
        socket.connect(("::1", server.at.port())).unwrap();
        socket.set_read_timeout(Some(crate::setup::PATIENCE)).unwrap();
        socket.send(&question("api.github.com.", RecordType::A).to_vec().unwrap()).unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        let answer = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "no agent has this address");
        let record = server.around.records().pop().unwrap();
        assert_eq!(record.peer, "::1".parse::<std::net::IpAddr>().unwrap());
    }
}

#[test]
fn many_answers_to_one_client_arrive_each_whole_and_once() {
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        many_answers(listen);
    }
}

fn many_answers(listen: &str) {
    let udp_and_tcp = vec![listen.parse().unwrap()];
    let server = Server::start(stubgate_dns::DnsConfig { udp_and_tcp, ..config() });
    let client = server.client(DEVBOT);
    let mut asked: Vec<Vec<u8>> = Vec::new();
    for n in 0..200 {
        // Three lengths of answers.
        let (name, kind) = match n % 3 {
            0 => ("api.github.com.", RecordType::A),
            1 => ("api.github.com.", RecordType::AAAA),
            _ => ("evil.test.", RecordType::A),
        };
        let mut message = question(name, kind);
        message.metadata.id = n;
        asked.push(message.to_vec().unwrap());
    }
    for packet in &asked {
        client.send(packet);
    }
    let mut seen = [false; 200];
    for _ in 0..200 {
        let answer = Message::from_vec(&client.receive()).unwrap();
        let id = usize::from(answer.metadata.id);
        assert!(!std::mem::replace(&mut seen[id], true));
        assert_eq!(answer.answers.len(), usize::from(id % 3 != 2));
    }
}
