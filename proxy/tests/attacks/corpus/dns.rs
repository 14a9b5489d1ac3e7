//! DNS messages, well-formed or not (RFC 1035 section 4), and what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

use super::bytes::{Text, Words};
use crate::client::{PATIENCE, tcp};

/// How long silence must last to be called so.
const SILENCE: Duration = Duration::from_millis(300);

/// A message.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Question {
    /// The whole message; all that follows says nothing then.
    pub(crate) message: Option<Text>,
    /// The name, its labels divided by dots.
    name: Option<String>,
    /// Its labels one by one, where a dot may stand in them.
    labels: Option<Vec<String>>,
    /// The type's number.
    #[serde(default = "one")]
    kind: u16,
    #[serde(default = "one")]
    class: u16,
    /// The first two bytes of flags; recursion desired where nothing is said.
    #[serde(default = "recursion")]
    flags: u16,
    /// How often the question stands there.
    #[serde(default = "one")]
    questions: u16,
    /// What the header says, where that is not the number of questions.
    said: Option<u16>,
    /// More bytes behind the questions, and how many records they are.
    #[serde(default)]
    additional: String,
    #[serde(default)]
    additional_count: u16,
}

fn one() -> u16 {
    1
}

fn recursion() -> u16 {
    0x0100
}

impl Question {
    pub(crate) fn bytes(&self, words: &Words) -> Vec<u8> {
        if let Some(message) = &self.message {
            return message.bytes(words);
        }
        let text = |part: &str| super::bytes::to_bytes(&words.fill(part));
        let mut out = vec![0x12, 0x34];
        for number in [self.flags, self.said.unwrap_or(self.questions), 0, 0, self.additional_count] {
            out.extend(number.to_be_bytes());
        }
        let labels: Vec<Vec<u8>> = match (&self.labels, &self.name) {
            (Some(labels), _) => labels.iter().map(|label| text(label)).collect(),
            (None, Some(name)) => {
                text(name).split(|byte| *byte == b'.').filter(|label| !label.is_empty()).map(<[u8]>::to_vec).collect()
            }
            (None, None) => panic!("a question needs a name"),
        };
        for _ in 0..self.questions {
            for label in &labels {
                out.push(u8::try_from(label.len()).unwrap());
                out.extend(label);
            }
            out.push(0);
            out.extend(self.kind.to_be_bytes());
            out.extend(self.class.to_be_bytes());
        }
        out.extend(text(&self.additional));
        out
    }
}

/// What came back; none where nothing did.
pub(crate) async fn ask(to: SocketAddr, from: &str, message: &[u8], over_tcp: bool, quiet: bool) -> Option<Vec<u8>> {
    let patience = if quiet { SILENCE } else { PATIENCE };
    if over_tcp {
        let mut stream = tcp(to, from).await;
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        stream.write_all(&[&length, message].concat()).await.ok()?;
        let reading = async {
            let length = stream.read_u16().await.ok()?;
            let mut answer = vec![0; length.into()];
            stream.read_exact(&mut answer).await.ok()?;
            Some(answer)
        };
        return tokio::time::timeout(patience, reading).await.ok().flatten();
    }
    let socket = UdpSocket::bind((from, 0)).await.unwrap();
    socket.send_to(message, to).await.unwrap();
    let mut answer = vec![0; 65_536];
    let (length, _) = tokio::time::timeout(patience, socket.recv_from(&mut answer)).await.ok()?.ok()?;
    answer.truncate(length);
    Some(answer)
}

/// The code of an answer, in words, and how many records it has.
pub(crate) fn read(answer: &[u8]) -> (&'static str, u16) {
    let code = match answer.get(3).map(|flags| flags & 15) {
        Some(0) => "noerror",
        Some(1) => "formerr",
        Some(2) => "servfail",
        Some(3) => "nxdomain",
        Some(4) => "notimp",
        Some(5) => "refused",
        _ => "other",
    };
    let count = answer.get(6..8).map_or(0, |count| u16::from_be_bytes([count[0], count[1]]));
    (code, count)
}
