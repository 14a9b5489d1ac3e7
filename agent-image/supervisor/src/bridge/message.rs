//! What an MCP server says: JSON-RPC messages, by themselves or as the events of a stream. Whoever talked a bridge into something
//! may choose these bytes: only what is asked for is kept of them, nothing is kept twice, and what is too long ends it.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use thiserror::Error;

/// Characters that are shown of a text that the server chose.
const SHOWN: usize = 120;

/// A message, in view of one question.
#[derive(Debug, PartialEq)]
pub enum Said<T> {
    /// Its answer.
    Answer(T),
    /// Its refusal: number and text, cleaned and cut.
    Refused(i64, String),
    /// A question of the server's own, with its identifier as it stood.
    Asked {
        /// As it stood.
        id: String,
        /// Whether it only asks if somebody is there.
        is_ping: bool,
    },
    /// Something else: a notification, an answer to another question.
    Other,
}

/// What is no message, or not the one that was asked for.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    /// Not JSON-RPC.
    #[error("what it says is no message of JSON-RPC 2.0")]
    Message,
    /// An answer that does not have what it must.
    #[error("its answer is not what was asked for")]
    Answer,
    /// Longer than any of these is.
    #[error("what it says is too long")]
    Long,
}

#[derive(Deserialize)]
struct Message<'m> {
    #[serde(borrow)]
    jsonrpc: Cow<'m, str>,
    #[serde(borrow, default)]
    id: Option<&'m RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'m, str>>,
    #[serde(borrow, default)]
    result: Option<&'m RawValue>,
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    #[serde(default)]
    message: String,
}

/// Reads a message as what may answer the question of this number.
///
/// # Errors
///
/// It is none, or answers with something else.
pub fn read<T: DeserializeOwned>(bytes: &[u8], question: u64) -> Result<Said<T>, Malformed> {
    let message: Message<'_> = serde_json::from_slice(bytes).map_err(|_| Malformed::Message)?;
    if message.jsonrpc != "2.0" {
        return Err(Malformed::Message);
    }
    let Some(id) = message.id else { return Ok(Said::Other) };
    if let Some(method) = message.method {
        // It is sent back as it stood.
        let is_short = id.get().len() <= SHOWN;
        return if is_short {
            Ok(Said::Asked { id: id.get().into(), is_ping: method == "ping" })
        } else {
            Err(Malformed::Message)
        };
    }
    if id.get() != question.to_string() {
        return Ok(Said::Other);
    }
    match (message.result, message.error) {
        (Some(result), None) => serde_json::from_str(result.get()).map(Said::Answer).map_err(|_| Malformed::Answer),
        (None, Some(Refusal { code, message })) => Ok(Said::Refused(code, shown(&message))),
        _ => Err(Malformed::Message),
    }
}

/// A text that somebody else chose, fit to be shown: one line, no control characters, cut.
pub fn shown(text: &str) -> String {
    text.chars().take(SHOWN).map(|letter| if is_plain(letter) { letter } else { ' ' }).collect()
}

/// Whether a character may be written to a log or a terminal: neither a control nor one that turns or hides text.
pub(super) fn is_plain(letter: char) -> bool {
    !crate::clean::is_hidden(letter)
}

/// The answer to `initialize`.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Initialized {
    /// The version that the server will speak.
    pub protocol_version: String,
    /// Who it is.
    #[serde(default)]
    pub server_info: Server,
}

/// Who a server is.
#[derive(Debug, Default, Deserialize, PartialEq)]
pub struct Server {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
}

/// The answer to `tools/list`; of a tool, only its name.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Tools {
    /// What is offered.
    pub tools: Vec<Tool>,
    /// Where the next page begins.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// A tool.
#[derive(Debug, Deserialize, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
}

/// Reads a stream of server-sent events (WHATWG HTML, 9.2.6) piece by piece: the data of each event, whatever it is called.
#[derive(Debug)]
pub struct Events {
    line: Vec<u8>,
    data: Option<Vec<u8>>,
    is_after_return: bool,
    is_at_start: bool,
    room: usize,
}

impl Events {
    /// Takes so many bytes in all.
    pub fn new(room: usize) -> Self {
        Events { line: Vec::new(), data: None, is_after_return: false, is_at_start: true, room }
    }

    /// Takes more of the stream, and gives the events that are now whole.
    ///
    /// # Errors
    ///
    /// The stream is too long.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
        self.room = self.room.checked_sub(bytes.len()).ok_or(Malformed::Long)?;
        let mut whole = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' if self.is_after_return => self.is_after_return = false,
                b'\n' | b'\r' => {
                    self.is_after_return = *byte == b'\r';
                    whole.extend(self.end_line());
                }
                _ => {
                    self.is_after_return = false;
                    self.line.push(*byte);
                }
            }
        }
        Ok(whole)
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if std::mem::take(&mut self.is_at_start) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return self.data.take();
        }
        let value = match line.strip_prefix(b"data") {
            Some([]) => &[],
            Some([b':', b' ', value @ ..] | [b':', value @ ..]) => value,
            _ => return None,
        };
        match &mut self.data {
            Some(data) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            None => self.data = Some(value.to_vec()),
        }
        None
    }
}

#[cfg(test)]
mod tests;
