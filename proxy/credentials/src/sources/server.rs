//! What sources have in common that are servers: how a request is written, and how it is told that one came to nothing.
//!
//! Requests go through an [`HttpClient`] and no other way. What a server says for itself is never quoted: it could hold
//! anything, a secret too. Its status, and phrases that its documentation knows, choose among words that stand here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use stubgate_policy::Authority;
use zeroize::Zeroizing;

use super::file::File;
use super::{LONGEST_LIFE, SourceError, json_key};
use crate::fetch::{HttpClient, Unanswered};
use crate::secret::Secret;

/// Why a server gave no secret, as what follows its name in a sentence. Never a byte that came from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// No connection, or no whole answer.
    #[error("can't be asked: {0}")]
    Unanswered(#[from] Unanswered),
    /// It refuses who asks.
    #[error("{0}")]
    Login(String),
    /// It refuses what is asked for.
    #[error("{0}")]
    Refused(String),
    /// It has no such thing.
    #[error("{0}")]
    Missing(String),
    /// It is busy, sealed or broken.
    #[error("{0}")]
    Unwell(String),
    /// It gave something else than was asked for.
    #[error("{0}")]
    Odd(String),
}

impl ServerError {
    /// The word for metrics and records.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unanswered(_) => "unreachable",
            Self::Login(_) => "login",
            Self::Refused(_) => "refused",
            Self::Missing(_) => "missing",
            Self::Unwell(_) => "server",
            Self::Odd(_) => "malformed",
        }
    }
}

/// One server, with the way to it.
pub(crate) struct Server {
    authority: Authority,
    http: Arc<dyn HttpClient>,
}

