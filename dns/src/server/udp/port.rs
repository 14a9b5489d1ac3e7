//! One UDP socket: reads datagrams with the address that they were sent to, and sends answers from that address (RFC 2181
//! section 4: clients drop what comes from another), in as few passes through the network stack as it can.
//!
//! Nearly all the cost of a local answer is the kernel's way from socket to socket. Answers to one client that are ready
//! together (A and AAAA, as every stub resolver asks) take it once: UDP segmentation offload carries several datagrams of
//! one length, of which the last may be shorter, and cuts them apart where they arrive.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    libc::{EINVAL, EIO, EMSGSIZE, EOPNOTSUPP, in_addr, in_pktinfo, in6_addr, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, cmsg_space, recvmsg, sendmsg, setsockopt,
        sockopt,
    },
};
use socket2::{Protocol, Socket, Type};

use super::super::open;
use crate::respond::Source;

/// Kernel buffer for datagrams that wait to be read, so that a burst of all agents is not lost.
const BUFFER_BYTES: usize = 1 << 20;
/// The most datagrams in one pass; every kernel that knows segmentation takes as many.
const MOST: usize = 32;
/// Room for the control message that tells the address of arrival.
const CONTROL: usize = cmsg_space::<in6_pktinfo>();

/// A UDP socket that is served.
#[derive(Debug)]
pub(in crate::server) struct Port {
    socket: UdpSocket,
    /// Bound to no address in particular, so that each datagram has to tell.
    wildcard: bool,
    /// Whether the kernel segments here; ends for good once it refused what it then took one by one.
    segments: AtomicBool,
}

impl Port {
    pub(in crate::server) fn bind(address: SocketAddr) -> io::Result<Port> {
        let socket = open(address, Type::DGRAM, Protocol::UDP)?;
        // Before it is bound, or the first datagrams would not tell.
        let port = Port::adopt(socket, address)?;
        socket2::SockRef::from(&port.socket).bind(&address.into())?;
        Ok(port)
    }

    /// One that is bound already, or will be, to this address.
    pub(in crate::server) fn adopt(socket: Socket, address: SocketAddr) -> io::Result<Port> {
        let wildcard = address.ip().is_unspecified();
        match address {
            SocketAddr::V4(_) if wildcard => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) if wildcard => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
            SocketAddr::V4(_) | SocketAddr::V6(_) => {}
        }
        // Best effort: the system's ceiling may be lower.
        let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(BUFFER_BYTES);
        Ok(Port { socket: socket.into(), wildcard, segments: AtomicBool::new(true) })
    }

    pub(in crate::server) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Reads a datagram that is there. A length of all of `slot` may have been more.
    pub(super) fn receive(&self, slot: &mut [u8]) -> io::Result<(usize, Source)> {
        if !self.wildcard {
            let (length, peer) = self.socket.recv_from(slot)?;
            return Ok((length, Source { peer, local: None, stamp: None }));
        }
        let (mut control, mut slots) = ([0; CONTROL], [IoSliceMut::new(slot)]);
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let message = recvmsg::<SockaddrStorage>(socket, &mut slots, Some(&mut control), flags)?;
        let peer = message.address.as_ref().and_then(socket_address).ok_or(io::ErrorKind::InvalidData)?;
        let local = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into())
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into()),
            _ => None,
        });
        Ok((message.bytes, Source { peer, local, stamp: None }))
    }

    /// Sends all, in an order of its own. What can't be sent now is dropped, as any network may: the client asks again.
    pub(super) fn send(&self, answers: &mut [(Source, &[u8])]) {
        answers.sort_unstable_by(|(to, answer), (other, another)| {
            to.cmp(other).then_with(|| another.len().cmp(&answer.len()))
        });
        let mut rest = &*answers;
        while let Some((&(to, first), tail)) = rest.split_first() {
            let mut whole = self.segments.load(Ordering::Relaxed);
            let fitting = tail.iter().take(MOST - 1).take_while(|(other, answer)| {
                let fits = whole && *other == to;
                whole = answer.len() == first.len();
                fits
            });
            let (run, after) = rest.split_at(1 + fitting.count());
            self.send_run(to, first.len(), run);
            rest = after;
        }
    }

    fn send_run(&self, to: Source, length: usize, run: &[(Source, &[u8])]) {
        let mut slices = [IoSlice::new(&[]); MOST];
        for (slice, (_, answer)) in slices.iter_mut().zip(run) {
            *slice = IoSlice::new(answer);
        }
        let slices = slices.get(..run.len()).unwrap_or_default();
        let segment = u16::try_from(length).ok().filter(|_| run.len() > 1);
        let Err(error) = self.send_slices(to, slices, segment) else { return };
        let unsupported = matches!(error.raw_os_error(), Some(EIO | EINVAL | EMSGSIZE | EOPNOTSUPP));
        if !unsupported || run.len() == 1 {
            return tracing::debug!(%error, "DNS answer dropped");
        }
        let one_by_one = |slice| self.send_slices(to, std::slice::from_ref(slice), None);
        // All of them, also after one that failed.
        if slices.iter().map(one_by_one).filter(Result::is_err).count() == 0 {
            tracing::info!(%error, "DNS is served without UDP segmentation offload");
            self.segments.store(false, Ordering::Relaxed);
        }
    }

    fn send_slices(&self, to: Source, slices: &[IoSlice<'_>], segment: Option<u16>) -> io::Result<usize> {
        if let ([answer], None) = (slices, to.local) {
            return self.socket.send_to(answer, to.peer);
        }
        let (v4, v6);
        let mut control = Vec::with_capacity(2);
        match to.local {
            Some(IpAddr::V4(local)) => {
                v4 = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr { s_addr: u32::from_ne_bytes(local.octets()) },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                control.push(ControlMessage::Ipv4PacketInfo(&v4));
            }
            Some(IpAddr::V6(local)) => {
                v6 = in6_pktinfo { ipi6_addr: in6_addr { s6_addr: local.octets() }, ipi6_ifindex: 0 };
                control.push(ControlMessage::Ipv6PacketInfo(&v6));
            }
            None => {}
        }
        if let Some(length) = &segment {
            control.push(ControlMessage::UdpGsoSegments(length));
        }
        let peer = SockaddrStorage::from(to.peer);
        Ok(sendmsg(self.socket.as_raw_fd(), slices, &control, MsgFlags::empty(), Some(&peer))?)
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from(*v4));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from(*v6)))
}
