//! The secrets of a policy, held in memory.
//!
//! A reader always sees one whole generation. A source that breaks keeps the last good value *of the same source*: a
//! value is never carried over to a credential whose source was changed (law 5). What a policy no longer names is
//! dropped at once; what is replaced or dropped is still looked for in responses for a while, since responses to requests
//! with it may still be coming, and then wiped (CR-24).
//!
//! When what is read is not known here: see [`crate::Keeper`].

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant as SystemInstant, SystemTime};

use arc_swap::ArcSwap;
use http::HeaderValue;
use stubgate_policy::{Permit, Policy, Reading, SlotRef, Source};
use stubgate_scrub::Scrubber;
use tokio::time::Instant;

use crate::aside::Aside;
use crate::fetch::Fetched;
use crate::secret::Secret;
use crate::sources::{self, SourceError};
use crate::swap::{self, SwapError};

mod replaced;

use replaced::Replaced;

/// How long a policy waits for all files that are new in it. One that is late has no value until the keeper has read it.
const FILES: Duration = Duration::from_secs(5);
/// How long is waited for looks at files.
const LOOKS: Duration = Duration::from_secs(1);

/// One credential that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{}", sentence(credential, from, error, *kept))]
pub struct LoadProblem {
    /// Its name in policy.
    pub credential: Arc<str>,
    /// Where it should come from: `file /run/secrets/github`.
    pub from: String,
    /// What is wrong.
    pub error: SourceError,
    /// Whether the value of before stays in use.
    pub kept: bool,
}

/// What is said of a credential whose source gives nothing.
pub(crate) fn sentence(name: &str, from: &str, error: &dyn std::fmt::Display, kept: bool) -> String {
    let then = if kept { "the last good value stays in use" } else { "requests that need it are refused" };
    format!("credential {name}: {from} {error}; {then}")
}

/// What a reading of credentials found. Names only, never a value.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Those that could not be read.
    pub problems: Vec<LoadProblem>,
    /// Those of before that have another value now.
    pub changed: Vec<Arc<str>>,
}

/// What became of a value that was put into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is the first one, or the first after the one before was dropped.
    First,
    /// It took the place of another one.
    Changed,
    /// It is the one that was there.
    Same,
    /// Policy no longer reads that credential from there, and the value was wiped.
    Unwanted,
}

/// Holds the secrets of the policy in force.
pub struct CredentialStore {
    generation: ArcSwap<Generation>,
    scrubber: ArcSwap<Scrubber>,
    /// Held by whoever writes, so that generations follow each other.
    replaced: Mutex<Replaced>,
    /// Where files are looked at without being read.
    aside: Aside,
}

type Generation = HashMap<Arc<str>, Arc<Held>>;

#[derive(Clone)]
struct Held {
    reading: Reading,
    stub: Box<str>,
    /// `None` where the source has never given a good value, or none for too long.
    secret: Option<Arc<Secret>>,
    /// When the value ends by itself.
    expires: Option<SystemTime>,
    /// Whether the source gave nothing when it was last asked, so that `secret` is what it gave before.
    is_stale: bool,
}

impl Held {
    /// How long its value is good by itself, from now on; nothing where nobody knows.
    fn life_left(&self) -> Duration {
        self.expires.and_then(|end| end.duration_since(SystemTime::now()).ok()).unwrap_or_default()
    }
}

impl CredentialStore {
    /// Holds the credentials of `policy`. Files and variables are read, blocking. What can't be read is missing, and
    /// requests that need it are refused.
    pub fn load(policy: &Policy) -> (Self, Loaded) {
        let store = Self {
            generation: ArcSwap::default(),
            scrubber: ArcSwap::from_pointee(Scrubber::none()),
            replaced: Mutex::default(),
            aside: Aside::default(),
        };
        let loaded = store.reload(policy);
        (store, loaded)
    }

