//! Keeps the values of credentials fresh: one task each, so that none waits for another.
//!
//! A source is asked when its value may be another one (a file changed, an origin refused it), when its time is over, and
//! ahead of the end of the value. One question at a time, bounded in time; after a failure again, after a time that grows
//! and that chance shares out, so that a server that comes back is not met by everybody at once. A source that fails keeps
//! its last good value, until that ends or is too old; then it is dropped and requests are refused (law 5).
//!
//! What is told of all that to people is the [`Witness`]'s. Clock and chance come from [`Outside`].

mod pace;
mod suspicion;
mod task;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use stubgate_policy::{Policy, Reading};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::fetch::{Fetch, Means};
use crate::sources;
use crate::store::{CredentialStore, Loaded, Put};
use crate::version::Version;
use pace::Pace;
use suspicion::Suspicion;
use task::Task;

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long one question to a source may take, unless its kind says otherwise.
    pub fetch: Duration,
    /// How long after the last success a value stays in use while its source fails.
    pub keep: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Terms { fetch: Duration::from_secs(10), keep: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Whether a value that a source gave is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// The first value.
    First,
    /// Another one than before.
    Changed,
    /// The one of before.
    Same,
}

/// Who hears of what sources do: for logs, records and metrics. Called for every attempt, from any thread; what is worth
/// saying twice is its own business. Never gets a byte of a value.
pub trait Witness: Send + Sync {
    /// A source gave a value, which is in force from now on, until `expires` where that is known.
    fn fetched(&self, name: &str, news: News, expires: Option<SystemTime>);

