//! Requests and questions of pods, over real connections from addresses of their own.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::json;
use stubgate_policy::SourceFile;
use stubgate_proxy::snapshot::Snapshot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::double::Double;
use crate::site::{PATIENCE, POLICY, Site, dial, pod};

const POD: &str = "127.0.5.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Asks for the bundle, which every agent gets and nobody else; the status.
async fn ask(tcp: &mut TcpStream) -> u16 {
    tcp.write_all(b"GET /ca.pem HTTP/1.1\r\nhost: stubgate.internal\r\n\r\n").await.unwrap();
    answer(tcp).await
}

/// Reads one whole answer.
async fn answer(tcp: &mut TcpStream) -> u16 {
    let reading = async {
        let mut text = Vec::new();
        loop {
            let whole = text.windows(4).position(|bytes| bytes == b"\r\n\r\n").and_then(|end| {
                let head = String::from_utf8_lossy(&text[..end]).to_lowercase();
                let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
                (text.len() >= end + 4 + length).then(|| head.split(' ').nth(1).unwrap().parse().unwrap())
            });
            if let Some(status) = whole {
                return status;
            }
            assert_ne!(tcp.read_buf(&mut text).await.unwrap(), 0, "the connection ended");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}

/// A question for plain.example.test, A.
const QUESTION: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x05plain\x07example\x04test\x00\x00\x01\x00\x01";

/// The code of a DNS answer.
fn code(answer: &[u8]) -> u8 {
    answer[3] & 15
}

async fn ask_udp(site: &Site, from: &str) -> u8 {
    let socket = UdpSocket::bind((ip(from), 0)).await.unwrap();
    socket.send_to(QUESTION, site.addresses.dns[0]).await.unwrap();
    let mut buffer = [0; 512];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    code(&buffer[..length])
}

async fn ask_tcp(tcp: &mut TcpStream) -> u8 {
    let length = u16::try_from(QUESTION.len()).unwrap().to_be_bytes();
    tcp.write_all(&[&length, QUESTION].concat()).await.unwrap();
    let length = tcp.read_u16().await.unwrap();
    let mut buffer = vec![0; usize::from(length)];
    tcp.read_exact(&mut buffer).await.unwrap();
    code(&buffer)
}

#[tokio::test]
async fn a_pod_asks_as_its_agent_until_it_ends_and_its_connections_never_become_anothers() {
    let double = Double::start().await;
    double.put(pod("agents", "one", "u1", "a0", POD));
    let site = Site::start(|folder| double.kubeconfig(folder), 60).await;
    site.synced().await;
    let (mut http, mut dns) =
        (dial(site.addresses.http[0], Some(ip(POD))).await, dial(site.addresses.dns[0], Some(ip(POD))).await);
    assert_eq!(ask(&mut http).await, 200);
    assert_eq!((ask_udp(&site, POD).await, ask_tcp(&mut dns).await), (0, 0));
    assert_eq!(site.who_at(ip(POD)).as_deref(), Some("a0"));

    let mut ending = pod("agents", "one", "u1", "a0", POD);
    ending["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
    double.put(ending);
    site.until("the pod is ending", |site| site.who_at(ip(POD)).is_none()).await;
    assert_eq!(ask(&mut http).await, 403);
    assert_eq!((ask_udp(&site, POD).await, ask_tcp(&mut dns).await), (5, 5));

    double.delete("agents", "one");
    double.put(pod("other", "two", "u2", "x", POD));
    site.until("another has its address", |site| site.who_at(ip(POD)).as_deref() == Some("a2")).await;
    let mut new = dial(site.addresses.http[0], Some(ip(POD))).await;
    assert_eq!((ask(&mut new).await, ask_udp(&site, POD).await), (200, 0));
    assert_eq!(ask(&mut http).await, 403, "what the first one opened is nobody's");
    assert_eq!(ask_tcp(&mut dns).await, 5);
}

#[tokio::test]
async fn who_may_still_come_is_whoever_is_not_known_to_be_gone() {
    let double = Double::start().await;
    double.put(pod("agents", "one", "u1", "a0", POD));
    let site = Site::start(|folder| double.kubeconfig(folder), 4).await;
    site.synced().await;
    let may_come = |site: &Site, name, address| {
        let snapshot = site.appliance.snapshot.load();
        stubgate_proxy::identify::may_come(&site.appliance, &snapshot.policy, name, ip(address))
    };
    let [own, others, nobodys, no_agents] =
        [("a0", POD), ("a1", POD), ("a0", "127.0.5.2"), ("gone", POD)].map(|(name, at)| may_come(&site, name, at));
    assert_eq!((own, others, nobodys, no_agents), (true, false, false, false));
    assert!(may_come(&site, "fixed", "127.9.0.1") && !may_come(&site, "fixed", "127.8.0.1"));

    double.set_down(true);
    site.until("what is known is too old", |site| !site.directory().is_fresh()).await;
    assert!(may_come(&site, "a0", POD) && may_come(&site, "a0", "127.0.5.2"), "who knows");
    double.set_down(false);
    site.synced().await;
    double.delete("agents", "one");
    site.until("the pod is gone", |site| !may_come(site, "a0", POD)).await;
}

#[tokio::test]
async fn what_a_pod_has_under_way_is_cut_when_it_goes() {
    let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = origin.local_addr().unwrap();
    let double = Double::start().await;
    double.put(pod("agents", "one", "u1", "a0", POD));
    double.put(pod("agents", "two", "u2", "a0", "127.0.5.2"));
    let more = format!(" }}\nupstream: {{ connect_to: {{ \"plain.example.test:80\": \"{to}\" }}");
    let site = Site::with(|folder| double.kubeconfig(folder), 60, POLICY, &more).await;
    site.synced().await;
    let mut clients = Vec::new();
    let mut origins = Vec::new();
    for from in [POD, "127.0.5.2"] {
        let mut client = dial(site.addresses.http[0], Some(ip(from))).await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: plain.example.test\r\n\r\n").await.unwrap();
        clients.push(client);
        origins.push(origin.accept().await.unwrap());
    }
    site.until("both are under way", |site| site.appliance.live.len() == 2).await;
    double.delete("agents", "one");
    site.until("one is cut", |site| site.appliance.live.len() == 1).await;
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, clients[0].read_buf(&mut rest)).await.unwrap().unwrap();
    assert!(read == 0 || !rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    origins[1].0.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    assert_eq!(answer(&mut clients[1]).await, 200);
}

#[tokio::test]
async fn addresses_that_are_claimed_twice_are_nobodys_and_it_is_counted() {
    let double = Double::start().await;
    double.put(pod("agents", "one", "u1", "a0", POD));
    double.put(pod("agents", "two", "u2", "a0", POD));
    double.put(pod("agents", "claims", "u3", "a0", "127.9.0.1"));
    double.put(pod("third", "bystander", "u4", "a0", "127.9.0.2"));
    let mut on_host = pod("agents", "host", "u5", "a0", "127.0.5.9");
    on_host["spec"]["hostNetwork"] = json!(true);
    double.put(on_host);
    let site = Site::start(|folder| double.kubeconfig(folder), 60).await;
    assert_eq!(site.who_at(ip("127.9.0.3")).as_deref(), Some("fixed"), "sources count before pods are known");
    site.synced().await;
    for (address, who) in [
        (POD, None),
        ("127.9.0.1", None),
        ("127.9.0.2", Some("fixed")),
        ("127.9.0.3", Some("fixed")),
        ("127.0.5.9", None),
    ] {
        assert_eq!(site.who_at(ip(address)).as_deref(), who, "{address}");
    }
    let (_, metrics) = site.admin("/metrics").await;
    for line in [
        "stubgate_kubernetes_nobody_total{why=\"contested\"} 1",
        "stubgate_kubernetes_nobody_total{why=\"claimed\"} 1",
        "stubgate_kubernetes_contested_addresses 1",
        "stubgate_kubernetes_pods 4",
        "stubgate_kubernetes_fresh 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    double.delete("agents", "two");
    site.until("one of them went", |site| site.who_at(ip(POD)).as_deref() == Some("a0")).await;
}

#[tokio::test]
async fn where_agents_are_known_by_pods_alone_an_outage_leaves_nobody_to_serve() {
    let double = Double::start().await;
    let policy = "version: 1\nagents: { a0: { pods: [{ namespace: agents }] } }\n";
    let site = Site::with(|folder| double.kubeconfig(folder), 4, policy, "").await;
    site.synced().await;
    assert_eq!(site.admin("/readyz").await.0, 200);
    double.set_down(true);
    site.until("it is too old", |site| !site.directory().is_fresh()).await;
    let (status, text) = site.admin("/readyz").await;
    assert!(status == 503 && text.contains("stale_after_seconds"), "{status} {text}");
}

#[tokio::test]
async fn a_label_that_is_not_known_yet_makes_nobody_of_its_pod_and_not_another_agent() {
    let double = Double::start().await;
    double.put(pod("agents", "one", "u1", "a0", POD));
    let mut without = pod("agents", "two", "u2", "a0", "127.0.5.2");
    without["metadata"]["labels"] = json!({ "app": "a0" });
    double.put(without);
    let site = Site::start(|folder| double.kubeconfig(folder), 60).await;
    site.synced().await;
    assert_eq!(site.who_at(ip(POD)).as_deref(), Some("a0"));
    double.set_down(true);
    // Its pods are another agent's too, by a label that was not kept.
    let more = "agents:\n  b: { pods: [{ namespace: agents, labels: { tier: t } }] }";
    let file = SourceFile { name: "p.yaml".into(), text: POLICY.replacen("agents:", more, 1) };
    let policy = stubgate_policy::compile(&[file]).unwrap().policy;
    site.directory().keep_labels(policy.label_keys());
    site.appliance.snapshot.store(Arc::new(Snapshot::new(policy, 2, &site.appliance.metrics)));
    assert_eq!((site.who_at(ip(POD)), site.who_at(ip("127.0.5.2"))), (None, None), "it may be either's");
    double.set_down(false);
    site.until("the labels are known", |site| site.who_at(ip("127.0.5.2")).as_deref() == Some("a0")).await;
    assert_eq!(site.who_at(ip(POD)), None, "it is both's");
}

#[tokio::test]
async fn readyz_says_what_is_wrong_with_pods_and_of_source_nat() {
    let double = Double::start().await;
    double.set_down(true);
    let mut of_node = pod("agents", "one", "u1", "a0", POD);
    of_node["status"]["hostIP"] = json!("127.0.6.1");
    double.put(of_node);
    let site = Site::start(|folder| double.kubeconfig(folder), 4).await;
    site.until("it was tried", |site| site.directory().problem().is_some()).await;
    let (status, text) = site.admin("/readyz").await;
    assert!(status == 503 && text.contains("not known yet") && text.contains("reached"), "{status} {text}");
    double.set_down(false);
    site.synced().await;
    let (status, text) = site.admin("/readyz").await;
    assert!(status == 200 && text.contains("kubernetes: 1 pods") && !text.contains("warning"), "{status} {text}");
    for _ in 0..12 {
        let mut tcp = dial(site.addresses.http[0], Some(ip("127.0.6.1"))).await;
        assert_eq!(ask(&mut tcp).await, 403);
    }
    let (status, text) = site.admin("/readyz").await;
    assert!(
        status == 200 && text.contains("12 connections came from 127.0.6.1") && text.contains("source NAT"),
        "{text}"
    );
    double.set_down(true);
    site.until("it is too old", |site| !site.directory().is_fresh()).await;
    let (status, text) = site.admin("/readyz").await;
    assert!(status == 200 && text.contains("warning: agents can't") && text.contains("stale_after_seconds"), "{text}");
    let (_, metrics) = site.admin("/metrics").await;
    assert!(
        metrics.contains("stubgate_kubernetes_fresh 0") && metrics.contains("stubgate_peers_from_gateways_total 12")
    );
}

#[tokio::test]
async fn a_policy_that_names_another_label_takes_it_from_nobody() {
    let double = Double::start().await;
    double.put(pod("agents", "one", "u1", "a0", POD));
    let site = Site::start(|folder| double.kubeconfig(folder), 60).await;
    site.synced().await;
    let number = site.pod_at(ip(POD)).unwrap().number;
    let peer = site.connect(ip(POD));
    let policy = POLICY.replace("{ app: a0 }", "{ app: a0, tier: t }");
    let (file, new) = (site.folder.path().join("policy/policy.yaml"), site.folder.path().join("policy/.new"));
    std::fs::write(&new, policy).unwrap();
    std::fs::rename(new, file).unwrap();
    let mut refused = 0;
    site.until("the new policy is in force", |site| {
        refused += usize::from(site.who(&peer).as_deref() != Some("a0"));
        site.appliance.snapshot.load().generation == 2
    })
    .await;
    assert_eq!((refused, site.who(&peer).as_deref()), (0, Some("a0")));
    let entry = site.pod_at(ip(POD)).unwrap();
    assert_eq!((entry.number, entry.labels.len()), (number, 2));
    assert_eq!(double.lists(), 2);
}
