//! The sockets of an appliance: opened before there is a runtime and before the lock-down, because `listen` is no call of a
//! process that serves.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};

use anyhow::{Context, anyhow};
use stubgate_dns::{DnsConfig, DnsServer, ForwardZone};

use crate::client::Stamp;
use crate::config::Config;
use crate::metrics::Listener;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// All of them.
pub(super) struct Sockets {
    pub(super) agents: Vec<(Listener, StdListener)>,
    pub(super) admin: Vec<StdListener>,
    pub(super) dns: Option<stubgate_dns::Bound>,
    /// Whose all of them are, where it is one agent's; `dns` knows it already.
    pub(super) stamp: Option<Stamp>,
}

/// Where the appliance listens, as the system chose where port 0 was asked for.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// TLS.
    pub https: Vec<SocketAddr>,
    /// CONNECT, absolute-form and SOCKS5.
    pub proxy: Vec<SocketAddr>,
    /// Redirected connections; those for TPROXY after the others.
    pub transparent: Vec<SocketAddr>,
    /// Metrics.
    pub admin: Vec<SocketAddr>,
    /// DNS.
    pub dns: Vec<SocketAddr>,
}

impl Sockets {
    /// Opens what a configuration names.
    ///
    /// # Errors
    /// What could not be opened, by its key.
    pub(super) fn open(config: &Config, zones: &[ForwardZone]) -> anyhow::Result<Self> {
        let mut agents = Vec::new();
        for (listener, addresses) in [
            (Listener::Http, &config.listen.http),
            (Listener::Https, &config.listen.https),
            (Listener::Proxy, &config.listen.proxy),
            (Listener::Transparent, &config.listen.transparent),
        ] {
            for &address in addresses {
                agents.push((
                    listener,
                    bind(address).with_context(|| format!("listen.{} {address}", listener.as_str()))?,
                ));
            }
        }
        for &address in &config.listen.tproxy {
            let socket = bind_transparent(address).with_context(|| format!("listen.transparent tproxy {address}"))?;
            agents.push((Listener::Transparent, socket));
        }
        let mut admin = Vec::new();
        for &address in &config.listen.admin {
            admin.push(bind(address).with_context(|| format!("listen.admin {address}"))?);
        }
        let dns = if config.listen.dns.is_empty() {
            None
        } else {
            Some(DnsServer::bind(dns_config(config, zones.to_vec()))?)
        };
        Ok(Sockets { agents, admin, dns, stamp: None })
    }

    /// Where it listens.
    pub(super) fn addresses(&self) -> Addresses {
        let mut found = Addresses::default();
        for (listener, socket) in &self.agents {
            let of = match listener {
                Listener::Http => &mut found.http,
                Listener::Https => &mut found.https,
                Listener::Proxy => &mut found.proxy,
                Listener::Transparent => &mut found.transparent,
            };
            of.extend(socket.local_addr());
        }
        found.admin.extend(self.admin.iter().filter_map(|socket| socket.local_addr().ok()));
        if let Some(dns) = &self.dns {
            found.dns.extend(dns.local_addrs());
        }
        found
    }
}

/// Addresses as one field of a log line; a listener that is not there has none.
pub(super) fn listed(addresses: &[SocketAddr]) -> Option<String> {
    let all: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

fn socket(address: SocketAddr) -> std::io::Result<socket2::Socket> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM.nonblocking(), Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn listening(socket: socket2::Socket, address: SocketAddr) -> std::io::Result<StdListener> {
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind(address: SocketAddr) -> std::io::Result<StdListener> {
    listening(socket(address)?, address)
}

/// A socket that TPROXY can hand connections to whose destination is no address of ours.
fn bind_transparent(address: SocketAddr) -> anyhow::Result<StdListener> {
    let socket = socket(address)?;
    let set = if address.is_ipv6() { socket.set_ip_transparent_v6(true) } else { socket.set_ip_transparent_v4(true) };
    set.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            anyhow!("TPROXY takes the capability CAP_NET_ADMIN (or CAP_NET_RAW), which stubgate was not given; REDIRECT does without")
        }
        _ => error.into(),
    })?;
    Ok(listening(socket, address)?)
}

pub(super) fn dns_config(config: &Config, forward: Vec<ForwardZone>) -> DnsConfig {
    let v4 = config.advertise.v4.iter().copied().map(IpAddr::V4);
    DnsConfig {
        udp_and_tcp: config.listen.dns.clone(),
        advertise: v4.chain(config.advertise.v6.iter().copied().map(IpAddr::V6)).collect(),
        forward,
        queries_per_second: config.limits.dns_queries_per_second,
        burst: config.limits.dns_burst,
        forward_timeout: config.timeouts.dns_forward,
        tcp_connections_per_agent: config.limits.dns_connections_per_agent,
        tcp_idle: config.timeouts.dns_idle,
        max_forwards: config.limits.dns_forwards,
        ..DnsConfig::default()
    }
}
