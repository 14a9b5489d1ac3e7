//! Standard output is the log: one event a line, with fields, without escape codes. `STUBGATE_LOG=json` makes each line an object.

use std::io;
use std::panic;

use tracing::level_filters::LevelFilter;

/// From now on. A panic is an event as well.
pub(crate) fn start() {
    let logs = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::INFO)
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false)
        .with_writer(io::stdout);
    let is_json = std::env::var("STUBGATE_LOG").is_ok_and(|value| value == "json");
    let _ = if is_json { logs.json().flatten_event(true).try_init() } else { logs.try_init() };
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let why = super::tasks::why(panic.payload()).replace(char::is_control, " ");
        tracing::error!(place, why, "a panic");
    }));
}
