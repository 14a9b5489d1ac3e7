//! Two policies compared by meaning: what is newly reachable, by whom, with which credential, and what no longer is.
//!
//! Names of rules and agents, their order, and the files that they stand in mean nothing here; what an agent can do
//! does. The modules go from wide to narrow: `pairs` (whose requests), `places` (to which hosts), `compare` (with which
//! methods), `paths` (and which paths), `outcome` (what comes of them), `parts` (put together for people), `text` (and
//! written down).
//!
//! Law 1: what matches is asked of the matchers that `decide` uses, never worked out anew. What can't be compared in
//! reasonable time is reported as if it widened; nothing that may widen is left out.

mod bound;
mod compare;
mod limits;
mod names;
mod outcome;
mod pairs;
mod parts;
mod paths;
mod places;
mod pods;
mod side;
mod text;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use self::compare::Comparison;
use self::pairs::Pairs;
use self::parts::{Key, MethodsText, PathSpot, Piece, Swapped};
use self::places::{Kind, Places};
use self::side::{Numbers, Side, Which};
use crate::decide::{HostIndex, NameStage, RequestStage, SlotRef};
use crate::model::hosts::HostPattern;
use crate::model::{AgentId, Authority, Effect, Host, HostRule, Method, Policy, Slot, Target};
use crate::pods::PodSelector;

/// How two policies differ.
#[derive(Debug)]
pub struct Diff {
    changes: Vec<Change>,
    pairs: Pairs,
    places: Places,
    complete: bool,
}

/// One thing that differs.
#[derive(Debug, Serialize)]
pub struct Change {
    /// Whether agents can do more, or less, or neither.
    pub direction: Direction,
    /// What it is about.
    pub aspect: Aspect,
    /// The rule responsible, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleText>,
    /// The rule that allows, where the one responsible is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_by: Option<String>,
    /// Agents by name; with their addresses where only some of an agent's are concerned.
    pub agents: Vec<String>,
    /// Hosts as rules write them.
    pub hosts: Vec<String>,
    /// Whether the hosts cover more than what differs.
    pub hosts_in_part: bool,
    /// Methods; `any` for all but `methods_except`.
    pub methods: Vec<String>,
    /// Methods that `any` doesn't mean here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods_except: Vec<String>,
    /// Paths as rules write them; `all`; and `odd` for those without a canonical form.
    pub paths: Vec<String>,
    /// Whether the paths cover more than what differs.
    pub paths_in_part: bool,
    /// Credentials by name that can be swapped there.
    pub credentials: Vec<String>,
    /// Stubs that are concerned, each with its slot and with what it stands for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stubs: Vec<String>,
    /// Places, as credentials declare them, in which credentials are looked for under one of the policies only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<String>,
    /// Types of DNS records, by number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<u16>,
    /// Limits of the agents, as they were and as they are: `requests_per_minute 60 -> 120`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// A request that is answered differently.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    #[serde(skip)]
    piece: Piece,
}

/// Whether agents can do more or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Something is allowed that was not.
    Widens,
    /// Something is no longer allowed.
    Narrows,
    /// What passes is the same, but something about it is not.
    Note,
}

/// What a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Whether requests pass.
    Reach,
    /// Whether a stub is swapped in requests that pass anyway.
    Credential,
    /// Whether requests pass that swap nothing (`credential_required`).
    WithoutCredential,
    /// Whether credentials pass that are no stubs (`foreign_credentials`, and hosts that credentials are bound to).
    ForeignCredential,
    /// Whether credentials that are no stubs pass in some place, because no credential bound to the host declares it.
    ForeignPlace,
    /// Whether requests that swap may ask for ranges (`ranges`).
    Ranges,
    /// Whether a stub in a body passes (`stub_in_body`).
    StubInBody,
    /// What is done about a known kind of credential in a response (`credential_in_response`).
    CredentialInResponse,
    /// Which bodies pass (`body`, `graphql`).
    Body,
    /// Which names may be asked of a zone's own servers (`dns`).
    Dns,
    /// Too much to compare: it may differ.
    Unclear,
    /// How much agents may do (`limits`).
    Limits,
    /// Denied still, but the name resolves and heads are read and recorded.
    Observed,
    /// Denied still, and no longer observed.
    NotObserved,
    /// Connections are let through now, although every request on them is denied still.
    Connect,
    /// Connections are no longer let through, on which every request was denied.
    NoConnect,
    /// A text is a stub now, and refused wherever it has no business.
    Stub,
    /// A text is no longer a stub.
    NoStub,
}

