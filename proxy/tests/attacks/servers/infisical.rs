//! Infisical, as far as its documentation says what it answers; it checks all that it is asked.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::json;

use super::asked::{Asked, Said, fixture};

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
