//! A server over TLS that a test answers for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use stubgate_certs::{CertificateAuthority, LeafName, Minter, MinterConfig, system_clock};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::asked::{Asked, Said, respond};

/// The CA of servers of secrets.
pub(crate) struct Authority(Arc<CertificateAuthority>);

impl Authority {
    pub(crate) fn new() -> Self {
        Authority(Arc::new(CertificateAuthority::create("servers of secrets", SystemTime::now()).unwrap()))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.certificate_pem().to_string()
    }

    /// A server of that name.
    pub(crate) async fn serve(&self, name: &str, answer: impl Fn(Asked) -> Said + Send + Sync + 'static) -> Double {
        let minter = Minter::new(Arc::clone(&self.0), &MinterConfig::default(), system_clock()).unwrap();
        let config = minter.server_config(&LeafName::Dns(name)).await.unwrap();
        let mut config = (*config).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let double = Double { address: sockets.local_addr().unwrap(), requests: Arc::default() };
        let (requests, answer) = (Arc::clone(&double.requests), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((tcp, _)) = sockets.accept().await {
                let (tls, requests, answer) = (tls.clone(), Arc::clone(&requests), Arc::clone(&answer));
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(tcp).await else { return };
                    let service = service_fn(move |request| {
                        requests.fetch_add(1, Ordering::SeqCst);
                        respond(Arc::clone(&answer), request)
                    });
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        double
    }
}

/// A running server.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Double {
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}
