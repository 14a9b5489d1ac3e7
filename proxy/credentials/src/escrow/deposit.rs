//! Putting a login in escrow: what a person's login gave, or what another program left in a file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use stubgate_policy::secret_source::OauthProvider;

use super::Escrow;
use super::exchange::{Shown, Tokens};
use super::login::Login;
use super::shelf::Shelf;
use super::store::{Lease, StoreError};

/// How long a refresh of the login of before is waited for.
const WAIT: Duration = Duration::from_secs(60);
/// How often it is asked for.
const STEP: Duration = Duration::from_millis(200);
/// Whose file can be read.
const CLAUDE: &str = "claude";

/// Tokens that a provider gave, on their way into escrow.
pub struct Granted(pub(super) Tokens);

/// Why nothing was put there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DepositError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A refresh of the login of before does not end.
    #[error("the login is being refreshed by the appliance; try again in a minute")]
    Busy,
    /// The file holds no login.
    #[error(
        "it holds no login of Claude Code: {0}; take the .credentials.json in ~/.claude of one that is logged in, or log in \
         with `stubgate login claude`"
    )]
    NotALogin(&'static str),
    /// The file is Claude Code's, and the login another provider's.
    #[error(
        "it holds a login of Claude Code, whose tokens would be sent to {0}: log in with `stubgate login {0}`, without --import"
    )]
    OtherProvider(Box<str>),
    /// The file's login may do more than stubgate asks this provider for.
    #[error(
        "its login is good for {0}, which stubgate does not ask for and no agent is to have: log in with `stubgate login claude`"
    )]
    TooWide(String),
}

impl Granted {
    /// The scopes that were granted.
    pub fn scopes(&self) -> &[Box<str>] {
        self.0.scopes.as_deref().unwrap_or_default()
    }

    /// Whether it can be refreshed.
    pub fn can_be_refreshed(&self) -> bool {
        self.0.refresh.is_some()
    }

    /// Reads what Claude Code keeps in `.credentials.json`, for a login of this provider.
    ///
    /// # Errors
    /// Where there is no login in it, or one of more scopes than the provider is asked for, or where the provider is another.
    pub fn from_claude_file(text: &[u8], provider: &OauthProvider, now: SystemTime) -> Result<Self, DepositError> {
        let file: File = serde_json::from_slice(text).map_err(|_| DepositError::NotALogin("it is not its JSON"))?;
        let oauth = file.oauth.ok_or(DepositError::NotALogin("there is no `claudeAiOauth`"))?;
        let access = oauth.access.secret().ok_or(DepositError::NotALogin("its access token is none"))?;
        let refresh = oauth.refresh.secret().ok_or(DepositError::NotALogin("its refresh token is none"))?;
        if [&access, &refresh].iter().any(|token| token.reveal().ends_with(b"-stub")) {
            return Err(DepositError::NotALogin("it holds the stubs of an agent"));
        }
        if &*provider.name != CLAUDE {
            return Err(DepositError::OtherProvider(provider.name.clone()));
        }
        if oauth.scopes.iter().any(|scope| !is_scope(scope)) {
            return Err(DepositError::NotALogin("its scopes are none"));
        }
        let is_asked_for = |scope: &&String| provider.scopes.iter().any(|one| **one == ***scope);
        let beyond: Vec<&str> = oauth.scopes.iter().filter(|scope| !is_asked_for(scope)).map(String::as_str).collect();
        if !beyond.is_empty() {
            return Err(DepositError::TooWide(beyond.join(", ")));
        }
        let left = |ends: u64| UNIX_EPOCH.checked_add(Duration::from_millis(ends))?.duration_since(now).ok();
        let life = left(oauth.ends).unwrap_or_default();
        let refresh_life = oauth.refresh_ends.and_then(left);
        let scopes = Some(oauth.scopes.into_iter().map(Into::into).collect());
        Ok(Self(Tokens { access, refresh: Some(refresh), life: Some(life), refresh_life, scopes }))
    }
}

