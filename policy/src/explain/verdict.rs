//! The outcome of [`Policy::decide`](crate::Policy::decide) at any stage, in one shape.

use super::Outcome;
use crate::body::Fault;
use crate::decide::{Answer, Decision, NameGrant, Permit, Reach};
use crate::model::{CredentialId, Reason, RuleId};

/// What was decided.
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) rule: Option<RuleId>,
    pub(super) reason: Option<Reason>,
    pub(super) swap: Option<(CredentialId, usize)>,
    pub(super) dns: Option<NameGrant>,
    pub(super) answer: Option<Answer>,
    /// Whether it hangs on a body that was not given.
    pub(super) to_look: bool,
    pub(super) looked: bool,
    pub(super) fault: Option<Fault>,
}

impl Verdict {
    pub(super) fn deny(reason: Reason) -> Verdict {
        Verdict { outcome: Outcome::Deny, reason: Some(reason), ..Verdict::allow() }
    }

    fn allow() -> Verdict {
        Verdict {
            outcome: Outcome::Allow,
            rule: None,
            reason: None,
            swap: None,
            dns: None,
            answer: None,
            to_look: false,
            looked: false,
            fault: None,
        }
    }

    /// `allowed` takes what an allow gave.
    fn of<G>(decision: Decision<G>, allowed: impl FnOnce(G) -> Verdict) -> Verdict {
        match decision {
            Decision::Allow(grant) => allowed(grant),
            Decision::Deny(denial) => {
                let outcome = if denial.reason == Reason::Observed { Outcome::Observe } else { Outcome::Deny };
                Verdict { outcome, rule: denial.rule, reason: Some(denial.reason), ..Verdict::allow() }
            }
            Decision::Answer(answer) => Verdict { outcome: Outcome::Answer, answer: Some(answer), ..Verdict::allow() },
        }
    }
}

impl From<Decision<Permit>> for Verdict {
    fn from(decision: Decision<Permit>) -> Verdict {
        Verdict::of(decision, |permit| Verdict {
            rule: Some(permit.rule()),
            to_look: permit.to_look().is_some(),
            looked: !permit.looked().is_empty(),
            swap: permit.swap().map(|swap| (swap.credential, swap.token_index)),
            ..Verdict::allow()
        })
    }
}

impl From<Decision<NameGrant>> for Verdict {
    fn from(decision: Decision<NameGrant>) -> Verdict {
        Verdict::of(decision, |grant| Verdict { dns: Some(grant), ..Verdict::allow() })
    }
}

impl From<Decision<Reach>> for Verdict {
    fn from(decision: Decision<Reach>) -> Verdict {
        Verdict::of(decision, |_| Verdict::allow())
    }
}
