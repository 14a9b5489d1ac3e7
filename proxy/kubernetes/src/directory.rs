//! Who has an address now. Readers take no lock and wait for nobody; one writer at a time changes it.
//!
//! Invariants, held against a model by the tests:
//! - an address leads to a pod only while that pod alone is known to have it;
//! - a number belongs to one stay of one pod at the same addresses, and to no other, ever;
//! - nothing is answered once more time has passed than the bound since all of this was surely true.

mod writer;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, watch};

use crate::pod::Sighting;
use writer::Writer;

/// What is copied at a change is a shard of the whole.
const SHARDS: usize = 256;
/// Addresses of nodes of one part that are remembered: more than Kubernetes has nodes. They only count for a warning.
const MOST_NODES: usize = 65_536;
/// Parts whose problems are told at once.
const MOST_PROBLEMS: usize = 3;

/// Keys of labels.
pub(crate) type Keys = Arc<BTreeSet<Box<str>>>;

/// A clock that never goes back.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// A pod at an address.
#[derive(Debug, PartialEq, Eq)]
pub struct PodEntry {
    /// Of this stay at its addresses; never given to another.
    pub number: u64,
    /// The namespace that it is in.
    pub namespace: Arc<str>,
    /// Under which service account it runs.
    pub service_account: Arc<str>,
    /// Those of its labels that were asked for, sorted by key.
    pub labels: Arc<[(Box<str>, Box<str>)]>,
}

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// It is no pod's, as far as is known.
    Nobody,
    /// This pod's alone.
    Pod(Arc<PodEntry>),
    /// Two pods say that it is theirs: it is neither's.
    Contested,
    /// It was this pod's alone when something was last known, which is too long ago.
    Stale(Arc<PodEntry>),
}

/// How often what happened since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Pods that the API server told of, listed or by events.
    pub events: AtomicU64,
    /// Complete lists.
    pub lists: AtomicU64,
    /// Watches that began.
    pub watches: AtomicU64,
    /// Lists and watches that failed.
    pub failures: AtomicU64,
}

/// The pods of a cluster, by address.
pub struct Directory {
    hasher: RandomState,
    shards: Box<[ArcSwap<HashMap<IpAddr, Spot>>]>,
    /// For each part that is watched by itself: when all that is known of it was surely true, in milliseconds after `start`,
    /// plus one; 0 where nothing is known yet.
    as_of: Box<[AtomicU64]>,
    bound: Duration,
    clock: Clock,
    start: Instant,
    writer: Mutex<Writer>,
    /// Addresses of nodes that the pods of each part name.
    nodes: Box<[ArcSwap<HashSet<IpAddr>>]>,
    /// The labels that are kept.
    keys: watch::Sender<Keys>,
    /// The keys that were kept when a part was last listed.
    listed: Box<[ArcSwap<BTreeSet<Box<str>>>]>,
    /// What is wrong with the watch of each part.
    problems: Box<[ArcSwapOption<String>]>,
    changed: Notify,
    complete: Notify,
    counts: Counts,
}

#[derive(Clone)]
enum Spot {
    Pod(Arc<PodEntry>),
    Contested,
}

impl Directory {
    /// Knows nothing yet, of so many parts of the cluster (namespaces, or 1 for all of them). `bound` is how long what was
    /// surely true counts.
    pub fn new(parts: usize, bound: Duration, clock: Clock) -> Self {
        let start = clock();
        let parts = parts.max(1);
        Directory {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            as_of: (0..parts).map(|_| AtomicU64::new(0)).collect(),
            bound,
            clock,
            start,
            writer: Mutex::new(Writer::default()),
            nodes: (0..parts).map(|_| ArcSwap::default()).collect(),
            keys: watch::Sender::default(),
            listed: (0..parts).map(|_| ArcSwap::default()).collect(),
            problems: (0..parts).map(|_| ArcSwapOption::empty()).collect(),
            changed: Notify::new(),
            complete: Notify::new(),
            counts: Counts::default(),
        }
    }

