//! What an origin makes of a credential: a 401 to a request that carried it.
//!
//! Its value is marked, its source is asked for another, and that is told: in the log, in a record, in metrics. All of it once
//! for each value and seldom after that, since an agent can have origins answer 401 as often as it likes (law 7): by asking
//! for what is refused to everybody. The answer goes to the agent as it is, and no request is sent a second time.

use stubgate_credentials::Version;

use crate::appliance::{Appliance, refresh};
use crate::record::Line;

/// An origin answered 401 to the value of that version. `line` says to which request.
pub(crate) fn by_origin(appliance: &Appliance, credential: &str, version: Version, line: Line<'_>) {
    let Some(keeper) = appliance.keeper.get() else { return };
    if !keeper.suspect(credential, version) {
        return;
    }
    appliance.metrics.rejections(credential).inc();
    let note = "an origin answered 401; the source is asked for another value";
    // The answer does not wait for its record; a lost one is counted.
    let _ = appliance.audit.write(&Line { note: Some(note), ..line });
    tracing::warn!(
        credential,
        version = %version,
        agent = line.agent.unwrap_or(""),
        id = line.id.unwrap_or(""),
        "an origin answers 401 to a credential; its source is asked for another value"
    );
    refresh(appliance);
}
