//! Whose a pod is, held against a plain reading of every selector, and what a difference between policies says of it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use stubgate_policy::diff::{Diff, Direction};
use stubgate_policy::pods::Pod;
use stubgate_policy::{AgentId, Ask, Policy, RequestStage, SourceFile, Target, compile};

use crate::support::authority;

const AGENTS: [&str; 4] = ["a", "b", "c", "locked"];
const NAMESPACES: [&str; 2] = ["n", "m"];
const ACCOUNTS: [&str; 3] = ["s", "t", ""];
const KEYS: [&str; 3] = ["app", "tier", "x.example/kind"];
const VALUES: [&str; 3] = ["1", "2", ""];

#[derive(Clone, Debug)]
struct Selector {
    agent: usize,
    namespace: usize,
    account: Option<usize>,
    labels: [Option<usize>; 3],
}

#[derive(Clone, Debug)]
struct OnePod {
    namespace: usize,
    account: usize,
    labels: [Option<usize>; 3],
}

impl Selector {
    fn yaml(&self) -> String {
        let labels: Vec<String> = KEYS
            .iter()
            .zip(self.labels)
            .filter_map(|(key, value)| Some(format!("{key}: \"{}\"", VALUES[value?])))
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!(", labels: {{ {} }}", labels.join(", ")) };
        let account = self.account.map_or_else(String::new, |at| format!(", service_account: {}", ACCOUNTS[at]));
        format!("{{ namespace: {}{labels}{account} }}", NAMESPACES[self.namespace])
    }

    fn fits(&self, pod: &OnePod) -> bool {
        self.namespace == pod.namespace
            && self.account.is_none_or(|account| account == pod.account)
            && self.labels.iter().zip(pod.labels).all(|(wanted, has)| wanted.is_none() || *wanted == has)
    }
}

fn labels() -> impl Strategy<Value = [Option<usize>; 3]> {
    let one = || prop::option::weighted(0.5, 0..VALUES.len());
    [one(), one(), one()]
}

fn selectors() -> impl Strategy<Value = Vec<Selector>> {
    let one = (0..AGENTS.len(), 0..NAMESPACES.len(), prop::option::weighted(0.4, 0..2_usize), labels())
        .prop_map(|(agent, namespace, account, labels)| Selector { agent, namespace, account, labels });
    prop::collection::vec(one, 1..7)
}

fn pods() -> impl Strategy<Value = Vec<OnePod>> {
    let one = (0..NAMESPACES.len(), 0..ACCOUNTS.len(), labels()).prop_map(|(namespace, account, labels)| OnePod {
        namespace,
        account,
        labels,
    });
    prop::collection::vec(one, 24)
}

fn text(selectors: &[Selector]) -> String {
    let mut text = String::from("version: 1\nagents:\n  static: { sources: [10.0.0.9/32] }\n");
    for (at, name) in AGENTS.iter().enumerate() {
        let own: BTreeSet<String> = selectors.iter().filter(|one| one.agent == at).map(Selector::yaml).collect();
        if !own.is_empty() {
            let own: Vec<String> = own.into_iter().collect();
            let locked = if *name == "locked" { ", quarantined: true" } else { "" };
            text += &format!("  {name}: {{ pods: [{}]{locked} }}\n", own.join(", "));
        }
    }
    let rule = |agent: &str| {
        let is_there = selectors.iter().any(|one| AGENTS[one.agent] == agent);
        if is_there {
            format!("  - {{ name: {agent}, agents: [{agent}], hosts: [{agent}.example], methods: [GET] }}\n")
        } else {
            String::new()
        }
    };
    let rules: String = AGENTS.iter().map(|agent| rule(agent)).collect();
    format!("{text}rules:\n{rules}  - {{ name: all, agents: [\"*\"], hosts: [all.example], methods: [GET] }}\n")
}

/// `None` where a selector lies within another agent's, which is an error.
fn read(selectors: &[Selector]) -> Option<Policy> {
    let files = [SourceFile { name: "policy.yaml".into(), text: text(selectors) }];
    match compile(&files) {
        Ok(compiled) => Some(compiled.policy),
        Err(found) => {
            assert!(found.iter().filter(|one| one.is_error()).all(|one| one.code == "SG0116"), "{found:?}");
            None
        }
    }
}