    /// What is known of an address now.
    pub fn at(&self, address: IpAddr) -> At {
        let address = address.to_canonical();
        let Some(shard) = self.shards.get(self.shard(address)) else { return At::Nobody };
        let shard = shard.load();
        match shard.get(&address) {
            None => At::Nobody,
            Some(Spot::Contested) => At::Contested,
            Some(Spot::Pod(entry)) if self.is_fresh() => At::Pod(Arc::clone(entry)),
            Some(Spot::Pod(entry)) => At::Stale(Arc::clone(entry)),
        }
    }

    /// Whether what is known is recent enough to be told.
    pub fn is_fresh(&self) -> bool {
        self.age().is_some_and(|age| age <= self.bound)
    }

    /// How long ago all that is known was surely true; `None` before the first complete list.
    pub fn age(&self) -> Option<Duration> {
        let now = (self.clock)().saturating_duration_since(self.start);
        let oldest = self.as_of.iter().map(|as_of| as_of.load(Ordering::Acquire)).min()?;
        Some(now.saturating_sub(Duration::from_millis(oldest.checked_sub(1)?)))
    }

    /// How long it is there.
    pub fn lasted(&self) -> Duration {
        (self.clock)().saturating_duration_since(self.start)
    }

    /// How long what was surely true counts.
    pub fn bound(&self) -> Duration {
        self.bound
    }

    /// Whether an address is a node's, as far as pods tell.
    pub fn is_node(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.nodes.iter().any(|nodes| nodes.load().contains(&address))
    }

    /// How many pods have an address.
    pub fn pods(&self) -> usize {
        self.writer().pods()
    }

    /// How many addresses two pods say are theirs.
    pub fn contested(&self) -> usize {
        self.writer().contested()
    }

    /// What went wrong last, where it has not gone well since; of several parts the first few.
    pub fn problem(&self) -> Option<Arc<String>> {
        let mut of_parts = self.problems.iter().filter_map(ArcSwapOption::load_full);
        let first = of_parts.next()?;
        let shown: Vec<Arc<String>> = of_parts.by_ref().take(MOST_PROBLEMS - 1).collect();
        if shown.is_empty() {
            return Some(first);
        }
        let mut text = shown.iter().fold(String::clone(&first), |text, more| text + "; " + more);
        let more = of_parts.count();
        if more > 0 {
            text.push_str(&format!("; and {more} more"));
        }
        Some(Arc::new(text))
    }

    /// How often what happened.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Completes when a pod went, or is not what it was: what is under way for it must be looked at again. What happened
    /// while nobody waited is told to the next one who does.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Completes when a part was listed: labels that were waited for may be known.
    pub async fn listed(&self) {
        self.complete.notified().await;
    }

    /// Keeps these labels of every pod from now on, and has pods listed again where others are not known yet.
    pub fn keep_labels(&self, keys: &[Box<str>]) {
        let wanted: BTreeSet<Box<str>> = keys.iter().cloned().collect();
        self.keys.send_if_modified(|keys| {
            let is_new = !wanted.is_subset(keys);
            if is_new {
                // Those of before stay: whoever is known by them must go on to be.
                *keys = Arc::new(keys.union(&wanted).cloned().collect());
            }
            is_new
        });
    }

    /// Whether these labels are known of every pod that is.
    pub fn knows_labels(&self, keys: &[Box<str>]) -> bool {
        self.listed.iter().all(|listed| {
            let listed = listed.load();
            keys.iter().all(|key| listed.contains(key))
        })
    }

    /// A pod of a part is there, or changed.
    pub fn see(&self, part: usize, pod: &Sighting) {
        self.counts.events.fetch_add(1, Ordering::Relaxed);
        self.see_nodes(part, &pod.nodes);
        let keys = Arc::clone(&self.keys.borrow());
        let mut writer = self.writer();
        let touched = writer.see(part, pod, &keys);
        self.publish(&writer, touched);
    }

