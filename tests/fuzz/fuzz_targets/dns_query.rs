//! DNS: any message of an agent is answered by at most one message that another implementation reads, of bounded size, to
//! the question that was asked, with nothing but our own addresses; any answer of a zone's server is passed on whole and
//! within its zone, or not at all.
//!
//! The first byte chooses: bit 0 TCP, bits 1 and 2 who asks, bit 3 an answer of a zone's server instead.
#![no_main]

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{RData, RecordType};
use libfuzzer_sys::fuzz_target;
use stubgate_dns::{
    DnsConfig, ForwardZone, Handled, Handler, NameBudget, NameBudgets, QueryRecord, Surroundings, Transport,
};
use stubgate_policy::{AgentId, Name, Policy, SourceFile, compile};

const POLICY: &str = "version: 1
agents:
  bot: { sources: [10.0.0.1/32] }
  shut: { sources: [10.0.0.2/32], quarantined: true }
rules:
  - { name: r, agents: [bot, shut], hosts: [api.example, '**.wild.example'], methods: [GET] }
dns:
  - { agents: [bot], names: [db.zone.example, '*.open.zone.example'], types: [A, SRV, TXT] }
";
const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// A question for db.zone.example A.
const QUESTION: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02db\x04zone\x07example\x00\x00\x01\x00\x01";

struct Around {
    policy: Arc<Policy>,
    names: NameBudgets,
}

impl Surroundings for Around {
    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    fn record(&self, _: &Policy, queries: &[QueryRecord<'_>]) -> bool {
        let is_one_line = |name: &str| name.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
        assert!(queries.iter().all(|query| query.name.is_none_or(is_one_line)));
        true
    }

    fn admits(&self, policy: &Policy, agent: AgentId, name: &Name) -> bool {
        let Some(wild) = policy.wild_part(agent, name) else { return true };
        self.names.spend(policy.agent(agent).name(), name.as_str(), wild, Instant::now()).is_ok()
    }
}

fn around() -> Around {
    let files = [SourceFile { name: "fuzz".into(), text: POLICY.into() }];
    let names = NameBudgets::new(NameBudget::default());
    Around { policy: Arc::new(compile(&files).expect("a policy").policy), names }
}

fn zone() -> Name {
    Name::parse(b"zone.example").expect("a name")
}

fn handler() -> Handler {
    let config = DnsConfig {
        advertise: vec![IpAddr::V4(OURS)],
        forward: vec![ForwardZone { zones: vec![zone()], to: vec![SocketAddr::from((OURS, 53))] }],
        queries_per_second: 10_000_000,
        burst: 10_000_000,
        ..DnsConfig::default()
    };
    Handler::new(&config, Instant::now())
}

thread_local! {
    static SERVER: RefCell<(Handler, Around)> = RefCell::new((handler(), around()));
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, packet)) = data.split_first() else { return };
    if mode & 8 == 8 {
        return vetted(packet);
    }
    let transport = if mode & 1 == 1 { Transport::Tcp } else { Transport::Udp };
    let agent = (mode >> 1) & 3;
    let peer = SocketAddr::from((Ipv4Addr::new(10, 0, 0, agent), 4711));
    let handled = SERVER.with_borrow_mut(|(handler, around)| handler.handle(around, (peer, transport), packet, Instant::now()));
    let answer = match handled {
        Handled::Here(Some(answer)) => answer,
        Handled::Here(None) => return,
        Handled::Forward => {
            assert_eq!(agent, 1, "only what policy grants is forwarded");
            let asked = Message::from_vec(packet).expect("what is forwarded can be read");
            let name = asked.queries[0].name().to_ascii().to_ascii_lowercase();
            assert!(name == "db.zone.example." || name.ends_with(".open.zone.example."), "{name}");
            return;
        }
    };
    assert!(packet.len() >= 12 && answer[..2] == packet[..2] && packet[2] & 0x80 == 0, "no answer to an answer");
    assert!(answer.len() <= 512 && answer.len() <= 2 * packet.len() + 60, "{} for {}", answer.len(), packet.len());
    let read = Message::from_vec(&answer).expect("what we say can be read");
    assert_eq!(read.metadata.message_type, MessageType::Response);
    for record in &read.answers {
        assert_eq!(agent, 1, "only to the agent that is allowed");
        assert_eq!(Some(&record.name), read.queries.first().map(|query| query.name()));
        match &record.data {
            RData::A(address) => assert_eq!(address.0, OURS),
            data => assert_eq!(data.record_type(), RecordType::HINFO),
        }
    }
});

fn vetted(packet: &[u8]) {
    let Some(answer) = Handler::vet(QUESTION, packet, &zone()) else { return };
    let read = Message::from_vec(&answer).expect("what we pass on can be read");
    let zone = hickory_proto::rr::Name::from_ascii("zone.example.").expect("a name");
    assert_eq!(read.metadata.id, 0x1234);
    for record in read.answers.iter().chain(&read.authorities).chain(&read.additionals) {
        assert!(zone.zone_of(&record.name), "{record}");
        if let RData::A(address) = &record.data {
            assert!(!address.0.is_loopback() && !address.0.is_link_local(), "{record}");
        }
    }
}
