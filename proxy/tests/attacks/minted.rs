//! Stubs that were minted for one agent: of use to it alone, for one credential, for a time, until they are called back
//! (CR-20, CR-22).

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use stubgate_credentials::minted::{self, Expiry, Shape, StubKey};
use tokio::sync::mpsc;

use crate::client::{Answer, Conn};
use crate::lab::{DEVBOT, Lab, OTHER_REAL, OTHERBOT, POLICY, REAL, STUB, Setup};
use crate::origin::{Reply, ok};

const API: &str = "api.example.test";
const DAY: Duration = Duration::from_secs(86_400);

/// `api` takes minted stubs only; both agents may use `api` and `other`, on the same host.
fn policy() -> String {
    let policy = POLICY.replace("    stub: proxy-token-api\n", "    stub: proxy-token-api\n    minted_only: true\n");
    policy.replace("    agents: [otherbot]\n    hosts: [api", "    agents: [devbot, otherbot]\n    hosts: [api")
}

async fn lab() -> Lab {
    Lab::with(Setup { policy: policy(), ..Setup::default() }).await
}

fn key(lab: &Lab) -> StubKey {
    StubKey::load(&lab.folder.path().join("stub.key")).unwrap()
}

fn mint(lab: &Lab, agent: &str, credential: &str, shape: Shape) -> String {
    let expiry = Expiry::at(SystemTime::now() + DAY).unwrap();
    minted::mint(&key(lab), agent, credential, expiry, minted::serial().unwrap(), shape)
}

async fn ask(lab: &Lab, from: &str, path: &str, lines: &str) -> Answer {
    let mut conn = Conn::sni(lab, API, from).await;
    conn.ask(&format!("GET {path} HTTP/1.1\r\nhost: {API}\r\n{lines}\r\n")).await
}

async fn bearer(lab: &Lab, from: &str, stub: &str) -> Answer {
    ask(lab, from, "/x", &format!("authorization: Bearer {stub}\r\n")).await
}

fn last(lab: &Lab) -> Value {
    lab.records().pop().unwrap()
}

fn tripwires(lab: &Lab, reason: &str) -> bool {
    lab.metrics().contains(&format!("stubgate_tripwires_total{{reason=\"{reason}\"}} 1"))
}

