//! How a login stands, for people: whether it works, until when, and what they are to do.
//!
//! A login is never silently dead. Whatever keeps it from being refreshed is said here with the command that mends it.

use std::fmt;
use std::time::SystemTime;

/// How a login stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its access token is good, and it is refreshed in time.
    Ok,
    /// Its access token is good, and refreshing it fails.
    Failing,
    /// It has no good access token, and refreshing it is tried.
    Ended,
    /// The provider takes its refresh token no more, or it has none: a person must log in again.
    Lost,
    /// Nobody has logged in yet.
    Missing,
    /// The store can't be read, and nothing is known of it.
    Unknown,
}

impl Standing {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Standing::Ok => "ok",
            Standing::Failing => "failing",
            Standing::Ended => "ended",
            Standing::Lost => "lost",
            Standing::Missing => "missing",
            Standing::Unknown => "unknown",
        }
    }
}

/// What there is to say of a login. Never a byte of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The login's name.
    pub login: Box<str>,
    /// How it stands.
    pub standing: Standing,
    /// When its access token ends, where the provider says so.
    pub expires: Option<SystemTime>,
    /// When its refresh token ends, where the provider says so.
    pub refresh_ends: Option<SystemTime>,
    /// Pairs of tokens that there were, the first one of `stubgate login` counted.
    pub generation: u64,
    /// Refreshes that this process made.
    pub refreshes: u64,
    /// When the pair of now was had.
    pub obtained: Option<SystemTime>,
    /// What failed last, until something succeeds.
    pub last_error: Option<String>,
    /// What a person is to do, where one is needed.
    pub advice: Option<String>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "login {}: {}, generation {}", self.login, self.standing.as_str(), self.generation)?;
        if let Some(error) = &self.last_error {
            write!(f, "; {error}")?;
        }
        if let Some(advice) = &self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

/// Why a login gives no access token now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unready(pub(crate) String);