/// RFC 6749, 3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.len() < 128 && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "claudeAiOauth")]
    oauth: Option<OfClaude>,
}

#[derive(Deserialize)]
struct OfClaude {
    #[serde(rename = "accessToken")]
    access: Shown,
    #[serde(rename = "refreshToken")]
    refresh: Shown,
    /// Milliseconds.
    #[serde(rename = "expiresAt")]
    ends: u64,
    /// Likewise, where it stands.
    #[serde(rename = "refreshTokenExpiresAt", default)]
    refresh_ends: Option<u64>,
    #[serde(default)]
    scopes: Vec<String>,
}

impl Escrow {
    /// Puts a login in escrow, in place of the one of that name, durably. An appliance that runs takes it within a second.
    /// Gives the number of its generation.
    ///
    /// # Errors
    /// Where the store does not take it, or the login of before is being refreshed all the time.
    pub async fn deposit(&self, name: &str, provider: &str, granted: Granted) -> Result<u64, DepositError> {
        let lease = lead(&self.shelf, name).await?;
        // What does not open is replaced too: this is what mends it.
        let before = self.shelf.store.read(name).await?;
        let (revision, generation) = before.map_or((0, 0), |row| (row.revision, row.generation));
        let tokens = granted.0;
        let now = (self.clock)();
        let login = Login {
            generation: generation + 1,
            provider: provider.into(),
            access: tokens.access,
            obtained: now,
            ends: tokens.life.and_then(|life| now.checked_add(life)),
            refresh: tokens.refresh,
            refresh_ends: tokens.refresh_life.and_then(|life| now.checked_add(life)),
            scopes: tokens.scopes.unwrap_or_default(),
            attempt: None,
            lost: None,
        };
        let written = self.shelf.write(name, &login, revision).await?;
        drop(lease);
        written.map(|_| login.generation).ok_or(DepositError::Busy)
    }
}

async fn lead(shelf: &Shelf, name: &str) -> Result<Lease, DepositError> {
    let trying = async {
        loop {
            if let Some(lease) = shelf.store.lead(name).await? {
                return Ok(lease);
            }
            tokio::time::sleep(STEP).await;
        }
    };
    tokio::time::timeout(WAIT, trying).await.unwrap_or(Err(DepositError::Busy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Granted, String> {
        let claude = stubgate_policy::built_in_provider("claude").unwrap();
        let now = UNIX_EPOCH + Duration::from_secs(100);
        Granted::from_claude_file(text.as_bytes(), &claude, now).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_of_claude_code_is_taken_and_stubs_are_not() {
        let file = r#"{"claudeAiOauth":{"accessToken":"sk-ant-oat01-a","refreshToken":"sk-ant-ort01-r","expiresAt":160000,
            "scopes":["user:profile"],"subscriptionType":"max"},"mcpOAuth":{}}"#;
        let granted = read(file).unwrap();
        assert_eq!((granted.0.life, granted.0.refresh_life), (Some(Duration::from_secs(60)), None));
        let with_end = file.replace("160000,", "160000,\"refreshTokenExpiresAt\":400000,");
        assert_eq!(read(&with_end).unwrap().0.refresh_life, Some(Duration::from_secs(300)));
        assert_eq!(granted.0.refresh.unwrap().reveal(), b"sk-ant-ort01-r");
        assert_eq!(read(&file.replace("160000", "1")).unwrap().0.life, Some(Duration::ZERO));
        for (text, why) in [
            ("{}", "no `claudeAiOauth`"),
            ("no", "not its JSON"),
            (&file.replace("sk-ant-oat01-a", ""), "access token is none"),
            (&file.replace("sk-ant-ort01-r", "refresh-token-stub"), "stubs of an agent"),
            (&file.replace("user:profile", "org:create_api_key"), "good for org:create_api_key, which"),
            (&file.replace("user:profile", "a b"), "its scopes are none"),
        ] {
            assert!(read(text).err().unwrap().contains(why), "{why}");
        }
    }
}
