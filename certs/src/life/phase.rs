//! Words for where a CA is in its life.

use std::time::SystemTime;

use crate::CaError;

/// Where in its life an appliance's CA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// One CA, and no other.
    Stable,
    /// One signs, and the one that comes is in the bundle.
    Overlap,
    /// The new one signs, and the one before it is in the bundle.
    Trailing,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 3] = [Phase::Stable, Phase::Overlap, Phase::Trailing];

    /// Its word in metrics, records and `ca show`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Stable => "stable",
            Phase::Overlap => "overlap",
            Phase::Trailing => "trailing",
        }
    }
}

/// A CA's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Signs leaves.
    Signing,
    /// Comes.
    Next,
    /// Signed; in the bundle until this time at most.
    Past(SystemTime),
}

impl Role {
    /// Its word in metrics and `ca show`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Signing => "signing",
            Role::Next => "next",
            Role::Past(_) => "past",
        }
    }
}

/// When the CA that comes signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// Since when it is in the bundle.
    pub since: SystemTime,
    /// Not before this.
    pub least_until: SystemTime,
    /// From here on, whoever was not seen.
    pub deadline: SystemTime,
}

/// What a turn did.
#[derive(Debug, Default)]
pub struct Turned {
    /// Whether who signs or what is in the bundle is other than before.
    pub is_changed: bool,
    /// What could not be done; all is as it was.
    pub problem: Option<CaError>,
}
