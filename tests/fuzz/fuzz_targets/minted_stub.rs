//! Minted stubs: whatever a text says, it is no stub of a key that made none, and a form is one form.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use stubgate_credentials::minted::{Minting, Revoked, StubKey, Verifier, looks_minted, well_formed};
use stubgate_policy::{Meaning, SourceFile, compile};

const POLICY: &str = "version: 1
agents: { a: { sources: [\"10.0.0.1/32\"] } }
credentials: { c: { stub: proxy-token-c, slots: [bearer], hosts: [a.example], source: { env: A } } }
";

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let policy = compile(&[SourceFile { name: "p".into(), text: POLICY.into() }]).unwrap().policy;
    let revoked = Revoked::new("/nowhere/revoked".into());
    Verifier::new(Arc::new(Minting { key: StubKey::new(&[7; 32]), revoked }), &policy)
});

fuzz_target!(|data: &[u8]| {
    let meaning = VERIFIER.meaning(data, UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    assert_eq!(meaning, if looks_minted(data) { Meaning::Forged } else { Meaning::Literal });
    if let Some(length) = well_formed(data) {
        assert!(looks_minted(data));
        let stub = &data[..length];
        assert!(stub.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte)));
        assert_eq!(well_formed(stub), Some(length), "what follows does not matter");
        assert_eq!(well_formed(&stub[..length - 1]), None);
    }
});
