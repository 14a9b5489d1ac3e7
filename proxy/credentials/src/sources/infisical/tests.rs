use stubgate_policy::{Authority, Scheme};
use tempfile::TempDir;

use super::super::server::tests::Script;
use super::*;

struct Site {
    _folder: TempDir,
    script: Arc<Script>,
    source: Infisical,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["id", "secret"] {
            std::fs::write(folder.path().join(name), format!("client-{name}-0123\n")).unwrap();
        }
        let what = secret_source::Infisical {
            server: Authority::parse(Scheme::Https, b"app.infisical.com").unwrap(),
            project: "project-1".into(),
            environment: "prod".into(),
            path: "/team a".into(),
            name: "GITHUB_TOKEN".into(),
            client_id_file: folder.path().join("id").into(),
            client_secret_file: folder.path().join("secret").into(),
        };
        let script = Arc::new(Script::default());
        let source = Infisical::new(&what, None, Arc::clone(&script) as Arc<dyn HttpClient>);
        Site { _folder: folder, script, source }
    }

    fn logs_in(&self, token: &str) {
        let text =
            format!(r#"{{"accessToken":"{token}","expiresIn":7200,"accessTokenMaxTTL":43244,"tokenType":"Bearer"}}"#);
        self.script.says(200, text);
    }

    async fn outcome(&self) -> String {
        match self.source.given().await.and_then(Given::fetched) {
            Ok(fetched) => String::from_utf8_lossy(fetched.secret.reveal()).into_owned(),
            Err(error) => format!("{} {error}", error.kind()),
        }
    }
}

fn secret(value: &str) -> String {
    format!(
        r#"{{"secret":{{"version":1,"secretKey":"GITHUB_TOKEN","secretValue":"{value}","secretValueHidden":false}}}}"#
    )
}

const LOGIN: &str = "POST https://app.infisical.com/api/v1/auth/universal-auth/login \
                     {\"clientId\":\"client-id-0123\",\"clientSecret\":\"client-secret-0123\"}";
const READ: &str = "GET https://app.infisical.com/api/v3/secrets/raw/GITHUB_TOKEN?workspaceId=project-1&environment=prod&\
                    secretPath=%2Fteam%20a";

#[tokio::test(start_paused = true)]
async fn logs_in_once_and_again_where_the_session_ends_or_is_refused() {
    let site = Site::new();
    site.logs_in("session-one");
    for _ in 0..2 {
        site.script.given(|request| {
            assert_eq!(request.headers()["authorization"], "Bearer session-one");
            assert!(request.headers()["authorization"].is_sensitive());
            Ok((200, secret("value-one-0123")))
        });
        assert_eq!(site.outcome().await, "value-one-0123");
    }
    assert_eq!(site.script.asked(), [LOGIN, READ, READ]);
    tokio::time::advance(Duration::from_secs(7175)).await;
    site.logs_in("session-two");
    site.script.says(200, secret("value-one-0123"));
    assert_eq!(site.outcome().await, "value-one-0123");
    assert_eq!(site.script.asked(), [LOGIN, READ], "ahead of its end");
    site.script.says(401, r#"{"statusCode":401,"message":"Token expired","error":"TokenError"}"#);
    site.logs_in("session-three");
    site.script.says(401, "{}");
    assert_eq!(site.outcome().await, "login refuses a session that it has just given");
    assert_eq!(site.script.asked(), [READ, LOGIN, READ], "once");
}

#[tokio::test]
async fn failures_are_said_in_plain_words_and_show_nothing_of_the_answer() {
    for (status, body, expected) in [
        (
            200,
            r#"{"secret":{"secretValue":"<hidden-by-infisical>","secretValueHidden":true}}"#,
            "refused hides the value",
        ),
        (200, r#"{"secret":{}}"#, "malformed answers, and its answer has no key `secretValue`"),
        (200, "<html>s3cr3t</html>", "malformed gave an answer that is not valid JSON"),
        (403, r#"{"error":"PermissionDenied","message":"s3cr3t"}"#, "refused refuses to show the secret"),
        (404, r#"{"error":"NotFound","message":"s3cr3t"}"#, "missing has no secret GITHUB_TOKEN at /team a in prod"),
        (429, "", "server is asked too often"),
        (502, "", "server failed (status 502)"),
    ] {
        let site = Site::new();
        site.logs_in("session-one");
        site.script.says(status, body);
        let why = site.outcome().await;
        assert!(why.starts_with(expected) && !why.contains("s3cr3t"), "{status} {body}: {why}");
    }
    let site = Site::new();
    site.script.says(401, r#"{"statusCode":401,"message":"Invalid credentials","error":"Unauthorized"}"#);
    let why = site.outcome().await;
    assert!(why.starts_with("login refuses the login (status 401): look whether /"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_its_server_says_lives_longer_than_clocks_go_lives_for_a_year() {
    let site = Site::new();
    site.script.says(200, format!(r#"{{"accessToken":"session-one","expiresIn":{}}}"#, u64::MAX));
    for _ in 0..2 {
        site.script.says(200, secret("value-one-0123"));
        assert_eq!(site.outcome().await, "value-one-0123");
    }
    assert_eq!(site.script.asked(), [LOGIN, READ, READ]);
}
