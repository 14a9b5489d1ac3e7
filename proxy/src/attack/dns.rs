//! Questions to name servers, byte by byte (RFC 1035 section 4): what libc would not ask is part of the attack.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::wire;

/// How long a name server may be silent.
const SILENCE: Duration = Duration::from_secs(2);

pub(super) const A: u16 = 1;
pub(super) const NULL: u16 = 10;
pub(super) const TXT: u16 = 16;
pub(super) const HTTPS: u16 = 65;
pub(super) const AXFR: u16 = 252;
pub(super) const ANY: u16 = 255;

/// What a name server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) code: u8,
    pub(super) answers: u16,
    /// The first IPv4 address among the answers.
    pub(super) address: Option<Ipv4Addr>,
}

impl Said {
    /// In words.
    pub(super) fn words(&self) -> String {
        let code = match self.code {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            _ => "an error",
        };
        format!("{code}, {} records", self.answers)
    }
}

/// The address that a name server answers for a name.
pub(super) async fn address(server: SocketAddr, name: &str) -> Option<IpAddr> {
    // A datagram may be lost.
    for _ in 0..2 {
        if let Some(said) = ask(server, name, A).await {
            return said.address.map(IpAddr::V4);
        }
    }
    None
}

/// Asks over UDP.
pub(super) async fn ask(server: SocketAddr, name: &str, kind: u16) -> Option<Said> {
    let question = question(name, kind)?;
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(server).await.ok()?;
    socket.send(&question).await.ok()?;
    let mut answer = vec![0; 4096];
    let length = timeout(SILENCE, socket.recv(&mut answer)).await.ok()?.ok()?;
    read(answer.get(..length)?, question.len())
}

/// Asks over TCP.
pub(super) async fn ask_tcp(server: SocketAddr, name: &str, kind: u16) -> Option<Said> {
    let question = question(name, kind)?;
    let mut stream = wire::tcp(server).await.ok()?;
    let asking = async {
        let length = u16::try_from(question.len()).ok()?.to_be_bytes();
        stream.write_all(&[&length[..], &question].concat()).await.ok()?;
        let length = stream.read_u16().await.ok()?;
        let mut answer = vec![0; length.into()];
        stream.read_exact(&mut answer).await.ok()?;
        read(&answer, question.len())
    };
    timeout(SILENCE, asking).await.ok()?
}

fn question(name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut out = vec![0x53, 0x47, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).ok().filter(|length| *length < 64)?);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out.extend(kind.to_be_bytes());
    out.extend([0, 1]);
    Some(out)
}

/// Code and count; the first address, whose records come right behind the question, aliases before it.
fn read(answer: &[u8], question: usize) -> Option<Said> {
    let (&[0x53, 0x47, _, flags, _, _, high, low], _) = answer.split_first_chunk::<8>()? else { return None };
    let answers = u16::from_be_bytes([high, low]);
    let mut address = None;
    let mut rest = answer.get(question..).unwrap_or_default();
    for _ in 0..answers {
        rest = after_name(rest)?;
        let (&[k0, k1, _, _, _, _, _, _, l0, l1], data) = rest.split_first_chunk::<10>()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = data.get(..length)?;
        if u16::from_be_bytes([k0, k1]) == A && address.is_none() {
            address = value.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
        }
        rest = data.get(length..)?;
    }
    Some(Said { code: flags & 15, answers, address })
}

/// What follows a name: labels to the root, or to a pointer (RFC 1035 section 4.1.4).
fn after_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&length, more) = rest.split_first()?;
        match length {
            0 => return Some(more),
            192.. => return more.get(1..),
            _ => rest = more.get(usize::from(length)..)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_behind_an_alias_is_found() {
        let asked = question("a.test", A).unwrap();
        let mut answer = asked.clone();
        answer[2] = 0x81;
        answer[7] = 2;
        answer.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 1, 0, 4, 1, b'b', 0xc0, 14]);
        answer.extend([1, b'b', 0xc0, 14, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 192, 0, 2, 7]);
        let said = read(&answer, asked.len()).unwrap();
        assert_eq!(said, Said { code: 0, answers: 2, address: Some([192, 0, 2, 7].into()) });
        for cut in 0..answer.len() {
            // What is cut short is never a panic, and never an address.
            assert!(read(&answer[..cut], asked.len()).is_none_or(|said| said.address.is_none()));
        }
    }

    #[test]
    fn a_label_that_is_too_long_is_not_asked_for() {
        assert_eq!(question(&"a".repeat(64), A), None);
    }
}