/// The id of a stub, as its refusal has it.
fn id(record: &Value) -> minted::StubId {
    record["stub_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_stub_in_any_shape_is_swapped_for_its_agent_and_selects_its_credential() {
    let lab = lab().await;
    for shape in Shape::ALL {
        for (from, agent, credential, real) in [
            (DEVBOT, "devbot", "api", REAL),
            (OTHERBOT, "otherbot", "api", REAL),
            (DEVBOT, "devbot", "other", OTHER_REAL),
        ] {
            let answer = bearer(&lab, from, &mint(&lab, agent, credential, shape)).await;
            assert_eq!(answer.status, 200, "{shape:?} {agent} {credential}: {answer:?}");
            let seen = lab.origin.requests().pop().unwrap();
            assert_eq!(seen.header("authorization"), Some(format!("Bearer {real}")), "{shape:?}");
        }
    }
    let pair = STANDARD.encode(format!("x-access-token:{}", mint(&lab, "devbot", "api", Shape::Ghp)));
    assert_eq!(ask(&lab, DEVBOT, "/x", &format!("authorization: Basic {pair}\r\n")).await.status, 200);
    let seen = lab.origin.requests().pop().unwrap().header("authorization").unwrap();
    assert_eq!(seen, format!("Basic {}", STANDARD.encode(format!("x-access-token:{REAL}"))));
    let text = String::from_utf8_lossy(&lab.origin.bytes()).into_owned();
    assert!(!text.contains("SGM"), "no stub ever leaves");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stub_of_another_agent_is_refused_and_names_whose_it_is() {
    let lab = lab().await;
    let before = lab.origin.byte_count();
    let stub = mint(&lab, "devbot", "api", Shape::Ghp);
    let answer = bearer(&lab, OTHERBOT, &stub).await;
    assert_eq!((answer.status, &*answer.reason()), (403, "stub_of_other_agent"));
    let record = last(&lab);
    assert_eq!(record["agent"], "otherbot");
    assert_eq!((&record["stub_of"], &record["stub_agent"]), (&"api".into(), &"devbot".into()));
    assert_eq!(record["tripwire"], true);
    assert!(tripwires(&lab, "stub_of_other_agent"));
    assert_eq!(lab.origin.byte_count(), before);
    assert!(!std::fs::read_to_string(lab.audit_path()).unwrap().contains(&stub), "never the stub itself");
    assert_eq!(bearer(&lab, DEVBOT, &stub).await.status, 200, "its own agent goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_that_expired_was_made_up_or_was_called_back_is_refused() {
    let lab = lab().await;
    let serial = [1, 2, 3];
    let yesterday = Expiry::at(SystemTime::now() - DAY).unwrap();
    let expired = minted::mint(&key(&lab), "devbot", "api", yesterday, serial, Shape::SkAntOat);
    let tomorrow = Expiry::at(SystemTime::now() + DAY).unwrap();
    let forged = minted::mint(&StubKey::new(&[1; 32]), "devbot", "api", tomorrow, serial, Shape::SkAntOat);
    let before = lab.origin.byte_count();
    for (stub, reason, trips) in [(expired, "stub_expired", false), (forged, "stub_forged", true)] {
        assert_eq!(bearer(&lab, DEVBOT, &stub).await.reason(), reason);
        let record = last(&lab);
        assert_eq!(record["tripwire"] == true, trips, "{reason}");
        assert_eq!(record.get("stub_of").is_some(), reason == "stub_expired", "of a forged one nobody knows");
        assert_eq!(tripwires(&lab, reason), trips);
    }
    let altered = mint(&lab, "devbot", "api", Shape::Plain);
    let altered = format!("{}{}", &altered[..38], if altered.ends_with('a') { 'b' } else { 'a' });
    assert_eq!(bearer(&lab, DEVBOT, &altered).await.reason(), "stub_forged");
    assert_eq!(lab.origin.byte_count(), before);
    let good = mint(&lab, "devbot", "api", Shape::SkAntOat);
    assert_eq!(bearer(&lab, DEVBOT, &good).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_that_is_called_back_ends_what_it_has_under_way() {
    let lab = lab().await;
    let (says, receiver) = mpsc::unbounded_channel();
    says.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n".to_vec()).unwrap();
    let receiver = Mutex::new(Some(receiver));
    lab.origin.answer("/events", move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    let stub = mint(&lab, "devbot", "api", Shape::Jwt);
    let mut events = Conn::sni(&lab, API, DEVBOT).await;
    events.send(format!("GET /events HTTP/1.1\r\nhost: {API}\r\nauthorization: Bearer {stub}\r\n\r\n")).await;
    assert_eq!(events.head().await.status, 200);
    assert!(!events.some().await.is_empty());
    // Another agent that tries it leaves its id in the records.
    bearer(&lab, OTHERBOT, &stub).await;
    let now = SystemTime::now();
    minted::revoke(&lab.folder.path().join("stubs/revoked"), id(&last(&lab)), now + DAY, now).unwrap();
    assert!(events.is_over().await, "the stream is cut, without its last chunk");
    let answer = bearer(&lab, DEVBOT, &stub).await;
    assert_eq!((answer.status, &*answer.reason()), (403, "stub_revoked"));
    assert_eq!(last(&lab)["stub_of"], "api");
    assert!(tripwires(&lab, "stub_revoked"));
    let other = mint(&lab, "devbot", "api", Shape::Jwt);
    assert_eq!(bearer(&lab, DEVBOT, &other).await.status, 200, "and no other one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_stub_elsewhere_in_the_head_is_a_tripwire() {
    let lab = lab().await;
    let before = lab.origin.byte_count();
    for shape in Shape::ALL {
        let stub = mint(&lab, "devbot", "api", shape);
        let encoded = format!("%{:02X}{}", stub.as_bytes()[0], &stub[1..]);
        for (path, lines) in [
            ("/x".to_owned(), format!("x-note: see {stub} there\r\n")),
            ("/x".to_owned(), format!("cookie: a=b; token={stub}\r\n")),
            ("/x".to_owned(), format!("x-api-key: {stub}\r\n")),
            ("/x".to_owned(), format!("authorization: Bearer {stub}x\r\n")),
            ("/x".to_owned(), format!("authorization: Digest {stub}\r\n")),
            (format!("/x?q={stub}"), String::new()),
            (format!("/x?token={encoded}"), String::new()),
            (format!("/x/{stub}/y"), String::new()),
            (format!("/x/{encoded}"), String::new()),
        ] {
            let answer = ask(&lab, DEVBOT, &path, &lines).await;
            assert_eq!(answer.reason(), "stub_out_of_slot", "{path} {lines}");
            let record = last(&lab);
            assert_eq!(
                (&record["stub_of"], &record["stub_agent"]),
                (&"api".into(), &"devbot".into()),
                "{path} {lines}"
            );
        }
    }
    assert_eq!(lab.origin.byte_count(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_stub_in_a_body_is_counted() {
    let lab = lab().await;
    let stub = mint(&lab, "devbot", "api", Shape::GithubPat);
    let body = format!("my token is {stub}, and not ghp_SGM or sk-SGMore");
    let mut conn = Conn::sni(&lab, API, DEVBOT).await;
    conn.send(format!(
        "POST /x HTTP/1.1\r\nhost: {API}\r\nauthorization: Bearer {stub}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await;
    assert_eq!(conn.answer(false).await.status, 200);
    let end = || lab.records().into_iter().find(|record| record["event"] == "end");
    lab.until("the end is recorded", || end().is_some()).await;
    assert_eq!(end().unwrap()["stubs_in_body"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_minted_stubs_count_the_written_one_is_refused() {
    let lab = lab().await;
    let before = lab.origin.byte_count();
    assert_eq!(bearer(&lab, DEVBOT, STUB).await.reason(), "stub_not_granted");
    assert_eq!(last(&lab)["stub_of"], "api");
    assert_eq!(lab.origin.byte_count(), before);
    // What an origin echoes comes back as the written stub.
    lab.origin.answer("/echo", |request| {
        let value = request.header("authorization").unwrap_or_default();
        ok(&value)
    });
    let stub = mint(&lab, "devbot", "api", Shape::Sk);
    let answer = ask(&lab, DEVBOT, "/echo", &format!("authorization: Bearer {stub}\r\n")).await;
    assert!(answer.text().contains(STUB) && !answer.text().contains(REAL), "{answer:?}");
}
