use std::sync::LazyLock;
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use stubgate_policy::{Authority, Reading, Scheme, Source};
use tempfile::TempDir;

use super::super::server::tests::Script;
use super::key::KeyProblem;
use super::*;
use crate::fetch::{HttpClient, NotRun, Programs, Running};

/// Making one takes a while.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

struct NoPrograms;

impl Programs for NoPrograms {
    fn run(&self, _: &secret_source::Exec) -> Running<'_> {
        Box::pin(async { Err(NotRun::NoHelper) })
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// PKCS#8, and the PKCS#1 that is its end: behind a head whose length 2048 bits fix.
fn ders(key: &KeyPair) -> (Vec<u8>, Vec<u8>) {
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(key).unwrap().as_ref().to_vec();
    let pkcs1 = pkcs8[26..].to_vec();
    (pkcs8, pkcs1)
}

fn app(repositories: &[&str], permissions: &[(&str, &str)]) -> secret_source::GithubApp {
    secret_source::GithubApp {
        server: Authority::parse(Scheme::Https, b"github.corp.example").unwrap(),
        base_path: "/api/v3".into(),
        app_id: "12345".into(),
        private_key: Box::new(Reading::from(Source::Env("UNUSED".into()))),
        installation: 678,
        repositories: repositories.iter().map(|name| Box::from(*name)).collect(),
        permissions: permissions.iter().map(|(name, level)| (Box::from(*name), Box::from(*level))).collect(),
    }
}

struct Site {
    folder: TempDir,
    script: Arc<Script>,
    source: GithubApp,
    public: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let key = &*KEY;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        std::fs::write(&path, pem("RSA PRIVATE KEY", &ders(key).1)).unwrap();
        let mut what = app(&["site"], &[("contents", "write")]);
        *what.private_key = Reading::from(Source::File(path.into()));
        let script = Arc::new(Script::default());
        let http = Arc::clone(&script) as Arc<dyn HttpClient>;
        let source = GithubApp::new(&what, None, &Means { http, programs: Arc::new(NoPrograms), escrow: None });
        Site { folder, script, source, public: key.public_key().as_ref().to_vec() }
    }

    async fn outcome(&self) -> String {
        match self.source.given().await.and_then(Given::fetched) {
            Ok(fetched) => String::from_utf8_lossy(fetched.secret.reveal()).into_owned(),
            Err(error) => format!("{} {error}", error.kind()),
        }
    }
}

const GOOD: &str = r#"{"token":"ghs_0123456789","expires_at":"2100-07-11T22:14:10Z","permissions":{"contents":"write","metadata":"read"},
    "repository_selection":"selected","repositories":[{"id":1,"name":"Site","full_name":"corp/Site"}]}"#;

#[tokio::test]
async fn asks_narrowly_with_a_token_that_the_apps_key_signed() {
    let site = Site::new();
    let public = site.public.clone();
    site.script.given(move |request| {
        let line = request.headers()["authorization"].to_str().unwrap().to_owned();
        assert!(request.headers()["authorization"].is_sensitive());
        let token = line.strip_prefix("Bearer ").unwrap();
        let (message, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public).verify(message.as_bytes(), &signature).unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let read = |part| serde_json::from_slice::<serde_json::Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(read(header), serde_json::json!({ "alg": "RS256", "typ": "JWT" }));
        let claims = read(claims);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let (issued, ends) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
        assert_eq!(claims["iss"], "12345");
        assert!(issued <= now - 59 && ends > now + 60 && ends <= issued + 600, "{claims} at {now}");
        Ok((201, GOOD.into()))
    });
    let fetched = site.source.given().await.and_then(Given::fetched).ok().unwrap();
    assert_eq!(fetched.secret.reveal(), b"ghs_0123456789");
    assert_eq!(fetched.expires, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(4_119_027_250)));
    let asked = "POST https://github.corp.example/api/v3/app/installations/678/access_tokens \
                 {\"repositories\":[\"site\"],\"permissions\":{\"contents\":\"write\"}}";
    assert_eq!(site.script.asked(), [asked]);
}

