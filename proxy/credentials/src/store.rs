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
use stubgate_policy::{Credential, Permit, Policy, Reading, SlotRef, Source};
use stubgate_scrub::Scrubber;
use tokio::time::Instant;

use crate::aside::Aside;
use crate::fetch::Fetched;
use crate::secret::Secret;
use crate::sources::{self, SourceError};
use crate::swap::{self, SwapError};
use crate::version::{Version, VersionKey};

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
    key: VersionKey,
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
    value: Option<Value>,
    /// When the value ends by itself.
    expires: Option<SystemTime>,
    /// Whether the source gave nothing when it was last asked, so that `value` is what it gave before.
    is_stale: bool,
}

/// A value, and which one it is.
#[derive(Clone)]
struct Value {
    secret: Arc<Secret>,
    version: Version,
}

impl Held {
    /// How long its value is good by itself, from now on; nothing where nobody knows.
    fn life_left(&self) -> Duration {
        self.expires.and_then(|end| end.duration_since(SystemTime::now()).ok()).unwrap_or_default()
    }

    fn secret(&self) -> Option<&Arc<Secret>> {
        self.value.as_ref().map(|value| &value.secret)
    }
}

impl CredentialStore {
    /// Holds nothing yet. Versions of values are made with `key`.
    pub fn new(key: VersionKey) -> Self {
        Self {
            key,
            generation: ArcSwap::default(),
            scrubber: ArcSwap::from_pointee(Scrubber::none()),
            replaced: Mutex::default(),
            aside: Aside::default(),
        }
    }

    /// Holds the credentials of `policy`.
    #[cfg(test)]
    pub(crate) fn load(policy: &Policy) -> (Self, Loaded) {
        let store = Self::new(VersionKey::new(&[7; 32]));
        let loaded = store.reload(policy);
        (store, loaded)
    }

    /// Holds the credentials of this policy instead; takes effect at once and as a whole. Those that are read from where
    /// they were read before keep their value. Others are read, blocking, if they are files or variables, and have no
    /// value yet if they are not. What can't be read is missing, and requests that need it are refused.
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
                    let is_other = |held: &Arc<Held>| !is_same(held.secret(), secret.as_ref());
                    if secret.is_some() && last.is_some_and(is_other) {
                        loaded.changed.push(Arc::clone(&name));
                    }
                    let (reading, stub) = (reading.clone(), credential.stub().into());
                    let value = secret.map(|secret| self.versioned(secret));
                    Held { reading, stub, value, expires: None, is_stale: false }
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
        let put = match held.secret() {
            None => Put::First,
            Some(old) if old.is_same(&secret) => Put::Same,
            Some(_) => Put::Changed,
        };
        if put == Put::Same && held.expires == expires && !held.is_stale {
            return put;
        }
        let kept = held.value.clone().filter(|_| put == Put::Same);
        let value = Some(kept.unwrap_or_else(|| self.versioned(Arc::new(secret))));
        let now = Held { value, expires, is_stale: false, ..Held::clone(held) };
        let mut after = Generation::clone(&before);
        after.insert(Arc::clone(name), Arc::new(now));
        self.store(&mut replaced, &before, after);
        put
    }

    fn versioned(&self, secret: Arc<Secret>) -> Value {
        Value { version: self.key.version(&secret), secret }
    }

    /// Notes that a source gives nothing; whether a value of before stays in use.
    pub(crate) fn is_kept_without(&self, name: &str, reading: &Reading) -> bool {
        self.change(name, reading, |held| held.is_stale = held.value.is_some());
        self.available(name)
    }

    /// Drops the value of a credential; whether it had one.
    pub(crate) fn drop_value(&self, name: &str, reading: &Reading) -> bool {
        let mut had = false;
        self.change(name, reading, |held| {
            had = held.value.take().is_some();
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
            let is_same_value = is_same(held.secret(), last.and_then(|last| last.secret()));
            is_other |= !is_same_value || last.is_none_or(|last| last.stub != held.stub);
        }
        for (name, last) in before {
            let now = after.get(name).and_then(|held| held.secret());
            if let Some(old) = last.secret().filter(|old| !is_same(now, Some(old))) {
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
        self.generation.load().get(name).is_some_and(|held| held.value.is_some())
    }

    /// Whether another value of that credential can come into use without pushing one out that is still looked for in
    /// responses.
    pub(crate) fn has_room_for_another(&self, name: &str) -> bool {
        !self.writing().is_full(name)
    }

    /// Which value of the credential of that name is in use.
    pub fn version(&self, name: &str) -> Option<Version> {
        self.generation.load().get(name)?.value.as_ref().map(|value| value.version)
    }

    /// Whether the credential of that name has a value that its source no longer gives.
    pub fn is_stale(&self, name: &str) -> bool {
        self.generation.load().get(name).is_some_and(|held| held.is_stale)
    }

    /// The value of that credential, where it is still that one.
    pub(crate) fn value_of(&self, name: &str, version: Version) -> Option<Arc<Secret>> {
        let generation = self.generation.load();
        let value = generation.get(name)?.value.as_ref().filter(|value| value.version == version)?;
        Some(Arc::clone(&value.secret))
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
        generation.iter().filter(|(_, held)| held.value.is_none()).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The value of the credential that `permit` grants, as it is in use at this moment. `policy` is the one that decided.
    ///
    /// # Errors
    /// Where nothing is granted, the credential has no value or is no longer the one that was granted.
    pub fn granted<'p>(&self, policy: &'p Policy, permit: &'p Permit) -> Result<Granted<'p>, SwapError> {
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
        let generation = self.generation.load();
        let held = generation.get(&swap.name).ok_or(SwapError::Changed)?;
        if !held.reading.is_same_place(credential.reading()) {
            return Err(SwapError::Changed);
        }
        let value = held.value.clone().ok_or(SwapError::Missing)?;
        let granted = Granted { credential, stub: &swap.stub, value, expires: held.expires };
        granted.check_life()?;
        Ok(granted)
    }
}

/// A value for one request, whatever is rotated meanwhile: what a record names is what is sent. Not to be kept: a value that
/// was replaced is wiped once nobody has it.
pub struct Granted<'p> {
    credential: &'p Credential,
    stub: &'p str,
    value: Value,
    expires: Option<SystemTime>,
}

impl Granted<'_> {
    /// Which value it is.
    pub fn version(&self) -> Version {
        self.value.version
    }

    /// The value of the header that carries the credential: the single place where a secret is revealed to someone else.
    ///
    /// `slot` is the place of the granted token, and `original` the header's value as the agent sent it. The stub in it is
    /// compared once more, as a whole and in constant time. The result is marked sensitive. Only call this when the
    /// upstream's certificate has been verified, and send it nowhere else.
    ///
    /// # Errors
    /// Where the value has ended by now, or `original` does not hold its stub in that slot.
    pub fn header_value(&self, slot: SlotRef<'_>, original: &HeaderValue) -> Result<HeaderValue, SwapError> {
        if !self.credential.slots().iter().any(|declared| declared.holds(slot)) {
            return Err(SwapError::Slot);
        }
        self.check_life()?;
        swap::header_value(slot, self.stub.as_bytes(), &self.value.secret, original.as_bytes())
    }

    /// Whoever should have dropped it may be late.
    fn check_life(&self) -> Result<(), SwapError> {
        if self.expires.is_some_and(|end| end <= SystemTime::now()) { Err(SwapError::Missing) } else { Ok(()) }
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
