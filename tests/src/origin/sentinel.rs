//! Addresses at which nobody may ever call: counts connections on many ports, speaks to no one.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::thread;

use super::Memory;
use crate::node::Node;

/// Watches addresses of the internet that policy and guard must never reach.
#[derive(Clone, Debug, Default)]
pub struct Sentinel {
    memory: Memory,
}

impl Sentinel {
    /// Listens at these addresses, which must exist on the node, on each of these ports.
    pub fn watch(node: &Node, addresses: &[IpAddr], ports: &[u16]) -> Sentinel {
        let sentinel = Sentinel::default();
        for address in addresses {
            for port in ports {
                let socket = SocketAddr::new(*address, *port);
                let memory = sentinel.memory.clone();
                let listener = node.enter(move || TcpListener::bind(socket).expect("bind"));
                thread::spawn(move || {
                    for _stream in listener.incoming().map_while(Result::ok) {
                        memory.connected();
                    }
                });
            }
        }
        sentinel
    }

    /// How many connections it saw.
    pub fn connections(&self) -> usize {
        self.memory.recall().connections
    }
}
