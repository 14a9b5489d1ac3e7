//! Forwarding to the servers of a zone, only of what a `dns:` entry grants.

use std::{net::UdpSocket, time::Duration};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use proptest::prelude::*;
use stubgate_dns::{DnsConfig, QueryOutcome, Transport};
use stubgate_policy::Reason;

use crate::setup::{DEVBOT, OTHERBOT, Origin, Server, answer, forwarding, question};

const DB: &str = "db.ns.svc.cluster.local.";

fn origin() -> Origin {
    Origin::start(|_, asked| vec![answer(asked, &["10.42.0.7"], 5).to_vec().unwrap()])
}

#[test]
fn a_granted_question_is_relayed_and_its_answer_comes_back_whole() {
    let origin = origin();
    let server = Server::start(forwarding(&[origin.at]));
    let client = server.client(DEVBOT);
    let mut asked = question("Db.Ns.svc.Cluster.local.", RecordType::A);
    asked.edns.as_mut().unwrap().set_dnssec_ok(true);
    let reply = Message::from_vec(&client.exchange(&asked.to_vec().unwrap())).unwrap();
    assert_eq!((reply.metadata.id, &reply.queries), (asked.metadata.id, &asked.queries));
    assert_eq!(reply.queries[0].name().to_ascii(), "Db.Ns.svc.Cluster.local.");
    assert_eq!((reply.answers[0].data.to_string().as_str(), reply.answers[0].ttl), ("10.42.0.7", 5));
    assert!(reply.edns.is_some());

    let relayed = origin.asked();
    assert_eq!(relayed.len(), 1);
    let (transport, packet) = &relayed[0];
    let packet = Message::from_vec(packet).unwrap();
    assert_eq!((*transport, packet.queries[0].name().to_ascii().as_str()), (Transport::Udp, DB));
    assert_eq!(reply.answers[0].name.to_ascii(), "Db.Ns.svc.Cluster.local.");
    let record = server.around.records().pop().unwrap();
    assert_eq!(
        (record.outcome, record.name.as_deref(), record.agent.as_deref()),
        (QueryOutcome::Forwarded, Some("Db.Ns.svc.Cluster.local"), Some("devbot"))
    );
}

/// Law 6: whoever runs a zone reads no bit of an agent's but which granted name, of which type, and when.
#[test]
fn what_leaves_is_the_same_however_the_agent_writes_the_question() {
    let origin = origin();
    let server = Server::start(forwarding(&[origin.at]));
    let (client, mut connection) = (server.client(DEVBOT), server.connect(DEVBOT));
    let plain = question(DB, RecordType::A);
    let mut written = vec![plain.clone(), question("dB.nS.SVC.clUSter.LOCAL.", RecordType::A)];
    let mut with = |change: &dyn Fn(&mut Message)| {
        let mut message = plain.clone();
        change(&mut message);
        written.push(message);
    };
    with(&|message| message.metadata.recursion_desired = false);
    with(&|message| message.metadata.checking_disabled = true);
    with(&|message| message.metadata.authentic_data = true);
    with(&|message| message.edns = None);
    for payload in [0, 512, 513, 1232, 4096, 65535] {
        with(&|message| {
            message.edns.as_mut().unwrap().set_max_payload(payload);
        });
    }
    with(&|message| {
        message.edns.as_mut().unwrap().set_dnssec_ok(true);
    });
    for message in &written {
        let packet = message.to_vec().unwrap();
        connection.send(&packet);
        for reply in [client.exchange(&packet), connection.receive().unwrap()] {
            let reply = Message::from_vec(&reply).unwrap();
            let spelled = message.queries[0].name().to_ascii();
            assert_eq!((reply.metadata.id, reply.answers.len()), (message.metadata.id, 1));
            assert_eq!(
                (reply.queries[0].name().to_ascii(), reply.answers[0].name.to_ascii()),
                (spelled.clone(), spelled)
            );
            assert_eq!(reply.metadata.recursion_desired, message.metadata.recursion_desired);
        }
    }
    let relayed = origin.asked();
    assert_eq!(relayed.len(), 2 * written.len());
    for (_, packet) in &relayed {
        assert_eq!(packet[2..], relayed[0].1[2..]);
    }
}

