//! The demonstration's internet: one TLS server under every name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::server::Acceptor;
use stubgate_certs::{LeafName, Minter};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::LazyConfigAcceptor;

/// A running origin, and what it saw.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    authorised: AtomicBool,
}

impl Origin {
    /// How many requests came.
    pub(super) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// Whether the last one carried the real credential.
    pub(super) fn last_was_authorised(&self) -> bool {
        self.seen.authorised.load(Ordering::SeqCst)
    }
}

pub(super) async fn start(minter: Arc<Minter>, real: &'static str) -> anyhow::Result<Origin> {
    let sockets = TcpListener::bind("127.0.0.1:0").await?;
    let address = sockets.local_addr()?;
    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = sockets.accept().await {
            let (minter, seen) = (Arc::clone(&minter), Arc::clone(&shared));
            tokio::spawn(async move {
                // A client that goes away is no failure of the origin.
                let _ = serve(tcp, &minter, &seen, real).await;
            });
        }
    });
    Ok(Origin { address, seen })
}

async fn serve(tcp: TcpStream, minter: &Minter, seen: &Seen, real: &str) -> anyhow::Result<()> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    let name = hello.client_hello().server_name().unwrap_or_default().to_owned();
    let config = minter.server_config(&LeafName::Dns(&name)).await?;
    let tls = hello.into_stream(config).await?;
    let service = service_fn(|request| {
        let answer = answer(&name, &request, seen, real);
        async { anyhow::Ok(answer) }
    });
    http1::Builder::new().serve_connection(TokioIo::new(tls), service).await?;
    Ok(())
}

fn answer(name: &str, request: &Request<Incoming>, seen: &Seen, real: &str) -> Response<Full<Bytes>> {
    let presented = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{real}"));
    let is_authorised = presented == Some(&format!("Bearer {real}")) || presented == Some(&format!("Basic {basic}"));
    seen.requests.fetch_add(1, Ordering::SeqCst);
    seen.authorised.store(is_authorised, Ordering::SeqCst);
    let mut response = Response::new(Full::new(Bytes::from(match request.uri().path() {
        "/echo" => format!("your authorization was {}\n", presented.unwrap_or("missing")),
        path => format!("{name}{path}: hello\n"),
    })));
    if !is_authorised && name != "packages.example.com" {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response.headers_mut().insert(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Basic realm=\"git\""));
    }
    response
}
