use std::fs;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use tempfile::{TempDir, tempdir};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::state;

const TOKEN: &str = "a-token-of-this-bridge-only";

/// A bridge's server that answers each request with these bytes and keeps what it was asked.
struct Backend {
    address: SocketAddr,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Backend {
    async fn start(pieces: Vec<&'static str>, is_held_open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (kept, pieces) = (Arc::clone(&kept), pieces.clone());
                tokio::spawn(async move {
                    let mut request = vec![0; 8192];
                    let read = stream.read(&mut request).await.unwrap();
                    kept.lock().unwrap().push(String::from_utf8_lossy(&request[..read]).into_owned());
                    for piece in pieces {
                        let _ = stream.write_all(piece.as_bytes()).await;
                    }
                    if is_held_open {
                        let _ = stream.read(&mut request).await;
                    }
                });
            }
        });
        Backend { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

struct Served {
    address: SocketAddr,
    state: State,
    _stop: tokio_util::sync::DropGuard,
    _folder: TempDir,
}

impl Served {
    async fn start(backend: SocketAddr, limits: Limits, certificate: Option<Certificate>) -> Self {
        let folder = tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        fs::write(&tokens, format!("{TOKEN}\n")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state, stop) = (listener.local_addr().unwrap(), State::default(), CancellationToken::new());
        let front = Front::new("b".into(), backend, "/mcp".into(), Tokens::new(tokens), state.clone(), limits);
        tokio::spawn(front.serve(listener, certificate, stop.clone()));
        Served { address, state, _stop: stop.drop_guard(), _folder: folder }
    }

    /// The whole answer to a request.
    async fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        exchange(&mut stream, head, body).await
    }
}

