//! Vault, as far as its documentation says what it answers; it checks all that it is asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;

use super::asked::{Asked, Said, fixture};

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
