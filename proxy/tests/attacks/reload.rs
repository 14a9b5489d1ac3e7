//! Reload and shutdown: what is no longer allowed ends within seconds, a broken policy turns nothing off (PO-11, PO-13, WS-08).

use std::sync::Mutex;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::client::{Conn, Way};
use crate::lab::{DEVBOT, Lab, POLICY, REAL, STUB};
use crate::origin::{Origin, Reply};
use crate::websocket::{handshake, switches};

const HOST: &str = "open.example.test";

fn without_open() -> String {
    POLICY.replace("    hosts: [open.example.test, \"*.wild.example.test\"]", "    hosts: [\"*.wild.example.test\"]")
}

fn streams(origin: &Origin, path: &str) -> mpsc::UnboundedSender<Vec<u8>> {
    let (says, receiver) = mpsc::unbounded_channel();
    says.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n".into()).unwrap();
    let receiver = Mutex::new(Some(receiver));
    origin.answer(path, move |_| Reply::Stream(receiver.lock().unwrap().take().unwrap()));
    says
}

async fn stream(lab: &Lab, host: &str, path: &str, lines: &str) -> Conn {
    let mut conn = Conn::sni(lab, host, DEVBOT).await;
    conn.send(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n")).await;
    assert_eq!(conn.head().await.status, 200);
    assert!(!conn.some().await.is_empty());
    conn
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reload_no_longer_allows_is_cut() {
    let lab = Lab::new().await;
    let _events = streams(&lab.origin, "/events");
    let _socket = switches(&lab.origin, "/ws");
    let waiting = "/waiting";
    lab.origin.answer(waiting, |_| Reply::Silence);
    let mut events = stream(&lab, HOST, "/events", "").await;
    let mut socket = Way::Tunnel.open(&lab).await;
    assert_eq!(socket.ask(&handshake(Way::Tunnel, "/ws")).await.status, 101);
    let mut waits = Conn::sni(&lab, HOST, DEVBOT).await;
    waits.send(format!("GET {waiting} HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
    lab.until("the request is there", || lab.origin.requests().len() == 3).await;
    let mut kept = Conn::sni(&lab, HOST, DEVBOT).await;
    assert_eq!(kept.ask(&format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.status, 200);
    let more = streams(&lab.origin, "/other");
    let mut other = stream(&lab, "api.example.test", "/other", "").await;
    lab.refusals();

    let start = Instant::now();
    assert_eq!(lab.reload(&without_open()).await, "taken");
    assert!(events.is_over().await, "WS-08: the stream is cut, without its last chunk");
    assert!(socket.is_over().await, "PO-13: the tunnel is cut");
    assert_eq!(waits.answer(false).await.reason(), "policy_changed");
    assert!(start.elapsed().as_secs() < 5);
    let answer = kept.ask(&format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await;
    assert_eq!((answer.status, &*answer.reason()), (403, "host_not_allowed"), "a kept connection is decided anew");
    assert_eq!(lab.refusals(), ["policy_changed", "host_not_allowed"]);
    let cut = || lab.records().iter().filter(|record| record["outcome"] == "cut").count();
    lab.until("both cuts are recorded", || cut() == 2).await;
    // What is still allowed goes on.
    more.send(b"2\r\nok\r\n".into()).unwrap();
    assert!(String::from_utf8_lossy(&other.some().await).contains("ok"));
    lab.is_well("PO-13").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_agent_does_not_read_is_cut_too() {
    let lab = Lab::new().await;
    let says = streams(&lab.origin, "/flood");
    let conn = stream(&lab, HOST, "/flood", "").await;
    // More than every buffer on the way holds; nobody reads it.
    for _ in 0..64 {
        says.send([b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat()).unwrap();
    }
    let (mut last, mut still) = (0, 0);
    let stalls = || {
        still = if lab.origin.taken() == last { still + 1 } else { 0 };
        last = lab.origin.taken();
        last > 0 && still > 40
    };
    lab.until("every buffer is full", stalls).await;
    assert!(last < 64 && lab.appliance.live.len() == 1);
    let start = Instant::now();
    assert_eq!(lab.reload(&without_open()).await, "taken");
    lab.until("the origin is let go", || lab.origin.is_closed(0)).await;
    assert!(start.elapsed().as_secs() < 5, "PO-13: within five seconds");
    let cut = || lab.records().iter().any(|record| record["outcome"] == "cut");
    lab.until("the cut is recorded", cut).await;
    drop(conn);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lost_its_grant_of_a_credential_is_cut() {
    let lab = Lab::new().await;
    let _says = streams(&lab.origin, "/events");
    let mut events = stream(&lab, "api.example.test", "/events", &format!("authorization: Bearer {STUB}\r\n")).await;
    let without = POLICY.replacen("    methods: [any]\n    credentials: [api]\n", "    methods: [any]\n", 1);
    assert_ne!(without, POLICY);
    assert_eq!(lab.reload(&without).await, "taken");
    assert!(events.is_over().await);
    let answer = lab.get("api.example.test", "/x", &[("authorization", &format!("Bearer {STUB}"))]).await;
    assert_eq!(answer.reason(), "stub_not_granted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_put_in_quarantine_is_cut_off() {
    let lab = Lab::new().await;
    let _says = streams(&lab.origin, "/events");
    let mut events = stream(&lab, HOST, "/events", "").await;
    let quarantined = POLICY.replace(
        "devbot: { sources: [\"127.0.0.1/32\"] }",
        "devbot: { sources: [\"127.0.0.1/32\"], quarantined: true }",
    );
    assert_eq!(lab.reload(&quarantined).await, "taken");
    assert!(events.is_over().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_records_what_it_widened_and_narrowed_and_from_which_file() {
    let lab = Lab::new().await;
    let told = |event: &str| -> Vec<serde_json::Value> {
        lab.records().into_iter().filter(|record| record["event"] == event).collect()
    };
    assert!(told("policy_changed").is_empty() && told("policy_file").is_empty(), "the first policy changes nothing");

    let widened =
        POLICY.replace("methods: [GET, POST]\n    credentials: [keyed]", "methods: [any]\n    credentials: [keyed]");
    assert_ne!(widened, POLICY);
    assert_eq!(lab.reload(&widened).await, "taken");
    lab.until("the change is recorded", || told("policy_changed").len() == 1).await;
    let record = told("policy_changed").remove(0);
    assert_eq!((&record["widens"], &record["narrows"]), (&1.into(), &0.into()), "{record}");
    let change = record["changes"][0].as_str().unwrap();
    assert!(change.contains("the rule keyed allows what was denied"), "{change}");
    assert!(change.contains("devbot") && change.contains("any except GET, POST"), "{change}");
    let file = told("policy_file").remove(0);
    assert_eq!(file["outcome"], "changed");
    assert_eq!(file["policy"], record["policy"]);
    assert!(file["file"].as_str().unwrap().ends_with("policy/policy.yaml"), "{file}");
    assert_eq!(file["sha256"].as_str().unwrap().len(), 64);
    assert!(file["owner"].is_u64() && file["modified"].as_str().unwrap().ends_with('Z'), "{file}");

    // A broken one in between is no policy to compare with.
    assert_eq!(lab.reload("version: 2\n").await, "failed");
    assert_eq!(lab.reload(&without_open()).await, "taken");
    lab.until("the change is recorded", || told("policy_changed").len() == 2).await;
    let record = told("policy_changed").remove(1);
    assert_eq!((&record["widens"], &record["narrows"]), (&0.into(), &2.into()), "{record}");
    assert_eq!(told("policy_file").len(), 2);

    // Comments and names mean nothing, and the file is another all the same.
    assert_eq!(lab.reload(&without_open().replace("name: keyed", "name: keys # once keyed")).await, "taken");
    lab.until("the change is recorded", || told("policy_changed").len() == 3).await;
    let record = told("policy_changed").remove(2);
    assert_eq!((&record["widens"], &record["narrows"]), (&0.into(), &0.into()), "{record}");
    assert!(record.get("changes").is_none(), "{record}");
    let files = told("policy_file");
    assert_eq!(files.len(), 3);
    assert_ne!(files[1]["sha256"], files[2]["sha256"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_policy_keeps_the_last_good_one_and_says_so() {
    let lab = Lab::new().await;
    let _says = streams(&lab.origin, "/events");
    let _events = stream(&lab, HOST, "/events", "").await;
    for (name, broken) in [
        ("PO-01", POLICY.replace("methods: [any]", "method: [any]")),
        ("PO-02", POLICY.replace("methods: [any]", "methods:")),
        ("no YAML", "version: [".into()),
        ("empty", String::new()),
        ("half", POLICY[..POLICY.len() / 2].trim_end().to_owned() + "\n  - name"),
        ("a duplicate key", POLICY.replace("version: 1\n", "version: 1\nversion: 1\n")),
    ] {
        assert_eq!(lab.reload(&broken).await, "failed", "{name}");
        assert!(lab.metrics().contains("stubgate_policy_last_reload_ok 0"), "{name}");
        lab.is_well(name).await;
        lab.until("only the stream is under way", || lab.appliance.live.len() == 1).await;
    }
    assert_eq!(lab.reload(POLICY).await, "taken");
    lab.is_well("PO-11").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_folder_that_goes_and_comes_back_is_told_both_times() {
    let lab = Lab::new().await;
    let (folder, away) = (lab.folder.path().join("policy"), lab.folder.path().join("away"));
    std::fs::rename(&folder, &away).unwrap();
    // The folder itself is watched, not what it lies in: a change of a secret has the files looked at.
    lab.write_secret("another", "another-secret-0123456789");
    lab.until("it is told", || lab.metrics().contains("stubgate_policy_last_reload_ok 0")).await;
    lab.is_well("PO-11").await;
    std::fs::rename(&away, &folder).unwrap();
    lab.write_secret("another", "another-secret-9876543210");
    lab.until("it is told", || lab.metrics().contains("stubgate_policy_last_reload_ok 1")).await;
    lab.is_well("PO-11").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_removed_stays_in_use_and_shows_in_a_metric() {
    let lab = Lab::new().await;
    assert!(lab.metrics().contains("stubgate_credentials_stale 0"));
    std::fs::remove_file(lab.folder.path().join("secrets/api")).unwrap();
    lab.until("it is counted", || lab.metrics().contains("stubgate_credentials_stale 1")).await;
    lab.is_well("its file was removed").await;
    lab.write_secret("api", REAL);
    lab.until("it is well again", || lab.metrics().contains("stubgate_credentials_stale 0")).await;
    // To revoke, remove the grant.
    std::fs::remove_file(lab.folder.path().join("secrets/api")).unwrap();
    lab.until("it is counted", || lab.metrics().contains("stubgate_credentials_stale 1")).await;
    let revoked = POLICY.replace("    methods: [any]\n    credentials: [api]\n", "    methods: [any]\n");
    assert_eq!(lab.reload(&revoked).await, "taken");
    let answer = lab.get("api.example.test", "/x", &[("authorization", &format!("Bearer {STUB}"))]).await;
    assert_eq!(answer.reason(), "stub_not_granted");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_usable_policy_everything_is_refused() {
    let lab =
        Lab::with(crate::lab::Setup { policy: "version: 1\nrules: nonsense\n".into(), ..Default::default() }).await;
    let answer = Conn::plain(lab.addresses.http[0], DEVBOT)
        .await
        .ask("GET / HTTP/1.1\r\nhost: plain.example.test\r\n\r\n")
        .await;
    assert_eq!((answer.status, &*answer.reason()), (503, "not_ready"));
    let mut conn = Conn::plain(lab.addresses.proxy[0], DEVBOT).await;
    assert_eq!(conn.connect("open.example.test:443").await.reason(), "not_ready");
    let ready = Conn::plain(lab.addresses.admin[0], DEVBOT).await.ask("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(ready.status, 503, "OPS-05");
    assert_eq!(lab.origin.connections(), 0);
    assert_eq!(lab.reload(POLICY).await, "taken");
    lab.is_well("OPS-05").await;
    let ready = Conn::plain(lab.addresses.admin[0], DEVBOT).await.ask("GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(ready.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_whose_source_changes_under_a_request_is_not_mixed_up() {
    let lab = Lab::new().await;
    // The same name and stub, another file: the new secret only.
    lab.write_secret("moved", "moved-secret-0123456789");
    let moved = POLICY.replace("secrets/api }", "secrets/moved }");
    assert_eq!(lab.reload(&moved).await, "taken");
    assert_eq!(lab.get("api.example.test", "/x", &[("authorization", &format!("Bearer {STUB}"))]).await.status, 200);
    assert_eq!(lab.origin.requests()[0].header("authorization").unwrap(), "Bearer moved-secret-0123456789");
    assert!(!String::from_utf8_lossy(&lab.origin.bytes()).contains(REAL));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_requests_end_takes_no_new_ones_and_cuts_the_rest() {
    let setup = crate::lab::Setup { timeouts: "drain_seconds: 2".into(), ..Default::default() };
    let lab = Lab::with(setup).await;
    let ends = streams(&lab.origin, "/ends");
    let stays = streams(&lab.origin, "/stays");
    let mut ending = stream(&lab, HOST, "/ends", "").await;
    let mut staying = stream(&lab, HOST, "/stays", "").await;
    let mut idle = Conn::sni(&lab, HOST, DEVBOT).await;
    assert_eq!(idle.ask(&format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await.status, 200);
    let start = Instant::now();
    lab.stop.cancel();
    assert!(idle.is_over().await, "an idle connection is closed at once");
    lab.until("it listens no more", || std::net::TcpStream::connect(lab.addresses.https[0]).is_err()).await;
    ends.send(b"3\r\nend\r\n0\r\n\r\n".into()).unwrap();
    assert!(String::from_utf8_lossy(&ending.rest().await).ends_with("end\r\n0\r\n\r\n"), "what was under way ended");
    assert!(staying.is_over().await, "the rest is cut");
    assert!(start.elapsed().as_millis() >= 1900, "not before its time");
    lab.stopped().await;
    drop(stays);
    let records = lab.records();
    let outcomes = |id: &str| records.iter().any(|record| record["event"] == "end" && record["path"] == id);
    assert!(outcomes("/ends") && outcomes("/stays"), "OPS-07: both ends are recorded");
    assert_eq!(records.last().unwrap()["outcome"], "stopped");
}
