//! The request stage: the only one that gives a [`Permit`].
//!
//! In this order: deny rules, allow rules, credentials. Any deny rule that matches refuses, and so does one that
//! can't be compared with an odd path. Of the allow rules all that match count together; their order means nothing.

use smallvec::SmallVec;

use super::ask::{RequestStage, sealed::Decide};
use super::grant::{Decision, Denial, Permit};
use super::{Buckets, buckets, own, tokens};
use crate::model::paths::Compared;
use crate::model::{AgentId, Effect, Policy, Reason, RuleId, Target};

/// The allow rules that match.
pub(super) type Matched = SmallVec<[RuleId; 8]>;

impl Decide<Permit> for RequestStage<'_> {
    fn decide(&self, policy: &Policy, agent: AgentId) -> Decision<Permit> {
        if own::is_own(self.authority.host()) {
            return own::request(policy, self);
        }
        let found = buckets(policy, self.authority.host());
        if let Some(denial) = self.refused(policy, &found, agent) {
            return Decision::Deny(denial);
        }
        let matched = match self.matched(policy, &found, agent) {
            Ok(matched) => matched,
            Err(denial) => return Decision::Deny(denial),
        };
        match tokens::judge(policy, self, &matched) {
            Ok(swap) => match self.permit(policy, agent, &matched, swap) {
                Some(permit) => Decision::Allow(permit),
                None => Decision::deny(Reason::HostNotAllowed),
            },
            Err(reason) => Decision::deny(reason),
        }
    }
}

impl RequestStage<'_> {
    fn refused(&self, policy: &Policy, found: &Buckets<'_>, agent: AgentId) -> Option<Denial> {
        let deny = |reason, rule| Some(Denial { reason, rule: Some(rule) });
        for bucket in found {
            for entry in bucket.block.of(agent).filter(|entry| entry.ends.cover(self.authority)) {
                if policy.rule(entry.rule).methods.contains(self.method) {
                    return deny(Reason::DeniedByRule, entry.rule);
                }
            }
        }
        let mut unclear = None;
        for bucket in found {
            for entry in bucket.refuse.of(agent).filter(|entry| entry.ends.cover(self.authority)) {
                let rule = policy.rule(entry.rule);
                if !rule.methods.contains(self.method) {
                    continue;
                }
                let compared = match self.target {
                    Target::Canonical(path) => rule.paths.refuse(path),
                    Target::Odd { .. } => Compared::Unclear,
                };
                match compared {
                    Compared::Matches => return deny(Reason::DeniedByRule, entry.rule),
                    Compared::Unclear => unclear = unclear.or(Some(entry.rule)),
                    Compared::Differs => {}
                }
            }
        }
        unclear.and_then(|rule| deny(Reason::PathAmbiguous, rule))
    }

    fn matched(&self, policy: &Policy, found: &Buckets<'_>, agent: AgentId) -> Result<Matched, Denial> {
        let odd_refused = found.iter().any(|bucket| bucket.has_paths);
        let mut matched = Matched::new();
        let mut observed = None;
        let mut reason = Reason::HostNotAllowed;
        for bucket in found {
            for entry in bucket.grant.of(agent).filter(|entry| entry.ends.cover(self.authority)) {
                let rule = policy.rule(entry.rule);
                if !rule.methods.contains(self.method) {
                    if reason == Reason::HostNotAllowed {
                        reason = Reason::MethodNotAllowed;
                    }
                    continue;
                }
                let path = match self.target {
                    Target::Canonical(path) if rule.paths.grant(path) => None,
                    Target::Canonical(_) => Some(Reason::PathNotAllowed),
                    Target::Odd { .. } if odd_refused => Some(Reason::PathAmbiguous),
                    Target::Odd { .. } => None,
                };
                match (path, rule.effect) {
                    (Some(why), _) => reason = why,
                    (None, Effect::Allow) => matched.push(entry.rule),
                    (None, Effect::Observe) => observed = observed.max(Some(std::cmp::Reverse(entry.rule))),
                    (None, Effect::Deny) => {}
                }
            }
        }
        match observed {
            _ if !matched.is_empty() => Ok(matched),
            Some(std::cmp::Reverse(rule)) => Err(Denial { reason: Reason::Observed, rule: Some(rule) }),
            None => Err(Denial { reason, rule: None }),
        }
    }

    fn permit(&self, policy: &Policy, agent: AgentId, matched: &Matched, swap: Option<super::Swap>) -> Option<Permit> {
        let grants = |id: &&RuleId| match &swap {
            Some(swap) => policy.rule(**id).credentials.contains(&swap.credential),
            None => true,
        };
        let options = || matched.iter().map(|id| policy.rule(*id).options);
        Some(Permit {
            agent,
            authority: self.authority.clone(),
            rule: *matched.iter().filter(grants).min()?,
            ranges: matched.iter().filter(grants).any(|id| policy.rule(*id).options.ranges),
            deny_stub_in_body: options().any(|options| options.deny_stub_in_body),
            swap,
        })
    }
}
