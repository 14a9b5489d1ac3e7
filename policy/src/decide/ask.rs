//! What can be asked: an agent, and what is known at a stage.

use std::fmt;
use std::marker::PhantomData;

use super::grant::{Decision, NameGrant, Permit, Reach};
use super::meaning::Meaning;
use crate::model::{AgentId, Authority, Method, Name, Policy, Slot, Target};

/// A question to [`Policy::decide`].
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a, S> {
    /// Who asks.
    pub agent: AgentId,
    /// What is known.
    pub at: S,
    borrowed: PhantomData<&'a ()>,
}

impl<S> Ask<'_, S> {
    /// A question by `agent` at a stage.
    pub fn new(agent: AgentId, at: S) -> Self {
        Ask { agent, at, borrowed: PhantomData }
    }
}

/// A stage of a request's way; there are three, and no more can be added outside.
pub trait Stage: sealed::Decide<Self::Grant> {
    /// What an allow gives at this stage.
    type Grant;
}

pub(crate) mod sealed {
    use super::{AgentId, Decision, Policy};

    pub trait Decide<G> {
        fn decide(&self, policy: &Policy, agent: AgentId) -> Decision<G>;
    }
}

/// DNS: a name and a type of record.
#[derive(Clone, Copy, Debug)]
pub struct NameStage<'a> {
    /// The name asked for.
    pub name: &'a Name,
    /// The type asked for.
    pub kind: QueryKind,
}

/// The type of record that a DNS query asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueryKind {
    /// IPv4 address.
    A,
    /// IPv6 address.
    Aaaa,
    /// Any other type, by its number; neither 1 nor 28.
    Other(u16),
}

impl From<u16> for QueryKind {
    fn from(number: u16) -> Self {
        match number {
            1 => QueryKind::A,
            28 => QueryKind::Aaaa,
            number => QueryKind::Other(number),
        }
    }
}

impl From<QueryKind> for u16 {
    fn from(kind: QueryKind) -> u16 {
        match kind {
            QueryKind::A => 1,
            QueryKind::Aaaa => 28,
            QueryKind::Other(number) => number,
        }
    }
}

/// ClientHello, CONNECT, SOCKS: an authority.
#[derive(Clone, Copy, Debug)]
pub struct ConnectStage<'a> {
    /// Whom the connection is for.
    pub authority: &'a Authority,
}

/// A whole request head.
#[derive(Clone, Copy, Debug)]
pub struct RequestStage<'a> {
    /// Whom the request is for.
    pub authority: &'a Authority,
    /// Its method; [`Method::websocket`] for an upgrade.
    pub method: &'a Method,
    /// Its path.
    pub target: &'a Target,
    /// What stands in every credential place of the head, one token a place. Only a Basic place may have two, its
    /// user and its password.
    pub tokens: &'a [Token<'a>],
}

/// What stands in one credential place. `Debug` doesn't show the text: it may be somebody's credential.
#[derive(Clone, Copy)]
pub struct Token<'a> {
    /// The place.
    pub slot: SlotRef<'a>,
    /// The whole token: without scheme, decoded for Basic and query.
    pub text: &'a [u8],
    /// What the text stands for.
    pub meaning: Meaning,
}

impl<'a> Token<'a> {
    /// A text that is what it says.
    pub fn literal(slot: SlotRef<'a>, text: &'a [u8]) -> Self {
        Token { slot, text, meaning: Meaning::Literal }
    }
}

impl fmt::Debug for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("slot", &self.slot).field("meaning", &self.meaning).finish_non_exhaustive()
    }
}

/// A place in a request that can hold a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotRef<'a> {
    /// `Authorization` with Bearer or token.
    Bearer,
    /// A field of `Authorization: Basic`.
    Basic(BasicField),
    /// `Authorization` without a scheme, or with one that is not known.
    Bare,
    /// A header, by its lower-case name.
    Header(&'a str),
    /// A query parameter, by its name.
    Query(&'a str),
    /// A stub found where no slot is: another header, a cookie, the path, part of a longer token. Always refused.
    Elsewhere,
}

/// Half of what Basic carries (RFC 7617 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicField {
    /// Before the first colon.
    User,
    /// After it.
    Password,
}

impl Slot {
    /// Whether a token in `place` stands in this slot.
    pub fn holds(&self, place: SlotRef<'_>) -> bool {
        match (self, place) {
            (Slot::Bearer, SlotRef::Bearer) | (Slot::Basic, SlotRef::Basic(_)) | (Slot::Bare, SlotRef::Bare) => true,
            (Slot::Header(name), SlotRef::Header(place)) => name.eq_ignore_ascii_case(place),
            (Slot::Query(name), SlotRef::Query(place)) => **name == *place,
            _ => false,
        }
    }
}

impl Stage for NameStage<'_> {
    type Grant = NameGrant;
}

impl Stage for ConnectStage<'_> {
    type Grant = Reach;
}

impl Stage for RequestStage<'_> {
    type Grant = Permit;
}
