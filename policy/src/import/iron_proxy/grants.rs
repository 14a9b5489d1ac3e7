//! Its allowlist, and the rules that other parts of it have in the same form.

use std::collections::BTreeSet;
use std::ops::Range;

use super::super::{Kind, Notes};
use super::matching::{Host, Methods, PathGlob, Paths, literal};
use super::unknown_limits;
use crate::source::tree::{Entry, Node};

/// One entry.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) host: Host,
    pub(super) methods: Methods,
    pub(super) paths: Paths,
    pub(super) span: Range<usize>,
}

/// Reads `domains`, `cidrs` and `rules`.
pub(super) fn read(config: &Node, into: &mut Vec<Grant>, notes: &mut Notes<'_>) {
    let all = |host: Host, span: &Range<usize>| Grant {
        host,
        methods: Methods(None),
        paths: Paths(None),
        span: span.clone(),
    };
    for node in config.get("domains").map(Node::items).unwrap_or_default() {
        into.extend(host(node, notes).map(|host| all(host, &node.span)));
    }
    for node in config.get("cidrs").map(Node::items).unwrap_or_default() {
        into.extend(network(node, notes).map(|host| all(host, &node.span)));
    }
    into.extend(rules(config.get("rules"), notes));
}

/// What two lists have in common, as far as it can be said.
pub(super) fn common(own: &[Grant], other: &[Grant], notes: &mut Notes<'_>) -> Vec<Grant> {
    let mut both = Vec::new();
    let mut seen = BTreeSet::new();
    for own in own {
        let mut is_unclear = false;
        for other in other {
            let (Some(host), Some(methods)) = (own.host.common(&other.host), own.methods.common(&other.methods)) else {
                continue;
            };
            is_unclear |= own.paths.is_unclear(&other.paths);
            let Some(paths) = own.paths.common(&other.paths) else { continue };
            if seen.insert((host.clone(), methods.clone(), paths.clone())) {
                both.push(Grant { host, methods, paths, span: own.span.clone() });
            }
        }
        if is_unclear {
            let text = "paths of this entry and of another allowlist may overlap in part; what is only in that part is not allowed";
            notes.add(Kind::Narrower, &own.span, text);
        }
    }
    both
}

/// Reads a list of rules.
pub(super) fn rules(list: Option<&Node>, notes: &mut Notes<'_>) -> Vec<Grant> {
    list.map(Node::items).unwrap_or_default().iter().filter_map(|node| rule(node, notes)).collect()
}

fn rule(node: &Node, notes: &mut Notes<'_>) -> Option<Grant> {
    unknown_limits(node, &["host", "name", "cidr", "methods", "paths"], notes);
    // `name` is the older word for `host`.
    let host = match (node.get("host").or_else(|| node.get("name")), node.get("cidr")) {
        (Some(_), Some(_)) => {
            notes.add(
                Kind::Missing,
                &node.span,
                "a rule with both a host and a network is an error there: it is left out",
            );
            None
        }
        (Some(at), None) => host(at, notes),
        (None, Some(at)) => network(at, notes),
        (None, None) => {
            notes.add(Kind::Missing, &node.span, "a rule without a host is left out");
            None
        }
    };
    let methods = methods(node.get("methods"), notes);
    let paths = paths(node.get("paths"), notes);
    Some(Grant { host: host?, methods: methods?, paths: paths?, span: node.span.clone() })
}

fn host(node: &Node, notes: &mut Notes<'_>) -> Option<Host> {
    match Host::parse(node.text().unwrap_or_default()) {
        Ok(Host::Under(base)) => {
            let text = format!(
                "`*.{base}` means {base} itself and every depth below it there: written as `{base}` and `**.{base}`"
            );
            notes.add(Kind::Changed, &node.span, text);
            Some(Host::Under(base))
        }
        Ok(host) => Some(host),
        Err(why) => {
            notes.add(Kind::Missing, &node.span, why);
            None
        }
    }
}

/// Networks match requests whose host is an address; a rule can name addresses only.
fn network(node: &Node, notes: &mut Notes<'_>) -> Option<Host> {
    let text = node.text().unwrap_or_default();
    let net: Option<ipnet::IpNet> = text.parse().ok();
    match net {
        Some(net) if net.prefix_len() == net.max_prefix_len() => {
            let text = format!(
                "{} is reached by CONNECT only; if it is not public, `allow_private` of stubgate.yaml must name it",
                net.addr()
            );
            notes.add(Kind::Changed, &node.span, text);
            Some(Host::Exact(literal(net.addr())))
        }
        _ => {
            let why = format!(
                "`{text}`: rules name hosts and single addresses, not networks; for hosts at addresses that are not public see `allow_private` in stubgate.yaml"
            );
            notes.add(Kind::Missing, &node.span, why);
            None
        }
    }
}

/// `None` where nothing is left, so that it does not become everything.
fn methods(node: Option<&Node>, notes: &mut Notes<'_>) -> Option<Methods> {
    let Some(node) = node.filter(|node| !node.is_empty()) else { return Some(Methods(None)) };
    let texts: Vec<&str> = node.items().iter().filter_map(Node::text).collect();
    if texts == ["*"] {
        return Some(Methods(None));
    }
    let mut all = BTreeSet::new();
    for item in node.items() {
        let text = item.text().unwrap_or_default().to_ascii_uppercase();
        match text.as_str() {
            "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" => {
                all.insert(text);
            }
            "CONNECT" => {
                notes.add(Kind::Changed, &item.span, "CONNECT needs no rule: it is open where a request may be")
            }
            _ => notes.add(Kind::Missing, &item.span, format!("method `{text}` is left out")),
        }
    }
    if all.contains("GET") {
        let text = "a WebSocket counts as GET there; here it is the method WEBSOCKET: add it where it is needed";
        notes.add(Kind::Narrower, &node.span, text);
    }
    if all.is_empty() {
        notes.add(Kind::Missing, &node.span, "no method is left, and with it the rule is left out");
        return None;
    }
    Some(Methods(Some(all)))
}

/// `None` where nothing is left, so that it does not become everything.
fn paths(node: Option<&Node>, notes: &mut Notes<'_>) -> Option<Paths> {
    let Some(node) = node.filter(|node| !node.is_empty()) else { return Some(Paths(None)) };
    let mut all = Vec::new();
    for item in node.items() {
        match PathGlob::parse(item.text().unwrap_or_default()) {
            Ok(path) => all.push(path),
            Err(why) => notes.add(Kind::Missing, &item.span, why),
        }
    }
    if all.is_empty() {
        notes.add(Kind::Missing, &node.span, "no path is left, and with it the rule is left out");
        return None;
    }
    all.sort();
    all.dedup();
    Some(Paths(Some(all)))
}

/// The place of a key, or of the map that lacks it.
pub(super) fn place<'n>(node: &'n Node, key: &str) -> &'n Range<usize> {
    node.entries().iter().find(|entry| entry.key == key).map_or(&node.span, |entry: &Entry| &entry.span)
}
