//! Laws of the decision, held against a model that scans every rule and knows nothing of the index.

mod explain;
mod model;
pub(crate) mod world;

use std::collections::BTreeSet;

use proptest::prelude::*;
use stubgate_policy::{
    Ask, ConnectStage, Decision, Name, NameGrant, NameStage, Policy, QueryKind, Reason, RequestStage, Seen, Token,
};

use crate::support::policy_of;
use world::{
    AGENTS, Effect, HOSTS, METHODS, NAMES, PATHS, PORTS, Request, Rule, Verdict, files, request, rules, token_sets,
};

fn decided(policy: &Policy, request: &Request) -> Verdict {
    let (authority, method, target) = (request.authority(), request.method(), request.target());
    let tokens: Vec<Token<'_>> =
        request.tokens.iter().map(|(slot, text)| Token::literal(*slot, text.as_bytes())).collect();
    let at = RequestStage { authority: &authority, method: &method, target: &target, tokens: &tokens };
    let ask = Ask::new(policy.agent_named(request.agent).unwrap(), at);
    let sent = request.sent();
    let head = policy.decide(&ask);
    let (decision, fault) = policy.decide_body(&ask, Seen::Body(&sent));
    // The head alone decides where nobody looks, and never less than with some body.
    match head.granted() {
        Some(permit) if permit.to_look().is_some() => assert!(fault.is_some() == decision.denial().is_some()),
        Some(_) | None => assert_eq!(head, decision),
    }
    match decision {
        Decision::Allow(permit) => {
            assert!(permit.to_look().is_none());
            let again = policy.decide_body(&ask, Seen::Satisfied(permit.looked())).0;
            assert_eq!(again.granted().and_then(|permit| permit.swap()), permit.swap());
            assert!(again.granted().is_some());
            assert_eq!(permit.authority(), &authority);
            Verdict::Allow {
                rule: policy.rule(permit.rule()).name().to_owned(),
                swap: permit.swap().map(|swap| (swap.name.to_string(), swap.token_index)),
                ranges: permit.ranges_allowed(),
                deny_stub_in_body: permit.stub_in_body_denied(),
                on_credential: permit.on_credential(),
            }
        }
        Decision::Deny(denial) => Verdict::Deny(denial.reason),
        Decision::Answer(answer) => panic!("{answer:?}"),
    }
}

fn reaches(policy: &Policy, request: &Request) -> bool {
    let authority = request.authority();
    let ask = Ask::new(policy.agent_named(request.agent).unwrap(), ConnectStage { authority: &authority });
    policy.decide(&ask).granted().is_some()
}

fn named(policy: &Policy, agent: &str, name: &str) -> Option<NameGrant> {
    let name = Name::parse(name.as_bytes()).unwrap();
    let ask = Ask::new(policy.agent_named(agent).unwrap(), NameStage { name: &name, kind: QueryKind::A });
    policy.decide(&ask).granted().copied()
}

/// Whether rules alone would let a request pass or be observed, whatever its credentials.
fn passes_rules(verdict: &Verdict) -> bool {
    use Reason as R;
    match verdict {
        Verdict::Allow { .. } => true,
        Verdict::Deny(reason) => !matches!(
            reason,
            R::Quarantined
                | R::HostNotAllowed
                | R::MethodNotAllowed
                | R::PathNotAllowed
                | R::PathAmbiguous
                | R::DeniedByRule
        ),
    }
}

/// Every request of the model's small world to one host and port, without tokens.
fn world<'a>(to: &'a Request) -> impl Iterator<Item = Request> + 'a {
    METHODS.iter().flat_map(move |method| {
        PATHS.iter().map(move |path| Request { method, path, tokens: Vec::new(), ..to.clone() })
    })
}

