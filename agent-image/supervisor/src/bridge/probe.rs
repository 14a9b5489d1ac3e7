//! Whether a bridge works: what a client does first, and no more. `initialize`, the versions agreed on, `tools/list`; and the
//! tools that must be there are. A probe is bounded in time and bytes, whoever answers.

mod http;
mod stdio;

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

pub use self::http::{Http, Over};
pub use self::stdio::Stdio;

use super::message::{Initialized, Malformed, Said, Tools, shown};

/// Versions of the protocol that a probe speaks, the newest first: each has `initialize` and `tools/list` in one shape.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// A whole probe, the start of a child included.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Bytes that are read in a whole probe.
const ROOM: usize = 1 << 20;

/// Pages of tools.
const PAGES: u64 = 16;

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Name and version, as the server says; cleaned.
    pub server: String,
    /// Its version.
    pub version: String,
    /// Which version of the protocol it chose.
    pub protocol: String,
    /// What it offers; names that can't be shown are left out.
    pub tools: Vec<String>,
}

/// Why a bridge does not work.
#[derive(Debug, Error)]
pub enum Failed {
    /// Its program can't be started.
    #[error("it can't be started: {0}")]
    Start(std::io::Error),
    /// It is not reached, or broke off.
    #[error("no connection: {0}")]
    Connection(String),
    /// It ended.
    #[error("it ended before it answered")]
    Ended,
    /// It takes too long.
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// HTTP says no.
    #[error("answered {0}")]
    Status(u16),
    /// Its answer is neither JSON nor a stream.
    #[error("answers with neither application/json nor text/event-stream")]
    Content,
    /// What it says makes no sense.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// MCP says no.
    #[error("{question} is refused: {code} {text}")]
    Refused {
        /// Which.
        question: &'static str,
        /// The number.
        code: i64,
        /// Its text, cleaned.
        text: String,
    },
    /// No version in common.
    #[error("speaks version {0} of the protocol, which is none of ours")]
    Version(String),
    /// Something that must be there is not.
    #[error("does not offer {0}")]
    Tool(String),
}

/// How a server is spoken to.
pub(super) trait Wire {
    /// Sends a message that wants no answer.
    async fn tell(&mut self, message: Vec<u8>) -> Result<(), Failed>;

    /// Sends a question, and gives messages to `take` until it has what it wants.
    async fn ask<T>(
        &mut self,
        question: Vec<u8>,
        take: &mut (impl FnMut(&[u8]) -> Result<Heard<T>, Failed> + Send),
    ) -> Result<T, Failed>;

    /// Which version was agreed on.
    fn agreed(&mut self, _version: &str) {}
}

/// What came of a message.
pub(super) enum Heard<T> {
    /// It was the answer.
    Answer(T),
    /// The server asks for something: this is sent back.
    Reply(Vec<u8>),
    /// It was something else.
    Nothing,
}

/// Probes a server, within [`DEADLINE`] less what it took to reach it.
///
/// # Errors
///
/// It does not work, and why.
pub(super) async fn probe(wire: &mut impl Wire, wanted: &[String], deadline: Duration) -> Result<Found, Failed> {
    match tokio::time::timeout(deadline, converse(wire, wanted)).await {
        Ok(found) => found,
        Err(_) => Err(Failed::Slow(deadline)),
    }
}

async fn converse(wire: &mut impl Wire, wanted: &[String]) -> Result<Found, Failed> {
    let [newest, ..] = VERSIONS;
    let client = json!({ "name": "stubgate-agent", "version": env!("CARGO_PKG_VERSION") });
    let hello = json!({ "protocolVersion": newest, "capabilities": {}, "clientInfo": client });
    let answer: Initialized = question(wire, 1, "initialize", hello).await?;
    if !VERSIONS.contains(&answer.protocol_version.as_str()) {
        return Err(Failed::Version(shown(&answer.protocol_version)));
    }
    wire.agreed(&answer.protocol_version);
    wire.tell(bytes(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }))).await?;
    let mut tools = Vec::new();
    let mut cursor = None;
    for page in 0..PAGES {
        let from = cursor.take().map_or_else(|| json!({}), |cursor: String| json!({ "cursor": cursor }));
        let answer: Tools = question(wire, 2 + page, "tools/list", from).await?;
        tools.extend(answer.tools.into_iter().map(|tool| tool.name).filter(|name| shown(name) == *name));
        cursor = answer.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    match wanted.iter().find(|wanted| !tools.contains(wanted)) {
        Some(missing) => Err(Failed::Tool(missing.clone())),
        None => Ok(Found {
            server: shown(&answer.server_info.name),
            version: shown(&answer.server_info.version),
            protocol: answer.protocol_version,
            tools,
        }),
    }
}

async fn question<T: DeserializeOwned + Send>(
    wire: &mut impl Wire,
    id: u64,
    method: &'static str,
    params: Value,
) -> Result<T, Failed> {
    let text = bytes(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    let mut take = |message: &[u8]| {
        Ok(match super::message::read::<T>(message, id)? {
            Said::Answer(answer) => Heard::Answer(answer),
            Said::Refused(code, text) => return Err(Failed::Refused { question: method, code, text }),
            Said::Asked { id, is_ping } => Heard::Reply(reply(&id, is_ping)),
            Said::Other => Heard::Nothing,
        })
    };
    wire.ask(text, &mut take).await
}

/// A server may ask whether its client is there; whatever else it wants, a probe has not.
fn reply(id: &str, is_ping: bool) -> Vec<u8> {
    let answer = match is_ping {
        true => r#""result":{}"#,
        false => r#""error":{"code":-32601,"message":"a probe offers nothing"}"#,
    };
    format!(r#"{{"jsonrpc":"2.0","id":{id},{answer}}}"#).into_bytes()
}

fn bytes(message: &Value) -> Vec<u8> {
    message.to_string().into_bytes()
}

#[cfg(test)]
mod tests;
