//! `upstream` and `dns`: how origins are found, reached and trusted.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use stubgate_policy::source::tree::{Entry, Node};
use stubgate_policy::{Authority, Host, Name, Scheme};

use super::reader::{Map, Placed, Reader, values};
use super::{Advertise, Forward, Listen, codes};
use crate::guard::{PrivateGrant, private_range};

pub(super) const KEYS: &[&str] = &["nameservers", "ca_files", "connect_to", "allow_private"];
pub(super) const FORWARD_KEYS: &[&str] = &["zones", "to"];
pub(super) const GRANT_KEYS: &[&str] = &["hosts", "networks"];

/// How origins are found, reached and trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Servers for names outside the forwarded zones; none means the system's.
    pub nameservers: Vec<SocketAddr>,
    /// PEM files of roots that are trusted besides the system's.
    pub ca_files: Vec<PathBuf>,
    /// Host and port, and the address that is dialled in their place.
    pub connect_to: Vec<((Host, u16), SocketAddr)>,
    /// Hosts that may be at private addresses.
    pub allow_private: Vec<PrivateGrant>,
}

/// What must not be a server to ask: the appliance itself.
pub(super) struct Own<'a> {
    pub(super) listen: &'a Listen,
    pub(super) advertise: &'a Advertise,
}

impl Own<'_> {
    fn answers_at(&self, server: SocketAddr) -> bool {
        let port = |own: &SocketAddr| own.port() == server.port();
        self.listen.dns.contains(&server)
            || self.advertise.contains(server.ip()) && self.listen.dns.iter().any(port)
            || server.ip().is_loopback() && self.listen.dns.iter().any(|own| port(own) && own.ip().is_unspecified())
    }
}

impl Upstream {
    pub(super) fn read(reader: &mut Reader<'_>, section: Map<'_>, own: &Own<'_>) -> Self {
        let nameservers = servers(reader, section.get("nameservers"), own);
        let ca_files = reader.list(section.get("ca_files"));
        let ca_files = ca_files.iter().filter_map(|node| reader.path(node)).collect();
        let connect_to = section.get("connect_to").and_then(|node| reader.open_map(node)).unwrap_or(Map::EMPTY);
        let connect_to = connect_to.entries().iter().filter_map(|entry| fixed(reader, entry)).collect();
        let connect_to = once_each(reader, connect_to);
        let grants = reader.list(section.get("allow_private"));
        let allow_private = grants.iter().filter_map(|node| grant(reader, node)).collect();
        Self { nameservers, ca_files, connect_to, allow_private }
    }
}

impl Forward {
    pub(super) fn read_all(reader: &mut Reader<'_>, section: Map<'_>, own: &Own<'_>) -> Vec<Self> {
        let mut all = Vec::new();
        let mut zones: Vec<Placed<Name>> = Vec::new();
        for node in reader.list(section.get("forward")) {
            let Some(entry) = reader.map(node, FORWARD_KEYS) else {
                continue;
            };
            let items = reader.full_list(entry, "zones", "name the zones, such as `zones: [\"cluster.local\"]`");
            let named: Vec<Placed<Name>> = items.iter().filter_map(|node| zone(reader, node)).collect();
            reader.full_list(entry, "to", "name the servers, such as `to: [\"10.43.0.10:53\"]`");
            let to = servers(reader, entry.get("to"), own);
            zones.extend(named.iter().cloned());
            all.push(Self { zones: values(named), to });
        }
        reader.once(zones);
        all
    }
}

fn servers(reader: &mut Reader<'_>, node: Option<&Node>, own: &Own<'_>) -> Vec<SocketAddr> {
    let items = reader.list(node);
    let read = reader.addresses(items, 53);
    for server in &read {
        if server.value.port() == 0 || server.value.ip().is_unspecified() {
            let message = format!("no server answers at `{}`", server.value);
            reader.refuse(codes::BAD_ADDRESS, message, &server.span, "write the address and port of a DNS server");
        } else if own.answers_at(server.value) {
            let message =
                format!("`{}` is stubgate's own DNS listener: questions would go round in circles", server.value);
            reader.refuse(codes::LOOP, message, &server.span, "write the address of another DNS server");
        }
    }
    values(read)
}

fn zone(reader: &mut Reader<'_>, node: &Node) -> Option<Placed<Name>> {
    let text = reader.text(node)?;
    match Name::parse_policy(text) {
        Ok(value) => Some(Placed { value, span: node.span.clone() }),
        Err(error) => {
            let help = "write a zone without wildcard; all names below it belong to it, such as `cluster.local`";
            reader.refuse(codes::BAD_ZONE, format!("`{text}` is not a DNS zone: {error}"), &node.span, help);
            None
        }
    }
}

