//! How the watch goes on through what an API server may do.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stubgate_kubernetes::{Access, Directory, Settings};
use tokio_util::sync::CancellationToken;

use crate::double::Double;
use crate::site::{Site, pod};

const BOUND: u64 = 4;

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn put(double: &Double, last: u8, app: &str) {
    double.put(pod("agents", &format!("p{last}"), &format!("u{last}"), app, &ip(last).to_string()));
}

async fn start(double: &Double) -> Site {
    let site = Site::start(|folder| double.kubeconfig(folder), BOUND).await;
    site.synced().await;
    site
}

#[tokio::test]
async fn watches_follow_each_other_without_a_list_and_keep_what_is_known_fresh() {
    let double = Double::start().await;
    put(&double, 1, "a0");
    let site = start(&double).await;
    let began = Instant::now();
    // Longer than what was known counts.
    let mut oldest = Duration::ZERO;
    site.until("several watches", |site| {
        oldest = oldest.max(site.directory().age().unwrap());
        began.elapsed() > Duration::from_secs(BOUND + 1)
    })
    .await;
    assert!(oldest < Duration::from_secs(BOUND), "{oldest:?}");
    assert!(double.lists() == 1 && double.watches() >= 4, "{} {}", double.lists(), double.watches());
    put(&double, 2, "a0");
    site.until("an event of the latest watch", |site| site.who_at(ip(2)).is_some()).await;
}

#[tokio::test]
async fn what_happened_while_a_watch_was_cut_is_told_by_the_next_one() {
    let double = Double::start().await;
    put(&double, 1, "a0");
    let site = start(&double).await;
    for round in 0..5 {
        double.set_down(true);
        double.delete("agents", &format!("p{}", round + 1));
        put(&double, round + 2, "a0");
        double.set_down(false);
        site.until("both were heard", |site| {
            site.who_at(ip(round + 1)).is_none() && site.who_at(ip(round + 2)).is_some()
        })
        .await;
    }
    assert_eq!(double.lists(), 1);
}

#[tokio::test]
async fn a_version_that_is_no_longer_known_has_all_listed_again_and_numbers_stay() {
    let double = Double::start().await;
    put(&double, 1, "a0");
    put(&double, 2, "a0");
    let site = start(&double).await;
    let number = site.pod_at(ip(1)).unwrap().number;
    for round in 1..=3 {
        double.set_down(true);
        double.delete("agents", &format!("p{}", round + 1));
        double.compact();
        put(&double, round + 2, "a1");
        double.set_down(false);
        site.until("it was listed", |site| site.directory().at(ip(round + 1)) == stubgate_kubernetes::At::Nobody).await;
        // An event, after which it goes well.
        put(&double, round + 100, "a1");
        site.until("it is watched", |site| site.directory().at(ip(round + 100)) != stubgate_kubernetes::At::Nobody)
            .await;
    }
    assert!(double.lists() == 4 && double.gone() == 3, "{} {}", double.lists(), double.gone());
    assert_eq!(site.pod_at(ip(1)).unwrap().number, number);
}

#[tokio::test]
async fn an_outage_is_bridged_for_the_bound_then_all_is_denied_until_it_is_over() {
    let double = Double::start().await;
    put(&double, 1, "a0");
    let site = start(&double).await;
    let peer = site.connect(ip(1));
    double.set_down(true);
    let began = Instant::now();
    site.until("it is denied", |site| {
        let who = site.who(&peer);
        assert!(who.is_some() || !site.directory().is_fresh());
        who.is_none()
    })
    .await;
    let bridged = began.elapsed();
    // What was surely true was so when the last whole watch ended.
    assert!(bridged <= Duration::from_secs(BOUND) + Duration::from_millis(500), "{bridged:?}");
    assert!(bridged >= Duration::from_secs(BOUND - 2), "{bridged:?}");
    assert_eq!(site.who_at(ip(1)), None, "nor on a new connection");
    assert_eq!(site.who_at("127.9.0.1".parse().unwrap()).as_deref(), Some("fixed"), "sources need no cluster");
    double.set_down(false);
    site.until("it is over", |site| site.who(&peer).as_deref() == Some("a0")).await;
}

#[tokio::test]
async fn a_server_that_is_too_slow_is_one_that_says_nothing() {
    let double = Double::start().await;
    put(&double, 1, "a0");
    let site = start(&double).await;
    double.set_slow(Duration::from_secs(3600));
    put(&double, 2, "a0");
    // The watch is open, and its connection alive: and yet nothing is known.
    site.until("it is denied", |site| site.who_at(ip(1)).is_none()).await;
    double.set_slow(Duration::ZERO);
    double.cut();
    site.until("all is known", |site| site.who_at(ip(1)).is_some() && site.who_at(ip(2)).is_some()).await;
}