proptest! {

    #[test]
    fn decide_equals_a_scan_of_all_rules(rules in rules(), requests in prop::collection::vec(request(), 60)) {
        let policy = policy_of(&files(&rules, 1));
        for request in &requests {
            prop_assert_eq!(decided(&policy, request), model::decide(&rules, request), "{:?}\n{}", request, files(&rules, 1)[0].text);
        }
    }

    #[test]
    fn order_and_files_of_rules_never_matter(
        rules in rules().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        split in 1_usize..4,
        requests in prop::collection::vec(request(), 40),
    ) {
        let (one, other) = (policy_of(&files(&rules.0, 1)), policy_of(&files(&rules.1, split)));
        for request in &requests {
            prop_assert_eq!(decided(&one, request), decided(&other, request), "{:?}", request);
            prop_assert_eq!(reaches(&one, request), reaches(&other, request));
        }
        for agent in AGENTS {
            for name in NAMES {
                prop_assert_eq!(named(&one, agent, name), named(&other, agent, name), "{} {}", agent, name);
            }
        }
    }

    #[test]
    fn a_deny_rule_more_never_widens(rules in rules(), deny in world::deny_rule(), requests in prop::collection::vec(request(), 40)) {
        let before = policy_of(&files(&rules, 1));
        let mut more = rules;
        more.push(deny);
        let after = policy_of(&files(&more, 1));
        for request in &requests {
            let now = decided(&after, request);
            if matches!(now, Verdict::Allow { .. }) {
                prop_assert_eq!(now, decided(&before, request), "{:?}", request);
            }
            prop_assert!(!reaches(&after, request) || reaches(&before, request), "{:?}", request);
        }
        for agent in AGENTS {
            for name in NAMES {
                prop_assert!(named(&after, agent, name).is_none() || named(&before, agent, name).is_some(), "{} {}", agent, name);
            }
        }
    }

    #[test]
    fn what_is_permitted_can_be_named_and_connected_to(rules in rules(), requests in prop::collection::vec(request(), 40)) {
        let policy = policy_of(&files(&rules, 1));
        for request in &requests {
            if passes_rules(&decided(&policy, request)) {
                prop_assert!(reaches(&policy, request), "{:?}", request);
                if !request.host.starts_with("10.") {
                    prop_assert_eq!(named(&policy, request.agent, request.host), Some(NameGrant::Advertise), "{:?}", request);
                }
            }
        }
    }

    #[test]
    fn what_can_be_connected_to_has_a_request_that_passes(rules in rules(), requests in prop::collection::vec(request(), 10)) {
        // With deny rules for some paths, a connection may be let through whose every request is then denied.
        let rules: Vec<Rule> = rules.into_iter().filter(|rule| rule.effect != Effect::Deny || rule.paths.is_none()).collect();
        let policy = policy_of(&files(&rules, 1));
        for request in &requests {
            let some = world(request).any(|request| passes_rules(&decided(&policy, &request)));
            prop_assert_eq!(reaches(&policy, request), some, "{:?}\n{}", request, files(&rules, 1)[0].text);
        }
    }

    #[test]
    fn a_name_exists_if_it_or_one_below_it_can_be_connected_to(rules in rules(), agent in prop::sample::select(AGENTS)) {
        let policy = policy_of(&files(&rules, 1));
        let reached = |name: &str| {
            PORTS.iter().any(|port| {
                ["http", "https"].iter().any(|scheme| {
                    let to = Request { agent, scheme, host: HOSTS.iter().find(|host| **host == name).unwrap(), port: *port, ..Request::default() };
                    reaches(&policy, &to)
                })
            })
        };
        let open: BTreeSet<&str> = NAMES.iter().copied().filter(|name| reached(name)).collect();
        for name in NAMES {
            let below = open.iter().any(|open| open.strip_suffix(name).is_some_and(|head| head.ends_with('.')));
            // What a deny rule takes out of a `**` stays denied, although the `**` goes on below it.
            let hole = rules.iter().any(|rule| rule.is_hole(name, agent));
            if hole && !open.contains(name) {
                prop_assert_ne!(named(&policy, agent, name), Some(NameGrant::Advertise));
                continue;
            }
            let expected = match (open.contains(name), below) {
                (true, _) => Some(NameGrant::Advertise),
                (false, true) => Some(NameGrant::Nodata),
                (false, false) => None,
            };
            prop_assert_eq!(named(&policy, agent, name), expected, "{} {}\n{}", agent, name, files(&rules, 1)[0].text);
        }
    }

    #[test]
    fn a_swap_has_a_granted_stub_in_a_declared_slot_over_https(rules in rules(), base in request(), tokens in token_sets()) {
        let policy = policy_of(&files(&rules, 1));
        let request = Request { tokens, ..base };
        if let Verdict::Allow { swap: Some((name, at)), .. } = decided(&policy, &request) {
            let credential = policy.credential(policy.credential_named(&name).unwrap());
            prop_assert_eq!(request.tokens[at].1, credential.stub());
            prop_assert_eq!(request.scheme, "https");
            prop_assert!(credential.slots().iter().any(|slot| slot.holds(request.tokens[at].0)));
            prop_assert!(policy.is_bound(&request.authority()));
        }
    }

    #[test]
    fn a_rule_that_a_lint_calls_needless_changes_no_decision(
        rules in world::rules_with_needless_ones(),
        requests in prop::collection::vec(request(), 4),
    ) {
        let files_of = |rules: &[Rule]| files(rules, 1);
        let all = files_of(&rules);
        let compiled = stubgate_policy::compile(&all).unwrap();
        for warning in compiled.warnings.iter().filter(|one| ["SG0201", "SG0202", "SG0203"].contains(&one.code)) {
            let name = &all[0].text[warning.labels[0].span.clone()];
            let rest: Vec<Rule> = rules.iter().filter(|rule| rule.name != name).cloned().collect();
            prop_assert_eq!(rest.len() + 1, rules.len());
            let without = policy_of(&files_of(&rest));
            for request in requests.iter().flat_map(|to| world(to).chain([to.clone()])) {
                // Whether any rule of a host has paths decides about paths in odd forms, whatever that rule grants.
                if matches!(request.target(), stubgate_policy::Target::Odd { .. }) {
                    continue;
                }
                let (before, after) = (granted(&compiled.policy, &request), granted(&without, &request));
                prop_assert_eq!(before, after, "{:?} without {}\n{}", request, name, all[0].text);
            }
        }
    }
}

/// What passes, with which swap and under which conditions; why not, and by which rule, is left out.
fn granted(policy: &Policy, request: &Request) -> Option<Verdict> {
    match decided(policy, request) {
        Verdict::Allow { swap, ranges, deny_stub_in_body, on_credential, .. } => {
            Some(Verdict::Allow { rule: String::new(), swap, ranges, deny_stub_in_body, on_credential })
        }
        Verdict::Deny(_) => None,
    }
}

/// The property above would say nothing if it never met such a rule.
#[test]
fn lints_meet_needless_rules_in_the_small_world() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for _ in 0..600 {
        let rules = world::rules_with_needless_ones().new_tree(&mut runner).unwrap().current();
        for warning in stubgate_policy::compile(&files(&rules, 1)).unwrap().warnings {
            *seen.entry(warning.code).or_default() += 1;
        }
    }
    for code in ["SG0201", "SG0202", "SG0203"] {
        assert!(seen.get(code).is_some_and(|count| *count > 10), "{seen:?}");
    }
}
