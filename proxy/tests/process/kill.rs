//! Killed in the middle of work, twenty times: it serves again at once, and what it wrote stays readable (LO-04, OPS-03).

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::Value;

use crate::site::{Agent, Site};

const SECRET: &str = "real-secret-of-api-0123456789";
const KILLS: u32 = 20;

/// A length of time that is another one in each run.
fn some_time(below: Duration) -> Duration {
    let share = RandomState::new().hash_one(0) % 1000;
    below * u32::try_from(share).unwrap() / 1000
}

/// Agents that ask without a pause, on connections old and new, until told to stop.
fn load(proxy: std::net::SocketAddr, client: &Arc<ClientConfig>, stop: &AtomicBool, served: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut agent) = Agent::connect(proxy, client) else { return };
        for _ in 0..50 {
            match agent.get() {
                Ok(200) => served.fetch_add(1, Ordering::Relaxed),
                _ => return,
            };
        }
    }
}

#[test]
fn killed_under_load_twenty_times_it_serves_again_at_once_and_its_records_are_whole() {
    let site = Site::new(SECRET);
    let mut took = Vec::new();
    let served = AtomicUsize::new(0);
    for _ in 0..KILLS {
        let begun = Instant::now();
        let mut running = site.start();
        let (proxy, _) = running.serving();
        let client = site.client();
        assert_eq!(Agent::connect(proxy, &client).unwrap().get().unwrap(), 200);
        took.push(begun.elapsed());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| load(proxy, &client, &stop, &served));
            }
            thread::sleep(Duration::from_millis(20) + some_time(Duration::from_millis(150)));
            running.child.kill().unwrap();
            running.child.wait().unwrap();
            stop.store(true, Ordering::Relaxed);
        });
    }
    let mut running = site.start();
    running.serving();
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.ended().0, Some(0));

    took.sort();
    println!("from start to the first answer: {took:?}; {} requests served", served.load(Ordering::Relaxed));
    assert!(served.load(Ordering::Relaxed) > KILLS as usize, "there was load");
    assert!(took[took.len() / 2] < Duration::from_secs(1), "{took:?}");
    assert!(took[took.len() - 1] < Duration::from_secs(3), "{took:?}");
    check_records(&site);
    assert!(site.origin.shown.lock().unwrap().iter().all(|value| value == SECRET));
}

/// Every line is a record but at most one for each kill, and every `begin` has an `end` that says how it ended.
fn check_records(site: &Site) {
    let text = site.audit();
    assert!(text.ends_with('\n'));
    let (mut cut, mut unknown) = (0, 0);
    let (mut begun, mut ended) = (BTreeSet::new(), BTreeSet::new());
    let mut starts = 0;
    for line in text.lines() {
        let Ok(record) = serde_json::from_str::<Value>(line) else {
            cut += 1;
            continue;
        };
        let id = record["id"].as_str().unwrap_or_default().to_owned();
        match record["event"].as_str().unwrap() {
            "begin" => assert!(begun.insert(id)),
            "end" => {
                unknown += u32::from(record["outcome"] == "unknown");
                assert!(ended.insert(id), "an end is told twice: {record}");
            }
            "lifecycle" => starts += u32::from(record["outcome"] == "started"),
            _ => {}
        }
    }
    println!("{} requests begun, {unknown} of them with an unknown end, {cut} lines cut", begun.len());
    assert!(cut <= KILLS, "{cut} lines are no records");
    assert_eq!(starts, KILLS + 1);
    let without_end: Vec<_> = begun.difference(&ended).collect();
    assert!(without_end.is_empty(), "begun, and no end is told: {without_end:?}");
}

#[test]
fn killed_while_it_makes_its_certificate_authority_it_leaves_all_of_it_or_nothing() {
    let site = Site::new(SECRET);
    // How long a first start takes here.
    let begun = Instant::now();
    let mut running = site.start();
    running.serving();
    let whole = begun.elapsed();
    drop(running);
    let mut made = 0;
    for _ in 0..KILLS {
        std::fs::remove_dir_all(site.path("state")).unwrap();
        let mut running = site.start();
        thread::sleep(some_time(whole));
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        let ca = site.path("state/ca");
        assert_eq!(ca.join("key.pem").exists(), ca.exists());
        assert_eq!(ca.join("certificate.pem").exists(), ca.exists());
        made += u32::from(ca.exists());
        let before = std::fs::read(ca.join("certificate.pem")).ok();
        let mut running = site.start();
        running.serving();
        let after = std::fs::read(ca.join("certificate.pem")).unwrap();
        assert!(before.is_none_or(|before| before == after), "what was made stays");
    }
    println!("{made} of {KILLS} had made it before they were killed");
}
