//! A watch of pods: however its bytes are cut, the same events come out; a pod that is over has no addresses; and what a
//! directory then says of an address is what a simple model says.
//!
//! The first byte is how many bytes come at once.
#![no_main]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stubgate_kubernetes::{At, Directory, Event, Lines, What};

/// What came, and how it ended: with how much of a line, or with what error.
type Read = (Vec<Event>, Result<bool, String>);

fn read(data: &[u8], step: usize) -> Read {
    let (mut lines, mut events) = (Lines::default(), Vec::new());
    for piece in data.chunks(step) {
        lines.push(piece);
        loop {
            match lines.event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(error.to_string())),
            }
        }
    }
    (events, Ok(lines.is_empty()))
}

/// Whether the pod of a line is nobody, by another reader of JSON.
fn is_over(line: &[u8]) -> bool {
    let Ok(line) = serde_json::from_slice::<Value>(line) else { return false };
    let pod = &line["object"];
    pod["spec"]["hostNetwork"] == true
        || !pod["metadata"]["deletionTimestamp"].is_null()
        || ["Succeeded", "Failed"].iter().any(|phase| pod["status"]["phase"] == **phase)
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else { return };
    let whole = read(data, data.len().max(1));
    assert_eq!(read(data, usize::from(step) + 1), whole);
    let (events, _) = whole;

    let now = Instant::now();
    let directory = Directory::new(1, Duration::from_secs(60), Arc::new(move || now));
    directory.surely_true(0, now);
    let mut holders: BTreeMap<Box<str>, BTreeSet<IpAddr>> = BTreeMap::new();
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    let mut numbers: HashMap<u64, Box<str>> = HashMap::new();
    let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    for (event, line) in events.into_iter().zip(lines) {
        assert!(!event.version.is_empty());
        match event.what {
            What::Seen(pod) => {
                assert!(pod.addresses.is_empty() || !is_over(line));
                directory.see(0, &pod);
                addresses.extend(&pod.addresses);
                holders.remove(&pod.uid);
                if !pod.uid.is_empty() && !pod.addresses.is_empty() {
                    holders.insert(pod.uid, pod.addresses.into_iter().collect());
                }
            }
            What::Gone(uid) => {
                directory.forget(&uid);
                holders.remove(&uid);
            }
            What::Nothing => {}
        }
        assert_eq!(directory.pods(), holders.len());
        for address in &addresses {
            let of: Vec<&Box<str>> =
                holders.iter().filter(|(_, of)| of.contains(address)).map(|(uid, _)| uid).collect();
            match (directory.at(*address), of.as_slice()) {
                (At::Nobody, []) | (At::Contested, [_, _, ..]) => {}
                (At::Pod(entry), [uid]) => {
                    assert_eq!(numbers.entry(entry.number).or_insert_with(|| (*uid).clone()), *uid);
                }
                (at, of) => panic!("{at:?} for {of:?}"),
            }
        }
    }
});
