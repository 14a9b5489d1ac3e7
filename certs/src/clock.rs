//! The time of day as an argument, so that renewal is tested without a sleep.

use std::sync::Arc;
use std::time::SystemTime;

use time::OffsetDateTime;

/// Tells the time. The appliance passes [`system_clock`]; tests pass one that they move by hand.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The clock of the machine.
pub fn system_clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// X.509 has no fractions of a second, so a time is cut to whole seconds before it is compared or written.
pub(crate) fn whole_seconds(time: SystemTime) -> OffsetDateTime {
    let time = OffsetDateTime::from(time);
    time.replace_nanosecond(0).unwrap_or(time)
}
