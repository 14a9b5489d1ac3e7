use std::time::Duration;

use stubgate_policy::{Authority, Scheme};
use tempfile::TempDir;

use super::super::server::tests::Script;
use super::*;
use crate::fetch::Unanswered;

struct Site {
    folder: TempDir,
    script: Arc<Script>,
    vault: Vault,
}

impl Site {
    fn new(auth: impl FnOnce(&dyn Fn(&str) -> Box<std::path::Path>) -> VaultAuth) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["token", "role", "secret", "jwt"] {
            std::fs::write(folder.path().join(name), format!("{name}-0123456789\n")).unwrap();
        }
        let what = secret_source::Vault {
            server: Authority::parse(Scheme::Https, b"vault.corp.example:8200").unwrap(),
            namespace: Some("team/a".into()),
            mount: "secret".into(),
            path: "agents/github".into(),
            key: "a.token".into(),
            auth: auth(&|name| folder.path().join(name).into()),
        };
        let script = Arc::new(Script::default());
        let vault = Vault::new(&what, None, Arc::clone(&script) as Arc<dyn HttpClient>);
        Site { folder, script, vault }
    }

    fn approle() -> Self {
        Site::new(|file| VaultAuth::AppRole {
            mount: "approle".into(),
            role_id_file: file("role"),
            secret_id_file: file("secret"),
        })
    }

    fn with_token() -> Self {
        Site::new(|file| VaultAuth::Token { file: file("token") })
    }

    fn logs_in(&self, token: &str, lease: u64, renewable: bool) {
        self.script.says(200, auth(token, lease, renewable));
    }

    /// The value, or why there is none.
    async fn outcome(&self) -> String {
        match self.vault.given().await.and_then(Given::fetched) {
            Ok(fetched) => String::from_utf8_lossy(fetched.secret.reveal()).into_owned(),
            Err(error) => format!("{} {error}", error.kind()),
        }
    }
}

fn auth(token: &str, lease: u64, renewable: bool) -> String {
    format!(r#"{{"auth":{{"client_token":"{token}","lease_duration":{lease},"renewable":{renewable}}}}}"#)
}

fn secret(value: &str) -> String {
    format!(
        r#"{{"data":{{"data":{{"a.token":"{value}","n":7}},"metadata":{{"deletion_time":"","destroyed":false,"version":3}}}}}}"#
    )
}

const READ: &str = "GET https://vault.corp.example:8200/v1/secret/data/agents/github";
const LOGIN: &str = r#"POST https://vault.corp.example:8200/v1/auth/approle/login {"role_id":"role-0123456789","secret_id":"secret-0123456789"}"#;
const RENEW: &str = "POST https://vault.corp.example:8200/v1/auth/token/renew-self {}";
const LOOK_UP: &str = "GET https://vault.corp.example:8200/v1/auth/token/lookup-self";

#[tokio::test]
async fn logs_in_once_and_reads_with_that_session() {
    let site = Site::approle();
    site.logs_in("hvs.session-one", 3600, true);
    for value in ["value-one-0123", "value-two-0123"] {
        site.script.given(move |request| {
            let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("x-vault-token"), "hvs.session-one");
            assert!(request.headers()["x-vault-token"].is_sensitive());
            assert_eq!((header("x-vault-namespace"), header("x-vault-request")), ("team/a".into(), "true".into()));
            Ok((200, secret(value)))
        });
        assert_eq!(site.outcome().await, value);
    }
    assert_eq!(site.script.asked(), [LOGIN, READ, READ]);
}

