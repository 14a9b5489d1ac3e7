//! Rules for nftables that leave a bridge's containers no way but stubgate.
//!
//! Pure: from the listeners of stubgate.yaml and the names of interfaces to the text that `nft --file` takes. Each
//! interface has tables of its own, replaced as a whole in one transaction, so that the text can be loaded again at any
//! time and never leaves a moment without rules. What may pass is listed and everything else that comes from the
//! interface is refused (law 5), in IPv4 and IPv6: to the host, through it, and from one port of the bridge to another.
//!
//! It refuses to print rules that let nothing through, and to name what it can't quote.

mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::config::{Advertise, Listen};

/// What is to be fenced in, and what it may reach.
#[derive(Clone, Debug)]
pub struct Fence {
    /// Where the containers are.
    pub interfaces: Vec<Interface>,
    /// The addresses that they may have; any, if there is none.
    pub subnets: Vec<IpNet>,
    /// Where stubgate runs.
    pub place: Place,
    /// Where it listens.
    pub doors: Doors,
}

/// An interface of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    name: String,
    is_bridge: bool,
}

/// Where stubgate runs, as seen from the containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the host that has the interface.
    Host,
    /// In a container on the same bridge.
    Bridge,
}

/// Addresses and ports that containers reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doors {
    open: BTreeMap<Destination, Ports>,
    /// Where connections to elsewhere are redirected to: port by family.
    redirected: BTreeSet<(Family, u16)>,
}

/// An address, or every address that the host has on the interface that a packet came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Destination {
    Address(IpAddr),
    Local(Family),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ports {
    tcp: BTreeSet<u16>,
    udp: BTreeSet<u16>,
}

/// Why there are no rules.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoFence {
    /// The kernel allows more in a name than can be quoted for nft.
    #[error(
        "{0:?} is no name of an interface: 1 to 15 letters, digits, '.', '_' and '-', the first of them no '-' or '.'"
    )]
    Name(String),
    /// Nothing would pass.
    #[error("no listener of stubgate.yaml can be reached from a container: all are on loopback addresses")]
    NothingOpen,
    /// Its port is another one after each start.
    #[error("a listener has port 0, and rules need a fixed one")]
    NoPort,
    /// Which of the bridge's addresses is stubgate's is not known.
    #[error(
        "stubgate listens on every address of its container, and rules need to know it: write `advertise` in stubgate.yaml"
    )]
    NoAddress,
    /// Between ports of a bridge no connection can be redirected.
    #[error("an interface that is no bridge has no container beside stubgate: name it with --bridge")]
    NoBridge,
}

impl Interface {
    /// A bridge, whose ports are containers.
    ///
    /// # Errors
    /// When the name can't be one.
    pub fn bridge(name: &str) -> Result<Interface, NoFence> {
        Interface::of(name, true)
    }

    /// Any other interface behind which there is one container or more.
    ///
    /// # Errors
    /// When the name can't be one.
    pub fn plain(name: &str) -> Result<Interface, NoFence> {
        Interface::of(name, false)
    }

    fn of(name: &str, is_bridge: bool) -> Result<Interface, NoFence> {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-');
        let is_name = (1..=15).contains(&name.len()) && name.chars().all(is_plain) && !name.starts_with(['-', '.']);
        match is_name {
            true => Ok(Interface { name: name.to_owned(), is_bridge }),
            false => Err(NoFence::Name(name.to_owned())),
        }
    }

    /// What its tables are called.
    fn table(&self) -> String {
        format!("stubgate_{}", self.name)
    }
}

impl Doors {
    /// What of the listeners a container can reach; `admin` is none of it.
    ///
    /// # Errors
    /// When that is nothing, or can't be known.
    pub fn of(listen: &Listen, advertise: &Advertise) -> Result<Doors, NoFence> {
        let mut doors = Doors::default();
        for listener in &listen.dns {
            doors.open(*listener, advertise, |ports| &mut ports.udp)?;
        }
        for listener in [&listen.dns, &listen.http, &listen.https, &listen.proxy].into_iter().flatten() {
            doors.open(*listener, advertise, |ports| &mut ports.tcp)?;
        }
        for listener in listen.transparent.iter().filter(|listener| !listener.ip().is_loopback()) {
            doors.redirected.insert((Family::of(listener.ip()), fixed(*listener)?));
        }
        match doors.open.is_empty() && doors.redirected.is_empty() {
            true => Err(NoFence::NothingOpen),
            false => Ok(doors),
        }
    }

    fn open(
        &mut self,
        listener: SocketAddr,
        advertise: &Advertise,
        which: fn(&mut Ports) -> &mut BTreeSet<u16>,
    ) -> Result<(), NoFence> {
        let address = listener.ip().to_canonical();
        if address.is_loopback() {
            return Ok(());
        }
        let port = fixed(listener)?;
        let told: Vec<IpAddr> = match address {
            IpAddr::V4(_) => advertise.v4.iter().copied().map(IpAddr::V4).collect(),
            IpAddr::V6(_) => advertise.v6.iter().copied().map(IpAddr::V6).collect(),
        };
        let destinations: Vec<Destination> = match (address.is_unspecified(), told.is_empty()) {
            (false, _) => vec![Destination::Address(address)],
            (true, false) => told.into_iter().map(Destination::Address).collect(),
            (true, true) => vec![Destination::Local(Family::of(address))],
        };
        for destination in destinations {
            which(self.open.entry(destination).or_default()).insert(port);
        }
        Ok(())
    }

    /// Whether anything of it is reached over IPv6.
    fn speaks_v6(&self) -> bool {
        let mut families = self.open.keys().map(|destination| destination.family());
        families.any(|family| family == Family::V6) || self.redirected.iter().any(|(family, _)| *family == Family::V6)
    }
}

fn fixed(listener: SocketAddr) -> Result<u16, NoFence> {
    match listener.port() {
        0 => Err(NoFence::NoPort),
        port => Ok(port),
    }
}

impl Family {
    fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

impl Destination {
    fn family(self) -> Family {
        match self {
            Destination::Address(address) => Family::of(address),
            Destination::Local(family) => family,
        }
    }
}

impl Fence {
    /// The rules, for `nft --file`.
    ///
    /// # Errors
    /// When stubgate's place among the containers is not known.
    pub fn rules(&self) -> Result<String, NoFence> {
        if self.place == Place::Bridge {
            if self.interfaces.iter().any(|interface| !interface.is_bridge) {
                return Err(NoFence::NoBridge);
            }
            if self.doors.open.is_empty() {
                return Err(NoFence::NothingOpen);
            }
            if self.doors.open.keys().any(|destination| matches!(destination, Destination::Local(_))) {
                return Err(NoFence::NoAddress);
            }
        }
        Ok(render::rules(self))
    }
}

#[cfg(test)]
mod tests;
