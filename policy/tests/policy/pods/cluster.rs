//! Selectors beside the pods of a cluster.

use stubgate_policy::pods::cluster::ClusterPod;
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

fn pod(name: &str, account: &str, app: &str, address: &str) -> ClusterPod {
    ClusterPod {
        name: name.into(),
        namespace: "agents".into(),
        service_account: account.into(),
        labels: [("app".into(), app.into())].into(),
        addresses: vec![address.parse().unwrap()],
        host_network: false,
        ended: false,
    }
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

fn devbot() -> ClusterPod {
    pod("devbot-0", "devbot", "devbot", "10.42.0.11")
}

fn infrabot() -> ClusterPod {
    pod("infrabot-0", "infrabot", "infrabot", "10.42.0.12")
}

#[test]
fn a_selector_that_fits_no_pod_is_shown_with_what_is_there() {
    let found = found(POLICY, &[devbot(), infrabot()]);
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
        let found = found(&policy, &[devbot(), infrabot()]);
        assert_eq!(found[0].help.as_deref(), Some(help), "{selector}");
    }
}

#[test]
fn a_pod_that_two_agents_claim_is_shown_with_both_selectors() {
    let both = pod("both-0", "infrabot", "devbto", "10.42.0.13");
    let found = found(POLICY, &[devbot(), infrabot(), both]);
    assert_eq!(codes(&found), ["SG0223"]);
    insta::assert_snapshot!("pods-of-two", render(&found, &[file(POLICY)], false));
}

#[test]
fn a_pod_that_is_another_agent_by_its_address_is_shown() {
    let policy = POLICY.replace("      - { namespace: agents, labels: { app: devbto } }\n", "");
    let mut astray = infrabot();
    astray.addresses = vec!["fd00::1".parse().unwrap(), "10.42.9.7".parse().unwrap()];
    let found = found(&policy, &[devbot(), astray]);
    assert_eq!(codes(&found), ["SG0223"]);
    assert!(found[0].message.contains("agents/infrabot-0 is `infrabot` by this selector and `flat` by address"));
}

#[test]
fn a_pod_on_the_network_of_its_node_is_shown() {
    let policy = POLICY.replace("      - { namespace: agents, labels: { app: devbto } }\n", "");
    let mut on_host = devbot();
    on_host.host_network = true;
    let found = found(&policy, &[on_host, infrabot()]);
    assert_eq!(codes(&found), ["SG0224"]);
}

#[test]
fn pods_that_are_done_or_on_their_way_out_fit_nothing() {
    let policy = POLICY.replace("      - { namespace: agents, labels: { app: devbto } }\n", "");
    let with = |change: fn(&mut ClusterPod)| {
        let mut changed = devbot();
        change(&mut changed);
        codes(&found(&policy, &[changed, infrabot()]))
    };
    assert_eq!(with(|_| {}), Vec::<&str>::new());
    assert_eq!(with(|pod| pod.addresses.clear()), Vec::<&str>::new());
    assert_eq!(with(|pod| pod.ended = true), ["SG0222"]);
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
