//! Which CA signs, which one comes, and which have been: one value, kept as one file, so that a change of it happens whole or
//! not at all. Pure: time comes in as seconds since 1970, and nothing here touches a disk.
//!
//! The way is always the same: a CA *comes* (it is in the bundle and signs nothing), it *signs* once everyone who must trust it
//! was seen to, or its deadline passed, and then it *has been* (it is in the bundle while its leaves are good, and its key is gone).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// CAs that have been and are still in the bundle, at most: each makes it longer for every agent.
pub(crate) const MOST_PAST: usize = 4;
/// Who was heard of within this counts as active, in seconds.
pub const ACTIVE: u64 = 24 * 60 * 60;
/// A CA that ends within this hands over whoever was seen: its leaves end with it.
pub(crate) const NEAR_END: u64 = 60 * 60;
/// Replicas notice an operator's CA at most so much later than others.
const LATER: u64 = 60 * 60;

/// The CAs by their roles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Of this shape.
    pub(crate) version: u32,
    /// Signs leaves.
    pub(crate) signing: Entry,
    /// Comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Next>,
    /// Have been, the latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) past: Vec<Past>,
    /// Who was heard of while one comes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) agents: Audience,
}

/// The version of the shape.
pub(crate) const VERSION: u32 = 1;

/// A CA by the name of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Sixteen digits of its fingerprint; empty for the first, whose files have no such name.
    pub(crate) id: String,
    /// Whether it is the operator's: then the files are a copy.
    #[serde(default)]
    pub(crate) given: bool,
}

/// One that comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Next {
    /// Which.
    pub(crate) entry: Entry,
    /// Since when it is in the bundle.
    pub(crate) since: u64,
    /// It does not sign before this.
    pub(crate) least_until: u64,
    /// It signs from here on, whoever has not been seen.
    pub(crate) deadline: u64,
    /// What signs now leaves the bundle as soon as this one signs.
    #[serde(default)]
    pub(crate) at_once: bool,
}

/// One that has been.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Past {
    /// Which.
    pub(crate) entry: Entry,
    /// The end of its last leaf.
    pub(crate) until: u64,
}

/// Agents by name, each by the addresses that it came from: one may be many containers, and each has its own trust.
pub type Audience = BTreeMap<String, BTreeMap<IpAddr, Heard>>;

/// What is known of an agent at one address while a CA comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// When it last came to us, in seconds since 1970.
    pub heard: u64,
    /// When it was first seen with the bundle that has the CA that comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
}

impl Heard {
    /// Whether the CA that comes waits for it.
    pub fn is_awaited(&self, now: u64) -> bool {
        self.seen.is_none() && now.saturating_sub(self.heard) < ACTIVE
    }
}

/// How long an overlap lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// At least, so that who is quiet can be heard of.
    pub least: Duration,
    /// At most, from its beginning.
    pub deadline: Duration,
}

impl Default for Terms {
    /// 15 minutes, in which every supervisor asks twice; 24 hours.
    fn default() -> Self {
        Self { least: Duration::from_secs(15 * 60), deadline: Duration::from_secs(24 * 60 * 60) }
    }
}

/// What time brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// What comes signs.
    Promote,
    /// What has been leaves the bundle.
    Retire,
}

impl Entry {
    /// The first CA of a state folder.
    pub(crate) fn first() -> Self {
        Self { id: String::new(), given: false }
    }
}

impl Next {
    /// It does not sign before this, and a process that was opened later hears of everybody first: who was heard of before a
    /// restart may have been heard of long ago.
    pub(crate) fn least_until(&self, opened: u64) -> u64 {
        let least = self.least_until.saturating_sub(self.since);
        self.least_until.max(opened.saturating_add(least))
    }
}

impl Record {
    pub(crate) fn of(signing: Entry) -> Self {
        Self { version: VERSION, signing, next: None, past: Vec::new(), agents: Audience::new() }
    }

    /// A CA comes. One that came already and never signed here may have signed at another replica, and stays in the bundle.
    pub(crate) fn begin(&mut self, entry: Entry, terms: Terms, leaf: Duration, now: u64) {
        self.past.retain(|past| past.entry.id != entry.id);
        self.withdraw(leaf, now);
        let deadline = now + terms.deadline.as_secs();
        let least_until = (now + terms.least.as_secs()).min(deadline);
        self.next = Some(Next { entry, since: now, least_until, deadline, at_once: false });
        self.agents.clear();
    }

    /// What comes is taken back and never signs here. An operator's may have signed, or go on to, at another replica.
    pub(crate) fn withdraw(&mut self, leaf: Duration, now: u64) {
        let Some(next) = self.next.take() else { return };
        let last = if next.entry.given { now.max(next.deadline) + LATER } else { now };
        self.push_past(Past { entry: next.entry, until: last + leaf.as_secs() });
        self.agents.clear();
    }

