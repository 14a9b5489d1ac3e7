//! The HTTP client of the supervisor: what it asks goes through the firewall like everything else, trusts what the container
//! trusts, obeys `HTTPS_PROXY`, and is bounded in time and bytes.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Inner;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use thiserror::Error;

/// Asks servers.
#[derive(Clone)]
pub struct Client {
    inner: Inner<HttpsConnector<HttpConnector>, Full<Bytes>>,
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
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(Failed::Trust)?
            .https_or_http()
            .enable_all_versions()
            .build();
        Ok(Client { inner: Inner::builder(TokioExecutor::new()).build(connector), deadline, largest })
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
        let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| Failed::Connection(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_all_versions().build();
        Ok(Client { inner: Inner::builder(TokioExecutor::new()).build(connector), deadline, largest })
    }

    /// Sends a request and gives the answer as it begins; who reads its body bounds it.
    ///
    /// # Errors
    ///
    /// No connection, no answer in time.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> Result<Response<hyper::body::Incoming>, Failed> {
        let to = authority(&request);
        match tokio::time::timeout(self.deadline, self.inner.request(request)).await {
            Ok(answer) => answer.map_err(|error| Failed::Connection(format!("{to}: {}", chain(&error)))),
            Err(_) => Err(Failed::Slow(self.deadline)),
        }
    }

    /// Sends a request and takes the whole answer in.
    ///
    /// # Errors
    ///
    /// No connection, no answer in time, an answer that is too long.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Failed> {
        let to = authority(&request);
        let whole = async {
            let answer = self.inner.request(request).await;
            let answer = answer.map_err(|error| Failed::Connection(format!("{to}: {}", chain(&error))))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, self.largest).collect().await.map_err(|_| Failed::Body(self.largest))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::time::timeout(self.deadline, whole).await.map_err(|_| Failed::Slow(self.deadline))?
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
