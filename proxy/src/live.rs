//! What is under way: requests, streams and tunnels, so that a reload can decide them again.
//!
//! Each entry keeps the question that policy was asked. A reload asks it again; what is no longer allowed, or lost its
//! credential, is cut at once: its next poll ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use slab::Slab;
use stubgate_credentials::CredentialStore;
use stubgate_policy::AgentId;

use crate::body::Passed;
use crate::budget::{Budgets, Limit, SpendingEnd};
use crate::client::Peer;
use crate::decide::Question;
use crate::snapshot::Snapshot;

/// All that is under way.
#[derive(Default)]
pub struct Live {
    entries: Mutex<Slab<Entry>>,
}

struct Entry {
    peer: Peer,
    question: Arc<Question>,
    cut: Arc<Cut>,
    pace: Pace,
}

/// What bounds something under way in time.
pub struct Pace {
    /// When its head was complete.
    pub since: Instant,
    /// How long it may last; a tunnel has no end.
    pub most: Option<Duration>,
    /// Its body, if that has to come at a rate until the response begins.
    pub body: Option<Arc<Passed>>,
    /// Where it is told that a limit ended it.
    pub spending: SpendingEnd,
}

/// How fast bodies must come.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Bytes a second, on average.
    pub bytes_per_second: u64,
    /// From when on.
    pub grace: Duration,
}

impl Pace {
    /// The limit that this is past.
    fn passed(&self, rate: Rate, is_answered: bool, now: Instant) -> Option<Limit> {
        let age = now.saturating_duration_since(self.since);
        if self.most.is_some_and(|most| age >= most) {
            return Some(Limit::Request);
        }
        let body = self.body.as_ref().filter(|_| age >= rate.grace && !is_answered)?;
        let slow = body.bytes.load(Ordering::Relaxed) < rate.bytes_per_second.saturating_mul(age.as_secs());
        (slow && !body.is_whole()).then_some(Limit::BodyRate)
    }
}

#[derive(Default)]
struct Cut {
    done: AtomicBool,
    is_answered: AtomicBool,
    waker: AtomicWaker,
}

/// Holds a place among what is under way; dropping it gives the place up.
pub struct Underway {
    live: Arc<Live>,
    key: usize,
    cut: Arc<Cut>,
}

/// Watches for the cut of something under way from another place of the same task.
#[derive(Clone)]
pub struct Watch(Arc<Cut>);

impl Watch {
    /// Ready once it was cut.
    pub fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll(cx)
    }
}

impl Live {
    /// Enters a request.
    pub fn enter(self: &Arc<Self>, peer: Peer, question: Arc<Question>, pace: Pace) -> Underway {
        let cut = Arc::new(Cut::default());
        let entry = Entry { peer, question, cut: Arc::clone(&cut), pace };
        let key = self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(entry);
        Underway { live: Arc::clone(self), key, cut }
    }

    /// Decides all again and cuts what does not hold; returns how many that were. `who` tells whose a peer is now.
    pub fn decide_again(
        &self,
        snapshot: &Snapshot,
        credentials: &CredentialStore,
        who: impl Fn(&Peer) -> Option<AgentId>,
    ) -> u64 {
        self.cut_unless(|entry| {
            let has_credential = entry.question.credential().is_none_or(|name| credentials.available(name));
            has_credential && entry.question.holds_under(snapshot, who(&entry.peer))
        })
    }

    /// Cuts what is no longer its agent's, while policy and credentials are as they were; returns how many that were.
    pub fn identify_again(&self, is_still: impl Fn(&Peer, &str) -> bool) -> u64 {
        self.cut_unless(|entry| is_still(&entry.peer, entry.question.agent()))
    }

    fn cut_unless(&self, holds: impl Fn(&Entry) -> bool) -> u64 {
        let mut count = 0;
        for (_, entry) in self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if !entry.cut.is_done() && !holds(entry) {
                entry.cut.fire();
                count += 1;
            }
        }
        count
    }

    /// Cuts what takes too long or comes too slowly.
    pub fn keep_pace(&self, rate: Rate, budgets: &Budgets, now: Instant) {
        for (_, entry) in self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if !entry.cut.is_done()
                && let Some(limit) = entry.pace.passed(rate, entry.cut.is_answered.load(Ordering::Relaxed), now)
            {
                entry.pace.spending.tell(budgets.reached(limit, Duration::from_secs(1)));
                entry.cut.fire();
            }
        }
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Cut {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_done() {
            return Poll::Ready(());
        }
        self.waker.register(cx.waker());
        if self.is_done() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn fire(&self) {
        self.done.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Underway {
    /// Ready once this was cut. One task at a time may wait here.
    pub fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.cut.poll(cx)
    }

    /// The head of the response is there: both sides may talk as they like from here on.
    pub fn answered(&self) {
        self.cut.is_answered.store(true, Ordering::Relaxed);
    }

    /// A second place to wait for it, in the same task.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.cut))
    }

    /// Whether this was cut.
    pub fn is_cut(&self) -> bool {
        self.cut.is_done()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.live.entries.lock().unwrap_or_else(PoisonError::into_inner).try_remove(self.key);
    }
}
