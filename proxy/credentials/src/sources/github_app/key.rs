//! An RSA private key out of PEM (RFC 7468): PKCS#1, as GitHub gives it, or PKCS#8.

use aws_lc_rs::rsa::KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Why a text is no private key. Never a byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyProblem {
    #[error("is not PEM: it should begin with `-----BEGIN RSA PRIVATE KEY-----`, as GitHub gives it")]
    NotPem,
    #[error("is a private key with a passphrase; write it without one (openssl rsa -in OLD -out NEW)")]
    Encrypted,
    #[error("is PEM, but of no RSA private key")]
    Other,
    #[error("is damaged, or an RSA key of fewer than 2048 bits")]
    Damaged,
}

/// The first private key in a text.
pub(super) fn read(text: &[u8]) -> Result<KeyPair, KeyProblem> {
    let text = std::str::from_utf8(text).map_err(|_| KeyProblem::NotPem)?;
    let (_, rest) = text.split_once("-----BEGIN ").ok_or(KeyProblem::NotPem)?;
    let (label, rest) = rest.split_once("-----").ok_or(KeyProblem::NotPem)?;
    let (body, _) = rest.split_once("-----END ").ok_or(KeyProblem::NotPem)?;
    if label == "ENCRYPTED PRIVATE KEY" || body.contains("ENCRYPTED") {
        return Err(KeyProblem::Encrypted);
    }
    let read = match label {
        "RSA PRIVATE KEY" => KeyPair::from_der,
        "PRIVATE KEY" => KeyPair::from_pkcs8,
        _ => return Err(KeyProblem::Other),
    };
    let mut written = Zeroizing::new(Vec::with_capacity(body.len()));
    written.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; written.len()]);
    let length = STANDARD.decode_slice(written.as_slice(), &mut der).map_err(|_| KeyProblem::Damaged)?;
    read(der.get(..length).ok_or(KeyProblem::Damaged)?).map_err(|_| KeyProblem::Damaged)
}
