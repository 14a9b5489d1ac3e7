//! The one place that names the crypto library.
//!
//! Everything else takes what it needs from here, so that exchanging aws-lc-rs touches one file. It refuses to install
//! a process-wide default: each configuration is built with an explicit provider.

use std::sync::{Arc, OnceLock};

use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::SigningKey;
use rustls_pki_types::PrivateKeyDer;

/// The crypto provider of all of stubgate: aws-lc-rs, TLS 1.2 and 1.3, X25519MLKEM768 preferred.
///
/// AES-128-GCM with SHA-256 comes first, as large providers have it: as far out of reach as AES-256, and cheaper, since
/// common processors hash SHA-256 but not SHA-384 in hardware, which a handshake does some thirty times.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| {
            let mut provider = aws_lc_rs::default_provider();
            provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
            Arc::new(provider)
        })
        .clone()
}

/// Loads a key for TLS by reference, so that the caller can wipe the encoded form afterwards.
pub(crate) fn tls_key(der: &PrivateKeyDer<'_>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
    aws_lc_rs::sign::any_supported_type(der)
}

/// A ticketer with fresh keys that rotate every six hours.
pub(crate) fn ticketer() -> Result<Arc<dyn rustls::server::ProducesTickets>, rustls::Error> {
    aws_lc_rs::Ticketer::new()
}

/// Random bytes from the provider's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], rustls::Error> {
    let mut bytes = [0; N];
    provider().secure_random.fill(&mut bytes).map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
    Ok(bytes)
}

/// A positive certificate serial with 126 random bits (RFC 5280 4.1.2.2 wants at most 20 octets; CAs at least 64 bits).
pub(crate) fn serial() -> Result<rcgen::SerialNumber, rustls::Error> {
    let mut bytes: [u8; 16] = random()?;
    let [first, ..] = &mut bytes;
    *first = (*first & 0x7f) | 0x40;
    Ok(rcgen::SerialNumber::from_slice(&bytes))
}
