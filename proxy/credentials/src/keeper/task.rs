//! The task that keeps one credential.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use stubgate_policy::{Reading, Source};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::pace::Pace;
use super::{Outside, Witness};
use crate::fetch::{Fetch, Fetched};
use crate::sources::{self, SourceError};
use crate::store::{CredentialStore, Put};

/// How long is slept at most before the clocks are looked at again: the time of day may be set, and machines be suspended.
const LOOK_AT_CLOCKS: Duration = Duration::from_secs(60);

/// What a program is given beyond its own time, to be ended.
const SLACK: Duration = Duration::from_secs(2);

/// How long one question may take.
pub(super) fn limit(reading: &Reading, of_others: Duration) -> Duration {
    match &reading.source {
        Source::Exec(exec) => exec.timeout + SLACK,
        _ => of_others,
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
}

impl Task {
    pub(super) async fn run(mut self) {
        loop {
            self.until_due().await;
            let outcome = self.ask().await;
            if !self.take(outcome) {
                return;
            }
            self.join_wakes();
        }
    }

    /// Waits for the time of the next question, or for a reason to ask earlier. Drops the value when it ends meanwhile.
    async fn until_due(&mut self) {
        let since = Instant::now();
        let wait = self.pace.next((self.outside.now)(), (self.outside.chance)());
        loop {
            let left = wait.map(|wait| (since + wait).saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return;
            }
            let wake = Arc::clone(&self.wake);
            tokio::select! {
                () = wake.notified() => return,
                () = self.end_of_value() => {}
                () = sleep(left.unwrap_or(LOOK_AT_CLOCKS).min(LOOK_AT_CLOCKS)) => {}
            }
        }
    }

    /// One question, bounded in time. Dropping the value meanwhile needs no answer.
    async fn ask(&mut self) -> Result<Fetched, SourceError> {
        let (source, limit) = (Arc::clone(&self.source), self.limit);
        let mut answer = pin!(timeout(limit, source.fetch()));
        loop {
            tokio::select! {
                answer = &mut answer => {
                    return answer.unwrap_or(Err(SourceError::TimedOut { seconds: limit.as_secs() }));
                }
                () = self.end_of_value() => {}
            }
        }
    }

    /// Ready once the value has ended and was dropped, or when the clocks should be looked at.
    async fn end_of_value(&mut self) {
        match self.pace.left(Instant::now(), (self.outside.now)()) {
            None => std::future::pending().await,
            Some(left) if left.is_zero() => {}
            Some(left) => {
                sleep(left.min(LOOK_AT_CLOCKS)).await;
                if self.pace.left(Instant::now(), (self.outside.now)()).is_none_or(|left| !left.is_zero()) {
                    return;
                }
            }
        }
        self.pace.dropped();
        if self.store.drop_value(&self.name, &self.reading) {
            let text = self.say(&"has given no new value in time, and the last one has ended or is too old", false);
            self.witness.failed(&self.name, "ended", &text, false);
        }
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
                self.pace.succeeded(Instant::now(), expires);
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

    /// Whoever asked while a question was under way has its answer. But a file may have changed after it was opened.
    fn join_wakes(&self) {
        if sources::is_local(&self.reading.source) {
            return;
        }
        // Takes a waiting wake-up, if there is one.
        let mut wakes = pin!(self.wake.notified());
        wakes.as_mut().enable();
    }
}
