//! What the server is built from. Nothing here opens a socket.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use stubgate_policy::Name;

/// Settings of a [`crate::DnsServer`].
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Addresses that are served over UDP and TCP. Port 0 is one port chosen by the system for both.
    pub udp_and_tcp: Vec<SocketAddr>,
    /// The appliance's addresses, given for every allowed host.
    pub advertise: Vec<IpAddr>,
    /// How long a client may keep an advertised address.
    pub ttl_seconds: u32,
    /// Where questions go that policy's `dns:` entries grant.
    pub forward: Vec<ForwardZone>,
    /// Questions of one agent that are answered in the long run; all unknown sources together count as one agent.
    pub queries_per_second: u32,
    /// Questions of one agent that may come at once.
    pub burst: u32,
    /// Open TCP connections of one agent.
    pub tcp_connections_per_agent: usize,
    /// How long a TCP client may take for a whole question, or for taking an answer.
    pub tcp_idle: Duration,
    /// How long a forwarded question may take in all.
    pub forward_timeout: Duration,
    /// Forwarded questions under way at once. One agent gets a quarter of them at most.
    pub max_forwards: usize,
}

/// The servers of some zones.
#[derive(Clone, Debug)]
pub struct ForwardZone {
    /// The zones' names; each covers itself and all below it. The longest zone of all entries wins.
    pub zones: Vec<Name>,
    /// Their servers, asked in this order.
    pub to: Vec<SocketAddr>,
}

impl Default for DnsConfig {
    fn default() -> Self {
        DnsConfig {
            udp_and_tcp: Vec::new(),
            advertise: Vec::new(),
            ttl_seconds: 60,
            forward: Vec::new(),
            queries_per_second: 500,
            burst: 1000,
            tcp_connections_per_agent: 16,
            tcp_idle: Duration::from_secs(5),
            forward_timeout: Duration::from_secs(3),
            max_forwards: 256,
        }
    }
}
