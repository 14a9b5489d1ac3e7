//! Credential places of a query: a stub is found however the query spells it, and what stands under a customary key is taken
//! for a credential; nothing else is.
#![no_main]

use std::sync::LazyLock;

use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use stubgate_policy::{Authority, Policy, Scheme, SourceFile, compile};
use stubgate_proxy::snapshot::StubScanner;
use stubgate_proxy::swap::{Place, Places};

const STUB: &[u8] = b"stub-token";
const POLICY: &str = r#"version: 1
agents:
  a: { sources: ["10.0.0.1/32"] }
credentials:
  c:
    stub: stub-token
    slots: ["query:slot"]
    hosts: [api.test]
    source: { file: /nowhere }
rules:
  - { name: r, agents: [a], hosts: [api.test], methods: [any], credentials: [c] }
"#;

static SET_UP: LazyLock<(Policy, StubScanner, Authority)> = LazyLock::new(|| {
    let compiled = compile(&[SourceFile { name: "policy".into(), text: POLICY.into() }]).expect("the policy is fine");
    let stubs = StubScanner::new(&compiled.policy);
    (compiled.policy, stubs, Authority::parse(Scheme::Https, b"api.test").expect("a host"))
});

fuzz_target!(|query: &[u8]| {
    let (policy, stubs, authority) = &*SET_UP;
    let places = Places::find(policy, authority, stubs, "GET", b"/", Some(query), &HeaderMap::new());
    let Ok(places) = places else { panic!("a query is never malformed") };
    let found: Vec<(Place, Vec<u8>)> = places
        .tokens()
        .iter()
        .enumerate()
        .map(|(at, token)| (places.place(at).expect("its place").clone(), token.text.to_vec()))
        .collect();
    // As a server's form decoder reads it.
    let mut expected = Vec::new();
    let mut has_stub = false;
    for pair in query.split(|&b| b == b'&') {
        let equals = pair.iter().position(|&b| b == b'=').unwrap_or(pair.len());
        let name = decoded(&pair[..equals]);
        let value = decoded(pair.get(equals + 1..).unwrap_or_default());
        let is_key = [&b"key"[..], b"token", b"access_token", b"slot"].contains(&&*name);
        has_stub |= contains(&name) || contains(&value) && !(is_key && value == STUB);
        if is_key {
            expected.push((Place::Query(String::from_utf8(name).expect("ASCII").into()), value));
        }
    }
    let named: Vec<_> = found.iter().filter(|(place, _)| *place != Place::Elsewhere).cloned().collect();
    assert_eq!(named, expected);
    let is_elsewhere = found.iter().any(|(place, _)| *place == Place::Elsewhere);
    assert!(is_elsewhere || !has_stub, "a stub was missed");
    assert!(!is_elsewhere || contains(query) || contains(&decoded(query)), "a stub that is not there");
});

fn contains(bytes: &[u8]) -> bool {
    bytes.windows(STUB.len()).any(|window| window.eq_ignore_ascii_case(STUB))
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        let is_hex = |two: &&str| two.bytes().all(|b| b.is_ascii_hexdigit());
        match digits.filter(is_hex).and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(value) if byte == b'%' => {
                out.push(value);
                at += 3;
            }
            _ => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    out
}
