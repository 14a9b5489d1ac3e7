//! `limits` and `timeouts`: how much and how long (law 7). Each has a default that suits most, and a range that keeps
//! a slip of the finger from turning a bound off: none can be endless, and none but a delay 0.

use std::time::Duration;

use super::reader::{Map, Reader};

macro_rules! limits {
    ($(#[$of:meta])* pub struct $name:ident { $($(#[doc = $doc:literal])* $field:ident: $type:ty = $default:literal, $low:literal to $high:literal;)* }) => {
        $(#[$of])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[doc = $doc])*
                #[doc = concat!("Default ", stringify!($default), "; ", stringify!($low), " to ", stringify!($high), ".")]
                pub $field: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            /// The keys of the section.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($field),)*];

            /// What each key is for, its smallest, default and largest value.
            pub(super) const ABOUT: &'static [(&'static str, &'static str, u64, u64, u64)] =
                &[$((stringify!($field), concat!($($doc,)*), $low, $default, $high),)*];

            #[cfg(test)]
            pub(super) const RANGES: &'static [(&'static str, u64, u64, u64)] =
                &[$((stringify!($field), $low, $default, $high),)*];

            pub(super) fn read(reader: &mut Reader<'_>, section: Map<'_>) -> Self {
                let mut read = Self::default();
                $(
                    if let Some(node) = section.get(stringify!($field))
                        && let Some(number) = reader.number(node, stringify!($field), ($low, $high))
                        && let Ok(number) = <$type>::try_from(number)
                    {
                        read.$field = number;
                    }
                )*
                read
            }
        }
    };
}

macro_rules! timeouts {
    ($(#[$of:meta])* pub struct $name:ident { $($(#[doc = $doc:literal])* $field:ident $key:literal = $default:literal, $low:literal to $high:literal;)* }) => {
        $(#[$of])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(
                $(#[doc = $doc])*
                #[doc = concat!("Key `", $key, "`, default ", stringify!($default), "; ", stringify!($low), " to ", stringify!($high), ".")]
                pub $field: Duration,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: Duration::from_secs($default),)* }
            }
        }

        impl $name {
            /// The keys of the section.
            pub const KEYS: &'static [&'static str] = &[$($key,)*];

            /// What each key is for, its smallest, default and largest value.
            pub(super) const ABOUT: &'static [(&'static str, &'static str, u64, u64, u64)] =
                &[$(($key, concat!($($doc,)*), $low, $default, $high),)*];

            #[cfg(test)]
            pub(super) const RANGES: &'static [(&'static str, u64, u64, u64)] =
                &[$(($key, $low, $default, $high),)*];

            pub(super) fn read(reader: &mut Reader<'_>, section: Map<'_>) -> Self {
                let mut read = Self::default();
                $(
                    if let Some(node) = section.get($key)
                        && let Some(seconds) = reader.number(node, $key, ($low, $high))
                    {
                        read.$field = Duration::from_secs(seconds);
                    }
                )*
                read
            }
        }
    };
}

