//! `listen` and `advertise`: where agents find the appliance.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use stubgate_policy::source::tree::{Node, Shape};

use super::codes;
use super::reader::{Map, Placed, Reader, values};

pub(super) const KEYS: &[&str] = &["dns", "http", "https", "proxy", "transparent", "admin"];
/// How a transparent listener is said to be one for TPROXY.
pub(super) const TPROXY: &str = "tproxy";

/// Addresses to listen on; a list that is empty is a door that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listen {
    /// DNS over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// Plain HTTP.
    pub http: Vec<SocketAddr>,
    /// TLS; the name comes from the ClientHello.
    pub https: Vec<SocketAddr>,
    /// CONNECT, absolute-form and SOCKS5 on one port.
    pub proxy: Vec<SocketAddr>,
    /// Connections that the system redirected (REDIRECT), TLS and plain HTTP.
    pub transparent: Vec<SocketAddr>,
    /// Connections that the system hands over as they are (TPROXY), likewise.
    pub tproxy: Vec<SocketAddr>,
    /// Metrics, health and readiness. Default `127.0.0.1:9090`.
    pub admin: Vec<SocketAddr>,
}

/// The appliance's addresses as agents see them, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertise {
    /// For A.
    pub v4: Vec<Ipv4Addr>,
    /// For AAAA.
    pub v6: Vec<Ipv6Addr>,
}

impl Listen {
    pub(super) fn read(reader: &mut Reader<'_>, root: Map<'_>) -> Self {
        let Some(node) =
            reader.required(root, "listen", "say where to listen, such as `listen: { proxy: [\"127.0.0.1:3128\"] }`")
        else {
            return Self::default();
        };
        let Some(section) = reader.map(node, KEYS) else {
            return Self::default();
        };
        // One list of all doors: two of them can't share a place, whatever they speak.
        let mut doors: Vec<Placed<(SocketAddr, &'static str)>> = Vec::new();
        for (key, port) in
            [("dns", 53), ("http", 80), ("https", 443), ("proxy", 3128), ("transparent", 15001), ("admin", 9090)]
        {
            let items = reader.list(section.get(key));
            for node in items {
                let (node, key) = match &node.shape {
                    Shape::Map(_) if key == "transparent" => match handed_over(reader, node) {
                        Some(node) => (node, TPROXY),
                        None => continue,
                    },
                    _ => (node, key),
                };
                if let Some(address) = reader.address(node, port) {
                    doors.push(Placed { value: (address, key), span: node.span.clone() });
                }
            }
        }
        let fixed = doors.iter().filter(|door| door.value.0.port() != 0);
        let fixed = fixed.map(|door| Placed { value: door.value.0, span: door.span.clone() }).collect();
        reader.once(fixed);

        let of = |wanted: &str| {
            let doors = doors.iter().filter(|door| door.value.1 == wanted);
            doors.map(|door| door.value.0).collect::<Vec<_>>()
        };
        let mut listen = Self {
            dns: of("dns"),
            http: of("http"),
            https: of("https"),
            proxy: of("proxy"),
            transparent: of("transparent"),
            tproxy: of(TPROXY),
            admin: of("admin"),
        };
        if section.get("admin").is_none() {
            listen.admin = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 9090))];
        }
        // What has the wrong shape has been reported, and is no empty house.
        let is_written = |key: &str| match section.get(key).map(|node| &node.shape) {
            Some(Shape::List(items)) => !items.is_empty(),
            Some(_) => true,
            None => false,
        };
        if !["dns", "http", "https", "proxy", "transparent"].into_iter().any(is_written) {
            let help = "give at least one of dns, http, https, proxy an address";
            reader.refuse(codes::NO_LISTENER, "there is nothing to listen on", &node.span, help);
        }
        listen
    }
}

impl Advertise {
    pub(super) fn read(reader: &mut Reader<'_>, root: Map<'_>, serves_dns: bool) -> Self {
        let help = "list the addresses under which agents reach stubgate, such as `advertise: [\"10.43.100.100\"]`";
        let Some(node) = root.get("advertise") else {
            if serves_dns {
                let message = "a DNS listener needs addresses to answer with, and `advertise` is missing";
                reader.refuse(codes::NO_ADVERTISE, message, &(root.span.start..root.span.start), help);
            }
            return Self::default();
        };
        let items = reader.list(Some(node));
        let read = items.iter().filter_map(|node| advertised(reader, node)).collect();
        let addresses = values(reader.once(read));
        if serves_dns && items.is_empty() {
            reader.refuse(codes::NO_ADVERTISE, "a DNS listener needs addresses to answer with", &node.span, help);
        }
        let mut advertise = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(address) => advertise.v4.push(address),
                IpAddr::V6(address) => advertise.v6.push(address),
            }
        }
        advertise
    }

    /// Whether an address is among them.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contains(&address),
            IpAddr::V6(address) => self.v6.contains(&address),
        }
    }
}

/// The address of `{ tproxy: ADDRESS }`.
fn handed_over<'n>(reader: &mut Reader<'_>, node: &'n Node) -> Option<&'n Node> {
    let map = reader.map(node, &[TPROXY])?;
    reader.required(map, TPROXY, "write `{ tproxy: \"0.0.0.0:15002\" }`, or the address alone for REDIRECT")
}

/// One address that a client can connect to.
fn advertised(reader: &mut Reader<'_>, node: &Node) -> Option<Placed<IpAddr>> {
    let text = reader.text(node)?;
    let refuse = |reader: &mut Reader<'_>, message: String, help: &str| {
        reader.refuse(codes::BAD_IP, message, &node.span, help);
    };
    let Ok(address) = text.parse::<IpAddr>() else {
        let help = match text.parse::<SocketAddr>() {
            Ok(address) => format!("leave the port out: `{}`", address.ip()),
            Err(_) => "write an IP address, such as `10.43.100.100`".to_owned(),
        };
        refuse(reader, format!("`{text}` is not an IP address"), &help);
        return None;
    };
    let unusable = match address {
        IpAddr::V4(address) => address.is_unspecified() || address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => {
            address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || address.to_ipv4_mapped().is_some()
        }
    };
    if unusable {
        let help = "write the address of an interface or service that agents can connect to";
        refuse(reader, format!("no agent can connect to `{text}`"), help);
        return None;
    }
    Some(Placed { value: address, span: node.span.clone() })
}
