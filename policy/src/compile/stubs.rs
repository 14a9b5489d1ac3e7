//! Stubs must be found whole, told apart, and stand for one credential an agent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::Draft;
use super::reader::{Item, Place, Reader};
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

/// What can be said only when all credentials and rules are known.
pub(super) fn check(draft: &mut Draft) {
    let mut by_stub: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, credential) in draft.parts.credentials.iter().enumerate() {
        if !credential.stub.is_empty() {
            by_stub.entry(&credential.stub).or_default().push(at);
        }
    }
    let mut found = clashes(&by_stub, &draft.stub_places, &draft.parts.credentials);
    for sharers in by_stub.values().filter(|sharers| sharers.len() > 1) {
        found.extend(shared(sharers, draft));
    }
    draft.found.extend(found);
}

/// A stub inside another: replacing the one would leave part of the other.
fn clashes(
    by_stub: &BTreeMap<&str, Vec<usize>>,
    places: &[Option<Place>],
    credentials: &[Credential],
) -> Vec<Diagnostic> {
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
                found.push(clash(*inner, *outer, places, credentials));
            }
        }
    }
    found
}

/// The stubs that a text begins with. In the order of texts, what it begins with comes right before it, but for what
/// shares a shorter beginning with it.
fn heads<'a>(by_stub: &BTreeMap<&'a str, Vec<usize>>, text: &str) -> Vec<&'a str> {
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

fn clash(inner: usize, outer: usize, places: &[Option<Place>], credentials: &[Credential]) -> Diagnostic {
    let name = |at: usize| credentials.get(at).map_or("", Credential::name);
    let message = format!("the stub of `{}` is part of the stub of `{}`", name(inner), name(outer));
    let mut clash = Diagnostic::error(codes::STUB_CLASH, message);
    for at in [outer, inner] {
        if let Some(Some(place)) = places.get(at) {
            clash = clash.at(place.file, place.span.clone(), format!("of `{}`", name(at)));
        }
    }
    clash.help("give each stub an ending of its own, and all the same length")
}

/// Credentials with one stub are fine as long as no agent is granted two of them.
fn shared(sharers: &[usize], draft: &Draft) -> Option<Diagnostic> {
    let mut holder: HashMap<AgentId, usize> = HashMap::new();
    let everyone: Vec<AgentId> = (0..draft.parts.agents.len()).filter_map(AgentId::at).collect();
    for rule in &draft.parts.rules {
        for credential in rule.credentials.iter().map(|id| id.index()).filter(|id| sharers.contains(id)) {
            let agents = match &rule.agents {
                AgentSet::Every => &everyone,
                AgentSet::Some(ids) => &**ids,
            };
            for agent in agents {
                let other = *holder.entry(*agent).or_insert(credential);
                if other != credential {
                    return Some(both(*agent, credential, other, draft));
                }
            }
        }
    }
    None
}

fn both(agent: AgentId, one: usize, other: usize, draft: &Draft) -> Diagnostic {
    let name = |at: usize| draft.parts.credentials.get(at).map_or("", Credential::name);
    let agent = draft.parts.agents.get(agent.index()).map_or("", |agent| agent.name());
    let (one, other) = (one.min(other), one.max(other));
    let message =
        format!("`{}` and `{}` have the same stub, and the agent `{agent}` is granted both", name(one), name(other));
    let mut shared = Diagnostic::error(codes::STUB_SHARED, message);
    for at in [other, one] {
        if let Some(Some(place)) = draft.stub_places.get(at) {
            shared = shared.at(place.file, place.span.clone(), format!("of `{}`", name(at)));
        }
    }
    shared.help("agent and stub must select one credential: change one of the stubs")
}
