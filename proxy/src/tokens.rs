//! The token endpoint of a login in escrow, as its agents see it.
//!
//! An agent that refreshes its login (RFC 6749 section 6) holds stubs alone. It gets the same stubs again, or, where only
//! minted ones stand for the credential, a fresh one of its own; as its provider would have said it, and nothing of what it sent goes on: the escrow refreshes the login by itself. Never is a refresh
//! refused as `invalid_grant`, after which clients throw their login away; while the login has no good token, that is 503.
//! Whoever asks for anything else, a code of a person's consent for one, is refused: an answer would bring a credential in.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;
use stubgate_credentials::minted::{self, Expiry};
use stubgate_policy::{Credential, CredentialId, Reason, Source};

use crate::appliance::Appliance;
use crate::authority::Address;
use crate::decide::{self, Outcome, Tokens};
use crate::identify::{self, Identified};
use crate::inspect::{self, Untaken};
use crate::request::{Presented, Refusal};
use crate::respond::{self, ResponseBody, Shape};
use crate::service;
use crate::snapshot::Snapshot;
use crate::swap::percent_decoded;
use crate::transaction::Transaction;

/// The longest body that is read.
const LONGEST: usize = 64 << 10;
/// How long the stubs are said to be good, in seconds, as providers say it. Literal ones do not end; a client that comes back
/// is told the same.
const EXPIRES_IN: u64 = 8 * 60 * 60;
/// How long an agent is told to wait for a login that has no good token.
const RETRY_AFTER: &str = "30";

/// Answers a request for tokens.
pub async fn answer(
    appliance: &Arc<Appliance>,
    asked: Box<Tokens>,
    transaction: Transaction,
    shape: Shape,
) -> Response<ResponseBody> {
    let Tokens { mut identified, address, .. } = *asked;
    let body = std::mem::replace(&mut identified.arrived.body, crate::body::RequestBody::Empty);
    let is_expected = identified.arrived.headers.contains_key(header::EXPECT);
    let room = appliance.held.enter(&identified.agent_name, identified.snapshot.policy.agents().len());
    let taken = inspect::take(appliance, body, room, LONGEST, is_expected).await;
    // That may have taken long, and this is not among what is under way: who asks, and for what, is decided as it is now.
    let snapshot = appliance.snapshot.load_full();
    let refusal = match taken {
        Ok((bytes, _room)) => {
            let asked = again(appliance, &snapshot, identified, address);
            match asked.and_then(|asked| judge(&asked, &bytes).map(|found| (asked, found))) {
                Ok((asked, (login, scope))) => return tell(appliance, &asked, login, scope, &transaction),
                Err(refusal) => refusal,
            }
        }
        Err(Untaken::TooLarge) => Reason::BadRequest.into(),
        Err(Untaken::Refused(refused)) => {
            if let Some(reached) = refused.reached {
                transaction.spending.end().tell(reached);
            }
            refused.refusal
        }
    };
    service::refuse(&snapshot, refusal, transaction, shape)
}

/// The same request, by what is in force now.
fn again(
    appliance: &Appliance,
    snapshot: &Arc<Snapshot>,
    before: Identified,
    address: Address,
) -> Result<Box<Tokens>, Refusal> {
    let Identified { arrived, agent_name: was, .. } = before;
    let (agent, agent_name) = identify::identify(appliance, snapshot, &arrived.client.peer)?;
    if agent_name != was {
        return Err(Reason::PolicyChanged.into());
    }
    let identified = Identified { arrived, snapshot: Arc::clone(snapshot), agent, agent_name };
    match decide::decide(identified, address)? {
        Outcome::Tokens(asked) => Ok(asked),
        Outcome::Permitted(_) | Outcome::Look(_) | Outcome::Bundle(_) => Err(Reason::PolicyChanged.into()),
    }
}

/// Which login is refreshed, and the scope that was asked for.
fn judge(asked: &Tokens, body: &[u8]) -> Result<(CredentialId, Option<String>), Refusal> {
    let policy = &asked.identified.snapshot.policy;
    let fields = Fields::read(&asked.identified.arrived.headers, body).ok_or(Reason::BadRequest)?;
    let token = fields.get("refresh_token").unwrap_or_default();
    let address = &asked.address;
    let login = policy.login_of(asked.identified.agent, &address.authority, address.target.as_str(), token.as_bytes());
    match (fields.get("grant_type").as_deref(), login) {
        (Some("refresh_token"), Some(login)) => Ok((login, fields.get("scope").map(Cow::into_owned))),
        // Somebody else's stub, or one of another kind, is news; any other token is the agent's own.
        _ => {
            let other = policy.credential_of_any_stub(token.as_bytes()).filter(|_| login.is_none());
            let reason = if other.is_some() { Reason::StubNotGranted } else { Reason::LoginInEscrow };
            let stub_of = Presented { credential: other.unwrap_or(asked.login), minted: None };
            Err(Refusal { reason, rule: None, stub_of: Some(stub_of) })
        }
    }
}