/// A rule of one of the policies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleText {
    /// Its name.
    pub name: String,
    /// `allow`, `deny` or `observe`.
    pub effect: &'static str,
    /// `old` or `new`: where it stands as it is meant here.
    pub policy: &'static str,
}

/// A request that the two policies answer differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Who asks.
    pub agent: String,
    /// From which address; `None` where agents are told by their pods.
    pub peer: Option<IpAddr>,
    /// In which pods, where there is no address.
    pub pod: Option<PodSelector>,
    /// Where.
    pub authority: Authority,
    /// How.
    pub method: Method,
    /// For what.
    pub target: Target,
    /// What stands in a credential place, if something must.
    pub token: Option<(Slot, String)>,
    /// A stub that stands in another place of the same request.
    pub beside: Option<(Slot, String)>,
}

impl Diff {
    /// Compares two policies.
    pub fn between(old: &Policy, new: &Policy) -> Diff {
        Diff::within(old, new, ENOUGH)
    }

    /// Compares two policies, spending so much at most: about one for each rule, agent and step of a path that is
    /// looked at; a million takes some tenths of a second. If that is not enough, a change says so, and the rest is
    /// missing.
    pub fn within(old: &Policy, new: &Policy, effort: usize) -> Diff {
        let pairs = Pairs::new(old, new);
        let places = Places::new(old, new);
        let mut numbers = Numbers::default();
        let mut before = Side::new(Which::Old, old, &pairs, &mut numbers);
        let mut after = Side::new(Which::New, new, &pairs, &mut numbers);
        before.learn(&numbers);
        after.learn(&numbers);
        let mut comparison = Comparison::new(&before, &after, &pairs, effort);
        let complete = comparison.run(&places) && pairs.complete();
        let found = parts::join(comparison.found);
        let covered = Covered::new(&places, &found);
        let mut changes: Vec<Change> =
            found.into_iter().map(|(key, piece)| Change::new(old, new, &pairs, &covered, key, piece)).collect();
        changes.extend(limits::changes(old, new, &pairs));
        changes.extend(stubs(old, new));
        if !complete {
            let key = Key {
                direction: Direction::Widens,
                aspect: Aspect::Unclear,
                to: Which::New,
                blame: None,
                grants: None,
            };
            changes.insert(0, Change::new(old, new, &pairs, &covered, key, Piece::nothing()));
        }
        changes.sort_by_key(|change| change.direction);
        Diff { changes, pairs, places, complete }
    }

    /// What differs: first what widens, then what narrows, then the rest.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Whether anything widens, or may.
    pub fn widens(&self) -> bool {
        self.changes.iter().any(|change| change.direction == Direction::Widens)
    }

    /// How many changes have this direction.
    pub fn count(&self, direction: Direction) -> usize {
        self.changes.iter().filter(|change| change.direction == direction).count()
    }

    /// The changes that this request from that address falls under.
    pub fn covering(&self, peer: IpAddr, request: &RequestStage<'_>) -> impl Iterator<Item = &Change> {
        self.covering_pair(self.pairs.at(peer), request)
    }

    /// The changes that this request falls under, from whatever is one agent of the old policy and one of the new.
    pub fn covering_agents(
        &self,
        old: Option<AgentId>,
        new: Option<AgentId>,
        request: &RequestStage<'_>,
    ) -> impl Iterator<Item = &Change> {
        self.covering_pair(self.pairs.of((old, new)), request)
    }

    fn covering_pair(&self, pair: Option<usize>, request: &RequestStage<'_>) -> impl Iterator<Item = &Change> {
        let kind = self.places.of(request.authority.host());
        self.changes.iter().filter(move |change| change.covers(self.complete, pair, kind, request))
    }