type Fixed = ((Host, u16), SocketAddr);

fn fixed(reader: &mut Reader<'_>, entry: &Entry) -> Option<(Placed<(Host, u16)>, SocketAddr)> {
    let address = reader.address(&entry.value, 443);
    if let Some(address) = address
        && (address.port() == 0 || address.ip().is_unspecified())
    {
        let message = format!("nothing can be dialled at `{address}`");
        reader.refuse(codes::BAD_ADDRESS, message, &entry.value.span, "write the address and port to connect to");
    }
    let has_port = entry.key.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    let help = if has_port {
        "write an exact host and its port, such as `api.github.com:443`".to_owned()
    } else {
        format!("add the port: `{}:443`", entry.key)
    };
    match Authority::parse(Scheme::Https, entry.key.as_bytes()) {
        Ok(authority) if has_port => {
            let key = (authority.host().clone(), authority.port());
            Some((Placed { value: key, span: entry.span.clone() }, address?))
        }
        Ok(_) => {
            let message = format!("`{}` has no port", entry.key);
            reader.refuse(codes::BAD_AUTHORITY, message, &entry.span, help);
            None
        }
        Err(error) => {
            let message = format!("`{}` is not a host with a port: {error}", entry.key);
            reader.refuse(codes::BAD_AUTHORITY, message, &entry.span, help);
            None
        }
    }
}

fn once_each(reader: &mut Reader<'_>, all: Vec<(Placed<(Host, u16)>, SocketAddr)>) -> Vec<Fixed> {
    let keys = all.iter().map(|(key, _)| key.clone()).collect();
    reader.once(keys);
    all.into_iter().map(|(key, address)| (key.value, address)).collect()
}

fn grant(reader: &mut Reader<'_>, node: &Node) -> Option<PrivateGrant> {
    let entry = reader.map(node, GRANT_KEYS)?;
    let hosts = reader.full_list(entry, "hosts", "name the hosts, such as `hosts: [registry.corp.example]`");
    let hosts = hosts.iter().filter_map(|node| host(reader, node)).collect();
    let networks = reader.full_list(entry, "networks", "name the networks, such as `networks: [\"10.1.2.0/24\"]`");
    let networks = networks.iter().filter_map(|node| network(reader, node)).collect();
    let (hosts, networks) = (values(reader.once(hosts)), values(reader.once(networks)));
    Some(PrivateGrant { hosts, networks })
}

fn host(reader: &mut Reader<'_>, node: &Node) -> Option<Placed<Host>> {
    let text = reader.text(node)?;
    let parsed =
        Host::parse(text.as_bytes()).or_else(|error| Name::parse_policy(text).map(Host::Name).map_err(|_| error));
    match parsed {
        Ok(value) => Some(Placed { value, span: node.span.clone() }),
        Err(error) => {
            let help = if text.contains('*') {
                "name each host: a wildcard would let whoever controls its DNS choose a neighbour"
            } else {
                "write an exact name, or an IP address, without scheme and port"
            };
            reader.refuse(codes::BAD_HOST, format!("`{text}` is not an exact host: {error}"), &node.span, help);
            None
        }
    }
}

fn network(reader: &mut Reader<'_>, node: &Node) -> Option<Placed<IpNet>> {
    let text = reader.text(node)?;
    let Ok(network) = text.parse::<IpNet>() else {
        let help = match text.parse::<IpAddr>() {
            Ok(address) => format!("for one address write `{}`", IpNet::from(address)),
            Err(_) => "write a network, such as `10.1.2.0/24`".to_owned(),
        };
        reader.refuse(codes::BAD_NETWORK, format!("`{text}` is not a network"), &node.span, help);
        return None;
    };
    let whole = network.trunc();
    if whole != network {
        let message = format!("`{text}` has bits set beyond its prefix");
        reader.refuse(
            codes::BAD_NETWORK,
            message,
            &node.span,
            format!("write `{whole}`, or `{}` for the one address", IpNet::from(network.addr())),
        );
        return None;
    }
    if private_range(&network).is_none() {
        let help = "only private ranges need a grant, and only they can have one: parts of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7; loopback, link-local and metadata addresses are never dialled (see `connect_to`)";
        reader.refuse(codes::NOT_PRIVATE, format!("`{text}` is not within a private range"), &node.span, help);
        return None;
    }
    Some(Placed { value: network, span: node.span.clone() })
}
