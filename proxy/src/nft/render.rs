//! The text of the rules.

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Destination, Doors, Family, Fence, Interface, Place, Ports};

const HEAD: &str = "\
# Made by `stubgate nft`. Load with `nft --file`; loading it again replaces it. docs/nft.md says what it does beside other rules.
";

pub(super) fn rules(fence: &Fence) -> String {
    let mut text = HEAD.to_owned();
    for interface in &fence.interfaces {
        text.push_str(&internet(fence, interface));
        if interface.is_bridge {
            text.push_str(&between_ports(fence, interface));
        }
    }
    text
}

/// What is addressed to the host, and what it would route.
fn internet(fence: &Fence, interface: &Interface) -> String {
    let (name, doors) = (&interface.name, &fence.doors);
    let mut agents = Vec::new();
    // Before their sources are looked at: who finds out whether an address is free has none yet.
    if fence.place == Place::Host && doors.speaks_v6() {
        agents.push("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept".to_owned());
    }
    agents.extend(sources(&fence.subnets));
    agents.push("ct state established ct direction reply accept comment \"what the host began\"".to_owned());
    let mut forward = vec![format!("iifname != \"{name}\" oifname != \"{name}\" accept")];
    match fence.place {
        Place::Host => {
            agents.extend(doors.open.iter().flat_map(|(to, ports)| reaching(*to, ports)));
            let redirected = |(_, port): &(Family, u16)| format!("tcp dport {port} ct status dnat accept");
            agents.extend(doors.redirected.iter().map(redirected).collect::<BTreeSet<_>>());
        }
        // Where br_netfilter shows the host what passes between two ports.
        Place::Bridge => {
            let within = |rule: String| format!("iifname \"{name}\" oifname \"{name}\" {rule}");
            forward.extend(sources(&fence.subnets).into_iter().map(|rule| format!("iifname \"{name}\" {rule}")));
            forward.extend(both_ways(doors).map(within));
        }
    }
    agents.push("counter reject with icmpx admin-prohibited".to_owned());
    forward.push(format!("iifname \"{name}\" counter reject with icmpx admin-prohibited"));
    forward.push("counter drop".to_owned());

    let input = vec![format!("iifname \"{name}\" jump agents")];
    let mut chains = Vec::new();
    if fence.place == Place::Host && !doors.redirected.is_empty() {
        chains.push(("redirected", Some("nat hook prerouting priority dstnat - 10"), redirects(doors, name)));
    }
    chains.push(("agents", None, agents));
    chains.push(("input", Some("filter hook input priority filter - 10"), input));
    chains.push(("forward", Some("filter hook forward priority filter - 10"), forward));
    table("inet", &interface.table(), &chains)
}

/// What one container sends to another over the bridge, which the host's own rules never see.
fn between_ports(fence: &Fence, interface: &Interface) -> String {
    let mut forward = vec![format!("meta ibrname != \"{}\" accept", interface.name)];
    if fence.place == Place::Bridge {
        let addresses = fence.doors.open.keys().filter_map(|destination| match destination {
            Destination::Address(IpAddr::V4(address)) => Some(*address),
            Destination::Address(IpAddr::V6(_)) | Destination::Local(_) => None,
        });
        let addresses: BTreeSet<_> = addresses.collect();
        if !addresses.is_empty() {
            forward.push(format!("arp daddr ip {} accept", set(&addresses)));
            forward.push(format!("arp saddr ip {} accept", set(&addresses)));
        }
        if fence.doors.speaks_v6() {
            forward.push("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept".to_owned());
        }
        forward.extend(sources(&fence.subnets));
        forward.extend(both_ways(&fence.doors));
    }
    forward.push("counter drop".to_owned());
    table("bridge", &interface.table(), &[("forward", Some("filter hook forward priority filter - 10"), forward)])
}

/// A table that takes the place of its former self in the transaction that it is loaded in.
fn table(family: &str, name: &str, chains: &[(&str, Option<&str>, Vec<String>)]) -> String {
    let mut text = format!("\ntable {family} {name}\ndelete table {family} {name}\ntable {family} {name} {{\n");
    for (number, (chain, hook, rules)) in chains.iter().enumerate() {
        let gap = if number > 0 { "\n" } else { "" };
        // Writing to a String can't fail.
        let _ = writeln!(text, "{gap}    chain {chain} {{");
        if let Some(hook) = hook {
            let _ = writeln!(text, "        type {hook}; policy accept");
        }
        for rule in rules {
            let _ = writeln!(text, "        {rule}");
        }
        text.push_str("    }\n");
    }
    text.push_str("}\n");
    text
}

/// Drops what has an address that no container may have.
fn sources(subnets: &[IpNet]) -> Vec<String> {
    if subnets.is_empty() {
        return Vec::new();
    }
    let of = |family: Family, word: &str, nfproto: &str| {
        let subnets: BTreeSet<String> = subnets
            .iter()
            .filter(|subnet| Family::of(subnet.addr()) == family)
            .map(|subnet| subnet.trunc().to_string())
            .collect();
        match subnets.is_empty() {
            true => format!("meta protocol {nfproto} counter drop"),
            false => format!("{word} saddr != {} counter drop", set(&subnets)),
        }
    };
    vec![of(Family::V4, "ip", "ip"), of(Family::V6, "ip6", "ip6")]
}

/// What is addressed to stubgate.
fn reaching(to: Destination, ports: &Ports) -> Vec<String> {
    let address = match to {
        Destination::Address(address) => format!("{} daddr {address}", word(Family::of(address))),
        Destination::Local(Family::V4) => "meta nfproto ipv4 fib daddr . iif type local".to_owned(),
        Destination::Local(Family::V6) => "meta nfproto ipv6 fib daddr . iif type local".to_owned(),
    };
    by_port(&address, "dport", ports)
}

/// What passes between containers and a stubgate that is one of them.
fn both_ways(doors: &Doors) -> impl Iterator<Item = String> {
    doors.open.iter().flat_map(|(to, ports)| match to {
        Destination::Address(address) => {
            let word = word(Family::of(*address));
            let there = by_port(&format!("{word} daddr {address}"), "dport", ports);
            let back = by_port(&format!("{word} saddr {address}"), "sport", ports);
            [there, back].concat()
        }
        // Refused before anything is rendered.
        Destination::Local(_) => Vec::new(),
    })
}

fn by_port(address: &str, port: &str, ports: &Ports) -> Vec<String> {
    let of = |(protocol, ports): (&str, &BTreeSet<u16>)| {
        (!ports.is_empty()).then(|| format!("{address} {protocol} {port} {} accept", set(ports)))
    };
    [("tcp", &ports.tcp), ("udp", &ports.udp)].into_iter().filter_map(of).collect()
}

/// Web traffic to elsewhere, for agents that know of no proxy.
fn redirects(doors: &Doors, name: &str) -> Vec<String> {
    let rule = |(family, port): &(Family, u16)| {
        let family = match family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        format!(
            "iifname \"{name}\" meta nfproto {family} fib daddr type != local tcp dport {{ 80, 443 }} redirect to :{port}"
        )
    };
    doors.redirected.iter().map(rule).collect()
}

const fn word(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

fn set<T: Display>(items: &BTreeSet<T>) -> String {
    let items: Vec<String> = items.iter().map(T::to_string).collect();
    format!("{{ {} }}", items.join(", "))
}