#[tokio::test]
async fn a_token_is_exchanged_while_it_runs() {
    let double = Double::start().await;
    put(&double, 1, "a0");
    let site = start(&double).await;
    // The old one is refused from now on, also where it is kept for a minute.
    double.set_token(site.folder.path(), "token-2");
    double.cut();
    site.until("the old one is refused", |_| double.refused() > 0).await;
    put(&double, 2, "a0");
    site.until("it asks with the new one", |site| site.who_at(ip(2)).is_some()).await;
    assert!(site.who_at(ip(1)).is_some());
}

#[tokio::test]
async fn a_server_that_others_vouch_for_is_not_asked() {
    let (double, other) = (Double::start().await, Double::start().await);
    put(&double, 1, "a0");
    let certificate = |folder: &std::path::Path| {
        other.kubeconfig(folder);
        let ca = std::fs::read(folder.join("cluster.pem")).unwrap();
        let file = double.kubeconfig(folder);
        std::fs::write(folder.join("cluster.pem"), ca).unwrap();
        file
    };
    let site = Site::start(certificate, BOUND).await;
    site.until("it was tried", |site| site.directory().problem().is_some()).await;
    assert_eq!((site.who_at(ip(1)), double.lists(), double.refused()), (None, 0, 0));
    assert!(site.directory().problem().unwrap().contains("ertificate"), "{:?}", site.directory().problem());
}

#[tokio::test]
async fn namespaces_are_watched_one_by_one_where_they_are_named() {
    let double = Double::start().await;
    put(&double, 1, "a0");
    double.put(pod("other", "q", "uq", "x", "10.0.0.7"));
    let more = ", namespaces: [agents, third]";
    let site = Site::with(|folder| double.kubeconfig(folder), 60, crate::site::POLICY, more).await;
    site.synced().await;
    assert_eq!((site.who_at(ip(1)).as_deref(), site.who_at(ip(7))), (Some("a0"), None));
    put(&double, 2, "a0");
    double.put(pod("third", "r", "ur", "a0", "10.0.0.8"));
    site.until("both are watched", |site| site.directory().pods() == 3).await;
    assert_eq!(double.lists(), 2);
}

#[tokio::test]
async fn a_server_that_serves_lists_and_no_watches_is_not_asked_for_lists_all_the_time() {
    // A role without `watch`, and a server that has always just forgotten.
    for code in [403, 410] {
        let double = Double::start().await;
        put(&double, 1, "a0");
        double.refuse_watches(code);
        let site = start(&double).await;
        let began = Instant::now();
        site.until("two seconds", |_| began.elapsed() > Duration::from_secs(2)).await;
        assert!((2..8).contains(&double.lists()), "{code}: {}", double.lists());
        double.refuse_watches(0);
        put(&double, 2, "a0");
        site.until("a watch", |site| double.watches() > 0 && site.who_at(ip(2)).is_some()).await;
        put(&double, 3, "a0");
        site.until("it is over", |site| site.who_at(ip(3)).is_some() && site.directory().problem().is_none()).await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_one_namespace_is_said_until_it_is_over_there() {
    let double = Double::start().await;
    put(&double, 1, "a0");
    double.put(pod("third", "r", "ur", "x", "10.0.0.8"));
    double.close(Some("third"));
    let more = ", namespaces: [agents, third]";
    let site = Site::with(|folder| double.kubeconfig(folder), 60, crate::site::POLICY, more).await;
    let problem = || site.directory().problem().map(|text| text.to_string());
    let refused = "namespace third: the API server answered 403: Forbidden";
    site.until("the other one is refused", |_| problem().as_deref() == Some(refused)).await;
    site.until("this one is watched", |_| double.watches() > 0).await;
    // It breaks, and goes well again.
    double.cut();
    put(&double, 2, "a0");
    site.until("an event", |site| site.directory().pods() == 2).await;
    site.until("it goes well here", |_| problem().as_deref() == Some(refused)).await;
    assert!(!site.directory().is_fresh());
    double.close(None);
    site.until("all are known", |site| site.directory().is_fresh() && site.directory().pods() == 3).await;
    double.put(pod("third", "s", "us", "x", "10.0.0.9"));
    site.until("it is over", |_| problem().is_none()).await;
}

#[tokio::test]
async fn a_watch_that_ends_by_a_fault_of_its_own_leaves_what_looks_at_its_age_running() {
    let double = Double::start().await;
    let folder = tempfile::tempdir().unwrap();
    let access = Access::Kubeconfig { file: double.kubeconfig(folder.path()), context: None };
    let settings = Settings { access, namespaces: Vec::new(), stale_after: Duration::from_secs(BOUND) };
    let is_broken = Arc::new(AtomicBool::new(false));
    let clock = Arc::clone(&is_broken);
    let clock = move || {
        assert!(!clock.load(Ordering::SeqCst), "a fault");
        Instant::now()
    };
    let directory = Arc::new(Directory::new(settings.parts(), settings.stale_after, Arc::new(clock)));
    is_broken.store(true, Ordering::SeqCst);
    let stop = CancellationToken::new();
    let mut watching = tokio::spawn(stubgate_kubernetes::watch(settings, Arc::clone(&directory), stop.clone()));
    let said = async {
        while directory.problem().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::site::PATIENCE, said).await.unwrap();
    assert!(directory.problem().unwrap().contains("ended by a fault"), "{:?}", directory.problem());
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut watching).await.is_err(), "it goes on");
    stop.cancel();
    watching.await.unwrap();
}