    /// Holds the credentials of this policy instead; takes effect at once and as a whole. Those that are read from where
    /// they were read before keep their value. Others are read, blocking, if they are files or variables, and have no
    /// value yet if they are not.
    pub fn reload(&self, policy: &Policy) -> Loaded {
        let before = self.generation.load_full();
        let mut loaded = Loaded::default();
        let mut read = HashMap::new();
        let (aside, deadline) = (Aside::default(), SystemInstant::now() + FILES);
        // Without the lock: a file may take its time.
        for credential in policy.credentials() {
            let name: Arc<str> = Arc::from(credential.name());
            let reading = credential.reading();
            let is_known = before.get(&name).is_some_and(|held| held.reading.is_same_place(reading));
            if is_known || !sources::is_local(&reading.source) {
                continue;
            }
            match sources::read_by(reading, &aside, deadline) {
                Ok(fetched) => drop(read.insert(name, Arc::new(fetched.secret))),
                Err(error) => loaded.problems.push(LoadProblem {
                    credential: name,
                    from: sources::describe(&reading.source),
                    error,
                    kept: false,
                }),
            }
        }
        let mut replaced = self.writing();
        let before = self.generation.load_full();
        let mut after = Generation::new();
        for credential in policy.credentials() {
            let name: Arc<str> = Arc::from(credential.name());
            let reading = credential.reading();
            let last = before.get(&name);
            let held = match last.filter(|held| held.reading.is_same_place(reading)) {
                Some(held) => Held { reading: reading.clone(), stub: credential.stub().into(), ..Held::clone(held) },
                None => {
                    let secret = read.remove(&name);
                    let is_other = |held: &Arc<Held>| !is_same(held.secret.as_ref(), secret.as_ref());
                    if secret.is_some() && last.is_some_and(is_other) {
                        loaded.changed.push(Arc::clone(&name));
                    }
                    let (reading, stub) = (reading.clone(), credential.stub().into());
                    Held { reading, stub, secret, expires: None, is_stale: false }
                }
            };
            after.insert(name, Arc::new(held));
        }
        self.store(&mut replaced, &before, after);
        loaded
    }

    /// Puts a value that a source gave in force, if policy still reads that credential from there.
    pub fn put(&self, name: &str, reading: &Reading, fetched: Fetched) -> Put {
        let mut replaced = self.writing();
        let before = self.generation.load_full();
        let Some((name, held)) = before.get_key_value(name).filter(|(_, held)| held.reading.is_same_place(reading))
        else {
            return Put::Unwanted;
        };
        let Fetched { secret, expires } = fetched;
        let put = match &held.secret {
            None => Put::First,
            Some(old) if old.is_same(&secret) => Put::Same,
            Some(_) => Put::Changed,
        };
        if put == Put::Same && held.expires == expires && !held.is_stale {
            return put;
        }
        let kept = held.secret.clone().filter(|_| put == Put::Same);
        let secret = Some(kept.unwrap_or_else(|| Arc::new(secret)));
        let now = Held { secret, expires, is_stale: false, ..Held::clone(held) };
        let mut after = Generation::clone(&before);
        after.insert(Arc::clone(name), Arc::new(now));
        self.store(&mut replaced, &before, after);
        put
    }

    /// Notes that a source gives nothing; whether a value of before stays in use.
    pub(crate) fn is_kept_without(&self, name: &str, reading: &Reading) -> bool {
        self.change(name, reading, |held| held.is_stale = held.secret.is_some());
        self.available(name)
    }

    /// Drops the value of a credential; whether it had one.
    pub(crate) fn drop_value(&self, name: &str, reading: &Reading) -> bool {
        let mut had = false;
        self.change(name, reading, |held| {
            had = held.secret.take().is_some();
            (held.expires, held.is_stale) = (None, false);
        });
        had
    }

    fn change(&self, name: &str, reading: &Reading, change: impl FnOnce(&mut Held)) {
        let mut replaced = self.writing();
        let before = self.generation.load_full();
        let Some((name, held)) = before.get_key_value(name).filter(|(_, held)| held.reading.is_same_place(reading))
        else {
            return;
        };
        let mut now = Held::clone(held);
        change(&mut now);
        let mut after = Generation::clone(&before);
        after.insert(Arc::clone(name), Arc::new(now));
        self.store(&mut replaced, &before, after);
    }

    /// Wipes what was replaced or dropped that long ago, once the last request that uses it is done, and has ended by its
    /// own account (a day later at the latest); whether there was any.
    pub fn forget_replaced(&self, after: Duration) -> bool {
        let mut replaced = self.writing();
        let is_less = replaced.forget(Instant::now(), after);
        if is_less {
            self.scrubber.store(Arc::new(replaced::scrubber(&self.generation.load(), &replaced)));
        }
        is_less
    }

