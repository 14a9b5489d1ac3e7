//! What a text in a credential place stands for: found out before policy is asked, by whoever has the key.
//!
//! This crate has no key, no clock and no list of what was called back. It decides on what it is told about a minted stub,
//! and compares the agent itself: whoever reads a stub can't let it pass for another agent (law 1).

use crate::model::{AgentId, CredentialId};

/// What a text stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Meaning {
    /// Itself: the literal stub of a credential, or no stub at all. Policy compares it with those that it knows.
    #[default]
    Literal,
    /// A stub that was minted by us.
    Minted(MintedStub),
    /// It says that it was minted by us, and was not: made up, altered, of another key, or of an agent or credential that
    /// the policy does not name.
    Forged,
}

/// An authentic minted stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MintedStub {
    /// The only agent that may use it.
    pub agent: AgentId,
    /// The only credential that it stands for.
    pub credential: CredentialId,
    /// Names it in records.
    pub id: u64,
    /// Whether it is still good.
    pub standing: Standing,
}

/// Whether an authentic stub is still good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Good,
    /// Its time is over.
    Expired,
    /// It was called back.
    Revoked,
}
