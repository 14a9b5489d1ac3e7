//! An origin that keeps every byte it gets and answers with whatever bytes a test wants.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::server::Acceptor;
use stubgate_certs::{LeafName, Minter};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::LazyConfigAcceptor;

/// A request as it came, byte for byte.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Which connection; they are numbered from 0.
    pub(crate) connection: usize,
    pub(crate) sni: String,
    /// Head as sent, its empty line included.
    pub(crate) head: String,
    /// Body as decoded.
    pub(crate) body: Vec<u8>,
    /// Bytes of all of it as sent.
    pub(crate) size: usize,
}

impl Seen {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn path(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let mut found = self.headers(name);
        assert!(found.len() < 2, "{name} stands twice in {}", self.head);
        found.pop()
    }

    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned()).collect()
    }
}

/// How to answer.
pub(crate) enum Reply {
    /// These bytes; the connection goes on.
    Bytes(Vec<u8>),
    /// These bytes, then the end.
    Close(Vec<u8>),
    /// Nothing, ever.
    Silence,
    /// Bytes as the test sends them, while what comes is kept; ends when the test drops its end.
    Stream(mpsc::UnboundedReceiver<Vec<u8>>),
    /// Over HTTP/2, where all else is an echo: a head at once and no body ever; true reads the request's body, false does
    /// not.
    Early(bool),
    /// Over HTTP/2: a body without an end, as fast as it is taken; its pieces are counted.
    Endless,
}

/// Bytes of a piece of an endless body.
pub(crate) const PIECE: usize = 16 << 10;

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Bytes(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

type Answerer = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

#[derive(Default)]
struct Kept {
    requests: Mutex<Vec<Seen>>,
    /// All bytes of each connection, after TLS.
    raw: Mutex<Vec<Vec<u8>>>,
    accepted: AtomicUsize,
    /// Pieces of streams that were taken.
    taken: AtomicUsize,
    /// Connections that the other side has closed.
    closed: Mutex<Vec<usize>>,
    answers: Mutex<HashMap<String, Answerer>>,
}

#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    kept: Arc<Kept>,
}