#[test]
fn options_of_the_agent_do_not_leave() {
    let origin = origin();
    let server = Server::start(forwarding(&[origin.at]));
    let mut packet = question(DB, RecordType::A).to_vec().unwrap();
    // A cookie and a padding of the agent's making.
    let options = b"\x00\x0a\x00\x08secret!!\x00\x0c\x00\x04more";
    let end = packet.len();
    packet[end - 1] = u8::try_from(options.len()).unwrap();
    packet.extend_from_slice(options);
    server.client(DEVBOT).exchange(&packet);
    let (_, relayed) = origin.asked().pop().unwrap();
    assert_eq!(relayed.len(), end);
    assert!(!relayed.windows(6).any(|window| window == b"secret"));
}

#[test]
fn what_no_entry_grants_never_reaches_the_zones_servers() {
    let origin = origin();
    let server = Server::start(forwarding(&[origin.at]));
    for (agent, name, kind, code) in [
        (DEVBOT, "kubernetes.default.svc.cluster.local.", RecordType::A, ResponseCode::NXDomain),
        (DEVBOT, "cluster.local.", RecordType::A, ResponseCode::NoError),
        (DEVBOT, "x.db.ns.svc.cluster.local.", RecordType::A, ResponseCode::NXDomain),
        (DEVBOT, DB, RecordType::TXT, ResponseCode::NoError),
        (DEVBOT, DB, RecordType::AAAA, ResponseCode::NoError),
        (DEVBOT, DB, RecordType::ANY, ResponseCode::NoError),
        (OTHERBOT, DB, RecordType::A, ResponseCode::NXDomain),
        (DEVBOT, "api.github.com.cluster.local.", RecordType::A, ResponseCode::NXDomain),
        (DEVBOT, "api.github.com.", RecordType::A, ResponseCode::NoError),
    ] {
        assert_eq!(server.client(agent).ask(name, kind).metadata.response_code, code, "{name} {kind}");
        assert_eq!(server.connect(agent).ask(name, kind).metadata.response_code, code, "{name} {kind}");
    }
    assert!(server.around.outcomes().iter().all(|(_, _, outcome)| *outcome != QueryOutcome::Forwarded));
    assert_eq!(origin.asked(), []);
}

#[test]
fn no_denied_name_whatever_its_spelling_reaches_the_zones_servers() {
    let origin = origin();
    let server = Server::start(forwarding(&[origin.at]));
    let client = server.client(DEVBOT);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let label = prop_oneof![
        Just(b"db".to_vec()),
        Just(b"ns".to_vec()),
        Just(b"DB.ns".to_vec()),
        Just(b"svc".to_vec()),
        Just(b"open".to_vec()),
        proptest::collection::vec(any::<u8>(), 1..20)
    ];
    let names = (proptest::collection::vec(label, 0..5), any::<bool>());
    runner
        .run(&names, |(mut labels, zone)| {
            let granted = |labels: &[Vec<u8>]| match labels {
                [db, ns, svc] => db.eq_ignore_ascii_case(b"db") && ns == b"ns" && svc == b"svc",
                [_, open] => open == b"open",
                _ => false,
            };
            prop_assume!(!(zone && granted(&labels)));
            if zone {
                labels.extend([b"cluster".to_vec(), b"local".to_vec()]);
            }
            let mut asked = question("x.", RecordType::A);
            asked.queries[0].set_name(hickory_proto::rr::Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap());
            let reply = Message::from_vec(&client.exchange(&asked.to_vec().unwrap())).unwrap();
            prop_assert!(reply.answers.is_empty());
            Ok(())
        })
        .unwrap();
    assert_eq!(origin.asked(), []);
    assert!(
        server
            .around
            .outcomes()
            .iter()
            .all(|(_, _, outcome)| matches!(outcome, QueryOutcome::Denied | QueryOutcome::Nodata))
    );
}

