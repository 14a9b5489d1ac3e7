//! The way to the server of events: a TLS connection for its name, straight or through the proxy that the environment names.

use std::io;
use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Bytes of a proxy's answer at most.
const ANSWER: usize = 8192;

/// What this container trusts. HTTP/1.1 only: the upgrade to a WebSocket is its.
///
/// # Errors
///
/// Nothing to trust, or nothing that can be read.
pub fn trust() -> io::Result<Arc<ClientConfig>> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(ToString::to_string).unwrap_or_default();
        return Err(io::Error::other(format!("no certificate authority is trusted here (SSL_CERT_FILE) {why}")));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Connects to the host of a `wss` address.
///
/// # Errors
///
/// No such host, nobody there, a proxy that refuses, a certificate that is not the host's.
pub async fn connect(server: &Uri, trust: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let host = server.host().ok_or_else(|| io::Error::other("the server's address has no host"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let port = server.port_u16().unwrap_or(443);
    let stream = match proxy(host, port) {
        Some(proxy) => tunnel(&proxy, &format!("{host}:{port}")).await?,
        None => TcpStream::connect((bare, port)).await.map_err(|error| at(&format!("{host}:{port}"), &error))?,
    };
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(trust).connect(name, stream).await.map_err(|error| match error.to_string() {
        text if text.contains("certificate") => {
            io::Error::other(format!("{host}:{port}: {text} (`stubgate-agent doctor` says what this container trusts)"))
        }
        _ => at(&format!("{host}:{port}"), &error),
    })
}

/// The same error, with the address that it is about.
fn at(address: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

/// The proxy that `HTTPS_PROXY` and `NO_PROXY` say.
fn proxy(host: &str, port: u16) -> Option<Uri> {
    let as_https = format!("https://{host}:{port}/").parse().ok()?;
    let intercept = Matcher::from_env().intercept(&as_https)?;
    Some(intercept.uri().clone())
}

async fn tunnel(proxy: &Uri, to: &str) -> io::Result<TcpStream> {
    let host = proxy.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let port = proxy.port_u16().unwrap_or(80);
    let connected = TcpStream::connect((host, port)).await;
    let mut stream = connected.map_err(|error| at(&format!("the proxy {host}:{port}"), &error))?;
    stream.write_all(format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n").as_bytes()).await?;
    // Byte by byte: what follows the head is TLS's.
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= ANSWER {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    let status = head.get(9..12).unwrap_or_default();
    if head.starts_with(b"HTTP/1.") && status.starts_with(b"2") {
        return Ok(stream);
    }
    let status: String = status.iter().copied().filter(u8::is_ascii_digit).map(char::from).collect();
    Err(io::Error::other(format!("the proxy refused the way to {to}: {status}")))
}
