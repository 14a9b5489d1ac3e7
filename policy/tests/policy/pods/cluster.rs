//! Selectors beside the pods of a cluster.

use serde_json::{Value, json};
use stubgate_policy::pods::cluster::{ClusterPod, NotPods, read};
use stubgate_policy::{Diagnostic, compile, render};

use crate::support::file;

const POLICY: &str = "version: 1
agents:
  devbot:
    pods:
      - { namespace: agents, labels: { app: devbot }, service_account: devbot }
      - { namespace: agents, labels: { app: devbto } }
  infrabot: { pods: [{ namespace: agents, service_account: infrabot }] }
  flat: { sources: [10.42.9.0/24] }
rules: [{ name: r, agents: [\"*\"], hosts: [x.example], methods: [GET] }]
";

fn pod(name: &str, account: &str, labels: &Value, address: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "agents", "labels": labels, "uid": "0", "creationTimestamp": null },
        "spec": { "serviceAccountName": account, "containers": [{ "name": "main", "env": [{ "name": "X", "value": "secret" }] }] },
        "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] },
    })
}

fn listed(pods: &[Value]) -> Vec<ClusterPod> {
    let list = json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": pods });
    read(list.to_string().as_bytes()).unwrap()
}

fn found(policy: &str, pods: &[ClusterPod]) -> Vec<Diagnostic> {
    let compiled = compile(&[file(policy)]).unwrap();
    let found = compiled.beside(pods);
    assert!(found.iter().all(|one| !one.is_error() && one.help.is_some()));
    found
}

fn codes(found: &[Diagnostic]) -> Vec<&'static str> {
    found.iter().map(|one| one.code).collect()
}

fn devbot() -> Value {
    pod("devbot-0", "devbot", &json!({ "app": "devbot" }), "10.42.0.11")
}

fn infrabot() -> Value {
    pod("infrabot-0", "infrabot", &json!({ "app": "infrabot" }), "10.42.0.12")
}

#[test]
fn a_selector_that_fits_no_pod_is_shown_with_what_is_there() {
    let found = found(POLICY, &listed(&[devbot(), infrabot()]));
    assert_eq!(codes(&found), ["SG0222"]);
    insta::assert_snapshot!("pods-none", render(&found, &[file(POLICY)], false));
}

#[test]
fn what_keeps_a_selector_from_every_pod_is_named() {
    for (selector, help) in [
        ("namespace: agnets", "no pod runs in the namespace `agnets`; did you mean `agents`?"),
        ("namespace: agents, labels: { ap: devbot }", "no pod of its namespace has a label `ap`; did you mean `app`?"),
        ("namespace: agents, labels: { app: dev }", "no pod of its namespace has the label `app=dev`"),
        ("namespace: agents, service_account: default", "no pod of its namespace runs under `default`"),
        (
            "namespace: agents, labels: { app: infrabot }, service_account: devbot",
            "each of its demands is met by some pod, but no pod meets them all",
        ),
    ] {
        let policy = format!("version: 1\nagents: {{ a: {{ pods: [{{ {selector} }}] }} }}\n");
        let found = found(&policy, &listed(&[devbot(), infrabot()]));
        assert_eq!(found[0].help.as_deref(), Some(help), "{selector}");
    }
}

#[test]
fn a_pod_that_two_agents_claim_is_shown_with_both_selectors() {
    let both = pod("both-0", "infrabot", &json!({ "app": "devbto" }), "10.42.0.13");
    let found = found(POLICY, &listed(&[devbot(), infrabot(), both]));
    assert_eq!(codes(&found), ["SG0223"]);
    insta::assert_snapshot!("pods-of-two", render(&found, &[file(POLICY)], false));
}

#[test]
fn a_pod_that_is_another_agent_by_its_address_is_shown() {
    let policy = POLICY.replace("      - { namespace: agents, labels: { app: devbto } }\n", "");
    let mut astray = infrabot();
    astray["status"]["podIPs"] = json!([{ "ip": "fd00::1" }, { "ip": "10.42.9.7" }]);
    let found = found(&policy, &listed(&[devbot(), astray]));
    assert_eq!(codes(&found), ["SG0223"]);
    assert!(found[0].message.contains("agents/infrabot-0 is `infrabot` by this selector and `flat` by address"));
}

#[test]
fn a_pod_on_the_network_of_its_node_is_shown() {
    let policy = POLICY.replace("      - { namespace: agents, labels: { app: devbto } }\n", "");
    let mut on_host = devbot();
    on_host["spec"]["hostNetwork"] = json!(true);
    let found = found(&policy, &listed(&[on_host, infrabot()]));
    assert_eq!(codes(&found), ["SG0224"]);
}

#[test]
fn pods_that_are_done_or_on_their_way_out_fit_nothing() {
    let policy = POLICY.replace("      - { namespace: agents, labels: { app: devbto } }\n", "");
    let with = |change: fn(&mut Value)| {
        let mut changed = devbot();
        change(&mut changed);
        codes(&found(&policy, &listed(&[changed, infrabot()])))
    };
    assert_eq!(with(|_| {}), Vec::<&str>::new());
    assert_eq!(with(|pod| pod["status"] = json!({ "phase": "Pending" })), Vec::<&str>::new());
    for phase in ["Succeeded", "Failed"] {
        let mut done = devbot();
        done["status"]["phase"] = json!(phase);
        assert_eq!(codes(&found(&policy, &listed(&[done, infrabot()]))), ["SG0222"], "{phase}");
    }
    assert_eq!(with(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")), ["SG0222"]);
}

#[test]
fn only_lists_of_pods_are_read_and_nothing_of_others_is_told() {
    let of = |text: &str| read(text.as_bytes()).map(|pods| pods.len());
    // As the API server itself writes it: no kind beside each.
    let plain = r#"{"kind":"PodList","items":[{"metadata":{"name":"a","namespace":"n"}}]}"#;
    assert_eq!(of(plain).unwrap(), 1);
    assert_eq!(of(r#"{"kind":"List","items":[]}"#).unwrap(), 0);
    let secret = r#"{"items":[{"kind":"Secret","metadata":{"name":"a","namespace":"n"},"data":{"x":"aHVzaA=="}}]}"#;
    assert!(matches!(of(secret), Err(NotPods::Others)));
    for text in ["", "[]", "NAME READY\n", r#"{"items":[{}]}"#, r#"{"items":[{"metadata":{"name":"a"}}]}"#, "{}"] {
        assert!(matches!(of(text), Err(NotPods::Json { .. })), "{text}");
    }
    let bad = r#"{"items":[{"metadata":{"name":"a","namespace":"n"},"status":{"podIPs":[{"ip":"10.0.0.256"}]}}]}"#;
    assert!(of(bad).is_err());
}

#[test]
fn many_pods_are_looked_at_at_once() {
    let pods: Vec<ClusterPod> = (0..10_000)
        .map(|n| ClusterPod {
            name: format!("p{n}"),
            namespace: "agents".into(),
            service_account: "infrabot".into(),
            labels: [("app".into(), "devbto".into())].into(),
            addresses: vec![[10, 43, u8::try_from(n / 256).unwrap(), u8::try_from(n % 256).unwrap()].into()],
            host_network: false,
            ended: false,
        })
        .collect();
    let found = found(POLICY, &pods);
    assert_eq!(codes(&found), ["SG0222", "SG0223"]);
    let message = &found.iter().find(|one| one.code == "SG0223").unwrap().message;
    assert!(message.contains("agents/p0, agents/p1, agents/p10 and 9997 more belong"), "{message}");
}
