//! A key store of certificates as every Java reads it: the format JKS, which needs no tool to write. Nothing in it is secret.
//!
//! Layout (`sun.security.provider.JavaKeyStore`), all numbers big-endian: magic, version 2, how many; for each: tag 2, alias,
//! milliseconds, `X.509`, certificate; last a SHA-1 over the password in UTF-16, the words `Mighty Aphrodite` and all before it.

use rustls_pki_types::CertificateDer;
use sha1::{Digest, Sha1};

/// What Java's own manual prints.
const PASSWORD: &str = "changeit";
const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;

/// The store.
pub(super) fn store(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let mut store = Vec::new();
    let number = |store: &mut Vec<u8>, number: usize| {
        store.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes());
    };
    let text = |store: &mut Vec<u8>, text: &str| {
        store.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        store.extend_from_slice(text.as_bytes());
    };
    store.extend_from_slice(&MAGIC.to_be_bytes());
    store.extend_from_slice(&VERSION.to_be_bytes());
    number(&mut store, certificates.len());
    for (place, certificate) in certificates.iter().enumerate() {
        store.extend_from_slice(&TRUSTED_CERTIFICATE.to_be_bytes());
        text(&mut store, &format!("stubgate-{place}"));
        store.extend_from_slice(&[0; 8]);
        text(&mut store, "X.509");
        number(&mut store, certificate.len());
        store.extend_from_slice(certificate);
    }
    let mut digest = Sha1::new();
    for unit in PASSWORD.encode_utf16() {
        digest.update(unit.to_be_bytes());
    }
    digest.update(b"Mighty Aphrodite");
    digest.update(&store);
    store.extend_from_slice(&digest.finalize());
    store
}