    /// Ends an overlap at once: what comes signs, and all that has been leaves. Whether there was anything to end.
    pub(crate) fn finish(&mut self, now: u64) -> bool {
        if let Some(next) = &mut self.next {
            next.deadline = next.deadline.min(now);
            next.at_once = true;
        }
        for past in &mut self.past {
            past.until = past.until.min(now);
        }
        self.next.is_some() || !self.past.is_empty()
    }

    /// What is to happen now, in a process that was opened then. `ends` tells when the certificate of an entry is over.
    pub(crate) fn due(&self, now: u64, opened: u64, ends: impl Fn(&str) -> Option<u64>) -> Option<Due> {
        if let Some(next) = &self.next {
            let all_seen = !self.agents.values().flatten().any(|(_, heard)| heard.is_awaited(now));
            let is_over = ends(&self.signing.id).is_some_and(|end| end <= now + NEAR_END);
            if now >= next.deadline || is_over || (now >= next.least_until(opened) && all_seen) {
                return Some(Due::Promote);
            }
        }
        let is_over = |past: &Past| past.until <= now || ends(&past.entry.id).is_some_and(|end| end <= now);
        self.past.iter().any(is_over).then_some(Due::Retire)
    }

    /// What comes signs from now on; what signed stays in the bundle for as long as its leaves last. An operator's CA may go on
    /// to sign at other replicas up to their deadline, which is about ours.
    pub(crate) fn promote(&mut self, leaf: Duration, now: u64) {
        let Some(next) = self.next.take() else { return };
        let last = if next.entry.given { now.max(next.deadline) + LATER } else { now };
        let until = if next.at_once { now } else { last + leaf.as_secs() };
        let before = std::mem::replace(&mut self.signing, next.entry);
        self.push_past(Past { entry: before, until });
        self.agents.clear();
    }

    /// What has been and is over leaves.
    pub(crate) fn retire(&mut self, now: u64, ends: impl Fn(&str) -> Option<u64>) {
        self.past.retain(|past| past.until > now && ends(&past.entry.id).is_none_or(|end| end > now));
    }

