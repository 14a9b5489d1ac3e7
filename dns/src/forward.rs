//! Relays one granted question to the servers of its zone and brings back the answer, whole. It knows nothing of policy
//! and is only called with what policy granted.
//!
//! The question that leaves is written anew: the name in lower case, type and class, the flag RD, and an OPT record,
//! both always the same. Which granted name is asked for, in which type, when, and over which transport is all that an
//! agent chooses (law 6): case, flags, sizes and options would be room for bytes of its own. The client gets its
//! spelling back. Every attempt has a socket, a port and an id of its own; an answer counts only from the address that
//! was asked, with that id and that question (RFC 5452). All attempts together end at one deadline (law 7).

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout_at},
};

use crate::{
    record::Transport,
    wire::{self, Query, Question, UDP_PAYLOAD, number},
};

/// No server gave an answer that belongs to the question, in time.
#[derive(Debug, thiserror::Error)]
#[error("no server of the zone answered")]
pub(crate) struct Unanswered;

/// Asks `servers` in turn, each at least once and a lone one twice, over the transport that the client used: a truncated
/// answer is the client's to ask again over TCP. The answer has the client's id and spelling of the name.
pub(crate) async fn relay(
    query: &Query<'_>,
    transport: Transport,
    servers: &[SocketAddr],
    timeout: Duration,
) -> Result<Vec<u8>, Unanswered> {
    let end = Instant::now() + timeout;
    let attempts = if servers.len() == 1 { 2 } else { servers.len() };
    for (attempt, server) in servers.iter().cycle().take(attempts).enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(attempts - attempt).unwrap_or(u32::MAX);
        let deadline = Instant::now() + share;
        let exchange = async {
            match transport {
                Transport::Udp => over_udp(query, *server).await,
                Transport::Tcp => over_tcp(query, *server).await,
            }
        };
        match timeout_at(deadline, exchange).await {
            Ok(Ok(mut answer)) => {
                restore(&mut answer, query);
                return Ok(answer);
            }
            Ok(Err(error)) => tracing::debug!(%server, %error, "forwarding failed"),
            Err(_) => tracing::debug!(%server, "forwarding timed out"),
        }
    }
    Err(Unanswered)
}

async fn over_udp(query: &Query<'_>, server: SocketAddr) -> io::Result<Vec<u8>> {
    let any: SocketAddr =
        if server.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let id = random_id()?;
    socket.send(&request(query, id)).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if buffer.get(..length).is_some_and(|answer| belongs(answer, query, id)) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn over_tcp(query: &Query<'_>, server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let id = random_id()?;
    let request = request(query, id);
    let length = u16::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), request.as_slice()].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if belongs(&answer, query, id) { Ok(answer) } else { Err(io::Error::other("answer to another question")) }
}

fn random_id() -> io::Result<u16> {
    let mut id = [0; 2];
    let filled = getrandom(&mut id, GetRandomFlags::empty())?;
    if filled == id.len() { Ok(u16::from_ne_bytes(id)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// In the first byte of a header's flags.
const RECURSION_DESIRED: u8 = 1;

/// The question as it leaves.
fn request(query: &Query<'_>, id: u16) -> Vec<u8> {
    let Question { name, kind, class, .. } = query.question;
    let mut out = Vec::with_capacity(12 + name.len() + 4 + 11);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    // Lengths of labels are below 64, and no letters.
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&class.to_be_bytes());
    out.push(0);
    out.extend_from_slice(&number::OPT.to_be_bytes());
    out.extend_from_slice(&UDP_PAYLOAD.to_be_bytes());
    out.extend_from_slice(&[0; 6]);
    out
}

/// Whether `answer` answers this question under this id. The server may have changed the case of the name.
pub(crate) fn belongs(answer: &[u8], query: &Query<'_>, id: u16) -> bool {
    let Some((&[id0, id1, flags, _, 0, 1, ..], rest)) = answer.split_first_chunk::<12>() else { return false };
    let opcode_and_response = flags & 0xf8;
    u16::from_be_bytes([id0, id1]) == id
        && opcode_and_response == 0x80
        && Question::parse(rest).is_some_and(|(question, _)| {
            (question.kind, question.class) == (query.question.kind, query.question.class)
                && wire::same_name(question.name, query.question.name)
        })
}

/// Gives a checked answer the client's id and question. Both names have one length, so that pointers stay right.
fn restore(answer: &mut [u8], query: &Query<'_>) {
    if let Some(id) = answer.get_mut(..2) {
        id.copy_from_slice(&query.header.id.to_be_bytes());
    }
    if let Some(question) = answer.get_mut(12..12 + query.question.bytes.len()) {
        question.copy_from_slice(query.question.bytes);
    }
}
