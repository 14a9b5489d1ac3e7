//! All that becomes `stubgate.yaml`: listeners, DNS, certificates, times.

use std::net::{IpAddr, SocketAddr};

use super::super::{Kind, Notes};
use super::grants::place;
use super::matching::Host;
use super::unknown;
use crate::source::tree::{Entry, Node};

/// What of it has an equivalent.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) dns: Option<SocketAddr>,
    pub(super) http: Option<SocketAddr>,
    pub(super) https: Option<SocketAddr>,
    pub(super) proxy: Option<SocketAddr>,
    pub(super) admin: Option<SocketAddr>,
    pub(super) advertise: Option<IpAddr>,
    pub(super) nameserver: Option<SocketAddr>,
    /// Zones that are asked of the nameserver, and what of them.
    pub(super) forward: Vec<Host>,
    pub(super) ca: Option<(String, String)>,
    pub(super) minted: Option<u64>,
    pub(super) header_seconds: Option<u64>,
    no_dns: bool,
}

pub(super) fn read(entry: &Entry, into: &mut Settings, notes: &mut Notes<'_>) {
    let node = &entry.value;
    match entry.key.as_str() {
        "dns" => dns(node, into, notes),
        "proxy" => proxy(node, into, notes),
        "tls" => tls(node, into, notes),
        "metrics" => {
            into.admin = address(node, "listen", notes);
            unknown(node, &["listen"], notes);
        }
        "log" => notes.add(Kind::Changed, &entry.span, "the level of logs is set by STUBGATE_LOG; records are `audit`"),
        "management" => notes.add(Kind::Changed, &entry.span, "policy and credentials are read again when their files change, or on SIGHUP"),
        "mcp" => {
            let text = "tools of MCP servers are not told apart: what `mcp` refuses is allowed where its host is; limit the paths, or leave the host out";
            notes.add(Kind::Wider, &entry.span, text);
        }
        "mcp_gateway" => notes.add(Kind::Missing, &entry.span, "requests are never sent to another host than the one they name: let agents use the server's own name, and a stub"),
        "postgres" => notes.add(Kind::Missing, &entry.span, "only HTTP is spoken: a bridge to a database runs as a workload of its own"),
        _ => other_part(entry, notes),
    }
}

/// A part of the file that is not known here may be one that refuses.
fn other_part(entry: &Entry, notes: &mut Notes<'_>) {
    let text = format!("`{}` is not known here; if it refuses requests, they are allowed now", entry.key);
    notes.add(Kind::Wider, &entry.span, text);
}

/// What the original fills in by itself.
pub(super) fn finish(root: &Node, into: &mut Settings, notes: &mut Notes<'_>) {
    let any = |port: u16| Some(SocketAddr::from(([0, 0, 0, 0], port)));
    into.http = into.http.or(any(80));
    into.https = into.https.or(any(443));
    if into.no_dns {
        into.dns = None;
    } else {
        into.dns = into.dns.or(any(53));
    }
    if into.advertise.is_none() && into.dns.is_some() {
        into.advertise = Some(IpAddr::from([192, 0, 2, 53]));
        notes.general(
            Kind::Changed,
            "no `dns.proxy_ip`: write the address of stubgate under `advertise` instead of 192.0.2.53",
        );
    }
    if let Some(passthrough) = root.get("dns").and_then(|dns| dns.get("passthrough"))
        && into.nameserver.is_none()
        && !into.forward.is_empty()
    {
        into.forward.clear();
        let text = "these names are asked of the system's resolver there; here `dns.forward` must say whom to ask, and policy who may (`dns:`)";
        notes.add(Kind::Missing, &passthrough.span, text);
    }
}

fn dns(node: &Node, into: &mut Settings, notes: &mut Notes<'_>) {
    unknown(node, &["enabled", "listen", "proxy_ip", "upstream_resolver", "passthrough", "records"], notes);
    into.no_dns = node.get("enabled").is_some() && !node.is_true("enabled");
    into.dns = address(node, "listen", notes);
    into.nameserver = address(node, "upstream_resolver", notes);
    if let Some(text) = node.text_of("proxy_ip") {
        match text.parse() {
            Ok(ip) => into.advertise = Some(ip),
            Err(_) => notes.add(Kind::Missing, place(node, "proxy_ip"), format!("`{text}` is no address")),
        }
    }
    for item in node.get("passthrough").map(Node::items).unwrap_or_default() {
        match Host::parse(item.text().unwrap_or_default()) {
            Ok(host) if host.written().iter().any(|name| name.parse::<IpAddr>().is_ok() || name.starts_with('[')) => {
                notes.add(Kind::Missing, &item.span, "an address is no name that can be forwarded");
            }
            Ok(host @ (Host::Exact(_) | Host::Under(_))) => {
                if into.nameserver.is_some() {
                    let text = "answered by the zone's servers, and its traffic does not pass stubgate, so that the agent's network must let it through; a rule for it would win";
                    notes.add(Kind::Changed, &item.span, text);
                }
                into.forward.push(host);
            }
            Ok(Host::Every) => notes.add(Kind::Missing, &item.span, "`*`: not every name is forwarded"),
            Err(why) => notes.add(Kind::Missing, &item.span, why),
        }
    }
    if node.get("records").is_some_and(|records| !records.is_empty()) {
        let text =
            "DNS answers with stubgate's own address only: for an origin at a fixed address use `upstream.connect_to`";
        notes.add(Kind::Missing, place(node, "records"), text);
    }
}