    /// The changes that a question for this name from that address falls under.
    pub fn covering_name(&self, peer: IpAddr, question: &NameStage<'_>) -> impl Iterator<Item = &Change> {
        let pair = self.pairs.at(peer);
        let kind = self.places.of(&Host::Name(question.name.clone()));
        let number = u16::from(question.kind);
        self.changes.iter().filter(move |change| {
            let piece = &change.piece;
            let pair = pair.is_some_and(|pair| piece.pairs.contains(&pair));
            let kind = kind.is_some_and(|kind| piece.hosts.values().any(|kinds| kinds.contains(&kind)));
            !self.complete || (change.aspect == Aspect::Dns && pair && kind && piece.types.contains(&number))
        })
    }
}

impl Change {
    fn new(old: &Policy, new: &Policy, pairs: &Pairs, covered: &Covered, key: Key, piece: Piece) -> Change {
        let rule = |(which, id)| {
            let policy = match which {
                Which::Old => old,
                Which::New => new,
            };
            let rule = policy.rule(id);
            RuleText {
                name: rule.name().to_owned(),
                effect: match rule.effect() {
                    Effect::Allow => "allow",
                    Effect::Deny => "deny",
                    Effect::Observe => "observe",
                },
                policy: match which {
                    Which::Old => "old",
                    Which::New => "new",
                },
            }
        };
        let mut agents: Vec<String> =
            piece.pairs.iter().filter_map(|at| pairs.all().get(*at)).map(|pair| pair.name.to_string()).collect();
        agents.sort_unstable();
        let mut credentials: Vec<String> = piece.swapped.iter().map(|swapped| swapped.credential.clone()).collect();
        credentials.dedup();
        let (methods, methods_except) = methods(&piece.methods);
        Change {
            direction: key.direction,
            aspect: key.aspect,
            rule: key.blame.map(rule),
            allowed_by: key.grants.filter(|_| key.grants != key.blame).map(|grants| rule(grants).name),
            agents,
            hosts: piece.hosts.keys().map(ToString::to_string).collect(),
            hosts_in_part: piece.hosts.iter().any(|(host, kinds)| covered.of(host) > kinds.len()),
            methods,
            methods_except,
            paths: paths(&piece),
            paths_in_part: piece.in_part,
            credentials,
            stubs: stub_texts(key.aspect, &piece),
            slots: piece.slots.iter().map(Slot::to_string).collect(),
            types: piece.types.iter().copied().collect(),
            limits: Vec::new(),
            witness: piece.witness.clone(),
            piece,
        }
    }

    fn covers(&self, complete: bool, pair: Option<usize>, kind: Option<Kind>, request: &RequestStage<'_>) -> bool {
        match self.aspect {
            Aspect::Unclear if !complete && self.piece.pairs.is_empty() => true,
            Aspect::Stub | Aspect::NoStub => {
                let is_stub = |text: &[u8]| self.piece.swapped.iter().any(|swapped| swapped.stub.as_bytes() == text);
                request.tokens.iter().any(|token| is_stub(token.text))
            }
            aspect => match (pair, kind) {
                (Some(pair), Some(kind)) => self.piece.covers(aspect, pair, kind, request),
                _ => false,
            },
        }
    }
}

impl Witness {
    /// The least odd example is shown.
    fn oddness(&self) -> (bool, bool, usize) {
        let path = self.target.as_str();
        (matches!(self.target, Target::Odd { .. }), path.contains('%'), path.len())
    }

    /// What stands in credential places, and where, for a question to [`Policy::decide`]. A policy that does not look
    /// at a place sees nothing there.
    pub fn held(&self) -> impl Iterator<Item = (SlotRef<'_>, &str)> {
        [&self.token, &self.beside].into_iter().flatten().map(|(slot, text)| (place(slot), text.as_str()))
    }
}

fn place(slot: &Slot) -> SlotRef<'_> {
    match slot {
        Slot::Bearer => SlotRef::Bearer,
        Slot::Basic => SlotRef::Basic(crate::BasicField::Password),
        Slot::Bare => SlotRef::Bare,
        Slot::Header(name) => SlotRef::Header(name),
        Slot::Query(name) => SlotRef::Query(name),
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.authority.host_header();
        write!(f, "{}: {} {}://{host}{}", self.agent, self.method, self.authority.scheme(), self.target.as_str())?;
        if let Some((slot, text)) = &self.token {
            write!(f, " with {text} as {slot}")?;
        }
        if let Some((slot, text)) = &self.beside {
            write!(f, " beside {text} as {slot}")?;
        }
        Ok(())
    }
}

