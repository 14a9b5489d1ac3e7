//! What one agent may use, and that whatever is thrown at the server it answers little and goes on.

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use proptest::prelude::*;
use stubgate_dns::{DnsConfig, QueryOutcome};
use stubgate_policy::Reason;

use crate::setup::{DEVBOT, OTHERBOT, STRANGER, Server, config, question};

#[test]
fn an_agent_above_its_rate_is_dropped_and_others_are_not() {
    let server = Server::start(DnsConfig { queries_per_second: 1, burst: 5, ..config() });
    let flood = server.client(DEVBOT);
    for _ in 0..50 {
        flood.send(&question("api.github.com.", RecordType::A).to_vec().unwrap());
    }
    let records = server.around.wait(50);
    let limited: Vec<_> = records.iter().filter(|record| record.outcome == QueryOutcome::RateLimited).collect();
    // One token more if a second went by.
    assert!((40..=45).contains(&limited.len()), "{}", limited.len());
    assert!(limited.iter().all(|r| r.reason == Some(Reason::LimitReached) && r.agent.as_deref() == Some("devbot")));
    assert_eq!(server.client(OTHERBOT).ask("only-other.test.", RecordType::A).answers.len(), 1);
    // Another address of the same agent has no share of its own; over TCP it is told so.
    let refused = server.connect(DEVBOT).ask("api.github.com.", RecordType::A);
    assert_eq!(refused.metadata.response_code, ResponseCode::Refused);
}

#[test]
fn all_unknown_sources_share_one_rate() {
    let server = Server::start(DnsConfig { queries_per_second: 1, burst: 5, ..config() });
    let packet = question("api.github.com.", RecordType::A).to_vec().unwrap();
    for last in 100..150 {
        server.client(std::net::Ipv4Addr::new(127, 0, 0, last)).send(&packet);
    }
    server.client(STRANGER).send(&packet);
    let records = server.around.wait(51);
    let refused = records.iter().filter(|record| record.outcome == QueryOutcome::Refused).count();
    assert!((5..=10).contains(&refused), "{refused}");
    assert_eq!(server.client(DEVBOT).ask("api.github.com.", RecordType::A).answers.len(), 1);
}

#[test]
fn a_rate_outlives_a_change_of_policy() {
    let server = Server::start(DnsConfig { queries_per_second: 1, burst: 2, ..config() });
    let client = server.client(DEVBOT);
    for _ in 0..4 {
        client.send(&question("api.github.com.", RecordType::A).to_vec().unwrap());
    }
    server.around.wait(4);
    // The same agent, now under another id.
    server.around.reload(crate::setup::policy("version: 1\nagents:\n  a: { sources: [\"127.0.0.9/32\"] }\n  devbot: { sources: [\"127.0.0.2/32\"] }\nrules:\n  - name: new\n    agents: [devbot]\n    hosts: [new.test]\n    methods: [GET]\n"));
    for _ in 0..4 {
        client.send(&question("new.test.", RecordType::A).to_vec().unwrap());
    }
    let limited = server.around.wait(4).iter().filter(|record| record.outcome == QueryOutcome::RateLimited).count();
    // One token if a second went by; a new share would have two.
    assert!(limited >= 3, "{limited}");
}

#[test]
fn random_bytes_get_little_and_change_nothing() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let good = question("api.github.com.", RecordType::A).to_vec().unwrap();
    let changed = proptest::collection::vec((0..good.len(), any::<u8>()), 1..6).prop_map({
        let good = good.clone();
        move |changes| {
            let mut packet = good.clone();
            for (at, byte) in changes {
                packet[at] = byte;
            }
            packet
        }
    });
    let packets = prop_oneof![proptest::collection::vec(any::<u8>(), 0..600), changed];
    runner
        .run(&packets, |packet| {
            client.send(&packet);
            // Two questions one after the other: once the second is answered, whatever answers the packet has come.
            let mut answers = 0;
            for round in 0..2 {
                let mut marker = question("marker.wild.test.", RecordType::A);
                marker.metadata.id = packet.get(..2).map_or(0, |id| !u16::from_be_bytes([id[0], id[1]]) ^ round);
                client.send(&marker.to_vec().unwrap());
                loop {
                    let answer = client.receive();
                    if answer[..2] == marker.metadata.id.to_be_bytes() {
                        prop_assert_eq!(Message::from_vec(&answer).unwrap().answers.len(), 1);
                        break;
                    }
                    answers += 1;
                    prop_assert_eq!(&answer[..2], &packet[..2]);
                    prop_assert!(answer.len() <= 512);
                    // 33 bytes of SOA, 27 of extended error.
                    prop_assert!(answer.len() <= packet.len() + 60);
                }
            }
            prop_assert!(answers <= 1);
            Ok(())
        })
        .unwrap();
    assert_eq!(server.around.records().len(), 6000, "one record for every packet");
}
