//! A person's consent, for a login from a terminal: by a code that is pasted (RFC 6749, 4.1, with PKCE, RFC 7636), or on
//! another device (RFC 8628).
//!
//! The verifier never leaves this process but to the token endpoint, and a pasted code is taken with the state that was
//! sent alone, so that nobody can have a stranger's login put in escrow (RFC 6749, 10.12).

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use stubgate_policy::secret_source::{Endpoint, OauthBody, OauthProvider};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::deposit::Granted;
use super::exchange::{Shown, Tokens, Verdict, ask, client_secret, error_code, judge};
use crate::fetch::HttpClient;
use crate::secret::Secret;
use crate::written::encoded;

/// How much slower a provider has us ask when it says so (RFC 8628, 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// The longest that a device code is asked about.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Why there is no login.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// The provider's description lacks something.
    #[error("the provider `{0}` has no `{1}`")]
    Undescribed(Box<str>, &'static str),
    /// What was pasted is not what the provider shows.
    #[error(
        "that is not the full code; copy all of it, with the # in the middle, or the whole address that you were sent to"
    )]
    NotWhole,
    /// The state is not the one that was sent.
    #[error("that code belongs to another login; open the address above once more, and paste what it shows")]
    OtherState,
    /// The provider said no, or nothing.
    #[error("{0}")]
    Provider(String),
    /// The time to consent is over.
    #[error("nobody consented in time; begin again")]
    TooLate,
    /// The person refused.
    #[error("consent was refused")]
    Refused,
    /// The system has no randomness.
    #[error("the system has no randomness")]
    NoRandomness,
}

/// A login that waits for a code.
pub struct Consent {
    url: String,
    verifier: Zeroizing<String>,
    state: String,
    redirect: Box<str>,
}

impl Consent {
    /// Begins a login.
    ///
    /// # Errors
    /// Where the provider's description has no address for that.
    pub fn begin(provider: &OauthProvider) -> Result<Self, LoginError> {
        let lacks = |what| LoginError::Undescribed(provider.name.clone(), what);
        let address = provider.authorization_url.as_deref().ok_or_else(|| lacks("authorization_url"))?;
        let redirect = provider.redirect_uri.clone().ok_or_else(|| lacks("redirect_uri"))?;
        let (verifier, state) = (random()?, random()?);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        let challenge = URL_SAFE_NO_PAD.encode(digest.as_ref());
        let mut url = format!("{address}{}", if address.contains('?') { '&' } else { '?' });
        if &*provider.name == "claude" {
            // Has the code shown, to be pasted.
            url.push_str("code=true&");
        }
        let scopes = provider.scopes.join(" ");
        let fields = [
            ("client_id", &*provider.client_id),
            ("response_type", "code"),
            ("redirect_uri", &*redirect),
            ("scope", &scopes),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("state", &state),
        ];
        let fields = fields.iter().filter(|(_, value)| !value.is_empty());
        url.push_str(
            &fields.map(|(name, value)| format!("{name}={}", encoded(value, false))).collect::<Vec<_>>().join("&"),
        );
        Ok(Self { url, verifier, state: state.to_string(), redirect })
    }

    /// What the person opens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Takes what was pasted, and exchanges it for tokens. It can be asked again with another text where that one was not
    /// whole.
    ///
    /// # Errors
    /// Why there are none.
    pub async fn finish(
        &self,
        provider: &OauthProvider,
        http: &Arc<dyn HttpClient>,
        pasted: &str,
    ) -> Result<Granted, LoginError> {
        let (code, state) = whole(pasted).ok_or(LoginError::NotWhole)?;
        if !bool::from(state.as_bytes().ct_eq(self.state.as_bytes())) {
            return Err(LoginError::OtherState);
        }
        let mut fields: Vec<(&str, &[u8])> = vec![
            ("grant_type", b"authorization_code"),
            ("code", code.as_bytes()),
            ("redirect_uri", self.redirect.as_bytes()),
            ("code_verifier", self.verifier.as_bytes()),
        ];
        if provider.body == OauthBody::Json {
            fields.push(("state", self.state.as_bytes()));
        }
        let secret = client_secret(provider).map_err(LoginError::Provider)?;
        let endpoint = token_endpoint(provider)?;
        let answer = ask(&**http, provider, endpoint, secret.as_ref(), &fields).await;
        match judge(&answer.map_err(|error| LoginError::Provider(error.to_string()))?) {
            Verdict::Granted(tokens) => Ok(with_scopes(tokens, provider)),
            Verdict::Gone => Err(LoginError::Provider("the provider does not take the code; begin again".into())),
            Verdict::Refused(why) | Verdict::Later(why, _) | Verdict::Unclear(why, _) => Err(LoginError::Provider(why)),
        }
    }
}

/// A login that a person consents to on another device.
pub struct Device {
    code: Arc<Secret>,
    /// What the person types there: visible ASCII.
    pub user_code: String,
    /// Where: https, visible ASCII.
    pub address: String,
    interval: Duration,
    ends: Duration,
}

