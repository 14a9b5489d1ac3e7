//! The one decision (law 1), asked at three stages: *name*, *connect* and *request*.
//!
//! What is not known yet at a stage is existentially quantified. Only the request stage returns a [`Permit`], and
//! nothing outside this crate can make one, nor a [`Reach`]. Default deny: no path through here ends in an allow
//! without a rule that says so.

mod ancestors;
mod ask;
pub(crate) mod consider;
mod covering;
mod grant;
mod index;
mod logins;
mod meaning;
pub(crate) mod own;
mod reach;
mod request;
mod table;
mod tokens;
mod wild;

use smallvec::SmallVec;

pub use ask::{Ask, BasicField, ConnectStage, NameStage, QueryKind, RequestStage, SlotRef, Stage, Token};
pub use grant::{Answer, Decision, Denial, NameGrant, Permit, Reach, Swap, ToLook};
pub use meaning::{Meaning, MintedStub, Standing};

pub(crate) use covering::{Side, Whose};
pub(crate) use index::{HostIndex, Index};

use self::index::Bucket;
use crate::body::{Fault, Seen};
use crate::model::{Authority, Host, Policy, Reason, Scheme, Slot};

/// The buckets of every pattern that covers one host; most hosts have few.
type Buckets<'a> = SmallVec<[&'a Bucket; 6]>;

fn buckets<'a>(policy: &'a Policy, host: &Host) -> Buckets<'a> {
    let mut found = Buckets::new();
    policy.index.rules.find(host, |bucket| found.push(bucket));
    found
}

impl Policy {
    /// Whether an agent may do what it asks for.
    pub fn decide<S: Stage>(&self, ask: &Ask<'_, S>) -> Decision<S::Grant> {
        match self.agents.get(ask.agent.index()) {
            None => Decision::deny(Reason::UnknownAgent),
            Some(agent) if agent.is_shut() => Decision::deny(Reason::Quarantined),
            Some(_) => ask.at.decide(self, ask.agent),
        }
    }

    /// Decides on a whole request, once its body is known. The fault says what about the body is not as some rule demands,
    /// where that is why it is refused.
    pub fn decide_body(&self, ask: &Ask<'_, RequestStage<'_>>, seen: Seen<'_>) -> (Decision<Permit>, Option<Fault>) {
        match self.agents.get(ask.agent.index()) {
            None => (Decision::deny(Reason::UnknownAgent), None),
            Some(agent) if agent.is_shut() => (Decision::deny(Reason::Quarantined), None),
            Some(_) => ask.at.decide_with(self, ask.agent, Some(seen)),
        }
    }

    /// Whether some credential's `hosts` name this authority, so that foreign credentials are refused there. Plain
    /// HTTP to a host is bound as soon as the host is, on whatever port.
    pub fn is_bound(&self, authority: &Authority) -> bool {
        let mut bound = false;
        let plain = authority.scheme() == Scheme::Http;
        self.index.bound.find(authority.host(), |bindings| {
            bound |= plain || bindings.iter().any(|binding| binding.ends.cover(authority));
        });
        bound
    }

    /// Every slot of every credential that is bound to this authority, each once.
    pub fn bound_slots(&self, authority: &Authority) -> impl Iterator<Item = &Slot> {
        let mut slots: SmallVec<[&Slot; 8]> = SmallVec::new();
        let plain = authority.scheme() == Scheme::Http;
        self.index.bound.find(authority.host(), |bindings| {
            for binding in bindings.iter().filter(|binding| plain || binding.ends.cover(authority)) {
                for slot in &self.credential(binding.credential).slots {
                    if !slots.contains(&slot) {
                        slots.push(slot);
                    }
                }
            }
        });
        slots.into_iter()
    }
}
