//! The crate from outside: real handshakes, real files, and openssl as the strict reader.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod certificates {
    mod fixture;
    mod handshake;
    mod minting;
    mod openssl;
    mod store;
}
