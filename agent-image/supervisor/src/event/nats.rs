//! As much of NATS as publishing needs: connect over a WebSocket, publish with a reply subject, hear JetStream's answer.
//!
//! The stub goes as a Bearer token of the WebSocket's upgrade, which is a slot that policy can swap. NATS' own CONNECT is a frame
//! inside of it, where nothing is ever swapped, so that it carries no secret at all; and the client of the NATS project can't add
//! a header to the upgrade, which is why it is not used here. One publish waits for its answer before the next.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Uri, header};
use rustls::ClientConfig;
use serde::Deserialize;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_websockets::{ClientBuilder, Limits, Message, WebSocketStream};

use super::route;
use crate::clean;

/// Bytes of a line, or of a message, from the server at most.
const LARGEST: usize = 256 * 1024;

/// A whole connect, and one answer, take no longer.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Where events go, and as whom.
#[derive(Clone, Debug)]
pub struct Server {
    /// `wss://…`.
    pub address: Uri,
    /// In place of the token.
    pub stub: String,
    /// The connection's name at the server.
    pub name: String,
    /// Whom to trust.
    pub trust: Arc<ClientConfig>,
}

/// A connection.
pub struct Connection {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    buffer: BytesMut,
    inbox: String,
    published: u64,
    largest: usize,
}

/// Why an event was not taken.
#[derive(Debug, Error)]
pub enum Failed {
    /// The server can't be reached, or went away: the event may have been taken or not.
    #[error("{0}")]
    Away(String),
    /// It refuses this event and would refuse it again.
    #[error("{0}")]
    Never(String),
    /// It refuses the event now: no stream takes its subject, or the stream is full.
    #[error("{0}")]
    NotNow(String),
}

/// JetStream's answer.
#[derive(Debug, Deserialize)]
pub struct Taken {
    /// The stream that holds it.
    #[serde(default)]
    pub stream: String,
    /// Its place there.
    #[serde(default)]
    pub seq: u64,
    /// Whether the stream had it already.
    #[serde(default)]
    pub duplicate: bool,
    error: Option<Refusal>,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Deserialize)]
struct Info {
    #[serde(default)]
    headers: bool,
    #[serde(default)]
    max_payload: usize,
}

/// What the server says.
#[derive(Debug)]
enum Said {
    Info(Info),
    Pong,
    Ping,
    Error(String),
    Message { subject: String, status: Option<u16>, payload: Vec<u8> },
    Nothing,
}

fn away(error: impl std::fmt::Display) -> Failed {
    Failed::Away(clean::quoted(&error.to_string()))
}

impl Connection {
    /// Connects and greets.
    ///
    /// # Errors
    ///
    /// [`Failed::Away`], with the status where the upgrade was refused.
    pub async fn open(server: &Server) -> Result<Self, Failed> {
        tokio::time::timeout(DEADLINE, Self::greeted(server)).await.map_err(|_| slow())?
    }

    async fn greeted(server: &Server) -> Result<Self, Failed> {
        let stream = route::connect(&server.address, Arc::clone(&server.trust)).await.map_err(away)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", server.stub)).map_err(away)?;
        bearer.set_sensitive(true);
        let builder = ClientBuilder::from_uri(server.address.clone())
            .limits(Limits::default().max_payload_len(Some(LARGEST)))
            .add_header(header::AUTHORIZATION, bearer)
            .map_err(away)?;
        let (socket, _) = builder.connect_on(stream).await.map_err(|error| match error.to_string() {
            text if text.contains("status code 403") => away(format!(
                "{text}: policy (preset nats-events@1) or the server's front refused it, as docs/agent/events.md has them"
            )),
            text => away(text),
        })?;
        let inbox = format!("_INBOX.{}", nonce()?);
        let mut connection = Connection { socket, buffer: BytesMut::new(), inbox, published: 0, largest: 0 };
        let info = match connection.said().await? {
            Said::Info(info) => info,
            _ => return Err(Failed::Away("the server does not greet as NATS does".into())),
        };
        if !info.headers {
            return Err(Failed::Away(
                "the server knows no headers, so that nothing would keep an event from coming twice".into(),
            ));
        }
        connection.largest = info.max_payload;
        let greeting = serde_json::json!({
            "verbose": false, "pedantic": false, "tls_required": false, "headers": true, "no_responders": true, "echo": false,
            "protocol": 1, "lang": "rust", "version": env!("CARGO_PKG_VERSION"), "name": server.name,
        });
        let inbox = &connection.inbox;
        let text = format!("CONNECT {greeting}\r\nSUB {inbox}.* 1\r\nPING\r\n");
        connection.send(text.into_bytes()).await?;
        loop {
            match connection.said().await? {
                Said::Pong => return Ok(connection),
                Said::Error(why) => return Err(Failed::Away(why)),
                Said::Ping => connection.send(b"PONG\r\n".to_vec()).await?,
                Said::Info(_) | Said::Message { .. } | Said::Nothing => {}
            }
        }
    }

