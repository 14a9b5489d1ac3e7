//! How often and when something was seen, and the list of what is not suggested. Bounded, and harmless as a comment.

use std::collections::BTreeMap;

use super::because::Because;
use super::record::Record;
use crate::model::Reason;

/// First and last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) first: Box<str>,
    pub(super) last: Box<str>,
}

/// How often and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) count: u64,
    pub(super) times: Times,
}

impl Times {
    /// Files may come in any order.
    pub(super) fn see(&mut self, time: &str) {
        let time = to_the_second(time);
        if self.first.is_empty() || *time < *self.first {
            self.first = time.as_str().into();
        }
        if *time > *self.last {
            self.last = time.into();
        }
    }

    fn join(&mut self, other: &Times) {
        if self.first.is_empty() || (!other.first.is_empty() && other.first < self.first) {
            self.first = other.first.clone();
        }
        if other.last > self.last {
            self.last = other.last.clone();
        }
    }
}

impl Sighting {
    pub(super) fn see(&mut self, time: &str) {
        self.count = self.count.saturating_add(1);
        self.times.see(time);
    }

    pub(super) fn join(&mut self, other: &Sighting) {
        self.count = self.count.saturating_add(other.count);
        self.times.join(&other.times);
    }
}

/// What is not suggested: by whom, where and why.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) kinds: BTreeMap<Kind, Sighting>,
    /// Refusals of further kinds.
    pub(super) more: u64,
    /// Kinds listed, by agent: one that fills its share leaves that of others.
    listed: BTreeMap<Box<str>, usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) reason: Box<str>,
    pub(super) agent: Box<str>,
    pub(super) place: Box<str>,
    pub(super) stub_of: Box<str>,
    pub(super) because: Because,
}

impl Left {
    pub(super) fn add(&mut self, record: &Record<'_>, count: u64, because: Because) {
        let place = match &*record.layer {
            _ if because == Because::NO_ROOM => String::new(),
            _ if because == Because::COUNTED => format!("layer {}", harmless(&record.layer, 20)),
            "dns" => harmless(&record.name, SHOWN),
            _ => harmless(&record.authority, SHOWN),
        };
        let kind = Kind {
            reason: harmless(&record.reason, 40).into(),
            agent: harmless(&record.agent, 64).into(),
            place: place.into(),
            stub_of: harmless(&record.stub_of, 64).into(),
            because,
        };
        let mut seen = Sighting::default();
        seen.see(&record.time);
        seen.count = count;
        self.insert(kind, &seen);
    }

    pub(super) fn add_text(&mut self, agent: &str, place: &str, reason: Reason, seen: &Sighting, because: Because) {
        let kind = Kind {
            reason: reason.as_str().into(),
            agent: agent.into(),
            place: place.into(),
            stub_of: Box::default(),
            because,
        };
        self.kinds.entry(kind).or_default().join(seen);
    }

    fn insert(&mut self, kind: Kind, seen: &Sighting) {
        if let Some(known) = self.kinds.get_mut(&kind) {
            return known.join(seen);
        }
        if self.kinds.len() >= MOST_KINDS {
            self.more = self.more.saturating_add(seen.count);
            return;
        }
        let listed = self.listed.entry(kind.agent.clone()).or_default();
        if *listed >= MOST_OF_AGENT {
            self.more = self.more.saturating_add(seen.count);
            return;
        }
        *listed += 1;
        self.kinds.insert(kind, seen.clone());
    }
}

/// Text of a record, fit for a comment: printable ASCII in one line, bounded.
pub(super) fn harmless(text: &str, most: usize) -> String {
    let mut shown: String =
        text.chars().take(most).map(|char| if matches!(char, ' '..='~') { char } else { '?' }).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

fn to_the_second(time: &str) -> String {
    let mut time = harmless(time.split('.').next().unwrap_or_default(), 19);
    time.push('Z');
    time
}

/// Kinds of what is not suggested that are listed.
const MOST_KINDS: usize = 20_000;
/// And of one agent.
const MOST_OF_AGENT: usize = 200;
/// Characters of a host that are shown.
const SHOWN: usize = 100;
