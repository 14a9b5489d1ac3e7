//! Credentials of stubgate: the only crate that can reveal a secret.
//!
//! A [`Secret`] comes from a source, is held by the [`CredentialStore`], and leaves it in one way: as a header value for
//! a slot, for the holder of a permit of policy (laws 3 and 4). No value is ever sent in place of a missing one, and a
//! broken source keeps the last good value and says so (law 5). What must be found in responses, should an origin send a
//! credential back, goes into a [`stubgate_scrub::Scrubber`], which gives nothing out but stubs.
//!
//! This crate does not decide who may use what, and opens no connection.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod aside;
pub mod escrow;
mod fetch;
mod forms;
mod keeper;
mod key_file;
pub mod minted;
mod secret;
pub mod slots;
mod sources;
mod store;
mod swap;
#[expect(unsafe_code, reason = "locked memory is had from the system alone")]
mod sys;
mod trial;
mod version;
mod written;

pub use fetch::{Answering, Fetch, Fetched, Fetching, HttpClient, Means, NotRun, Programs, Running, Unanswered};
pub use keeper::{Keeper, News, Opener, Outside, Terms, Witness, opener};
pub use secret::{Secret, SecretError};
pub use sources::json_key::KeyError;
pub use sources::{SourceError, describe};
pub use store::{CredentialStore, Granted, LoadProblem, Loaded, Put};
pub use swap::SwapError;
pub use sys::{try_lock_memory, unlocked_secrets};
pub use trial::{NoTrial, trial};
pub use version::{Version, VersionKey};