#[tokio::test]
async fn a_service_account_logs_in_with_its_token_and_role() {
    let site = Site::new(|file| VaultAuth::Kubernetes {
        mount: "clusters/k8s".into(),
        role: "agents \"a\"".into(),
        token_file: file("jwt"),
    });
    site.logs_in("hvs.session-one", 3600, true);
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    let login = "POST https://vault.corp.example:8200/v1/auth/clusters/k8s/login \
                 {\"jwt\":\"jwt-0123456789\",\"role\":\"agents \\\"a\\\"\"}";
    assert_eq!(site.script.asked(), [login, READ]);
    site.script.says(403, "{}");
    site.script.says(403, r#"{"errors":["permission denied"]}"#);
    let why = site.outcome().await;
    assert!(why.starts_with("login refuses the login (status 403): look whether the role agents"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_renewed_ahead_of_its_end_and_had_anew_where_that_fails() {
    let site = Site::approle();
    let later = |seconds| tokio::time::advance(Duration::from_secs(seconds));
    site.logs_in("hvs.session-one", 3600, true);
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    later(600).await;
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    later(700).await;
    site.logs_in("hvs.session-one", 3600, true);
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    assert_eq!(site.script.asked(), [LOGIN, READ, READ, RENEW, READ], "after a third of its time");
    later(1300).await;
    site.script.given(|_| Err(Unanswered::Lost("x".into())));
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123", "it has not ended yet");
    later(10).await;
    site.script.says(400, r#"{"errors":["lease is not renewable"]}"#);
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    later(60).await;
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    assert_eq!(site.script.asked(), [RENEW, READ, RENEW, READ, READ], "refused, it is not tried again");
    later(2300).await;
    site.logs_in("hvs.session-two", 0, false);
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    later(1_000_000).await;
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    assert_eq!(site.script.asked(), [LOGIN, READ, READ], "no lease is one without an end");
}

#[tokio::test]
async fn a_session_that_is_refused_is_had_anew_once() {
    let site = Site::approle();
    site.logs_in("hvs.session-one", 3600, true);
    site.script.says(200, secret("value-one-0123"));
    site.outcome().await;
    site.script.asked();
    site.script.says(403, r#"{"errors":["permission denied"]}"#);
    site.logs_in("hvs.session-two", 3600, true);
    site.script.says(200, secret("value-two-0123"));
    assert_eq!(site.outcome().await, "value-two-0123");
    assert_eq!(site.script.asked(), [READ, LOGIN, READ]);
    site.script.says(403, "{}");
    site.logs_in("hvs.session-three", 3600, true);
    site.script.says(403, "{}");
    let why = site.outcome().await;
    assert!(
        why.ends_with("the login worked, but none of its policies grants `read` on secret/data/agents/github"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_in_a_file_is_looked_up_once_renewed_and_followed_when_it_is_exchanged() {
    let site = Site::with_token();
    let found = |ttl: u64| format!(r#"{{"data":{{"ttl":{ttl},"renewable":true,"id":"token-0123456789"}}}}"#);
    site.script.says(200, found(900));
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    tokio::time::advance(Duration::from_secs(310)).await;
    site.logs_in("token-0123456789", 900, true);
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    assert_eq!(site.script.asked(), [LOOK_UP, READ, RENEW, READ]);
    std::fs::write(site.folder.path().join("token"), "another-token-0123").unwrap();
    site.script.says(403, "{}");
    site.script.given(|request| {
        assert_eq!(request.headers()["x-vault-token"], "another-token-0123");
        Ok((200, secret("value-two-0123")))
    });
    assert_eq!(site.outcome().await, "value-two-0123", "also where it may not look itself up");
    site.script.says(403, "{}");
    let why = site.outcome().await;
    assert!(
        why.starts_with("refused refuses to show the secret: the token in /") && why.contains("has ended, or none")
    );
    assert_eq!(site.script.asked(), [LOOK_UP, READ, READ], "there is no other token to try");
    std::fs::remove_file(site.folder.path().join("token")).unwrap();
    let why = site.outcome().await;
    assert!(why.starts_with("unreadable can't be logged in to: the file /") && why.contains("/token cannot be read"));
}

#[tokio::test]
async fn failures_are_said_in_plain_words_and_show_nothing_of_the_answer() {
    let deleted = r#"{"data":{"data":null,"metadata":{"deletion_time":"2026-03-22T02:36:43.98Z","destroyed":false}}}"#;
    let destroyed = r#"{"data":{"data":null,"metadata":{"deletion_time":"","destroyed":true}}}"#;
    for (status, body, expected) in [
        (
            404,
            r#"{"errors":[]}"#,
            "missing has no secret secret/agents/github, or no key-value engine of version 2 at secret",
        ),
        (404, deleted, "missing has deleted the newest version"),
        (404, destroyed, "missing has destroyed the newest version"),
        (200, deleted, "missing has deleted the newest version"),
        (200, r#"{"data":{"a.token":"s3cr3t-value"}}"#, "missing has no secret"),
        (200, r#"{"data":{"data":{"b":"s3cr3t-value"}}}"#, "malformed answers, and its answer has no key `a.token`"),
        (
            200,
            r#"{"data":{"data":{"a.token":7}}}"#,
            "malformed answers, and its answer has no text at the key `a.token`",
        ),
        (200, r#"{"data":{"data":{"a.token":"short"}}}"#, "malformed is shorter than 8 bytes"),
        (200, "s3cr3t-value", "malformed gave an answer that is not valid JSON"),
        (400, r#"{"errors":["s3cr3t"]}"#, "refused refuses the question (status 400)"),
        (307, "", "malformed sends elsewhere (status 307)"),
        (412, "", "server has not yet written"),
        (429, "", "server is asked too often"),
        (473, "", "server is a standby"),
        (500, r#"{"errors":["s3cr3t"]}"#, "server failed (status 500)"),
        (503, r#"{"errors":["Vault is sealed"]}"#, "server is sealed"),
        (503, "", "server can't answer now"),
    ] {
        let site = Site::approle();
        site.logs_in("hvs.session-one", 3600, true);
        site.script.says(status, body);
        let why = site.outcome().await;
        assert!(why.starts_with(expected) && !why.contains("s3cr3t"), "{status} {body}: {why}");
    }
    for (answer, expected) in [
        (
            (400, r#"{"errors":["invalid role or secret ID s3cr3t"]}"#),
            "login refuses the login (status 400): look whether /",
        ),
        ((503, r#"{"errors":["Vault is sealed"]}"#), "server is sealed"),
        ((200, r#"{"auth":null}"#), "malformed answers, and its answer has no key `client_token`"),
    ] {
        let site = Site::approle();
        site.script.says(answer.0, answer.1);
        let why = site.outcome().await;
        assert!(why.starts_with(expected) && !why.contains("s3cr3t"), "{answer:?}: {why}");
    }
    let site = Site::approle();
    site.script.given(|_| Err(Unanswered::NotSent("it has no address".into())));
    assert_eq!(site.outcome().await, "unreachable can't be asked: it has no address");
}

#[tokio::test]
async fn a_key_is_taken_out_of_the_value_where_policy_names_one() {
    let mut site = Site::approle();
    site.vault.json_key = Some("x.y".into());
    site.logs_in("hvs.session-one", 3600, true);
    site.script.says(200, secret(r#"{\"x\":{\"y\":\"inner-value\"}}"#));
    assert_eq!(site.outcome().await, "inner-value");
}
