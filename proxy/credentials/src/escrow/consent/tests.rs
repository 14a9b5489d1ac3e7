use std::collections::VecDeque;
use std::sync::Mutex;

use http::{Request, Response};

use super::super::double::provider;
use super::*;
use crate::fetch::Answering;

/// Says one thing after the other, and keeps what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<(u16, &'static str)>>,
    asked: Mutex<Vec<serde_json::Value>>,
}

impl HttpClient for Script {
    fn send(&self, request: Request<Zeroizing<Vec<u8>>>) -> Answering<'_> {
        self.asked.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap());
        let (status, body) = self.answers.lock().unwrap().pop_front().unwrap();
        let answer = Response::builder().status(status).body(Zeroizing::new(body.as_bytes().to_vec())).unwrap();
        Box::pin(async move { Ok(answer) })
    }
}

fn script(answers: &[(u16, &'static str)]) -> (Arc<Script>, Arc<dyn HttpClient>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.iter().copied().collect()), ..Script::default() });
    (Arc::clone(&script), script)
}

fn described() -> OauthProvider {
    OauthProvider {
        authorization_url: Some("https://claude.example/authorize".into()),
        redirect_uri: Some("https://platform.example/callback".into()),
        device_endpoint: provider().token_endpoints.first().cloned(),
        scopes: ["user:profile".into(), "user:inference".into()].into(),
        ..provider()
    }
}

const GRANTED: &str = r#"{"access_token":"access-1","refresh_token":"refresh-1","expires_in":20}"#;

fn field(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
}

#[tokio::test]
async fn a_pasted_code_is_exchanged_with_the_verifier_of_its_challenge() {
    let (script, http) = script(&[(200, GRANTED)]);
    let consent = Consent::begin(&described()).unwrap();
    let url = consent.url();
    assert!(
        url.starts_with("https://claude.example/authorize?code=true&client_id=client&response_type=code&"),
        "{url}"
    );
    assert_eq!(field(url, "scope"), "user%3Aprofile%20user%3Ainference");
    assert_eq!(field(url, "code_challenge_method"), "S256");
    let pasted = format!(" the-code#{}\n", field(url, "state"));
    let granted = consent.finish(&described(), &http, &pasted).await.unwrap();
    assert_eq!(granted.scopes().len(), 2);
    let asked = script.asked.lock().unwrap()[0].clone();
    let verifier = asked["code_verifier"].as_str().unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(digest.as_ref()), field(url, "code_challenge"));
    assert_eq!((asked["code"].as_str(), asked["grant_type"].as_str()), (Some("the-code"), Some("authorization_code")));
    assert_eq!(asked["redirect_uri"], "https://platform.example/callback");
}

#[tokio::test]
async fn a_code_without_its_state_or_with_another_never_reaches_the_provider() {
    let (script, http) = script(&[]);
    let consent = Consent::begin(&described()).unwrap();
    let other = Consent::begin(&described()).unwrap();
    for (pasted, expected) in [
        ("the-code".to_owned(), "not the full code"),
        ("the-code#".to_owned(), "not the full code"),
        (String::new(), "not the full code"),
        ("the-code#wrong".to_owned(), "another login"),
        (format!("the-code#{}", field(other.url(), "state")), "another login"),
    ] {
        let error = consent.finish(&described(), &http, &pasted).await.err().unwrap().to_string();
        assert!(error.contains(expected), "{pasted}: {error}");
    }
    assert!(script.asked.lock().unwrap().is_empty());
}

#[test]
fn the_whole_address_can_be_pasted_too() {
    assert_eq!(whole("https://x.example/callback?code=abc&state=def#_"), Some(("abc", "def")));
    assert_eq!(whole("https://x.example/callback?state=def"), None);
}

#[tokio::test(start_paused = true)]
async fn a_device_is_waited_for_as_slowly_as_the_provider_wants() {
    let offer = r#"{"device_code":"device-code-1","user_code":"ABCD-EFGH","verification_uri":"https://p.example/device","expires_in":900,"interval":5}"#;
    let (script, http) = script(&[
        (200, offer),
        (400, r#"{"error":"authorization_pending"}"#),
        (400, r#"{"error":"slow_down"}"#),
        (200, r#"{"error":"authorization_pending"}"#),
        (200, GRANTED),
    ]);
    let device = Device::begin(&described(), &http).await.unwrap();
    assert_eq!((&*device.user_code, &*device.address), ("ABCD-EFGH", "https://p.example/device"));
    let before = tokio::time::Instant::now();
    assert!(device.wait(&described(), &http).await.unwrap().can_be_refreshed());
    assert_eq!(before.elapsed().as_secs(), 5 + 5 + 10 + 10);
    assert_eq!(script.asked.lock().unwrap()[1]["device_code"], "device-code-1");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_refused_or_too_late_is_no_login() {
    let offer = r#"{"device_code":"device-code-1","user_code":"A","verification_uri":"https://p.example/device","expires_in":60}"#;
    for (answer, expected) in [(r#"{"error":"access_denied"}"#, "refused"), (r#"{"error":"expired_token"}"#, "in time")]
    {
        let (_, http) = script(&[(200, offer), (400, answer)]);
        let device = Device::begin(&described(), &http).await.unwrap();
        assert!(device.wait(&described(), &http).await.err().unwrap().to_string().contains(expected));
    }
    let odd =
        r#"{"device_code":"device-code-1","user_code":"A\u001b[2J","verification_uri":"https://p.example/device"}"#;
    let (_, http) = script(&[(200, odd)]);
    assert!(Device::begin(&described(), &http).await.is_err(), "nothing for the terminal to act on");
}
