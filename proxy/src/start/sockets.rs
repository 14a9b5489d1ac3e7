//! The sockets of an appliance: opened before there is a runtime and before the lock-down, because `listen` is no call of a
//! process that serves.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};

use anyhow::{Context, anyhow};
use stubgate_dns::{DnsConfig, DnsServer, ForwardZone, Transport};

use super::handed::{Handed, Kind};
use crate::client::Stamp;
use crate::config::Config;
use crate::listen::BACKLOG;
use crate::metrics::Listener;

/// The key of what is for operators.
const ADMIN: &str = "admin";

/// All of them.
pub(super) struct Sockets {
    pub(super) agents: Vec<(Listener, StdListener)>,
    pub(super) admin: Vec<StdListener>,
    pub(super) dns: Option<stubgate_dns::Bound>,
    /// Whether somebody else keeps all that agents connect to, so that nobody is refused while this process is not there.
    pub(super) all_handed: bool,
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
    /// What could not be opened, by its key; and what was handed over for nothing.
    pub(super) fn open(config: &Config, zones: &[ForwardZone], mut handed: Handed) -> anyhow::Result<Self> {
        let mut all_handed = !handed.is_empty();
        let mut tcp = |name: &str, address: SocketAddr| {
            let found = handed.take(name, Kind::Tcp, address);
            all_handed &= found.is_some() || name == ADMIN;
            found
        };
        let mut agents = Vec::new();
        for (listener, addresses) in [
            (Listener::Http, &config.listen.http),
            (Listener::Https, &config.listen.https),
            (Listener::Proxy, &config.listen.proxy),
            (Listener::Transparent, &config.listen.transparent),
        ] {
            for &address in addresses {
                let socket = match tcp(listener.as_str(), address) {
                    Some(socket) => socket.into(),
                    None => bind(address).with_context(|| format!("listen.{} {address}", listener.as_str()))?,
                };
                agents.push((listener, socket));
            }
        }
        for &address in &config.listen.tproxy {
            let given = tcp(Listener::Transparent.as_str(), address);
            let socket =
                bind_transparent(address, given).with_context(|| format!("listen.transparent tproxy {address}"))?;
            agents.push((Listener::Transparent, socket));
        }
        let mut admin = Vec::new();
        for &address in &config.listen.admin {
            admin.push(match tcp(ADMIN, address) {
                Some(socket) => socket.into(),
                None => bind(address).with_context(|| format!("listen.{ADMIN} {address}"))?,
            });
        }
        let dns = if config.listen.dns.is_empty() {
            None
        } else {
            Some(DnsServer::bind_unless(dns_config(config, zones.to_vec()), |transport, address| {
                let kind = match transport {
                    Transport::Udp => Kind::Udp,
                    Transport::Tcp => Kind::Tcp,
                };
                let found = handed.take("dns", kind, address);
                all_handed &= found.is_some();
                found
            })?)
        };
        handed.finish()?;
        Ok(Sockets { agents, admin, dns, all_handed, stamp: None })
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
fn bind_transparent(address: SocketAddr, given: Option<socket2::Socket>) -> anyhow::Result<StdListener> {
    let is_given = given.is_some();
    let socket = given.map_or_else(|| socket(address), Ok)?;
    let is_set = if address.is_ipv6() { socket.ip_transparent_v6() } else { socket.ip_transparent_v4() };
    if is_given && is_set? {
        return Ok(socket.into());
    }
    let set = if address.is_ipv6() { socket.set_ip_transparent_v6(true) } else { socket.set_ip_transparent_v4(true) };
    set.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied if is_given => anyhow!("it was handed over without what TPROXY takes; write Transparent=yes in its socket unit"),
        ErrorKind::PermissionDenied => {
            anyhow!("TPROXY takes the capability CAP_NET_ADMIN (or CAP_NET_RAW), which stubgate was not given; REDIRECT does without")
        }
        _ => error.into(),
    })?;
    Ok(if is_given { socket.into() } else { listening(socket, address)? })
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