#[tokio::test]
async fn a_key_of_several_lines_comes_from_any_source_that_has_a_text() {
    let mut site = Site::new();
    let pem = std::fs::read_to_string(site.folder.path().join("key.pem")).unwrap();
    let token = site.folder.path().join("token");
    std::fs::write(&token, "hvs.token-of-file").unwrap();
    let vault = secret_source::Vault {
        server: Authority::parse(Scheme::Https, b"vault.corp.example").unwrap(),
        namespace: None,
        mount: "secret".into(),
        path: "app".into(),
        key: "json".into(),
        auth: secret_source::VaultAuth::Token { file: token.into() },
    };
    let reading = Reading { json_key: Some("pem".into()), ..Source::Vault(Box::new(vault)).into() };
    let http = Arc::clone(&site.script) as Arc<dyn HttpClient>;
    site.source.key = Text::new(&reading, &Means { http, programs: Arc::new(NoPrograms), escrow: None });
    let inner = serde_json::json!({ "pem": pem }).to_string();
    site.script.says(403, "{}");
    site.script.says(200, serde_json::json!({ "data": { "data": { "json": inner } } }).to_string());
    site.script.says(201, GOOD);
    assert_eq!(site.outcome().await, "ghs_0123456789");
    let path = site.folder.path().join("key.json");
    std::fs::write(&path, serde_json::json!({ "pem": pem }).to_string()).unwrap();
    let reading = Reading { json_key: Some("pem".into()), ..Source::File(path.into()).into() };
    let http = Arc::clone(&site.script) as Arc<dyn HttpClient>;
    site.source.key = Text::new(&reading, &Means { http, programs: Arc::new(NoPrograms), escrow: None });
    site.script.says(201, GOOD);
    assert_eq!(site.outcome().await, "ghs_0123456789");
}

#[test]
fn reads_keys_as_pkcs1_and_pkcs8_and_says_what_is_wrong_with_others() {
    let key = &*KEY;
    let (pkcs8, pkcs1) = ders(key);
    for good in [
        pem("RSA PRIVATE KEY", &pkcs1),
        pem("PRIVATE KEY", &pkcs8),
        pem("PRIVATE KEY", &pkcs8).replace('\n', "\r\n"),
        format!("a comment\n{}", pem("RSA PRIVATE KEY", &pkcs1)),
    ] {
        assert_eq!(key::read(good.as_bytes()).ok().unwrap().public_key().as_ref(), key.public_key().as_ref());
    }
    let encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    for (text, expected) in [
        (String::new(), KeyProblem::NotPem),
        ("ghp_0123456789".into(), KeyProblem::NotPem),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA".into(), KeyProblem::NotPem),
        (pem("ENCRYPTED PRIVATE KEY", &pkcs8), KeyProblem::Encrypted),
        (encrypted.into(), KeyProblem::Encrypted),
        (pem("CERTIFICATE", &pkcs8), KeyProblem::Other),
        (pem("EC PRIVATE KEY", &pkcs8), KeyProblem::Other),
        (pem("RSA PRIVATE KEY", &pkcs8), KeyProblem::Damaged),
        (pem("RSA PRIVATE KEY", &pkcs1[..100]), KeyProblem::Damaged),
        (pem("PRIVATE KEY", &pkcs8).replace('M', "!"), KeyProblem::Damaged),
    ] {
        assert_eq!(key::read(text.as_bytes()).err(), Some(expected), "{expected}");
    }
}

