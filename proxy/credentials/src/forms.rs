//! The forms in which an origin may send a credential back.
//!
//! As it is; in base64, standard and URL-safe, at each of the three alignments that what stands before it can give it;
//! and in hexadecimal, in any case. Each of them is also found percent- or JSON-escaped, which is the scrubber's
//! doing. Of base64, only the characters that depend on the secret alone are a form: so it is found with anything before
//! and behind it, as in the pair of Basic, `base64(user:secret)`. What remains of it are at most four bits at either end.
//!
//! A form is replaced by the same form of the stub, cut or filled with `*` to the length of the secret, so that both are
//! equally long in every form.
//!
//! Not claimed, because whoever can write these can write anything: other encodings, one inside the other, a secret
//! reversed or in pieces, and base64 in several lines.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use stubgate_scrub::{Builder, Letters, Owner};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// What fills a stub that is shorter than its secret.
const FILLER: u8 = b'*';

/// Adds all forms of a secret.
pub(crate) fn add(builder: &mut Builder, owner: Owner, secret: &Secret, stub: &str) {
    let secret = secret.reveal();
    let mut shown: Vec<u8> = stub.bytes().take(secret.len()).collect();
    shown.resize(secret.len(), FILLER);
    for ((letters, needle), (_, replacement)) in forms(secret).into_iter().zip(forms(&shown)) {
        // No form of a secret is shorter than the secret, and the two are equally long.
        let _ = builder.needle(owner, letters, needle, replacement.to_vec());
    }
}

/// As many forms of equal lengths for all values of one length.
fn forms(value: &[u8]) -> Vec<(Letters, Zeroizing<Vec<u8>>)> {
    let mut forms = vec![(Letters::Exact, Zeroizing::new(value.to_vec())), (Letters::AnyCase, hexadecimal(value))];
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for before in 0..3 {
            forms.push((Letters::Exact, base64(engine, value, before)));
        }
    }
    forms
}

fn hexadecimal(value: &[u8]) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    let mut text = Zeroizing::new(Vec::with_capacity(value.len() * 2));
    text.extend(value.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}

/// The characters of base64 that depend on `value` alone, where so many bytes (modulo 3) stand before it.
fn base64(engine: &GeneralPurpose, value: &[u8], before: usize) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(Vec::with_capacity(before + value.len()));
    padded.resize(before, 0);
    padded.extend_from_slice(value);
    let mut text = Zeroizing::new(vec![0; padded.len().div_ceil(3) * 4]);
    let written = engine.encode_slice(&*padded, &mut text).unwrap_or_default();
    // Six bits a character; the first that has none of what stands before, and the last that is full.
    let (first, behind) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    Zeroizing::new(text.get(first..behind.min(written)).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests;
