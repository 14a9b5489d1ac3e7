//! What an agent says in names that a wildcard allows is bounded (DN-02, DN-17, TL-22), and what comes back for an allowed
//! name is ours alone (DN-07, DN-19, DN-22).

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};
use stubgate_dns::{NameBudget, QueryOutcome};
use stubgate_policy::Reason;

use crate::setup::{DEVBOT, Origin, Server, answer, config, forwarding, question};

/// Half a minute brings one name back: a test has that long.
const SMALL: NameBudget = NameBudget { names: 2, label_bytes: 1 << 20, label_bits: 1 << 20 };

#[test]
fn new_names_under_a_wildcard_are_refused_above_the_budget_and_known_ones_are_not() {
    let server = Server::start_with(config(), SMALL);
    let client = server.client(DEVBOT);
    for at in 0..2 {
        assert_eq!(client.ask(&format!("n{at}.wild.test."), RecordType::A).answers.len(), 1);
    }
    let refused = client.ask("one-more.wild.test.", RecordType::A);
    assert_eq!((refused.metadata.response_code, refused.answers.len()), (ResponseCode::Refused, 0), "DN-02");
    let packet = client.exchange(&question("and-more.wild.test.", RecordType::AAAA).to_vec().unwrap());
    assert!(packet.windows(18).any(|window| window == b"too many new names"), "an extended error says why");
    assert_eq!(client.ask("N1.wild.test.", RecordType::AAAA).answers.len(), 1, "in any spelling");
    for name in ["api.github.com.", "plain.test."] {
        assert_eq!(client.ask(name, RecordType::A).answers.len(), 1, "{name} is named by a rule");
    }
    assert_eq!(client.ask("evil.test.", RecordType::A).metadata.response_code, ResponseCode::NXDomain);
    let over: Vec<_> =
        server.around.records().into_iter().filter(|record| record.outcome == QueryOutcome::OverBudget).collect();
    assert_eq!(over.len(), 2);
    assert!(over.iter().all(|record| record.reason == Some(Reason::LimitReached)));
}

#[test]
fn what_long_and_dense_labels_carry_is_bounded_too() {
    // As a tunnel writes them: 60 characters of base32 a label, three labels a name.
    let name = |seed: usize| {
        let mut state = u64::try_from(seed).unwrap() + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"abcdefghijklmnopqrstuvwxyz234567"[usize::try_from(state >> 59).unwrap()]
        };
        let text: Vec<u8> = (0..180).map(|_| next()).collect();
        let labels: Vec<&str> = text.chunks(60).map(|label| std::str::from_utf8(label).unwrap()).collect();
        format!("{}.wild.test.", labels.join("."))
    };
    let server = Server::start_with(config(), NameBudget::default());
    let client = server.client(DEVBOT);
    let passed = (0..200).filter(|at| !client.ask(&name(*at), RecordType::A).answers.is_empty()).count();
    assert!((5..=12).contains(&passed), "{passed} of 200 names, each with 180 bytes of data");
}

#[test]
fn names_that_a_forwarded_wildcard_allows_are_bounded_before_they_leave() {
    let origin = Origin::start(|_, asked| vec![answer(asked, &["10.42.0.7"], 5).to_vec().unwrap()]);
    let server = Server::start_with(forwarding(&[origin.at]), SMALL);
    let client = server.client(DEVBOT);
    for at in 0..20 {
        client.ask(&format!("d{at}.open.cluster.local."), RecordType::A);
    }
    assert_eq!(origin.asked().len(), 2, "law 6: what is over budget is sent to nobody");
    assert_eq!(client.ask("db.ns.svc.cluster.local.", RecordType::A).answers.len(), 1);
}

#[test]
fn an_allowed_name_is_answered_with_our_addresses_whatever_its_zone_says_and_nobody_is_asked() {
    // Even a zone that is forwarded: a host rule wins, and the zone's servers are not asked.
    let origin = Origin::start(|_, asked| vec![answer(asked, &["198.51.100.66"], 5).to_vec().unwrap()]);
    let mut config = forwarding(&[origin.at]);
    config.forward[0].zones.push(stubgate_policy::Name::parse(b"wild.test").unwrap());
    config.forward[0].zones.push(stubgate_policy::Name::parse(b"com").unwrap());
    let server = Server::start(config);
    let client = server.client(DEVBOT);
    for name in ["api.github.com.", "x.wild.test.", "a.b.wild.test.", "plain.test."] {
        for (kind, ours) in [(RecordType::A, "192.0.2.53"), (RecordType::AAAA, "2001:db8::53")] {
            let reply = client.ask(name, kind);
            let told: Vec<String> = reply.answers.iter().map(|record| record.data.to_string()).collect();
            assert_eq!(told, [ours], "{name} {kind}");
            assert!(
                reply.answers.iter().all(|record| record.record_type() == kind && record.name == reply.queries[0].name)
            );
            assert!(reply.authorities.is_empty() && reply.additionals.is_empty());
        }
        for kind in [RecordType::CNAME, RecordType::HTTPS, RecordType::SVCB, RecordType::TXT, RecordType::NS] {
            let reply = client.ask(name, kind);
            assert_eq!(
                (reply.metadata.response_code, reply.answers.len()),
                (ResponseCode::NoError, 0),
                "{name} {kind}"
            );
        }
    }
    assert_eq!(origin.asked(), []);
}

#[test]
fn an_answer_over_udp_is_no_larger_than_what_a_client_without_a_cookie_may_be_sent() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    for name in ["api.github.com.", "x.wild.test.", "evil.test.", "github.com."] {
        for kind in [RecordType::A, RecordType::AAAA, RecordType::ANY, RecordType::TXT, RecordType::HTTPS] {
            let asked = question(name, kind).to_vec().unwrap();
            let answer = client.exchange(&asked);
            let length = answer.len();
            assert!(
                length <= 2 * asked.len() + 33 && length <= 512,
                "DN-13 {name} {kind}: {length} for {}",
                asked.len()
            );
            Message::from_vec(&answer).unwrap();
        }
    }
}

#[test]
fn reverse_names_signatures_and_tunnel_types_are_answered_here_with_nothing() {
    let server = Server::start(config());
    let client = server.client(DEVBOT);
    for name in ["53.2.0.192.in-addr.arpa.", "1.0.42.10.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."] {
        assert_eq!(client.ask(name, RecordType::PTR).metadata.response_code, ResponseCode::NXDomain, "DN-24 {name}");
    }
    // NULL, RRSIG, NAPTR, TLSA, URI, and a private one.
    for number in [10, 46, 35, 52, 256, 65_399] {
        let reply = client.ask("x.wild.test.", RecordType::from(number));
        assert_eq!((reply.metadata.response_code, reply.answers.len()), (ResponseCode::NoError, 0), "DN-03 {number}");
    }
}
