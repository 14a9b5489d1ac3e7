//! The CA is rotated while agents work: no handshake fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stubgate_tests::program::Running;
use stubgate_tests::{Lab, Shared, Way, World};

static WORLD: Shared<World> = Shared::new(World::standard);

const URL: &str = "https://other.example/";
const BUNDLE: &str = "http://ca.stubgate.internal/bundle.pem";
/// The new CA signs no earlier than this after it came.
const LEAST: Duration = Duration::from_secs(4);

/// What a client has done so far.
#[derive(Default)]
struct Load {
    done: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl Load {
    fn note(&self, is_good: bool, what: impl FnOnce() -> String) {
        if is_good {
            self.done.fetch_add(1, Ordering::SeqCst);
        } else {
            self.failed.lock().unwrap().push(what());
        }
    }

    /// As long as it prints, each line a status.
    fn follow(&self, running: &mut Running, stop: &AtomicBool) {
        while !stop.load(Ordering::SeqCst) {
            if let Some(line) = running.line(Duration::from_millis(200)) {
                self.note(line == "200", || format!("{line} {}", running.errors()));
            } else if running.ended(Duration::ZERO).is_some() {
                return self.note(false, || format!("ended: {}", running.errors()));
            }
        }
    }

    #[track_caller]
    fn check(&self, client: &str, least: usize) {
        let failed = self.failed.lock().unwrap();
        let done = self.done.load(Ordering::SeqCst);
        println!("{client}: {done} handshakes, {} failed", failed.len());
        assert!(failed.is_empty(), "{client}: of {done}, {} failed, first: {}", failed.len() + done, failed[0]);
        assert!(done >= least, "{client}: {done} are no load");
    }
}

/// What the supervisor does with a bundle: replaces the file that runtimes read.
fn trust(lab: &Lab, pem: &str) {
    let fresh = lab.bundle().with_extension("new");
    fs::write(&fresh, pem).unwrap();
    fs::rename(&fresh, lab.bundle()).unwrap();
}

/// Asks for the bundle as one who trusts what has this name: status and name, and the bundle.
fn bundle(lab: &Lab, known: &str) -> (String, String) {
    let curl = lab.client(Way::Dns).curl().args(["-H", &format!("If-None-Match: {known}")]);
    let said = curl.args(["-w", "\n%{http_code} %header{etag}", BUNDLE]).run().success();
    let (pem, said) = said.rsplit_once('\n').unwrap();
    (said.to_owned(), pem.to_owned())
}

fn phase(lab: &Lab, phase: &str) -> bool {
    lab.appliance().metric("stubgate_ca_phase", &[&format!("phase=\"{phase}\"")]) > 0.5
}

fn status_trusting(lab: &Lab, certificate: &Path) -> String {
    lab.client(Way::Dns).curl_status().env("CURL_CA_BUNDLE", certificate).arg(URL).run().text()
}

fn rotate(lab: &Lab, more: &[&str]) {
    let appliance = lab.appliance();
    appliance.command(["ca", "rotate", "--config", "stubgate.yaml"]).args(more).run().success();
}

fn records(lab: &Lab) -> Vec<String> {
    let records = lab.appliance().audit();
    let records = records.iter().filter(|record| record["event"] == "ca");
    records.map(|record| record["outcome"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_rotation_under_load_fails_no_handshake_of_curl_git_python_and_node() {
    WORLD.test(|world| {
        let lab = &world.lab;
        let (stop, restart) = (AtomicBool::new(false), AtomicBool::new(false));
        let loads: [Load; 5] = std::array::from_fn(|_| Load::default());
        let [curl, git, python, node_before, node_after] = &loads;
        let (pod, before) = (lab.pod().dir().join("pod-home"), records(lab).len());
        let old = bundle(lab, "\"waiting\"").1;
        thread::scope(|scope| {
            let (stop, restart) = (&stop, &restart);
            let stopping = Stopping([stop, restart]);
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let ran = lab.client(Way::Dns).curl_status().arg(URL).run();
                    curl.note(ran.text() == "200", || ran.errors());
                }
            });
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let ran =
                        lab.client(Way::Proxy).git().args(["ls-remote", "https://github.com/acme/site.git"]).run();
                    git.note(ran.status.success(), || ran.errors());
                }
            });
            scope.spawn(|| {
                let steady = lab.client(Way::Dns).python("steady.py", "REQUESTS_CA_BUNDLE").arg(URL);
                python.follow(&mut steady.spawn(), stop);
            });
            let steady = || lab.client(Way::Dns).node("steady.mjs").arg(URL).spawn();
            let mut node = steady();
            assert_eq!(node.line(Duration::from_secs(20)).as_deref(), Some("200"), "{}", node.errors());
            let first = scope.spawn(move || node_before.follow(&mut node, restart));

            rotate(lab, &["--at-least", &format!("{}s", LEAST.as_secs()), "--deadline", "10m"]);
            let begun = Instant::now();
            lab.appliance().until("the overlap", || phase(lab, "overlap"));
            let (_, both) = bundle(lab, "\"waiting\"");
            assert_eq!(both.matches("BEGIN CERTIFICATE").count(), 2, "{both}");
            trust(lab, &both);
            thread::sleep((LEAST + Duration::from_secs(1)).saturating_sub(begun.elapsed()));
            assert!(phase(lab, "overlap"), "the agent has not said that its client trusts the new one");
            assert!(lab.appliance().metric("stubgate_ca_agents_not_seen", &[]) > 0.5);

            // The running client is started again; until then it lived by the old one.
            restart.store(true, Ordering::SeqCst);
            first.join().unwrap();
            let mut node = steady();
            scope.spawn(move || node_after.follow(&mut node, stop));
            lab.appliance().until("the new client", || node_after.done.load(Ordering::SeqCst) > 2);
            let tag = bundle(lab, "\"waiting\"").0;
            let tag = tag.strip_prefix("200 ").unwrap();
            assert_eq!(bundle(lab, tag).0, format!("304 {tag}"));
            lab.appliance().until("the new CA to sign", || phase(lab, "trailing"));
            let new = bundle(lab, "\"waiting\"").1;
            assert!(new.ends_with(&old) && new != old);
            fs::write(pod.join("new.pem"), new.strip_suffix(&old).unwrap()).unwrap();
            fs::write(pod.join("old.pem"), &old).unwrap();
            assert_eq!(status_trusting(lab, &pod.join("new.pem")), "200");
            assert_eq!(status_trusting(lab, &pod.join("old.pem")), "000", "nothing is signed by the old one");

            let so_far = [curl, git, python, node_after].map(|load| load.done.load(Ordering::SeqCst));
            rotate(lab, &["--finish"]);
            lab.appliance().until("the old one to leave", || phase(lab, "stable"));
            trust(lab, &bundle(lab, "\"waiting\"").1);
            lab.appliance().until("some more of each", || {
                let now = [curl, git, python, node_after].map(|load| load.done.load(Ordering::SeqCst));
                now.iter().zip(so_far).all(|(now, before)| *now > before + 2)
            });
            drop(stopping);
        });
        for (load, client) in loads.iter().zip(["curl", "git", "python", "node before", "node after"]) {
            load.check(client, 5);
        }
        assert_eq!(records(lab)[before..], ["overlap", "trailing", "stable"]);
    });
}