fn asked(policy: &Policy, pod: &OnePod) -> Result<Option<AgentId>, ()> {
    let labels: Vec<(Box<str>, Box<str>)> =
        KEYS.iter().zip(pod.labels).filter_map(|(key, value)| Some(((*key).into(), VALUES[value?].into()))).collect();
    let (namespace, service_account) = (NAMESPACES[pod.namespace], ACCOUNTS[pod.account]);
    policy.agent_of_pod(&Pod { namespace, service_account, labels: &labels }).map_err(|_| ())
}

/// Each selector that is written, one after the other.
fn scanned(selectors: &[Selector], pod: &OnePod) -> BTreeSet<&'static str> {
    selectors.iter().filter(|one| one.fits(pod)).map(|one| AGENTS[one.agent]).collect()
}

fn allows(policy: &Policy, agent: Option<AgentId>, host: &str) -> bool {
    let (authority, target) = (authority(&format!("https://{host}")), Target::parse(b"/").unwrap());
    let method = stubgate_policy::Method::GET;
    let at = RequestStage { authority: &authority, method: &method, target: &target, tokens: &[] };
    agent.is_some_and(|agent| policy.decide(&Ask::new(agent, at)).granted().is_some())
}

fn cases(cases: u32) -> ProptestConfig {
    let cases = if cfg!(debug_assertions) { cases / 8 } else { cases };
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn a_pod_is_whose_selectors_fit_it_and_nobody_where_two_do((selectors, pods) in (selectors(), pods())) {
        let Some(policy) = read(&selectors) else {
            // Then some pod is of two: the least one of some selector.
            let of_two = selectors.iter().any(|one| {
                let labels = one.labels;
                let least = OnePod { namespace: one.namespace, account: one.account.unwrap_or(2), labels };
                scanned(&selectors, &least).len() > 1
            });
            prop_assert!(of_two, "{}", text(&selectors));
            return Ok(());
        };
        for pod in &pods {
            let scanned = scanned(&selectors, pod);
            match asked(&policy, pod) {
                Ok(None) => prop_assert!(scanned.is_empty(), "{pod:?} {}", text(&selectors)),
                Ok(Some(agent)) => {
                    prop_assert_eq!(scanned, BTreeSet::from([policy.agent(agent).name()]));
                }
                Err(()) => prop_assert!(scanned.len() > 1, "{pod:?} {}", text(&selectors)),
            }
        }
    }

    #[test]
    fn a_pod_may_do_something_else_only_if_the_difference_says_so(
        (before, after, pods) in (selectors(), selectors(), pods()),
        kept in prop::collection::vec(prop::bool::weighted(0.7), 8),
    ) {
        let mut changed: Vec<Selector> =
            before.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(one, _)| one.clone()).collect();
        changed.extend(after.into_iter().take(2));
        let (Some(old), Some(new)) = (read(&before), read(&changed)) else { return Ok(()) };
        let diff = Diff::between(&old, &new);
        for pod in &pods {
            let (was, is) = (asked(&old, pod).ok().flatten(), asked(&new, pod).ok().flatten());
            for host in ["a.example", "b.example", "c.example", "locked.example", "all.example"] {
                let (could, can) = (allows(&old, was, host), allows(&new, is, host));
                let (authority, target) = (authority(&format!("https://{host}")), Target::parse(b"/").unwrap());
                let method = stubgate_policy::Method::GET;
                let at = RequestStage { authority: &authority, method: &method, target: &target, tokens: &[] };
                let told = |direction| diff.covering_agents(was, is, &at).any(|change| change.direction == direction);
                let show = || format!("{pod:?} {host}\n{}\n{}\n{}", text(&before), text(&changed), diff.human(false));
                prop_assert_eq!(told(Direction::Widens), can && !could, "{}", show());
                prop_assert_eq!(told(Direction::Narrows), could && !can, "{}", show());
            }
        }
    }
}
