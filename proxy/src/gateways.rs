//! Peers whose address is a node's or a gateway's: a sign that something on the way replaces the addresses of agents by its
//! own (source NAT), so that all of them look like one.
//!
//! It only counts and tells; nobody is refused or allowed because of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Connections of one address within [`WINDOW`] that are more than chance.
const MANY: u32 = 10;
/// How long a connection counts.
const WINDOW: Duration = Duration::from_secs(600);
/// Addresses that are counted at a time (law 7).
const MOST: usize = 64;

/// Counts connections from addresses that no agent should have.
pub struct Gateways {
    own: BTreeSet<IpAddr>,
    seen: Mutex<BTreeMap<IpAddr, Seen>>,
}

#[derive(Clone, Copy)]
struct Seen {
    since: Instant,
    count: u32,
    is_told: bool,
}

impl Gateways {
    /// Knows the gateways that this machine's routes name now.
    pub fn of_this_machine() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let v4 = routes_v4(&read("/proc/net/route"));
        let v6 = routes_v6(&read("/proc/net/ipv6_route"));
        Gateways::new(v4.into_iter().map(IpAddr::V4).chain(v6.into_iter().map(IpAddr::V6)))
    }

    /// Knows these.
    pub fn new(own: impl Iterator<Item = IpAddr>) -> Self {
        Gateways { own: own.collect(), seen: Mutex::default() }
    }

    /// A connection came; `is_node` says that its address is a node's. Whether it is one that is counted.
    pub fn saw(&self, address: IpAddr, is_node: bool, now: Instant) -> bool {
        let address = address.to_canonical();
        if !is_node && !self.own.contains(&address) {
            return false;
        }
        let mut seen = self.seen();
        seen.retain(|_, seen| now.saturating_duration_since(seen.since) < WINDOW);
        if seen.len() >= MOST && !seen.contains_key(&address) {
            return true;
        }
        let entry = seen.entry(address).or_insert(Seen { since: now, count: 0, is_told: false });
        entry.count = entry.count.saturating_add(1);
        if entry.count >= MANY && !entry.is_told {
            entry.is_told = true;
            tracing::warn!(
                %address,
                "many connections come from the address of a node or gateway: source NAT makes all agents behind it one"
            );
        }
        true
    }

    /// Addresses that many connections came from lately, and how many.
    pub fn many(&self, now: Instant) -> Vec<(IpAddr, u32)> {
        let seen = self.seen();
        let lately = seen.iter().filter(|(_, seen)| now.saturating_duration_since(seen.since) < WINDOW);
        lately.filter(|(_, seen)| seen.count >= MANY).map(|(address, seen)| (*address, seen.count)).collect()
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gateways of `/proc/net/route`: hexadecimal, in the byte order of the machine.
fn routes_v4(text: &str) -> Vec<Ipv4Addr> {
    let gateway = |line: &str| {
        let field = line.split_ascii_whitespace().nth(2)?;
        let number = u32::from_str_radix(field, 16).ok().filter(|number| *number != 0)?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    text.lines().skip(1).filter_map(gateway).collect()
}

/// Next hops of `/proc/net/ipv6_route`.
fn routes_v6(text: &str) -> Vec<Ipv6Addr> {
    let hop = |line: &str| {
        let field = line.split_ascii_whitespace().nth(4)?;
        u128::from_str_radix(field, 16).ok().filter(|number| *number != 0).map(Ipv6Addr::from_bits)
    };
    text.lines().filter_map(hop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_read_from_the_routes_of_the_machine() {
        let number = u32::from_ne_bytes([10, 0, 0, 1]);
        let text = format!(
            "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t{number:08X}\t0003\t0\neth0\t0000000A\t00000000\t0001\n"
        );
        assert_eq!(routes_v4(&text), [Ipv4Addr::new(10, 0, 0, 1)]);
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 eth0\n\
                  fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 eth0\n";
        assert_eq!(routes_v6(v6), ["fe80::1".parse::<Ipv6Addr>().unwrap()]);
        assert!(routes_v4("").is_empty() && routes_v6("x").is_empty());
    }

    #[test]
    fn many_connections_from_a_gateway_or_node_are_told_and_others_are_not() {
        let (now, gateway, node) = (Instant::now(), IpAddr::from([10, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let gateways = Gateways::new([gateway].into_iter());
        for _ in 0..MANY - 1 {
            assert!(gateways.saw(gateway, false, now) && gateways.saw(node, true, now));
        }
        assert!(gateways.many(now).is_empty());
        assert!(gateways.saw(gateway, false, now));
        assert!(!gateways.saw(IpAddr::from([10, 0, 0, 7]), false, now));
        assert_eq!(gateways.many(now), [(gateway, MANY)]);
        assert!(gateways.many(now + WINDOW).is_empty());
    }

    #[test]
    fn no_more_addresses_are_counted_than_there_is_room_for() {
        let now = Instant::now();
        let gateways = Gateways::new(std::iter::empty());
        for last in 0..=255 {
            gateways.saw(IpAddr::from([192, 0, 2, last]), true, now);
        }
        assert_eq!(gateways.seen().len(), MOST);
    }
}