/// What a server said.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Server {
    pub(crate) fn new(authority: &Authority, http: Arc<dyn HttpClient>) -> Self {
        Server { authority: authority.clone(), http }
    }

    /// Asks for what is at `target`, a path with its query, both encoded. A body is JSON.
    pub(crate) async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Answer, ServerError> {
        let unsendable =
            |_| Unanswered::NotSent("the address in its configuration can't be written as a URL".to_owned());
        let uri = format!("https://{}{target}", self.authority.host_header());
        let length = body.as_ref().map(|body| HeaderValue::from(body.len()));
        let mut request =
            Request::builder().method(method).uri(uri).body(body.unwrap_or_default()).map_err(unsendable)?;
        *request.headers_mut() = headers;
        if let Some(length) = length {
            request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            request.headers_mut().insert(CONTENT_LENGTH, length);
        }
        let (parts, body) = self.http.send(request).await?.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

impl Answer {
    /// The text at a path of keys.
    pub(crate) fn text(&self, path: &[&str]) -> Result<Zeroizing<Vec<u8>>, ServerError> {
        let name = path.last().copied().unwrap_or_default();
        let found = json_key::find_in_bounded(&self.body, path).map_err(|_| not_json())?;
        json_key::text(found, name).map_err(|error| ServerError::Odd(format!("answers, and its answer {error}")))
    }

    /// What is written at a path of keys, where there is something other than null.
    pub(crate) fn written(&self, path: &[&str]) -> Result<Option<&str>, ServerError> {
        let found = json_key::find_in_bounded(&self.body, path).map_err(|_| not_json())?;
        Ok(found.map(|value| value.get()).filter(|written| *written != "null"))
    }

    /// The number at a path of keys; 0 where there is none.
    pub(crate) fn number(&self, path: &[&str]) -> Result<u64, ServerError> {
        Ok(self.written(path)?.and_then(|written| written.parse().ok()).unwrap_or(0))
    }

    /// A time to live, in seconds there; nothing where there is none, and never more than can be added to a clock.
    pub(crate) fn life(&self, path: &[&str]) -> Result<Duration, ServerError> {
        Ok(Duration::from_secs(self.number(path)?).min(LONGEST_LIFE))
    }

    /// Whether what it says has a phrase in it; for choosing among words, never for a decision.
    pub(crate) fn says(&self, phrase: &str) -> bool {
        let wanted = phrase.as_bytes();
        self.body.windows(wanted.len()).any(|here| here.eq_ignore_ascii_case(wanted))
    }

    /// What a status means that means the same from every server.
    pub(crate) fn otherwise(&self) -> ServerError {
        let status = self.status.as_u16();
        match status {
            300..=399 => ServerError::Odd(format!(
                "sends elsewhere (status {status}), where stubgate does not go: write the address that it leads to"
            )),
            429 => ServerError::Unwell("is asked too often (status 429)".into()),
            503 => ServerError::Unwell("can't answer now (status 503)".into()),
            500..=599 => ServerError::Unwell(format!("failed (status {status})")),
            _ => ServerError::Odd(format!("gave an answer that stubgate does not know (status {status})")),
        }
    }
}

fn not_json() -> ServerError {
    ServerError::Odd("gave an answer that is not valid JSON; is it the right address?".into())
}

/// What a file holds that a login takes; a mistake names the file.
pub(crate) async fn of_file(file: &File, path: &Path) -> Result<Secret, SourceError> {
    let name = |error: SourceError| SourceError::Login { path: path.into(), error: Box::new(error) };
    file.given().await.and_then(|given| Ok(Secret::new(given.bytes)?)).map_err(name)
}

/// A header that carries a secret, so that nothing ever prints it.
pub(crate) fn put(headers: &mut HeaderMap, name: HeaderName, secret: &Secret) -> Result<(), ServerError> {
    // A secret is visible ASCII.
    let unfit = |_| ServerError::Odd("gave a token that fits into no header".into());
    let mut value = HeaderValue::from_bytes(secret.reveal()).map_err(unfit)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// `Authorization: Bearer` with this.
pub(crate) fn bearer(headers: &mut HeaderMap, token: &[u8]) -> Result<(), ServerError> {
    let mut line = Zeroizing::new(Vec::with_capacity(token.len() + 7));
    line.extend_from_slice(b"Bearer ");
    line.extend_from_slice(token);
    let unfit = |_| ServerError::Odd("gave a token that fits into no header".into());
    let mut value = HeaderValue::from_bytes(&line).map_err(unfit)?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use http::Response;

    use super::*;
    use crate::fetch::Answering;

    type Given = Box<dyn FnOnce(&Request<Zeroizing<Vec<u8>>>) -> Result<(u16, String), Unanswered> + Send>;

    /// A server that answers as it is told, one request after the other.
    #[derive(Default)]
    pub(crate) struct Script {
        answers: Mutex<VecDeque<Given>>,
        asked: Mutex<Vec<String>>,
    }

    impl Script {
        pub(crate) fn says(&self, status: u16, body: impl Into<String>) {
            let body = body.into();
            self.given(move |_| Ok((status, body)));
        }

        pub(crate) fn given(
            &self,
            answer: impl FnOnce(&Request<Zeroizing<Vec<u8>>>) -> Result<(u16, String), Unanswered> + Send + 'static,
        ) {
            self.answers.lock().unwrap().push_back(Box::new(answer));
        }

        /// `METHOD URL` of what it was asked since this was called last, with the bodies.
        pub(crate) fn asked(&self) -> Vec<String> {
            std::mem::take(&mut *self.asked.lock().unwrap())
        }
    }

    impl HttpClient for Script {
        fn send(&self, request: Request<Zeroizing<Vec<u8>>>) -> Answering<'_> {
            let body = String::from_utf8(request.body().to_vec()).unwrap();
            let asked = format!("{} {} {body}", request.method(), request.uri());
            self.asked.lock().unwrap().push(asked.trim_end().to_owned());
            let answer = self.answers.lock().unwrap().pop_front();
            let answer = answer.unwrap_or_else(|| panic!("asked too often: {:?}", self.asked.lock().unwrap()));
            let answer = answer(&request).map(|(status, body)| {
                Response::builder().status(status).body(Zeroizing::new(body.into_bytes())).unwrap()
            });
            Box::pin(std::future::ready(answer))
        }
    }

    #[test]
    fn what_a_server_says_for_itself_is_in_no_error() {
        for status in [200, 302, 400, 429, 500, 503] {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Zeroizing::new(b"{\"token\":\"s3cr3t\",\"n\":{}}".to_vec()),
            };
            let other = answer.text(&["n"]).err().unwrap();
            let text = format!("{} {other} {:?}", answer.otherwise(), answer.otherwise());
            assert!(!text.contains("s3cr3t"), "{text}");
        }
    }
}
