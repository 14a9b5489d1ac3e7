//! The request stage: the only one that gives a [`Permit`].
//!
//! In this order: what we answer by ourselves, deny rules, allow rules, credentials. Any deny rule that matches refuses, and so does one that
//! can't be compared with an odd path. Of the allow rules all that match count together; their order means nothing.
//!
//! An allow rule that looks into bodies matches if the head does and the body is as it demands. While the body is not
//! known, it is existentially quantified: the [`Permit`] is then open, and reveals no credential. Where the rules that
//! look into none allow the request by themselves, nobody looks: more rules could only grant more.

use std::num::NonZeroU16;

use smallvec::{SmallVec, smallvec};

use super::ask::{RequestStage, sealed::Decide};
use super::grant::{Decision, Denial, Permit, Swap, ToLook};
use super::index::Entry;
use super::table::Table;
use super::{Buckets, buckets, own, tokens};
use crate::body::{Fault, Seen};
use crate::model::hosts::Ends;
use crate::model::paths::{Compared, Paths};
use crate::model::prefix::{self, Prefix};
use crate::model::{AgentId, Effect, OnCredential, Policy, Reason, RuleId, Target};

/// The rules of one effect that match.
pub(super) type Matched = SmallVec<[RuleId; 8]>;

impl Decide<Permit> for RequestStage<'_> {
    fn decide(&self, policy: &Policy, agent: AgentId) -> Decision<Permit> {
        self.decide_with(policy, agent, None).0
    }
}

