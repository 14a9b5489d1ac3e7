//! From SIGTERM to the end, without refusing anybody.
//!
//! First it only says that it is leaving: `/readyz` fails, answers close their connections, and all is served as before, so
//! that balancers have taken it out before a connection could be refused. Then nothing new is taken (who waits already is
//! served), what is under way may end, and what is left at the deadline is cut.
//!
//! Where the service manager keeps the sockets, no balancer is waited for: who connects while nobody accepts waits for the
//! next process. That wait is kept short: it accepts until what was under way when it was told is over.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::{FAREWELL, SETTLE};
use crate::appliance::Appliance;

/// What of the time to drain is kept for those who came while it was leaving: a fifth.
const TAIL: u32 = 5;
/// How long tasks that are cut have for their last record.
const LAST_RECORD: Duration = Duration::from_secs(1);

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Balancers have `drain_delay_seconds` to notice.
    Announced,
    /// Nobody has to notice.
    AtOnce,
}

/// Leaves, takes nothing new, lets what is under way end, and cuts what is left at the deadline.
pub(super) async fn drain(appliance: &Appliance, stop: Stop, all_handed: bool) {
    let timeouts = &appliance.timeouts;
    let delay = match stop {
        Stop::Announced if !all_handed => timeouts.drain_delay,
        Stop::Announced | Stop::AtOnce => Duration::ZERO,
    };
    tracing::info!(
        under_way = appliance.live.len(),
        delay_seconds = delay.as_secs(),
        seconds = timeouts.drain.as_secs(),
        "draining"
    );
    if let Some(manager) = appliance.manager.get() {
        // And what comes after: questions of others, and a refresh that is under way.
        let settle = appliance.escrow.get().map_or(Duration::ZERO, |_| SETTLE);
        manager.stopping(delay + timeouts.drain + LAST_RECORD + FAREWELL + settle);
    }
    appliance.metrics.draining.set(1);
    appliance.leaving.cancel();
    tokio::time::sleep(delay).await;
    let end = Instant::now() + timeouts.drain;
    if all_handed {
        appliance.earlier.close();
        // What takes longer is cut at the end with the rest.
        let _ = timeout_at(end - timeouts.drain / TAIL, appliance.earlier.wait()).await;
    }
    appliance.draining.cancel();
    appliance.pool.clear();
    appliance.tasks.close();
    if timeout_at(end, appliance.tasks.wait()).await.is_err() {
        tracing::warn!(cut = appliance.live.len(), "the time to drain is over");
    }
    appliance.closing.cancel();
    // Tasks that are cut write their last record.
    let _ = timeout(LAST_RECORD, appliance.tasks.wait()).await;
}
