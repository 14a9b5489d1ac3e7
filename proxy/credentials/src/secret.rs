//! A credential's value: held, wiped, never shown.
//!
//! Law 4 as a type. There is no `Debug`, `Display`, `Serialize` or `Clone`, and reading the bytes is private to this
//! crate, which uses it in five places: for the header that carries it out ([`crate::Granted::header_value`]), for the one
//! with which a person tries it ([`crate::trial`]), for what is looked for on the way in
//! ([`crate::CredentialStore::scrubber`]), for the keyed hash that names it in records ([`crate::Version`]), and where a
//! source logs in to the server that it is read from. What could break a header (line
//! breaks, NUL, spaces, anything that is not visible ASCII) is refused when a value is loaded, not when it is used
//! (CR-19).

use secrecy::{ExposeSecret as _, SecretBox};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::sys::Kept;

/// The shortest value that is taken. Shorter ones are placeholders or cut-off files, and could be guessed.
pub(crate) const MINIMUM_BYTES: usize = 8;
/// The longest value that is taken: what common servers take as one header.
pub(crate) const MAXIMUM_BYTES: usize = 8 * 1024;

/// Why a value is no credential. Says where, never what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// Nothing, or nothing but a line break.
    #[error("is empty")]
    Empty,
    /// Shorter than 8 bytes.
    #[error("is shorter than 8 bytes, so it looks like a placeholder or a file cut short")]
    TooShort,
    /// Longer than 8192 bytes.
    #[error("is longer than 8192 bytes, which no header takes")]
    TooLong,
    /// A line break before the end: several lines, or a header injected.
    #[error("has a line break inside; one value, with at most one line break at its end, is expected")]
    LineBreak,
    /// Any other byte that is not visible ASCII, for example NUL, a space, or a byte order mark.
    #[error("has a byte that is not visible ASCII at offset {offset}")]
    NotVisible {
        /// Where, counted from 0.
        offset: usize,
    },
}

/// A real credential, in locked memory where the system allows it. Wiped when dropped. It can't be printed, copied or compared outside this crate:
///
/// ```compile_fail,E0277
/// fn shown<T: std::fmt::Debug>() {}
/// shown::<stubgate_credentials::Secret>();
/// ```
/// ```compile_fail,E0277
/// fn shown<T: std::fmt::Display>() {}
/// shown::<stubgate_credentials::Secret>();
/// ```
/// ```compile_fail,E0277
/// fn copied<T: Clone>() {}
/// copied::<stubgate_credentials::Secret>();
/// ```
/// ```compile_fail,E0277
/// fn compared<T: PartialEq>() {}
/// compared::<stubgate_credentials::Secret>();
/// ```
/// while what is asked of every shared value holds:
/// ```
/// fn shared<T: Send + Sync>() {}
/// shared::<stubgate_credentials::Secret>();
/// ```
pub struct Secret(SecretBox<Kept>);

impl Secret {
    /// Takes a value as a file or variable holds it: one line break at the end (`\n` or `\r\n`) is cut off. The buffer
    /// that is passed in is wiped.
    ///
    /// # Errors
    /// Where the value could not stand in a header, or is too short or too long to be one.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Result<Self, SecretError> {
        let value = bytes.strip_suffix(b"\r\n").or_else(|| bytes.strip_suffix(b"\n")).unwrap_or(&bytes);
        check(value)?;
        Ok(Self(SecretBox::new(Box::new(Kept::copy_of(value)))))
    }

    /// The same value once more, for who must own one.
    pub(crate) fn copy_of(other: &Secret) -> Self {
        Self(SecretBox::new(Box::new(Kept::copy_of(other.reveal()))))
    }

    /// Whether two values are the same, in constant time for values of one length; for the store, to tell a rotation.
    pub(crate) fn is_same(&self, other: &Secret) -> bool {
        self.reveal().ct_eq(other.reveal()).into()
    }

    /// The bytes, for the places that put them into a header or a login, and the one that looks for them in responses.
    pub(crate) fn reveal(&self) -> &[u8] {
        self.0.expose_secret().bytes()
    }
}

fn check(value: &[u8]) -> Result<(), SecretError> {
    if value.is_empty() {
        return Err(SecretError::Empty);
    }
    if value.len() > MAXIMUM_BYTES {
        return Err(SecretError::TooLong);
    }
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err(SecretError::LineBreak);
    }
    if let Some(offset) = value.iter().position(|byte| !byte.is_ascii_graphic()) {
        return Err(SecretError::NotVisible { offset });
    }
    if value.len() < MINIMUM_BYTES {
        return Err(SecretError::TooShort);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(bytes: &[u8]) -> Result<Secret, SecretError> {
        Secret::new(Zeroizing::new(bytes.to_vec()))
    }

    #[test]
    fn takes_one_value_with_one_line_break_at_its_end() {
        for given in ["ghp_0123456789", "ghp_0123456789\n", "ghp_0123456789\r\n"] {
            assert_eq!(secret(given.as_bytes()).ok().unwrap().reveal(), b"ghp_0123456789");
        }
        assert!(secret(&[b'a'; MAXIMUM_BYTES]).is_ok());
        assert!(secret(&[b'a'; MINIMUM_BYTES]).is_ok());
    }

    #[test]
    fn refuses_what_could_not_stand_in_a_header() {
        let long = [b'a'; MAXIMUM_BYTES + 1];
        for (given, expected) in [
            (&b""[..], SecretError::Empty),
            (b"\n", SecretError::Empty),
            (b"\r\n", SecretError::Empty),
            (b"\n\n", SecretError::LineBreak),
            (b"1234567", SecretError::TooShort),
            (b"1234567\n", SecretError::TooShort),
            (&long, SecretError::TooLong),
            (b"12345678\n\n", SecretError::LineBreak),
            (b"12345678\r", SecretError::LineBreak),
            (b"12345678\r\nX-Evil: 1", SecretError::LineBreak),
            (b"1234\n5678", SecretError::LineBreak),
            (b"1234\x005678", SecretError::NotVisible { offset: 4 }),
            (b"\xef\xbb\xbf12345678", SecretError::NotVisible { offset: 0 }),
            (b"12345678 ", SecretError::NotVisible { offset: 8 }),
            (b" 12345678", SecretError::NotVisible { offset: 0 }),
            (b"1234\t5678", SecretError::NotVisible { offset: 4 }),
            (b"1234\x7f5678", SecretError::NotVisible { offset: 4 }),
            ("b\u{fc}cher-token".as_bytes(), SecretError::NotVisible { offset: 1 }),
        ] {
            assert_eq!(secret(given).err(), Some(expected), "{given:?}");
        }
    }

    #[test]
    fn errors_show_no_byte_of_the_value() {
        let error = secret(b"supersecret\x01value").err().unwrap();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("super") && !shown.contains("value\""), "{shown}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_taken_is_visible_ascii(bytes in proptest::collection::vec(0u8.., 0..64)) {
            if let Ok(secret) = secret(&bytes) {
                proptest::prop_assert!(secret.reveal().iter().all(u8::is_ascii_graphic));
                proptest::prop_assert!(secret.reveal().len() >= MINIMUM_BYTES);
            }
        }
    }
}
