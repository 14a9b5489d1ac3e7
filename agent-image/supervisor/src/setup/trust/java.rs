//! A key store of certificates as every Java reads it: the format JKS, which needs no tool to write. Only trusted certificates
//! stand in it, and its password is the one that is printed in Java's own manual: there is nothing to keep secret.
//!
//! Layout (`sun.security.provider.JavaKeyStore`), all numbers big-endian: magic, version 2, how many; for each: tag 2, alias,
//! milliseconds, `X.509`, certificate; last a SHA-1 over the password in UTF-16, the words `Mighty Aphrodite` and all before it.

use rustls_pki_types::CertificateDer;
use sha1::{Digest, Sha1};

/// What `keytool` and the image's scripts expect.
pub const PASSWORD: &str = "changeit";

const MAGIC: u32 = 0xFEED_FEED;
const VERSION: u32 = 2;
const TRUSTED_CERTIFICATE: u32 = 2;

/// The store; always the same bytes for the same certificates.
pub(crate) fn store(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let mut store = Vec::new();
    put_number(&mut store, MAGIC);
    put_number(&mut store, VERSION);
    put_length(&mut store, certificates.len());
    for (place, certificate) in certificates.iter().enumerate() {
        put_number(&mut store, TRUSTED_CERTIFICATE);
        put_text(&mut store, &format!("stubgate-{place}"));
        // No date: a second run writes the same.
        store.extend_from_slice(&[0; 8]);
        put_text(&mut store, "X.509");
        put_length(&mut store, certificate.len());
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

fn put_number(to: &mut Vec<u8>, number: u32) {
    to.extend_from_slice(&number.to_be_bytes());
}

/// Certificates are bounded far below what a length of 32 bits can say.
fn put_length(to: &mut Vec<u8>, length: usize) {
    put_number(to, u32::try_from(length).unwrap_or(u32::MAX));
}

/// Names of a few ASCII letters.
fn put_text(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend_from_slice(text.as_bytes());
}
