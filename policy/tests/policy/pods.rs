//! Who asks, by pods: what a selector fits, whose a pod is, and what a policy says beside a cluster.

mod cluster;
mod laws;

use stubgate_policy::pods::Pod;
use stubgate_policy::{Ask, Policy, Reason};

use crate::support::{authority, errors, policy};

/// Labels written `a=b c=d`, in any order, and who that is: a name, `nobody`, or `a+b` of two.
pub(crate) fn who(policy: &Policy, namespace: &str, service_account: &str, labels: &str) -> String {
    let mut labels: Vec<(Box<str>, Box<str>)> =
        labels.split(' ').filter_map(|label| label.split_once('=')).map(|(k, v)| (k.into(), v.into())).collect();
    labels.sort_unstable();
    let name = |id| policy.agent(id).name().to_owned();
    match policy.agent_of_pod(&Pod { namespace, service_account, labels: &labels }) {
        Ok(Some(agent)) => name(agent),
        Ok(None) => "nobody".into(),
        Err(of_two) => format!("{}+{}", name(of_two.first), name(of_two.second)),
    }
}

const POLICY: &str = "version: 1
agents:
  devbot:
    pods:
      - { namespace: agents, labels: { app: devbot, app.kubernetes.io/part-of: bots }, service_account: devbot }
      - { namespace: lab, labels: { app: devbot } }
  infrabot: { pods: [{ namespace: agents, service_account: infrabot }], sources: [10.0.0.2/32] }
  own: { pods: [{ namespace: own }] }
  flat: { sources: [10.0.0.3/32] }
  empty-value: { pods: [{ namespace: agents, labels: { canary: \"\" } }] }
";

#[test]
fn a_pod_is_one_agent_where_all_that_is_written_fits() {
    let policy = policy(POLICY);
    let both = "app=devbot app.kubernetes.io/part-of=bots";
    for (namespace, account, labels, agent) in [
        ("agents", "devbot", both, "devbot"),
        ("agents", "devbot", "z=9 app=devbot a=0 app.kubernetes.io/part-of=bots", "devbot"),
        ("agents", "default", both, "nobody"),
        ("agents", "", both, "nobody"),
        ("agents", "devbot", "app=devbot", "nobody"),
        ("agents", "devbot", "app=devbot app.kubernetes.io/part-of=Bots", "nobody"),
        ("agents", "devbot", "app=devbot part-of=bots", "nobody"),
        ("agent", "devbot", both, "nobody"),
        ("Agents", "devbot", both, "nobody"),
        ("", "devbot", both, "nobody"),
        ("lab", "", "app=devbot", "devbot"),
        ("lab", "infrabot", "app=devbot", "devbot"),
        ("lab", "infrabot", "", "nobody"),
        ("agents", "infrabot", "", "infrabot"),
        ("agents", "infrabot", "app=devbot", "infrabot"),
        ("own", "", "", "own"),
        ("own", "x", "y=z", "own"),
        ("owner", "x", "y=z", "nobody"),
        ("agents", "", "canary=", "empty-value"),
        ("agents", "", "canary=1", "nobody"),
        ("agents", "infrabot", "canary=", "empty-value+infrabot"),
    ] {
        let said = who(&policy, namespace, account, labels);
        assert_eq!(said, agent, "{namespace} {account} {labels}");
    }
}

#[test]
fn an_agent_has_sources_or_pods_or_both() {
    let policy = policy(POLICY);
    let at = |peer: &str| policy.identify(peer.parse().unwrap()).map(|id| policy.agent(id).name().to_owned());
    assert_eq!(at("10.0.0.2").as_deref(), Some("infrabot"));
    assert_eq!(at("10.0.0.3").as_deref(), Some("flat"));
    assert_eq!(who(&policy, "agents", "infrabot", ""), "infrabot");
    assert_eq!(errors("version: 1\nagents: { a: {} }\n"), ["SG0011"]);
    assert_eq!(errors("version: 1\nagents: { a: { quarantined: true } }\n"), ["SG0011"]);
}

#[test]
fn only_the_labels_that_selectors_name_matter() {
    let policy = policy(POLICY);
    let keys: Vec<&str> = policy.label_keys().iter().map(|key| &**key).collect();
    assert_eq!(keys, ["app", "app.kubernetes.io/part-of", "canary"]);
    assert!(policy.has_pods());
    let selectors: Vec<String> =
        policy.pod_selectors(policy.agent_named("devbot").unwrap()).map(ToString::to_string).collect();
    assert_eq!(
        selectors,
        [
            "namespace agents with app=devbot app.kubernetes.io/part-of=bots under service account devbot",
            "namespace lab with app=devbot"
        ]
    );
}

#[test]
fn a_policy_without_pods_needs_no_cluster() {
    let policy = policy("version: 1\nagents: { a: { sources: [10.0.0.1/32] } }\n");
    assert!(!policy.has_pods() && policy.label_keys().is_empty());
    assert_eq!(who(&policy, "default", "default", "app=a"), "nobody");
    assert!(!Policy::empty().has_pods());
    assert_eq!(who(&Policy::empty(), "", "", ""), "nobody");
}

#[test]
fn agents_by_pods_are_agents_as_all_others_are() {
    let text = "version: 1
agents: { a: { pods: [{ namespace: agents, labels: { app: a } }], quarantined: true }, b: { pods: [{ namespace: b }] } }
rules: [{ name: r, agents: [\"*\"], hosts: [x.example], methods: [GET] }]
";
    let policy = policy(text);
    let x = authority("https://x.example");
    let connect = |name: &str| {
        let at = stubgate_policy::ConnectStage { authority: &x };
        policy.decide(&Ask::new(policy.agent_named(name).unwrap(), at)).denial().map(|denial| denial.reason)
    };
    assert_eq!((connect("a"), connect("b")), (Some(Reason::Quarantined), None));
}

#[test]
fn a_selector_within_that_of_another_agent_is_an_error() {
    let of = |one: &str, other: &str| {
        errors(&format!("version: 1\nagents:\n  a: {{ pods: [{{ {one} }}] }}\n  b: {{ pods: [{{ {other} }}] }}\n"))
    };
    for (one, other) in [
        ("namespace: n", "namespace: n"),
        ("namespace: n", "namespace: n, labels: { app: b }"),
        ("namespace: n, labels: { app: b }", "namespace: n"),
        ("namespace: n, labels: { app: b }", "namespace: n, labels: { app: b, tier: x }"),
        ("namespace: n, labels: { app: b }", "namespace: n, labels: { app: b }, service_account: s"),
        ("namespace: n, service_account: s", "namespace: n, labels: { app: b }, service_account: s"),
    ] {
        assert_eq!(of(one, other), ["SG0116"], "{one} {other}");
        assert_eq!(of(other, one), ["SG0116"], "{other} {one}");
    }
    for (one, other) in [
        ("namespace: n", "namespace: m"),
        ("namespace: n, labels: { app: a }", "namespace: n, labels: { app: b }"),
        ("namespace: n, labels: { app: a }", "namespace: n, service_account: s"),
        ("namespace: n, labels: { app: a, tier: x }", "namespace: n, labels: { tier: x, app: b }"),
        ("namespace: n, service_account: s", "namespace: n, service_account: t"),
    ] {
        assert_eq!(of(one, other), Vec::<&str>::new(), "{one} {other}");
    }
    let own = "version: 1\nagents: { a: { pods: [{ namespace: n }, { namespace: n, labels: { app: a } }] } }\n";
    assert_eq!(errors(own), Vec::<&str>::new(), "one agent may say it twice");
}

#[test]
fn what_no_pod_could_have_is_an_error() {
    let long = "a".repeat(64);
    let of = |entry: &str| errors(&format!("version: 1\nagents:\n  a: {{ pods: [{{ {entry} }}] }}\n"));
    for namespace in ["Agents", "a.b", "-a", "a-", "a_b", "*", "", "a/b", "é", &long] {
        assert_eq!(of(&format!("namespace: \"{namespace}\"")), ["SG0115"], "{namespace}");
    }
    for account in ["Dev", "a..b", ".a", "a.", "system:serviceaccount:agents:devbot", "a/b", "*", ""] {
        assert_eq!(of(&format!("namespace: n, service_account: \"{account}\"")), ["SG0115"], "{account}");
    }
    for key in ["", "/a", "a/", "a/b/c", "A.b/c", "-a", "a-", "a b", "*", &long, "a=b", "a_/b"] {
        assert_eq!(of(&format!("namespace: n, labels: {{ \"{key}\": x }}")), ["SG0115"], "{key}");
    }
    for value in ["*", "a*", "a b", "-a", "a-", "a,b", "a/b", "!a", &long] {
        assert_eq!(of(&format!("namespace: n, labels: {{ app: \"{value}\" }}")), ["SG0115"], "{value}");
    }
    for value in ["true", "1", "[a]", "{ in: [a] }"] {
        assert_eq!(of(&format!("namespace: n, labels: {{ app: {value} }}")), ["SG0012"], "{value}");
    }
    for (entry, code) in [
        ("labels: { app: a }", "SG0011"),
        ("namespace: n, labels: {}", "SG0013"),
        ("namespace: n, labels: [app]", "SG0012"),
        ("namespace: [n, m]", "SG0012"),
        ("namespace: n, serviceAccount: s", "SG0010"),
        ("namespace: n, labels: { app: ~ }", "SG0009"),
        ("namespace: n, labels: { app: a, app: b }", "SG0008"),
    ] {
        assert_eq!(of(entry), [code], "{entry}");
    }
    for entry in ["namespace: 0", "namespace: n, service_account: 1"] {
        assert_eq!(of(entry), ["SG0012"], "{entry}");
    }
    for good in [
        "namespace: \"0\"",
        "namespace: a-b-0, service_account: a.b-c.d",
        "namespace: n, labels: { A_b.c-D: \"\", x.y/Z: \"0_a.B-9\", app: \"true\" }",
    ] {
        assert_eq!(of(good), Vec::<&str>::new(), "{good}");
    }
}

#[test]
fn ten_thousand_agents_of_one_namespace_are_told_apart_by_one_label() {
    let mut text = String::from("version: 1\nagents:\n");
    for n in 0..10_000 {
        text += &format!("  a{n}: {{ pods: [{{ namespace: agents, labels: {{ kind: agent, name: a{n} }} }}] }}\n");
    }
    let policy = policy(&text);
    let begun = std::time::Instant::now();
    for n in 0..10_000 {
        assert_eq!(who(&policy, "agents", "default", &format!("kind=agent name=a{n}")), format!("a{n}"));
    }
    // A scan of all would be a hundred million comparisons.
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
    assert_eq!(who(&policy, "agents", "default", "kind=agent"), "nobody");
}
