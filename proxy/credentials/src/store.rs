//! The secrets of a policy, held in memory, read again on reload.
//!
//! A reader always sees one whole generation. A source that breaks keeps the last good value *of the same source*: a
//! value is never carried over to a credential whose source was changed (law 5). What a policy no longer names is
//! dropped and wiped once the last request that uses it is done (CR-24).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::HeaderValue;
use stubgate_policy::{Permit, Policy, SlotRef, Source};
use stubgate_scrub::{Builder, Scrubber};

use crate::forms;
use crate::secret::Secret;
use crate::source::{self, SourceError};
use crate::swap::{self, SwapError};

/// Values of one credential that were replaced and are still scrubbed from responses.
const REPLACED_MAXIMUM: usize = 4;

/// One credential that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("credential {credential}: {from} {error}{}", if *kept { "; the last good value stays in use" } else { "; requests that need it are refused" })]
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

/// What a reading of all credentials found. Names only, never a value.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Those that could not be read.
    pub problems: Vec<LoadProblem>,
    /// Those of before that have another value now, or have one at last.
    pub changed: Vec<Arc<str>>,
    /// Those whose file every user of the machine can read.
    pub exposed: Vec<Arc<str>>,
}

/// Holds the secrets of the policy in force.
pub struct CredentialStore {
    generation: ArcSwap<HashMap<Arc<str>, Held>>,
    scrubber: ArcSwap<Scrubber>,
    /// The last values of each credential that were replaced, latest first. Reloads run one after the other, so that an
    /// older reading never replaces a newer one.
    replaced: Mutex<HashMap<Arc<str>, VecDeque<Arc<Secret>>>>,
}

#[derive(Clone)]
struct Held {
    source: Source,
    /// `None` where the source has never given a good value.
    secret: Option<Arc<Secret>>,
    /// Whether the source gave nothing when it was last read, so that `secret` is what it gave before.
    is_stale: bool,
}

impl CredentialStore {
    /// Reads every credential of `policy`, blocking. What can't be read is missing, and requests that need it are
    /// refused.
    pub fn load(policy: &Policy) -> (Self, Loaded) {
        let store = Self {
            generation: ArcSwap::default(),
            scrubber: ArcSwap::from_pointee(Scrubber::none()),
            replaced: Mutex::default(),
        };
        let loaded = store.reload(policy);
        (store, loaded)
    }

    /// Reads everything again, for this policy, blocking; takes effect at once and as a whole.
    pub fn reload(&self, policy: &Policy) -> Loaded {
        let mut replaced = self.replaced.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.generation.load_full();
        let mut loaded = Loaded::default();
        let mut after = HashMap::new();
        for credential in policy.credentials() {
            let name: Arc<str> = Arc::from(credential.name());
            let source = credential.source().clone();
            let last = before.get(&name);
            let (secret, is_stale) = match source::read(&source) {
                Ok(secret) => {
                    let is_other = |held: &Held| held.secret.as_ref().is_none_or(|old| !old.is_same(&secret));
                    if last.is_some_and(is_other) {
                        loaded.changed.push(Arc::clone(&name));
                    }
                    (Some(Arc::new(secret)), false)
                }
                Err(error) => {
                    let last_good = last.filter(|held| held.source == source).and_then(|held| held.secret.clone());
                    loaded.problems.push(LoadProblem {
                        credential: Arc::clone(&name),
                        from: source::describe(&source),
                        error,
                        kept: last_good.is_some(),
                    });
                    let is_stale = last_good.is_some();
                    (last_good, is_stale)
                }
            };
            if source::is_exposed(&source) {
                loaded.exposed.push(Arc::clone(&name));
            }
            after.insert(name, Held { source, secret, is_stale });
        }
        replaced.retain(|name, _| after.contains_key(name));
        for (name, held) in &after {
            let old = before.get(name).and_then(|held| held.secret.as_ref());
            let is_same = |one: &Arc<Secret>| held.secret.as_ref().is_some_and(|two| one.is_same(two));
            if let Some(old) = old.filter(|old| !is_same(old)) {
                let values = replaced.entry(Arc::clone(name)).or_default();
                values.push_front(Arc::clone(old));
                values.truncate(REPLACED_MAXIMUM);
            }
        }
        // First what recognises a value, then the value.
        self.scrubber.store(Arc::new(scrubber(policy, &after, &replaced)));
        self.generation.store(Arc::new(after));
        loaded
    }

    /// What recognises all credentials in responses: those of now, in every form that [`forms`](crate::forms) has, and the
    /// last four values of each that were replaced, since responses to them may still be coming. It is another one
    /// after each reload; who holds an older one should let it go soon, or the values in it stay.
    pub fn scrubber(&self) -> arc_swap::Guard<Arc<Scrubber>> {
        self.scrubber.load()
    }

    /// The folders in which a change may mean a new value: those of the files, and those that symlinks lead to.
    pub fn watched_paths(&self) -> Vec<PathBuf> {
        let mut folders = BTreeSet::new();
        for held in self.generation.load().values() {
            if let Source::File(path) = &held.source {
                folders.extend(path.parent().map(Path::to_owned));
                let target = path.canonicalize().ok();
                folders.extend(target.as_deref().and_then(Path::parent).map(Path::to_owned));
            }
        }
        folders.into_iter().collect()
    }

    /// Whether the credential of that name has a value.
    pub fn available(&self, name: &str) -> bool {
        self.generation.load().get(name).is_some_and(|held| held.secret.is_some())
    }

    /// Whether the credential of that name has a value that its source no longer gives.
    pub fn is_stale(&self, name: &str) -> bool {
        self.generation.load().get(name).is_some_and(|held| held.is_stale)
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
        if held.source != *credential.source() {
            return Err(SwapError::Changed);
        }
        let secret = held.secret.as_deref().ok_or(SwapError::Missing)?;
        swap::header_value(slot, swap.stub.as_bytes(), secret, original.as_bytes())
    }
}

/// Values in force first, so that they name what is found where a value is in two credentials.
fn scrubber(
    policy: &Policy,
    held: &HashMap<Arc<str>, Held>,
    replaced: &HashMap<Arc<str>, VecDeque<Arc<Secret>>>,
) -> Scrubber {
    let mut builder = Builder::default();
    let owners: Vec<_> = policy.credentials().iter().map(|one| (one, builder.owner(one.name().into()))).collect();
    for (credential, owner) in &owners {
        if let Some(secret) = held.get(credential.name()).and_then(|held| held.secret.as_deref()) {
            forms::add(&mut builder, *owner, secret, credential.stub());
        }
    }
    for (credential, owner) in &owners {
        for secret in replaced.get(credential.name()).into_iter().flatten() {
            forms::add(&mut builder, *owner, secret, credential.stub());
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests;
