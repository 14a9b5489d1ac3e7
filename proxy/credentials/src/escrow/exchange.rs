//! One question to a provider's token endpoint, and what its answer means (RFC 6749, 5 and 6; RFC 8628, 3).
//!
//! What counts is whether the provider may have carried the request out: a refresh token may be good for one use, and an
//! answer that was not understood is no proof that nothing happened. Of an answer's text nothing is ever shown but the
//! error codes of the standards.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use stubgate_policy::secret_source::{Endpoint, OauthBody, OauthProvider};
use zeroize::Zeroizing;

use crate::fetch::{HttpClient, Unanswered};
use crate::secret::Secret;
use crate::written;

/// How long an answer may take, of every kind.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// The longest that a provider may have us wait.
const LATEST: Duration = Duration::from_secs(3600);
/// Codes of errors that may be shown. Whatever else a provider writes is its own.
const CODES: &[&str] = &[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "authorization_pending",
    "slow_down",
    "access_denied",
    "expired_token",
    "server_error",
    "temporarily_unavailable",
];

/// What a provider gives.
pub(crate) struct Tokens {
    pub(crate) access: Arc<Secret>,
    /// None: the one of before stays good.
    pub(crate) refresh: Option<Arc<Secret>>,
    pub(crate) life: Option<Duration>,
    /// How long the refresh token lives, where the provider says so.
    pub(crate) refresh_life: Option<Duration>,
    pub(crate) scopes: Option<Vec<Box<str>>>,
}

/// What an answer means.
pub(crate) enum Verdict {
    /// Tokens; what was sent may be used up.
    Granted(Tokens),
    /// `invalid_grant`: what was sent is not good, or not any more.
    Gone,
    /// Another refusal, by its code or status. Asking again in the same way is no use.
    Refused(String),
    /// Not carried out; later, perhaps.
    Later(String, Option<Duration>),
    /// It may have been carried out.
    Unclear(String, Option<Duration>),
}

/// The secret of a client that has one.
pub(crate) fn client_secret(provider: &OauthProvider) -> Result<Option<Secret>, String> {
    let Some(path) = &provider.client_secret_file else { return Ok(None) };
    let read = crate::sources::file::read(path).map_err(|error| error.to_string());
    let secret = read.and_then(|bytes| Secret::new(bytes).map_err(|error| error.to_string()));
    secret.map(Some).map_err(|why| format!("the client's secret, file {}: {why}", path.display()))
}

/// Asks a token endpoint with these fields, besides those of the client.
pub(crate) async fn ask(
    http: &dyn HttpClient,
    provider: &OauthProvider,
    endpoint: &Endpoint,
    secret: Option<&Secret>,
    fields: &[(&str, &[u8])],
) -> Result<Response<Zeroizing<Vec<u8>>>, Unanswered> {
    let request = request(provider, endpoint, secret, fields)
        .ok_or_else(|| Unanswered::NotSent("the provider's address makes no request".into()))?;
    match tokio::time::timeout(LIMIT, http.send(request)).await {
        Ok(answer) => answer,
        Err(_) => Err(Unanswered::Lost(format!("it took longer than {} seconds", LIMIT.as_secs()))),
    }
}

fn request(
    provider: &OauthProvider,
    endpoint: &Endpoint,
    secret: Option<&Secret>,
    fields: &[(&str, &[u8])],
) -> Option<Request<Zeroizing<Vec<u8>>>> {
    let mut all = fields.to_vec();
    all.push(("client_id", provider.client_id.as_bytes()));
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("{}{}", endpoint.server, endpoint.path))
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("stubgate/", env!("CARGO_PKG_VERSION")));
    let body = match provider.body {
        OauthBody::Json => {
            all.extend(secret.map(|secret| ("client_secret", secret.reveal())));
            request = request.header(CONTENT_TYPE, "application/json");
            written::object(&all)
        }
        OauthBody::Form => {
            if let Some(secret) = secret {
                request = request.header(AUTHORIZATION, basic(&provider.client_id, secret)?);
            }
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            form(&all)
        }
    };
    request.body(body).ok()
}

