//! What Vault, Infisical and GitHub answer, as far as their documentation says it; they check all that they are asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::double::{Asked, Said};

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn errors(status: u16, text: &str) -> Said {
    let mut errors = fixture(include_str!("fixtures/vault-errors.json"));
    errors["errors"] = json!([text]);
    Said::Json(status, errors)
}

/// Vault with one secret, which the role of AppRole, or the service account of Kubernetes, may read.
#[derive(Clone, Default)]
pub(crate) struct Vault(Arc<Mutex<VaultState>>);

#[derive(Default)]
pub(crate) struct VaultState {
    pub(crate) value: String,
    pub(crate) is_sealed: bool,
    pub(crate) is_deleted: bool,
    /// How long tokens live.
    pub(crate) lease: Duration,
    pub(crate) logins: usize,
    pub(crate) renewals: usize,
    pub(crate) reads: usize,
    tokens: HashMap<String, Instant>,
}

impl Vault {
    pub(crate) fn state(&self) -> MutexGuard<'_, VaultState> {
        self.0.lock().unwrap()
    }

    pub(crate) fn revoke_all(&self) {
        self.state().tokens.clear();
    }

    pub(crate) fn answer(&self, asked: Asked) -> Said {
        let mut state = self.state();
        assert_eq!(asked.header("x-vault-request"), "true");
        if state.is_sealed {
            return errors(503, "Vault is sealed");
        }
        if asked.header("x-vault-namespace") != "team" {
            return errors(404, "no handler for route");
        }
        let lease = state.lease;
        let token = asked.header("x-vault-token").to_owned();
        let is_live = state.tokens.get(&token).is_some_and(|ends| *ends > Instant::now());
        let good = match (&asked.method, asked.target.as_str()) {
            (&Method::POST, "/v1/auth/approle/login") => {
                if asked.body != json!({ "role_id": "role-of-the-appliance", "secret_id": "secret-of-the-appliance" }) {
                    return errors(400, "invalid role or secret ID");
                }
                return state.log_in(include_str!("fixtures/vault-approle-login.json"));
            }
            (&Method::POST, "/v1/auth/kubernetes/login") => {
                if asked.body != json!({ "jwt": "token.of.account", "role": "stubgate" }) {
                    return errors(403, "permission denied");
                }
                return state.log_in(include_str!("fixtures/vault-kubernetes-login.json"));
            }
            _ if !is_live => return errors(403, "permission denied"),
            (&Method::POST, "/v1/auth/token/renew-self") => {
                state.renewals += 1;
                state.tokens.insert(token.clone(), Instant::now() + lease);
                let mut renewed = fixture(include_str!("fixtures/vault-renew-self.json"));
                renewed["auth"]["client_token"] = token.into();
                renewed["auth"]["lease_duration"] = lease.as_secs().into();
                renewed
            }
            (&Method::GET, "/v1/secret/data/agents/api") if state.is_deleted => {
                return Said::Json(404, fixture(include_str!("fixtures/vault-kv-deleted.json")));
            }
            (&Method::GET, "/v1/secret/data/agents/api") => {
                state.reads += 1;
                let mut read = fixture(include_str!("fixtures/vault-kv-read.json"));
                read["data"]["data"]["token"] = state.value.clone().into();
                read
            }
            _ => return errors(403, "permission denied"),
        };
        Said::Json(200, good)
    }
}

impl VaultState {
    fn log_in(&mut self, answer: &str) -> Said {
        self.logins += 1;
        let token = format!("hvs.session-{}", self.logins);
        self.tokens.insert(token.clone(), Instant::now() + self.lease);
        let mut answer = fixture(answer);
        answer["auth"]["client_token"] = token.into();
        answer["auth"]["lease_duration"] = self.lease.as_secs().into();
        Said::Json(200, answer)
    }
}

/// Infisical with one secret.
#[derive(Clone, Default)]
pub(crate) struct Infisical(Arc<Mutex<InfisicalState>>);

#[derive(Default)]
pub(crate) struct InfisicalState {
    pub(crate) value: String,
    pub(crate) logins: usize,
    /// The one session that is good.
    session: String,
}

impl Infisical {
    pub(crate) fn state(&self) -> MutexGuard<'_, InfisicalState> {
        self.0.lock().unwrap()
    }

    pub(crate) fn revoke_all(&self) {
        self.state().session = "none".into();
    }

    pub(crate) fn answer(&self, asked: Asked) -> Said {
        let mut state = self.state();
        let refuse = |status: u16, error: &str| {
            let mut answer = fixture(include_str!("fixtures/infisical-error.json"));
            answer["statusCode"] = status.into();
            answer["error"] = error.into();
            Said::Json(status, answer)
        };
        if (asked.method.as_str(), asked.target.as_str()) == ("POST", "/api/v1/auth/universal-auth/login") {
            if asked.body != json!({ "clientId": "identity-of-appliance", "clientSecret": "secret-of-identity" }) {
                return refuse(401, "Unauthorized");
            }
            state.logins += 1;
            state.session = format!("session-number-{}", state.logins);
            let mut answer = fixture(include_str!("fixtures/infisical-login.json"));
            answer["accessToken"] = state.session.clone().into();
            return Said::Json(200, answer);
        }
        if asked.header("authorization") != format!("Bearer {}", state.session) {
            return refuse(401, "TokenError");
        }
        let wanted = "/api/v3/secrets/raw/API_TOKEN?workspaceId=project-1&environment=prod&secretPath=%2Fagents";
        if (asked.method.as_str(), asked.target.as_str()) != ("GET", wanted) {
            return refuse(404, "NotFound");
        }
        let mut answer = fixture(include_str!("fixtures/infisical-read.json"));
        answer["secret"]["secretValue"] = state.value.clone().into();
        Said::Json(200, answer)
    }
}

