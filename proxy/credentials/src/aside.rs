//! Looks at files that a file system may hang in: whoever wants to know waits so long and no longer.
//!
//! Each is done on a thread of its own, of which one hangs at most: while it does, nothing more is tried.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// Work that is done aside, one piece at a time.
#[derive(Clone, Default)]
pub(crate) struct Aside {
    is_busy: Arc<AtomicBool>,
}

impl Aside {
    /// What the work gives, or nothing where that takes until after the deadline, or a piece of work before it still hangs.
    pub(crate) fn try_until<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.is_busy.swap(true, Ordering::AcqRel) {
            return None;
        }
        let busy = Busy(Arc::clone(&self.is_busy));
        let (give, given) = mpsc::sync_channel(1);
        let aside = move || {
            let result = work();
            drop(busy);
            // Nobody waits any more where it took too long.
            let _ = give.send(result);
        };
        // Without a thread the work is dropped, and with it the sign that it is under way.
        thread::Builder::new().name("files".into()).spawn(aside).ok()?;
        given.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }
}

/// The sign that work is under way; gone with it, however it ends.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_hangs_is_not_waited_for_and_is_not_tried_again_meanwhile() {
        let aside = Aside::default();
        let long = || Instant::now() + Duration::from_secs(60);
        assert_eq!(aside.try_until(long(), || 1), Some(1));
        let (end, ended) = mpsc::channel::<()>();
        let hanging = move || ended.recv().is_ok();
        assert_eq!(aside.try_until(Instant::now() + Duration::from_millis(1), hanging), None);
        assert_eq!(aside.try_until(long(), || 2), None, "the first one is still at it");
        end.send(()).unwrap();
        let free = (0..).find_map(|_| {
            aside.try_until(long(), || 3).or_else(|| {
                thread::yield_now();
                None
            })
        });
        assert_eq!(free, Some(3));
    }
}
