//! Building the header value that carries a secret in place of a stub.
//!
//! Whole tokens only: what is not exactly the stub, in exactly the place that was granted, is an error and nothing is
//! built (law 3). Intermediate buffers are wiped; the copy inside the returned value belongs to the HTTP library.

use http::HeaderValue;
use stubgate_policy::{BasicField, SlotRef};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::slots::{Malformed, Parsed, encode_basic, parse_authorization};

/// Why no value was built. Nothing may be sent then, with or without the stub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SwapError {
    /// The permit grants no credential.
    #[error("the permit grants no credential")]
    NotGranted,
    /// Policy must still look at the request's body.
    #[error("the body was not looked at")]
    NotLooked,
    /// The credential's source has never given a good value.
    #[error("the credential has no value")]
    Missing,
    /// The credential was redefined after the decision.
    #[error("the credential changed after the decision")]
    Changed,
    /// The credential does not declare this slot, or the slot is not a header.
    #[error("the credential has no such slot")]
    Slot,
    /// The granted place does not hold the stub as its whole token.
    #[error("the slot does not hold the stub")]
    NotTheStub,
    /// Both fields of Basic hold the stub.
    #[error("the stub stands twice in one value")]
    Twice,
    /// The value can't be taken apart.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The secret can't stand in this field: a user name of Basic has no colon (RFC 7617 2).
    #[error("the credential cannot stand in this field")]
    Unfit,
}

pub(crate) fn header_value(
    slot: SlotRef<'_>,
    stub: &[u8],
    secret: &Secret,
    original: &[u8],
) -> Result<HeaderValue, SwapError> {
    match slot {
        SlotRef::Header(_) => {
            whole(original, stub)?;
            sensitive(secret.reveal())
        }
        SlotRef::Bearer | SlotRef::Basic(_) | SlotRef::Bare => authorization(slot, stub, secret, original),
        SlotRef::Query(_) | SlotRef::Elsewhere => Err(SwapError::Slot),
    }
}

fn authorization(slot: SlotRef<'_>, stub: &[u8], secret: &Secret, original: &[u8]) -> Result<HeaderValue, SwapError> {
    match (slot, parse_authorization(original)?) {
        (SlotRef::Bearer, Parsed::Bearer { scheme, token }) => {
            whole(token, stub)?;
            let scheme = scheme.as_str().as_bytes();
            let mut value = Zeroizing::new(Vec::with_capacity(scheme.len() + 1 + secret.reveal().len()));
            value.extend_from_slice(scheme);
            value.push(b' ');
            value.extend_from_slice(secret.reveal());
            sensitive(&value)
        }
        (SlotRef::Bare, Parsed::Bare(token)) => {
            whole(token, stub)?;
            sensitive(secret.reveal())
        }
        (SlotRef::Basic(BasicField::Password), Parsed::Basic(pair)) => {
            whole(pair.password(), stub)?;
            not(pair.user(), stub)?;
            sensitive(&encode_basic(pair.user(), secret.reveal()))
        }
        (SlotRef::Basic(BasicField::User), Parsed::Basic(pair)) => {
            whole(pair.user(), stub)?;
            not(pair.password(), stub)?;
            if secret.reveal().contains(&b':') {
                return Err(SwapError::Unfit);
            }
            sensitive(&encode_basic(secret.reveal(), pair.password()))
        }
        _ => Err(SwapError::NotTheStub),
    }
}

fn is(token: &[u8], stub: &[u8]) -> bool {
    // An empty stub belongs to no credential; it must not match an empty password.
    !stub.is_empty() && bool::from(token.ct_eq(stub))
}

fn whole(token: &[u8], stub: &[u8]) -> Result<(), SwapError> {
    if is(token, stub) { Ok(()) } else { Err(SwapError::NotTheStub) }
}

fn not(token: &[u8], stub: &[u8]) -> Result<(), SwapError> {
    if is(token, stub) { Err(SwapError::Twice) } else { Ok(()) }
}

/// The HTTP library redacts a sensitive value in `Debug` and HTTP/2 never indexes it (RFC 7541 7.1.3).
pub(crate) fn sensitive(bytes: &[u8]) -> Result<HeaderValue, SwapError> {
    // Visible ASCII always passes; what stood beside the secret was checked when it was parsed.
    let mut value = HeaderValue::from_bytes(bytes).map_err(|_| SwapError::Unfit)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests;
