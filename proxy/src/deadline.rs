//! A deadline that moves with progress, at next to no cost.
//!
//! Law 7: every wait on a peer has one. Progress only leaves a mark; the clock is read when there is a wait. The timer
//! beneath is armed once and only set again when it fires early, so a busy connection does not touch the timer wheel.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Fires when it was waited on for its limit without progress.
#[derive(Debug)]
pub struct Deadline {
    limit: Duration,
    /// When the wait began; `None` after progress, until there is a wait again.
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    /// Starts with the first wait.
    pub fn new(limit: Duration) -> Self {
        Deadline { limit, since: None, timer: None }
    }

    /// Starts again, with a limit of its own.
    pub fn restart(&mut self, limit: Duration) {
        self.limit = limit;
        self.since = None;
    }

    /// Moves the deadline: there was progress.
    pub fn touch(&mut self) {
        self.since = None;
    }

    /// Ready once the limit has passed without progress.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fires_after_the_limit_and_not_while_there_is_progress() {
        let start = Instant::now();
        let mut deadline = Deadline::new(Duration::from_secs(10));
        for _ in 0..5 {
            let waited = tokio::time::timeout(Duration::from_secs(6), poll_fn(|cx| deadline.poll(cx))).await;
            assert!(waited.is_err());
            deadline.touch();
        }
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(40));
        deadline.restart(Duration::from_secs(1));
        poll_fn(|cx| deadline.poll(cx)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(41));
    }
}
