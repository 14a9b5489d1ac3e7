//! The comparison itself: for each kind of hosts, scheme and port, pair of agents, method and kind of paths, what
//! comes of a request under either policy.
//!
//! What both policies say alike is left out at every step, so that two large policies with one change between them
//! cost little more than reading them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use super::bound::Bound;
use super::outcome::{Gain, Holds, Matched, Outcome};
use super::pairs::Pairs;
use super::parts::{Key, MethodsText, PathSpot, Piece, Swapped};
use super::paths::{PathKinds, path_spot};
use super::places::{Kind, Places};
use super::side::{Concerned, Found, Side, Which, same_bound, same_forwards};
use super::{Aspect, Direction, Witness};
use crate::decide::{Ask, ConnectStage};
use crate::model::hosts::{Ends, HostPattern, HostRule};
use crate::model::{Authority, Effect, Host, Method, RuleId, Target};

pub(super) struct Comparison<'s> {
    pub(super) old: &'s Side<'s>,
    pub(super) new: &'s Side<'s>,
    pub(super) pairs: &'s Pairs,
    pub(super) found: Vec<(Key, Piece)>,
    /// What may still be spent, about one for each rule that is looked at.
    pub(super) effort: usize,
    concerned: Concerned,
    pub(super) paths: HashMap<Rules, Rc<PathKinds>>,
}

/// Rules of the old policy, and of the new.
pub(super) type Rules = (Vec<RuleId>, Vec<RuleId>);

/// One place to send requests to.
struct Spot<'h> {
    kind: Kind,
    host: &'h Host,
    ends: Ends,
    authority: Authority,
    /// What credentials are bound to it for, under either policy.
    bound: (Bound<'h>, Bound<'h>),
    /// Whether rules of the host have paths, under either policy.
    has_paths: (bool, bool),
}

impl Spot<'_> {
    fn is_alike(&self) -> bool {
        self.bound.0 == self.bound.1 && self.has_paths.0 == self.has_paths.1
    }
}

impl<'s> Comparison<'s> {
    pub(super) fn new(old: &'s Side<'s>, new: &'s Side<'s>, pairs: &'s Pairs, effort: usize) -> Self {
        Comparison {
            old,
            new,
            pairs,
            found: Vec::new(),
            effort,
            concerned: Concerned::default(),
            paths: HashMap::new(),
        }
    }

    /// Compares at every kind of hosts; whether it came to the end.
    pub(super) fn run(&mut self, places: &Places) -> bool {
        let mut complete = true;
        for (kind, host) in places.all() {
            let Some(host) = host else {
                complete = false;
                continue;
            };
            let (before, after) = (self.old.find(&host), self.new.find(&host));
            self.spend(1);
            let mut concerned = self.concerned.pairs((self.old, &before), (self.new, &after));
            let same = concerned.is_empty();
            if !same_bound(&before, &after) || before.has_paths() != after.has_paths() {
                concerned = (0..self.pairs.all().len()).collect();
            }
            if !concerned.is_empty() {
                self.host(kind, &host, &before, &after, &concerned);
            }
            let forwards = !before.forwards.is_empty() || !after.forwards.is_empty();
            if forwards && !(same && same_forwards(&before, &after)) {
                self.names(kind, &host);
            }
            if self.effort == 0 {
                return false;
            }
        }
        complete
    }

    pub(super) fn spend(&mut self, effort: usize) {
        self.effort = self.effort.saturating_sub(effort);
    }

    fn host(&mut self, kind: Kind, host: &Host, before: &Found<'_>, after: &Found<'_>, concerned: &[usize]) {
        let ends: BTreeSet<Ends> = before.grants().chain(after.grants()).collect();
        for ends in ends {
            let (Some(scheme), Some(port)) = (ends.scheme, ends.port) else { continue };
            let authority = Authority::new(scheme, host.clone(), port);
            let spot = Spot {
                kind,
                host,
                ends,
                bound: (Bound::new(self.old.policy, &authority), Bound::new(self.new.policy, &authority)),
                has_paths: (before.has_paths(), after.has_paths()),
                authority,
            };
            self.spot(&spot, before, after, concerned);
        }
    }

