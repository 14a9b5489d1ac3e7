//! Where sealed states of logins lie, and who may refresh one.
//!
//! A store keeps bytes that it can't read. It answers for two things: what it says is written is still there after the
//! power went, and of all that share it only one at a time leads a login. A write names the revision that it replaces and
//! does nothing where another one lies there, so that who has lost the lead unawares overwrites nothing.

pub(crate) mod postgres;
pub(crate) mod sqlite;

use std::pin::Pin;
use std::time::Duration;

/// What comes of asking a store.
pub(crate) type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A sealed state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Which write of this login it is, from 1.
    pub(crate) revision: u64,
    pub(crate) generation: u64,
    pub(crate) sealed: Vec<u8>,
}

/// The right to refresh a login, until it is dropped. It is lost with the process, or with the connection that holds it.
pub(crate) struct Lease {
    /// What holds it.
    pub(crate) _held: Box<dyn Send + Sync>,
}

/// A place of sealed states that others may share.
pub(crate) trait Store: Send + Sync {
    /// The state of a login, if there is one.
    fn read<'a>(&'a self, name: &'a str) -> Doing<'a, Option<Row>>;

    /// Writes the state of a login durably, in place of revision `row.revision - 1` and of no other. Whether it did.
    fn write<'a>(&'a self, name: &'a str, row: &'a Row) -> Doing<'a, bool>;

    /// The logins and their revisions, in order of their names.
    fn revisions(&self) -> Doing<'_, Vec<(String, u64)>>;

    /// Leads a login, where nobody else does.
    fn lead<'a>(&'a self, name: &'a str) -> Doing<'a, Option<Lease>>;

    /// How long an attempt of another holder must have stood unchanged under our own lead until that holder is taken for
    /// dead.
    fn patience(&self) -> Duration;
}

/// Why a store did not do what it was asked. The operator's matter; never a byte of what lies there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It can't be reached, or the disk does not take it.
    #[error("the store of logins is out of reach: {0}")]
    Unreachable(String),
    /// It can be reached, and what is in it is not ours, or of a later version.
    #[error("the store of logins can't be used: {0}")]
    Unusable(String),
    /// A state that does not open.
    #[error(
        "the state of login {0} does not open: it was sealed with another key, or changed; \
         give the key it was sealed with (escrow.key), or log in again (stubgate login)"
    )]
    Sealed(String),
    /// An older state than was there already.
    #[error(
        "the store holds an older state of login {0} than it did before: it was put back from a copy, \
         and its refresh token may be used up; log in again (stubgate login)"
    )]
    RolledBack(String),
    /// The system's cryptography fails.
    #[error("a state can't be sealed")]
    NoSeal,
}
