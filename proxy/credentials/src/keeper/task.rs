//! The task that keeps one credential.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stubgate_policy::{Reading, Source};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::pace::Pace;
use super::{Outside, Witness};
use crate::fetch::{Fetch, Fetched};
use crate::sources::{self, SourceError};
use crate::store::{CredentialStore, Put};
use crate::version::Version;

/// How long is slept at most before the clocks are looked at again: the time of day may be set, and machines be suspended.
const LOOK_AT_CLOCKS: Duration = Duration::from_secs(10);

/// What a program may wait for others, and be ended in, beyond its own time, which whoever runs it bounds.
const QUEUE: Duration = Duration::from_secs(5 * 60);

/// How long nothing is asked after an error of our own.
const PAUSE: Duration = Duration::from_secs(10);

/// How long one question may take: that of its source, and what is asked on the way to it.
pub(super) fn limit(reading: &Reading, of_others: Duration) -> Duration {
    match &reading.source {
        Source::Exec(exec) => exec.timeout + QUEUE,
        Source::GithubApp(app) => limit(&app.private_key, of_others) + of_others,
        _ => of_others,
    }
}

/// Keeps a credential as long as it is wanted, also where a task ends by an error of ours. Its value does not outlive who
/// keeps it.
pub(super) async fn keep(first: Task, next: impl Fn() -> Task + Send) {
    let mut task = first;
    loop {
        let (name, reading) = (Arc::clone(&task.name), task.reading.clone());
        let (store, witness) = (Arc::clone(&task.store), Arc::clone(&task.witness));
        // It ends with this, which owns it.
        let mut running = JoinSet::new();
        running.spawn(task.run());
        if !matches!(running.join_next().await, Some(Err(error)) if error.is_panic()) {
            return;
        }
        store.drop_value(&name, &reading);
        let text = format!("is not kept, by an error of stubgate's own; again in {} seconds", PAUSE.as_secs());
        let text = crate::store::sentence(&name, &sources::describe(&reading.source), &text, false);
        witness.failed(&name, "internal", &text, false);
        sleep(PAUSE).await;
        task = next();
    }
}

pub(super) struct Task {
    pub(super) name: Arc<str>,
    pub(super) reading: Reading,
    pub(super) source: Arc<dyn Fetch>,
    pub(super) store: Arc<CredentialStore>,
    pub(super) witness: Arc<dyn Witness>,
    pub(super) outside: Outside,
    pub(super) limit: Duration,
    pub(super) wake: Arc<Notify>,
    pub(super) pace: Pace,
    /// When it was read last.
    pub(super) read: Arc<Mutex<Option<Instant>>>,
    /// The value that an origin refused, until its source is asked for another.
    pub(super) refused: Arc<Mutex<Option<Version>>>,
}

impl Task {
    pub(super) async fn run(mut self) {
        loop {
            self.until_due().await;
            self.join_wakes();
            let outcome = self.ask().await;
            if !self.take(outcome) {
                return;
            }
        }
    }

    /// Waits for the time of the next question, or for a reason to ask earlier: that the value has ended is one, which is
    /// dropped then. It comes before its time where the clock was set or the machine suspended.
    async fn until_due(&mut self) {
        let (since, since_of_day) = (Instant::now(), (self.outside.now)());
        let wait = self.pace.next(since_of_day, (self.outside.chance)());
        loop {
            // While the machine is suspended the clock of tasks stands still, and the time of day does not; that one may be
            // set back.
            let of_day = (self.outside.now)().duration_since(since_of_day).unwrap_or_default();
            let left = wait.map(|wait| wait.saturating_sub(since.elapsed().max(of_day)));
            if left.is_some_and(|left| left.is_zero()) {
                return;
            }
            let wake = Arc::clone(&self.wake);
            tokio::select! {
                // A value that has ended is dropped, and said to be, before another one is asked for.
                biased;
                is_dropped = self.end_of_value() => if is_dropped { return },
                () = wake.notified() => return,
                () = sleep(left.unwrap_or(LOOK_AT_CLOCKS).min(LOOK_AT_CLOCKS)) => {}
            }
        }
    }

    /// One question, bounded in time. Dropping the value meanwhile needs no answer.
    async fn ask(&mut self) -> Result<Fetched, SourceError> {
        let (source, limit) = (Arc::clone(&self.source), self.limit);
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).take();
        let refused = refused.and_then(|version| self.store.value_of(&self.name, version));
        let asking = refused.map_or_else(|| source.fetch(), |refused| source.fetch_but(&refused));
        let mut answer = pin!(timeout(limit, asking));
        loop {
            tokio::select! {
                biased;
                _ = self.end_of_value() => {}
                answer = &mut answer => {
                    return answer.unwrap_or(Err(SourceError::TimedOut { seconds: limit.as_secs() }));
                }
            }
        }
    }

    /// Ready once the value has ended and was dropped, or when the clocks should be looked at; whether it was dropped.
    async fn end_of_value(&mut self) -> bool {
        match self.pace.left(Instant::now(), (self.outside.now)()) {
            None => std::future::pending().await,
            Some(left) if left.is_zero() => {}
            Some(left) => {
                sleep(left.min(LOOK_AT_CLOCKS)).await;
                if self.pace.left(Instant::now(), (self.outside.now)()).is_none_or(|left| !left.is_zero()) {
                    return false;
                }
            }
        }
        self.pace.dropped();
        if self.store.drop_value(&self.name, &self.reading) {
            let text = self.say(&"has given no new value in time, and the last one has ended or is too old", false);
            self.witness.failed(&self.name, "ended", &text, false);
        }
        true
    }

    /// Whether the credential is still wanted.
    fn take(&mut self, outcome: Result<Fetched, SourceError>) -> bool {
        let now = (self.outside.now)();
        let outcome = outcome.and_then(|fetched| {
            if fetched.expires.is_some_and(|end| end <= now) { Err(SourceError::Ended) } else { Ok(fetched) }
        });
        match outcome {
            Ok(fetched) => {
                let expires = fetched.expires;
                let put = self.store.put(&self.name, &self.reading, fetched);
                let at = Instant::now();
                self.pace.succeeded(at, expires);
                *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
                if put == Put::Unwanted {
                    return false;
                }
                self.witness.fetched(&self.name, put.into(), expires);
            }
            Err(error) => {
                self.pace.failed();
                let kept = self.store.is_kept_without(&self.name, &self.reading);
                self.witness.failed(&self.name, error.kind(), &self.say(&error, kept), kept);
            }
        }
        true
    }

    fn say(&self, error: &dyn std::fmt::Display, kept: bool) -> String {
        crate::store::sentence(&self.name, &sources::describe(&self.reading.source), error, kept)
    }

    /// Whoever asked until now is answered by the question that begins. What comes during one is a reason to ask once more,
    /// as its answer may be older.
    fn join_wakes(&self) {
        // Takes a waiting wake-up, if there is one.
        let mut wakes = pin!(self.wake.notified());
        wakes.as_mut().enable();
    }
}
