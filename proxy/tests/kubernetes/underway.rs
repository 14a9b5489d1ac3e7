//! What a pod has under way when it goes, by each way that leads through: it is cut, what it opened is nobody's, and what another
//! pod of the same agent has under way beside it goes on.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use stubgate_certs::{CertificateAuthority, LeafName, Minter, MinterConfig, system_clock};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::double::Double;
use crate::site::{PATIENCE, Site, dial, pod};

/// The pod that goes, and the one that stays.
const PODS: [&str; 2] = ["127.0.6.1", "127.0.6.2"];
const PLAIN: &str = "plain.example.test";
const SECURE: &str = "secure.example.test";
const RULES: &str = r#"version: 1
agents: { a0: { pods: [{ namespace: agents, labels: { app: a0 } }] } }
rules:
  - { name: plain, agents: [a0], hosts: ["http://plain.example.test"], methods: [WEBSOCKET] }
  - { name: secure, agents: [a0], hosts: [secure.example.test], methods: [GET] }
"#;

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

struct Yard {
    double: Double,
    site: Site,
    origin: TcpListener,
    acceptor: TlsAcceptor,
    _folder: TempDir,
}

impl Yard {
    async fn start() -> Self {
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = origin.local_addr().unwrap();
        let authority = Arc::new(CertificateAuthority::create("the world", SystemTime::now()).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("world.pem");
        std::fs::write(&ca, authority.certificate_pem()).unwrap();
        let minter = Minter::new(authority, &MinterConfig::default(), system_clock()).unwrap();
        let config = minter.server_config(&LeafName::Dns(SECURE)).await.unwrap();
        let mut config = rustls::ServerConfig::clone(&config);
        config.alpn_protocols = vec![b"http/1.1".into()];

        let double = Double::start().await;
        for (number, address) in PODS.iter().enumerate() {
            double.put(pod("agents", &format!("p{number}"), &format!("u{number}"), "a0", address));
        }
        let more = format!(
            " }}\nupstream: {{ ca_files: [\"{}\"], connect_to: {{ \"{PLAIN}:80\": \"{to}\", \"{SECURE}:443\": \"{to}\" }}",
            ca.display()
        );
        let site = Site::with(|folder| double.kubeconfig(folder), 60, RULES, &more).await;
        site.synced().await;
        Yard { double, site, origin, acceptor: TlsAcceptor::from(Arc::new(config)), _folder: folder }
    }

    /// TLS of a pod with the host over a connection.
    async fn tls(&self, tcp: TcpStream, protocol: &[u8]) -> impl Io + use<> {
        let own = std::fs::read(self.site.folder.path().join("ca/certificate.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&own).unwrap()).unwrap();
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(SECURE).unwrap(), tcp).await.unwrap()
    }

    /// Takes a request as the origin does, and says this.
    async fn answers(&self, is_tls: bool, what: &str) -> Box<dyn Io> {
        let (tcp, _) = timeout(PATIENCE, self.origin.accept()).await.unwrap().unwrap();
        let mut io: Box<dyn Io> =
            if is_tls { Box::new(self.acceptor.accept(tcp).await.unwrap()) } else { Box::new(tcp) };
        head(&mut io).await;
        io.write_all(what.as_bytes()).await.unwrap();
        io
    }

    /// The first pod goes.
    async fn one_goes(&self) {
        self.site.until("both are under way", |site| site.appliance.live.len() == 2).await;
        self.double.delete("agents", "p0");
        self.site.until("one is cut", |site| site.appliance.live.len() == 1).await;
    }
}

/// A head, of which nothing comes after it yet.
async fn head(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let byte = timeout(PATIENCE, io.read_u8()).await.unwrap();
        text.push(byte.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&text))));
    }
    String::from_utf8(text).unwrap()
}

/// What else comes until it ends, however it does.
async fn rest(io: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A cut connection ends without its end.
    let _ = timeout(PATIENCE, io.read_to_end(&mut bytes)).await.expect("it goes on");
    bytes
}

