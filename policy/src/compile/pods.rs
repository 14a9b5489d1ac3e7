//! `pods:` of an agent: what a pod can have, and that no selector lies wholly within one of another agent.

use std::collections::HashMap;

use super::reader::{Found, Place, Reader};
use crate::diagnostic::{Diagnostic, codes};
use crate::model::Agent;
use crate::pods::{PodSelector, Pods, is_label, is_namespace};
use crate::raw::{self, Given};

/// The selectors of an agent, each with its place.
pub(super) fn read(
    list: &Found<'_, Vec<Given<raw::PodSelector>>>,
    reader: &mut Reader<'_>,
) -> Vec<(PodSelector, Place)> {
    if list.value.is_empty() {
        let empty = Diagnostic::error(codes::EMPTY_LIST, "the list is empty");
        reader.report(empty, list.span, "", "write an entry, or remove the key; nothing never means everything");
    }
    let mut read: Vec<(PodSelector, Place)> = Vec::new();
    let mut seen: HashMap<PodSelector, raw::Span> = HashMap::new();
    for found in list.value.iter().filter_map(|given| reader.value(given)).collect::<Vec<_>>() {
        let Some(selector) = selector(found.value, found.span, reader) else { continue };
        if let Some(first) = seen.insert(selector.clone(), found.span.clone()) {
            let repeated = Diagnostic::error(codes::REPEATED, "these pods stand twice in this list")
                .at(reader.file, found.span.clone(), "second")
                .at(reader.file, first, "first");
            reader.found.push(repeated);
        }
        read.push((selector, reader.place(found.span)));
    }
    read
}

/// Reports selectors all of whose pods are another agent's too: they would be nobody.
pub(super) fn overlaps(pods: &Pods, places: &[Place], agents: &[Agent], found: &mut Vec<Diagnostic>) {
    let name = |at: crate::model::AgentId| agents.get(at.index()).map_or("", Agent::name);
    for (at, own) in pods.selectors().iter().enumerate() {
        let least = own.selector.least();
        let others = pods.fitting(&least).filter(|(_, other)| other.agent != own.agent);
        // Of two that are the same, the second is told.
        let others = others.filter(|(other, of)| *other < at || !own.selector.fits(&of.selector.least()));
        for (other, of) in others.take(MOST_OF_ONE) {
            let (Some(place), Some(around)) = (places.get(at), places.get(other)) else { continue };
            let message = format!(
                "every pod of this selector belongs to two agents, `{}` and `{}`, and so to none",
                name(own.agent),
                name(of.agent)
            );
            let overlap = Diagnostic::error(codes::POD_OVERLAP, message)
                .at(place.file, place.span.clone(), format!("`{}`", name(own.agent)))
                .at(around.file, around.span.clone(), format!("`{}` has them too", name(of.agent)));
            found.push(overlap.help("tell the agents apart by a label, a service account or a namespace"));
        }
    }
}

fn selector(given: &raw::PodSelector, span: &raw::Span, reader: &mut Reader<'_>) -> Option<PodSelector> {
    reader.unknown(&given.unknown, raw::PodSelector::KEYS);
    let namespace = reader.required(&given.namespace, "namespace", span).and_then(|text| {
        let help = "lower-case letters, digits and `-`, at most 63; no pattern: write an entry for each namespace";
        check(is_namespace(text.value), "a namespace", text.value, text.span, help, reader)
    });
    let service_account = reader.optional(&given.service_account).map(|text| {
        let help = "its name alone: lower-case letters, digits, `-` and `.`; the namespace stands beside it";
        check(is_subdomain(text.value), "a service account", text.value, text.span, help, reader)
    });
    let mut labels = Vec::new();
    // Without what a slip of a key was to say it would fit too much, and be told for that.
    let mut good = given.unknown.is_empty();
    if let Some(list) = reader.optional(&given.labels) {
        if list.value.0.is_empty() {
            let empty = Diagnostic::error(codes::EMPTY_LIST, "the map is empty");
            reader.report(empty, list.span, "", "write a label, or remove the key; nothing never means everything");
            good = false;
        }
        for (key, span, value) in &list.value.0 {
            let help = "as Kubernetes has it: `app`, or `app.kubernetes.io/name`";
            let key = check(is_label_key(key), "the key of a label", key, span, help, reader);
            let value = reader.value(value).and_then(|text| {
                let help = "letters, digits, `-`, `_` and `.`, at most 63; no pattern and no list";
                check(is_label_value(text.value), "the value of a label", text.value, text.span, help, reader)
            });
            match (key, value) {
                (Some(key), Some(value)) => labels.push((key, value)),
                _ => good = false,
            }
        }
    }
    labels.sort_unstable();
    let service_account = match service_account {
        Some(account) => Some(account?),
        None => None,
    };
    good.then_some(PodSelector { namespace: namespace?, labels: labels.into(), service_account })
}

fn check(
    good: bool,
    what: &str,
    text: &str,
    span: &raw::Span,
    help: &str,
    reader: &mut Reader<'_>,
) -> Option<Box<str>> {
    if !good {
        reader.report(Diagnostic::error(codes::BAD_POD, format!("`{text}` can't be {what}")), span, "", help);
    }
    good.then(|| text.into())
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(|label| is_label(label, 253))
}

fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

fn is_label_value(text: &str) -> bool {
    let ends = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.len() <= 63
        && ends(text.bytes().next())
        && ends(text.bytes().next_back())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Most of one selector's overlaps that are told.
const MOST_OF_ONE: usize = 16;
