//! Credentials of stubgate: the only crate that can reveal a secret.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

mod secret;
pub mod slots;

pub use secret::{Secret, SecretError};
