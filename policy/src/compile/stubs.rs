//! Stubs must be found whole, told apart, and stand for one credential an agent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::Draft;
use super::reader::{Item, Reader};
use crate::diagnostic::{Diagnostic, codes};
use crate::model::policy::AgentSet;
use crate::model::{AgentId, Credential, path};

/// Shortest stub in bytes: a shorter one would be found in innocent text.
const MIN: usize = 8;
/// Longest stub in bytes.
const MAX: usize = 512;

/// Letters, digits, `-`, `.`, `_` and `~`: the bytes that stand for themselves in a header, in Basic and in a URL, so
/// that a scanner finds a stub wherever it is put.
pub(super) fn check_shape(stub: &Item<'_>, reader: &mut Reader<'_>) -> bool {
    let text = stub.value.as_str();
    let message = match text.len() {
        short if short < MIN => format!("the stub has fewer than {MIN} characters"),
        long if long > MAX => format!("the stub has more than {MAX} characters"),
        _ if !text.bytes().all(path::is_unreserved) => "the stub holds a character that is no part of a token".into(),
        _ => return true,
    };
    let bad = Diagnostic::error(codes::BAD_STUB, message);
    reader.report(bad, stub.span, "", "letters, digits, `-`, `.`, `_` and `~`, 8 to 512 of them");
    false
}

/// A stub, by the credential that it stands for.
#[derive(Clone, Copy, Debug)]
struct Holder {
    credential: usize,
    /// Whether it stands for the refresh token.
    is_refresh: bool,
}

type ByStub<'a> = BTreeMap<&'a str, Vec<Holder>>;

/// What can be said only when all credentials and rules are known.
pub(super) fn check(draft: &mut Draft) {
    let mut by_stub = ByStub::new();
    for (credential, held) in draft.parts.credentials.iter().enumerate() {
        for (stub, is_refresh) in [(Some(held.stub()), false), (held.refresh_stub(), true)] {
            if let Some(stub) = stub.filter(|stub| !stub.is_empty()) {
                by_stub.entry(stub).or_default().push(Holder { credential, is_refresh });
            }
        }
    }
    let mut found = clashes(&by_stub, draft);
    for holders in by_stub.values().filter(|holders| holders.len() > 1) {
        let (refresh, access): (Vec<Holder>, Vec<Holder>) = holders.iter().partition(|holder| holder.is_refresh);
        if let (Some(refresh), Some(access)) = (refresh.first(), access.first()) {
            found.push(same(*refresh, *access, draft));
            continue;
        }
        found.extend(shared(holders, draft));
    }
    draft.found.extend(found);
}

/// A stub inside another: replacing the one would leave part of the other.
fn clashes(by_stub: &ByStub<'_>, draft: &Draft) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (long, owners) in by_stub {
        let tails = (0..long.len()).filter_map(|at| long.get(at..));
        // All but the last byte of the whole, which would be the stub itself.
        let tails =
            tails.enumerate().filter_map(|(at, tail)| if at == 0 { tail.get(..tail.len() - 1) } else { Some(tail) });
        let inside: BTreeSet<(usize, &str)> =
            tails.flat_map(|tail| heads(by_stub, tail)).map(|stub| (stub.len(), stub)).collect();
        for (_, part) in inside {
            if let (Some([inner, ..]), [outer, ..]) = (by_stub.get(part).map(Vec::as_slice), owners.as_slice()) {
                found.push(clash(*inner, *outer, draft));
            }
        }
    }
    found
}

/// The stubs that a text begins with. In the order of texts, what it begins with comes right before it, but for what
/// shares a shorter beginning with it.
fn heads<'a>(by_stub: &ByStub<'a>, text: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut rest = text;
    while rest.len() >= MIN {
        let Some((stub, _)) = by_stub.range::<str, _>((Bound::Unbounded, Bound::Included(rest))).next_back() else {
            break;
        };
        let common = rest.bytes().zip(stub.bytes()).take_while(|(a, b)| a == b).count();
        if common == stub.len() {
            found.push(*stub);
        }
        let left = if common == stub.len() { common - 1 } else { common };
        rest = rest.get(..left).unwrap_or_default();
    }
    found
}

fn clash(inner: Holder, outer: Holder, draft: &Draft) -> Diagnostic {
    let message = format!("{} is part of {}", named(inner, draft), named(outer, draft));
    let clash = at_both(Diagnostic::error(codes::STUB_CLASH, message), outer, inner, draft);
    clash.help("give each stub an ending of its own, and all the same length")
}

/// A refresh stub that is also a stub: whoever presents it could mean either.
fn same(refresh: Holder, access: Holder, draft: &Draft) -> Diagnostic {
    let message = format!("{} is {}", named(refresh, draft), named(access, draft));
    let same = at_both(Diagnostic::error(codes::STUB_CLASH, message), refresh, access, draft);
    same.help("give the refresh token a stub of its own, such as `refresh-token-stub`")
}

/// Credentials with one stub are fine as long as no agent is granted two of them.
fn shared(holders: &[Holder], draft: &Draft) -> Option<Diagnostic> {
    let mut granted: HashMap<AgentId, Holder> = HashMap::new();
    let everyone: Vec<AgentId> = (0..draft.parts.agents.len()).filter_map(AgentId::at).collect();
    for rule in &draft.parts.rules {
        for id in &*rule.credentials {
            let Some(holder) = holders.iter().find(|holder| holder.credential == id.index()) else { continue };
            let agents = match &rule.agents {
                AgentSet::Every => &everyone,
                AgentSet::Some(ids) => &**ids,
            };
            for agent in agents {
                let other = *granted.entry(*agent).or_insert(*holder);
                if other.credential != holder.credential {
                    return Some(both(*agent, *holder, other, draft));
                }
            }
        }
    }
    None
}

fn both(agent: AgentId, one: Holder, other: Holder, draft: &Draft) -> Diagnostic {
    let agent = draft.parts.agents.get(agent.index()).map_or("", |agent| agent.name());
    let (one, other) = if one.credential < other.credential { (one, other) } else { (other, one) };
    let message = format!(
        "`{}` and `{}` have the same {}, and the agent `{agent}` is granted both",
        owner(one, draft),
        owner(other, draft),
        kind(one),
    );
    let shared = at_both(Diagnostic::error(codes::STUB_SHARED, message), other, one, draft);
    shared.help("agent and stub must select one credential: change one of the stubs")
}

fn owner(holder: Holder, draft: &Draft) -> &str {
    draft.parts.credentials.get(holder.credential).map_or("", Credential::name)
}

fn kind(holder: Holder) -> &'static str {
    if holder.is_refresh { "refresh stub" } else { "stub" }
}

fn named(holder: Holder, draft: &Draft) -> String {
    format!("the {} of `{}`", kind(holder), owner(holder, draft))
}

fn at_both(mut diagnostic: Diagnostic, first: Holder, second: Holder, draft: &Draft) -> Diagnostic {
    for holder in [first, second] {
        let places = if holder.is_refresh { &draft.refresh_stub_places } else { &draft.stub_places };
        if let Some(Some(place)) = places.get(holder.credential) {
            diagnostic = diagnostic.at(place.file, place.span.clone(), format!("of `{}`", owner(holder, draft)));
        }
    }
    diagnostic
}
