//! As much of DNS as it takes to ask one name of one server and see how it is answered (RFC 1035). Answers are a stranger's:
//! every length is checked, compression is skipped over and never followed.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    A = 1,
    Aaaa = 28,
}

/// How a name was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The response code.
    pub(super) code: u8,
    /// Addresses in it.
    pub(super) addresses: Vec<IpAddr>,
}

impl Answer {
    /// The response code in words.
    pub(super) fn word(&self) -> &'static str {
        match self.code {
            0 if self.addresses.is_empty() => "no address",
            0 => "an address",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            5 => "REFUSED",
            _ => "an error",
        }
    }
}

/// Asks over UDP.
pub(super) async fn ask(server: SocketAddr, name: &str, kind: Kind, deadline: Duration) -> io::Result<Answer> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let asking = async {
        let socket = UdpSocket::bind(local).await?;
        // Answers of others are dropped by the kernel, and what listens nowhere is told at once.
        socket.connect(server).await?;
        let id = id();
        socket.send(&question(id, name, kind)).await?;
        let mut bytes = [0; 4096];
        loop {
            let length = socket.recv(&mut bytes).await?;
            if let Some(answer) = bytes.get(..length).and_then(|bytes| answer(bytes, id)) {
                return Ok(answer);
            }
        }
    };
    tokio::time::timeout(deadline, asking).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Nobody needs to be kept from guessing it: what is told is only how a name is answered.
pub(super) fn id() -> u16 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let [.., high, low] = now.subsec_micros().to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// A question with recursion desired.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = label.as_bytes().get(..63).unwrap_or(label.as_bytes());
        bytes.push(u8::try_from(label.len()).unwrap_or(63));
        bytes.extend(label);
    }
    bytes.extend([0, 0, kind as u8, 0, 1]);
    bytes
}

/// Reads an answer to the question of that number; `None` if it is none.
pub(super) fn answer(bytes: &[u8], id: u16) -> Option<Answer> {
    let number = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let flags = number(2)?;
    if number(0)? != id || flags & 0x8000 == 0 {
        return None;
    }
    let (questions, answers) = (number(4)?, number(6)?);
    let mut at = 12;
    for _ in 0..questions {
        at = past_name(bytes, at)? + 4;
    }
    let mut addresses = Vec::new();
    for _ in 0..answers {
        at = past_name(bytes, at)?;
        let (kind, length) = (number(at)?, usize::from(number(at + 8)?));
        let data = bytes.get(at + 10..at + 10 + length)?;
        match (kind, data) {
            (1, &[a, b, c, d]) => addresses.push(IpAddr::from([a, b, c, d])),
            (28, data) => addresses.extend(<[u8; 16]>::try_from(data).map(IpAddr::from)),
            _ => {}
        }
        at += 10 + length;
    }
    let [_, low] = flags.to_be_bytes();
    Some(Answer { code: low & 15, addresses })
}

/// Where a name ends.
fn past_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length if length & 0xc0 == 0xc0 => return Some(at + 2),
            length if length < 64 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An answer to a question, as a server would give it.
    pub(in crate::doctor) fn reply(question: &[u8], code: u8, addresses: &[IpAddr]) -> Vec<u8> {
        let mut bytes = question.to_vec();
        bytes[2..4].copy_from_slice(&[0x81, 0x80 | code]);
        bytes[6..8].copy_from_slice(&u16::try_from(addresses.len()).unwrap().to_be_bytes());
        for address in addresses {
            bytes.extend([0xc0, 12]);
            match address {
                IpAddr::V4(address) => {
                    bytes.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                    bytes.extend(address.octets());
                }
                IpAddr::V6(address) => {
                    bytes.extend([0, 28, 0, 1, 0, 0, 0, 60, 0, 16]);
                    bytes.extend(address.octets());
                }
            }
        }
        bytes
    }

    /// The name that is asked for.
    pub(in crate::doctor) fn asked(question: &[u8]) -> String {
        let mut labels = Vec::new();
        let mut at = 12;
        while question[at] > 0 {
            let length = usize::from(question[at]);
            labels.push(String::from_utf8(question[at + 1..at + 1 + length].to_vec()).unwrap());
            at += 1 + length;
        }
        labels.join(".")
    }

    #[test]
    fn an_answer_is_read_with_its_code_and_addresses() {
        let addresses: Vec<IpAddr> = vec!["10.1.2.3".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let question = question(7, "stubgate.internal", Kind::A);
        assert_eq!(asked(&question), "stubgate.internal");
        assert_eq!(answer(&reply(&question, 0, &addresses), 7), Some(Answer { code: 0, addresses }));
        assert_eq!(answer(&reply(&question, 3, &[]), 7).unwrap().word(), "NXDOMAIN");
    }

    #[test]
    fn a_question_or_the_answer_to_another_is_none() {
        let question = question(7, "a.example", Kind::Aaaa);
        assert_eq!(answer(&question, 7), None);
        assert_eq!(answer(&reply(&question, 0, &[]), 8), None);
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(flags) = bytes.get_mut(2) {
                *flags |= 0x80;
            }
            let id = bytes.get(..2).map(|id| u16::from_be_bytes([id[0], id[1]])).unwrap_or_default();
            let _ = answer(&bytes, id);
        }

        #[test]
        fn an_answer_that_breaks_off_is_none(cut in 1usize..16) {
            let question = question(7, "a.example", Kind::A);
            let reply = reply(&question, 0, &["10.1.2.3".parse().unwrap()]);
            prop_assert_eq!(answer(&reply[..reply.len() - cut], 7), None);
        }
    }
}
