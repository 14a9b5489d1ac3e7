//! What comes of a request under one policy, and what the other gives more.
//!
//! The rules that match are told by the one matcher; here they are put together as `decide` does: any deny rule
//! refuses, and of the allow rules all that match count together.

use super::Aspect;
use super::bound::Bound;
use super::side::{MINTED, Side, Swappable};
use crate::model::{Authority, BodyRule, Effect, Method, OnCredential, Options, RuleId, Scheme, Slot};

/// The rules of one side that match a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Matched {
    pub(super) allow: Vec<RuleId>,
    pub(super) observe: Vec<RuleId>,
    pub(super) deny: Vec<RuleId>,
}

impl Matched {
    pub(super) fn add(&mut self, rule: RuleId, effect: Effect) {
        match effect {
            Effect::Allow => self.allow.push(rule),
            Effect::Observe => self.observe.push(rule),
            Effect::Deny => self.deny.push(rule),
        }
    }

    pub(super) fn sort(&mut self) {
        for rules in [&mut self.allow, &mut self.observe, &mut self.deny] {
            rules.sort_unstable();
        }
    }
}

/// What comes of it.
pub(super) struct Outcome<'s> {
    side: &'s Side<'s>,
    matched: &'s Matched,
    bound: &'s Bound<'s>,
    /// `None`: nothing is allowed.
    allowed: Option<Allowed<'s>>,
}

struct Allowed<'s> {
    swaps: Vec<Swappable<'s>>,
    /// Stubs and sources for which ranges may stay.
    ranges: Vec<Swappable<'s>>,
    required: bool,
    foreign: bool,
    deny_stub_in_body: bool,
    /// What is done about a credential in a response: to a request that swaps, and to one that does not.
    on_credential: (OnCredential, OnCredential),
}

/// Bodies that pass: all of them, or those that one of these rules lets pass.
struct Bodies<'s>(Option<Vec<&'s BodyRule>>);

impl Bodies<'_> {
    /// Whether all of the other pass here, too, as far as can be shown.
    fn cover(&self, other: &Bodies<'_>) -> bool {
        match (&self.0, &other.0) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => other.iter().all(|other| own.iter().any(|own| own.covers(other))),
        }
    }
}

