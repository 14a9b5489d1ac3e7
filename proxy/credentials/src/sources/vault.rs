//! A secret of HashiCorp Vault or OpenBao, key-value engine version 2: `GET /v1/{mount}/data/{path}`.
//!
//! The session is a token: the one in a file, or one that a login gave. It is kept, renewed ahead of its end while the
//! server lets it, and had anew where it has ended or is refused. A token in a file is read anew for each question, because
//! whoever keeps that file may exchange it.

mod session;

use std::sync::Arc;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use stubgate_policy::secret_source::{self, VaultAuth};
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::server::{self, Answer, Server, ServerError};
use super::{Given, SourceError, json_key};
use crate::fetch::{Fetch, Fetching, HttpClient};
use crate::secret::Secret;
use crate::written::{self, encoded};
use session::{Login, Session, State};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Without it, agents of Vault refuse to pass a request on: it can't be had from a browser.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// A secret of Vault as a source.
pub(crate) struct Vault {
    server: Server,
    what: secret_source::Vault,
    login: Login,
    json_key: Option<Box<str>>,
    session: Mutex<Option<Session>>,
}

/// How reading came to nothing.
enum Unread {
    /// The session may have ended, or grant too little: the server says the same of both.
    Denied,
    Other(ServerError),
}

impl Vault {
    pub(crate) fn new(what: &secret_source::Vault, json_key: Option<&str>, http: Arc<dyn HttpClient>) -> Self {
        Vault {
            server: Server::new(&what.server, http),
            what: what.clone(),
            login: Login::new(&what.auth),
            json_key: json_key.map(Box::from),
            session: Mutex::default(),
        }
    }

    pub(crate) async fn given(&self) -> Result<Given, SourceError> {
        // Held while the server is asked: whoever comes second waits for the session of the first.
        let mut held = self.session.lock().await;
        let is_kept = self.prepare(&mut held).await?;
        let mut read = self.read(held.as_ref()).await;
        if is_kept && !self.login.is_file() && matches!(read, Err(Unread::Denied)) {
            *held = None;
            self.prepare(&mut held).await?;
            read = self.read(held.as_ref()).await;
        }
        let bytes = read.map_err(|unread| unread.error(&self.what))?;
        Ok(json_key::inside(bytes, self.json_key.as_deref())?.into())
    }

    /// Sees to it that there is a session. Whether it is one of before.
    async fn prepare(&self, held: &mut Option<Session>) -> Result<bool, SourceError> {
        if self.login.is_file() {
            let token = self.login.token().await?;
            if held.as_ref().is_none_or(|session| !session.token.is_same(&token)) {
                *held = Some(self.look_up(token).await);
            }
        }
        let now = Instant::now();
        match held.as_ref().map(|session| session.state(now)) {
            Some(State::Fresh) => return Ok(true),
            Some(State::Due) => {
                if let Some(session) = held.as_mut() {
                    self.renew(session).await;
                }
                return Ok(true);
            }
            // The server knows best whether it has ended.
            Some(State::Ended) if self.login.is_file() => return Ok(true),
            Some(State::Ended) | None => *held = None,
        }
        *held = Some(self.log_in().await?);
        Ok(false)
    }

    async fn log_in(&self) -> Result<Session, SourceError> {
        let (target, body) = self.login.request().await?;
        let begun = Instant::now();
        let answer = self.server.ask(Method::POST, &target, self.headers(None)?, Some(body)).await?;
        if answer.status != StatusCode::OK {
            return Err(self.login.refusal(&answer).into());
        }
        let token = Secret::new(answer.text(&["auth", "client_token"])?)?;
        Ok(Session::new(token, begun, &answer, &["auth", "lease_duration"], &["auth", "renewable"])?)
    }

