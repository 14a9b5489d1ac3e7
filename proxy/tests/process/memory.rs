//! What is left of a credential in the memory of a running appliance (CR-32). Only root can look.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use crate::site::{Agent, Site};

const FIRST: &str = "first-secret-of-api-Zq7Lw2Vx9Kp4";
const SECOND: &str = "second-secret-of-api-Mn3Rt8Yb6Hd1";

/// Bytes that are read at once.
const PIECE: usize = 4 << 20;

/// How often a text stands in the memory that a process can write to.
pub(crate) fn count(pid: u32, text: &str) -> usize {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let number = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let (mut found, mut piece) = (0, Vec::new());
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        if !rest.starts_with("rw") {
            continue;
        }
        let (mut at, to) = (number(from), number(to));
        // Bytes of the piece before in which the text may have begun.
        let mut kept = 0;
        while at < to {
            let length = usize::try_from(to - at).unwrap().min(PIECE);
            piece.resize(kept + length, 0);
            // Parts that are only reserved can't be read.
            if memory.read_exact_at(&mut piece[kept..], at).is_err() {
                break;
            }
            found += memchr::memmem::find_iter(&piece, text).count();
            kept = piece.len().min(text.len() - 1);
            let end = piece.len();
            piece.copy_within(end - kept.., 0);
            at += u64::try_from(length).unwrap();
        }
    }
    found
}

#[test]
fn a_secret_is_in_memory_as_often_as_it_is_held_and_gone_with_what_it_was_sent_on() {
    if !rustix::process::geteuid().is_root() {
        println!("not looked at: the memory of a locked process is for root alone");
        return;
    }
    let site = Site::new(FIRST);
    site.set_timeout("credential_replaced_seconds: 1");
    let mut running = site.start();
    let (proxy, _) = running.serving();
    let pid = running.child.id();
    // It is held twice, to be put in and to be scrubbed, and found where it is; a reload moves it while it is looked for.
    until("it is held twice", || count(pid, FIRST) == 2);
    let mut agent = Agent::connect(proxy, &site.client()).unwrap();
    for _ in 0..20 {
        assert_eq!(agent.get().unwrap(), 200);
    }
    site.write_secret(SECOND);
    running.said("credential has a new value");
    until("it is forgotten", || count(pid, FIRST) == 0);
    assert_eq!(agent.get().unwrap(), 200);
    assert_eq!(site.origin.shown.lock().unwrap().last().unwrap(), SECOND);
    // Those beyond two are buffers of connections that are open.
    println!("a credential that was sent stands {} times in memory", count(pid, SECOND));
}

pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
    }
}
