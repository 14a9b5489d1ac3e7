use std::num::NonZeroU16;

use proptest::prelude::*;
use stubgate_policy::Host;

use super::message::{Greeting, LONGEST, Malformed, Request, Target, greeting, request};

fn connect(kind: u8, address: &[u8], port: u16) -> Vec<u8> {
    [&[5, 1, 0, kind], address, &port.to_be_bytes()].concat()
}

fn named(name: &[u8]) -> Vec<u8> {
    [&[u8::try_from(name.len()).unwrap()], name].concat()
}

fn place(host: &str, port: u16) -> Request {
    Request::Connect(Target::Place(Host::parse(host.as_bytes()).unwrap(), NonZeroU16::new(port).unwrap()))
}

#[test]
fn a_greeting_is_taken_if_it_offers_to_go_without_a_proof() {
    for (bytes, without_proof, length) in [
        (&[5, 1, 0][..], true, 3),
        (&[5, 3, 1, 2, 0], true, 5),
        (&[5, 1, 2], false, 3),
        (&[5, 2, 1, 2], false, 4),
        (&[5, 1, 0, 5, 1, 0], true, 3),
        (&[5, 1, 0xff], false, 3),
    ] {
        assert_eq!(greeting(bytes), Ok(Some((Greeting { without_proof }, length))), "{bytes:?}");
    }
    for bytes in [&[4, 1, 0][..], &[0], b"G", &[5, 0]] {
        assert_eq!(greeting(bytes), Err(Malformed), "{bytes:?}");
    }
    assert_eq!(Greeting { without_proof: true }.answer(), [5, 0]);
    assert_eq!(Greeting { without_proof: false }.answer(), [5, 0xff]);
}

#[test]
fn a_target_is_a_name_or_an_address_in_its_one_spelling() {
    let v6 = "2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets();
    for (bytes, expected) in [
        (connect(3, &named(b"open.example.test"), 443), place("open.example.test", 443)),
        (connect(3, &named(b"OPEN.Example.test."), 443), place("open.example.test", 443)),
        (connect(1, &[10, 0, 0, 5], 8006), place("10.0.0.5", 8006)),
        (connect(4, &v6, 443), place("[2001:db8::1]", 443)),
        (connect(3, &named(b"10.0.0.5"), 443), place("10.0.0.5", 443)),
        (connect(3, &named(b"[2001:db8::1]"), 443), place("[2001:db8::1]", 443)),
    ] {
        assert_eq!(request(&bytes), Ok(Some((expected, bytes.len()))), "{bytes:?}");
    }
}

/// AU-09: a resolver of the C library would take the name up to its NUL (the SOCKS filter of an agent's sandbox fell to it).
#[test]
fn odd_targets_are_no_place() {
    let long = [b'a'; 255];
    let mapped = "::ffff:10.0.0.5".parse::<std::net::Ipv6Addr>().unwrap().octets();
    for address in [
        &b"evil.test\0.open.example.test"[..],
        b"open.example.test\0",
        b"",
        b".",
        b"open.example.test:443",
        b"x@open.example.test",
        b"open%2eexample.test",
        b"open.example.test/",
        b"*.example.test",
        b"open..example.test",
        b"open.example.test..",
        b"2130706433",
        b"0x7f000001",
        b"127.1",
        b"010.0.0.1",
        b"::1",
        b"[::1",
        b"[::1%25eth0]",
        b"[::ffff:10.0.0.5]",
        "\u{f6}pen.example.test".as_bytes(),
        &long,
    ] {
        let bytes = connect(3, &named(address), 443);
        assert_eq!(request(&bytes), Ok(Some((Request::Connect(Target::Odd), bytes.len()))), "{address:?}");
    }
    let bytes = connect(4, &mapped, 443);
    assert_eq!(request(&bytes), Ok(Some((Request::Connect(Target::Odd), bytes.len()))));
    let bytes = connect(1, &[10, 0, 0, 5], 0);
    assert_eq!(request(&bytes), Ok(Some((Request::Connect(Target::Odd), bytes.len()))), "port 0");
}

#[test]
fn what_is_not_served_is_told_apart() {
    for command in [2, 3, 0, 4, 0xff] {
        let mut bytes = connect(1, &[10, 0, 0, 5], 443);
        bytes[1] = command;
        assert_eq!(request(&bytes), Ok(Some((Request::OtherCommand, 10))), "{command}");
    }
    for kind in [0, 2, 5, 0xff] {
        let bytes = connect(kind, &[10, 0, 0, 5], 443);
        assert_eq!(request(&bytes), Ok(Some((Request::OtherAddress, 4))), "{kind}");
    }
    assert_eq!(request(&[4, 1, 0, 1]), Err(Malformed));
    assert_eq!(request(&[5, 1, 9]), Err(Malformed), "the reserved byte");
}

proptest! {
    /// Byte by byte or with more behind it, a message reads as the same value, and no length is taken on trust.
    #[test]
    fn how_a_message_arrives_changes_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300), first in prop::sample::select(vec![5u8, 5, 5, 4, 0])) {
        let bytes = [&[first][..], &bytes].concat();
        for whole in [
            request(&bytes).map(|read| read.map(|(_, length)| length)),
            greeting(&bytes).map(|read| read.map(|(_, length)| length)),
        ] {
            if let Ok(Some(length)) = whole {
                prop_assert!(length <= bytes.len() && length <= LONGEST);
            }
        }
        if let Ok(Some((value, length))) = request(&bytes) {
            prop_assert_eq!(request(&bytes[..length]), Ok(Some((value, length))));
            for cut in 0..length {
                prop_assert_eq!(request(&bytes[..cut]), Ok(None));
            }
        }
        if let Ok(Some((value, length))) = greeting(&bytes) {
            prop_assert_eq!(greeting(&bytes[..length]), Ok(Some((value, length))));
            for cut in 0..length {
                prop_assert_eq!(greeting(&bytes[..cut]), Ok(None));
            }
        }
    }

    /// Whatever bytes stand as a name: what is taken as a place reads as itself again, by the same type.
    #[test]
    fn a_place_is_canonical(name in prop::collection::vec(prop_oneof![Just(b'.'), Just(0u8), Just(b'['), b'0'..=b'z', any::<u8>()], 0..256), port in any::<u16>()) {
        let bytes = connect(3, &named(&name), port);
        match request(&bytes) {
            Ok(Some((Request::Connect(Target::Place(host, got)), length))) => {
                prop_assert_eq!((length, got.get()), (bytes.len(), port));
                prop_assert_eq!(Host::parse(&name), Ok(host));
            }
            Ok(Some((Request::Connect(Target::Odd), _))) => prop_assert!(port == 0 || Host::parse(&name).is_err()),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
