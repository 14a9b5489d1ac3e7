//! Rotation while agents ask without a pause: no request fails, the new value is in use within two seconds, and the old one
//! is gone from memory in every form that responses are searched for (CR-24, CR-32).

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::memory::{count, until};
use crate::site::{Agent, Site};

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

/// Asks without a pause while a value is exchanged for the next, twice.
fn rotate(site: &Site, exchange: impl Fn(&str)) {
    let config = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    let soon = config.replace("drain_seconds: 1", "drain_seconds: 1, credential_replaced_seconds: 1");
    fs::write(site.path("etc/stubgate.yaml"), soon).unwrap();
    let mut running = site.start();
    let (proxy, operators) = running.serving();
    until("there is a value", || !crate::site::admin(operators, "/readyz").1.contains("no value"));
    let (pid, client) = (running.child.id(), site.client());
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let last = || site.origin.shown.lock().unwrap().last().cloned();
    thread::scope(|scope| {
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
            let begun = Instant::now();
            exchange(pair[1]);
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
        stop.store(true, Ordering::Relaxed);
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
    rotate(&site, |value| site.write_secret(value));
}

#[test]
fn a_secret_of_kubernetes_is_exchanged_under_load() {
    let site = Site::new(VALUES[0]);
    let folder = site.path("secrets");
    fs::remove_file(folder.join("api")).unwrap();
    let write = |value: &str| {
        let version = format!("..version-of-{}", value.len() + value.as_bytes()[6] as usize);
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
    rotate(&site, write);
}

#[test]
fn what_a_program_gives_is_exchanged_under_load() {
    let site = Site::new(VALUES[0]);
    let program = site.write_program("get-token", &format!("exec cat {}", site.path("secrets/api").display()));
    site.write_source(&format!("{{ exec: [\"{program}\"], ttl_seconds: 1 }}"));
    rotate(&site, |value| site.write_secret(value));
}