    /// Publishes, and waits until JetStream has it.
    ///
    /// # Errors
    ///
    /// [`Failed`]; after [`Failed::Away`] the connection is of no more use.
    pub async fn publish(&mut self, subject: &str, id: &str, payload: &str) -> Result<Taken, Failed> {
        let headers = format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n");
        let whole = headers.len() + payload.len();
        if whole > self.largest {
            return Err(Failed::Never(format!("{whole} bytes, and the server takes {}", self.largest)));
        }
        self.published += 1;
        let reply = format!("{}.{}", self.inbox, self.published);
        let text = format!("HPUB {subject} {reply} {} {whole}\r\n{headers}{payload}\r\n", headers.len());
        tokio::time::timeout(DEADLINE, async {
            self.send(text.into_bytes()).await?;
            self.answer(&reply).await
        })
        .await
        .map_err(|_| slow())?
    }

    async fn answer(&mut self, reply: &str) -> Result<Taken, Failed> {
        loop {
            match self.said().await? {
                Said::Message { subject, status, payload } if subject == reply => return taken(status, &payload),
                Said::Error(why) if why.contains("Permissions Violation") => return Err(Failed::Never(why)),
                Said::Error(why) => return Err(Failed::Away(why)),
                Said::Ping => self.send(b"PONG\r\n".to_vec()).await?,
                Said::Info(_) | Said::Pong | Said::Message { .. } | Said::Nothing => {}
            }
        }
    }

    async fn send(&mut self, text: Vec<u8>) -> Result<(), Failed> {
        self.socket.send(Message::binary(text)).await.map_err(away)
    }

