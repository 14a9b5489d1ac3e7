//! Writing PEM (RFC 7468) without leaving copies of a key behind.
//!
//! Reading goes through `rustls_pki_types`; writing is done here because the usual encoders keep unwiped buffers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize as _, Zeroizing};

const LINE: usize = 64;

/// PEM of one certificate.
pub(crate) fn certificate(der: &[u8]) -> String {
    let mut out = String::new();
    encode(&mut out, "CERTIFICATE", der);
    out
}

/// PEM of a PKCS #8 private key, in memory that is wiped on drop.
pub(crate) fn private_key(pkcs8: &[u8]) -> Zeroizing<String> {
    // Reserved up front: growing would leave a copy in freed memory.
    let mut out = Zeroizing::new(String::with_capacity(pkcs8.len() * 2 + 128));
    encode(&mut out, "PRIVATE KEY", pkcs8);
    out
}

fn encode(out: &mut String, label: &str, der: &[u8]) {
    let mut text = STANDARD.encode(der);
    out.push_str("-----BEGIN ");
    out.push_str(label);
    out.push_str("-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    text.zeroize();
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};

    use super::*;

    #[test]
    fn reads_back_what_it_writes_at_every_length_around_a_line() {
        for length in [1, 47, 48, 49, 95, 96, 97, 300] {
            let der: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let read = CertificateDer::from_pem_slice(certificate(&der).as_bytes()).unwrap();
            assert_eq!(read.as_ref(), der);
            let key = PrivatePkcs8KeyDer::from_pem_slice(private_key(&der).as_bytes()).unwrap();
            assert_eq!(key.secret_pkcs8_der(), der);
            assert!(certificate(&der).lines().all(|line| line.len() <= LINE));
        }
    }
}