#[test]
fn no_token_is_taken_that_can_do_more_than_was_asked_for() {
    let narrowed = app(&["site", "docs"], &[("contents", "write"), ("issues", "read")]);
    let all = app(&[], &[]);
    let answer = |permissions: &str, rest: &str| Answer {
        status: StatusCode::CREATED,
        headers: HeaderMap::new(),
        body: Zeroizing::new(format!(r#"{{"token":"s3cr3t-token","permissions":{permissions}{rest}}}"#).into_bytes()),
    };
    let of = |names: &str| format!(r#","repository_selection":"selected","repositories":[{names}]"#);
    let site = of(r#"{"name":"site"}"#);
    let good = r#"{"contents":"write","issues":"read","metadata":"read"}"#;
    for (permissions, rest) in [
        (good, site.clone()),
        (r#"{"contents":"read"}"#, site.clone()),
        ("{}", of("")),
        (good, of(r#"{"name":"DOCS"},{"name":"site"}"#)),
    ] {
        assert_eq!(narrow::check(&narrowed, &answer(permissions, &rest)), Ok(()), "{permissions} {rest}");
        assert_eq!(narrow::check(&all, &answer(permissions, &rest)), Ok(()));
    }
    for (permissions, rest) in [
        (r#"{"contents":"admin"}"#, site.clone()),
        (r#"{"issues":"write"}"#, site.clone()),
        (r#"{"contents":"write","administration":"read"}"#, site.clone()),
        (r#"{"metadata":"write"}"#, site.clone()),
        (r#"{"contents":"everything"}"#, site.clone()),
        ("null", site.clone()),
        (r#"["contents"]"#, site.clone()),
        (good, String::new()),
        (good, r#","repository_selection":"selected""#.into()),
        (good, of(r#"{"name":"site"},{"name":"other"}"#)),
        (good, of(r#"{"id":1}"#)),
        (good, site.replace("selected", "all")),
    ] {
        let why = narrow::check(&narrowed, &answer(permissions, &rest)).err();
        let why = why.unwrap_or_else(|| panic!("{permissions} {rest}")).to_string();
        assert!(why.starts_with("gave a token") && !why.contains("s3cr3t"), "{why}");
    }
    assert_eq!(narrow::check(&all, &answer(r#"{"administration":"write"}"#, "")), Ok(()), "nothing was narrowed");
}

#[tokio::test]
async fn failures_are_said_in_plain_words_and_show_nothing_of_the_answer() {
    for (status, body, expected) in [
        (
            401,
            r#"{"message":"A JSON web token could not be decoded"}"#,
            "login refuses the app's signature (status 401)",
        ),
        (
            401,
            r#"{"message":"'Expiration time' claim ('exp') must be a numeric value representing the future time"}"#,
            "login says that the request is of another time: set this machine's clock",
        ),
        (
            403,
            r#"{"message":"This installation has been suspended"}"#,
            "refused says that installation 678 is suspended",
        ),
        (403, r#"{"message":"s3cr3t"}"#, "refused refuses a token for installation 678"),
        (404, r#"{"message":"Not Found"}"#, "missing has no installation 678 of app 12345"),
        (
            422,
            r#"{"message":"There is at least one repository that does not exist or is not accessible to the parent installation."}"#,
            "refused has no such token: not all of the repositories site are there",
        ),
        (
            422,
            r#"{"message":"The permissions requested are not granted to this installation."}"#,
            "refused has no such token: installation 678 was not granted all of the permissions contents",
        ),
        (422, "{}", "refused does not take `repositories`"),
        (301, "", "malformed sends elsewhere (status 301)"),
        (500, "s3cr3t", "server failed (status 500)"),
        (201, "{}", "malformed gave a token without saying what it permits"),
        (201, &GOOD.replace("2100-07-11T22:14:10Z", "soon"), "malformed gave a token without saying when it ends"),
    ] {
        let site = Site::new();
        site.script.says(status, body);
        let why = site.outcome().await;
        assert!(why.starts_with(expected) && !why.contains("s3cr3t"), "{status} {body}: {why}");
    }
    let mut site = Site::new();
    site.source.has_json_key = true;
    assert!(site.outcome().await.starts_with("source mints tokens, which have no keys"));
    let mut site = Site::new();
    site.source.key = Text::new(
        &Reading::from(Source::Env("STUBGATE_TEST_IS_NEVER_SET".into())),
        &Means { http: Arc::clone(&site.script) as Arc<dyn HttpClient>, programs: Arc::new(NoPrograms), escrow: None },
    );
    assert!(site.outcome().await.starts_with("source has no usable private key: file /"), "nothing was asked");
}