    /// What is known of a token that was given by others. Where it may not be asked for, nothing is.
    async fn look_up(&self, token: Secret) -> Session {
        let begun = Instant::now();
        let Ok(headers) = self.headers(Some(&token)) else { return Session::unknown(token, begun) };
        match self.server.ask(Method::GET, "/v1/auth/token/lookup-self", headers, None).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                Session::of(token, begun, &answer, &["data", "ttl"], &["data", "renewable"])
            }
            _ => Session::unknown(token, begun),
        }
    }

    /// Has a session live longer, where the server lets it. Where it does not, its end comes, and is dealt with then.
    async fn renew(&self, session: &mut Session) {
        let Ok(headers) = self.headers(Some(&session.token)) else { return };
        let begun = Instant::now();
        let body = written::object(&[]);
        match self.server.ask(Method::POST, "/v1/auth/token/renew-self", headers, Some(body)).await {
            Ok(answer) if answer.status == StatusCode::OK => session.renewed(begun, &answer),
            Ok(answer) if answer.status.is_client_error() => session.is_renewable = false,
            _ => {}
        }
    }

    async fn read(&self, session: Option<&Session>) -> Result<Zeroizing<Vec<u8>>, Unread> {
        let what = &self.what;
        let target = format!("/v1/{}/data/{}", encoded(&what.mount, true), encoded(&what.path, true));
        let headers = self.headers(session.map(|session| &session.token)).map_err(Unread::Other)?;
        let answer = self.server.ask(Method::GET, &target, headers, None).await.map_err(Unread::Other)?;
        match answer.status {
            StatusCode::OK => self.value(&answer).map_err(Unread::Other),
            StatusCode::FORBIDDEN => Err(Unread::Denied),
            StatusCode::NOT_FOUND => Err(Unread::Other(self.missing(&answer))),
            StatusCode::BAD_REQUEST => Err(Unread::Other(ServerError::Refused(format!(
                "refuses the question (status 400): is there an engine at {}, in this namespace?",
                what.mount
            )))),
            _ => Err(Unread::Other(unwell(&answer))),
        }
    }

    fn value(&self, answer: &Answer) -> Result<Zeroizing<Vec<u8>>, ServerError> {
        if answer.written(&["data", "data"])?.is_none() {
            return Err(self.missing(answer));
        }
        answer.text(&["data", "data", &self.what.key])
    }

    /// Deleted versions answer with what is known of them (status 404), and without their data.
    fn missing(&self, answer: &Answer) -> ServerError {
        let place = format!("{}/{}", self.what.mount, self.what.path);
        let of = |key| answer.written(&["data", "metadata", key]).ok().flatten();
        ServerError::Missing(if of("destroyed") == Some("true") {
            format!("has destroyed the newest version of {place}: write a new one")
        } else if of("deletion_time").is_some_and(|time| time != "\"\"") {
            format!("has deleted the newest version of {place}: undelete it, or write a new one")
        } else {
            format!("has no secret {place}, or no key-value engine of version 2 at {}", self.what.mount)
        })
    }

    fn headers(&self, token: Option<&Secret>) -> Result<HeaderMap, ServerError> {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        if let Some(namespace) = &self.what.namespace {
            let odd = |_| ServerError::Odd("has a namespace that fits into no header".into());
            headers.insert(NAMESPACE, HeaderValue::from_str(namespace).map_err(odd)?);
        }
        if let Some(token) = token {
            server::put(&mut headers, TOKEN, token)?;
        }
        Ok(headers)
    }
}

impl Unread {
    fn error(self, what: &secret_source::Vault) -> ServerError {
        let how = match &what.auth {
            VaultAuth::Token { file } => format!("the token in {} has ended, or", file.display()),
            VaultAuth::AppRole { .. } | VaultAuth::Kubernetes { .. } => "the login worked, but".to_owned(),
        };
        match self {
            Unread::Denied => ServerError::Refused(format!(
                "refuses to show the secret: {how} none of its policies grants `read` on {}/data/{}",
                what.mount, what.path
            )),
            Unread::Other(error) => error,
        }
    }
}

/// A server that is not well, in words that its operators know.
fn unwell(answer: &Answer) -> ServerError {
    match answer.status.as_u16() {
        412 => ServerError::Unwell("has not yet written what was asked for (status 412)".into()),
        472 | 473 => {
            ServerError::Unwell("is a standby that serves no reads: write the address of the active server".into())
        }
        503 if answer.says("sealed") => ServerError::Unwell("is sealed: unseal it".into()),
        _ => answer.otherwise(),
    }
}

impl Fetch for Vault {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async { self.given().await?.fetched() })
    }
}

#[cfg(test)]
mod tests;
