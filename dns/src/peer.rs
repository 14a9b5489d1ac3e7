//! Who asks, as it is known when a connection is accepted or a datagram comes.
//!
//! An address alone is not enough where addresses are used again: a connection goes on to be whose it was when it was
//! accepted, and is nobody's once that one is gone. What a stamp means is for the surroundings to say; nothing here does.

use std::net::{IpAddr, SocketAddr};

/// The other side of a connection, or the sender of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// What else tells who it is.
    pub stamp: Stamp,
}

/// What tells who a peer is. Fixed when its connection is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stamp {
    /// Its address, and nothing else.
    Address,
    /// The pod that had its address then, by a number that no other pod ever has.
    Pod(u64),
    /// The listener that accepted it, which is one agent's alone, whatever the address.
    Listener(u16),
}

impl Peer {
    /// Known by its address alone.
    pub fn at(address: SocketAddr) -> Self {
        Peer { address, stamp: Stamp::Address }
    }

    /// Its IP address.
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}
