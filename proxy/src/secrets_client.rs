//! The way to servers of secrets, for the sources of credentials: the same resolver, guard and verified TLS as to origins.
//!
//! https alone, HTTP/1.1, one request a connection. No redirect is followed: it would carry a login to wherever the answer
//! says. Answers are bounded, and one deadline holds from the name to the last byte (law 7). A server at a private address
//! takes an entry in `upstream.allow_private` or `upstream.connect_to`, as an origin does. What passes here is wiped; what the
//! codec beneath holds goes back to an allocator that wipes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use stubgate_credentials::{Answering, HttpClient, Unanswered};
use stubgate_policy::{Authority, Reason, Scheme};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use zeroize::Zeroizing;

use crate::forward::dial::{Dialer, Wanted};

/// The longest body that is read.
const BODY_MAXIMUM: usize = 1024 * 1024;
/// The longest head.
const HEAD_MAXIMUM: usize = 64 * 1024;
/// How long all of it may take; whoever asks for less gives up earlier. Longer than what the exchange of a login waits: a
/// refresh token that is good for one use must not be sent again because its answer was not waited for.
const LIMIT: Duration = Duration::from_secs(30);
const AGENT: HeaderValue = HeaderValue::from_static(concat!("stubgate/", env!("CARGO_PKG_VERSION")));

/// Asks servers of secrets.
pub struct SecretsClient {
    dialer: Arc<Dialer>,
    limit: Duration,
}

impl SecretsClient {
    /// Asks by connections of this dialer.
    pub fn new(dialer: Arc<Dialer>) -> Self {
        SecretsClient { dialer, limit: LIMIT }
    }

    /// The same, with another deadline.
    #[must_use]
    pub fn within(self, limit: Duration) -> Self {
        SecretsClient { limit, ..self }
    }

    async fn ask(&self, request: Request<Zeroizing<Vec<u8>>>) -> Result<Response<Zeroizing<Vec<u8>>>, Unanswered> {
        let deadline = Instant::now() + self.limit;
        let (authority, request) = prepared(request)?;
        let dialling = timeout_at(deadline, self.dialer.dial(&authority, Wanted::H1Only)).await;
        let dialled = dialling
            .unwrap_or_else(|_| Err(Reason::UpstreamTimeout.into()))
            .map_err(|refusal| Unanswered::NotSent(why(&refusal.reason, &authority)))?;
        if dialled.verified.is_none_or(|verified| verified.0 != authority) {
            // No path leads here.
            return Err(Unanswered::NotSent("its certificate was not verified".into()));
        }
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_MAXIMUM)
            .handshake(TokioIo::new(dialled.stream))
            .await
            .map_err(|_| Unanswered::NotSent("the connection ended".into()))?;
        let _driven = AbortOnDropHandle::new(tokio::spawn(connection));
        let late = |_| Unanswered::Lost(format!("not within {} seconds", self.limit.as_secs()));
        let response = timeout_at(deadline, sender.try_send_request(request)).await.map_err(late)?;
        let (parts, body) = response.map_err(|mut error| unanswered(error.take_message().is_some()))?.into_parts();
        let body = timeout_at(deadline, whole(body)).await.map_err(late)??;
        Ok(Response::from_parts(parts, body))
    }
}

impl HttpClient for SecretsClient {
    fn send(&self, request: Request<Zeroizing<Vec<u8>>>) -> Answering<'_> {
        Box::pin(self.ask(request))
    }
}

/// Whom a request is for, and the request as it is written to that server.
fn prepared(request: Request<Zeroizing<Vec<u8>>>) -> Result<(Authority, Request<Full<Bytes>>), Unanswered> {
    let unfit = |what: &str| Unanswered::NotSent(what.to_owned());
    let (mut parts, body) = request.into_parts();
    if parts.uri.scheme_str() != Some("https") {
        return Err(unfit("its address is not https"));
    }
    let host = parts.uri.authority().ok_or_else(|| unfit("its address names no host"))?;
    let authority = Authority::parse(Scheme::Https, host.as_str().as_bytes())
        .map_err(|_| unfit("its address names no host that could be asked"))?;
    let target = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    parts.uri = Uri::from(target);
    let host = HeaderValue::try_from(authority.host_header()).map_err(|_| unfit("its address fits into no header"))?;
    parts.headers.insert(HOST, host);
    parts.headers.entry(USER_AGENT).or_insert(AGENT);
    Ok((authority, Request::from_parts(parts, Full::new(Bytes::from_owner(body)))))
}

fn unanswered(is_given_back: bool) -> Unanswered {
    let text = "the connection ended".to_owned();
    if is_given_back { Unanswered::NotSent(text) } else { Unanswered::Lost(text) }
}

/// A whole body, in memory that is wiped.
async fn whole(mut body: Incoming) -> Result<Zeroizing<Vec<u8>>, Unanswered> {
    let too_long = || Unanswered::Lost(format!("longer than {BODY_MAXIMUM} bytes"));
    let announced = body.size_hint().upper().map_or(Ok(0), usize::try_from).map_err(|_| too_long())?;
    if announced > BODY_MAXIMUM {
        return Err(too_long());
    }
    let mut read = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| unanswered(false))?;
        let Some(data) = frame.data_ref() else { continue };
        if read.len() + data.len() > BODY_MAXIMUM {
            return Err(too_long());
        }
        if read.capacity() - read.len() < data.len() {
            // Growing in place could leave a copy behind that nobody wipes.
            let mut longer = Zeroizing::new(Vec::with_capacity((read.len() + data.len()).next_power_of_two()));
            longer.extend_from_slice(&read);
            read = longer;
        }
        read.extend_from_slice(data);
    }
    Ok(read)
}

/// Why there is no connection, and what to do about it.
fn why(reason: &Reason, authority: &Authority) -> String {
    let host = authority.host();
    match reason {
        Reason::Unresolvable => format!("{host} has no address"),
        Reason::AddressNotPublic => format!(
            "{host} is at an address that stubgate does not dial by itself: name both in upstream.allow_private, or in \
             upstream.connect_to, of stubgate.yaml"
        ),
        Reason::UpstreamTls => format!(
            "there is no trusted TLS connection to {host}: its certificate must be good for that name, and by a CA of the \
             system or of upstream.ca_files of stubgate.yaml"
        ),
        Reason::UpstreamTimeout => format!("{authority} does not answer"),
        _ => format!("{authority} can't be reached"),
    }
}
