//! Connections of a client that sends what it likes, with a bound on everything that it waits for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ANSWER;

/// How long a connection may take to stand.
const STANDS: Duration = Duration::from_secs(3);
/// The most of an answer that is kept.
const MOST: usize = 256 << 10;

pub(super) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// A connection.
pub(super) struct Conn {
    io: Box<dyn Io>,
    read: Vec<u8>,
    is_over: bool,
}

/// The head of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Why stubgate refused; `None` where the answer is not its own.
    pub(super) fn reason(&self) -> Option<&str> {
        self.header("x-stubgate-reason")
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        match self.reason() {
            Some(reason) => format!("{} {reason}", self.status),
            None => format!("{}, not by stubgate", self.status),
        }
    }
}

pub(super) async fn tcp(to: SocketAddr) -> io::Result<TcpStream> {
    timeout(STANDS, TcpStream::connect(to)).await?
}

/// What came of a ClientHello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// The handshake would go on.
    Answered,
    /// An alert, or the end.
    Refused,
    /// Something that is not TLS.
    Other,
    /// Nothing within the time.
    Silent,
}

impl Conn {
    pub(super) fn over(io: impl Io + 'static) -> Self {
        Conn { io: Box::new(io), read: Vec::new(), is_over: false }
    }

    pub(super) async fn plain(to: SocketAddr) -> io::Result<Self> {
        tcp(to).await.map(Conn::over)
    }

    /// TLS on this connection, verified for the name.
    pub(super) async fn tls(self, config: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        timeout(ANSWER, TlsConnector::from(Arc::clone(config)).connect(name, self.io)).await?.map(Conn::over)
    }

    /// Whether a ClientHello with this name is answered. Nothing is verified, and nothing is sent after it.
    pub(super) async fn hello(mut self, config: &Arc<ClientConfig>, name: &str) -> Hello {
        let Ok(name) = ServerName::try_from(name.to_owned()) else { return Hello::Refused };
        let Ok(mut client) = ClientConnection::new(Arc::clone(config), name) else { return Hello::Refused };
        let mut bytes = Vec::new();
        if client.write_tls(&mut bytes).is_err() {
            return Hello::Refused;
        }
        self.send(&bytes).await;
        match self.some().await {
            None => Hello::Silent,
            Some(bytes) => match bytes.first() {
                Some(0x16) => Hello::Answered,
                Some(0x15) | None => Hello::Refused,
                Some(_) => Hello::Other,
            },
        }
    }

    /// Whether the other side has ended the connection, as far as was read.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        // What can't be sent any more was refused already.
        let _ = timeout(ANSWER, self.io.write_all(bytes)).await;
        let _ = timeout(ANSWER, self.io.flush()).await;
    }

    /// Sends, and reads one answer.
    pub(super) async fn ask(&mut self, request: &str) -> Option<Answer> {
        self.send(request.as_bytes()).await;
        self.answer().await
    }

    /// CONNECT; the answer to it.
    pub(super) async fn connect(&mut self, target: &str) -> Option<Answer> {
        self.send(format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n").as_bytes()).await;
        let answer = self.head().await?;
        if answer.status == 200 { Some(answer) } else { Some(self.body(answer).await) }
    }

    /// An answer with as much of its body as a length announces, or as comes within the time.
    pub(super) async fn answer(&mut self) -> Option<Answer> {
        loop {
            let answer = self.head().await?;
            if answer.status / 100 != 1 || answer.status == 101 {
                return Some(self.body(answer).await);
            }
        }
    }

    async fn head(&mut self) -> Option<Answer> {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head).into_owned();
                let status = head.split(' ').nth(1).and_then(|code| code.get(..3)).and_then(|code| code.parse().ok());
                let status = if head.starts_with("HTTP/1.") { status? } else { return None };
                return Some(Answer { status, head, body: Vec::new() });
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn body(&mut self, mut answer: Answer) -> Answer {
        let length = match answer.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
            Some(length) => length.min(MOST),
            None if matches!(answer.status, 101 | 204 | 304) => 0,
            None => MOST,
        };
        while self.read.len() < length {
            // Chunks are looked at as they came; their end is enough.
            if self.read.ends_with(b"0\r\n\r\n") || !self.fill().await {
                break;
            }
        }
        answer.body = self.read.drain(..length.min(self.read.len())).collect();
        answer
    }

    /// Whatever comes next; empty at the end, `None` where nothing comes within the time.
    pub(super) async fn some(&mut self) -> Option<Vec<u8>> {
        if self.read.is_empty() {
            let mut buffer = vec![0; 16 << 10];
            match timeout(ANSWER, self.io.read(&mut buffer)).await {
                Err(_) => return None,
                Ok(Err(_)) => return Some(Vec::new()),
                Ok(Ok(length)) => self.read.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            }
        }
        Some(std::mem::take(&mut self.read))
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = vec![0; 16 << 10];
        match timeout(ANSWER, self.io.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 && self.read.len() < MOST => {
                self.read.extend_from_slice(buffer.get(..length).unwrap_or_default());
                true
            }
            Ok(_) => {
                self.is_over = true;
                false
            }
            Err(_) => false,
        }
    }
}
