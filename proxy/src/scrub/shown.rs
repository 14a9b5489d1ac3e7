//! Known kinds of credentials that a response shows and that are none of ours: what policy says is done about them.
//!
//! It comes after the search for our own, so that what stands there as a stub is one. What is done depends on the shape of
//! the text and on the rules, and on nothing secret.

use http::header::{HeaderMap, HeaderValue};
use stubgate_credentials::kinds::{self, Sights};
use stubgate_policy::OnCredential;

use crate::appliance::Appliance;

/// Whether a text is one of the stubs that agents hold anyway.
pub(super) fn is_ours(appliance: &Appliance, text: &[u8]) -> bool {
    appliance.snapshot.load().stubs.is_like_one(text)
}

/// Does to headers or trailers what is to be done; whether they may not pass.
#[must_use]
pub(super) fn fields(appliance: &Appliance, headers: &mut HeaderMap, act: OnCredential, seen: &mut Sights) -> bool {
    let before = seen.total();
    for value in headers.values_mut().filter(|value| value.len() >= kinds::SHORTEST) {
        let sights = kinds::sights(value.as_bytes(), |text| is_ours(appliance, text));
        sights.iter().for_each(|sight| seen.count(sight.kind));
        if !sights.is_empty() && act == OnCredential::Replace {
            let mut masked = value.as_bytes().to_vec();
            sights.iter().for_each(|sight| kinds::mask(&mut masked, sight));
            *value = HeaderValue::from_bytes(&masked).unwrap_or_else(|_| HeaderValue::from_static(""));
        }
    }
    act == OnCredential::Deny && seen.total() > before
}
