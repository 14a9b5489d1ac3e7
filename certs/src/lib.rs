//! Certificates of stubgate.
//!
//! What an interception needs, and nothing about policy: the appliance's own CA
//! ([`CertificateAuthority`]), how one follows another ([`Life`]), leaves minted per name ([`Minter`]), and the roots that an upstream is verified
//! against ([`TrustRoots`]). It also holds the one choice of a crypto provider ([`provider()`]).
//!
//! This crate never decides whether a name may be minted: the caller asks policy first (law 1), so that an unknown
//! name costs no signature. What it keeps is law 7 (bounded cache, single flight) and the part of law 4 that is about
//! the CA key: it is read in one place, wiped where the libraries allow it, and printed nowhere. There is no switch
//! that turns verification off.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod authority;
mod clock;
mod constraints;
mod leaf;
mod life;
mod minter;
mod pem;
mod provider;
mod trust;

pub use authority::{Anchor, CaError, CertificateAuthority, MINIMUM_REMAINING};
pub use clock::{Clock, system_clock};
pub use constraints::{MOST_SUBTREES, Subtrees};
pub use leaf::LeafName;
pub use life::{ACTIVE, Audience, Given, Heard, Life, Origin, Overlap, Phase, Role, Terms, Turned};
pub use minter::{MintError, Minter, MinterConfig};
pub use provider::provider;
pub use trust::{RootsError, TrustRoots, bundle_pem, client_config, is_trusted};
