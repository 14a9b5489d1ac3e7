use hickory_proto::op::{Edns as HickoryEdns, Message, MessageType, OpCode, Query as HickoryQuery};
use hickory_proto::rr::{Name, RData, RecordType};
use proptest::prelude::*;

use super::{query::Edns, *};

fn query(name: &Name, kind: u16, payload: Option<u16>) -> Vec<u8> {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(HickoryQuery::query(name.clone(), RecordType::from(kind)));
    if let Some(payload) = payload {
        let mut edns = HickoryEdns::new();
        edns.set_max_payload(payload);
        edns.set_dnssec_ok(true);
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

fn ascii(text: &str, payload: Option<u16>) -> Vec<u8> {
    query(&Name::from_ascii(text).unwrap(), number::A, payload)
}

fn on_wire(name: &Name) -> Vec<u8> {
    name.iter().flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label].concat()).chain([0]).collect()
}

fn addresses() -> Addresses {
    Addresses::new(
        &["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap(), "192.0.2.2".parse().unwrap()],
        60,
        10,
    )
}

#[test]
fn reads_a_question_with_and_without_edns() {
    let packet = ascii("API.GitHub.com.", None);
    let read = Query::parse(&packet).unwrap();
    assert_eq!(read.header, Header { id: 0x1234, opcode: 0, recursion_desired: true, checking_disabled: false });
    assert_eq!((read.question.kind, read.question.class, read.edns), (1, 1, None));
    assert_eq!(read.question.name, b"\x03API\x06GitHub\x03com\x00");
    assert_eq!(read.udp_limit(), 512);
    let packet = ascii("a.", Some(4096));
    let read = Query::parse(&packet).unwrap();
    assert_eq!(read.edns, Some(Edns { payload: 4096, version: 0, dnssec_ok: true }));
    assert_eq!(read.udp_limit(), 1232);
    assert_eq!(Query::parse(&ascii("a.", Some(100))).unwrap().udp_limit(), 512);
}

#[test]
fn is_mute_towards_answers_and_fragments_of_headers() {
    let mut packet = ascii("a.", None);
    for length in 0..12 {
        assert_eq!(Query::parse(&packet[..length]), Err(Fault::Mute));
    }
    packet[2] |= 0x80;
    assert_eq!(Query::parse(&packet), Err(Fault::Mute));
}

#[test]
fn names_the_fault_of_a_message_that_is_no_query() {
    let plain = ascii("a.b.", None);
    let edns = ascii("a.b.", Some(1232));
    let end = plain.len();
    let change = |packet: &[u8], at: usize, bytes: &[u8]| {
        let mut packet = packet.to_vec();
        packet[at..at + bytes.len()].copy_from_slice(bytes);
        packet
    };
    let more = |packet: &[u8], bytes: &[u8]| [packet, bytes].concat();
    let cases: Vec<(&str, Vec<u8>, Rcode)> = vec![
        ("opcode STATUS", change(&plain, 2, &[0x10]), Rcode::NotImplemented),
        ("opcode NOTIFY", change(&plain, 2, &[0x20]), Rcode::NotImplemented),
        ("opcode UPDATE", change(&plain, 2, &[0x28]), Rcode::NotImplemented),
        ("no question", change(&plain[..12], 4, &[0, 0]), Rcode::FormatError),
        ("two questions", change(&more(&plain, &plain[12..]), 4, &[0, 2]), Rcode::FormatError),
        ("thirty questions", change(&plain, 4, &[0, 30]), Rcode::FormatError),
        ("an answer record", change(&plain, 6, &[0, 1]), Rcode::FormatError),
        ("an authority record", change(&plain, 8, &[0, 1]), Rcode::FormatError),
        ("a missing additional record", change(&plain, 10, &[0, 1]), Rcode::FormatError),
        ("two additional records", change(&more(&edns, &edns[end..]), 10, &[0, 2]), Rcode::FormatError),
        ("an additional record that is not OPT", change(&edns, end + 1, &[0, 1]), Rcode::FormatError),
        (
            "OPT with a name",
            more(&change(&edns[..end], 10, &[0, 1]), b"\x01a\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"),
            Rcode::FormatError,
        ),
        ("OPT cut short", edns[..edns.len() - 1].to_vec(), Rcode::FormatError),
        (
            "OPT with an option longer than itself",
            more(&change(&edns, edns.len() - 1, &[4]), &[0, 10, 0, 8]),
            Rcode::FormatError,
        ),
        ("OPT with half an option", more(&change(&edns, edns.len() - 1, &[2]), &[0, 10]), Rcode::FormatError),
        ("bytes after the question", more(&plain, b"x"), Rcode::FormatError),
        ("bytes after OPT", more(&edns, b"x"), Rcode::FormatError),
        ("a pointer to itself", more(&plain[..12], b"\xc0\x0c\x00\x01\x00\x01"), Rcode::FormatError),
        ("a pointer into the header", more(&plain[..12], b"\xc0\x04\x00\x01\x00\x01"), Rcode::FormatError),
        ("a label type of old", more(&plain[..12], b"\x41a\x00\x00\x01\x00\x01"), Rcode::FormatError),
        ("a name without an end", more(&plain[..12], b"\x01a"), Rcode::FormatError),
        ("half a type", more(&plain[..12], b"\x01a\x00\x00"), Rcode::FormatError),
        (
            "a name of 256 bytes",
            more(
                &plain[..12],
                &[
                    &[b"\x3f", [b'a'; 63].as_slice()].concat().repeat(3)[..],
                    b"\x3e",
                    &[b'a'; 62],
                    b"\x00",
                    &[0, 1, 0, 1],
                ]
                .concat(),
            ),
            Rcode::FormatError,
        ),
        ("more than is read", more(&edns, &[0; MAX_QUERY]), Rcode::FormatError),
    ];
    for (what, packet, code) in cases {
        match Query::parse(&packet) {
            Err(Fault::Answer(header, found)) => assert_eq!((header.id, found), (0x1234, code), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn takes_the_longest_name_and_the_most_labels() {
    let long = [&[b"\x3f", [b'a'; 63].as_slice()].concat().repeat(3)[..], b"\x3d", &[b'a'; 61], b"\x00"].concat();
    let many = [b"\x01a".repeat(127), vec![0]].concat();
    for name in [long, many] {
        assert_eq!(name.len(), 255);
        let packet = [b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", &name[..], &[0, 1, 0, 1]].concat();
        let read = Query::parse(&packet).unwrap();
        assert_eq!(read.question.name, name);
        assert_eq!(joined(read.question.name, &mut [0; 255]).unwrap().len(), 253);
    }
}

#[test]
fn reads_transfers_whatever_they_carry() {
    let mut packet = query(&Name::from_ascii("a.").unwrap(), number::IXFR, None);
    packet[9] = 1;
    packet.extend_from_slice(b"\x00\x00\x06");
    assert_eq!(Query::parse(&packet).unwrap().question.kind, number::IXFR);
}

#[test]
fn joined_labels_are_those_of_the_wire() {
    let text = |wire: &[u8]| joined(wire, &mut [0; 255]).map(|name| String::from_utf8(name.to_vec()).unwrap());
    assert_eq!(text(b"\x03ApI\x04_x-1\x00").as_deref(), Some("ApI._x-1"));
    assert_eq!(text(b"\x00").as_deref(), Some(""));
    assert_eq!(text(b"\x08api.test\x00"), None);
    assert_eq!(text(b"\x01.\x00"), None);
}

#[test]
fn presents_every_name_as_one_printable_line() {
    let text = |wire: &[u8]| {
        let mut text = String::from("before ");
        present(wire, &mut text);
        text.split_off(7)
    };
    assert_eq!(text(b"\x03WwW\x04test\x00"), "WwW.test");
    assert_eq!(text(b"\x08api.test\x00"), "api\\.test");
    assert_eq!(text(b"\x04\x00\n\x1b\xff\x01\\\x00"), "\\000\\010\\027\\255.\\\\");
    assert_eq!(text(b"\x00"), ".");
}

#[test]
fn writes_answers_that_another_implementation_reads() {
    let packet = ascii("ApI.test.", Some(1232));
    let read = Query::parse(&packet).unwrap();
    let written = |code, content, error, limit| {
        let mut out = b"xx".to_vec();
        Answer { query: &read, code, content, error }.write(&addresses(), limit, &mut out);
        (Message::from_vec(&out[2..]).unwrap(), out.len() - 2)
    };

    let (message, _) = written(Rcode::NoError, Content::V4, None, 1232);
    assert_eq!(message.queries[0].name().to_ascii(), "ApI.test.");
    assert!(
        message.metadata.authoritative && message.metadata.recursion_available && message.metadata.recursion_desired
    );
    assert_eq!(
        message.answers.iter().map(|r| (r.data.to_string(), r.ttl)).collect::<Vec<_>>(),
        [("192.0.2.1".into(), 60), ("192.0.2.2".into(), 60)]
    );
    assert!(message.answers.iter().all(|record| record.name.to_ascii() == "ApI.test."));
    assert_eq!(message.edns.as_ref().unwrap().max_payload(), 1232);
    assert!(message.edns.unwrap().flags().dnssec_ok);

    let (message, _) = written(Rcode::NoError, Content::V6, None, 1232);
    assert_eq!(message.answers[0].data.to_string(), "2001:db8::1");
    let (message, _) = written(Rcode::NoError, Content::Any, None, 1232);
    assert!(matches!(&message.answers[0].data, RData::HINFO(info) if &*info.cpu == b"RFC8482"));

    let (message, length) = written(Rcode::NoSuchName, Content::Absence, Some(ExtendedError::Blocked), 1232);
    assert_eq!(u16::from(message.metadata.response_code), 3);
    let soa = &message.authorities[0];
    assert_eq!((soa.name.to_ascii().as_str(), soa.ttl), (".", 10));
    assert!(matches!(&soa.data, RData::SOA(soa) if soa.minimum == 10));
    assert!(length <= 2 * packet.len() + 60);

    let (message, length) = written(Rcode::NoError, Content::V4, None, 40);
    assert!(message.metadata.truncation && message.answers.is_empty() && length <= 40);
    let (message, _) = written(Rcode::BadVersion, Content::Nothing, None, 1232);
    assert_eq!(u16::from(message.metadata.response_code), 16);
}

#[test]
fn an_extended_error_stands_in_opt_with_code_and_text() {
    let packet = ascii("a.", Some(1232));
    let read = Query::parse(&packet).unwrap();
    let mut out = Vec::new();
    Answer { query: &read, code: Rcode::NoSuchName, content: Content::Nothing, error: Some(ExtendedError::Blocked) }
        .write(&addresses(), 512, &mut out);
    assert!(out.ends_with(b"\x00\x0f\x00\x17\x00\x0fnot allowed by policy"));
    assert!(Message::from_vec(&out).is_ok());
    // RFC 8914 section 2: only where the client speaks EDNS.
    let packet = ascii("a.", None);
    let read = Query::parse(&packet).unwrap();
    let mut out = Vec::new();
    Answer { query: &read, code: Rcode::Refused, content: Content::Nothing, error: Some(ExtendedError::Prohibited) }
        .write(&addresses(), 512, &mut out);
    assert_eq!(out.len(), packet.len());
}

fn wire_name() -> impl Strategy<Value = Name> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..=63), 0..6)
        .prop_filter_map("too long", |labels| Name::from_labels(labels).ok())
}

/// Bytes that are nearly a query: a real one with some bytes changed, cut or added.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    (
        wire_name(),
        any::<u16>(),
        proptest::option::of(any::<u16>()),
        proptest::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        any::<usize>(),
        proptest::collection::vec(any::<u8>(), 0..4),
    )
        .prop_map(|(name, kind, payload, changes, cut, added)| {
            let mut packet = query(&name, kind, payload);
            for (at, byte) in changes {
                let at = at % packet.len();
                packet[at] = byte;
            }
            if cut % 4 == 0 {
                packet.truncate(cut % packet.len());
            }
            packet.extend_from_slice(&added);
            packet
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn reads_what_another_implementation_wrote(name in wire_name(), kind in any::<u16>(), payload in proptest::option::of(any::<u16>())) {
        prop_assume!(!matches!(kind, number::AXFR | number::IXFR));
        let packet = query(&name, kind, payload);
        let read = Query::parse(&packet).unwrap();
        let labels = on_wire(&name);
        prop_assert_eq!(read.question.name, &labels[..]);
        prop_assert_eq!(read.question.kind, kind);
        prop_assert_eq!(read.edns.map(|edns| edns.dnssec_ok), payload.map(|_| true));
    }

    #[test]
    fn whatever_is_read_another_implementation_reads_alike(packet in prop_oneof![nearly(), proptest::collection::vec(any::<u8>(), 0..600)]) {
        if let Ok(read) = Query::parse(&packet) && !matches!(read.question.kind, number::AXFR | number::IXFR) {
            let oracle = Message::from_vec(&packet).unwrap();
            prop_assert_eq!(oracle.queries.len(), 1);
            let question = &oracle.queries[0];
            let labels = on_wire(question.name());
            prop_assert_eq!(read.question.name, &labels[..]);
            prop_assert_eq!(read.question.kind, u16::from(question.query_type()));
            prop_assert_eq!(read.question.class, u16::from(question.query_class()));
            prop_assert_eq!(read.header.id, oracle.metadata.id);
            prop_assert_eq!(read.header.recursion_desired, oracle.metadata.recursion_desired);
            prop_assert_eq!(read.edns.map(|edns| edns.version), oracle.edns.as_ref().map(|edns| edns.version()));
            let mut text = String::new();
            present(read.question.name, &mut text);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_graphic()));
            for content in [Content::V4, Content::V6, Content::Any, Content::Absence, Content::Nothing] {
                let mut out = Vec::new();
                Answer { query: &read, code: Rcode::NoSuchName, content, error: Some(ExtendedError::Blocked) }
                    .write(&addresses(), read.udp_limit(), &mut out);
                prop_assert!(out.len() <= read.udp_limit());
                prop_assert!(Message::from_vec(&out).is_ok());
            }
        }
    }
}
