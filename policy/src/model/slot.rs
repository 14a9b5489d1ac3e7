//! Where in a request a stub may stand.

use std::fmt;

/// A place that a credential declares for its stub (law 3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// `Authorization: Bearer …` or `token …`.
    Bearer,
    /// The password or the user of `Authorization: Basic …`.
    Basic,
    /// `Authorization` without a scheme, as cargo sends it.
    Bare,
    /// A header of its own, lower case; never one that frames or routes a message.
    Header(Box<str>),
    /// A query parameter; its name is compared exactly.
    Query(Box<str>),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slot::Bearer => f.write_str("bearer"),
            Slot::Basic => f.write_str("basic"),
            Slot::Bare => f.write_str("bare"),
            Slot::Header(name) => write!(f, "header:{name}"),
            Slot::Query(name) => write!(f, "query:{name}"),
        }
    }
}

/// Headers that carry credentials by custom, and are looked at on every host, whatever is bound to it.
pub const CUSTOMARY_HEADERS: [&str; 6] =
    ["authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key", "private-token"];
/// Query keys that carry credentials by custom, likewise.
pub const CUSTOMARY_QUERY_KEYS: [&str; 3] = ["key", "token", "access_token"];

impl Slot {
    /// Whether a place is looked at on every host, whatever credentials are bound to it.
    pub fn is_customary(&self) -> bool {
        match self {
            Slot::Bearer | Slot::Basic | Slot::Bare => true,
            Slot::Header(name) => CUSTOMARY_HEADERS.contains(&&**name),
            Slot::Query(name) => CUSTOMARY_QUERY_KEYS.contains(&&**name),
        }
    }
}
