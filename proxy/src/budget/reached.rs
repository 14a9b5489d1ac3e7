//! Which bound stopped something, and when it lifts: for the metric, the record and the answer.

use std::time::{Duration, SystemTime};

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $variant:ident $text:literal,)*) => {
        /// A bound that can refuse. The word of each is its key in policy or in `stubgate.yaml`; docs/configuration.md
        /// ("Bounds") lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Limit {
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Limit {
            /// Every one, for metrics that announce their labels.
            pub const ALL: &'static [Limit] = &[$(Limit::$variant,)*];

            /// The word in metrics and answers.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Limit::$variant => $text,)*
                }
            }
        }
    };
}

limits! {
    /// Of policy.
    RequestsPerMinute "requests_per_minute",
    /// Of policy.
    BytesOutPerDay "bytes_out_per_day",
    /// New names under wildcards: too many, too long, or too much in them.
    WildcardNames "wildcard_names_per_minute",
    /// Requests under way.
    RequestsPerAgent "requests_per_agent",
    /// Bodies that policy looks into, of all.
    InspectedBytes "inspected_bytes",
    /// Of an agent.
    InspectedBytesPerAgent "inspected_bytes_per_agent",
    /// Connections of an agent.
    ConnectionsPerAgent "connections_per_agent",
    /// Connections of all.
    Connections "connections",
    /// TLS handshakes of an agent at once.
    HandshakesPerAgent "handshakes_per_agent",
    /// Requests on one connection.
    RequestsPerConnection "requests_per_connection",
    /// The time for a handshake.
    Handshake "handshake_seconds",
    /// The time for a head.
    Header "header_seconds",
    /// A connection without a request.
    Idle "idle_seconds",
    /// A body that stands still.
    BodyIdle "body_idle_seconds",
    /// A tunnel in which nothing moves.
    TunnelIdle "tunnel_idle_seconds",
    /// The time for a whole request.
    Request "request_seconds",
    /// The least rate of a request's body.
    BodyRate "body_bytes_per_second",
}

/// A limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    limit: Limit,
    lifts_in: Duration,
    lifts_at: SystemTime,
}

impl Reached {
    /// Reached at `now`, for so long.
    pub fn new(limit: Limit, lifts_in: Duration, now: SystemTime) -> Self {
        Reached { limit, lifts_in, lifts_at: now + lifts_in }
    }

    /// Which one.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Whole seconds until it lifts, at least 1: for `Retry-After`.
    pub fn seconds(&self) -> u64 {
        whole_seconds(self.lifts_in)
    }

    /// When it lifts.
    pub fn lifts_at(&self) -> SystemTime {
        self.lifts_at
    }
}

/// Rounded up: whoever waits so long does not come too soon.
fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_secs() + u64::from(duration.subsec_nanos() > 0)).max(1)
}
