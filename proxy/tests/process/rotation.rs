//! Rotation while agents ask without a pause: no request fails, the new value is in use within two seconds, and the old one
//! is gone from memory in every form that responses are searched for (CR-24, CR-32): of a file, a Secret of Kubernetes, a program,
//! and a server that is asked over TLS.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::memory::{count, until};
use crate::servers::Server;
use crate::site::{Agent, Running, Site};

const VALUES: [&str; 3] =
    ["value-before-all-Zq7Lw2Vx9Kp4", "value-after-that-Mn3Rt8Yb6Hd1", "value-at-the-end-Bw5Gs1Xc0Jf7"];

/// A text as it is, in hexadecimal of either case, and in base64 of either kind at each place that it can have in there.
fn forms(text: &str) -> Vec<String> {
    let hexadecimal: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![text.to_owned(), hexadecimal.to_uppercase(), hexadecimal];
    for before in 0..3 {
        let padded = [&[0; 2][..before], text.as_bytes()].concat();
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&padded);
            forms.push(encoded[(before * 8).div_ceil(6)..padded.len() * 8 / 6].to_owned());
        }
    }
    forms
}

/// Tells agents to stop, also where an assertion failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks without a pause while a value is exchanged for the next, twice.
fn rotate(site: &Site, exchange: impl Fn(&str, &Running)) {
    site.set_timeout("credential_replaced_seconds: 1");
    let mut running = site.start();
    let (proxy, operators) = running.serving();
    until("there is a value", || !crate::site::admin(operators, "/readyz").1.contains("no value"));
    let (pid, client) = (running.child.id(), site.client());
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let last = || site.origin.shown.lock().unwrap().last().cloned();
    thread::scope(|scope| {
        let ended = Stop(&stop);
        let agents: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let mut agent = Agent::connect(proxy, &client).unwrap();
                        for _ in 0..200 {
                            assert_eq!(agent.get().unwrap(), 200);
                            served.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        let is_over = || agents.iter().any(|agent| agent.is_finished());
        until("the first value is in use", || last().as_deref() == Some(VALUES[0]) || is_over());
        for pair in VALUES.windows(2) {
            if rustix::process::geteuid().is_root() {
                until("the value is found where it is", || count(pid, pair[0]) > 0 || is_over());
            }
            let begun = Instant::now();
            exchange(pair[1], &running);
            until("the new value is in use", || last().as_deref() == Some(pair[1]) || is_over());
            let took = begun.elapsed();
            println!("{took:?} to the first request with the new value");
            assert!(took < Duration::from_secs(2), "{took:?}");
            if rustix::process::geteuid().is_root() {
                for form in forms(pair[0]) {
                    until("the old value is gone from memory", || count(pid, &form) == 0 || is_over());
                }
                println!("{:?} until the old one was gone from memory", begun.elapsed());
            }
        }
        drop(ended);
        for agent in agents {
            agent.join().expect("no request fails");
        }
    });
    println!("{} requests, none of which failed", served.load(Ordering::Relaxed));
    assert!(served.load(Ordering::Relaxed) > 100, "there was load");
    assert!(site.origin.shown.lock().unwrap().iter().all(|value| VALUES.contains(&value.as_str())));
}

#[test]
fn a_file_is_exchanged_under_load() {
    let site = Site::new(VALUES[0]);
    rotate(&site, |value, _| site.write_secret(value));
}

#[test]
fn a_secret_of_kubernetes_is_exchanged_under_load() {
    let site = Site::new(VALUES[0]);
    let folder = site.path("secrets");
    fs::remove_file(folder.join("api")).unwrap();
    let write = |value: &str| {
        let number = VALUES.iter().position(|one| *one == value).unwrap();
        let version = format!("..2026_{number}");
        fs::create_dir(folder.join(&version)).unwrap();
        fs::write(folder.join(&version).join("api"), value).unwrap();
        symlink(&version, folder.join("..data_tmp")).unwrap();
        let before = fs::read_link(folder.join("..data"));
        fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
        if let Ok(before) = before {
            fs::remove_dir_all(folder.join(before)).unwrap();
        }
    };
    write(VALUES[0]);
    symlink("..data/api", folder.join("api")).unwrap();
    rotate(&site, |value, _| write(value));
}

#[test]
fn what_a_program_gives_is_exchanged_under_load() {
    let site = Site::new(VALUES[0]);
    let program = site.write_program("get-token", &format!("exec cat {}", site.path("secrets/api").display()));
    site.write_source(&format!("{{ exec: [\"{program}\"] }}"));
    rotate(&site, |value, running| {
        site.write_secret(value);
        // Nothing tells of what a program would give now; whoever exchanged it does.
        running.signal(rustix::process::Signal::HUP);
    });
}

#[test]
fn a_secret_of_vault_is_exchanged_under_load() {
    let site = Site::new("not-the-one-that-is-asked-for-0123");
    let server = Server::vault(&site, VALUES[0]);
    rotate(&site, |value, _| server.write(value));
    let (logins, renewals, reads) = server.asked();
    println!("{logins} login, {renewals} renewals, {reads} reads in {} requests", server.requests());
    assert!(logins == 1 && renewals > 0 && reads >= 3, "one session, renewed: {logins}, {renewals}, {reads}");
}

#[test]
fn a_value_that_was_not_to_be_had_again_for_too_long_is_dropped_and_requests_are_refused() {
    let site = Site::new(VALUES[0]);
    site.set_timeout("credential_keep_seconds: 2");
    let mut running = site.start();
    let (proxy, operators) = running.serving();
    let mut agent = Agent::connect(proxy, &site.client()).unwrap();
    assert_eq!(agent.get().unwrap(), 200);
    fs::remove_file(site.path("secrets/api")).unwrap();
    let said = running.said("credential api: ");
    assert!(said["message"].as_str().unwrap().ends_with("the last good value stays in use"), "{said}");
    assert_eq!(agent.get().unwrap(), 200);
    until("it is dropped", || crate::site::admin(operators, "/readyz").1.contains("\ncredential api: no value\n"));
    assert!(crate::site::admin(operators, "/metrics").1.contains("stubgate_credentials_missing 1\n"));
    assert_eq!(Agent::connect(proxy, &site.client()).unwrap().get().unwrap(), 503);
    site.write_secret(VALUES[1]);
    running.said("credential has a new value");
    assert_eq!(Agent::connect(proxy, &site.client()).unwrap().get().unwrap(), 200);
}
