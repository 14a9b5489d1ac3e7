//! What stands before a NATS server: TLS, and a check of the upgrade's Bearer token, as in a cluster. It can hold answers back.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

/// What it does with a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mode {
    /// Checks and passes on.
    Pass,
    /// Takes it, and never says a word.
    Silent,
    /// Passes on all but JetStream's answers.
    SwallowAnswers,
}

pub(crate) struct Front {
    port: u16,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

struct Shared {
    token: String,
    to: u16,
    mode: AtomicU8,
    connections: AtomicUsize,
    answers: AtomicUsize,
    heads: Mutex<Vec<String>>,
}

impl Front {
    /// One before a server's port that wants this token.
    pub(crate) fn open(authority: &Authority, token: &str, to: u16) -> Front {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared {
            token: token.into(),
            to,
            mode: AtomicU8::new(Mode::Pass as u8),
            connections: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            heads: Mutex::new(Vec::new()),
        });
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::clone(&authority.config));
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    shared.connections.fetch_add(1, Ordering::SeqCst);
                    // A client that goes away is none of its errors.
                    let _ = shared.serve(acceptor, stream).await;
                });
            }
        });
        Front { port, shared, _runtime: runtime }
    }

    pub(crate) fn address(&self) -> String {
        format!("wss://localhost:{}", self.port)
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.store(mode as u8, Ordering::SeqCst);
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many of JetStream's answers came to it.
    pub(crate) fn answers(&self) -> usize {
        self.shared.answers.load(Ordering::SeqCst)
    }

    /// The heads of upgrades.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }
}

fn authorization(line: &str) -> Option<&str> {
    let (name, value) = line.split_once(": ")?;
    name.eq_ignore_ascii_case("authorization").then_some(value)
}

impl Shared {
    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::SeqCst) == mode as u8
    }

    async fn serve(&self, acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
        if self.is(Mode::Silent) {
            std::future::pending::<()>().await;
        }
        let mut client = acceptor.accept(stream).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let head = String::from_utf8(head).unwrap();
        self.heads.lock().unwrap().push(head.clone());
        let bearer = format!("Bearer {}", self.token);
        let lines: Vec<&str> = head.split("\r\n").collect();
        let given = lines.iter().copied().find_map(authorization);
        if given != Some(bearer.as_str()) {
            return client.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
        }
        let rest: Vec<&str> = lines.iter().copied().filter(|line| authorization(line).is_none()).collect();
        let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.to)).await?;
        server.write_all(rest.join("\r\n").as_bytes()).await?;
        let (from_client, to_client) = tokio::io::split(client);
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            done = self.pass(from_client, to_server, false) => done,
            done = self.pass(from_server, to_client, true) => done,
        }
    }

    async fn pass(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        is_answers: bool,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 65536];
        loop {
            let length = from.read(&mut buffer).await?;
            if length == 0 {
                return Ok(());
            }
            let part = &buffer[..length];
            // A server does not mask its frames, and an answer is small enough to come in one piece.
            if is_answers && part.windows(10).any(|window| window == b"{\"stream\":") {
                self.answers.fetch_add(1, Ordering::SeqCst);
                if self.is(Mode::SwallowAnswers) {
                    continue;
                }
            }
            to.write_all(part).await?;
            to.flush().await?;
        }
    }
}