impl RequestStage<'_> {
    /// Decides with what is known of the body; the fault is that of the first rule whose demand it does not meet.
    pub(super) fn decide_with(
        &self,
        policy: &Policy,
        agent: AgentId,
        seen: Option<Seen<'_>>,
    ) -> (Decision<Permit>, Option<Fault>) {
        match self.judged(policy, agent, seen) {
            Ok(decision) => (decision, None),
            Err((rule, fault)) => (Decision::deny_by(fault.reason, rule), Some(fault)),
        }
    }

    fn judged(
        &self,
        policy: &Policy,
        agent: AgentId,
        seen: Option<Seen<'_>>,
    ) -> Result<Decision<Permit>, (RuleId, Fault)> {
        if own::is_own(self.authority.host()) {
            return Ok(own::request(policy, self));
        }
        if let Some(decision) = policy.index.logins.request(policy, agent, self) {
            return Ok(decision);
        }
        let found = Found::new(policy, self);
        if let Some(denial) = self.refused(policy, &found, agent) {
            return Ok(Decision::Deny(denial));
        }
        let matched = match self.matched(policy, &found, agent) {
            Ok(matched) => matched,
            Err(denial) => return Ok(Decision::Deny(denial)),
        };
        let looks = |id: &RuleId| policy.rule(*id).body.is_some();
        let blind: Matched = matched.iter().copied().filter(|id| !looks(id)).collect();
        if blind.len() == matched.len() {
            return Ok(self.allowed(policy, agent, &matched, &matched));
        }
        if !blind.is_empty() && tokens::judge(policy, agent, self, &blind).is_ok() {
            return Ok(self.allowed(policy, agent, &blind, &matched));
        }
        let swap = match tokens::judge(policy, agent, self, &matched) {
            Ok(swap) => swap,
            Err(reason) => return Ok(Decision::deny(reason)),
        };
        let mut looking: Matched = matched.iter().copied().filter(looks).collect();
        // Rules that grant the credential at hand come first; then by name.
        looking.sort_by_key(|id| {
            let grants = swap.as_ref().is_none_or(|swap| policy.rule(*id).credentials.contains(&swap.credential));
            (!grants, *id)
        });
        looking.dedup();
        let Some(seen) = seen else {
            let bodies = looking.iter().filter_map(|id| policy.rule(*id).body());
            let to_look = ToLook { max_bytes: bodies.map(|body| body.max_bytes).max().unwrap_or(0), rules: looking };
            let permit = self.permit(policy, agent, &matched, &matched, swap);
            let open = permit.map(|permit| Permit { to_look: Some(to_look), ..permit });
            return Ok(open.map_or_else(|| Decision::deny(Reason::HostNotAllowed), Decision::Allow));
        };
        let mut holding = blind;
        let mut looked = Vec::new();
        let mut faults: Option<(RuleId, Fault)> = None;
        for id in looking {
            let Some(body) = &policy.rule(id).body else { continue };
            match seen.satisfies(body) {
                Ok(()) => {
                    holding.push(id);
                    looked.push(std::sync::Arc::clone(body));
                }
                // What is not allowed says more than that something could not be read.
                Err(fault) if faults.as_ref().is_none_or(|(_, known)| fault.weight() < known.weight()) => {
                    faults = Some((id, fault));
                }
                Err(_) => {}
            }
        }
        match (tokens::judge(policy, agent, self, &holding), faults) {
            (Ok(swap), _) if !holding.is_empty() => match self.permit(policy, agent, &holding, &matched, swap) {
                Some(permit) => Ok(Decision::Allow(Permit { looked, ..permit })),
                None => Ok(Decision::deny(Reason::HostNotAllowed)),
            },
            (_, Some(fault)) => Err(fault),
            (Err(reason), None) => Ok(Decision::deny(reason)),
            (Ok(_), None) => Ok(Decision::deny(Reason::HostNotAllowed)),
        }
    }

    /// What rules that need no look, or were satisfied by it, allow; `all` are those whose heads match.
    fn allowed(&self, policy: &Policy, agent: AgentId, matched: &Matched, all: &Matched) -> Decision<Permit> {
        match tokens::judge(policy, agent, self, matched) {
            Ok(swap) => match self.permit(policy, agent, matched, all, swap) {
                Some(permit) => Decision::Allow(permit),
                None => Decision::deny(Reason::HostNotAllowed),
            },
            Err(reason) => Decision::deny(reason),
        }
    }

    fn refused(&self, policy: &Policy, found: &Found<'_>, agent: AgentId) -> Option<Denial> {
        let concerns =
            |entry: &&Entry| entry.ends.cover(self.authority) && policy.rule(entry.rule).methods.contains(self.method);
        let ends = Ends { scheme: Some(self.authority.scheme()), port: NonZeroU16::new(self.authority.port()) };
        let blocking = found.buckets.iter().filter(|bucket| bucket.blocks(agent, ends, self.method));
        let mut blocks = blocking.flat_map(|bucket| bucket.block.of(agent));
        if let Some(entry) = blocks.find(concerns) {
            return Some(denied(Reason::DeniedByRule, entry.rule));
        }
        let mut unclear = None;
        for bucket in &found.buckets {
            for entry in near(&bucket.refuse, agent, found.refused_near()).filter(concerns) {
                match self.refuses(&policy.rule(entry.rule).paths) {
                    Compared::Matches => return Some(denied(Reason::DeniedByRule, entry.rule)),
                    Compared::Unclear => unclear = unclear.or(Some(entry.rule)),
                    Compared::Differs => {}
                }
            }
        }
        unclear.map(|rule| denied(Reason::PathAmbiguous, rule))
    }

    fn matched(&self, policy: &Policy, found: &Found<'_>, agent: AgentId) -> Result<Matched, Denial> {
        let mut matched = Matched::new();
        let mut observed = Matched::new();
        for bucket in &found.buckets {
            for entry in near(&bucket.grant, agent, found.prefixes.as_deref()) {
                let rule = policy.rule(entry.rule);
                if !entry.ends.cover(self.authority) || !rule.methods.contains(self.method) {
                    continue;
                }
                let matches = self.grants(&rule.paths, found);
                match rule.effect {
                    Effect::Allow if matches => matched.push(entry.rule),
                    Effect::Observe if matches => observed.push(entry.rule),
                    Effect::Allow | Effect::Observe | Effect::Deny => {}
                }
            }
        }
        match observed.iter().min() {
            _ if !matched.is_empty() => Ok(matched),
            Some(rule) => Err(denied(self.observed(policy, agent, &observed), *rule)),
            None => Err(Denial { reason: self.nearest_miss(policy, found, agent), rule: None }),
        }
    }

    /// A stub that no rule could let pass here is a tripwire, whoever only wanted to observe.
    fn observed(&self, policy: &Policy, agent: AgentId, observed: &Matched) -> Reason {
        match tokens::judge(policy, agent, self, observed) {
            Err(
                tripwire @ (Reason::StubOutOfSlot
                | Reason::StubWrongHost
                | Reason::StubOverPlain
                | Reason::StubOfOtherAgent
                | Reason::StubRevoked
                | Reason::StubForged),
            ) => tripwire,
            Ok(_) | Err(_) => Reason::Observed,
        }
    }

    /// As a deny rule with these paths reads the request.
    pub(super) fn refuses(&self, paths: &Paths) -> Compared {
        match (paths, self.target) {
            (Paths::All, _) => Compared::Matches,
            (Paths::Some { .. }, Target::Canonical(path)) => paths.refuse(path),
            (Paths::Some { .. }, Target::Odd { .. }) => Compared::Unclear,
        }
    }

    /// As an allow or observe rule with these paths reads it.
    pub(super) fn grants(&self, paths: &Paths, found: &Found<'_>) -> bool {
        match self.target {
            Target::Canonical(path) => paths.grant(path),
            Target::Odd { .. } => !found.has_paths,
        }
    }

    /// What the rule that came nearest lacked. Only says more about a refusal, so that it may stop looking.
    fn nearest_miss(&self, policy: &Policy, found: &Found<'_>, agent: AgentId) -> Reason {
        let grants = found.buckets.iter().flat_map(|bucket| bucket.grant.of(agent));
        let mut reason = Reason::HostNotAllowed;
        for entry in grants.take(MOST_MISSES).filter(|entry| entry.ends.cover(self.authority)) {
            if policy.rule(entry.rule).methods.contains(self.method) {
                return match self.target {
                    Target::Canonical(_) => Reason::PathNotAllowed,
                    Target::Odd { .. } => Reason::PathAmbiguous,
                };
            }
            reason = Reason::MethodNotAllowed;
        }
        reason
    }

    /// `stub_in_body: deny` and the strictest `credential_in_response` count wherever the head matches, whatever else the rule demands of the body.
    fn permit(
        &self,
        policy: &Policy,
        agent: AgentId,
        matched: &Matched,
        all: &Matched,
        swap: Option<Swap>,
    ) -> Option<Permit> {
        let options = |id: &RuleId| policy.rule(*id).options;
        let grants = |id: &&RuleId| match &swap {
            Some(swap) => policy.rule(**id).credentials.contains(&swap.credential),
            None => true,
        };
        let said = all.iter().filter_map(|id| options(id).credential_in_response).max();
        Some(Permit {
            agent,
            authority: self.authority.clone(),
            rule: *matched.iter().filter(grants).min()?,
            ranges: matched.iter().filter(grants).any(|id| options(id).ranges),
            deny_stub_in_body: all.iter().any(|id| options(id).deny_stub_in_body),
            on_credential: said.unwrap_or_else(|| OnCredential::unsaid(swap.is_some(), self.method)),
            swap,
            to_look: None,
            looked: Vec::new(),
        })
    }
}