    fn writing(&self) -> MutexGuard<'_, Replaced> {
        self.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, replaced: &mut Replaced, before: &Generation, after: Generation) {
        let mut is_other = false;
        for (name, held) in &after {
            let last = before.get(name);
            let is_same_value = is_same(held.secret.as_ref(), last.and_then(|last| last.secret.as_ref()));
            is_other |= !is_same_value || last.is_none_or(|last| last.stub != held.stub);
        }
        for (name, last) in before {
            let now = after.get(name).and_then(|held| held.secret.as_ref());
            if let Some(old) = last.secret.as_ref().filter(|old| !is_same(now, Some(old))) {
                replaced.add(name, &last.stub, old, (Instant::now(), last.life_left()));
                is_other = true;
            }
        }
        // First what recognises a value, then the value.
        if is_other {
            self.scrubber.store(Arc::new(replaced::scrubber(&after, replaced)));
        }
        self.generation.store(Arc::new(after));
    }

    /// What recognises all credentials in responses: those of now, in every form that [`forms`](crate::forms) has, and the
    /// last four values of each that were replaced, until they are [forgotten](Self::forget_replaced), since responses to
    /// them may still be coming. It is another one after each change; who holds an older one should let it go soon, or
    /// the values in it stay.
    pub fn scrubber(&self) -> arc_swap::Guard<Arc<Scrubber>> {
        self.scrubber.load()
    }

    /// The folders in which a change may mean a new value: those of the files, and those that symlinks lead to. Nothing where
    /// a file system hangs.
    pub fn watched_paths(&self) -> Option<BTreeSet<PathBuf>> {
        let generation = self.generation.load_full();
        self.aside.try_until(SystemInstant::now() + LOOKS, move || {
            let mut folders = BTreeSet::new();
            for held in generation.values() {
                if let Source::File(path) = &held.reading.source {
                    folders.extend(path.parent().map(Path::to_owned));
                    let target = path.canonicalize().ok();
                    folders.extend(target.as_deref().and_then(Path::parent).map(Path::to_owned));
                }
            }
            folders
        })
    }

    /// Whether the credential of that name has a value.
    pub fn available(&self, name: &str) -> bool {
        self.generation.load().get(name).is_some_and(|held| held.secret.is_some())
    }

    /// Whether the credential of that name has a value that its source no longer gives.
    pub fn is_stale(&self, name: &str) -> bool {
        self.generation.load().get(name).is_some_and(|held| held.is_stale)
    }

    /// The credentials whose file every user of the machine can read. Looks at files; nothing where a file system hangs.
    pub fn exposed(&self) -> Option<BTreeSet<Arc<str>>> {
        let generation = self.generation.load_full();
        self.aside.try_until(SystemInstant::now() + LOOKS, move || {
            let is_exposed = |held: &Held| sources::file::is_exposed(&held.reading.source);
            generation.iter().filter(|(_, held)| is_exposed(held)).map(|(name, _)| Arc::clone(name)).collect()
        })
    }

    /// When the value of that credential ends by itself, where its source said so.
    pub fn expires(&self, name: &str) -> Option<SystemTime> {
        self.generation.load().get(name)?.expires
    }

    /// The credentials that have no value, sorted.
    pub fn without_value(&self) -> BTreeSet<Arc<str>> {
        let generation = self.generation.load();
        generation.iter().filter(|(_, held)| held.secret.is_none()).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The value of the header that carries the credential which `permit` grants: the single place where a secret is
    /// revealed to someone else.
    ///
    /// `policy` is the one that decided, `slot` the place of the granted token, and `original` the header's value as
    /// the agent sent it. The stub in it is compared once more, as a whole and in constant time. The result is marked
    /// sensitive. Only call this when the upstream's certificate has been verified, and send it nowhere else.
    ///
    /// # Errors
    /// Where nothing is granted, the credential has no value or is no longer the one that was granted, or `original`
    /// does not hold its stub in that slot.
    pub fn header_value(
        &self,
        policy: &Policy,
        permit: &Permit,
        slot: SlotRef<'_>,
        original: &HeaderValue,
    ) -> Result<HeaderValue, SwapError> {
        if permit.to_look().is_some() {
            return Err(SwapError::NotLooked);
        }
        let swap = permit.swap().ok_or(SwapError::NotGranted)?;
        let credential = policy.credential(swap.credential);
        // A minted stub is another text for each agent: that it stands for this credential was found out when it was verified.
        let is_its_stub = if swap.is_minted { !swap.stub.is_empty() } else { credential.stub() == &*swap.stub };
        if credential.name() != &*swap.name || !is_its_stub {
            return Err(SwapError::Changed);
        }
        if !credential.slots().iter().any(|declared| declared.holds(slot)) {
            return Err(SwapError::Slot);
        }
        let generation = self.generation.load();
        let held = generation.get(&swap.name).ok_or(SwapError::Changed)?;
        if !held.reading.is_same_place(credential.reading()) {
            return Err(SwapError::Changed);
        }
        // Whoever should have dropped it may be late.
        if held.expires.is_some_and(|end| end <= SystemTime::now()) {
            return Err(SwapError::Missing);
        }
        let secret = held.secret.as_deref().ok_or(SwapError::Missing)?;
        swap::header_value(slot, swap.stub.as_bytes(), secret, original.as_bytes())
    }
}

fn is_same(one: Option<&Arc<Secret>>, other: Option<&Arc<Secret>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.is_same(other),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