#[test]
fn an_answer_to_another_question_or_id_does_not_count() {
    let origin = Origin::start(|_, asked| {
        let good = answer(asked, &["10.42.0.7"], 5);
        let bad = answer(asked, &["6.6.6.6"], 5);
        let mut other_id = bad.clone();
        other_id.metadata.id ^= 1;
        let other_name = answer(&question("evil.cluster.local.", RecordType::A), &["6.6.6.6"], 5);
        let mut other_name = other_name.clone();
        other_name.metadata.id = asked.metadata.id;
        let mut other_kind = answer(&question(DB, RecordType::AAAA), &["::6"], 5);
        other_kind.metadata.id = asked.metadata.id;
        let mut no_response = bad.to_vec().unwrap();
        no_response[2] &= 0x7f;
        let mut no_question = bad.clone();
        no_question.queries.clear();
        let mut all: Vec<Vec<u8>> =
            [other_id, other_name, other_kind, no_question].iter().map(|message| message.to_vec().unwrap()).collect();
        all.extend([no_response, vec![0; 3], good.to_vec().unwrap()]);
        all
    });
    let server = Server::start(forwarding(&[origin.at]));
    let reply = server.client(DEVBOT).ask(DB, RecordType::A);
    assert_eq!(reply.answers[0].data.to_string(), "10.42.0.7");
}

#[test]
fn ids_and_ports_of_forwarded_questions_are_not_the_clients_and_change() {
    let origin = origin();
    let server = Server::start(forwarding(&[origin.at]));
    let client = server.client(DEVBOT);
    let mut asked = question(DB, RecordType::A);
    asked.metadata.id = 7;
    for _ in 0..20 {
        client.exchange(&asked.to_vec().unwrap());
    }
    let mut ids: Vec<Vec<u8>> = origin.asked().into_iter().map(|(_, packet)| packet[..2].to_vec()).collect();
    assert_eq!(ids.len(), 20);
    ids.sort();
    ids.dedup();
    assert!(ids.len() > 15, "{ids:?}");
}

#[test]
fn the_next_server_is_asked_when_one_is_silent() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let origin = origin();
    let server = Server::start(DnsConfig {
        forward_timeout: Duration::from_secs(2),
        ..forwarding(&[silent.local_addr().unwrap(), origin.at])
    });
    let reply = server.client(DEVBOT).ask(DB, RecordType::A);
    assert_eq!(reply.answers.len(), 1);
    assert!(silent.recv(&mut [0; 512]).unwrap() > 12);
}

#[test]
fn servfail_with_an_extended_error_when_no_server_answers() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::start(DnsConfig {
        forward_timeout: Duration::from_millis(100),
        ..forwarding(&[silent.local_addr().unwrap()])
    });
    for reply in [server.client(DEVBOT).ask(DB, RecordType::A), server.connect(DEVBOT).ask(DB, RecordType::A)] {
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
        assert!(reply.edns.unwrap().options().as_ref().iter().any(|(code, _)| u16::from(*code) == 15));
    }
    assert!(server.around.outcomes().iter().all(|(_, _, outcome)| *outcome == QueryOutcome::ForwardFailed));
}

#[test]
fn a_granted_name_without_a_zone_is_servfail_and_not_sent_to_anybody() {
    let server = Server::start(crate::setup::config());
    assert_eq!(server.client(DEVBOT).ask(DB, RecordType::A).metadata.response_code, ResponseCode::ServFail);
    let record = server.around.records().pop().unwrap();
    assert_eq!((record.outcome, record.reason), (QueryOutcome::ForwardFailed, Some(Reason::Unresolvable)));
}

