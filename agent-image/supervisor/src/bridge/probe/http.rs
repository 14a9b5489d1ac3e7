//! A probe over Streamable HTTP (MCP 2025-11-25, Transports): each message is a POST, and its answer JSON or a stream of events.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Failed, Heard, ROOM, Wire};
use crate::bridge::message::{Events, Malformed};
use crate::web;

/// A server that is reached over HTTP.
pub struct Http {
    over: Over,
    url: Uri,
    headers: HeaderMap,
    session: Option<HeaderValue>,
    room: usize,
}

/// Which way it is reached.
#[derive(Clone)]
pub enum Over {
    /// On this machine, by nothing that stands between.
    Loopback(SocketAddr),
    /// Through the firewall, as everything else.
    Web(Box<web::Client>),
}

impl Http {
    /// The server at an address, with headers for each request.
    pub fn new(over: Over, url: Uri, mut headers: HeaderMap) -> Self {
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Http { over, url, headers, session: None, room: ROOM }
    }

    async fn post(&mut self, message: Vec<u8>) -> Result<Response<Incoming>, Failed> {
        let answer = self.send(Method::POST, message.into()).await?;
        if !answer.status().is_success() {
            return Err(Failed::Status(answer.status().as_u16()));
        }
        if self.session.is_none() {
            self.session = answer.headers().get("mcp-session-id").filter(|id| id.len() <= 1024).cloned();
        }
        Ok(answer)
    }

    async fn send(&self, method: Method, body: Bytes) -> Result<Response<Incoming>, Failed> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        request.headers_mut().clone_from(&self.headers);
        if let Some(session) = &self.session {
            request.headers_mut().insert("mcp-session-id", session.clone());
        }
        self.over.send(request).await
    }

    /// Ends the session, where the server keeps one. Nobody waits for it.
    pub async fn end(&mut self) {
        if self.session.is_some() {
            let _ = tokio::time::timeout(Duration::from_secs(2), self.send(Method::DELETE, Bytes::new())).await;
        }
    }
}

impl Over {
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed> {
        match self {
            Over::Web(client) => client.open(request).await.map_err(|error| Failed::Connection(error.to_string())),
            Over::Loopback(address) => loopback(*address, request).await,
        }
    }
}

/// One request on a connection of its own.
async fn loopback(address: SocketAddr, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed> {
    let failed = |error: &dyn std::error::Error| Failed::Connection(error.to_string());
    let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error))?;
    // Ends with its last body.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    if let Ok(host) = HeaderValue::from_str(&address.to_string()) {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    sender.send_request(request).await.map_err(|error| failed(&error))
}

impl Wire for Http {
    async fn tell(&mut self, message: Vec<u8>) -> Result<(), Failed> {
        self.post(message).await.map(drop)
    }

    async fn ask<T>(
        &mut self,
        question: Vec<u8>,
        take: &mut (impl FnMut(&[u8]) -> Result<Heard<T>, Failed> + Send),
    ) -> Result<T, Failed> {
        let answer = self.post(question).await?;
        let content = web::header(answer.headers(), "content-type").unwrap_or_default();
        let kind = content.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut body = answer.into_body();
        let mut stream = match kind.as_str() {
            "application/json" => None,
            "text/event-stream" => Some(Events::new(self.room)),
            _ => return Err(Failed::Content),
        };
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failed::Connection(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            self.room = self.room.checked_sub(data.len()).ok_or(Malformed::Long)?;
            let Some(events) = &mut stream else {
                whole.extend_from_slice(&data);
                continue;
            };
            // An event without data opens a stream that can be resumed.
            for event in events.feed(&data)?.into_iter().filter(|event| !event.is_empty()) {
                match take(&event)? {
                    Heard::Answer(answer) => return Ok(answer),
                    Heard::Reply(reply) => self.tell(reply).await?,
                    Heard::Nothing => {}
                }
            }
        }
        if stream.is_some() {
            return Err(Failed::Ended);
        }
        match take(&whole)? {
            Heard::Answer(answer) => Ok(answer),
            Heard::Reply(_) | Heard::Nothing => Err(Malformed::Answer.into()),
        }
    }

    fn agreed(&mut self, version: &str) {
        if let Ok(version) = HeaderValue::from_str(version) {
            self.headers.insert(HeaderName::from_static("mcp-protocol-version"), version);
        }
    }
}
