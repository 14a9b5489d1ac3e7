//! Ten thousand pods on one watch: how long until all are known, what they cost in memory, how long a change takes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stubgate_kubernetes::{Directory, Sighting};

use crate::double::Double;
use crate::site::{Site, pod};

const PODS: usize = 10_000;

fn ip(at: usize) -> IpAddr {
    let [_, _, high, low] = u32::try_from(at).unwrap().to_be_bytes();
    IpAddr::from([10, 7, high, low])
}

/// With as much around what counts as a pod of a cluster has.
fn large(at: usize, app: &str) -> Value {
    let mut pod =
        pod("agents", &format!("p{at}"), &format!("0b5f8e0c-aaaa-4bbb-8ccc-{at:012}"), app, &ip(at).to_string());
    let env: Vec<Value> =
        (0..30).map(|n| json!({ "name": format!("VARIABLE_{n}"), "value": "x".repeat(60) })).collect();
    pod["spec"]["containers"][0]["env"] = json!(env);
    pod["metadata"]["annotations"] = json!({ "note": "n".repeat(600) });
    pod["metadata"]["labels"]["pod-name"] = json!(format!("p{at}"));
    pod
}

/// Memory of this process in KiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn directory(pods: &[Sighting]) -> Directory {
    let directory = Directory::new(1, Duration::from_secs(60), Arc::new(Instant::now));
    directory.keep_labels(&["app".into()]);
    directory.replace_all(pods);
    directory
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_that_are_made_as_large_as_can_be_are_listed_all_the_same() {
    let double = Double::start().await;
    for at in 0..60 {
        let mut pod = large(at, "a0");
        pod["metadata"]["annotations"] = json!({ "note": "n".repeat(1 << 20) });
        double.put(pod);
    }
    let site = Site::start(|folder| double.kubeconfig(folder), 60).await;
    site.synced().await;
    assert_eq!(site.directory().pods(), 60, "60 MiB are more than a page takes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_pods_are_known_by_one_watch() {
    let double = Double::start().await;
    for at in 0..PODS {
        double.put(large(at, "a0"));
    }
    let bytes = large(1, "a0").to_string().len();
    let before = resident();
    let began = Instant::now();
    let site = Site::start(|folder| double.kubeconfig(folder), 60).await;
    site.synced().await;
    let (listed, held) = (began.elapsed(), resident().saturating_sub(before));
    assert_eq!(site.directory().pods(), PODS);
    // Each of them changes.
    let began = Instant::now();
    for at in 0..PODS {
        double.put(large(at, if at % 2 == 0 { "a0" } else { "none" }));
    }
    site.until("the last change", |site| site.who_at(ip(PODS - 1)).is_none()).await;
    let changed = began.elapsed();
    // What it keeps of them by itself, beside what passed through on the way.
    let sightings: Vec<_> = (0..PODS).map(|at| Sighting::read(&large(at, "a0").to_string()).unwrap()).collect();
    let before = resident();
    let kept: Vec<_> = (0..8).map(|_| directory(&sightings)).collect();
    let kept = resident().saturating_sub(before) / kept.len();
    let peer = site.connect(ip(0));
    let began = Instant::now();
    for _ in 0..10_000 {
        assert!(site.who(&peer).is_some());
    }
    let asked = began.elapsed() / 10_000;
    println!(
        "{PODS} pods of {bytes} bytes: listed in {listed:?}, {held} KiB more resident, {kept} KiB of that kept; all changed in {changed:?}; identified in {asked:?}"
    );
    assert_eq!((0..PODS).filter(|at| site.who_at(ip(*at)).is_some()).count(), PODS / 2);
    assert_eq!(double.lists(), 1);
    assert!(held < 128 << 10, "{held} KiB");
    // Names, labels that nobody asked for, and all else that a pod has, are not.
    assert!(kept < PODS, "{kept} KiB");
    assert!(listed < Duration::from_secs(60) && changed < Duration::from_secs(60), "{listed:?} {changed:?}");
}
