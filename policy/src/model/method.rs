//! Request methods, compared exactly (RFC 9110 §9.1).
//!
//! A WebSocket upgrade is a method of its own, which only the code that validated the upgrade can name: a client that
//! writes `WEBSOCKET` as its method is refused here.

use std::fmt;

use thiserror::Error;

/// A method: an RFC 9110 token of at most 32 bytes, case kept.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(Word);

/// Why bytes are no [`Method`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum MethodError {
    /// No bytes.
    #[error("the method is empty")]
    Empty,
    /// Over 32 bytes.
    #[error("the method is too long")]
    TooLong,
    /// A byte that tokens don't hold (RFC 9110 §5.6.2).
    #[error("the method is not a token")]
    NotToken,
    /// `WEBSOCKET`, which is ours.
    #[error("the method is reserved")]
    Reserved,
}

macro_rules! methods {
    ($($word:ident $name:ident $text:literal,)*) => {
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        enum Word {
            $($word,)*
            Websocket,
            Other(Box<str>),
        }

        impl Method {
            $(
                #[doc = concat!("`", $text, "`")]
                pub const $name: Method = Method(Word::$word);
            )*

            /// The methods that have a name here, `WEBSOCKET` among them.
            pub(crate) const KNOWN: &'static [Method] = &[$(Method::$name,)* Method(Word::Websocket)];

            /// Reads a method from the wire.
            ///
            /// # Errors
            /// See [`MethodError`].
            pub fn parse(bytes: &[u8]) -> Result<Method, MethodError> {
                match std::str::from_utf8(bytes).map_err(|_| MethodError::NotToken)? {
                    $($text => Ok(Method::$name),)*
                    WEBSOCKET => Err(MethodError::Reserved),
                    other => check(other).map(|()| Method(Word::Other(other.into()))),
                }
            }

            /// The method, case as it came.
            pub fn as_str(&self) -> &str {
                match &self.0 {
                    $(Word::$word => $text,)*
                    Word::Websocket => WEBSOCKET,
                    Word::Other(text) => text,
                }
            }
        }
    };
}

methods! {
    Get GET "GET",
    Head HEAD "HEAD",
    Post POST "POST",
    Put PUT "PUT",
    Patch PATCH "PATCH",
    Delete DELETE "DELETE",
    Options OPTIONS "OPTIONS",
    Trace TRACE "TRACE",
    Connect CONNECT "CONNECT",
}

impl Method {
    /// Longest method in bytes.
    pub const MAX: usize = 32;

    /// A WebSocket handshake (RFC 6455 §4.1, or extended CONNECT, RFC 8441), whose form the caller has checked.
    pub const fn websocket() -> Method {
        Method(Word::Websocket)
    }

    /// TRACE, TRACK (IIS's name for it) and CONNECT match no rule: the first two echo credentials, the other is no request
    /// to an origin.
    pub(crate) fn never_matches(&self) -> bool {
        matches!(self.0, Word::Trace | Word::Connect) || self.as_str() == "TRACK"
    }

    /// Whether it changes nothing (RFC 9110 section 9.2.1); a WebSocket's handshake is a GET.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(self.0, Word::Get | Word::Head | Word::Options | Word::Websocket)
    }

    /// Place of a known method in a set of bits.
    pub(crate) fn bit(&self) -> Option<u16> {
        Method::KNOWN.iter().position(|known| known == self).map(|at| 1 << at)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn check(text: &str) -> Result<(), MethodError> {
    match text.len() {
        0 => Err(MethodError::Empty),
        long if long > Method::MAX => Err(MethodError::TooLong),
        _ if text.bytes().all(is_token) => Ok(()),
        _ => Err(MethodError::NotToken),
    }
}

/// `tchar` of RFC 9110 §5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const WEBSOCKET: &str = "WEBSOCKET";