/// Something that one side gives and the other does not.
#[derive(Debug)]
pub(super) struct Gain<'s> {
    pub(super) aspect: Aspect,
    /// The rule responsible: `true` if it is one of the side that gives, `false` if one of the other side.
    pub(super) blame: Option<(bool, RuleId)>,
    /// The rule that allows on the side that gives.
    pub(super) grants: Option<RuleId>,
    /// Credentials that go with it.
    pub(super) swaps: Vec<Swappable<'s>>,
    /// Places that are no longer looked at.
    pub(super) slots: Vec<&'s Slot>,
    /// What the example must hold.
    pub(super) token: Holds<'s>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Holds<'s> {
    Nothing,
    Stub(Swappable<'s>),
    Foreign,
    /// In this slot.
    ForeignIn(&'s Slot),
    /// In this slot, beside a stub.
    ForeignBeside(&'s Slot, Swappable<'s>),
}

impl<'s> Outcome<'s> {
    pub(super) fn new(
        side: &'s Side<'s>,
        matched: &'s Matched,
        (authority, method): (&Authority, &Method),
        bound: &'s Bound<'s>,
    ) -> Outcome<'s> {
        Outcome { side, matched, bound, allowed: allowed(side, matched, (authority, method), bound.is_bound) }
    }

    fn is_observed(&self) -> bool {
        self.allowed.is_none()
            && self.matched.deny.is_empty()
            && self.matched.allow.is_empty()
            && !self.matched.observe.is_empty()
    }

    fn options(&self, rule: RuleId) -> Options {
        self.side.policy.rule(rule).options
    }

    /// Of the rules that could be named as responsible one that the other side does not say, if there is one.
    fn changed(&self, rules: &[RuleId], other: &Outcome<'_>, there: &[RuleId]) -> Option<RuleId> {
        let said =
            |rule: &&RuleId| there.iter().any(|other_rule| other.side.body(*other_rule) == self.side.body(**rule));
        rules.iter().find(|rule| !said(rule)).or(rules.first()).copied()
    }

    /// What this gives that `from` does not.
    pub(super) fn gains(&'s self, from: &'s Outcome<'s>) -> Vec<Gain<'s>> {
        match (&from.allowed, &self.allowed) {
            (None, Some(now)) => vec![self.reach(from, now)],
            (Some(before), Some(now)) => self.more(from, before, now),
            (None, None) if self.is_observed() && !from.is_observed() => {
                let rule = self.changed(&self.matched.observe, from, &from.matched.observe);
                vec![gain(Aspect::Observed, rule, Holds::Nothing)]
            }
            (_, None) => Vec::new(),
        }
    }

    fn reach(&self, from: &Outcome<'_>, now: &Allowed<'s>) -> Gain<'s> {
        let allow = self.changed(&self.matched.allow, from, &from.matched.allow);
        let was_refused = !from.matched.deny.is_empty() && !from.matched.allow.is_empty();
        let blame = if was_refused {
            from.changed(&from.matched.deny, self, &self.matched.deny).map(|rule| (false, rule))
        } else {
            allow.map(|rule| (true, rule))
        };
        let token = match now.swaps.first() {
            Some(swap) if now.required => Holds::Stub(*swap),
            _ => Holds::Nothing,
        };
        Gain { aspect: Aspect::Reach, blame, grants: allow, swaps: now.swaps.clone(), slots: Vec::new(), token }
    }

    fn more(&self, from: &Outcome<'s>, before: &Allowed<'s>, now: &Allowed<'s>) -> Vec<Gain<'s>> {
        let mut gains = Vec::new();
        let missing = |of: &[Swappable<'s>], in_this: &[Swappable<'s>]| -> Vec<Swappable<'s>> {
            of.iter().filter(|swap| !in_this.iter().any(|other| other.is(swap))).copied().collect()
        };
        for swap in missing(&now.swaps, &before.swaps) {
            let rules = self.granting(swap.name, |_| true);
            gains.push(Gain {
                swaps: vec![swap],
                ..gain(Aspect::Credential, self.changed(&rules, from, &from.matched.allow), Holds::Stub(swap))
            });
        }
        for swap in missing(&now.ranges, &before.ranges) {
            if before.swaps.iter().any(|known| known.is(&swap)) {
                let rules = self.granting(swap.name, |options| options.ranges);
                gains.push(Gain {
                    swaps: vec![swap],
                    ..gain(Aspect::Ranges, self.changed(&rules, from, &from.matched.allow), Holds::Stub(swap))
                });
            }
        }
        let with = |test: fn(Options) -> bool| -> Vec<RuleId> {
            self.matched.allow.iter().copied().filter(|rule| test(self.options(*rule))).collect()
        };
        if before.required && !now.required {
            let rules = with(|options| !options.credential_required);
            gains.push(gain(
                Aspect::WithoutCredential,
                self.changed(&rules, from, &from.matched.allow),
                Holds::Nothing,
            ));
        } else if now.foreign && !before.foreign {
            let rules = match with(|options| options.foreign_credentials) {
                rules if rules.is_empty() => with(|_| true),
                rules => rules,
            };
            gains.push(gain(
                Aspect::ForeignCredential,
                self.changed(&rules, from, &from.matched.allow),
                Holds::Foreign,
            ));
        }
        gains.extend(self.bodies(from, before, now));
        gains.extend(self.unlooked(from, before, now));
        if before.deny_stub_in_body && !now.deny_stub_in_body {
            gains.extend(self.stub_in_body(from, before, now));
        }
        gains.extend(self.on_credential(from, before, now));
        gains
    }

    /// Bodies with which this lets pass what the other side lets pass with others only: with a stub that both swap, with
    /// none, with a credential that is no stub, or with ranges.
    fn bodies(&self, from: &Outcome<'s>, before: &Allowed<'s>, now: &Allowed<'s>) -> Option<Gain<'s>> {
        let shared = |of: &[Swappable<'s>], known: &[Swappable<'s>]| -> Vec<Swappable<'s>> {
            of.iter().filter(|swap| known.iter().any(|other| other.is(swap))).copied().collect()
        };
        let mut kinds: Vec<(Vec<RuleId>, Vec<RuleId>, Holds<'s>)> = Vec::new();
        let of = |side: &Outcome<'s>, swap: &Swappable<'s>, known: &[Swappable<'s>], ranges: bool| {
            let name = known.iter().find(|other| other.is(swap)).map_or(swap.name, |other| other.name);
            side.granting(name, |options| options.ranges || !ranges)
        };
        for swap in shared(&now.swaps, &before.swaps) {
            let rules = (of(self, &swap, &now.swaps, false), of(from, &swap, &before.swaps, false));
            kinds.push((rules.0, rules.1, Holds::Stub(swap)));
        }
        for swap in shared(&now.ranges, &before.ranges) {
            let rules = (of(self, &swap, &now.ranges, true), of(from, &swap, &before.ranges, true));
            kinds.push((rules.0, rules.1, Holds::Stub(swap)));
        }
        let with = |side: &Outcome<'s>, test: &dyn Fn(Options) -> bool| -> Vec<RuleId> {
            side.matched.allow.iter().copied().filter(|rule| test(side.options(*rule))).collect()
        };
        let free = |options: Options| !options.credential_required;
        if !before.required && !now.required {
            kinds.push((with(self, &free), with(from, &free), Holds::Nothing));
        }
        if before.foreign && now.foreign {
            let lax = |side: &Outcome<'s>| match side.bound.is_bound {
                true => with(side, &|options| options.foreign_credentials),
                false => with(side, &free),
            };
            kinds.push((lax(self), lax(from), Holds::Foreign));
        }
        let gained = kinds.into_iter().find(|(now, before, _)| !from.of_rules(before).cover(&self.of_rules(now)));
        gained.map(|(rules, _, token)| gain(Aspect::Body, self.changed(&rules, from, &from.matched.allow), token))
    }

    fn of_rules(&self, rules: &[RuleId]) -> Bodies<'s> {
        Bodies(rules.iter().map(|rule| self.side.policy.rule(*rule).body()).collect())
    }

    /// Places that the other side looks at and this does not, where a foreign credential was refused: alone, or beside
    /// a stub that both swap.
    fn unlooked(&self, from: &Outcome<'s>, before: &Allowed<'s>, now: &Allowed<'s>) -> Option<Gain<'s>> {
        let slots = from.bound.beyond(self.bound);
        let first = *slots.first()?;
        let shared = now.swaps.iter().find(|swap| before.swaps.iter().any(|other| other.is(swap)));
        let token = match shared {
            // That foreign credentials pass in all places is said apart.
            _ if !before.foreign && !now.required && (before.required || !now.foreign) => Holds::ForeignIn(first),
            Some(swap) => Holds::ForeignBeside(first, *swap),
            None => return None,
        };
        let rule = self.changed(&self.matched.allow, from, &from.matched.allow);
        Some(Gain { slots, ..gain(Aspect::ForeignPlace, rule, token) })
    }

    /// Of requests that pass on both sides: without a credential, or with one that both swap.
    fn stub_in_body(&self, from: &Outcome<'_>, before: &Allowed<'s>, now: &Allowed<'s>) -> Option<Gain<'s>> {
        let token = if before.required || now.required {
            let shared = |swap: &&Swappable<'s>| before.swaps.iter().any(|other| other.is(swap));
            Holds::Stub(*now.swaps.iter().find(shared)?)
        } else {
            Holds::Nothing
        };
        let rules: Vec<RuleId> =
            from.matched.allow.iter().copied().filter(|rule| from.options(*rule).deny_stub_in_body).collect();
        let blame = from.changed(&rules, self, &self.matched.allow).map(|rule| (false, rule));
        let grants = self.matched.allow.first().copied();
        Some(Gain { blame, grants, ..gain(Aspect::StubInBody, None, token) })
    }

    /// Of requests that pass on both sides: with a stub that both swap, or without a credential.
    fn on_credential(&self, from: &Outcome<'_>, before: &Allowed<'s>, now: &Allowed<'s>) -> Option<Gain<'s>> {
        let shared = |swap: &&Swappable<'s>| before.swaps.iter().any(|other| other.is(swap));
        let with = now.swaps.iter().find(shared).filter(|_| now.on_credential.0 < before.on_credential.0);
        let token = match with {
            Some(swap) => Holds::Stub(*swap),
            None if !before.required && !now.required && now.on_credential.1 < before.on_credential.1 => Holds::Nothing,
            None => return None,
        };
        let says = |side: &Outcome<'_>| -> Vec<RuleId> {
            let says = |rule: &RuleId| side.options(*rule).credential_in_response.is_some();
            side.matched.allow.iter().copied().filter(says).collect()
        };
        // Where nobody says anything now, it is because somebody does no more.
        let own = self.changed(&says(self), from, &from.matched.allow).map(|rule| (true, rule));
        let blame = own.or_else(|| from.changed(&says(from), self, &self.matched.allow).map(|rule| (false, rule)));
        let grants = self.matched.allow.first().copied();
        Some(Gain { blame, grants, ..gain(Aspect::CredentialInResponse, None, token) })
    }

    fn granting(&self, credential: &str, test: impl Fn(Options) -> bool) -> Vec<RuleId> {
        let policy = self.side.policy;
        let grants = |rule: &&RuleId| {
            let mut granted = policy.rule(**rule).credentials.iter();
            granted.any(|id| policy.credential(*id).name() == credential) && test(self.options(**rule))
        };
        self.matched.allow.iter().filter(grants).copied().collect()
    }
}

fn gain<'s>(aspect: Aspect, rule: Option<RuleId>, token: Holds<'s>) -> Gain<'s> {
    Gain { aspect, blame: rule.map(|rule| (true, rule)), grants: rule, swaps: Vec::new(), slots: Vec::new(), token }
}

