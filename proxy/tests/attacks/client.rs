//! Clients that send raw bytes, by every way in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::lab::{DEVBOT, Lab};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

pub(crate) type Tls = tokio_rustls::client::TlsStream<Box<dyn Io>>;

/// The ways in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// TLS to `https`, the host in SNI.
    Sni,
    /// CONNECT, then TLS.
    Tunnel,
    /// Plain HTTP to `http`.
    Plain,
    /// Absolute-form to `proxy`.
    Absolute,
    /// SOCKS5, then TLS.
    Socks,
    /// SOCKS5, then plain HTTP.
    SocksPlain,
    /// TLS to `transparent`.
    Redirected,
    /// Plain HTTP to `transparent`.
    RedirectedPlain,
}

impl Way {
    pub(crate) const ALL: [Way; 8] = [
        Way::Sni,
        Way::Tunnel,
        Way::Plain,
        Way::Absolute,
        Way::Socks,
        Way::SocksPlain,
        Way::Redirected,
        Way::RedirectedPlain,
    ];
    /// Those that end in TLS.
    pub(crate) const TLS: [Way; 4] = [Way::Sni, Way::Tunnel, Way::Socks, Way::Redirected];
    /// Those that name a target first, and speak TLS inside.
    pub(crate) const TUNNELS: [Way; 2] = [Way::Tunnel, Way::Socks];
    /// Those that end in plain HTTP.
    pub(crate) const CLEAR: [Way; 4] = [Way::Plain, Way::Absolute, Way::SocksPlain, Way::RedirectedPlain];

    pub(crate) fn is_tls(self) -> bool {
        Way::TLS.contains(&self)
    }

    /// Whether a target is named before the first request.
    pub(crate) fn is_tunnel(self) -> bool {
        Way::TUNNELS.contains(&self) || self == Way::SocksPlain
    }

    pub(crate) fn port(self) -> u16 {
        if self.is_tls() { 443 } else { 80 }
    }

    /// A host that may be reached so.
    pub(crate) fn host(self) -> &'static str {
        if self.is_tls() { "open.example.test" } else { "plain.example.test" }
    }

    /// What stands before the path.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Way::Absolute => "http://plain.example.test",
            _ => "",
        }
    }

    /// Fills `{host}` and `{at}` (what stands before a path) in.
    pub(crate) fn fill(self, template: &str) -> String {
        template.replace("{host}", self.host()).replace("{at}", self.prefix())
    }

    pub(crate) async fn open(self, lab: &Lab) -> Conn {
        match self {
            Way::Sni => Conn::sni(lab, self.host(), DEVBOT).await,
            Way::Tunnel => Conn::tunnel(lab, self.host(), DEVBOT).await,
            Way::Plain => Conn::plain(lab.addresses.http[0], DEVBOT).await,
            Way::Absolute => Conn::plain(lab.addresses.proxy[0], DEVBOT).await,
            Way::Socks | Way::Redirected => Conn::over(self.inside(lab, self.host(), &lab.h1).await),
            Way::SocksPlain => self.enter(lab, self.host(), 80, DEVBOT).await.unwrap(),
            Way::RedirectedPlain => Conn::plain(lab.addresses.transparent[0], DEVBOT).await,
        }
    }

    /// TLS with a host that is allowed, by a way that ends in TLS.
    pub(crate) async fn inside(self, lab: &Lab, host: &str, config: &Arc<ClientConfig>) -> Tls {
        let io: Box<dyn Io> = match self {
            Way::Tunnel | Way::Socks => self.enter(lab, host, 443, DEVBOT).await.unwrap().io,
            Way::Redirected => Box::new(tcp(lab.addresses.transparent[0], DEVBOT).await),
            _ => Box::new(tcp(lab.addresses.https[0], DEVBOT).await),
        };
        tls(io, config, host).await.unwrap()
    }

    /// Asks for a tunnel to a host and port; the connection inside it, or the reason of the refusal as its record has it.
    pub(crate) async fn enter(self, lab: &Lab, host: &str, port: u16, from: &str) -> Result<Conn, String> {
        lab.refusals();
        let mut conn = Conn::plain(lab.addresses.proxy[0], from).await;
        let is_open = match self {
            Way::Socks | Way::SocksPlain => conn.socks(&socks_name(host, port)).await == 0,
            _ => conn.connect(&format!("{host}:{port}")).await.status == 200,
        };
        if is_open {
            return Ok(conn);
        }
        assert!(conn.is_over().await, "{host}:{port}");
        Err(lab.refusals().concat())
    }
}

