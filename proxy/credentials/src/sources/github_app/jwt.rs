//! The JSON Web Token by which a GitHub App says who it is: RS256 (RFC 7515, RFC 7518 §3.3), for ten minutes at most.

use std::time::SystemTime;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// How far back it is dated, for clocks that differ.
const BACK: u64 = 60;
/// How long it is good from then: GitHub takes no longer ones.
const LIFE: u64 = 10 * 60;

/// A token of the app. Its identifier is letters, digits, `.`, `_` and `-`.
pub(super) fn signed(key: &KeyPair, app_id: &str, now: SystemTime) -> Option<Zeroizing<Vec<u8>>> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let issued = now.saturating_sub(BACK);
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let claims = format!(r#"{{"iat":{issued},"exp":{},"iss":"{app_id}"}}"#, issued + LIFE);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).ok()?;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    Some(Zeroizing::new(format!("{message}.{signature}").into_bytes()))
}
