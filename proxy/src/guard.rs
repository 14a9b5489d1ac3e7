//! The addresses that may be dialled.
//!
//! A name that policy allows may still resolve to anything: to this machine, to a neighbour, to a cloud's metadata
//! service. [`Guard::vet`] is the only maker of a [`VettedAddr`], and a connection can be opened to nothing else, so the
//! address that was checked is the one that is dialled (TOCTOU, IP-09).
//!
//! Allowed is what is global unicast, not what is missing from a list of bad ranges: an IPv6 address outside 2000::/3
//! is refused without being known. IPv4 addresses inside IPv6 ones are taken out and checked too. One refused address
//! refuses the whole answer (DN-09): picking the good ones would let a resolver answer steer the choice.
//!
//! Pure: it resolves and dials nothing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use stubgate_policy::{Authority, Host};

/// An address that [`Guard::vet`] has passed. There is no other way to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VettedAddr(SocketAddr);

impl VettedAddr {
    /// Where to connect to; an IPv4 address is never in its IPv6-mapped form.
    pub fn get(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for VettedAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Hosts that may be at private addresses, and the networks that they may be in. Both must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivateGrant {
    /// Exact hosts.
    pub hosts: Vec<Host>,
    /// Parts of private ranges; see [`private_range`].
    pub networks: Vec<IpNet>,
}

/// Why an answer is refused. The address is for the record, never for the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}", Suffix(*address))]
pub struct GuardDenial {
    /// The first address that was refused; none where there was none to vet.
    pub address: Option<IpAddr>,
    /// What is wrong with it.
    pub why: Why,
}

/// What is wrong with an address: a closed set, fit for records and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The name has no address.
    NoAddress,
    /// The appliance itself.
    Own,
    /// A cloud's metadata or credential service.
    Metadata,
    /// A private address that no `allow_private` entry names for this host.
    Private,
    /// Loopback, link-local, multicast, reserved, a transition mechanism: nothing that is ever dialled.
    Special,
}

impl Why {
    /// As it stands in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoAddress => "no_address",
            Self::Own => "own_address",
            Self::Metadata => "metadata_address",
            Self::Private => "private_address",
            Self::Special => "special_address",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

struct Suffix(Option<IpAddr>);

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| write!(f, " {address}"))
    }
}

/// Decides which addresses may be dialled for an authority.
#[derive(Debug, Default)]
pub struct Guard {
    own: HashSet<IpAddr>,
    private: HashMap<Host, Vec<IpNet>>,
    fixed: HashMap<(Host, u16), SocketAddr>,
}

impl Guard {
    /// `own_addresses` are all addresses of this machine and those that it advertises. `connect_to` maps a host and
    /// port to the address that is dialled in its place.
    pub fn new(
        own_addresses: Vec<IpAddr>,
        allow_private: Vec<PrivateGrant>,
        connect_to: impl IntoIterator<Item = ((Host, u16), SocketAddr)>,
    ) -> Self {
        let mut private: HashMap<Host, Vec<IpNet>> = HashMap::new();
        for grant in allow_private {
            for host in grant.hosts {
                private.entry(host).or_default().extend(&grant.networks);
            }
        }
        Self {
            own: own_addresses.iter().map(IpAddr::to_canonical).collect(),
            private,
            fixed: connect_to.into_iter().collect(),
        }
    }

    /// The operator's fixed address for this authority, which needs neither resolving nor vetting.
    pub fn fixed(&self, authority: &Authority) -> Option<VettedAddr> {
        let key = (authority.host().clone(), authority.port());
        self.fixed.get(&key).copied().map(VettedAddr)
    }

    /// Vets all addresses that a name resolved to (for an IP host, that address).
    ///
    /// # Errors
    /// For the first address that may not be dialled, and where there is none.
    pub fn vet(&self, authority: &Authority, resolved: &[IpAddr]) -> Result<Vec<VettedAddr>, GuardDenial> {
        if let Some(fixed) = self.fixed(authority) {
            return Ok(vec![fixed]);
        }
        if resolved.is_empty() {
            return Err(GuardDenial { address: None, why: Why::NoAddress });
        }
        resolved
            .iter()
            .map(|address| {
                let address = address.to_canonical();
                self.check(authority.host(), address)
                    .map(|()| VettedAddr(SocketAddr::new(address, authority.port())))
                    .map_err(|why| GuardDenial { address: Some(address), why })
            })
            .collect()
    }

    fn check(&self, host: &Host, address: IpAddr) -> Result<(), Why> {
        if self.own.contains(&address) {
            return Err(Why::Own);
        }
        match Class::of(address) {
            Class::Global => Ok(()),
            Class::Metadata => Err(Why::Metadata),
            Class::Special => Err(Why::Special),
            Class::Private if self.is_granted(host, address) => Ok(()),
            Class::Private => Err(Why::Private),
            // No grant reaches inside: a private address in disguise has no honest use.
            Class::Wrapped(inner) => match Class::of(IpAddr::V4(inner)) {
                _ if self.own.contains(&IpAddr::V4(inner)) => Err(Why::Own),
                Class::Global => Ok(()),
                Class::Metadata => Err(Why::Metadata),
                Class::Private | Class::Special | Class::Wrapped(_) => Err(Why::Special),
            },
        }
    }