fn proxy(node: &Node, into: &mut Settings, notes: &mut Notes<'_>) {
    const KNOWN: &[&str] = &[
        "http_listen",
        "https_listen",
        "tunnel_listen",
        "max_request_body_bytes",
        "max_response_body_bytes",
        "upstream_response_header_timeout",
        "upstream_deny_cidrs",
        "upstream_proxy",
    ];
    unknown(node, KNOWN, notes);
    into.http = address(node, "http_listen", notes);
    into.https = address(node, "https_listen", notes);
    into.proxy = address(node, "tunnel_listen", notes);
    for key in ["max_request_body_bytes", "max_response_body_bytes"] {
        if node.get(key).is_some() {
            notes.add(
                Kind::Changed,
                place(node, key),
                format!("`{key}`: bodies are streamed and never buffered, so that there is nothing to limit"),
            );
        }
    }
    if let Some(text) = node.text_of("upstream_response_header_timeout") {
        into.header_seconds = seconds(text).filter(|seconds| (1..=86_400).contains(seconds));
        if into.header_seconds.is_none() {
            notes.add(
                Kind::Missing,
                place(node, "upstream_response_header_timeout"),
                format!("`{text}` is no time of 1 second to 1 day"),
            );
        }
    }
    if let Some(list) = node.get("upstream_deny_cidrs") {
        let text = "only public addresses are dialled: open private networks by host with `upstream.allow_private`; metadata services and the appliance itself are never dialled";
        notes.add(Kind::Narrower, place(node, "upstream_deny_cidrs"), text);
        for item in list.items() {
            let net: Option<ipnet::IpNet> = item.text().and_then(|text| text.parse().ok());
            if net.is_some_and(is_public) {
                let text = format!(
                    "{} was never dialled; here public networks can't be closed",
                    item.text().unwrap_or_default()
                );
                notes.add(Kind::Wider, &item.span, text);
            }
        }
    }
    if node.get("upstream_proxy").is_some_and(|proxy| !proxy.is_empty()) {
        notes.add(
            Kind::Missing,
            place(node, "upstream_proxy"),
            "origins are dialled directly: another proxy in between has no equivalent",
        );
    }
}

/// Whether some of a network is not closed by itself.
fn is_public(net: ipnet::IpNet) -> bool {
    let closed = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "0.0.0.0/8",
        "224.0.0.0/3",
        "fc00::/7",
        "fe80::/10",
        "::1/128",
        "ff00::/8",
    ];
    !closed.iter().filter_map(|text| text.parse::<ipnet::IpNet>().ok()).any(|closed| closed.contains(&net))
}

fn tls(node: &Node, into: &mut Settings, notes: &mut Notes<'_>) {
    unknown(node, &["mode", "ca_cert", "ca_key", "cert_cache_size", "leaf_cert_expiry_hours"], notes);
    if node.text_of("mode") == Some("sni-only") {
        let text =
            "TLS is always ended here: agents must trust the authority (`stubgate ca bundle`), and heads are read";
        notes.add(Kind::Changed, place(node, "mode"), text);
    } else if let (Some(certificate), Some(key)) = (node.text_of("ca_cert"), node.text_of("ca_key")) {
        if !(certificate.starts_with('/') && key.starts_with('/')) {
            notes.add(Kind::Changed, place(node, "ca_cert"), "relative paths start at the folder of stubgate.yaml");
        }
        into.ca = Some((certificate.to_owned(), key.to_owned()));
    }
    into.minted =
        node.text_of("cert_cache_size").and_then(|text| text.parse().ok()).filter(|n| (1..=10_000_000).contains(n));
    if node.get("leaf_cert_expiry_hours").is_some() {
        notes.add(
            Kind::Changed,
            place(node, "leaf_cert_expiry_hours"),
            "how long a minted certificate lasts is not set",
        );
    }
}

/// `:53` is every address there; of those, IPv4 here.
fn address(node: &Node, key: &str, notes: &mut Notes<'_>) -> Option<SocketAddr> {
    let text = node.text_of(key).filter(|text| !text.is_empty())?;
    let whole =
        if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.replacen("localhost:", "127.0.0.1:", 1) };
    let parsed = whole.parse().ok();
    if parsed.is_none() {
        notes.add(Kind::Missing, place(node, key), format!("`{text}` is no address with a port"));
    }
    parsed
}

/// `1h2m3s`, in whole seconds, rounded up.
fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|char: char| !char.is_ascii_digit())?;
        let (number, after) = rest.split_at_checked(end)?;
        let (unit, after) =
            after.split_at_checked(after.find(|char: char| char.is_ascii_digit()).unwrap_or(after.len()))?;
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        millis = millis.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = after;
    }
    (millis > 0).then_some(millis.div_ceil(1_000))
}