    async fn said(&mut self) -> Result<Said, Failed> {
        loop {
            if let Some(said) = parse(&mut self.buffer).map_err(away)? {
                return Ok(said);
            }
            match self.socket.next().await {
                Some(Ok(message)) if message.is_binary() || message.is_text() => {
                    self.buffer.extend_from_slice(message.as_payload());
                }
                Some(Ok(message)) if message.is_close() => {
                    return Err(Failed::Away("the server closed the connection".into()));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(away(error)),
                None => return Err(Failed::Away("the connection broke off".into())),
            }
        }
    }
}

fn slow() -> Failed {
    Failed::Away(format!("no answer within {} s", DEADLINE.as_secs()))
}

/// What JetStream answered, of its status line or its JSON.
fn taken(status: Option<u16>, payload: &[u8]) -> Result<Taken, Failed> {
    if status == Some(503) {
        return Err(Failed::NotNow("no stream takes its subject".into()));
    }
    let taken: Taken = serde_json::from_slice(payload).map_err(|_| Failed::Away("no answer of JetStream's".into()))?;
    match &taken.error {
        // Of the server's state: no place, no leader. All else is of the event.
        Some(refusal) if refusal.code >= 500 => Err(Failed::NotNow(clean::quoted(&refusal.description))),
        Some(refusal) => Err(Failed::Never(clean::quoted(&refusal.description))),
        None if taken.stream.is_empty() || taken.seq == 0 => Err(Failed::Away("no answer of JetStream's".into())),
        None => Ok(taken),
    }
}

/// Takes the next thing that the server said out of what arrived; `None` if it is not all there yet.
fn parse(buffer: &mut BytesMut) -> io::Result<Option<Said>> {
    let Some(end) = buffer.windows(2).position(|two| two == b"\r\n") else {
        return if buffer.len() > LARGEST { Err(odd("a line that does not end")) } else { Ok(None) };
    };
    let line = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned();
    let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
    let said = match word.to_ascii_uppercase().as_str() {
        "INFO" => Said::Info(serde_json::from_str(rest).map_err(|_| odd("an INFO that is none"))?),
        "PING" => Said::Ping,
        "PONG" => Said::Pong,
        "-ERR" => Said::Error(clean::quoted(rest.trim().trim_matches('\''))),
        "MSG" | "HMSG" => {
            let has_headers = word.eq_ignore_ascii_case("HMSG");
            let words: Vec<&str> = rest.split_ascii_whitespace().collect();
            let numbers = if has_headers { 2 } else { 1 };
            let sizes = words.len().checked_sub(numbers).and_then(|at| words.get(at..)).unwrap_or_default();
            let size = |at: usize| sizes.get(at).and_then(|size| size.parse::<usize>().ok());
            let (Some(subject), Some(whole)) = (words.first(), size(numbers - 1)) else {
                return Err(odd("a message without its size"));
            };
            let head = if has_headers { size(0).unwrap_or(0) } else { 0 };
            if whole > LARGEST || head > whole {
                return Err(odd("a message that is too long"));
            }
            let begin = end + 2;
            if buffer.len() < begin + whole + 2 {
                return Ok(None);
            }
            let status = status(buffer.get(begin..begin + head).unwrap_or_default());
            let payload = buffer.get(begin + head..begin + whole).unwrap_or_default().to_vec();
            let subject = (*subject).to_owned();
            buffer.advance(begin + whole + 2);
            return Ok(Some(Said::Message { subject, status, payload }));
        }
        _ => Said::Nothing,
    };
    buffer.advance(end + 2);
    Ok(Some(said))
}

/// The status in the first line of a message's headers, as `NATS/1.0 503`.
fn status(headers: &[u8]) -> Option<u16> {
    let line = headers.split(|byte| *byte == b'\r').next()?;
    let text = std::str::from_utf8(line).ok()?;
    text.strip_prefix("NATS/1.0 ")?.get(..3)?.parse().ok()
}

fn odd(what: &str) -> io::Error {
    io::Error::other(format!("the server sent {what}"))
}

/// A part of a subject that nobody else guesses.
fn nonce() -> Result<String, Failed> {
    let mut bytes = [0; 16];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.secure_random.fill(&mut bytes).map_err(|_| Failed::Away("no random numbers".into()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> (Vec<String>, usize) {
        let mut buffer = BytesMut::from(text);
        let mut said = Vec::new();
        while let Ok(Some(one)) = parse(&mut buffer) {
            said.push(format!("{one:?}"));
        }
        (said, buffer.len())
    }

    #[test]
    fn a_server_is_understood_wherever_its_words_are_cut() {
        let text = b"INFO {\"headers\":true,\"max_payload\":1048576,\"odd\":1}\r\nPING\r\n+OK\r\n-ERR 'Authorization Violation'\r\n\
            MSG _INBOX.a.1 1 5\r\nhel\r\n\r\nHMSG _INBOX.a.2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\nPONG\r\n";
        let (whole, left) = all(text);
        assert_eq!((whole.len(), left), (7, 0), "{whole:#?}");
        assert!(whole[5].contains("status: Some(503)"), "{whole:#?}");
        for cut in 1..text.len() {
            let mut buffer = BytesMut::new();
            let mut said = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(one) = parse(&mut buffer).unwrap() {
                    said.push(format!("{one:?}"));
                }
            }
            assert_eq!(said, whole, "cut at {cut}");
        }
    }

    #[test]
    fn only_an_answer_with_a_place_in_a_stream_is_taken() {
        for (status, payload, wanted) in [
            (None, r#"{"stream":"EVENTS","seq":7}"#, "Ok"),
            (None, r#"{"stream":"EVENTS","seq":7,"duplicate":true}"#, "Ok"),
            (None, r#"{"stream":"EVENTS"}"#, "Away"),
            (None, "hello", "Away"),
            (None, "", "Away"),
            (Some(503), "", "NotNow"),
            (None, r#"{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#, "NotNow"),
            (
                None,
                r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"}}"#,
                "Never",
            ),
        ] {
            let answer = format!("{:?}", taken(status, payload.as_bytes()));
            let answer = answer.strip_prefix("Err(").unwrap_or(&answer);
            assert!(answer.starts_with(wanted), "{payload}: {answer}");
        }
    }

    #[test]
    fn what_is_too_long_is_refused_and_not_waited_for() {
        for text in ["MSG a 1 999999999\r\n", "HMSG a 1 20 10\r\n", "MSG a\r\n", "MSG\r\n", "INFO x\r\n"] {
            assert!(parse(&mut BytesMut::from(text)).is_err(), "{text:?}");
        }
        assert!(parse(&mut BytesMut::from(&vec![b'x'; LARGEST + 1][..])).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_stand_still(bytes in any::<Vec<u8>>()) {
            let mut buffer = BytesMut::from(&bytes[..]);
            let mut before = buffer.len();
            while let Ok(Some(_)) = parse(&mut buffer) {
                prop_assert!(buffer.len() < before);
                before = buffer.len();
            }
        }
    }
}