#[tokio::test]
async fn a_websocket_of_a_pod_ends_with_it_on_both_sides() {
    let yard = Yard::start().await;
    let (mut clients, mut origins) = (Vec::new(), Vec::new());
    for from in PODS {
        let mut client = dial(yard.site.addresses.http[0], Some(from.parse().unwrap())).await;
        let asked = format!(
            "GET / HTTP/1.1\r\nhost: {PLAIN}\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        client.write_all(asked.as_bytes()).await.unwrap();
        let switching = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        origins.push(yard.answers(false, switching).await);
        assert!(head(&mut client).await.starts_with("HTTP/1.1 101 "));
        clients.push(client);
    }
    yard.one_goes().await;
    assert_eq!((rest(&mut clients[0]).await, rest(&mut origins[0]).await), (Vec::new(), Vec::new()));
    origins[1].write_all(b"\x81\x02hi").await.unwrap();
    let mut frame = [0; 4];
    clients[1].read_exact(&mut frame).await.unwrap();
    assert_eq!(&frame, b"\x81\x02hi");
}

#[tokio::test]
async fn a_tunnel_of_a_pod_is_nobodys_when_it_is_gone() {
    let yard = Yard::start().await;
    let tunnel = async |from: &str| {
        let mut tcp = dial(yard.site.addresses.proxy[0], Some(from.parse().unwrap())).await;
        let asked = format!("CONNECT {SECURE}:443 HTTP/1.1\r\nhost: {SECURE}:443\r\n\r\n");
        tcp.write_all(asked.as_bytes()).await.unwrap();
        assert!(head(&mut tcp).await.starts_with("HTTP/1.1 200 "));
        yard.tls(tcp, b"http/1.1").await
    };
    let request = format!("GET / HTTP/1.1\r\nhost: {SECURE}\r\n\r\n");
    let mut idle = tunnel(PODS[0]).await;
    let (mut clients, mut origins) = (Vec::new(), Vec::new());
    for from in PODS {
        let mut client = tunnel(from).await;
        client.write_all(request.as_bytes()).await.unwrap();
        origins.push(yard.answers(true, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha").await);
        assert!(head(&mut client).await.starts_with("HTTP/1.1 200 "));
        clients.push(client);
    }
    yard.one_goes().await;
    assert_eq!(rest(&mut clients[0]).await, b"ha");
    idle.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut idle).await.starts_with("HTTP/1.1 403 "));
    origins[1].write_all(b"lf").await.unwrap();
    let mut body = [0; 4];
    clients[1].read_exact(&mut body).await.unwrap();
    assert_eq!(&body, b"half");
}

#[tokio::test]
async fn streams_of_a_pod_are_reset_when_it_goes_and_no_new_one_is_its_own() {
    let yard = Yard::start().await;
    let (mut senders, mut bodies, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    for from in PODS {
        let tcp = dial(yard.site.addresses.https[0], Some(from.parse().unwrap())).await;
        let io = TokioIo::new(yard.tls(tcp, b"h2").await);
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let asked =
            sender.send_request(Request::get(format!("https://{SECURE}/")).body(Empty::<Bytes>::new()).unwrap());
        let answered = yard.answers(true, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nha");
        let (response, origin) = tokio::join!(asked, answered);
        let response = response.unwrap();
        assert_eq!(response.status(), 200);
        senders.push(sender);
        bodies.push(response.into_body());
        origins.push(origin);
    }
    yard.one_goes().await;
    let mut whole = bodies.into_iter().map(|body| timeout(PATIENCE, body.collect()));
    let (one, two) = (whole.next().unwrap(), whole.next().unwrap());
    assert!(one.await.unwrap().is_err(), "it is not told as whole");
    origins[1].write_all(b"lf").await.unwrap();
    assert_eq!(two.await.unwrap().unwrap().to_bytes(), "half");
    let again = Request::get(format!("https://{SECURE}/")).body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(timeout(PATIENCE, senders[0].send_request(again)).await.unwrap().unwrap().status(), 403);
}