/// As `decide` puts it together; `None` where no request is allowed.
fn allowed<'s>(
    side: &'s Side<'s>,
    matched: &Matched,
    (authority, method): (&Authority, &Method),
    bound: bool,
) -> Option<Allowed<'s>> {
    if !matched.deny.is_empty() || matched.allow.is_empty() {
        return None;
    }
    let policy = side.policy;
    let rules = || matched.allow.iter().map(|id| policy.rule(*id));
    let mut swaps: Vec<Swappable<'s>> = Vec::new();
    let mut ranges: Vec<Swappable<'s>> = Vec::new();
    let secure = authority.scheme() == Scheme::Https;
    // Where a rule that looks into no body grants a credential, those that look are not asked about it.
    let is_blind = |id| rules().any(|rule| rule.body.is_none() && rule.credentials.contains(id));
    for rule in rules().filter(|_| secure) {
        for (id, credential) in rule.credentials.iter().map(|id| (id, policy.credential(*id))) {
            if !credential.hosts.iter().any(|host| host.covers(authority)) {
                continue;
            }
            for slot in &credential.slots {
                let stub = if credential.minted_only() { MINTED } else { credential.stub() };
                let swap = Swappable { name: credential.name(), stub, slot, source: side.source(*id) };
                if !swaps.contains(&swap) {
                    swaps.push(swap);
                }
                if rule.options.ranges && (rule.body.is_none() || !is_blind(id)) && !ranges.contains(&swap) {
                    ranges.push(swap);
                }
            }
        }
    }
    let required = rules().all(|rule| rule.options.credential_required);
    if required && swaps.is_empty() {
        return None;
    }
    let said = rules().filter_map(|rule| rule.options.credential_in_response).max();
    let on_credential = |swaps| said.unwrap_or_else(|| OnCredential::unsaid(swaps, method));
    Some(Allowed {
        swaps,
        ranges,
        required,
        foreign: !required && (!bound || rules().any(|rule| rule.options.foreign_credentials)),
        deny_stub_in_body: rules().any(|rule| rule.options.deny_stub_in_body),
        on_credential: (on_credential(true), on_credential(false)),
    })
}
