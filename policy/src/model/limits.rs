//! How much an agent may do, as policy says it. Counting and time are the appliance's; here are only the numbers, each
//! at least 1, and which of two is the wider.

/// The limits of one agent; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentLimits {
    /// Requests that policy allowed, in a minute in the long run; as many may come at once.
    pub requests_per_minute: Option<u64>,
    /// Bytes of requests, heads and bodies, to one host in a day (UTC).
    pub bytes_out_per_day: Option<u64>,
    /// Tripwires in a day (UTC) after which all is denied to it.
    pub quarantine_after_tripwires: Option<u64>,
}

impl AgentLimits {
    /// These, and where nothing is said, those.
    pub(crate) fn or(self, common: AgentLimits) -> AgentLimits {
        AgentLimits {
            requests_per_minute: self.requests_per_minute.or(common.requests_per_minute),
            bytes_out_per_day: self.bytes_out_per_day.or(common.bytes_out_per_day),
            quarantine_after_tripwires: self.quarantine_after_tripwires.or(common.quarantine_after_tripwires),
        }
    }

    /// Each by its key in policy.
    pub(crate) fn each(&self) -> [(&'static str, Option<u64>); 3] {
        [
            ("requests_per_minute", self.requests_per_minute),
            ("bytes_out_per_day", self.bytes_out_per_day),
            ("quarantine_after_tripwires", self.quarantine_after_tripwires),
        ]
    }
}
