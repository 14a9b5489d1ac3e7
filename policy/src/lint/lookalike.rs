//! Hosts that a reader takes for others: letters of another alphabet, mixed alphabets, digits for letters.
//!
//! Names are compared by what they look like (a small part of Unicode's confusables, UTS 39), and that only to warn:
//! no decision ever sees these texts.

mod letters;

use std::collections::{BTreeMap, HashMap};

use super::Lint;
use super::written::Place;
use crate::diagnostic::codes;
use crate::model::Name;
use crate::model::hosts::{HostPattern, HostRule};

pub(super) fn check(lint: &mut Lint<'_>) {
    let names = names(lint);
    let mut looks: HashMap<String, &Name> = HashMap::with_capacity(names.len());
    let mut likes: Vec<(&Name, &Name)> = Vec::new();
    for name in names.keys() {
        let shown = shown(name);
        let look = letters::look(&shown);
        if name.as_str().contains("xn--") {
            disguise(lint, name, &shown, &look, &names);
        }
        match looks.get(&look) {
            Some(first) => likes.push((first, name)),
            None => {
                looks.insert(look, name);
            }
        }
    }
    for (first, second) in likes {
        let (Some(one), Some(other)) = (place(lint, &names, first), place(lint, &names, second)) else { continue };
        let mut labels = [(one, first), (other, second)];
        labels.sort_by_key(|(place, _)| place.order());
        let [(_, first), (_, second)] = &labels;
        let message = format!("`{}` looks like `{}`", shown(second), shown(first));
        let labels = labels.into_iter().rev().map(|(place, name)| (place, spelt(name))).collect();
        let help = "if they are one host, write it in one way; if not, make sure that both are meant".to_owned();
        lint.report(codes::LOOKALIKE, message, labels, help);
    }
}

/// A name in another alphabet that reads as ASCII, or one with letters of several.
fn disguise(lint: &mut Lint<'_>, name: &Name, shown: &str, look: &str, names: &BTreeMap<Name, At>) {
    let Some(place) = place(lint, names, name) else { return };
    let message = if idna::domain_to_unicode(name.as_str()).1.is_err() {
        format!("`{name}` is not a name that IDNA knows, so that nobody can tell how it will be shown")
    } else if names.contains_key(look) {
        // Both are shown together.
        return;
    } else if look.is_ascii() {
        format!("`{shown}` can be taken for `{look}`")
    } else if shown.split('.').any(letters::is_mixed) {
        format!("`{shown}` mixes alphabets")
    } else {
        return;
    };
    let help = format!("make sure that `{name}` is meant, and write it so");
    lint.report(codes::LOOKALIKE, message, vec![(place, spelt(name))], help);
}

fn spelt(name: &Name) -> String {
    let shown = shown(name);
    if shown == name.as_str() || shown.contains('\u{fffd}') { String::new() } else { format!("on the wire: {name}") }
}

/// As people read it.
fn shown(name: &Name) -> String {
    if name.as_str().contains("xn--") { idna::domain_to_unicode(name.as_str()).0 } else { name.as_str().to_owned() }
}

/// Where a name was first seen: owner and position in its hosts.
#[derive(Clone, Copy)]
enum At {
    Rule(usize, usize),
    Credential(usize, usize),
}

fn names(lint: &Lint<'_>) -> BTreeMap<Name, At> {
    let mut names = BTreeMap::new();
    let mut note = |host: &HostRule, at: At| {
        if let HostPattern::Exact(name) | HostPattern::One(name) | HostPattern::Deep(name) = &host.pattern {
            names.entry(name.clone()).or_insert(at);
        }
    };
    for (owner, credential) in lint.policy.credentials().iter().enumerate() {
        credential.hosts.iter().enumerate().for_each(|(at, host)| note(host, At::Credential(owner, at)));
    }
    for (owner, rule) in lint.policy.rules().iter().enumerate() {
        rule.hosts.iter().enumerate().for_each(|(at, host)| note(host, At::Rule(owner, at)));
    }
    names
}

fn place(lint: &Lint<'_>, names: &BTreeMap<Name, At>, name: &Name) -> Option<Place> {
    match *names.get(name)? {
        At::Rule(owner, at) => lint.written.host(lint.policy.rules().get(owner)?.name(), at),
        At::Credential(owner, at) => lint.written.credential_host(lint.policy.credentials().get(owner)?.name(), at),
    }
}