#[test]
fn a_long_answer_is_truncated_over_udp_and_whole_over_tcp() {
    let addresses: Vec<String> = (0..200).map(|last| format!("10.42.1.{last}")).collect();
    let origin = Origin::start(move |transport, asked| {
        let all: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let mut message = answer(asked, if transport == Transport::Tcp { &all } else { &[] }, 5);
        message.metadata.truncation = transport == Transport::Udp;
        vec![message.to_vec().unwrap()]
    });
    let server = Server::start(forwarding(&[origin.at]));
    let reply = server.client(DEVBOT).ask(DB, RecordType::A);
    assert!(reply.metadata.truncation && reply.answers.is_empty());
    let reply = server.connect(DEVBOT).ask(DB, RecordType::A);
    assert_eq!(reply.answers.len(), 200);
    let transports: Vec<Transport> = origin.asked().into_iter().map(|(transport, _)| transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp]);
}

#[test]
fn an_answer_longer_than_the_client_takes_is_not_sent_on() {
    let addresses: Vec<String> = (0..100).map(|last| format!("10.42.1.{last}")).collect();
    let origin = Origin::start(move |_, asked| {
        let all: Vec<&str> = addresses.iter().map(String::as_str).collect();
        vec![answer(asked, &all, 5).to_vec().unwrap()]
    });
    let server = Server::start(forwarding(&[origin.at]));
    let mut asked = question(DB, RecordType::A);
    asked.edns = None;
    let reply = server.client(DEVBOT).exchange(&asked.to_vec().unwrap());
    assert!(reply.len() <= 512);
    assert!(Message::from_vec(&reply).unwrap().metadata.truncation);
}

#[test]
fn an_agent_with_too_many_questions_under_way_is_told_so_and_others_are_served() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    // One agent gets a quarter of four.
    let server = Server::start(DnsConfig {
        max_forwards: 4,
        forward_timeout: crate::setup::PATIENCE,
        ..forwarding(&[silent.local_addr().unwrap()])
    });
    let client = server.client(DEVBOT);
    client.send(&question(DB, RecordType::A).to_vec().unwrap());
    let mut relayed = [0; 512];
    let (length, from) = silent.recv_from(&mut relayed).unwrap();
    let reply = client.ask(DB, RecordType::A);
    assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    let record = server.around.records().pop().unwrap();
    assert_eq!((record.outcome, record.reason), (QueryOutcome::ForwardFailed, Some(Reason::LimitReached)));
    assert_eq!(client.ask("api.github.com.", RecordType::A).answers.len(), 1);
    // The one under way ends when its server answers, and makes room.
    relayed[2] |= 0x80;
    silent.send_to(&relayed[..length], from).unwrap();
    client.receive();
    client.send(&question(DB, RecordType::A).to_vec().unwrap());
    let (length, from) = silent.recv_from(&mut relayed).unwrap();
    relayed[2] |= 0x80;
    silent.send_to(&relayed[..length], from).unwrap();
    assert_eq!(Message::from_vec(&client.receive()).unwrap().metadata.response_code, ResponseCode::NoError);
}

#[test]
fn local_answers_overtake_forwarded_ones_on_a_connection() {
    let gate = std::sync::Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    gate.set_read_timeout(Some(crate::setup::PATIENCE)).unwrap();
    let at = gate.local_addr().unwrap();
    let origin = Origin::start(move |_, asked| {
        // Waits until the test has seen the local answer.
        gate.recv(&mut [0; 1]).unwrap();
        vec![answer(asked, &["10.42.0.7"], 5).to_vec().unwrap()]
    });
    let server = Server::start(DnsConfig { forward_timeout: crate::setup::PATIENCE, ..forwarding(&[origin.at]) });
    let mut connection = server.connect(DEVBOT);
    let forwarded = question(DB, RecordType::A);
    connection.send(&forwarded.to_vec().unwrap());
    assert_eq!(connection.ask("api.github.com.", RecordType::A).answers.len(), 1);
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"!", at).unwrap();
    let reply = Message::from_vec(&connection.receive().unwrap()).unwrap();
    assert_eq!(reply.metadata.id, forwarded.metadata.id);
    assert_eq!(reply.answers.len(), 1);
}
