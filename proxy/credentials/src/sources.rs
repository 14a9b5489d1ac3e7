//! Where secrets come from: one small file a kind, all of them behind [`Fetch`].
//!
//! A source is asked, and answers or says why not; it caches no value, tries nothing twice and knows no schedule. All that
//! is the [keeper's](crate::Keeper). What it read is wiped, and never part of an error.

pub(crate) mod env;
pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod github_app;
pub(crate) mod infisical;
pub(crate) mod json_key;
pub(crate) mod server;
pub(crate) mod text;
pub(crate) mod vault;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use stubgate_policy::{Reading, Source};
use zeroize::Zeroizing;

use crate::aside::Aside;
use crate::fetch::{Fetch, Fetched, Fetching, Means, NotRun};
use crate::secret::{Secret, SecretError};
use server::ServerError;

/// The longest that anything is taken to live, whatever its server says: a year.
pub(crate) const LONGEST_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Why a source gives no secret. Always the operator's matter; the text never holds a byte of a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file is missing or can't be read.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A folder, pipe, socket or device.
    #[error("is not a regular file")]
    NotAFile,
    /// Someone wrote to it meanwhile; it is read again soon.
    #[error("changed while it was read")]
    Changed,
    /// The file is still being read since the time before: its file system does not answer.
    #[error("is still being read since the time before; its file system does not answer")]
    Stuck,
    /// The variable is not set.
    #[error("is not set")]
    Unset,
    /// It was not asked yet.
    #[error("has not given a value yet")]
    Elsewhere,
    /// No answer within the time that one may take.
    #[error("gave no answer within {seconds} seconds")]
    TimedOut {
        /// The time.
        seconds: u64,
    },
    /// What it gave has ended already.
    #[error("gave a value that has ended already")]
    Ended,
    /// There is no such key, or what was read is no JSON object.
    #[error(transparent)]
    Key(#[from] json_key::KeyError),
    /// What was read is no credential.
    #[error(transparent)]
    Value(#[from] SecretError),
    /// A program gave nothing.
    #[error(transparent)]
    Program(#[from] NotRun),
    /// What a login takes can't be had.
    #[error("can't be logged in to: the file {} {error}", path.display())]
    Login {
        /// The file that it stands in.
        path: Box<std::path::Path>,
        /// Why not.
        error: Box<SourceError>,
    },
    /// A server gave nothing.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// Any other kind of source, in its own words.
    #[error("{0}")]
    Other(String),
}

impl SourceError {
    /// The word for metrics and records: one of few.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Io(_) | Self::NotAFile | Self::Changed | Self::Stuck | Self::Unset => "unreadable",
            Self::Elsewhere => "pending",
            Self::TimedOut { .. } => "timeout",
            Self::Ended => "ended",
            Self::Key(_) | Self::Value(_) => "malformed",
            Self::Program(NotRun::TimedOut) => "timeout",
            Self::Login { error, .. } => error.kind(),
            Self::Server(error) => error.kind(),
            Self::Program(_) | Self::Other(_) => "source",
        }
    }
}

/// What a source gave, before it is known to be fit for a header.
pub(crate) struct Given {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    pub(crate) expires: Option<SystemTime>,
}

impl Given {
    /// As a credential.
    pub(crate) fn fetched(self) -> Result<Fetched, SourceError> {
        Ok(Fetched { secret: Secret::new(self.bytes)?, expires: self.expires })
    }
}

impl From<Zeroizing<Vec<u8>>> for Given {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Given { bytes, expires: None }
    }
}

/// Whether a source is read on this machine within no time worth mentioning, so that it can be read at once.
pub(crate) fn is_local(source: &Source) -> bool {
    matches!(source, Source::File(_) | Source::Env(_))
}

/// Reads a source that is local, blocking.
pub(crate) fn read_now(reading: &Reading) -> Result<Fetched, SourceError> {
    let bytes = match &reading.source {
        Source::File(path) => file::read(path)?,
        Source::Env(name) => env::read(name)?,
        _ => return Err(SourceError::Elsewhere),
    };
    Given::from(json_key::inside(bytes, reading.json_key.as_deref())?).fetched()
}

/// The same, where a file system may hang.
pub(crate) fn read_by(reading: &Reading, aside: &Aside, deadline: Instant) -> Result<Fetched, SourceError> {
    if !matches!(reading.source, Source::File(_)) {
        return read_now(reading);
    }
    let asked = reading.clone();
    aside.try_until(deadline, move || read_now(&asked)).unwrap_or(Err(SourceError::Stuck))
}

/// The source that a reading means.
pub(crate) fn open(reading: &Reading, means: &Means) -> Arc<dyn Fetch> {
    match &reading.source {
        Source::File(path) => Arc::new(file::File::new(path, reading.json_key.as_deref())),
        Source::Env(name) => Arc::new(env::Variable::new(name, reading.json_key.as_deref())),
        Source::Exec(program) => {
            Arc::new(exec::Program::new(program, reading.json_key.as_deref(), Arc::clone(&means.programs)))
        }
        Source::Vault(secret) => {
            Arc::new(vault::Vault::new(secret, reading.json_key.as_deref(), Arc::clone(&means.http)))
        }
        Source::Infisical(secret) => {
            Arc::new(infisical::Infisical::new(secret, reading.json_key.as_deref(), Arc::clone(&means.http)))
        }
        Source::GithubApp(app) => Arc::new(github_app::GithubApp::new(app, reading.json_key.as_deref(), means)),
        Source::Oauth(oauth) => match &means.escrow {
            Some(escrow) => escrow.source(oauth, &means.http),
            None => Arc::new(Closed),
        },
    }
}

/// A login while the escrow is closed: it is opened at the start, where it is configured or a login is named.
struct Closed;

impl Fetch for Closed {
    fn fetch(&self) -> Fetching<'_> {
        let why = "the escrow was not opened at the start; write `escrow: {}` in stubgate.yaml and restart";
        Box::pin(async move { Err(SourceError::Other(why.into())) })
    }
}

/// A source as an operator knows it.
pub fn describe(source: &Source) -> String {
    match source {
        Source::File(path) => format!("file {}", path.display()),
        Source::Env(name) => format!("environment variable {name}"),
        Source::Exec(exec) => format!("program {}", exec.program.display()),
        Source::Vault(vault) => format!("vault {} {}/{}", vault.server, vault.mount, vault.path),
        Source::Infisical(infisical) => format!("infisical {} {}", infisical.server, infisical.name),
        Source::GithubApp(app) => format!("GitHub App {} at {}", app.app_id, app.server),
        Source::Oauth(oauth) => format!("login {} of {}", oauth.login, oauth.provider.name),
    }
}