fn tell(
    appliance: &Appliance,
    asked: &Tokens,
    login: CredentialId,
    scope: Option<String>,
    transaction: &Transaction,
) -> Response<ResponseBody> {
    let snapshot = &asked.identified.snapshot;
    let credential = snapshot.policy.credential(login);
    let is_there = appliance.credentials.available(credential.name());
    let access = if is_there { access_stub(appliance, asked, credential) } else { None };
    let (status, body) = if let Some(access) = &access {
        let provider = match credential.source() {
            Source::Oauth(oauth) => oauth.provider.scopes.join(" "),
            _ => String::new(),
        };
        let answer = serde_json::json!({
            "token_type": "Bearer",
            "access_token": access,
            "refresh_token": credential.refresh_stub(),
            "expires_in": EXPIRES_IN,
            "scope": scope.unwrap_or(provider),
        });
        (StatusCode::OK, answer)
    } else {
        let answer = serde_json::json!({
            "error": "temporarily_unavailable",
            "error_description": "stubgate keeps this login, and it has no good token at the moment; retry later, or ask the operator",
        });
        (StatusCode::SERVICE_UNAVAILABLE, answer)
    };
    transaction.answer(snapshot, status, Some(credential.name()));
    let mut response = respond::whole("application/json", Bytes::from(body.to_string()));
    *response.status_mut() = status;
    // RFC 6749 section 5.1.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if access.is_none() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    }
    response
}

/// The stub that the agent gets for its access token. `None` where it has to be minted and can't be.
fn access_stub<'c>(appliance: &Appliance, asked: &Tokens, credential: &'c Credential) -> Option<Cow<'c, str>> {
    if !credential.minted_only() {
        return Some(Cow::Borrowed(credential.stub()));
    }
    let minted = || {
        let minting = appliance.minting.as_ref()?;
        let expiry = Expiry::at(SystemTime::now() + Duration::from_secs(EXPIRES_IN))?;
        // Claude Code looks at the shape of its tokens; to others it means nothing.
        let is_claude = matches!(credential.source(), Source::Oauth(oauth) if &*oauth.provider.name == "claude");
        let shape = if is_claude { minted::Shape::SkAntOat } else { minted::Shape::Plain };
        let agent = &asked.identified.agent_name;
        Some(minted::mint(&minting.key, agent, credential.name(), expiry, minted::serial().ok()?, shape))
    };
    let stub = minted();
    if stub.is_none() {
        tracing::error!(credential = credential.name(), "no stub can be minted: there is no key, or no randomness");
    }
    stub.map(Cow::Owned)
}

/// What was asked, by name.
enum Fields<'a> {
    Json(serde_json::Map<String, Value>),
    Form(&'a [u8]),
}

impl<'a> Fields<'a> {
    /// As JSON or as a form, by its type; `None` where it is neither.
    fn read(headers: &HeaderMap, body: &'a [u8]) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.as_bytes().split(|byte| *byte == b';').next()?;
        if headers.contains_key(header::CONTENT_ENCODING) {
            return None;
        }
        if kind.trim_ascii().eq_ignore_ascii_case(b"application/json") {
            return serde_json::from_slice(body).ok().map(Fields::Json);
        }
        let is_form = kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded");
        is_form.then_some(Fields::Form(body))
    }

    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        match self {
            Fields::Json(fields) => fields.get(name)?.as_str().map(Cow::Borrowed),
            Fields::Form(body) => body.split(|byte| *byte == b'&').find_map(|pair| {
                let mut halves = pair.splitn(2, |byte| *byte == b'=');
                let is_it = percent_decoded(halves.next()?) == name.as_bytes();
                let value = percent_decoded(halves.next()?);
                is_it.then(|| Cow::Owned(String::from_utf8_lossy(&value).into_owned()))
            }),
        }
    }
}
