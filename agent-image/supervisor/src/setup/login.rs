//! The client's login: a file of stubs, worthless outside of the firewall. The client rewrites it when it likes; what it may
//! hold is decided here, and it never holds a token that is not one of the agent's stubs.

use std::io;

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::files;

/// Bytes of the file at most; a longer one is none of ours.
const LARGEST: u64 = 1024 * 1024;

/// Milliseconds: as good as never, so that the client has no reason of its own to refresh.
const NEVER: u64 = 9_999_999_999_999;

/// The file as setup writes it.
pub fn text(agent: &Agent) -> String {
    let login = &agent.file.login;
    let scopes = [
        "user:profile",
        "user:inference",
        "user:sessions:claude_code",
        "user:mcp_servers",
        "user:file_upload",
        "user:plugins",
    ];
    let file = json!({
        "claudeAiOauth": {
            "accessToken": login.access_stub,
            "refreshToken": login.refresh_stub,
            "expiresAt": NEVER,
            "scopes": scopes,
            "subscriptionType": login.subscription,
            "rateLimitTier": format!("default_claude_{}", tier(&login.subscription)),
        }
    });
    format!("{file:#}\n")
}

/// What the client calls the limits of a subscription.
fn tier(subscription: &str) -> &str {
    match subscription {
        "max" => "max_5x",
        other => other,
    }
}

/// Whether a file of these bytes logs the client in with the agent's stubs and holds no other token. What the client adds about
/// the account (its kind, identifiers, times) is no token.
pub fn is_stub(agent: &Agent, bytes: &[u8]) -> bool {
    let Ok(file) = serde_json::from_slice::<Value>(bytes) else { return false };
    let login = &agent.file.login;
    let holds = |name: &str, stub: &str| {
        file.get("claudeAiOauth").and_then(|oauth| oauth.get(name)).and_then(Value::as_str) == Some(stub)
    };
    holds("accessToken", &login.access_stub)
        && holds("refreshToken", &login.refresh_stub)
        && !holds_other_token(&file, &[&login.access_stub, &login.refresh_stub])
}

/// Puts the login right again if it is not, and whether that was needed.
///
/// # Errors
///
/// As of [`files::replace`]: the old file is as it was.
pub fn restore(agent: &Agent) -> io::Result<bool> {
    let path = agent.place.credentials();
    let is_ours = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_file())
        && files::read_bounded(&path, LARGEST).is_ok_and(|bytes| is_stub(agent, &bytes));
    if is_ours {
        // One that is mounted read-only has the mode that it has; what it holds is worth nothing elsewhere.
        return Ok(files::restrict(&path, 0o600).unwrap_or(false));
    }
    files::replace(&path, text(agent).as_bytes(), 0o600)
}

/// Looks at every text below, by the name that it has and by the shapes that tokens of providers begin with.
fn holds_other_token(value: &Value, stubs: &[&str]) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| match value {
            Value::String(text) => is_token(name, text) && !stubs.contains(&text.as_str()),
            value => holds_other_token(value, stubs),
        }),
        Value::Array(items) => items.iter().any(|item| match item {
            Value::String(text) => is_token("", text) && !stubs.contains(&text.as_str()),
            item => holds_other_token(item, stubs),
        }),
        _ => false,
    }
}

fn is_token(name: &str, text: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['_', '-'], "");
    let is_named = ["token", "secret", "password", "apikey", "verifier", "jwt"].iter().any(|end| name.ends_with(end));
    let is_shaped = ["sk-ant-", "sk-", "ghp_", "gho_", "ghs_", "ghu_", "github_pat_", "eyJ", "xox", "AKIA", "syt_"]
        .iter()
        .any(|start| text.starts_with(start));
    (is_named && !text.is_empty()) || is_shaped
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::agent::{AgentFile, Place};

    fn agent(home: &Path) -> Agent {
        let place = Place {
            name: "devbot".into(),
            agents: home.join("agents"),
            home: home.to_owned(),
            workspace: home.join("workspace"),
            bundle: home.join("bundle.pem"),
            trust: home.join("trust"),
            run: home.join("run"),
        };
        Agent { name: "devbot".into(), file: AgentFile::default(), place }
    }

    #[test]
    fn what_setup_writes_is_a_stub() {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent(folder.path());
        assert!(is_stub(&agent, text(&agent).as_bytes()));
    }

    #[test]
    fn what_the_client_adds_about_the_account_is_no_token() {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent(folder.path());
        let mut file: Value = serde_json::from_str(&text(&agent)).unwrap();
        let oauth = file["claudeAiOauth"].as_object_mut().unwrap();
        oauth.insert("subscriptionTypeSource".into(), "sign_in".into());
        oauth.insert("subscriptionTypeVerifiedAt".into(), 1_763_000_000_000_u64.into());
        oauth.insert("accountUuid".into(), "0b1c4d3e-93a1-4f0e-8c37-2f1c2b8f8a11".into());
        oauth.insert("refreshTokenExpiresAt".into(), 1_763_000_000_000_u64.into());
        assert!(is_stub(&agent, file.to_string().as_bytes()));
    }

    #[test]
    fn a_token_that_is_no_stub_of_the_agents_is_found_wherever_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent(folder.path());
        let others = [
            ("/claudeAiOauth/accessToken", json!("sk-ant-oat01-real")),
            ("/claudeAiOauth/refreshToken", json!("another")),
            ("/claudeAiOauth/accessToken", json!("")),
            ("/claudeAiOauth/scopes", json!(["sk-ant-oat01-real"])),
            ("/claudeAiOauth/rateLimitTier", json!("eyJhbGciOiJSUzI1NiJ9.e30.x")),
            ("/claudeAiOauth", json!({})),
        ];
        for (place, other) in others {
            let mut file: Value = serde_json::from_str(&text(&agent)).unwrap();
            *file.pointer_mut(place).unwrap() = other;
            assert!(!is_stub(&agent, file.to_string().as_bytes()), "{file}");
        }
        let mut file: Value = serde_json::from_str(&text(&agent)).unwrap();
        file["mcpOAuth"] = json!({ "linear|1": { "serverName": "linear", "accessToken": "anything" } });
        assert!(!is_stub(&agent, file.to_string().as_bytes()), "{file}");
        assert!(!is_stub(&agent, b"{"));
    }

    #[test]
    fn a_login_is_put_right_once_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent(folder.path());
        assert!(restore(&agent).unwrap());
        assert!(!restore(&agent).unwrap());
        let path = agent.place.credentials();
        std::fs::write(&path, r#"{"claudeAiOauth":{"accessToken":"","refreshToken":"","expiresAt":0}}"#).unwrap();
        assert!(restore(&agent).unwrap());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(restore(&agent).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(is_stub(&agent, &std::fs::read(&path).unwrap()));
    }

    #[test]
    fn a_link_to_elsewhere_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent(folder.path());
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, text(&agent)).unwrap();
        std::fs::create_dir_all(agent.place.claude()).unwrap();
        std::os::unix::fs::symlink(&elsewhere, agent.place.credentials()).unwrap();
        assert!(restore(&agent).unwrap());
        assert!(std::fs::symlink_metadata(agent.place.credentials()).unwrap().is_file());
    }
}