/// GitHub with one app and one installation.
#[derive(Clone)]
pub(crate) struct Github {
    state: Arc<Mutex<GithubState>>,
    public_key: Arc<[u8]>,
    /// PEM, PKCS#1, as GitHub gives it.
    pub(crate) private_key: Arc<str>,
}

#[derive(Default)]
pub(crate) struct GithubState {
    /// How long tokens live.
    pub(crate) life: Duration,
    /// A permission that is given beyond what is asked for.
    pub(crate) beyond: Option<&'static str>,
    pub(crate) refusal: Option<(u16, &'static str)>,
    /// With their ends.
    pub(crate) tokens: Vec<(String, SystemTime)>,
}

impl Github {
    pub(crate) fn new(life: Duration) -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
        // PKCS#1 is its end, behind a head whose length 2048 bits fix.
        let body = STANDARD.encode(&pkcs8.as_ref()[26..]);
        Github {
            state: Arc::new(Mutex::new(GithubState { life, ..GithubState::default() })),
            public_key: key.public_key().as_ref().into(),
            private_key: format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n").into(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, GithubState> {
        self.state.lock().unwrap()
    }

    pub(crate) fn minted(&self) -> usize {
        self.state().tokens.len()
    }

    /// Whether a header holds a token that has not ended, and which one.
    pub(crate) fn accepts(&self, authorization: &str) -> Option<usize> {
        let token = authorization.strip_prefix("Bearer ")?;
        let now = SystemTime::now();
        self.state().tokens.iter().position(|(good, ends)| good == token && *ends > now)
    }

    pub(crate) fn answer(&self, asked: Asked) -> Said {
        let refuse = |status: u16, message: &str| {
            let mut answer = fixture(include_str!("fixtures/github-error.json"));
            answer["message"] = message.into();
            answer["status"] = status.to_string().into();
            Said::Json(status, answer)
        };
        assert!(asked.header("user-agent").starts_with("stubgate/"), "GitHub refuses whoever has no name");
        assert_eq!(asked.header("accept"), "application/vnd.github+json");
        if let Err(message) = self.checked(asked.header("authorization")) {
            return refuse(401, message);
        }
        if let Some((status, message)) = self.state().refusal {
            return refuse(status, message);
        }
        let target = "/api/v3/app/installations/678/access_tokens";
        if (asked.method.as_str(), asked.target.as_str()) != ("POST", target) {
            return refuse(404, "Not Found");
        }
        if asked.body != json!({ "repositories": ["site"], "permissions": { "contents": "write" } }) {
            return refuse(422, "The permissions requested are not granted to this installation.");
        }
        let mut state = self.state();
        let ends = SystemTime::now() + state.life;
        let token = format!("ghs_token_number_{}", state.tokens.len());
        state.tokens.push((token.clone(), ends));
        let mut answer = fixture(include_str!("fixtures/github-token.json"));
        answer["token"] = token.into();
        answer["expires_at"] = OffsetDateTime::from(ends).format(&Rfc3339).unwrap().into();
        answer["permissions"] = json!({ "contents": "write", "metadata": "read" });
        if let Some(beyond) = state.beyond {
            answer["permissions"][beyond] = "write".into();
        }
        answer["repositories"][0]["name"] = "site".into();
        Said::Json(201, answer)
    }

    /// As GitHub checks the token of an app.
    fn checked(&self, authorization: &str) -> Result<(), &'static str> {
        let undecodable = "A JSON web token could not be decoded";
        let (message, signature) =
            authorization.strip_prefix("Bearer ").and_then(|token| token.rsplit_once('.')).ok_or(undecodable)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| undecodable)?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key)
            .verify(message.as_bytes(), &signature)
            .map_err(|_| undecodable)?;
        let (_, claims) = message.split_once('.').ok_or(undecodable)?;
        let claims = fixture(&String::from_utf8(URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        if claims["iss"] != "12345" {
            return Err("Integration not found");
        }
        if claims["exp"].as_u64().is_none_or(|end| end <= now || end > now + 600) {
            return Err("'Expiration time' claim ('exp') is too far in the future");
        }
        if claims["iat"].as_u64().is_none_or(|issued| issued > now) {
            return Err(
                "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
            );
        }
        Ok(())
    }
}