    fn is_granted(&self, host: &Host, address: IpAddr) -> bool {
        self.private.get(host).is_some_and(|networks| networks.iter().any(|network| network.contains(&address)))
    }
}

/// The private range that holds all of `network`, if one does: what an `allow_private` entry may name.
pub fn private_range(network: &IpNet) -> Option<IpNet> {
    let v4 = PRIVATE_V4.iter().copied().map(IpNet::V4);
    let v6 = PRIVATE_V6.iter().copied().map(IpNet::V6);
    v4.chain(v6).find(|range| range.contains(network))
}

enum Class {
    Global,
    Private,
    Metadata,
    Special,
    /// Global by its prefix, and it leads to this IPv4 address.
    Wrapped(Ipv4Addr),
}

impl Class {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of_v4(address),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        // Metadata first: some of it lies in ranges that are private, or even global.
        if METADATA_V4.contains(&address) {
            Self::Metadata
        } else if SPECIAL_V4.iter().any(|range| range.contains(&address)) {
            Self::Special
        } else if PRIVATE_V4.iter().any(|range| range.contains(&address)) {
            Self::Private
        } else {
            Self::Global
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        if METADATA_V6.iter().any(|range| range.contains(&address)) {
            Self::Metadata
        } else if NAT64.contains(&address) {
            Self::Wrapped(last_32_bits(address))
        } else if PRIVATE_V6.iter().any(|range| range.contains(&address)) {
            // ISATAP in a private network leads to an IPv4 neighbour that nobody named.
            if is_isatap(address) { Self::Special } else { Self::Private }
        } else if !GLOBAL_V6.contains(&address) || SPECIAL_V6.iter().any(|range| range.contains(&address)) {
            Self::Special
        } else if is_isatap(address) {
            Self::Wrapped(last_32_bits(address))
        } else {
            Self::Global
        }
    }
}

/// RFC 5214 6.1: the interface identifier is `[02]00:5efe:` and an IPv4 address. The universal and group bits say
/// nothing here.
fn is_isatap(address: Ipv6Addr) -> bool {
    let [_, _, _, _, high, low, _, _] = address.segments();
    high & 0xfcff == 0 && low == 0x5efe
}

fn last_32_bits(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(head: [u16; 4], bits: u8) -> Ipv6Net {
    let [a, b, c, d] = head;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), bits)
}

/// What an operator may grant to named hosts (RFC 1918, 6598, 2544, 5737).
const PRIVATE_V4: [Ipv4Net; 8] = [
    v4(10, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
    v4(100, 64, 0, 0, 10),
    v4(198, 18, 0, 0, 15),
    v4(192, 0, 2, 0, 24),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
];

/// Likewise (RFC 4193, 3849, 9637).
const PRIVATE_V6: [Ipv6Net; 3] = [v6([0xfc00, 0, 0, 0], 7), v6([0x2001, 0xdb8, 0, 0], 32), v6([0x3fff, 0, 0, 0], 20)];

/// Never dialled, whoever asks for it: IANA's special-purpose registry, without what is above.
const SPECIAL_V4: [Ipv4Net; 7] = [
    v4(0, 0, 0, 0, 8),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(192, 0, 0, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

/// All of IPv6 that is given out as global unicast (RFC 4291 2.4, IANA).
const GLOBAL_V6: Ipv6Net = v6([0x2000, 0, 0, 0], 3);

/// Within it and yet not global: IETF assignments with Teredo, benchmarking and ORCHID (2001::/23), and 6to4.
const SPECIAL_V6: [Ipv6Net; 2] = [v6([0x2001, 0, 0, 0], 23), v6([0x2002, 0, 0, 0], 16)];

/// The well-known prefix of NAT64 (RFC 6052), which a DNS64 resolver answers with in networks that have IPv6 only. The
/// one for local use, 64:ff9b:1::/48, is outside 2000::/3 and so refused.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);

/// Metadata and credential services (IP-03) that no range above covers for good: Alibaba, Azure, Oracle.
/// 169.254.0.0/16 holds the others; they are named so that the record says what was tried.
const METADATA_V4: [Ipv4Addr; 8] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(169, 254, 169, 253),
    Ipv4Addr::new(169, 254, 0, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// Likewise: AWS, Google, Oracle, Scaleway; link-local ones are special anyway.
const METADATA_V6: [Ipv6Net; 4] = [
    v6([0xfd00, 0xec2, 0, 0], 32),
    v6([0xfd20, 0xce, 0, 0], 32),
    v6([0xfd00, 0xc1, 0, 0], 32),
    v6([0xfd00, 0x42, 0, 0], 32),
];

#[cfg(test)]
mod tests;