/// Tells loads to end, also where the test does so early.
struct Stopping<'s>([&'s AtomicBool; 2]);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        for flag in self.0 {
            flag.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn an_appliance_that_is_killed_in_an_overlap_goes_on_with_it() {
    WORLD.test(|world| {
        let lab = &world.lab;
        let appliance = lab.appliance();
        trust(lab, &bundle(lab, "\"waiting\"").1);
        rotate(lab, &["--at-least", "1s", "--deadline", "10m"]);
        appliance.until("the overlap", || phase(lab, "overlap"));
        assert_eq!(lab.client(Way::Dns).curl_status().arg(URL).run().text(), "200");
        let shown =
            || appliance.command(["ca", "show", "--format", "json", "--config", "stubgate.yaml"]).run().success();
        appliance.until("the agent to be awaited", || shown().contains("\"not_seen\": {\n      \"pod\": ["));
        let before = shown();
        appliance.kill();
        assert_eq!(shown(), before);
        appliance.start();
        assert!(phase(lab, "overlap"));
        assert_eq!(shown(), before, "who was not seen, and the deadline, are what they were");
        assert_eq!(lab.client(Way::Dns).curl_status().arg(URL).run().text(), "200");
        rotate(lab, &["--finish"]);
        appliance.until("the new one alone", || phase(lab, "stable"));
        trust(lab, &bundle(lab, "\"waiting\"").1);
        assert_eq!(lab.client(Way::Dns).curl_status().arg(URL).run().text(), "200");
    });
}