#[tokio::test]
async fn several_replicas_agree_on_who_everybody_is() {
    let double = Double::start().await;
    for last in 0..40 {
        put(&double, last, ["a0", "a1", "none"][usize::from(last) % 3]);
    }
    let sites = [start(&double).await, start(&double).await, start(&double).await];
    let mut random = crate::cluster::Random::new(3);
    for round in 0..300 {
        let last = u8::try_from(random.below(40)).unwrap();
        if random.below(3) == 0 {
            double.delete("agents", &format!("p{last}"));
        } else {
            put(&double, last, ["a0", "none"][random.below(2)]);
        }
        if round % 60 == 0 {
            double.cut();
        }
    }
    // Whoever has heard of the last event has heard of all before it.
    double.put(pod("other", "last", "last", "x", "10.0.0.250"));
    for site in &sites {
        site.until("the last event", |site| site.who_at(ip(250)).is_some()).await;
    }
    let all = |site: &Site| (0..40).map(|last| site.who_at(ip(last))).collect::<Vec<_>>();
    let first = all(&sites[0]);
    assert!(first.iter().flatten().count() > 5);
    for site in &sites {
        assert_eq!(all(site), first);
    }
}

#[tokio::test]
async fn pods_are_listed_once_for_commands() {
    let double = Double::start().await;
    put(&double, 1, "a0");
    double.put(pod("other", "q", "uq", "x", "10.0.0.7"));
    let folder = tempfile::tempdir().unwrap();
    let access = stubgate_kubernetes::Access::Kubeconfig { file: double.kubeconfig(folder.path()), context: None };
    let all = stubgate_kubernetes::list(&access, &[]).await.unwrap();
    let names: Vec<_> =
        all.iter().map(|pod| (&*pod.namespace, &*pod.name, pod.labels.len(), pod.addresses.len())).collect();
    assert_eq!(names, [("agents", "p1", 2, 1), ("other", "q", 2, 1)]);
    assert_eq!(stubgate_kubernetes::list(&access, &["other".into()]).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_is_judged_alike_beside_the_cluster_and_beside_what_kubectl_wrote_of_it() {
    let double = Double::start().await;
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let mut items = Vec::new();
    let mut policy = "version: 1\nagents:\n  fixed: { sources: [10.0.0.4/32] }\n".to_owned();
    for (last, app) in ["well", "host", "pending", "astray", "done", "failed", "ending"].into_iter().enumerate() {
        let mut one = pod("agents", app, app, app, &format!("10.0.0.{}", last + 1));
        match app {
            "host" => one["spec"]["hostNetwork"] = json!(true),
            "pending" => one["status"] = json!({ "phase": "Pending" }),
            "done" => one["status"]["phase"] = json!("Succeeded"),
            "failed" => one["status"]["phase"] = json!("Failed"),
            "ending" => one["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            _ => {}
        }
        policy += &format!("  a-{app}: {{ pods: [{{ namespace: agents, labels: {{ app: {app} }} }}] }}\n");
        double.put(one.clone());
        one["kind"] = json!("Pod");
        items.push(one);
    }
    policy += "rules: [{ name: r, agents: [\"*\"], hosts: [a.example], methods: [GET] }]\n";
    std::fs::write(here.join("policy.yaml"), policy).unwrap();
    std::fs::write(here.join("pods.json"), json!({ "kind": "List", "items": items }).to_string()).unwrap();
    let check = async |cluster: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_stubgate"));
        command.args(["policy", "check", "policy.yaml", "--format", "json", "--cluster"]).args(cluster);
        command.current_dir(here).env("KUBECONFIG", double.kubeconfig(here));
        let output = command.output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (of_file, of_cluster) = (check(&["pods.json"]).await, check(&[]).await);
    assert_eq!(of_file, of_cluster);
    let text = of_file.to_string();
    let count = |code: &str| text.matches(&format!("\"{code}\"")).count();
    assert_eq!((count("SG0222"), count("SG0223"), count("SG0224")), (3, 1, 1), "{of_file:#}");
}