/// What the index gives for one request.
pub(super) struct Found<'a> {
    pub(super) buckets: Buckets<'a>,
    /// Whether any rule of this host, of whatever agent, has paths.
    has_paths: bool,
    /// How the path begins; `None` if it is odd, so that all rules are looked at.
    prefixes: Option<SmallVec<[Prefix; 5]>>,
    encoded_slash: bool,
}

impl<'a> Found<'a> {
    pub(super) fn new(policy: &'a Policy, ask: &RequestStage<'_>) -> Found<'a> {
        let buckets = buckets(policy, ask.authority.host());
        let has_paths = buckets.iter().any(|bucket| bucket.has_paths);
        let (prefixes, encoded_slash) = match ask.target {
            Target::Canonical(path) if has_paths => (Some(prefix::of_path(path.as_str())), path.has_encoded_slash()),
            Target::Canonical(_) => (Some(smallvec![Prefix::NONE]), false),
            Target::Odd { .. } => (None, false),
        };
        Found { buckets, has_paths, prefixes, encoded_slash }
    }

    /// A deny rule also reads `%2F` as a slash, and so the path may begin in another way too.
    fn refused_near(&self) -> Option<&[Prefix]> {
        if self.encoded_slash { None } else { self.prefixes.as_deref() }
    }
}

fn near<'a>(table: &'a Table, agent: AgentId, path: Option<&'a [Prefix]>) -> impl Iterator<Item = &'a Entry> {
    let all = path.is_none().then(|| table.of(agent));
    let near = path.map(|path| table.near(agent, path));
    near.into_iter().flatten().chain(all.into_iter().flatten())
}

fn denied(reason: Reason, rule: RuleId) -> Denial {
    Denial { reason, rule: Some(rule) }
}

/// Most entries that are looked at to explain a refusal.
const MOST_MISSES: usize = 256;
