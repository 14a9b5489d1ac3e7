//! A server of HTTP, plain or TLS, on loopback: it keeps what it was asked and answers what it is told to.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// What was asked: the head of each request.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

/// The server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Asked,
}

impl Server {
    pub(crate) fn plain(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
        Server::start(None, answer)
    }

    pub(crate) fn tls(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
        Server::start(Some(config()), answer)
    }

    fn start(config: Option<Arc<ServerConfig>>, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Asked::default();
        let (kept, answer) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, kept, answer) = (config.clone(), kept.clone(), answer.clone());
                std::thread::spawn(move || serve(stream, config, &kept, &*answer));
            }
        });
        Server { address, asked }
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request a connection.
fn serve(stream: TcpStream, config: Option<Arc<ServerConfig>>, kept: &Asked, answer: &dyn Fn(&str) -> String) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    match config {
        None => speak(stream, kept, answer),
        Some(config) => {
            let connection = rustls::ServerConnection::new(config).unwrap();
            speak(rustls::StreamOwned::new(connection, stream), kept, answer);
        }
    }
}

fn speak(mut stream: impl Read + Write, kept: &Asked, answer: &dyn Fn(&str) -> String) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    kept.lock().unwrap().push(head.clone());
    let _ = stream.write_all(answer(&head).as_bytes());
    let _ = stream.flush();
}

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
}

/// The authority of all tests: its key, and its certificate as PEM.
pub(crate) fn authority() -> &'static (Issuer<'static, KeyPair>, String) {
    static AUTHORITY: OnceLock<(Issuer<'static, KeyPair>, String)> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "stubgate of a test");
        let certificate = parameters.self_signed(&key).unwrap();
        (Issuer::new(parameters, key), certificate.pem())
    })
}

fn config() -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = parameters.signed_by(&key, &authority().0).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
