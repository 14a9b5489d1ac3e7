//! What every source is, to whoever keeps its value: something that can be asked for it, and that may fail.
//!
//! A source keeps nothing but what it needs to ask again (a session, say). When it is asked, how often, for how long, and
//! what is done with an old value while it fails, is decided in one place for all of them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::{Request, Response};
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

/// What sources need of the appliance.
#[derive(Clone)]
pub struct Means {
    /// The way to servers of secrets.
    pub http: Arc<dyn HttpClient>,
}