    fn spot(&mut self, spot: &Spot<'_>, before: &Found<'_>, after: &Found<'_>, concerned: &[usize]) {
        let mut groups: BTreeMap<Rules, Vec<usize>> = BTreeMap::new();
        for pair in concerned {
            let rules =
                (self.old.rules_of(before, *pair, &spot.authority), self.new.rules_of(after, *pair, &spot.authority));
            self.spend(1 + rules.0.len() + rules.1.len());
            if self.differ(spot, &rules) {
                groups.entry(rules).or_default().push(*pair);
            }
        }
        for (rules, pairs) in groups {
            self.group(spot, &rules, &pairs);
        }
    }

    /// Whether the rules say anything else on one side than on the other.
    fn differ(&self, spot: &Spot<'_>, rules: &Rules) -> bool {
        let grants =
            |side: &Side<'_>, rules: &[RuleId]| rules.iter().any(|rule| side.policy.rule(*rule).effect != Effect::Deny);
        if !grants(self.old, &rules.0) && !grants(self.new, &rules.1) {
            return false;
        }
        let said = |side: &Side<'_>, rules: &[RuleId]| {
            let mut said: Vec<u32> = rules.iter().map(|rule| side.body(*rule)).collect();
            said.sort_unstable();
            said.dedup();
            said
        };
        !spot.is_alike() || said(self.old, &rules.0) != said(self.new, &rules.1)
    }

    fn group(&mut self, spot: &Spot<'_>, rules: &Rules, pairs: &[usize]) {
        let mut methods: BTreeMap<(Rules, bool), (MethodsText, Method)> = BTreeMap::new();
        let named = self.methods(rules);
        let fresh = fresh(&named);
        // The first of a group stands in its example: GET, if it may be, and WEBSOCKET last.
        let mut all: Vec<_> =
            named.iter().map(|name| (Some(name), method(name))).chain([(None, Some(fresh))]).collect();
        let is_known = |method: &Option<Method>| method.as_ref().and_then(Method::bit).unwrap_or(u16::MAX);
        all.sort_by_key(|(_, method)| is_known(method));
        for (name, method) in all {
            let Some(method) = method else { continue };
            let having = |side: &Side<'_>, rules: &[RuleId]| -> Vec<RuleId> {
                let has = |rule: &RuleId| side.policy.rule(*rule).methods.contains(&method);
                rules.iter().copied().filter(has).collect()
            };
            let group = (having(self.old, &rules.0), having(self.new, &rules.1));
            let text = match name {
                Some(name) => MethodsText::named(name),
                None => MethodsText::others(named.clone()),
            };
            // What is done about a credential in a response depends on it, if nobody says.
            let reads = self.says_of_responses(&group) && method.only_reads();
            let entry = methods.entry((group, reads)).or_insert_with(|| (MethodsText::default(), method));
            entry.0.join(text);
        }
        let mut reached = (false, false);
        for ((rules, _), (methods, method)) in methods {
            if self.differ(spot, &rules) {
                let (widens, narrows) = self.requests(spot, &rules, pairs, &methods, &method);
                reached = (reached.0 | widens, reached.1 | narrows);
            }
        }
        self.connects(spot, rules, pairs, reached);
    }

    /// Whether one of the rules has a `credential_in_response`.
    fn says_of_responses(&self, rules: &Rules) -> bool {
        let says = |side: &Side<'_>, rules: &[RuleId]| {
            rules.iter().any(|rule| side.policy.rule(*rule).options.credential_in_response.is_some())
        };
        says(self.old, &rules.0) || says(self.new, &rules.1)
    }

    fn methods(&self, rules: &Rules) -> BTreeSet<String> {
        let mut named = BTreeSet::from([Method::websocket().as_str().to_owned()]);
        let both = [(self.old, &rules.0), (self.new, &rules.1)];
        for (side, rules) in both {
            for names in rules.iter().filter_map(|rule| side.policy.rule(*rule).methods.names()) {
                named.extend(names.into_iter().map(str::to_owned));
            }
        }
        named
    }

    /// Compares all paths; whether some request passes now, or passes no more, or is observed so.
    fn requests(
        &mut self,
        spot: &Spot<'_>,
        rules: &Rules,
        pairs: &[usize],
        methods: &MethodsText,
        method: &Method,
    ) -> (bool, bool) {
        let kinds = self.kinds(rules);
        let odd = self.odd(spot.has_paths, rules);
        let all: Vec<&(Matched, Matched, Target)> = kinds.all.iter().chain(&odd).collect();
        let mut gained: BTreeMap<Key, (Piece, BTreeSet<usize>)> = BTreeMap::new();
        for (at, (before, after, target)) in all.iter().enumerate() {
            let before = Outcome::new(self.old, before, (&spot.authority, method), &spot.bound.0);
            let after = Outcome::new(self.new, after, (&spot.authority, method), &spot.bound.1);
            let widens = after.gains(&before).into_iter().map(|gain| (Which::New, gain));
            for (to, gain) in widens.chain(before.gains(&after).into_iter().map(|gain| (Which::Old, gain))) {
                let (key, piece) = self.piece(spot, pairs, methods, method, target, to, &gain);
                match gained.get_mut(&key) {
                    Some((known, kinds)) => {
                        known.join(piece);
                        kinds.insert(at);
                    }
                    None => drop(gained.insert(key, (piece, [at].into()))),
                }
            }
        }
        let mut reached = (false, false);
        for (key, (mut piece, kinds)) in gained {
            let others = all.iter().enumerate().filter(|(at, _)| !kinds.contains(at)).take(MOST_OTHERS);
            piece.in_part = others.map(|(_, (_, _, target))| target).any(|target| piece.takes(target));
            if matches!(key.aspect, Aspect::Reach | Aspect::Observed | Aspect::NotObserved) {
                reached.0 |= key.to == Which::New;
                reached.1 |= key.to == Which::Old;
            }
            self.found.push((key, piece));
        }
        if !kinds.complete {
            let paths = [PathSpot::All, PathSpot::Odd].into();
            let host = host_text(self.new, spot, &rules.1).or_else(|| host_text(self.old, spot, &rules.0));
            let piece = Piece { paths, ..Piece::at(pairs, host, spot.kind, methods.clone()) };
            let key = Key {
                direction: Direction::Widens,
                aspect: Aspect::Unclear,
                to: Which::New,
                blame: None,
                grants: None,
            };
            self.found.push((key, piece));
            reached = (true, true);
        }
        reached
    }

    #[allow(clippy::too_many_arguments, reason = "one request, in its parts")]
    fn piece(
        &self,
        spot: &Spot<'_>,
        pairs: &[usize],
        methods: &MethodsText,
        method: &Method,
        target: &Target,
        to: Which,
        gain: &Gain<'_>,
    ) -> (Key, Piece) {
        let (giving, other) = match to {
            Which::New => (self.new, self.old),
            Which::Old => (self.old, self.new),
        };
        let blame = gain.blame.map(|(own, rule)| if own { (giving, rule) } else { (other, rule) });
        let grants = gain.grants.map(|rule| (giving, rule));
        let spots = [blame, grants].into_iter().flatten().map(|(side, rule)| path_spot(side, rule, target));
        let spots: Vec<PathSpot> = spots.collect();
        let path = spots.iter().find(|path| **path != PathSpot::All).or(spots.first()).cloned();
        let granting: Vec<RuleId> = gain.grants.into_iter().collect();
        let mut host = host_text(giving, spot, &granting);
        if let (Some((side, rule)), Some(host)) = (blame, &mut host)
            && side.policy.rule(rule).effect == Effect::Deny
            && let Some(denied) = host_text(side, spot, &[rule])
            && narrowness(&denied.pattern) > narrowness(&host.pattern)
        {
            host.pattern = denied.pattern;
        }
        let (token, beside) = match gain.token {
            Holds::Nothing => (None, None),
            Holds::Stub(swap) => (Some((swap.slot.clone(), swap.stub.to_owned())), None),
            Holds::Foreign => (Some((crate::Slot::Bearer, self.foreign())), None),
            Holds::ForeignIn(slot) => (Some((slot.clone(), self.foreign())), None),
            Holds::ForeignBeside(slot, swap) => {
                (Some((slot.clone(), self.foreign())), Some((swap.slot.clone(), swap.stub.to_owned())))
            }
        };
        let witness = pairs.first().and_then(|pair| self.pairs.all().get(*pair)).map(|pair| Witness {
            agent: pair.name.to_string(),
            peer: pair.peer,
            pod: pair.pod.clone().filter(|_| pair.peer.is_none()),
            authority: spot.authority.clone(),
            method: method.clone(),
            target: target.clone(),
            token,
            beside,
        });
        let direction = match (gain.aspect, to) {
            (Aspect::Observed, _) => Direction::Note,
            (_, Which::New) => Direction::Widens,
            (_, Which::Old) => Direction::Narrows,
        };
        let aspect = match (gain.aspect, to) {
            (Aspect::Observed, Which::Old) => Aspect::NotObserved,
            (aspect, _) => aspect,
        };
        let key = Key {
            direction,
            aspect,
            to,
            blame: blame.map(|(side, rule)| (side.which, rule)),
            grants: grants.map(|(side, rule)| (side.which, rule)),
        };
        let swapped = gain.swaps.iter().map(|swap| Swapped {
            credential: swap.name.to_owned(),
            stub: swap.stub.to_owned(),
            slot: swap.slot.clone(),
            source: swap.source.to_owned(),
        });
        let piece = Piece {
            paths: path.into_iter().collect(),
            swapped: swapped.collect(),
            slots: gain.slots.iter().map(|slot| (*slot).clone()).collect(),
            witness,
            ..Piece::at(pairs, host, spot.kind, methods.clone())
        };
        (key, piece)
    }

    /// A text that is nobody's stub.
    fn foreign(&self) -> String {
        let mut text = "some-other-credential".to_owned();
        let is_stub = |text: &str| [self.old, self.new].iter().any(|side| side.policy.stubs().any(|stub| stub == text));
        while is_stub(&text) {
            text.push('x');
        }
        text
    }

    /// Where a connection is let through now although no request is, or the other way round.
    fn connects(&mut self, spot: &Spot<'_>, rules: &Rules, pairs: &[usize], reached: (bool, bool)) {
        let Some(pair) = pairs.first().and_then(|pair| self.pairs.all().get(*pair)) else { return };
        let connects = |side: &Side<'_>| {
            side.which.agent(pair).is_some_and(|agent| {
                let ask = Ask::new(agent, ConnectStage { authority: &spot.authority });
                side.policy.decide(&ask).granted().is_some()
            })
        };
        let (before, after) = (connects(self.old), connects(self.new));
        let (to, side, rules, aspect) = match (before, after) {
            (false, true) if !reached.0 => (Which::New, self.new, &rules.1, Aspect::Connect),
            (true, false) if !reached.1 => (Which::Old, self.old, &rules.0, Aspect::NoConnect),
            _ => return,
        };
        let granting: Vec<RuleId> =
            rules.iter().copied().filter(|rule| side.policy.rule(*rule).effect != Effect::Deny).collect();
        let host = host_text(side, spot, &granting);
        let key = Key { direction: Direction::Note, aspect, to, blame: None, grants: None };
        self.found.push((key, Piece::at(pairs, host, spot.kind, MethodsText::default())));
    }
}

