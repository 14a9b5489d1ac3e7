//! The internet's only name server. It answers from a table and writes down every question: what is
//! not in that list never left the appliance (law 6).

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::node::Node;

/// A question that reached the name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case, without the final dot.
    pub name: String,
    /// The record type.
    pub kind: u16,
}

#[derive(Debug, Default)]
struct State {
    /// Answers by name; with several sets, each question takes the next one and the last one stays.
    table: HashMap<String, Vec<Vec<IpAddr>>>,
    questions: Vec<Question>,
}

/// The name server.
#[derive(Clone, Debug)]
pub struct NameServer {
    state: Arc<Mutex<State>>,
}

impl NameServer {
    /// Every name that has an address.
    pub fn names(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).table.keys().cloned().collect()
    }

    /// Starts answering on UDP and TCP.
    pub fn start(node: &Node, address: SocketAddr) -> NameServer {
        let server = NameServer { state: Arc::default() };
        let (udp, tcp) = node.enter(move || {
            (UdpSocket::bind(address).expect("bind udp"), TcpListener::bind(address).expect("bind tcp"))
        });
        let on_udp = server.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
                if let Some(answer) = on_udp.answer(&buffer[..length]) {
                    let _ = udp.send_to(&answer, peer);
                }
            }
        });
        let on_tcp = server.clone();
        thread::spawn(move || {
            for mut stream in tcp.incoming().map_while(Result::ok) {
                let server = on_tcp.clone();
                thread::spawn(move || -> Option<()> {
                    loop {
                        let mut length = [0; 2];
                        stream.read_exact(&mut length).ok()?;
                        let mut message = vec![0; u16::from_be_bytes(length).into()];
                        stream.read_exact(&mut message).ok()?;
                        let answer = server.answer(&message)?;
                        let length = u16::try_from(answer.len()).ok()?;
                        stream.write_all(&length.to_be_bytes()).ok()?;
                        stream.write_all(&answer).ok()?;
                    }
                });
            }
        });
        server
    }

    /// Points a name at addresses.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.set_sequence(name, vec![addresses.to_vec()]);
    }

    /// Points a name at one set of addresses after the other: rebinding.
    pub fn set_sequence(&self, name: &str, answers: Vec<Vec<IpAddr>>) {
        self.lock().table.insert(name.to_ascii_lowercase(), answers);
    }

    /// Every question so far.
    pub fn questions(&self) -> Vec<Question> {
        self.lock().questions.clone()
    }

    /// Whether anyone asked for this name or a name below it.
    pub fn was_asked_for(&self, name: &str) -> bool {
        let below = format!(".{name}");
        self.lock().questions.iter().any(|asked| asked.name == name || asked.name.ends_with(&below))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one message; `None` for what is no query.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = read_name(query, 12)?;
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        let mut state = self.lock();
        state.questions.push(Question { name: name.clone(), kind });
        let known = state.table.get_mut(&name);
        let exists = known.is_some();
        let addresses = match known {
            Some(answers) if answers.len() > 1 && kind == 1 => answers.remove(0),
            Some(answers) => answers.first().cloned().unwrap_or_default(),
            None => Vec::new(),
        };
        drop(state);
        let rdata: Vec<Vec<u8>> = addresses
            .iter()
            .filter_map(|address| match (address, kind) {
                (IpAddr::V4(v4), 1) => Some(v4.octets().to_vec()),
                (IpAddr::V6(v6), 28) => Some(v6.octets().to_vec()),
                _ => None,
            })
            .collect();
        let mut answer = query.get(..2)?.to_vec();
        answer.extend([0x85, if exists { 0x80 } else { 0x83 }]); // QR, AA, RD, RA; NOERROR or NXDOMAIN
        for count in [1, rdata.len(), 0, 0] {
            answer.extend(u16::try_from(count).ok()?.to_be_bytes());
        }
        answer.extend(query.get(12..end + 4)?);
        for data in rdata {
            answer.extend([0xc0, 12]); // the name of the question
            answer.extend(kind.to_be_bytes());
            answer.extend([0, 1, 0, 0, 0, 1]); // IN, one second
            answer.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            answer.extend(data);
        }
        Some(answer)
    }
}

fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return Some((labels.join("."), at + 1));
        }
        let label = message.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_down_a_question_and_answers_from_the_table() {
        let server = NameServer { state: Arc::default() };
        server.set("a.example", &[IpAddr::from([20, 0, 0, 9])]);
        let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01A\x07example\x00\x00\x01\x00\x01";
        let answer = server.answer(query).unwrap();
        assert_eq!(answer[3] & 0x0f, 0);
        assert!(answer.ends_with(&[0, 4, 20, 0, 0, 9]));
        assert_eq!(server.questions(), [Question { name: "a.example".to_owned(), kind: 1 }]);
        let unknown = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01b\x07example\x00\x00\x01\x00\x01";
        assert_eq!(server.answer(unknown).unwrap()[3] & 0x0f, 3);
        assert!(server.was_asked_for("example"));
        assert!(!server.was_asked_for("xample"));
    }
}
