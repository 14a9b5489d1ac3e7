//! A hostile agent's own sockets, from the pod to the appliance: any byte, any server name.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::lab::{APPLIANCE, Lab, Way};
use crate::pki;

/// How long a peer may be silent before the test calls it so.
const PATIENCE: Duration = Duration::from_secs(8);

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A connection from the pod to the appliance.
pub struct Wire {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("buffer", &self.buffer).finish_non_exhaustive()
    }
}

/// A response as it came.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The head, as text.
    pub head: String,
    /// The body, with chunks put together.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A plain TCP connection from the pod.
///
/// # Errors
/// Whatever the kernel says: refused, unreachable, or timed out.
pub fn tcp(lab: &Lab, to: SocketAddr) -> io::Result<TcpStream> {
    ready(lab.pod().enter(move || TcpStream::connect_timeout(&to, Duration::from_secs(3)))?)
}

/// The same from one of several addresses that the pod has.
///
/// # Errors
/// As [`tcp`].
pub fn tcp_from(lab: &Lab, from: Ipv4Addr, to: SocketAddrV4) -> io::Result<TcpStream> {
    let connected = lab.pod().enter(move || -> io::Result<TcpStream> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&socket, &SocketAddrV4::new(from, 0))?;
        connect(&socket, &to)?;
        Ok(TcpStream::from(socket))
    });
    ready(connected?)
}

fn ready(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Wire {
    /// Plain bytes to a port of the appliance.
    pub fn plain(lab: &Lab, port: u16) -> Wire {
        Wire::plain_over(tcp(lab, SocketAddr::from((APPLIANCE, port))).expect("the appliance's port"))
    }

    /// Plain bytes on a connection.
    pub fn plain_over(stream: TcpStream) -> Wire {
        Wire { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// TLS to the appliance with this server name.
    ///
    /// # Errors
    /// When the handshake fails, with the alert in the message.
    pub fn tls(lab: &Lab, name: &str) -> io::Result<Wire> {
        Wire::tls_over(lab, name, tcp(lab, SocketAddr::from((APPLIANCE, 443)))?)
    }

    /// TLS with this server name, by some way; in a tunnel to port 443 of `host` where the way is one.
    ///
    /// # Errors
    /// When the tunnel is refused or the handshake fails.
    pub fn by(lab: &Lab, way: Way, host: &str, name: &str) -> io::Result<Wire> {
        match way {
            Way::Proxy => Wire::tunnel(lab, &format!("{host}:443"), name),
            Way::Socks => Wire::tls_over(lab, name, socks(lab, host, 443)?),
            Way::Direct | Way::Dns | Way::Redirect | Way::Tproxy => {
                Wire::tls_over(lab, name, tcp(lab, SocketAddr::from((way.address(), 443)))?)
            }
        }
    }

    /// TLS on a connection.
    ///
    /// # Errors
    /// As [`Wire::tls`].
    pub fn tls_over(lab: &Lab, name: &str, stream: TcpStream) -> io::Result<Wire> {
        handshake(lab, name, stream)
    }

    /// CONNECT to `target`, then TLS with this server name inside.
    ///
    /// # Errors
    /// When CONNECT is refused or the handshake fails.
    pub fn tunnel(lab: &Lab, target: &str, name: &str) -> io::Result<Wire> {
        Wire::tunnel_over(lab, target, name, tcp(lab, SocketAddr::from((APPLIANCE, 3128)))?)
    }

    /// CONNECT on a connection.
    ///
    /// # Errors
    /// As [`Wire::tunnel`].
    pub fn tunnel_over(lab: &Lab, target: &str, name: &str, mut stream: TcpStream) -> io::Result<Wire> {
        write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        if head.split(' ').nth(1) != Some("200") {
            return Err(io::Error::other(head));
        }
        handshake(lab, name, stream)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Wire {
        // A peer that has closed already shows when its answer is read.
        let _ = self.stream.write_all(bytes.as_ref()).and_then(|()| self.stream.flush());
        self
    }

    /// Reads one response that has a length, is chunked, or ends with the connection.
    ///
    /// # Errors
    /// When the connection ends or falls silent before the response does.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let (status, head) = self.head()?;
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
            })
        };
        let mut body = Vec::new();
        if header("transfer-encoding").is_some_and(|coding| coding.ends_with("chunked")) {
            loop {
                let line = self.line()?;
                let size = line.split(';').next().unwrap_or_default().trim();
                let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
                if size == 0 {
                    while !self.line()?.is_empty() {}
                    break;
                }
                body.extend(self.exactly(size)?);
                self.line()?;
            }
        } else if let Some(length) = header("content-length") {
            body = self.exactly(length.parse().map_err(io::Error::other)?)?;
        } else if status >= 200 && status != 204 && status != 304 {
            while self.more().is_ok() {}
            body = std::mem::take(&mut self.buffer);
        }
        Ok(Reply { status, head, body })
    }

    /// Reads the head of one response, and nothing of its body: status and text.
    ///
    /// # Errors
    /// As [`Wire::reply`].
    pub fn head(&mut self) -> io::Result<(u16, String)> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.more()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok((status.ok_or_else(|| io::Error::other(head.clone()))?, head))
    }

    /// Everything until the peer closes. Silence for long is an error.
    ///
    /// # Errors
    /// When the peer neither sends nor closes.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                    ) =>
                {
                    return Ok(std::mem::take(&mut self.buffer));
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.more()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 << 10];
        let length = self.stream.read(&mut bytes)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend_from_slice(&bytes[..length]);
        Ok(())
    }
}

