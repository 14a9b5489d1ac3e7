//! What crossed a link, packet by packet, as the kernel saw it: the last word on what left.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, eth, recv, socket_with, sockopt};

use crate::node::Node;

/// Big enough for what a link carries while the reader sleeps.
const SOCKET_BUFFER: usize = 64 << 20;

/// One TCP segment or UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Who sent it.
    pub from: SocketAddr,
    /// For whom it was.
    pub to: SocketAddr,
    /// Set for TCP: the sequence number, and whether it opens a connection.
    pub tcp: Option<(u32, bool)>,
    /// What it carried.
    pub payload: Vec<u8>,
}

/// A running capture of all interfaces of a node but loopback.
#[derive(Debug)]
pub struct Capture {
    node: Node,
    peer: Ipv4Addr,
    packets: Arc<Mutex<Vec<Packet>>>,
    marks: AtomicU32,
}

impl Capture {
    /// Listens on `node`; `peer` is the far end of its link, to which [`Capture::settle`] sends marks.
    pub fn start(node: &Node, peer: Ipv4Addr) -> Capture {
        let socket = node.enter(|| {
            let (family, kind) = (AddressFamily::PACKET, SocketType::RAW);
            socket_with(family, kind, SocketFlags::CLOEXEC, Some(eth::ALL)).expect("packet socket")
        });
        if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER).expect("socket buffer");
        }
        let packets = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&packets);
        thread::spawn(move || {
            let mut frame = vec![0_u8; 256 << 10];
            while let Ok((length, _)) = recv(&socket, &mut frame[..], RecvFlags::empty()) {
                if let Some(packet) = parse(&frame[..length]) {
                    sink.lock().unwrap_or_else(PoisonError::into_inner).push(packet);
                }
            }
        });
        Capture { node: node.clone(), peer, packets, marks: AtomicU32::new(0) }
    }

    /// Waits until everything sent before now is in the capture; returns how many packets there are.
    pub fn settle(&self) -> usize {
        let mark = format!("lab mark {}", self.marks.fetch_add(1, Ordering::Relaxed)).into_bytes();
        let (sent, peer) = (mark.clone(), SocketAddr::from((self.peer, 9)));
        self.node.enter(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
            let _ = socket.send_to(&sent, peer);
        });
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let packets = self.lock();
            if packets.iter().rev().any(|packet| packet.payload == mark) {
                return packets.len();
            }
            drop(packets);
            assert!(Instant::now() < deadline, "the capture stands still");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// All packets after the first `from` ones, without the lab's own marks.
    pub fn since(&self, from: usize) -> Vec<Packet> {
        self.settle();
        let packets = self.lock();
        packets[from..].iter().filter(|packet| !packet.payload.starts_with(b"lab mark ")).cloned().collect()
    }

    /// Every byte stream: TCP in order of sequence, one stream a direction; UDP as it came.
    pub fn streams(&self) -> Vec<Vec<u8>> {
        streams(&self.since(0))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Packet>> {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the streams of these packets together.
pub fn streams(packets: &[Packet]) -> Vec<Vec<u8>> {
    let mut flows: BTreeMap<(SocketAddr, SocketAddr, bool), Vec<&Packet>> = BTreeMap::new();
    for packet in packets {
        flows.entry((packet.from, packet.to, packet.tcp.is_some())).or_default().push(packet);
    }
    flows
        .into_values()
        .map(|mut flow| {
            let first = flow[0].tcp.map_or(0, |(sequence, _)| sequence);
            let place = |packet: &Packet| packet.tcp.map_or(0, |(at, _)| at.wrapping_sub(first));
            flow.sort_by_key(|packet| place(packet));
            flow.dedup_by_key(|packet| (packet.tcp, packet.payload.clone()));
            flow.iter().flat_map(|packet| packet.payload.iter().copied()).collect()
        })
        .collect()
}

/// Reads an Ethernet frame; `None` for what is neither TCP nor UDP, or came from loopback.
fn parse(frame: &[u8]) -> Option<Packet> {
    let (from, to, protocol, rest) = match frame.get(12..14)? {
        [0x08, 0x00] => {
            let header = frame.get(14..)?;
            let length = usize::from(u16::from_be_bytes([*header.get(2)?, *header.get(3)?]));
            let ip = header.get(..length).unwrap_or(header);
            let from = Ipv4Addr::from(<[u8; 4]>::try_from(ip.get(12..16)?).ok()?);
            let to = Ipv4Addr::from(<[u8; 4]>::try_from(ip.get(16..20)?).ok()?);
            let body = ip.get(usize::from(ip.first()? & 0x0f) * 4..)?;
            (IpAddr::V4(from), IpAddr::V4(to), *ip.get(9)?, body)
        }
        [0x86, 0xdd] => {
            let ip = frame.get(14..)?;
            let from = Ipv6Addr::from(<[u8; 16]>::try_from(ip.get(8..24)?).ok()?);
            let to = Ipv6Addr::from(<[u8; 16]>::try_from(ip.get(24..40)?).ok()?);
            (IpAddr::V6(from), IpAddr::V6(to), *ip.get(6)?, ip.get(40..)?)
        }
        _ => return None,
    };
    if from.is_loopback() || from == to {
        return None;
    }
    let port = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    let (from, to) = (SocketAddr::new(from, port(0)?), SocketAddr::new(to, port(2)?));
    match protocol {
        6 => {
            let sequence = u32::from_be_bytes(rest.get(4..8)?.try_into().ok()?);
            let flags = *rest.get(13)?;
            let opens = flags & 0x12 == 0x02; // SYN without ACK
            let payload = rest.get(usize::from(rest.get(12)? >> 4) * 4..)?.to_vec();
            Some(Packet { from, to, tcp: Some((sequence, opens)), payload })
        }
        17 => Some(Packet { from, to, tcp: None, payload: rest.get(8..)?.to_vec() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(sequence: u32, payload: &[u8]) -> Packet {
        let (from, to) = (SocketAddr::from(([1, 1, 1, 1], 1)), SocketAddr::from(([2, 2, 2, 2], 2)));
        Packet { from, to, tcp: Some((sequence, false)), payload: payload.to_vec() }
    }

    #[test]
    fn puts_a_stream_together_across_reordering_retransmission_and_wrap() {
        let start = u32::MAX - 1;
        let packets = [
            segment(start, b""),
            segment(start.wrapping_add(3), b"ret"),
            segment(start, b"sec"),
            segment(start, b"sec"),
        ];
        assert_eq!(streams(&packets), [b"secret".to_vec()]);
    }

    #[test]
    fn reads_a_frame_without_its_padding() {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        frame.extend([0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        frame.extend([0, 7, 0, 9, 0, 11, 0, 0, b'a', b'b', b'c']);
        frame.extend([0; 15]);
        let packet = parse(&frame).unwrap();
        assert_eq!(packet.payload, b"abc");
        assert_eq!(packet.to, "10.0.0.2:9".parse().unwrap());
    }
}