async fn exchange(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), head: &str, body: &str) -> String {
    let length = body.len();
    let request =
        format!("{head}\r\nhost: bridge.example.com\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    // Who refuses a long request does not read it.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn with_token(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nauthorization: Bearer {TOKEN}")
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

#[tokio::test]
async fn nobody_without_a_token_reaches_the_bridge() {
    let backend = Backend::start(vec![OK], false).await;
    let served = Served::start(backend.address, Limits::default(), None).await;
    for head in [
        "POST /mcp HTTP/1.1",
        "GET /other HTTP/1.1",
        "POST /mcp HTTP/1.1\r\nauthorization: Bearer wrong-token-of-this-bridge",
        "POST /mcp HTTP/1.1\r\nx-authorization: Bearer a-token-of-this-bridge-only",
        "POST /mcp?token=a-token-of-this-bridge-only HTTP/1.1",
        "POST /healthz/../mcp HTTP/1.1",
    ] {
        let answer = served.ask(head, "{}").await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{head}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("www-authenticate: bearer"), "{answer}");
    }
    for (line, status) in [("POST /other", "404"), ("POST /mcp/", "404"), ("PUT /mcp", "405"), ("OPTIONS /mcp", "405")]
    {
        let answer = served.ask(&with_token(line), "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
    }
    assert_eq!(backend.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_is_passed_on_without_what_is_not_the_bridges() {
    let backend = Backend::start(vec![OK], false).await;
    let served = Served::start(backend.address, Limits::default(), None).await;
    let head = with_token("POST /mcp");
    let head =
        format!("{head}\r\nmcp-session-id: s1\r\norigin: https://evil.example.org\r\nx-hop: 1\r\nconnection: x-hop");
    let answer = served.ask(&head, r#"{"a":1}"#).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{}"), "{answer}");
    let asked = backend.asked().concat();
    assert!(asked.starts_with("POST /mcp HTTP/1.1\r\n") && asked.contains("mcp-session-id: s1"), "{asked}");
    assert!(asked.contains(&format!("host: {}", backend.address)), "{asked}");
    for gone in [TOKEN, "authorization", "origin", "x-hop", "bridge.example.com"] {
        assert!(!asked.contains(gone), "{gone}: {asked}");
    }
}

#[tokio::test]
async fn a_stream_of_events_passes_as_it_comes_and_is_cut_when_it_is_quiet_for_too_long() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let backend = Backend::start(vec![head, "data: 1\n\n"], true).await;
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let served = Served::start(backend.address, limits, None).await;
    let answer = served.ask(&with_token("GET /mcp"), "").await;
    assert!(answer.contains("data: 1\n\n"), "{answer}");
    // Without its end: whoever reads it knows that it was cut.
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_is_too_long_or_too_slow_is_refused() {
    let backend = Backend::start(vec![], true).await;
    let limits = Limits { request: 100, answer: Duration::from_millis(200), ..Limits::default() };
    let served = Served::start(backend.address, limits, None).await;
    let answer = served.ask(&with_token("POST /mcp"), &"x".repeat(101)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let answer = served.ask(&with_token("POST /mcp"), "{}").await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    let nowhere = SocketAddr::from(([127, 0, 0, 1], crate::bridge::testing::port()));
    let served = Served::start(nowhere, limits, None).await;
    let answer = served.ask(&with_token("POST /mcp"), "{}").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}

#[tokio::test]
async fn who_says_nothing_is_let_go() {
    let backend = Backend::start(vec![OK], false).await;
    let limits = Limits { head: Duration::from_millis(100), connections: 1, ..Limits::default() };
    let served = Served::start(backend.address, limits, None).await;
    let mut silent = TcpStream::connect(served.address).await.unwrap();
    // Waits for the only place, which the silent one does not keep.
    let answer = served.ask(&with_token("POST /mcp"), "{}").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let mut rest = Vec::new();
    let _ = silent.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn one_without_a_token_keeps_no_place_by_asking_for_health() {
    let backend = Backend::start(vec![OK], false).await;
    let limits = Limits { connections: 1, ..Limits::default() };
    let served = Served::start(backend.address, limits, None).await;
    let mut asking = TcpStream::connect(served.address).await.unwrap();
    let mut answer = Vec::new();
    asking.write_all(b"GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n").await.unwrap();
    let ended = timeout(Duration::from_secs(5), asking.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn one_who_reads_nothing_of_a_long_answer_is_let_go() {
    const MUCH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n";
    let piece: &'static str = "x".repeat(1 << 20).leak();
    let backend = Backend::start([vec![MUCH], vec![piece; 64]].concat(), false).await;
    let limits = Limits { connections: 1, whole: Duration::from_millis(300), ..Limits::default() };
    let served = Served::start(backend.address, limits, None).await;
    let mut asking = TcpStream::connect(served.address).await.unwrap();
    let question = format!("{}\r\nHost: b\r\nContent-Length: 2\r\n\r\n{{}}", with_token("POST /mcp"));
    asking.write_all(question.as_bytes()).await.unwrap();
    // Waits for the only place, which the other one does not keep.
    let next = timeout(Duration::from_secs(5), served.ask("GET /healthz HTTP/1.1", "")).await;
    assert!(next.is_ok_and(|answer| answer.starts_with("HTTP/1.1 503 ")));
}

#[tokio::test]
async fn health_is_that_of_the_last_probe_and_asks_for_no_token() {
    let backend = Backend::start(vec![OK], false).await;
    let served = Served::start(backend.address, Limits::default(), None).await;
    let health = async || served.ask("GET /healthz HTTP/1.1", "").await;
    assert!(health().await.starts_with("HTTP/1.1 503 "));
    let change = |failing: Option<&str>| {
        let bridge = state::Bridge { failing: failing.map(str::to_owned), ..state::Bridge::default() };
        served.state.change(|facts| drop(facts.bridges.insert("b".into(), bridge)));
    };
    change(None);
    assert!(health().await.starts_with("HTTP/1.1 200 "));
    change(Some("it ended"));
    let answer = health().await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && !answer.contains("it ended"), "{answer}");
}

/// Writes a certificate of its own for this name, and its key.
fn certify(folder: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(folder.join("tls.crt"), made.cert.pem()).unwrap();
}

/// Asks for the bridge's health by a name, trusting what stands in the folder.
async fn secure(served: &Served, folder: &Path, name: &str) -> Option<String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls_pki_types::CertificateDer::from_pem_file(folder.join("tls.crt")).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(served.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name.to_owned().try_into().unwrap(), stream).await.ok()?;
    Some(exchange(&mut stream, &with_token("POST /mcp"), "{}").await)
}

#[tokio::test]
async fn a_certificate_is_read_again_when_it_changes_and_kept_while_the_new_one_is_wrong() {
    let folder = tempdir().unwrap();
    let [certificate, key] = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
    assert!(Certificate::read(certificate.clone(), key.clone()).is_err());
    certify(folder.path(), "one.example.com");
    let read = Certificate::read(certificate.clone(), key.clone()).unwrap();
    let backend = Backend::start(vec![OK], false).await;
    let served = Served::start(backend.address, Limits::default(), Some(read)).await;
    assert!(secure(&served, folder.path(), "one.example.com").await.unwrap().starts_with("HTTP/1.1 200 "));

    let first = fs::read(&certificate).unwrap();
    fs::write(&certificate, "half of a certific").unwrap();
    let trusted = tempdir().unwrap();
    fs::write(trusted.path().join("tls.crt"), &first).unwrap();
    assert!(secure(&served, trusted.path(), "one.example.com").await.is_some());

    certify(folder.path(), "two.example.com");
    assert!(secure(&served, folder.path(), "two.example.com").await.is_some());
    assert!(secure(&served, trusted.path(), "one.example.com").await.is_none());
}
