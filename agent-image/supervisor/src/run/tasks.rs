//! Tasks that go on beside the client: one that panics is started again, and the log says so.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Runs it until it ends by itself.
pub(crate) async fn forever<F: Future>(
    name: &'static str,
    pause: Duration,
    stop: CancellationToken,
    mut task: impl FnMut() -> F,
) {
    while !stop.is_cancelled() {
        match AssertUnwindSafe(task()).catch_unwind().await {
            // It has nothing to do, or all stops.
            Ok(_) => return,
            Err(panic) => error!(task = name, why = why(&*panic), "a task died; it is started again"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// What a panic says.
pub(crate) fn why(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_task_that_dies_is_started_again_and_one_that_ends_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (runs, stop) = (Cell::new(0), CancellationToken::new());
        runtime.block_on(forever("test", Duration::from_secs(1), stop.clone(), || async {
            runs.set(runs.get() + 1);
            assert!(runs.get() > 2, "dies twice");
        }));
        assert_eq!(runs.get(), 3);
    }
}
