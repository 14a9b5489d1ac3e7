//! Which value of a credential it was (law 8), and what an origin's 401 to one leads to: once, however often it is had.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{Answer, Conn};
use crate::lab::{DEVBOT, Lab, REAL, STUB};
use crate::origin::Reply;

const HOST: &str = "api.example.test";
const REFUSES: &str = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Bearer\r\ncontent-length: 2\r\n\r\nno";

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {STUB}\r\n\r\n")
}

async fn ask(lab: &Lab, path: &str) -> Answer {
    Conn::sni(lab, HOST, DEVBOT).await.ask(&request(path)).await
}

fn of_event(lab: &Lab, event: &str) -> Vec<Value> {
    lab.records().into_iter().filter(|record| record["event"] == event).collect()
}

/// Another value of `api`, in use.
async fn rotates(lab: &Lab) {
    lab.write_secret("api", "another-secret-of-api-0123456789");
    let is_taken = |record: &Value| record["layer"] == "credential" && record["outcome"] == "taken";
    lab.until("the value is taken", || of_event(lab, "reload").iter().any(is_taken)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_a_request_name_the_value_that_its_origin_got() {
    const EACH: usize = 30;
    const AGENTS: usize = 4;
    let lab = Lab::new().await;
    let values = [REAL, "another-secret-of-api-0123456789"];
    let mut asking = JoinSet::new();
    for agent in 0..AGENTS {
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        asking.spawn(async move {
            for number in 0..EACH {
                assert_eq!(conn.ask(&request(&format!("/{agent}/{number}"))).await.status, 200);
            }
        });
    }
    // Rotated for as long as they ask.
    let mut turn = 0_usize;
    loop {
        turn += 1;
        lab.write_secret("api", values[turn % 2]);
        lab.appliance.keeper.get().unwrap().look_again();
        match tokio::time::timeout(Duration::from_millis(3), asking.join_next()).await {
            Ok(None) => break,
            Ok(Some(done)) => done.unwrap(),
            Err(_) => {}
        }
    }
    lab.until("every end is recorded", || of_event(&lab, "end").len() == AGENTS * EACH).await;
    let sent: BTreeMap<String, String> = lab
        .origin
        .requests()
        .iter()
        .map(|seen| (seen.path().to_owned(), seen.header("authorization").unwrap()))
        .collect();
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let records = [of_event(&lab, "begin"), of_event(&lab, "end")].concat();
    assert_eq!(records.len(), 2 * AGENTS * EACH);
    for record in &records {
        let version = record["credential_version"].as_str().unwrap();
        assert_eq!((version.len(), &record["credential"]), (16, &"api".into()));
        versions.entry(&sent[record["path"].as_str().unwrap()]).or_default().insert(version.to_owned());
    }
    assert!(versions.values().all(|of_one| of_one.len() == 1), "{versions:?}");
    assert_eq!(versions.values().collect::<BTreeSet<_>>().len(), versions.len(), "{versions:?}");
    assert_eq!(versions.len(), 2, "both were in use");
    // And so the operator is told it, from the file.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_stubgate"))
        .args(["audit", "query", "--credential", "api", "--agent", "devbot", "--since", "24h"])
        .arg(lab.audit_path())
        .output()
        .unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.lines().count(), 1 + AGENTS * EACH, "{table}");
    for row in table.lines().skip(1) {
        let cells: Vec<&str> = row.split_whitespace().collect();
        let [_, "devbot", "api", version, "200", "complete", "GET", url] = &cells[..] else { panic!("{row}") };
        let path = url.strip_prefix("https://api.example.test").unwrap();
        assert!(versions[&*sent[path]].contains(*version), "{row}");
    }
    // What a reload put in use is named by the same word.
    let taken: BTreeSet<String> = of_event(&lab, "reload")
        .iter()
        .filter(|record| record["layer"] == "credential" && record["outcome"] == "taken")
        .map(|record| record["credential_version"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(taken, versions.into_values().flatten().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_swap_that_is_refused_half_way_names_the_value_too() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes("/lie", "HTTP/1.1 200 OK\ncontent-length: 1\n\n");
    assert_eq!(ask(&lab, "/lie").await.status, 502);
    let (begin, end) = (of_event(&lab, "begin"), of_event(&lab, "end"));
    assert_eq!(end[0]["reason"], "upstream_protocol");
    assert!(begin[0]["credential_version"].is_string());
    assert_eq!(begin[0]["credential_version"], end[0]["credential_version"]);
    // What carried none names none, and what was refused before it was sent neither.
    lab.get(HOST, "/x", &[]).await;
    lab.get("open.example.test", "/x", &[("authorization", &format!("Bearer {STUB}"))]).await;
    assert!(of_event(&lab, "refused").iter().all(|record| record.get("credential_version").is_none()));
    assert!(of_event(&lab, "begin")[1].get("credential_version").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_the_same_after_a_restart_and_their_key_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let (one, other) = (Lab::new().await, Lab::new().await);
    for lab in [&one, &other] {
        ask(lab, "/x").await;
    }
    let version = |lab: &Lab| of_event(lab, "begin")[0]["credential_version"].clone();
    assert_ne!(version(&one), version(&other), "the key is each appliance's own");
    let key = one.folder.path().join("version.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = stubgate_credentials::VersionKey::load_or_create(&key).unwrap();
    let store = stubgate_credentials::CredentialStore::new(again);
    store.reload(&one.appliance.snapshot.load().policy);
    assert_eq!(store.version("api").unwrap().to_string(), version(&one).as_str().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_is_passed_on_and_told_once_for_each_value_however_often_it_is_had() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes("/refuses", REFUSES);
    let mut asking = JoinSet::new();
    for _ in 0..4 {
        let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
        asking.spawn(async move {
            for _ in 0..25 {
                let answer = conn.ask(&request("/refuses")).await;
                assert_eq!((answer.status, &*answer.text()), (401, "no"));
            }
        });
    }
    while let Some(done) = asking.join_next().await {
        done.unwrap();
    }
    assert_eq!(lab.origin.requests().len(), 100, "no request is sent again");
    lab.until("every end is recorded", || of_event(&lab, "end").len() == 100).await;
    let told = of_event(&lab, "rejected");
    assert_eq!(told.len(), 1, "{told:?}");
    let begun = of_event(&lab, "begin");
    let begun = begun.iter().find(|record| record["id"] == told[0]["id"]).unwrap();
    for field in ["agent", "authority", "method", "path", "rule", "credential", "credential_version", "upstream"] {
        assert!(!told[0][field].is_null() && told[0][field] == begun[field], "{field}");
    }
    assert_eq!((&told[0]["layer"], &told[0]["status"]), (&"credential".into(), &401.into()));
    let metrics = lab.metrics();
    assert!(metrics.contains("stubgate_credential_rejections_total{credential=\"api\"} 1\n"), "{metrics}");
    assert!(metrics.contains("stubgate_credentials_rejected 1\n"));

    // Another value is not marked, until it is refused in turn.
    rotates(&lab).await;
    lab.until("nothing is marked", || lab.metrics().contains("stubgate_credentials_rejected 0\n")).await;
    assert_eq!(ask(&lab, "/x").await.status, 200);
    let again = || lab.metrics().contains("stubgate_credential_rejections_total{credential=\"api\"} 2\n");
    let limit = Instant::now() + Duration::from_secs(15);
    while !again() {
        assert!(Instant::now() < limit, "the second value is never told");
        ask(&lab, "/refuses").await;
    }
    assert_eq!(of_event(&lab, "rejected").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_without_a_swap_or_to_a_value_that_was_replaced_is_nobodys_news() {
    let lab = Lab::new().await;
    lab.origin.answer_bytes("/refuses", REFUSES);
    assert_eq!(lab.get(HOST, "/refuses", &[]).await.status, 401, "git's first request");
    let (says, replies) = mpsc::unbounded_channel();
    let replies = Mutex::new(Some(replies));
    lab.origin.answer("/late", move |_| Reply::Stream(replies.lock().unwrap().take().unwrap()));
    let mut late = Conn::sni(&lab, HOST, DEVBOT).await;
    late.send(request("/late")).await;
    lab.until("the request is there", || lab.origin.requests().iter().any(|seen| seen.path() == "/late")).await;
    rotates(&lab).await;
    says.send(REFUSES.replace("content-length", "connection: close\r\ncontent-length").into()).unwrap();
    assert_eq!(late.answer(false).await.status, 401);
    assert_eq!(ask(&lab, "/x").await.status, 200);
    assert!(of_event(&lab, "rejected").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_was_replaced_is_not_sent_once_more_on_another_connection() {
    let lab = Lab::new().await;
    let (asks, mut asked) = mpsc::unbounded_channel();
    let (give, given) = std::sync::mpsc::channel::<()>();
    let (given, seen) = (Mutex::new(given), Mutex::new(0));
    lab.origin.answer("/once", move |_| {
        let mut seen = seen.lock().unwrap();
        *seen += 1;
        if *seen != 2 {
            return crate::origin::ok("well");
        }
        // Hangs up only once the value is another one.
        asks.send(()).unwrap();
        given.lock().unwrap().recv().unwrap();
        Reply::Close(Vec::new())
    });
    let mut conn = Conn::sni(&lab, HOST, DEVBOT).await;
    assert_eq!(conn.ask(&request("/once")).await.status, 200);
    let rotating = async {
        asked.recv().await.unwrap();
        rotates(&lab).await;
        give.send(()).unwrap();
    };
    let get = request("/once");
    let (answer, ()) = tokio::join!(conn.ask(&get), rotating);
    assert_eq!((answer.status, &*answer.reason()), (503, "credential_missing"));
    assert_eq!(conn.ask(&get).await.status, 200);
    let sent: Vec<_> = lab.origin.requests().iter().map(|seen| seen.header("authorization").unwrap()).collect();
    assert_eq!(
        sent,
        [format!("Bearer {REAL}"), format!("Bearer {REAL}"), "Bearer another-secret-of-api-0123456789".into()]
    );
}
