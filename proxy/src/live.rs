//! What is under way: requests, streams and tunnels, so that a reload can decide them again.
//!
//! Each entry keeps the question that policy was asked. A reload asks it again; what is no longer allowed, or lost its
//! credential, is cut at once: its next poll ends it.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use slab::Slab;
use stubgate_credentials::CredentialStore;

use crate::decide::Question;
use crate::snapshot::Snapshot;

/// All that is under way.
#[derive(Default)]
pub struct Live {
    entries: Mutex<Slab<Entry>>,
}

struct Entry {
    peer: IpAddr,
    question: Arc<Question>,
    cut: Arc<Cut>,
}

#[derive(Default)]
struct Cut {
    done: AtomicBool,
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
    pub fn enter(self: &Arc<Self>, peer: IpAddr, question: Arc<Question>) -> Underway {
        let cut = Arc::new(Cut::default());
        let entry = Entry { peer, question, cut: Arc::clone(&cut) };
        let key = self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(entry);
        Underway { live: Arc::clone(self), key, cut }
    }

    /// Decides all again and cuts what does not hold; returns how many that were.
    pub fn decide_again(&self, snapshot: &Snapshot, credentials: &CredentialStore) -> u64 {
        let mut count = 0;
        for (_, entry) in self.entries.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let has_credential = entry.question.credential().is_none_or(|name| credentials.available(name));
            if !(has_credential && entry.question.holds_under(snapshot, entry.peer)) {
                entry.cut.fire();
                count += 1;
            }
        }
        count
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