#[derive(Deserialize)]
struct Offered {
    device_code: Shown,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: String,
    expires_in: Option<u64>,
    interval: Option<u64>,
}

impl Device {
    /// Begins a login.
    ///
    /// # Errors
    /// Where the provider has no such thing, or does not answer.
    pub async fn begin(provider: &OauthProvider, http: &Arc<dyn HttpClient>) -> Result<Self, LoginError> {
        let lacks = || LoginError::Undescribed(provider.name.clone(), "device_url");
        let endpoint = provider.device_endpoint.as_ref().ok_or_else(lacks)?;
        let scopes = provider.scopes.join(" ");
        let fields = [("scope", scopes.as_bytes())];
        let fields = if scopes.is_empty() { &[][..] } else { &fields };
        let secret = client_secret(provider).map_err(LoginError::Provider)?;
        let answer = ask(&**http, provider, endpoint, secret.as_ref(), fields).await;
        let answer = answer.map_err(|error| LoginError::Provider(error.to_string()))?;
        let odd = || LoginError::Provider(format!("the provider answered {} without a code", answer.status().as_u16()));
        let offered: Offered = serde_json::from_slice(answer.body()).map_err(|_| odd())?;
        let is_shown =
            |text: &str| !text.is_empty() && text.len() < 512 && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !is_shown(&offered.user_code)
            || !is_shown(&offered.verification_uri)
            || !offered.verification_uri.starts_with("https://")
        {
            return Err(odd());
        }
        Ok(Self {
            code: offered.device_code.secret().ok_or_else(odd)?,
            user_code: offered.user_code,
            address: offered.verification_uri,
            interval: Duration::from_secs(offered.interval.unwrap_or(5).clamp(1, 60)),
            ends: offered.expires_in.map_or(PATIENCE, Duration::from_secs).min(PATIENCE),
        })
    }

    /// Asks until the person consented, in the provider's own time.
    ///
    /// # Errors
    /// Why there are no tokens.
    pub async fn wait(self, provider: &OauthProvider, http: &Arc<dyn HttpClient>) -> Result<Granted, LoginError> {
        tokio::time::timeout(self.ends, self.poll(provider, http)).await.unwrap_or(Err(LoginError::TooLate))
    }

    async fn poll(&self, provider: &OauthProvider, http: &Arc<dyn HttpClient>) -> Result<Granted, LoginError> {
        let endpoint = token_endpoint(provider)?;
        let secret = client_secret(provider).map_err(LoginError::Provider)?;
        let grant = b"urn:ietf:params:oauth:grant-type:device_code";
        let fields = [("grant_type", &grant[..]), ("device_code", self.code.reveal())];
        let mut pause = self.interval;
        loop {
            tokio::time::sleep(pause).await;
            let Ok(answer) = ask(&**http, provider, endpoint, secret.as_ref(), &fields).await else {
                // RFC 8628, 3.5: slower where there is no answer.
                pause = pause.saturating_mul(2).min(Duration::from_secs(60));
                continue;
            };
            // Some answer 200 with an error.
            match (error_code(answer.body()), judge(&answer)) {
                (Some("authorization_pending"), _) => {}
                (Some("slow_down"), _) => pause += SLOWER,
                (Some("access_denied"), _) => return Err(LoginError::Refused),
                (Some("expired_token"), _) => return Err(LoginError::TooLate),
                (_, Verdict::Granted(tokens)) => return Ok(with_scopes(tokens, provider)),
                (_, Verdict::Later(_, after)) => pause = pause.max(after.unwrap_or_default()) + SLOWER,
                (_, Verdict::Gone) => return Err(LoginError::TooLate),
                (_, Verdict::Refused(why) | Verdict::Unclear(why, _)) => return Err(LoginError::Provider(why)),
            }
        }
    }
}

fn token_endpoint(provider: &OauthProvider) -> Result<&Endpoint, LoginError> {
    provider.token_endpoints.first().ok_or_else(|| LoginError::Undescribed(provider.name.clone(), "token_url"))
}

/// RFC 6749, 5.1: where no scope is said, it is what was asked for.
fn with_scopes(mut tokens: Tokens, provider: &OauthProvider) -> Granted {
    tokens.scopes.get_or_insert_with(|| provider.scopes.to_vec());
    Granted(tokens)
}

/// The code and the state of `CODE#STATE`, or of an address with both in its query.
fn whole(pasted: &str) -> Option<(&str, &str)> {
    let pasted = pasted.trim();
    let (code, state) = match pasted.split_once('?') {
        Some((_, query)) => {
            let query = query.split('#').next().unwrap_or_default();
            let field = |name: &str| query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            (field("code")?, field("state")?)
        }
        None => pasted.split_once('#')?,
    };
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    (is_word(code) && is_word(state)).then_some((code, state))
}

fn random() -> Result<Zeroizing<String>, LoginError> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| LoginError::NoRandomness)?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}

#[cfg(test)]
mod tests;
