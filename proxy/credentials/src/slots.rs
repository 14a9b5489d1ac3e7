//! The `Authorization` value, taken apart by an exact grammar, and put together again.
//!
//! A stub is matched as a whole token or not at all (law 3, CR-14..17): what has an extra space, a comma, a quote or a
//! control byte is [`Malformed`], never guessed at. This knows nothing of secrets and decides nothing; it says what
//! stands where.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::Zeroizing;

/// The longest value that is looked at.
pub const VALUE_MAXIMUM_BYTES: usize = 16 * 1024;

/// What clients send: padding may be missing and trailing bits may be anything. What we send is canonical.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why a value can't be taken apart. Always the client's doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Nothing there.
    #[error("the value is empty")]
    Empty,
    /// Longer than [`VALUE_MAXIMUM_BYTES`].
    #[error("the value is too long")]
    TooLong,
    /// A byte that no credential has: control, not ASCII, or a tab.
    #[error("the value has a byte that is not visible ASCII")]
    NotVisible,
    /// The part before the space is no RFC 9110 token.
    #[error("the scheme is not a token")]
    Scheme,
    /// A scheme without anything after it.
    #[error("the scheme has no credential after it")]
    NoToken,
    /// Not exactly one space after the scheme, or one inside or after the token.
    #[error("exactly one space belongs between scheme and credential, and none elsewhere")]
    Space,
    /// A comma or quote: a list, or parameters where a token belongs.
    #[error("the credential has a comma or a quote")]
    Delimiter,
    /// The credential of `Basic` is not base64.
    #[error("the Basic credential is not base64")]
    Base64,
    /// There is no colon in what `Basic` decodes to.
    #[error("the Basic credential has no colon")]
    NoColon,
    /// A control byte in what `Basic` decodes to.
    #[error("the Basic credential has a control byte")]
    Control,
}

/// Which scheme a bearer token came with. Both mean the same; GitHub's own tools write `token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BearerScheme {
    /// RFC 6750.
    Bearer,
    /// GitHub's.
    Token,
}

impl BearerScheme {
    /// As it is sent on, whatever case the client wrote.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Token => "token",
        }
    }
}

/// What stands in an `Authorization` value. No `Debug`: an agent may have sent a credential of its own.
#[derive(Clone, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// `Bearer TOKEN` or `token TOKEN`.
    Bearer {
        /// Which of the two.
        scheme: BearerScheme,
        /// One or more bytes of visible ASCII, without comma and quote.
        token: &'a [u8],
    },
    /// `Basic BASE64`, decoded and split at the first colon.
    Basic(Pair),
    /// A token without a scheme, as cargo sends it.
    Bare(&'a [u8]),
    /// Any other scheme, with whatever follows it. It holds no slot.
    Other {
        /// The scheme as written.
        scheme: &'a [u8],
    },
}

/// User and password of `Basic`, wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Pair {
    decoded: Zeroizing<Vec<u8>>,
    colon: usize,
}

impl Pair {
    /// What stands before the first colon; may be empty.
    pub fn user(&self) -> &[u8] {
        self.decoded.get(..self.colon).unwrap_or_default()
    }

    /// What stands after it; may be empty, and may have colons.
    pub fn password(&self) -> &[u8] {
        self.decoded.get(self.colon + 1..).unwrap_or_default()
    }
}

/// Takes an `Authorization` value apart.
///
/// # Errors
/// Where it does not follow the grammar exactly; see [`Malformed`].
pub fn parse_authorization(value: &[u8]) -> Result<Parsed<'_>, Malformed> {
    if value.is_empty() {
        return Err(Malformed::Empty);
    }
    if value.len() > VALUE_MAXIMUM_BYTES {
        return Err(Malformed::TooLong);
    }
    if !value.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Err(Malformed::NotVisible);
    }
    let Some(space) = value.iter().position(|byte| *byte == b' ') else {
        return bare(value);
    };
    let (scheme, rest) = value.split_at(space);
    let rest = rest.get(1..).unwrap_or_default();
    if scheme.is_empty() {
        return Err(Malformed::Space);
    }
    if !scheme.iter().copied().all(is_token_byte) {
        return Err(Malformed::Scheme);
    }
    match Known::of(scheme) {
        Some(Known::Bearer(scheme)) => Ok(Parsed::Bearer { scheme, token: token(rest)? }),
        Some(Known::Basic) => Ok(Parsed::Basic(basic(token(rest)?)?)),
        None => Ok(Parsed::Other { scheme }),
    }
}

/// A `Basic` value, encoded canonically, in memory that is wiped when dropped.
pub(crate) fn encode_basic(user: &[u8], password: &[u8]) -> Zeroizing<Vec<u8>> {
    const PREFIX: &[u8] = b"Basic ";
    let mut pair = Zeroizing::new(Vec::with_capacity(user.len() + 1 + password.len()));
    pair.extend_from_slice(user);
    pair.push(b':');
    pair.extend_from_slice(password);
    let length = PREFIX.len() + pair.len().div_ceil(3) * 4;
    let mut value = Zeroizing::new(vec![0; length]);
    let (prefix, encoded) = value.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    // The slice has exactly the length that canonical base64 needs, so this can't fail.
    let _ = STANDARD.encode_slice(&*pair, encoded);
    value
}

enum Known {
    Bearer(BearerScheme),
    Basic,
}

impl Known {
    /// Schemes are case-insensitive (RFC 9110 11.1).
    fn of(scheme: &[u8]) -> Option<Self> {
        if scheme.eq_ignore_ascii_case(b"bearer") {
            Some(Self::Bearer(BearerScheme::Bearer))
        } else if scheme.eq_ignore_ascii_case(b"token") {
            Some(Self::Bearer(BearerScheme::Token))
        } else if scheme.eq_ignore_ascii_case(b"basic") {
            Some(Self::Basic)
        } else {
            None
        }
    }
}

fn bare(value: &[u8]) -> Result<Parsed<'_>, Malformed> {
    if Known::of(value).is_some() {
        return Err(Malformed::NoToken);
    }
    token(value).map(Parsed::Bare)
}

fn token(bytes: &[u8]) -> Result<&[u8], Malformed> {
    if bytes.is_empty() {
        return Err(Malformed::NoToken);
    }
    if bytes.contains(&b' ') {
        return Err(Malformed::Space);
    }
    if bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\'')) {
        return Err(Malformed::Delimiter);
    }
    Ok(bytes)
}

fn basic(encoded: &[u8]) -> Result<Pair, Malformed> {
    let decoded = Zeroizing::new(LENIENT.decode(standard_alphabet(encoded)).map_err(|_| Malformed::Base64)?);
    if decoded.iter().any(u8::is_ascii_control) {
        return Err(Malformed::Control);
    }
    let colon = decoded.iter().position(|byte| *byte == b':').ok_or(Malformed::NoColon)?;
    Ok(Pair { decoded, colon })
}

/// Some clients use the URL-safe alphabet.
fn standard_alphabet(encoded: &[u8]) -> Cow<'_, [u8]> {
    if !encoded.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        return Cow::Borrowed(encoded);
    }
    let standard = encoded.iter().map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    });
    Cow::Owned(standard.collect())
}

/// RFC 9110 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