    /// Every entry in the bundle; the one that signs is the first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let next = self.next.iter().map(|next| &next.entry);
        std::iter::once(&self.signing).chain(next).chain(self.past.iter().map(|past| &past.entry))
    }

    /// Takes who was heard of from one that was in force until now, where this one was written without: in the same overlap.
    pub(crate) fn remember(&mut self, before: &Record) {
        let overlap = |record: &Record| record.next.as_ref().map(|next| (next.entry.id.clone(), next.since));
        if self.agents.is_empty() && overlap(self) == overlap(before) {
            self.agents.clone_from(&before.agents);
        }
    }

    fn push_past(&mut self, past: Past) {
        self.past.insert(0, past);
        self.past.truncate(MOST_PAST);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAF: Duration = Duration::from_secs(700);
    const TERMS: Terms = Terms { least: Duration::from_secs(10), deadline: Duration::from_secs(100) };

    fn entry(id: &str) -> Entry {
        Entry { id: id.into(), given: false }
    }

    fn overlap() -> Record {
        let mut record = Record::of(entry("a"));
        record.begin(entry("b"), TERMS, LEAF, 1000);
        record
    }

    /// At so many addresses, as it was heard of there.
    fn hear<const N: usize>(record: &mut Record, name: &str, heard: [Heard; N]) {
        let address = |n| IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()]);
        record.agents.insert(name.into(), heard.into_iter().enumerate().map(|(n, one)| (address(n), one)).collect());
    }

    fn never(_: &str) -> Option<u64> {
        None
    }

    fn due(record: &Record, now: u64) -> Option<Due> {
        record.due(now, 0, never)
    }

    #[test]
    fn signs_when_all_who_are_active_were_seen_but_not_before_the_least() {
        let start = 10 * ACTIVE;
        let mut record = Record::of(entry("a"));
        record.begin(entry("b"), TERMS, LEAF, start);
        let (waits, seen) = (Heard { heard: start + 5, seen: None }, Heard { heard: start + 5, seen: Some(start + 6) });
        hear(&mut record, "x", [waits, seen]);
        hear(&mut record, "gone", [Heard { heard: start - ACTIVE, seen: None }]);
        let at = |record: &Record, seconds| due(record, start + seconds);
        assert_eq!((at(&record, 9), at(&record, 50), at(&record, 99)), (None, None, None));
        hear(&mut record, "x", [seen, seen]);
        assert_eq!((at(&record, 9), at(&record, 10)), (None, Some(Due::Promote)));
    }

    #[test]
    fn signs_at_the_deadline_and_when_the_one_before_ends_whoever_was_not_seen() {
        let mut record = overlap();
        hear(&mut record, "x", [Heard { heard: 1005, seen: None }]);
        assert_eq!((due(&record, 1099), due(&record, 1100)), (None, Some(Due::Promote)));
        assert_eq!(record.due(1050, 0, |id| (id == "a").then_some(1050 + NEAR_END)), Some(Due::Promote));
        assert_eq!(record.due(1050, 0, |id| (id == "b").then_some(1050)), None);
    }

    #[test]
    fn what_signed_stays_as_long_as_its_leaves_and_leaves_then() {
        let mut record = overlap();
        record.promote(LEAF, 1050);
        assert_eq!((record.signing.id.as_str(), &*record.past), ("b", &[Past { entry: entry("a"), until: 1750 }][..]));
        assert_eq!((due(&record, 1749), due(&record, 1750)), (None, Some(Due::Retire)));
        assert_eq!(
            record.due(1100, 0, |id| (id == "a").then_some(1100)),
            Some(Due::Retire),
            "a certificate that is over"
        );
        record.retire(1750, never);
        assert_eq!(record, Record::of(entry("b")));
    }

    #[test]
    fn an_operators_ca_stays_for_replicas_that_go_by_their_deadline() {
        let mut record = Record::of(Entry { id: "a".into(), given: true });
        record.begin(Entry { id: "b".into(), given: true }, TERMS, LEAF, 1000);
        record.promote(LEAF, 1010);
        assert_eq!(record.past[0].until, 1100 + LATER + 700);
    }

    #[test]
    fn one_that_never_signed_here_stays_in_the_bundle_when_another_takes_its_place() {
        let mut record = overlap();
        hear(&mut record, "x", [Heard { heard: 1005, seen: Some(1005) }]);
        record.begin(entry("c"), TERMS, LEAF, 1020);
        let ids: Vec<&str> = record.entries().map(|entry| &*entry.id).collect();
        assert_eq!((ids, record.agents.len()), (vec!["a", "c", "b"], 0), "nobody was seen with the third");
        record.begin(entry("b"), TERMS, LEAF, 1030);
        let ids: Vec<&str> = record.entries().map(|entry| &*entry.id).collect();
        assert_eq!(ids, ["a", "b", "c"], "and back");
    }

    #[test]
    fn an_end_at_once_takes_all_that_has_been_with_it() {
        let mut record = overlap();
        assert!(record.finish(1001));
        assert_eq!(due(&record, 1001), Some(Due::Promote));
        record.promote(LEAF, 1001);
        assert_eq!(due(&record, 1001), Some(Due::Retire));
        record.retire(1001, never);
        assert!(!record.finish(1002), "nothing is under way");
    }

    proptest! {
        /// Whatever happens when: what signs or has signed within the life of a leaf is in the bundle, and what comes was in
        /// it for the least time before it signs.
        #[test]
        fn no_leaf_outlives_its_ca_in_the_bundle(steps in prop::collection::vec((0_u8..4, 0_u64..400), 1..80)) {
            let (mut now, mut number) = (10_000_u64, 0);
            let mut record = Record::of(entry("0"));
            let mut signed: BTreeMap<String, u64> = BTreeMap::new();
            let mut joined: BTreeMap<String, u64> = BTreeMap::new();
            for (what, later) in steps {
                now += later;
                match what {
                    0 if record.next.is_none() && record.past.len() < MOST_PAST => {
                        number += 1;
                        record.begin(entry(&number.to_string()), TERMS, LEAF, now);
                        joined.insert(number.to_string(), now);
                    }
                    1 => hear(&mut record, "x", [Heard { heard: now, seen: None }]),
                    2 => hear(&mut record, "x", [Heard { heard: now, seen: Some(now) }]),
                    _ => match due(&record, now) {
                        Some(Due::Promote) => record.promote(LEAF, now),
                        Some(Due::Retire) => record.retire(now, never),
                        None => {}
                    },
                }
                signed.insert(record.signing.id.clone(), now);
                if let Some(&since) = joined.get(&record.signing.id) {
                    prop_assert!(now >= since + TERMS.least.as_secs());
                }
                let ids: Vec<&str> = record.entries().map(|entry| &*entry.id).collect();
                for (id, last) in &signed {
                    prop_assert!(now >= last + LEAF.as_secs() || ids.contains(&id.as_str()), "{id} {ids:?}");
                }
                prop_assert!(ids.len() <= 2 + MOST_PAST);
            }
        }
    }
}