impl Origin {
    pub(crate) async fn start(minter: Arc<Minter>, h2_only: bool) -> Self {
        let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Origin { address: sockets.local_addr().unwrap(), kept: Arc::default() };
        let shared = origin.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = sockets.accept().await {
                let number = shared.kept.accepted.fetch_add(1, Ordering::SeqCst);
                shared.kept.raw.lock().unwrap().push(Vec::new());
                let (origin, minter) = (shared.clone(), Arc::clone(&minter));
                tokio::spawn(async move { origin.accept(tcp, number, &minter, h2_only).await });
            }
        });
        origin
    }

    /// Answers requests for a path so.
    pub(crate) fn answer(&self, path: &str, answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.kept.answers.lock().unwrap().insert(path.to_owned(), Arc::new(answer));
    }

    /// Answers requests for a path with these bytes.
    pub(crate) fn answer_bytes(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.answer(path, move |_| Reply::Bytes(bytes.clone()));
    }

    /// Forgets what came so far, and how to answer.
    pub(crate) fn forget(&self) {
        self.kept.requests.lock().unwrap().clear();
        self.kept.raw.lock().unwrap().iter_mut().for_each(Vec::clear);
        self.kept.answers.lock().unwrap().clear();
    }

    /// Whole requests.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.kept.requests.lock().unwrap().clone()
    }

    /// Every byte that came, after TLS.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.kept.raw.lock().unwrap().concat()
    }

    /// How many bytes came.
    pub(crate) fn byte_count(&self) -> usize {
        self.kept.raw.lock().unwrap().iter().map(Vec::len).sum()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.kept.accepted.load(Ordering::SeqCst)
    }

    /// How many pieces of streams the other sides have taken.
    pub(crate) fn taken(&self) -> usize {
        self.kept.taken.load(Ordering::SeqCst)
    }

    /// Whether the other side closed a connection.
    pub(crate) fn is_closed(&self, connection: usize) -> bool {
        self.kept.closed.lock().unwrap().contains(&connection)
    }

    /// Connections with bytes that belong to no whole request.
    pub(crate) fn unfinished(&self) -> Vec<usize> {
        let requests = self.requests();
        let whole = |connection: usize| -> usize {
            requests.iter().filter(|seen| seen.connection == connection).map(|seen| seen.size).sum()
        };
        let raw = self.kept.raw.lock().unwrap();
        raw.iter().enumerate().filter(|(n, bytes)| bytes.len() != whole(*n)).map(|(n, _)| n).collect()
    }

    /// Asserts that no half of a request waits: each connection ends where a request does.
    pub(crate) async fn kept_nothing_more(&self) {
        let raw = self.kept.raw.lock().unwrap().clone();
        for (connection, bytes) in raw.iter().enumerate() {
            let whole: usize = self
                .requests()
                .iter()
                .filter(|seen| seen.connection == connection)
                .map(|seen| seen.head.len() + seen.body.len())
                .sum();
            assert_eq!(bytes.len(), whole, "connection {connection}: {:?}", String::from_utf8_lossy(bytes));
        }
    }

    async fn accept(&self, tcp: TcpStream, number: usize, minter: &Minter, h2_only: bool) {
        let mut first = [0];
        if !matches!(tcp.peek(&mut first).await, Ok(1)) {
            self.kept.closed.lock().unwrap().push(number);
            return;
        }
        if first[0] == 0x16 {
            let Ok(hello) = LazyConfigAcceptor::new(Acceptor::default(), tcp).await else { return };
            let name = hello.client_hello().server_name().unwrap_or_default().to_owned();
            // The one address that a policy of these tests names.
            let named = if name.is_empty() { LeafName::Ip([10, 0, 0, 5].into()) } else { LeafName::Dns(&name) };
            let config = minter.server_config(&named).await.unwrap();
            let mut config: ServerConfig = (*config).clone();
            config.alpn_protocols = vec![if h2_only { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
            let Ok(tls) = hello.into_stream(Arc::new(config)).await else {
                self.kept.closed.lock().unwrap().push(number);
                return;
            };
            if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
                self.serve_h2(tls, number, name).await;
            } else {
                self.serve(tls, number, name).await;
            }
        } else {
            self.serve(tcp, number, String::new()).await;
        }
        self.kept.closed.lock().unwrap().push(number);
    }

    async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(&self, mut io: IO, connection: usize, sni: String) {
        let mut read = Vec::new();
        loop {
            let head = loop {
                if let Some(end) = find(&read, b"\r\n\r\n") {
                    break read.drain(..end + 4).collect::<Vec<u8>>();
                }
                if !self.fill(&mut io, connection, &mut read).await {
                    return;
                }
            };
            let mut seen = Seen {
                connection,
                sni: sni.clone(),
                head: String::from_utf8_lossy(&head).into(),
                body: Vec::new(),
                size: head.len(),
            };
            let expects = seen.header("expect").is_some();
            if expects && io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err() {
                return;
            }
            if let Some(length) = seen.header("content-length") {
                let length: usize = length.parse().unwrap();
                while read.len() < length {
                    if !self.fill(&mut io, connection, &mut read).await {
                        return;
                    }
                }
                seen.body = read.drain(..length).collect();
                seen.size += length;
            } else if seen.header("transfer-encoding").is_some() {
                loop {
                    let Some(end) = find(&read, b"\r\n") else {
                        if !self.fill(&mut io, connection, &mut read).await {
                            return;
                        }
                        continue;
                    };
                    let size = usize::from_str_radix(std::str::from_utf8(&read[..end]).unwrap(), 16).unwrap();
                    if read.len() < end + 2 + size + 2 {
                        if !self.fill(&mut io, connection, &mut read).await {
                            return;
                        }
                        continue;
                    }
                    seen.body.extend_from_slice(&read[end + 2..end + 2 + size]);
                    assert_eq!(&read[end + 2 + size..end + 4 + size], b"\r\n", "a chunk or trailers: {read:?}");
                    read.drain(..end + 4 + size);
                    seen.size += end + 4 + size;
                    if size == 0 {
                        break;
                    }
                }
            }
            self.kept.requests.lock().unwrap().push(seen.clone());
            match self.reply(&seen) {
                Reply::Bytes(bytes) => {
                    // TLS keeps what the socket did not take until it is flushed.
                    if io.write_all(&bytes).await.is_err() || io.flush().await.is_err() {
                        return;
                    }
                }
                Reply::Close(bytes) => {
                    let _ = io.write_all(&bytes).await;
                    let _ = io.flush().await;
                    let _ = io.shutdown().await;
                    return;
                }
                Reply::Silence | Reply::Early(_) | Reply::Endless => {
                    while self.fill(&mut io, connection, &mut read).await {}
                    return;
                }
                Reply::Stream(mut pieces) => loop {
                    tokio::select! {
                        piece = pieces.recv() => match piece {
                            Some(piece) => {
                                if io.write_all(&piece).await.is_err() {
                                    return;
                                }
                                let _ = io.flush().await;
                                self.kept.taken.fetch_add(1, Ordering::SeqCst);
                            }
                            None => {
                                let _ = io.shutdown().await;
                                return;
                            }
                        },
                        more = self.fill(&mut io, connection, &mut read) => if !more { return },
                    }
                },
            }
        }
    }

    async fn fill<IO: AsyncRead + Unpin>(&self, io: &mut IO, connection: usize, read: &mut Vec<u8>) -> bool {
        let mut buffer = [0; 16 * 1024];
        match io.read(&mut buffer).await {
            Ok(n) if n > 0 => {
                self.kept.raw.lock().unwrap()[connection].extend_from_slice(&buffer[..n]);
                read.extend_from_slice(&buffer[..n]);
                true
            }
            _ => false,
        }
    }

    fn reply(&self, seen: &Seen) -> Reply {
        let path = seen.path().split('?').next().unwrap_or_default().to_owned();
        let answer = self.kept.answers.lock().unwrap().get(&path).cloned();
        match answer {
            Some(answer) => answer(seen),
            None if seen.line().starts_with("HEAD") => {
                Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n".into())
            }
            None => ok("ok"),
        }
    }

    async fn serve_h2<IO>(&self, io: IO, connection: usize, sni: String)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let service = service_fn(|request: http::Request<Incoming>| {
            let (origin, sni) = (self.clone(), sni.clone());
            async move {
                let (parts, body) = request.into_parts();
                let target = parts.uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
                let mut head = format!("{} {target} HTTP/2\r\n", parts.method);
                head.push_str(&format!("host: {}\r\n", parts.uri.authority().unwrap()));
                for (name, value) in &parts.headers {
                    head.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
                }
                origin.kept.raw.lock().unwrap()[connection].extend_from_slice(head.as_bytes());
                let mut seen = Seen { connection, sni, size: head.len(), head, body: Vec::new() };
                let reply = origin.reply(&seen);
                if let Reply::Endless = reply {
                    let body = Flood { kept: Arc::clone(&origin.kept) };
                    return Ok(http::Response::new(BodyExt::boxed(body)));
                }
                if let Reply::Early(reads) = reply {
                    origin.kept.requests.lock().unwrap().push(seen);
                    if reads {
                        tokio::spawn(origin.keep(body, connection));
                        return Ok(http::Response::new(BodyExt::boxed(Endless { _unread: None })));
                    }
                    return Ok(http::Response::new(BodyExt::boxed(Endless { _unread: Some(body) })));
                }
                seen.body = body.collect().await?.to_bytes().to_vec();
                seen.size += seen.body.len();
                origin.kept.requests.lock().unwrap().push(seen.clone());
                let length = seen.body.len().to_string();
                let mut response = http::Response::new(BodyExt::boxed(Full::new(Bytes::from(seen.body))));
                response.headers_mut().insert("x-received", length.parse().unwrap());
                Ok::<_, hyper::Error>(response)
            }
        });
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(io), service).await;
    }

    /// Keeps what comes of a body for as long as it comes.
    fn keep(&self, mut body: Incoming, connection: usize) -> impl Future<Output = ()> + use<> {
        let kept = Arc::clone(&self.kept);
        async move {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                kept.raw.lock().unwrap()[connection].extend_from_slice(&data);
            }
        }
    }
}

/// A response's body of which nothing comes; may hold a request's body that is never read.
struct Endless {
    _unread: Option<Incoming>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// A response's body that never ends.
struct Flood {
    kept: Arc<Kept>,
}

impl Body for Flood {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.kept.taken.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; PIECE])))))
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
