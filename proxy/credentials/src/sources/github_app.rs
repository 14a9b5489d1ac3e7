//! Installation tokens of a GitHub App: `POST /app/installations/{id}/access_tokens`, signed with the app's key.
//!
//! A token is never taken that can do more than policy writes: what GitHub says of it is compared with what was asked for.
//! The private key is read anew for each token, and wiped once the request is signed.

mod jwt;
mod key;
mod narrow;

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use stubgate_policy::secret_source;
use zeroize::Zeroizing;

use super::exec::time;
use super::server::{self, Answer, Server, ServerError};
use super::text::Text;
use super::{Given, SourceError, describe};
use crate::fetch::{Fetch, Fetching, Means};

const API_VERSION: HeaderName = HeaderName::from_static("x-github-api-version");

/// A GitHub App as a source.
pub(crate) struct GithubApp {
    server: Server,
    what: secret_source::GithubApp,
    key: Text,
    has_json_key: bool,
}

impl GithubApp {
    pub(crate) fn new(what: &secret_source::GithubApp, json_key: Option<&str>, means: &Means) -> Self {
        GithubApp {
            server: Server::new(&what.server, Arc::clone(&means.http)),
            what: what.clone(),
            key: Text::new(&what.private_key, means),
            has_json_key: json_key.is_some(),
        }
    }

    async fn given(&self) -> Result<Given, SourceError> {
        if self.has_json_key {
            let text = "mints tokens, which have no keys: remove `json_key`, or write it below `private_key`";
            return Err(SourceError::Other(text.into()));
        }
        let token = self.signed(SystemTime::now()).await?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert(API_VERSION, HeaderValue::from_static("2022-11-28"));
        server::bearer(&mut headers, &token)?;
        let target = format!("{}/app/installations/{}/access_tokens", self.what.base_path, self.what.installation);
        let body = Zeroizing::new(narrow::request(&self.what));
        let answer = self.server.ask(Method::POST, &target, headers, Some(body)).await?;
        match answer.status {
            StatusCode::CREATED => self.minted(&answer),
            _ => Err(self.refusal(&answer).into()),
        }
    }

    /// A JWT of the app. Its key is there while this runs, and no longer.
    async fn signed(&self, now: SystemTime) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        let of_key = |why: String| {
            let source = describe(&self.what.private_key.source);
            SourceError::Other(format!("has no usable private key: {source} {why}"))
        };
        let pem = self.key.given().await.map_err(|error| of_key(error.to_string()))?;
        let key = key::read(&pem.bytes).map_err(|error| of_key(error.to_string()))?;
        drop(pem);
        jwt::signed(&key, &self.what.app_id, now).ok_or_else(|| of_key("does not sign".into()))
    }

    fn minted(&self, answer: &Answer) -> Result<Given, SourceError> {
        narrow::check(&self.what, answer)?;
        let bytes = answer.text(&["token"])?;
        let no_end = || ServerError::Odd("gave a token without saying when it ends".into());
        let expires = answer.written(&["expires_at"])?.and_then(time).ok_or_else(no_end)?;
        Ok(Given { bytes, expires: Some(expires) })
    }

    fn refusal(&self, answer: &Answer) -> ServerError {
        let (app, installation) = (&self.what.app_id, self.what.installation);
        let is_limited = answer.headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0")
            || answer.headers.contains_key("retry-after");
        match answer.status {
            StatusCode::UNAUTHORIZED if answer.says("expiration time") || answer.says("issued at") => {
                ServerError::Login("says that the request is of another time: set this machine's clock".into())
            }
            StatusCode::UNAUTHORIZED => ServerError::Login(format!(
                "refuses the app's signature (status 401): is `private_key` one of app {app}, and not deleted there?"
            )),
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS if is_limited => {
                ServerError::Unwell("says that this app asks too often".into())
            }
            StatusCode::FORBIDDEN if answer.says("suspended") => ServerError::Refused(format!(
                "says that installation {installation} is suspended: its owner can lift that in the settings of installed apps"
            )),
            StatusCode::FORBIDDEN => ServerError::Refused(format!(
                "refuses a token for installation {installation} (status 403): its owner may have to let in this address"
            )),
            StatusCode::NOT_FOUND => ServerError::Missing(format!(
                "has no installation {installation} of app {app}: `installation` is the number at the end of the address of the \
                 installation's settings, and it may have been uninstalled"
            )),
            StatusCode::UNPROCESSABLE_ENTITY => ServerError::Refused(narrow::refusal(&self.what, answer)),
            _ => answer.otherwise(),
        }
    }
}

impl Fetch for GithubApp {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async { self.given().await?.fetched() })
    }
}

#[cfg(test)]
mod tests;
