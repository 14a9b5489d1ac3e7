//! Phase *swap* (law 3), in two halves: find what stands in the credential places of a head, before policy decides;
//! and put the credential in, as the last step before the bytes go.
//!
//! A place holds a token or it does not; nothing is searched and replaced. A stub found anywhere else in the head is
//! reported to policy as [`SlotRef::Elsewhere`], which no rule grants.

mod places;

use http::header::HeaderMap;
use stubgate_credentials::Granted;
use stubgate_policy::{OnCredential, Permit, Reason};

pub(crate) use places::percent_decoded;
pub use places::{Place, Places};

use crate::request::Refusal;

/// Ask for a part of a response: the standard one (RFC 9110 section 14.2) with its condition, that of a draft before it,
/// which Apache httpd still reads, and that of Azure's storage.
const RANGES: [&str; 4] = ["range", "if-range", "request-range", "x-ms-range"];

/// Proof that the connection to the origin was made for an authority and that its certificate was verified for it.
/// Only [`forward`](crate::forward) makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(pub(crate) stubgate_policy::Authority);

/// Puts the granted credential into its place.
///
/// # Errors
/// `credential_missing` where it has no value at the moment; `internal` where the origin is not the verified one of the
/// permit, which no path leads to.
pub fn put_in(
    granted: &Granted<'_>,
    permit: &Permit,
    place: &Place,
    verified: Option<&Verified>,
    headers: &mut HeaderMap,
) -> Result<(), Refusal> {
    if verified.is_none_or(|verified| verified.0 != *permit.authority()) {
        return Err(Reason::Internal.into());
    }
    let name = place.header().ok_or(Reason::StubOutOfSlot)?;
    let original = headers.get(&name).ok_or(Reason::Internal)?;
    let value = granted.header_value(place.slot(), original).map_err(|_| Reason::CredentialMissing)?;
    headers.insert(name, value);
    Ok(())
}

/// Asks for the whole of a response in which something is looked for that a piece would not show: the credential that goes
/// out, or those that the rule does not let in.
pub fn ask_for_all(permit: &Permit, headers: &mut HeaderMap) {
    let is_looked_through = permit.swap().is_some() || permit.on_credential() != OnCredential::Allow;
    if is_looked_through && !permit.ranges_allowed() {
        for name in RANGES {
            headers.remove(name);
        }
    }
}
