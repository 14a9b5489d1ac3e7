//! How each credential has been doing: for metrics, for `stubgate credential status`, and for whom its end concerns.
//!
//! It hears of every attempt ([`keeping`](crate::keeping)) and knows the credentials of the policy in force and no others, so
//! that it is as large as policy is (law 7). Of a value it knows when it was had and when it ends, never a byte (law 4).

mod notice;
mod report;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use stubgate_credentials::CredentialStore;
use stubgate_credentials::escrow::{Escrow, Status};
use stubgate_policy::{Policy, Reading, Source};

use crate::metrics::Metrics;
use crate::record::rfc3339;
use notice::Notice;
pub use notice::{Ahead, Due};
pub use report::{Failure, Login, Report, Standing, State};

/// The time of day.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How the credentials of the policy in force have been doing since this process keeps them.
pub struct Health {
    metrics: Metrics,
    clock: Clock,
    entries: Mutex<BTreeMap<Box<str>, Entry>>,
}

struct Entry {
    reading: Reading,
    last_success: Option<SystemTime>,
    expires: Option<SystemTime>,
    refreshes: u64,
    failures: BTreeMap<&'static str, u64>,
    last_failure: Option<(SystemTime, &'static str, String)>,
    notice: Notice,
}

impl Entry {
    fn new(reading: Reading) -> Self {
        Entry {
            reading,
            last_success: None,
            expires: None,
            refreshes: 0,
            failures: BTreeMap::new(),
            last_failure: None,
            notice: Notice::default(),
        }
    }
}

/// Something is to be done about the end of a value.
#[derive(Debug, PartialEq, Eq)]
pub struct Ending {
    /// The credential.
    pub name: Box<str>,
    /// What.
    pub due: Due,
    /// When it ends.
    pub end: SystemTime,
}

impl Health {
    /// Of no credential yet.
    pub fn new(metrics: Metrics, clock: Clock) -> Self {
        Health { metrics, clock, entries: Mutex::default() }
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> Clock {
        Arc::clone(&self.clock)
    }

    /// Knows the credentials of this policy from now on, before anything is told of them. What is read from another place
    /// than before begins anew, and of what is no longer named all series are removed.
    pub fn follow(&self, policy: &Policy) {
        let mut entries = self.entries();
        let reading = |name: &str| policy.credential_named(name).map(|id| policy.credential(id).reading());
        entries.retain(|name, entry| {
            let is_same = reading(name).is_some_and(|reading| entry.reading.is_same_place(reading));
            if !is_same {
                self.metrics.forget_credential(name, entry.failures.keys().copied());
            }
            is_same
        });
        for credential in policy.credentials() {
            let (name, reading) = (credential.name(), credential.reading());
            self.metrics.credential_refreshes(name).inc_by(0);
            // Prometheus sees no growth in a counter that begins at one.
            self.metrics.rejections(name).inc_by(0);
            self.metrics.scrubbed(name).inc_by(0);
            let entry = entries.entry(name.into()).or_insert_with(|| Entry::new(reading.clone()));
            entry.reading = reading.clone();
        }
    }

    /// Counts the values that were read at once when a policy was taken, and that nobody told of.
    pub fn count_read(&self, credentials: &CredentialStore) {
        let unheard: Vec<Box<str>> = {
            let entries = self.entries();
            let unheard = entries.iter().filter(|(name, entry)| entry.refreshes == 0 && credentials.available(name));
            unheard.map(|(name, _)| name.clone()).collect()
        };
        for name in unheard {
            self.fetched(&name, None, None);
        }
    }

    /// A source gave a value, which ends then. Of a login whose refresh token is known to end, that end counts.
    pub fn fetched(&self, name: &str, expires: Option<SystemTime>, escrow: Option<&Escrow>) {
        let now = (self.clock)();
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(name) else { return };
        let of_login = status(&entry.reading.source, escrow).and_then(|status| status.refresh_ends);
        let expires = of_login.max(expires);
        entry.last_success = Some(now);
        entry.expires = expires;
        entry.refreshes = entry.refreshes.saturating_add(1);
        entry.notice.fetched(now, expires);
        self.metrics.credential_refreshes(name).inc();
        self.metrics.set_credential_success(name, now);
        self.metrics.set_credential_expiry(name, expires);
    }

    /// A source gave none, or a value ended; whether the last good one stays in use.
    pub fn failed(&self, name: &str, kind: &'static str, text: &str, is_kept: bool) {
        let now = (self.clock)();
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(name) else { return };
        let count = entry.failures.entry(kind).or_default();
        *count = count.saturating_add(1);
        entry.last_failure = Some((now, kind, text.to_owned()));
        entry.notice.failed(now, is_kept);
        self.metrics.credential_failures(name, kind).inc();
        if !is_kept {
            entry.expires = None;
            self.metrics.set_credential_expiry(name, None);
        }
    }

    /// What is to be done about values that end.
    pub fn look(&self) -> Vec<Ending> {
        let now = (self.clock)();
        let mut found = Vec::new();
        for (name, entry) in &mut *self.entries() {
            match (entry.notice.due(now), entry.expires) {
                (Due::Nothing, _) | (_, None) => {}
                (due, Some(end)) => found.push(Ending { name: name.clone(), due, end }),
            }
        }
        found
    }

    /// How many credentials people were told of whose end has not moved since.
    pub fn ending(&self) -> usize {
        self.entries().values().filter(|entry| entry.notice.told().is_some()).count()
    }

    /// All of it, for people. `is_ready` says whether there is a policy.
    pub fn report(&self, is_ready: bool, credentials: &CredentialStore, escrow: Option<&Escrow>) -> Report {
        let entries = self.entries();
        let credentials = entries.iter().map(|(name, entry)| Standing {
            name: name.to_string(),
            source: entry.reading.source.kind().to_owned(),
            state: match (credentials.available(name), credentials.is_stale(name)) {
                (true, false) => State::InUse,
                (true, true) => State::Stale,
                (false, _) => State::NoValue,
            },
            version: credentials.version(name).map(|version| version.to_string()),
            last_success: entry.last_success.map(rfc3339),
            expires: entry.expires.map(rfc3339),
            ends_within: entry.notice.told().map(|ahead| ahead.as_str().to_owned()),
            refreshes: entry.refreshes,
            failures: entry.failures.values().sum(),
            last_failure: entry.last_failure.as_ref().map(|(at, kind, text)| Failure {
                time: rfc3339(*at),
                kind: (*kind).to_owned(),
                text: text.clone(),
            }),
            login: login(&entry.reading.source, escrow),
        });
        Report { is_ready, credentials: credentials.collect() }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn login(source: &Source, escrow: Option<&Escrow>) -> Option<Login> {
    let status = status(source, escrow)?;
    Some(Login {
        name: status.login.into(),
        standing: status.standing.as_str().to_owned(),
        generation: status.generation,
        advice: status.advice,
    })
}

fn status(source: &Source, escrow: Option<&Escrow>) -> Option<Status> {
    let Source::Oauth(oauth) = source else { return None };
    escrow?.status(&oauth.login)
}

#[cfg(test)]
mod tests;
