//! Grants that are wider than they need to be: wildcards beyond a credential, writing for everybody, plain HTTP.

use super::Lint;
use super::written::List;
use crate::diagnostic::codes;
use crate::model::hosts::{HostPattern, HostRule};
use crate::model::policy::AgentSet;
use crate::model::{Effect, Rule, Scheme};

pub(super) fn check(lint: &mut Lint<'_>) {
    for rule in lint.policy.rules() {
        if rule.effect == Effect::Allow {
            wildcards(lint, rule);
            writes(lint, rule);
        }
        if rule.effect != Effect::Deny {
            plain(lint, rule);
        }
    }
}

/// On names that a wildcard covers and the credential does not, the rule is in force without it.
fn wildcards(lint: &mut Lint<'_>, rule: &Rule) {
    for (at, host) in rule.hosts.iter().enumerate().filter(|(_, host)| is_wildcard(host)) {
        for id in &rule.credentials {
            let credential = lint.policy.credential(*id);
            let bound = credential.hosts();
            if bound.iter().any(|bound| bound.covers_all(host)) || !bound.iter().any(|bound| bound.meets(host)) {
                continue;
            }
            let Some(place) = lint.written.host(rule.name(), at) else { continue };
            let message = format!("`{host}` is wider than the hosts of `{}`", credential.name());
            let mut labels = vec![(place, "allowed without the credential on other names".to_owned())];
            let met = bound.iter().position(|bound| bound.meets(host)).unwrap_or(0);
            let met = lint.written.credential_host(credential.name(), met);
            labels.extend(met.map(|place| (place, "where it may go".to_owned())));
            let names: Vec<String> =
                bound.iter().filter(|bound| bound.meets(host)).take(5).map(ToString::to_string).collect();
            let help = format!("write {}, and a rule of its own for the other names", names.join(", "));
            lint.report(codes::WIDE_WILDCARD, message, labels, help);
        }
    }
}

fn is_wildcard(host: &HostRule) -> bool {
    matches!(host.pattern, HostPattern::One(_) | HostPattern::Deep(_))
}

fn writes(lint: &mut Lint<'_>, rule: &Rule) {
    if rule.agents != AgentSet::Every {
        return;
    }
    let writing: Vec<_> = lint
        .written
        .list(rule.name(), List::Methods)
        .filter(|(method, _)| !matches!(*method, "GET" | "HEAD" | "OPTIONS"))
        .collect();
    let Some(place) = writing.first().map(|(_, place)| place.clone()) else { return };
    let names: Vec<&str> = writing.iter().map(|(method, _)| *method).collect();
    let message = format!("`{}` lets every agent write, with {}", rule.name(), names.join(", "));
    let help = "name the agents that must write, and give the others GET and HEAD".to_owned();
    let mut labels = vec![(place, "may change things, or carry data out".to_owned())];
    labels.extend(lint.written.whole(rule.name(), List::Agents).map(|place| (place, "every agent".to_owned())));
    lint.report(codes::WRITES_FOR_ALL, message, labels, help);
}

fn plain(lint: &mut Lint<'_>, rule: &Rule) {
    for (at, host) in rule.hosts.iter().enumerate().filter(|(_, host)| host.ends.scheme == Some(Scheme::Http)) {
        let Some(place) = lint.written.host(rule.name(), at) else { continue };
        let message = format!("`{host}` is reached over plain HTTP");
        let help = format!("write `{}`, unless the host has no https", without_scheme(host));
        let label = "anybody on the way can read and change it".to_owned();
        lint.report(codes::PLAIN_HTTP, message, vec![(place, label)], help);
    }
}

fn without_scheme(host: &HostRule) -> String {
    host.to_string().trim_start_matches("http://").to_owned()
}