/// The narrowest host of these rules that covers the place, with the place's scheme and port.
fn host_text(side: &Side<'_>, spot: &Spot<'_>, rules: &[RuleId]) -> Option<HostRule> {
    let hosts = rules.iter().flat_map(|rule| &side.policy.rule(*rule).hosts);
    let covering = hosts.filter(|host| host.ends.cover(&spot.authority) && host.pattern.covers(spot.host));
    let narrowest = covering.max_by_key(|host| narrowness(&host.pattern))?;
    Some(HostRule { pattern: narrowest.pattern.clone(), ends: spot.ends })
}

fn narrowness(pattern: &HostPattern) -> (u8, usize) {
    match pattern {
        HostPattern::Any => (0, 0),
        HostPattern::Deep(base) => (1, base.labels().count()),
        HostPattern::One(base) => (2, base.labels().count()),
        HostPattern::Exact(_) | HostPattern::Ip(_) => (3, 0),
    }
}

fn method(name: &str) -> Option<Method> {
    let websocket = Method::websocket();
    if name == websocket.as_str() { Some(websocket) } else { Method::parse(name.as_bytes()).ok() }
}

/// A method that no rule here names; a well-known one if there is any left, so that an example looks like a request.
fn fresh(named: &BTreeSet<String>) -> Method {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].map(str::to_owned);
    let other = (0..).map(|n| format!("METHOD{n}"));
    let free = known.into_iter().chain(other).find(|name| !named.contains(name));
    free.and_then(|name| method(&name)).unwrap_or(Method::GET)
}

/// Most kinds of paths that are looked at to say whether a pattern is concerned in part only.
const MOST_OTHERS: usize = 1000;
