//! What every source is, to whoever keeps its value: something that can be asked for it, and that may fail.
//!
//! A source keeps nothing but what it needs to ask again (a session, say). When it is asked, how often, for how long, and
//! what is done with an old value while it fails, is decided in one place for all of them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::{Request, Response};
use stubgate_policy::secret_source::Exec;
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::sources::SourceError;

/// A value, as its source gave it.
pub struct Fetched {
    /// The value.
    pub secret: Secret,
    /// When it ends by itself, where the source says so.
    pub expires: Option<SystemTime>,
}

/// What comes of asking.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Fetched, SourceError>> + Send + 'a>>;

/// A source.
pub trait Fetch: Send + Sync {
    /// Asks for the value. May be dropped at any moment, as a timeout does.
    ///
    /// # Errors
    /// Why there is none, without a byte of it.
    fn fetch(&self) -> Fetching<'_>;

    /// Asks for another value than this one, which the source gave and an origin refused. Most sources keep no value that
    /// they could give again.
    ///
    /// # Errors
    /// As [`Fetch::fetch`].
    fn fetch_but(&self, _refused: &Secret) -> Fetching<'_> {
        self.fetch()
    }
}

/// What comes of a request to a server of secrets.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Response<Zeroizing<Vec<u8>>>, Unanswered>> + Send + 'a>>;

/// The way to servers of secrets: https only, verified for the name, to addresses that the guard lets through, following no
/// redirect. An answer's body is bounded (1 MiB), and so is its time.
pub trait HttpClient: Send + Sync {
    /// Sends a request whose URI is absolute.
    ///
    /// # Errors
    /// Where no whole answer came.
    fn send(&self, request: Request<Zeroizing<Vec<u8>>>) -> Answering<'_>;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unanswered {
    /// No connection, or no verified one. Nothing of the request was sent.
    #[error("{0}")]
    NotSent(String),
    /// The request, or a part of it, was sent, and no whole answer came: it may have been carried out.
    #[error("no whole answer came: {0}")]
    Lost(String),
}

/// What comes of running a program: all that it wrote to its standard output.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Zeroizing<Vec<u8>>, NotRun>> + Send + 'a>>;

/// The way to programs: those that were named at the start, as they were named, and no others. What one writes is bounded
/// (64 KiB), and so is its time.
pub trait Programs: Send + Sync {
    /// Runs a program to its end. Dropping what this returns leaves it to its own time.
    fn run(&self, program: &Exec) -> Running<'_>;
}

/// Why a program gave nothing. Never a byte of what it wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRun {
    /// Policy named it, or its arguments, only after the start.
    #[error("is not among the programs that stubgate was started with; restart it")]
    Unknown,
    /// Nobody is there to run it.
    #[error("can't be run, because the process that runs programs has ended; restart stubgate")]
    NoHelper,
    /// The system did not start it.
    #[error("can't be run: {0}")]
    NotStarted(String),
    /// It says itself that it failed.
    #[error(
        "ended with {how}, after {said} bytes on its standard error, which are not shown: they could hold the secret"
    )]
    Failed {
        /// `status 1` or `signal 9`.
        how: String,
        /// What it wrote to its standard error.
        said: u64,
    },
    /// It was killed, with all that it had started.
    #[error("did not end in its time, and was killed")]
    TimedOut,
    /// It was killed, because it wrote more than a secret can be.
    #[error("wrote more than 65536 bytes, and was killed")]
    TooMuch,
}

/// What sources need of the appliance.
#[derive(Clone)]
pub struct Means {
    /// The way to servers of secrets.
    pub http: Arc<dyn HttpClient>,
    /// The logins in escrow, where it is open.
    pub escrow: Option<Arc<crate::escrow::Escrow>>,
    /// The way to programs.
    pub programs: Arc<dyn Programs>,
}