    /// A source gave none, for a reason of that kind, or a value ended. `kept` says whether the value of before stays in
    /// use; where it does not, requests that need it are refused.
    fn failed(&self, name: &str, kind: &'static str, text: &str, kept: bool);
}

/// What the schedule depends on besides sources.
#[derive(Clone)]
pub struct Outside {
    /// The time of day, for values that end at one.
    pub now: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    /// A number from 0 up to 1, another one at each call.
    pub chance: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Outside {
    /// The system's.
    pub fn system() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        // No secret depends on it: it only shares out load.
        let chance =
            || f64::from(u32::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or(0)) / f64::from(u32::MAX);
        Outside { now: Arc::new(SystemTime::now), chance: Arc::new(chance) }
    }
}

/// Makes the source that a reading means, for the credential of that name.
pub type Opener = Arc<dyn Fn(&str, &Reading) -> Arc<dyn Fetch> + Send + Sync>;

/// All kinds of sources, with what they need.
pub fn opener(means: Means) -> Opener {
    Arc::new(move |_, reading| sources::open(reading, &means))
}

/// Keeps the values of a store fresh. Dropping it ends all of its tasks.
pub struct Keeper {
    store: Arc<CredentialStore>,
    open: Opener,
    witness: Arc<dyn Witness>,
    outside: Outside,
    terms: Terms,
    runtime: Handle,
    kept: Mutex<HashMap<Arc<str>, Kept>>,
}

/// One credential that is kept.
struct Kept {
    reading: Reading,
    wake: Arc<Notify>,
    task: AbortHandle,
    /// When it was read last.
    read: Arc<Mutex<Option<Instant>>>,
    suspicion: Suspicion,
    /// The value that the next question is about to replace.
    refused: Arc<Mutex<Option<Version>>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeper {
    /// Keeps nothing yet. Its tasks run in `runtime`.
    pub fn new(
        store: Arc<CredentialStore>,
        open: Opener,
        witness: Arc<dyn Witness>,
        outside: Outside,
        terms: Terms,
        runtime: Handle,
    ) -> Self {
        Keeper { store, open, witness, outside, terms, runtime, kept: Mutex::default() }
    }

    /// Holds the credentials of this policy and no others. What is read from where it was read before goes on as it was;
    /// files and variables that are new are read at once, blocking, and everything else in the background.
    pub fn follow(&self, policy: &Policy) -> Loaded {
        let loaded = self.store.reload(policy);
        // Whoever is told may take its time, and ask for something.
        for name in &loaded.changed {
            self.witness.fetched(name, News::Changed, None);
        }
        for problem in &loaded.problems {
            self.witness.failed(&problem.credential, problem.error.kind(), &problem.to_string(), problem.kept);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = |name: &str| policy.credentials().iter().find(|one| one.name() == name).map(|one| one.reading());
        let mut changed: HashMap<_, _> = kept.extract_if(|name, kept| reading(name) != Some(&kept.reading)).collect();
        for credential in policy.credentials() {
            if kept.contains_key(credential.name()) {
                continue;
            }
            let name: Arc<str> = credential.name().into();
            // The same value may go on, with other times.
            let of_before = changed.remove(credential.name());
            let of_before = of_before.filter(|kept| kept.reading.is_same_place(credential.reading()));
            kept.insert(Arc::clone(&name), self.keep(name, credential.reading(), of_before));
        }
        loaded
    }

    fn keep(&self, name: Arc<str>, reading: &Reading, of_before: Option<Kept>) -> Kept {
        let read = of_before.as_ref().map(|kept| Arc::clone(&kept.read)).unwrap_or_default();
        let suspicion = of_before.as_ref().map(|kept| kept.suspicion.clone());
        let suspicion = suspicion.unwrap_or_else(|| Suspicion::new(&reading.source));
        let refused = Arc::<Mutex<Option<Version>>>::default();
        drop(of_before);
        let mut pace = Pace::new(reading, self.terms.keep);
        if self.store.available(&name) {
            let last = *read.lock().unwrap_or_else(PoisonError::into_inner);
            pace.succeeded(last.unwrap_or_else(Instant::now), self.store.expires(&name));
            if self.store.is_stale(&name) {
                pace.failed();
            }
        } else if sources::is_local(&reading.source) {
            pace.failed();
        }
        let wake = Arc::new(Notify::new());
        let next = {
            let (open, terms, outside) = (Arc::clone(&self.open), self.terms, self.outside.clone());
            let (store, witness) = (Arc::clone(&self.store), Arc::clone(&self.witness));
            let (reading, wake, read) = (reading.clone(), Arc::clone(&wake), Arc::clone(&read));
            let refused = Arc::clone(&refused);
            move || Task {
                name: Arc::clone(&name),
                reading: reading.clone(),
                source: open(&name, &reading),
                store: Arc::clone(&store),
                witness: Arc::clone(&witness),
                outside: outside.clone(),
                limit: task::limit(&reading, terms.fetch),
                wake: Arc::clone(&wake),
                pace: Pace::new(&reading, terms.keep),
                read: Arc::clone(&read),
                refused: Arc::clone(&refused),
            }
        };
        let first = Task { pace, ..next() };
        let task = self.runtime.spawn(task::keep(first, next)).abort_handle();
        Kept { reading: reading.clone(), wake, task, read, suspicion, refused }
    }

    /// Something changed on this machine, or may have: files are read again.
    pub fn look_again(&self) {
        self.wake(|_, kept| sources::is_local(&kept.reading.source));
    }

    /// Something changed that may have made sources well again: those that fail are asked now.
    pub fn ask_failing(&self) {
        self.wake(|name, _| !self.is_well(name));
    }

    /// A login in escrow has another pair of tokens.
    pub fn ask_logins(&self) {
        self.wake(|_, kept| matches!(kept.reading.source, stubgate_policy::Source::Oauth(_)));
    }

    /// Asks the source of this credential again.
    pub fn ask(&self, name: &str) {
        self.wake(|other, _| other == name);
    }

    /// Asks every source again.
    pub fn ask_all(&self) {
        self.wake(|_, _| true);
    }

    /// An origin refused the value of that version. Where it is the one in use, its source is asked for another: once, and
    /// seldom where each question gives a value that is refused again. Whether it is asked.
    pub fn suspect(&self, name: &str, version: Version) -> bool {
        if self.store.version(name) != Some(version) {
            return false;
        }
        // Agents can have refusals at will, and must not set the pace at which values are forgotten that are still good
        // somewhere (law 4).
        if !self.store.has_room_for_another(name) {
            return false;
        }
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(kept) = all.get_mut(name) else { return false };
        if !kept.suspicion.admits(version, Instant::now()) {
            return false;
        }
        *kept.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        kept.wake.notify_one();
        true
    }

    /// Whether the value in use is one that an origin refused, and that nothing has replaced since.
    pub fn is_suspect(&self, name: &str) -> bool {
        let Some(version) = self.store.version(name) else { return false };
        let all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(name).is_some_and(|kept| kept.suspicion.is_of(version))
    }

    fn is_well(&self, name: &str) -> bool {
        self.store.available(name) && !self.store.is_stale(name)
    }

    fn wake(&self, which: impl Fn(&str, &Kept) -> bool) {
        let all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, kept) in all.iter().filter(|(name, kept)| which(name, kept)) {
            kept.wake.notify_one();
        }
    }
}

impl From<Put> for News {
    fn from(put: Put) -> Self {
        match put {
            Put::First => News::First,
            Put::Changed => News::Changed,
            Put::Same | Put::Unwanted => News::Same,
        }
    }
}

#[cfg(test)]
mod tests;