limits! {
    /// Bounds on what agents can make the appliance hold or do.
    pub struct Limits {
        /// Open connections of one agent, over all listeners.
        connections_per_agent: usize = 1024, 1 to 1_000_000;
        /// Open connections of all agents and of unknown sources.
        connections: usize = 16_384, 1 to 10_000_000;
        /// HTTP/2 streams that a client may have open on one connection.
        streams_per_connection: u32 = 100, 1 to 10_000;
        /// Bytes of one request or response head, first line included.
        header_bytes: usize = 65_536, 1_024 to 1_048_576;
        /// Header fields of one head.
        headers: usize = 100, 8 to 10_000;
        /// Bytes of the first line of a request: method, target and version.
        request_line_bytes: usize = 16_384, 256 to 262_144;
        /// Requests of one agent under way at once, over all connections; tunnels too.
        requests_per_agent: usize = 2_048, 1 to 1_000_000;
        /// Requests on one connection of an agent, before it is closed.
        requests_per_connection: u64 = 10_000, 1 to 1_000_000_000;
        /// TLS handshakes of one agent at once; more wait for their turn.
        handshakes_per_agent: usize = 32, 1 to 100_000;
        /// Least rate of a request's body, once it has lasted a minute (or `body_idle_seconds`, if that is less). Not of gRPC.
        body_bytes_per_second: u64 = 100, 1 to 1_000_000_000;
        /// New names under wildcards that one agent may use in a minute, by DNS or in requests.
        wildcard_names_per_minute: u32 = 120, 1 to 1_000_000;
        /// Bytes of what wildcards stand for in those names, in a minute.
        wildcard_label_bytes_per_minute: u32 = 2_048, 1 to 100_000_000;
        /// Bits that those bytes may carry (their entropy), in a minute.
        wildcard_label_bits_per_minute: u32 = 6_144, 1 to 800_000_000;
        /// DNS queries of one agent in a second, in the long run.
        dns_queries_per_second: u32 = 500, 1 to 10_000_000;
        /// DNS queries of one agent at once, on top of the long run.
        dns_burst: u32 = 1_000, 1 to 10_000_000;
        /// DNS connections (TCP) of one agent.
        dns_connections_per_agent: usize = 16, 1 to 10_000;
        /// Forwarded DNS queries under way at once; one agent gets a quarter of them at most.
        dns_forwards: usize = 256, 4 to 100_000;
        /// Names whose certificates are kept.
        minted_certificates: u64 = 10_000, 1 to 10_000_000;
        /// Bytes of all bodies that are held at once because policy looks into them; half is divided evenly between agents.
        inspected_bytes: usize = 268_435_456, 1_048_576 to 1_099_511_627_776;
        /// Bytes of such bodies of one agent.
        inspected_bytes_per_agent: usize = 100_663_296, 1_024 to 1_099_511_627_776;
        /// Milliseconds for which the end of a piece of a response is held back while nothing follows it, where it could be the
        /// beginning of a credential by its shape. A credential that is cut by a longer pause leaves its first part unscrubbed.
        scrub_held_milliseconds: u64 = 250, 1 to 60_000;
        /// Idle connections kept for one agent to one authority.
        upstream_idle_per_authority: usize = 32, 1 to 10_000;
        /// Bytes of one WebSocket message, all its fragments together. Nothing of it is held; this protects what is behind.
        websocket_message_bytes: u64 = 1_073_741_824, 1_024 to 1_099_511_627_776;
        /// Control frames (pings, mostly) that one side of a WebSocket may send in a second.
        websocket_control_frames_per_second: u32 = 100, 1 to 1_000_000;
        /// Refusals of one agent recorded one by one in a second; the rest become one `suppressed` record.
        refusals_per_second: u32 = 20, 1 to 100_000;
    }
}

timeouts! {
    /// Deadlines, in whole seconds.
    pub struct Timeouts {
        /// From accepting a connection to the end of its TLS handshake, CONNECT or SOCKS.
        handshake "handshake_seconds" = 10, 1 to 120;
        /// From the first byte of a request's head to its last.
        header "header_seconds" = 15, 1 to 600;
        /// A client's connection without any request.
        idle "idle_seconds" = 120, 1 to 86_400;
        /// A body, in either direction, without a byte moving. Event streams pause long.
        body_idle "body_idle_seconds" = 300, 1 to 86_400;
        /// A request from its head to the end of its response, whatever moves. Not tunnels.
        request "request_seconds" = 86_400, 1 to 2_592_000;
        /// A body that policy looks into, from its first byte to its last.
        inspect "inspect_seconds" = 120, 1 to 3_600;
        /// Resolving, connecting to and shaking hands with an origin.
        connect "connect_seconds" = 10, 1 to 300;
        /// From the end of a request to the head of its response. Models think long.
        upstream_header "upstream_header_seconds" = 600, 1 to 86_400;
        /// A WebSocket or other tunnel without a byte moving.
        tunnel_idle "tunnel_idle_seconds" = 900, 1 to 604_800;
        /// From SIGTERM, for which `/readyz` says so and all is served as before, until nothing new is taken: the time that balancers have. 0 where one host serves alone.
        drain_delay "drain_delay_seconds" = 5, 0 to 600;
        /// After that, to cutting what is still open; both together below the 30 seconds that Kubernetes gives.
        drain "drain_seconds" = 20, 1 to 3_600;
        /// A DNS connection (TCP) without a whole query, or that takes no answer.
        dns_idle "dns_idle_seconds" = 5, 1 to 600;
        /// A forwarded DNS question, all servers together.
        dns_forward "dns_forward_seconds" = 4, 1 to 60;
        /// An idle connection to an origin before it is closed.
        upstream_idle "upstream_idle_seconds" = 60, 1 to 3_600;
        /// How long a credential whose source fails keeps its last good value.
        credential_keep "credential_keep_seconds" = 86_400, 1 to 2_592_000;
        /// How long responses are still searched for a value after another one took its place.
        credential_replaced "credential_replaced_seconds" = 60, 1 to 86_400;
    }
}
