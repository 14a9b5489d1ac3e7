//! The demonstration's agent: a client that knows stubgate's addresses, trusts its certificate, and holds a stub.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use base64::Engine;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

pub(super) struct Agent {
    tls: Arc<ClientConfig>,
    https: SocketAddr,
    proxy: SocketAddr,
    dns: SocketAddr,
}

/// What the agent got.
pub(super) struct Got {
    pub(super) status: u16,
    /// Why stubgate refused; empty where it did not.
    pub(super) reason: String,
    pub(super) body: String,
}

/// A Basic credential.
pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

impl Agent {
    pub(super) fn new(ca: &str, https: SocketAddr, proxy: SocketAddr, dns: SocketAddr) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
        Ok(Agent { tls: stubgate_certs::client_config(roots, &[b"http/1.1"])?, https, proxy, dns })
    }

    /// As a client does whose DNS sent it to stubgate.
    pub(super) async fn get(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Got> {
        let tcp = TcpStream::connect(self.https).await?;
        let name = ServerName::try_from(host.to_owned())?;
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await.context("TLS to stubgate")?;
        let mut request = Request::get(path).header(header::HOST, host).header(header::USER_AGENT, "demo");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(tls, request.body(Empty::new())?).await
    }

    /// As a client does that was given a proxy.
    pub(super) async fn connect(&self, target: &str) -> anyhow::Result<Got> {
        let tcp = TcpStream::connect(self.proxy).await?;
        let request = Request::connect(target).header(header::HOST, target).body(Empty::new())?;
        send(tcp, request).await
    }

    /// Asks stubgate for an A record (RFC 1035 section 4).
    pub(super) async fn resolve(&self, name: &str) -> anyhow::Result<String> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len())?);
            question.extend_from_slice(label.as_bytes());
        }
        question.extend_from_slice(&[0, 0, 1, 0, 1]);
        socket.send_to(&question, self.dns).await?;
        let mut answer = [0; 512];
        let (n, _) = tokio::time::timeout(Duration::from_secs(5), socket.recv_from(&mut answer)).await??;
        let answer = answer.get(..n).unwrap_or_default();
        ensure!(answer.len() >= question.len() && answer.first_chunk() == Some(&[0x12, 0x34]), "an odd DNS answer");
        match (answer.get(3).map(|flags| flags & 15), answer.get(7)) {
            (Some(3), _) => Ok("NXDOMAIN".into()),
            // The record: a pointer to the name, type, class, TTL and length, then the address.
            (Some(0), Some(1)) => {
                let octets = answer.get(question.len() + 12..question.len() + 16).context("no address")?;
                let octets: [u8; 4] = octets.try_into()?;
                Ok(IpAddr::from(octets).to_string())
            }
            (code, _) => Ok(format!("code {code:?}")),
        }
    }
}

async fn send<IO>(io: IO, request: Request<Empty<Bytes>>) -> anyhow::Result<Got>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let driving = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let reason = response.headers().get("x-stubgate-reason").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let reason = reason.to_owned();
    let body = if status == StatusCode::OK || !reason.is_empty() {
        String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()).into_owned()
    } else {
        String::new()
    };
    driving.abort();
    Ok(Got { status: status.as_u16(), reason, body })
}