/// A SOCKS5 request to connect, of which `address` is type, address and port.
pub(crate) fn socks_request(address: &[u8]) -> Vec<u8> {
    [&[5, 1, 0], address].concat()
}

/// Type, address and port of a name; of an IPv4 address, as clients do, its octets.
pub(crate) fn socks_name(host: &str, port: u16) -> Vec<u8> {
    let port = port.to_be_bytes();
    match host.parse::<std::net::Ipv4Addr>() {
        Ok(ip) => [&[1], &ip.octets()[..], &port].concat(),
        Err(_) => [&[3, u8::try_from(host.len()).unwrap()], host.as_bytes(), &port].concat(),
    }
}

/// A response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Of chunked coding, as they came.
    pub(crate) trailers: String,
    /// Whether it came whole.
    pub(crate) is_whole: bool,
    /// Statuses of interim responses before it.
    pub(crate) interim: Vec<u16>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned());
        let first = found.next();
        assert!(found.next().is_none(), "{name} stands twice in {}", self.head);
        first
    }

    /// Why stubgate refused; empty where it did not.
    pub(crate) fn reason(&self) -> String {
        self.header("x-stubgate-reason").unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection of an agent.
pub(crate) struct Conn {
    pub(crate) io: Box<dyn Io>,
    read: Vec<u8>,
}

pub(crate) async fn tcp(to: SocketAddr, from: &str) -> TcpStream {
    // Connecting on loopback takes no time, and succeeds also where it is reset in the next moment.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    TcpStream::from_std(socket.into()).unwrap()
}

pub(crate) async fn tls(io: impl Io + 'static, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<Tls> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let io: Box<dyn Io> = Box::new(io);
    tokio::time::timeout(PATIENCE, TlsConnector::from(Arc::clone(config)).connect(name, io)).await.unwrap()
}

impl Conn {
    pub(crate) fn over(io: impl Io + 'static) -> Self {
        Conn { io: Box::new(io), read: Vec::new() }
    }

    pub(crate) async fn sni(lab: &Lab, host: &str, from: &str) -> Self {
        Conn::over(tls(tcp(lab.addresses.https[0], from).await, &lab.h1, host).await.unwrap())
    }

    pub(crate) async fn plain(to: SocketAddr, from: &str) -> Self {
        Conn::over(tcp(to, from).await)
    }

    pub(crate) async fn tunnel(lab: &Lab, host: &str, from: &str) -> Self {
        let mut conn = Conn::plain(lab.addresses.proxy[0], from).await;
        let answer = conn.connect(&format!("{host}:443")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        Conn::over(tls(conn.io, &lab.h1, host).await.unwrap())
    }

    /// Asks for a tunnel; the connection is the tunnel's afterwards.
    pub(crate) async fn connect(&mut self, target: &str) -> Answer {
        self.send(format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n")).await;
        let mut answer = self.head().await;
        if answer.status != 200 {
            self.body(&mut answer, false).await;
        }
        answer
    }

    /// Asks for a tunnel by SOCKS5; the code of the reply. The connection is the tunnel's afterwards.
    pub(crate) async fn socks(&mut self, address: &[u8]) -> u8 {
        self.send([5, 1, 0]).await;
        assert_eq!(self.exactly(2).await, [5, 0]);
        self.send(socks_request(address)).await;
        let reply = self.exactly(10).await;
        assert_eq!((reply[0], &reply[2..]), (5, &[0, 1, 0, 0, 0, 0, 0, 0][..]));
        reply[1]
    }

    /// So many bytes; fewer only where the connection ends.
    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count && self.fill().await {}
        self.read.drain(..count.min(self.read.len())).collect()
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // What can't be sent any more was refused already.
        let _ = self.io.write_all(bytes.as_ref()).await;
        let _ = self.io.flush().await;
    }

    /// Finishes a handshake that was begun here, sends bytes inside, and reads the start of what comes back.
    pub(crate) async fn finish(&mut self, client: &mut rustls::ClientConnection, request: &[u8]) -> Vec<u8> {
        std::io::Write::write_all(&mut client.writer(), request).unwrap();
        let mut answer = Vec::new();
        while answer.len() < 15 {
            let bytes = self.some().await;
            assert!(!bytes.is_empty());
            client.read_tls(&mut &*bytes).unwrap();
            client.process_new_packets().unwrap();
            let mut out = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut out).unwrap();
            }
            self.send(&out).await;
            let mut piece = [0; 4096];
            if let Ok(n) = std::io::Read::read(&mut client.reader(), &mut piece) {
                answer.extend_from_slice(&piece[..n]);
            }
        }
        answer
    }

    /// Sends and reads one response.
    pub(crate) async fn ask(&mut self, request: &str) -> Answer {
        self.send(request).await;
        self.answer(request.starts_with("HEAD")).await
    }

    pub(crate) async fn answer(&mut self, to_head: bool) -> Answer {
        let reading = async {
            let mut interim = Vec::new();
            loop {
                let mut answer = self.head().await;
                if answer.status / 100 == 1 && answer.status != 101 {
                    interim.push(answer.status);
                    continue;
                }
                if answer.status != 101 {
                    self.body(&mut answer, to_head).await;
                }
                answer.interim = interim;
                return answer;
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time")
    }

    /// A head; status 0 where the connection ended instead.
    pub(crate) async fn head(&mut self) -> Answer {
        loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..end + 4).collect();
                let head = String::from_utf8(head).unwrap();
                let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
                return Answer { status, head, ..Answer::default() };
            }
            if !self.fill().await {
                return Answer { body: std::mem::take(&mut self.read), ..Answer::default() };
            }
        }
    }

    async fn body(&mut self, answer: &mut Answer, to_head: bool) {
        answer.is_whole = true;
        if answer.status == 0 || to_head || matches!(answer.status, 204 | 304) {
            return;
        }
        if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.read.len() < length {
                if !self.fill().await {
                    answer.is_whole = false;
                    break;
                }
            }
            answer.body = self.read.drain(..length.min(self.read.len())).collect();
        } else if answer.header("transfer-encoding").is_some() {
            loop {
                let Some(line) = self.line().await else {
                    answer.is_whole = false;
                    return;
                };
                let size = usize::from_str_radix(&line, 16).unwrap();
                if size == 0 {
                    while let Some(line) = self.line().await.filter(|line| !line.is_empty()) {
                        answer.trailers.push_str(&line);
                        answer.trailers.push('\n');
                    }
                    return;
                }
                while self.read.len() < size + 2 {
                    if !self.fill().await {
                        answer.is_whole = false;
                        answer.body.append(&mut self.read);
                        return;
                    }
                }
                answer.body.extend(self.read.drain(..size));
                self.read.drain(..2);
            }
        } else {
            while self.fill().await {}
            answer.body = std::mem::take(&mut self.read);
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|window| window == b"\r\n") {
                let line = self.read.drain(..end).collect();
                self.read.drain(..2);
                return Some(String::from_utf8(line).unwrap());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads at least once; what is there now.
    pub(crate) async fn some(&mut self) -> Vec<u8> {
        if self.read.is_empty() {
            self.fill().await;
        }
        std::mem::take(&mut self.read)
    }

    async fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match tokio::time::timeout(PATIENCE, self.io.read(&mut buffer)).await.expect("bytes or the end in time") {
            Ok(n) if n > 0 => {
                self.read.extend_from_slice(&buffer[..n]);
                true
            }
            _ => false,
        }
    }

    /// Whether the other side ends the connection, with nothing more said.
    pub(crate) async fn is_over(&mut self) -> bool {
        self.read.is_empty() && !self.fill().await
    }

    /// Everything until the end.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.read)
    }
}
