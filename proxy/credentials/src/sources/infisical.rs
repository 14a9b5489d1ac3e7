//! A secret of Infisical, read as a machine identity that logs in with universal auth.
//!
//! `POST /api/v1/auth/universal-auth/login` gives an access token, which is kept until it ends or is refused;
//! `GET /api/v3/secrets/raw/{name}` gives the secret.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use stubgate_policy::secret_source;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::file::File;
use super::server::{self, Answer, Server, ServerError};
use super::{Given, SourceError, json_key};
use crate::fetch::{Fetch, Fetching, HttpClient};
use crate::secret::Secret;
use crate::written::{self, encoded};

/// How long before its end a session is no longer begun with.
const MARGIN: Duration = Duration::from_secs(30);

/// A secret of Infisical as a source.
pub(crate) struct Infisical {
    server: Server,
    what: secret_source::Infisical,
    client_id: File,
    client_secret: File,
    json_key: Option<Box<str>>,
    session: Mutex<Option<Session>>,
}

struct Session {
    token: Secret,
    ends: Instant,
}

/// How reading came to nothing.
enum Unread {
    /// The session is not, or no longer, good.
    Session,
    Other(ServerError),
}

impl Infisical {
    pub(crate) fn new(what: &secret_source::Infisical, json_key: Option<&str>, http: Arc<dyn HttpClient>) -> Self {
        Infisical {
            server: Server::new(&what.server, http),
            what: what.clone(),
            client_id: File::new(&what.client_id_file, None),
            client_secret: File::new(&what.client_secret_file, None),
            json_key: json_key.map(Box::from),
            session: Mutex::default(),
        }
    }

    pub(crate) async fn given(&self) -> Result<Given, SourceError> {
        // Held while the server is asked: whoever comes second waits for the session of the first.
        let mut held = self.session.lock().await;
        let kept = held.take().filter(|session| session.ends > Instant::now());
        let is_kept = kept.is_some();
        let session = match kept {
            Some(session) => session,
            None => self.login().await?,
        };
        let session = held.insert(session);
        let bytes = match self.read(session).await {
            Ok(bytes) => bytes,
            Err(Unread::Session) if is_kept => {
                *held = None;
                let session = held.insert(self.login().await?);
                self.read(session).await.map_err(Unread::error)?
            }
            Err(unread) => return Err(unread.error().into()),
        };
        Ok(json_key::inside(bytes, self.json_key.as_deref())?.into())
    }

    async fn login(&self) -> Result<Session, SourceError> {
        let client_id = server::of_file(&self.client_id, &self.what.client_id_file).await?;
        let client_secret = server::of_file(&self.client_secret, &self.what.client_secret_file).await?;
        let body = written::object(&[("clientId", client_id.reveal()), ("clientSecret", client_secret.reveal())]);
        let begun = Instant::now();
        let target = "/api/v1/auth/universal-auth/login";
        let answer = self.server.ask(Method::POST, target, HeaderMap::new(), Some(body)).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                return Err(ServerError::Login(format!(
                    "refuses the login (status {}): look whether {} and {} hold an identity's client id and secret that are \
                     still good, and whether the identity may log in from this address",
                    answer.status.as_u16(),
                    self.what.client_id_file.display(),
                    self.what.client_secret_file.display(),
                ))
                .into());
            }
            _ => return Err(answer.otherwise().into()),
        }
        let token = Secret::new(answer.text(&["accessToken"])?)?;
        let lasts = answer.life(&["expiresIn"])?;
        Ok(Session { token, ends: begun + lasts.saturating_sub(MARGIN.min(lasts / 10)) })
    }

    async fn read(&self, session: &Session) -> Result<Zeroizing<Vec<u8>>, Unread> {
        let what = &self.what;
        let target = format!(
            "/api/v3/secrets/raw/{}?workspaceId={}&environment={}&secretPath={}",
            encoded(&what.name, false),
            encoded(&what.project, false),
            encoded(&what.environment, false),
            encoded(&what.path, false),
        );
        let mut headers = HeaderMap::new();
        server::bearer(&mut headers, session.token.reveal()).map_err(Unread::Other)?;
        let answer = self.server.ask(Method::GET, &target, headers, None).await.map_err(Unread::Other)?;
        match answer.status {
            StatusCode::OK => self.value(&answer).map_err(Unread::Other),
            StatusCode::UNAUTHORIZED => Err(Unread::Session),
            _ => Err(Unread::Other(self.refusal(&answer))),
        }
    }

    fn value(&self, answer: &Answer) -> Result<Zeroizing<Vec<u8>>, ServerError> {
        if answer.written(&["secret", "secretValueHidden"])? == Some("true") {
            // What stands in its place is no secret.
            return Err(ServerError::Refused(
                "hides the value: the identity may see that there is such a secret, and needs the permission to read its \
                 value"
                    .into(),
            ));
        }
        answer.text(&["secret", "secretValue"])
    }

    fn refusal(&self, answer: &Answer) -> ServerError {
        let what = &self.what;
        match answer.status {
            StatusCode::FORBIDDEN => ServerError::Refused(format!(
                "refuses to show the secret: the identity needs to be a member of project {} who may read secrets of {} at {}",
                what.project, what.environment, what.path
            )),
            StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => ServerError::Missing(format!(
                "has no secret {} at {} in {} of project {}",
                what.name, what.path, what.environment, what.project
            )),
            _ => answer.otherwise(),
        }
    }
}

impl Unread {
    fn error(self) -> ServerError {
        match self {
            Unread::Session => ServerError::Login("refuses a session that it has just given".into()),
            Unread::Other(error) => error,
        }
    }
}

impl Fetch for Infisical {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async { self.given().await?.fetched() })
    }
}

#[cfg(test)]
mod tests;
