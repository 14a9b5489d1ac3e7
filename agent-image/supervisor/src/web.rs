//! The HTTP client of the supervisor: what it asks goes through the firewall like everything else, trusts what the container
//! trusts, obeys `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` for what it asks over TLS, and is bounded in time and bytes. With a proxy
//! of a kind that it does not speak to, it asks nobody: it knows no way of its own around one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Inner;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioExecutor;
use rustls::ClientConfig;
use thiserror::Error;

/// TLS, and HTTP over it, on connections of this kind.
type Over<C> = Inner<HttpsConnector<C>, Full<Bytes>>;

/// Asks servers.
#[derive(Clone)]
pub struct Client {
    straight: Over<HttpConnector>,
    proxies: Arc<Matcher>,
    /// Made with the first request that goes through the proxy; there is one for all of them.
    tunnelled: Arc<OnceLock<Over<Tunnel<HttpConnector>>>>,
    tls: ClientConfig,
    deadline: Duration,
    largest: usize,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum Failed {
    /// No trust store.
    #[error("the system's certificates can't be read: {0}")]
    Trust(std::io::Error),
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(String),
    /// Too slow.
    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),
    /// Too long.
    #[error("the answer is longer than {0} bytes, or broke off")]
    Body(usize),
}

impl Client {
    /// One that waits so long for a whole answer of so many bytes.
    ///
    /// # Errors
    ///
    /// The system's certificates can't be read.
    pub fn new(deadline: Duration, largest: usize) -> Result<Self, Failed> {
        let tls = config()?.with_native_roots().map_err(Failed::Trust)?.with_no_client_auth();
        Ok(Client::over(tls, Matcher::from_env(), deadline, largest))
    }

    /// One that trusts these certificates and no others. Those that can't be trusted at all are passed over.
    ///
    /// # Errors
    ///
    /// The provider of cryptography has no version of TLS in common with us.
    pub fn trusting(
        certificates: Vec<rustls_pki_types::CertificateDer<'static>>,
        deadline: Duration,
        largest: usize,
    ) -> Result<Self, Failed> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        let tls = config()?.with_root_certificates(roots).with_no_client_auth();
        Ok(Client::over(tls, Matcher::from_env(), deadline, largest))
    }

    fn over(tls: ClientConfig, proxies: Matcher, deadline: Duration, largest: usize) -> Self {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http().enable_all_versions().build();
        let straight = Inner::builder(TokioExecutor::new()).build(connector);
        Client { straight, proxies: Arc::new(proxies), tunnelled: Arc::default(), tls, deadline, largest }
    }

    /// The way of a request: through the proxy for what is `https`, if one is set and no exception names its host.
    async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Response<hyper::body::Incoming>, Failed> {
        let to = authority(&request);
        let failed = |error: hyper_util::client::legacy::Error| Failed::Connection(format!("{to}: {}", chain(&error)));
        let is_secure = request.uri().scheme_str() == Some("https");
        match self.proxies.intercept(request.uri()).filter(|_| is_secure) {
            None => self.straight.request(request).await.map_err(failed),
            Some(proxy) if proxy.uri().scheme_str() == Some("http") => {
                let tunnelled = self.tunnelled.get_or_init(|| {
                    let connector = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone()).https_only();
                    let connector = connector.enable_all_versions().wrap_connector(tunnel(&proxy));
                    Inner::builder(TokioExecutor::new()).build(connector)
                });
                tunnelled.request(request).await.map_err(failed)
            }
            Some(_) => Err(Failed::Connection("the proxy's address does not begin with http://".into())),
        }
    }

    /// Sends a request and gives the answer as it begins; who reads its body bounds it.
    ///
    /// # Errors
    ///
    /// No connection, no answer in time.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> Result<Response<hyper::body::Incoming>, Failed> {
        match tokio::time::timeout(self.deadline, self.ask(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failed::Slow(self.deadline)),
        }
    }

    /// Sends a request and takes the whole answer in.
    ///
    /// # Errors
    ///
    /// No connection, no answer in time, an answer that is too long.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failed> {
        let whole = async {
            let answer = self.ask(request).await?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, self.largest).collect().await.map_err(|_| Failed::Body(self.largest))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(self.deadline, whole).await.map_err(|_| Failed::Slow(self.deadline))?
    }
}

fn config() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, Failed> {
    ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| Failed::Connection(error.to_string()))
}

fn tunnel(proxy: &Intercept) -> Tunnel<HttpConnector> {
    let tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
    match proxy.basic_auth() {
        Some(user) => tunnel.with_auth(user.clone()),
        None => tunnel,
    }
}

/// Whom it is for, as an error names it.
fn authority<B>(request: &Request<B>) -> String {
    request.uri().authority().map(ToString::to_string).unwrap_or_default()
}

/// An error and what is behind it, in one line; what one says already is not said again.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let further = error.to_string();
        if !text.ends_with(&further) {
            text = format!("{text}: {further}");
        }
        behind = error.source();
    }
    text
}

/// The text of a header, if it has one.
pub fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests;