    /// A pod of a part is gone.
    pub fn forget(&self, uid: &str) {
        self.counts.events.fetch_add(1, Ordering::Relaxed);
        let mut writer = self.writer();
        let touched = writer.forget(uid);
        self.publish(&writer, touched);
    }

    /// These are all the pods of a part, and were at `as_of`. `keys` are the labels that were kept when it was asked for.
    pub(crate) fn replace(&self, part: usize, pods: &[Sighting], keys: &Keys, as_of: Instant) {
        self.counts.lists.fetch_add(1, Ordering::Relaxed);
        self.counts.events.fetch_add(u64::try_from(pods.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(nodes) = self.nodes.get(part) {
            // Those that are gone with their pods are forgotten.
            let all = pods.iter().flat_map(|pod| &pod.nodes);
            nodes.store(Arc::new(all.fold(HashSet::new(), |known, node| with_node(known, *node))));
        }
        let mut writer = self.writer();
        let touched = writer.replace(part, pods, keys);
        self.publish(&writer, touched);
        drop(writer);
        if let Some(listed) = self.listed.get(part) {
            listed.store(Arc::clone(keys));
        }
        self.surely_true(part, as_of);
        // Whoever looked at what was told above may have found all of it too old still.
        self.changed.notify_one();
        self.complete.notify_one();
    }

    /// Puts a list in place by itself, for models of a cluster that speak no HTTP.
    pub fn replace_all(&self, pods: &[Sighting]) {
        let keys = Arc::clone(&self.keys.borrow());
        self.replace(0, pods, &keys, (self.clock)());
    }

    /// All that is known of a part was true at this moment.
    pub fn surely_true(&self, part: usize, as_of: Instant) {
        let millis = as_of.saturating_duration_since(self.start).as_millis();
        if let Some(known) = self.as_of.get(part) {
            known.fetch_max(u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1), Ordering::AcqRel);
        }
    }

    /// The labels that are kept. When they change, what was listed must be listed again.
    pub(crate) fn keys(&self) -> watch::Receiver<Keys> {
        self.keys.subscribe()
    }

    pub(crate) fn now(&self) -> Instant {
        (self.clock)()
    }

    pub(crate) fn set_problem(&self, part: usize, problem: Option<String>) {
        if let Some(of_part) = self.problems.get(part) {
            of_part.store(problem.map(Arc::new));
        }
    }

    fn see_nodes(&self, part: usize, nodes: &[IpAddr]) {
        let Some(of_part) = self.nodes.get(part) else { return };
        let known = of_part.load();
        if known.len() >= MOST_NODES || nodes.iter().all(|node| known.contains(node)) {
            return;
        }
        of_part.rcu(|known| nodes.iter().fold(HashSet::clone(known), |known, node| with_node(known, *node)));
    }

    /// Shows readers what became of these addresses, and says so where somebody lost one.
    fn publish(&self, writer: &Writer, mut touched: writer::Touched) {
        touched.addresses.sort_unstable_by_key(|address| self.shard(*address));
        for group in touched.addresses.chunk_by(|one, two| self.shard(*one) == self.shard(*two)) {
            let Some(shard) = group.first().and_then(|first| self.shards.get(self.shard(*first))) else { continue };
            let mut spots = HashMap::clone(&shard.load());
            for address in group {
                match writer.spot(*address) {
                    Some(spot) => drop(spots.insert(*address, spot)),
                    None => drop(spots.remove(address)),
                }
            }
            shard.store(Arc::new(spots));
        }
        if touched.is_loss {
            self.changed.notify_one();
        }
    }

    fn shard(&self, address: IpAddr) -> usize {
        usize::try_from(self.hasher.hash_one(address) % SHARDS as u64).unwrap_or(0)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn with_node(mut known: HashSet<IpAddr>, node: IpAddr) -> HashSet<IpAddr> {
    if known.len() < MOST_NODES {
        known.insert(node);
    }
    known
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("pods", &self.pods()).field("age", &self.age()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
