//! Who we are to Vault: the ways to log in, and the token that comes of it, with its time.

use std::path::Path;
use std::time::Duration;

use stubgate_policy::secret_source::VaultAuth;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::super::SourceError;
use super::super::file::File;
use super::super::server::{self, Answer, ServerError};
use super::unwell;
use crate::secret::Secret;
use crate::written::{self, encoded};

/// A token with less time left than this is renewed at each question: the next one may be minutes away.
const SHORT: Duration = Duration::from_secs(10 * 60);
/// A token that is younger is not renewed.
const YOUNG: Duration = Duration::from_secs(1);
/// What of a token's time is left to requests that are under way when it ends.
const MARGIN: Duration = Duration::from_secs(10);

/// A token, and how long it lives.
pub(super) struct Session {
    pub(super) token: Secret,
    begun: Instant,
    /// Nothing where it never ends, or nobody knows.
    lease: Option<Duration>,
    pub(super) is_renewable: bool,
}

/// What is to be done with a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Fresh,
    /// It should be renewed.
    Due,
    Ended,
}

impl Session {
    /// What a login gave.
    pub(super) fn new(
        token: Secret,
        begun: Instant,
        answer: &Answer,
        lease: &[&str],
        renewable: &[&str],
    ) -> Result<Self, ServerError> {
        let lease = Some(answer.life(lease)?).filter(|lease| !lease.is_zero());
        let is_renewable = answer.written(renewable)? == Some("true");
        Ok(Session { token, begun, lease, is_renewable })
    }

    /// The same, of a token that is good also where nothing is known of it.
    pub(super) fn of(token: Secret, begun: Instant, answer: &Answer, lease: &[&str], renewable: &[&str]) -> Self {
        let lease = answer.life(lease).ok().filter(|lease| !lease.is_zero());
        let is_renewable = answer.written(renewable).ok().flatten() == Some("true");
        Session { token, begun, lease, is_renewable }
    }

    pub(super) fn unknown(token: Secret, begun: Instant) -> Self {
        Session { token, begun, lease: None, is_renewable: false }
    }

    /// It lives on. Near the longest that a token may live, the time that is given gets shorter.
    pub(super) fn renewed(&mut self, begun: Instant, answer: &Answer) {
        let lease = answer.life(&["auth", "lease_duration"]).unwrap_or_default();
        if !lease.is_zero() {
            self.begun = begun;
            self.lease = Some(lease);
        }
        self.is_renewable = answer.written(&["auth", "renewable"]).ok().flatten() == Some("true");
    }

    pub(super) fn state(&self, now: Instant) -> State {
        let Some(lease) = self.lease else { return State::Fresh };
        let age = now.saturating_duration_since(self.begun);
        let left = lease.saturating_sub(age);
        if left <= MARGIN.min(lease / 10) {
            State::Ended
        } else if self.is_renewable && age >= YOUNG && (age >= lease / 3 || left < SHORT) {
            State::Due
        } else {
            State::Fresh
        }
    }
}

/// How a session is had.
pub(super) enum Login {
    Token { file: File, path: Box<Path> },
    AppRole { mount: Box<str>, role_id: (File, Box<Path>), secret_id: (File, Box<Path>) },
    Kubernetes { mount: Box<str>, role: Box<str>, token: (File, Box<Path>) },
}

impl Login {
    pub(super) fn new(auth: &VaultAuth) -> Self {
        let file = |path: &Path| (File::new(path, None), Box::from(path));
        match auth {
            VaultAuth::Token { file } => Login::Token { file: File::new(file, None), path: file.clone() },
            VaultAuth::AppRole { mount, role_id_file, secret_id_file } => {
                Login::AppRole { mount: mount.clone(), role_id: file(role_id_file), secret_id: file(secret_id_file) }
            }
            VaultAuth::Kubernetes { mount, role, token_file } => {
                Login::Kubernetes { mount: mount.clone(), role: role.clone(), token: file(token_file) }
            }
        }
    }

    /// Whether somebody else keeps the token.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Login::Token { .. })
    }

    /// The token that somebody else keeps.
    pub(super) async fn token(&self) -> Result<Secret, SourceError> {
        match self {
            Login::Token { file, path } => server::of_file(file, path).await,
            Login::AppRole { .. } | Login::Kubernetes { .. } => Err(SourceError::Elsewhere),
        }
    }

    /// Where to log in, and with what.
    pub(super) async fn request(&self) -> Result<(String, Zeroizing<Vec<u8>>), SourceError> {
        Ok(match self {
            Login::Token { .. } => return Err(SourceError::Elsewhere),
            Login::AppRole { mount, role_id, secret_id } => {
                let role_id = server::of_file(&role_id.0, &role_id.1).await?;
                let secret_id = server::of_file(&secret_id.0, &secret_id.1).await?;
                let body = written::object(&[("role_id", role_id.reveal()), ("secret_id", secret_id.reveal())]);
                (target(mount), body)
            }
            Login::Kubernetes { mount, role, token } => {
                let token = server::of_file(&token.0, &token.1).await?;
                (target(mount), written::object(&[("jwt", token.reveal()), ("role", role.as_bytes())]))
            }
        })
    }

    /// Why there is no session.
    pub(super) fn refusal(&self, answer: &Answer) -> ServerError {
        let status = answer.status.as_u16();
        // The engine for Kubernetes says 500 where the API server can't be asked.
        if !matches!(status, 400 | 401 | 403 | 404) {
            return unwell(answer);
        }
        ServerError::Login(match self {
            Login::Token { .. } => format!("refuses the login (status {status})"),
            Login::AppRole { mount, role_id, secret_id } => format!(
                "refuses the login (status {status}): look whether {} and {} hold a role and a secret identifier that are still \
                 good, and whether AppRole is enabled at {mount}",
                role_id.1.display(),
                secret_id.1.display()
            ),
            Login::Kubernetes { mount, role, token } => format!(
                "refuses the login (status {status}): look whether the role {role} at {mount} is bound to the service account \
                 and namespace of the token in {}",
                token.1.display()
            ),
        })
    }
}

fn target(mount: &str) -> String {
    format!("/v1/auth/{}/login", encoded(mount, true))
}