/// How many kinds of hosts a pattern covers in all.
#[derive(Default)]
struct Covered {
    at: HashMap<HostPattern, usize>,
    counts: Vec<usize>,
}

impl Covered {
    fn new(places: &Places, found: &[(Key, Piece)]) -> Covered {
        let mut covered = Covered::default();
        let mut patterns: HostIndex<Option<usize>> = HostIndex::default();
        for HostRule { pattern, .. } in found.iter().flat_map(|(_, piece)| piece.hosts.keys()) {
            let next = covered.counts.len();
            if *covered.at.entry(pattern.clone()).or_insert(next) == next {
                covered.counts.push(0);
                *patterns.at(pattern) = Some(next);
            }
        }
        if !found.is_empty() {
            for host in places.all().filter_map(|(_, host)| host) {
                patterns.find(&host, |at| {
                    if let Some(count) = at.and_then(|at| covered.counts.get_mut(at)) {
                        *count += 1;
                    }
                });
            }
        }
        covered
    }

    fn of(&self, host: &HostRule) -> usize {
        self.at.get(&host.pattern).and_then(|at| self.counts.get(*at)).copied().unwrap_or(0)
    }
}

fn methods(text: &MethodsText) -> (Vec<String>, Vec<String>) {
    match text.except() {
        Some(except) => (vec!["any".into()], except.cloned().collect()),
        None => (text.named.iter().cloned().collect(), Vec::new()),
    }
}

fn paths(piece: &Piece) -> Vec<String> {
    let odd = !piece.paths.contains(&PathSpot::All);
    let text = |path: &PathSpot| match path {
        PathSpot::All => Some("all".to_owned()),
        PathSpot::Pattern { text, .. } => Some(text.clone()),
        PathSpot::Odd => odd.then(|| "odd".to_owned()),
    };
    piece.paths.iter().filter_map(text).collect()
}

/// Texts that are stubs in one of the policies only.
fn stubs(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut changes = Vec::new();
    for (policy, other, aspect) in [(new, old, Aspect::Stub), (old, new, Aspect::NoStub)] {
        let access = policy.credentials().iter().map(|credential| (credential, credential.stub(), false));
        let refresh =
            policy.credentials().iter().filter_map(|credential| Some((credential, credential.refresh_stub()?, true)));
        for (credential, stub, is_refresh) in access.chain(refresh) {
            if other.stubs().any(|known| known == stub) {
                continue;
            }
            let mut piece = Piece::nothing();
            let source = words::reading(credential.reading());
            let stubs = if is_refresh {
                vec![format!("{stub} for the refresh token of {source}")]
            } else {
                let swapped = credential.slots().iter().map(|slot| Swapped {
                    credential: credential.name().to_owned(),
                    stub: stub.to_owned(),
                    slot: slot.clone(),
                    source: source.clone(),
                });
                piece.swapped = swapped.collect();
                stub_texts(aspect, &piece)
            };
            changes.push(Change {
                direction: Direction::Note,
                aspect,
                rule: None,
                allowed_by: None,
                agents: Vec::new(),
                hosts: Vec::new(),
                hosts_in_part: false,
                methods: Vec::new(),
                methods_except: Vec::new(),
                paths: Vec::new(),
                paths_in_part: false,
                credentials: vec![credential.name().to_owned()],
                stubs,
                slots: Vec::new(),
                types: Vec::new(),
                limits: Vec::new(),
                witness: None,
                piece,
            });
        }
    }
    changes
}

/// Stubs where they are what it is about.
fn stub_texts(aspect: Aspect, piece: &Piece) -> Vec<String> {
    let mut by_stub: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    if matches!(aspect, Aspect::Credential | Aspect::Stub | Aspect::NoStub) {
        for swapped in &piece.swapped {
            by_stub.entry((&swapped.stub, &swapped.source)).or_default().push(swapped.slot.to_string());
        }
    }
    let text = |((stub, source), slots): ((&str, &str), Vec<String>)| {
        format!("{stub} as {}, from {source}", slots.join(" or "))
    };
    by_stub.into_iter().map(text).collect()
}

/// What a comparison may spend where a person waits for it.
const ENOUGH: usize = 2_000_000_000;