/// RFC 6749, 2.3.1: both are form-encoded before they go into the header.
fn basic(client: &str, secret: &Secret) -> Option<HeaderValue> {
    let mut pair = Zeroizing::new(Vec::with_capacity(3 * (client.len() + secret.reveal().len()) + 1));
    written::encode(&mut pair, client.as_bytes());
    pair.push(b':');
    written::encode(&mut pair, secret.reveal());
    let value = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(&*pair))));
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn form(fields: &[(&str, &[u8])]) -> Zeroizing<Vec<u8>> {
    let room = fields.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(room));
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            body.push(b'&');
        }
        body.extend_from_slice(name.as_bytes());
        body.push(b'=');
        written::encode(&mut body, value);
    }
    body
}

/// What an answer means.
pub(crate) fn judge(answer: &Response<Zeroizing<Vec<u8>>>) -> Verdict {
    let status = answer.status();
    let after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds).min(LATEST));
    if status == StatusCode::OK {
        return match granted(answer.body()) {
            Ok(tokens) => Verdict::Granted(tokens),
            Err(why) => Verdict::Unclear(format!("the provider's answer {why}"), None),
        };
    }
    let code = error_code(answer.body());
    let said = match code {
        Some(code) => format!("the provider answered {} {code}", status.as_u16()),
        None => format!("the provider answered {}", status.as_u16()),
    };
    match (status, code) {
        // Another kind of success than the standard's says nothing of what became of the tokens.
        _ if status.is_success() => Verdict::Unclear(said, after),
        (StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED, Some("invalid_grant")) => Verdict::Gone,
        (StatusCode::TOO_MANY_REQUESTS, _) => Verdict::Later(said, after),
        (_, Some("temporarily_unavailable")) => Verdict::Later(said, after),
        _ if status.is_server_error() => Verdict::Unclear(said, after),
        _ => Verdict::Refused(said),
    }
}

fn granted(body: &[u8]) -> Result<Tokens, &'static str> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "is not the JSON of tokens")?;
    let access =
        answer.access_token.ok_or("has no access token")?.secret().ok_or("has an access token that is none")?;
    let refresh = match answer.refresh_token {
        Some(token) => Some(token.secret().ok_or("has a refresh token that is none")?),
        None => None,
    };
    let life = seconds(answer.expires_in);
    // No standard has it. Some write 0 where it does not end.
    let refresh_life = seconds(answer.refresh_token_expires_in).or(seconds(answer.refresh_expires_in));
    let refresh_life = refresh_life.filter(|life| !life.is_zero());
    let scopes = answer.scope.map(|scope| scope.split_ascii_whitespace().map(Into::into).collect());
    Ok(Tokens { access, refresh, life, refresh_life, scopes })
}

fn seconds(life: Option<serde_json::Value>) -> Option<Duration> {
    let life = life.and_then(|life| match life {
        serde_json::Value::Number(number) => number.as_f64(),
        // Some write numbers as texts.
        serde_json::Value::String(text) => text.parse().ok(),
        _ => None,
    });
    life.filter(|life| (0.0..1e10).contains(life)).map(Duration::from_secs_f64)
}

/// The code of a standard in an answer's body.
pub(crate) fn error_code(body: &[u8]) -> Option<&'static str> {
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    CODES.iter().copied().find(|code| *code == refusal.error)
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<Shown>,
    refresh_token: Option<Shown>,
    expires_in: Option<serde_json::Value>,
    /// As GitHub writes it, and others.
    refresh_token_expires_in: Option<serde_json::Value>,
    /// As Keycloak writes it.
    refresh_expires_in: Option<serde_json::Value>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// A token on its way from JSON into a [`Secret`].
pub(crate) struct Shown(Zeroizing<Vec<u8>>);

impl Shown {
    pub(crate) fn secret(self) -> Option<Arc<Secret>> {
        Secret::new(self.0).ok().map(Arc::new)
    }
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Shown;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Shown, E> {
                Ok(Shown(Zeroizing::new(text.as_bytes().to_vec())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests;