/// A tunnel by SOCKS5 to a host, which may be an address.
///
/// # Errors
/// When it is refused, with the code of the reply in the message.
pub fn socks(lab: &Lab, host: &str, port: u16) -> io::Result<TcpStream> {
    let mut stream = tcp(lab, SocketAddr::from((APPLIANCE, 3128)))?;
    let address = match host.parse::<Ipv4Addr>() {
        Ok(ip) => [&[1], &ip.octets()[..]].concat(),
        Err(_) => [&[3, u8::try_from(host.len()).map_err(io::Error::other)?], host.as_bytes()].concat(),
    };
    stream.write_all(&[5, 1, 0])?;
    stream.read_exact(&mut [0; 2])?;
    stream.write_all(&[&[5, 1, 0], &address[..], &port.to_be_bytes()].concat())?;
    let mut reply = [0; 10];
    stream.read_exact(&mut reply)?;
    if reply[1] == 0 { Ok(stream) } else { Err(io::Error::other(format!("SOCKS says {}", reply[1]))) }
}

/// Asks for `targets`, given as `(authority, path)`, one after the other on one HTTP/2 connection to
/// the appliance with this server name. Each is answered by its status and body, or by what went wrong.
pub fn h2(
    lab: &Lab,
    name: &str,
    targets: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> Vec<Result<(u16, String), String>> {
    let stream = tcp(lab, SocketAddr::from((APPLIANCE, 443))).expect("the appliance's port");
    stream.set_nonblocking(true).expect("nonblocking");
    let config = config(lab, &["h2"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("runtime").block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).expect("stream");
        let server = ServerName::try_from(name.to_owned()).expect("name");
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = match connector.connect(server, stream).await {
            Ok(stream) => stream,
            Err(error) => return vec![Err(error.to_string())],
        };
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) =
            builder.handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.expect("preface");
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for (authority, path) in targets {
            let mut request = http::Request::get(format!("https://{authority}{path}"));
            for (key, value) in headers {
                request = request.header(*key, *value);
            }
            let request = request.body(Empty::new()).expect("request");
            let exchange = async {
                let response = sender.send_request(request).await?;
                let status = response.status().as_u16();
                let body = response.into_body().collect().await?.to_bytes();
                Ok::<_, hyper::Error>((status, String::from_utf8_lossy(&body).into_owned()))
            };
            answers.push(match tokio::time::timeout(PATIENCE, exchange).await {
                Ok(answer) => answer.map_err(|error| format!("{error:?}")),
                Err(_) => Err("no answer".to_owned()),
            });
        }
        answers
    })
}

fn config(lab: &Lab, alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let bundle = CertificateDer::pem_file_iter(lab.bundle()).expect("bundle");
    roots.add_parsable_certificates(bundle.map(|certificate| certificate.expect("PEM")));
    let mut config = ClientConfig::builder_with_provider(pki::provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn handshake(lab: &Lab, name: &str, mut stream: TcpStream) -> io::Result<Wire> {
    let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let config = config(lab, &["http/1.1"]);
    let mut connection = ClientConnection::new(config, server).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok(Wire { stream: Box::new(StreamOwned::new(connection, stream)), buffer: Vec::new() })
}
