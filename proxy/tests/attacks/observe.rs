//! `effect: observe`: the name is answered, a certificate minted and the head read, recorded as what it would have been;
//! and then it is denied. Nothing is resolved, dialled or swapped.

use serde_json::Value;
use stubgate_policy::suggest::{Record, Suggest, Suggestion};
use stubgate_policy::{SourceFile, compile};
use tokio::net::UdpSocket;

use crate::client::{Conn, PATIENCE, tcp, tls};
use crate::lab::{DEVBOT, Lab, OTHERBOT, POLICY, REAL, STUB, Setup};

const EVIL: &str = "evil.example.test";
const FRESH_STUB: &str = "proxy-token-fresh";

/// The policy of the lab, a credential that no rule grants, and rules. The origin of EVIL is there, so that a hole shows.
fn policy(rules: &str) -> String {
    let credential = format!(
        "  fresh:\n    stub: {FRESH_STUB}\n    slots: [bearer]\n    hosts: [{EVIL}]\n    source: {{ file: FOLDER/secrets/api }}\n"
    );
    POLICY.replacen("rules:\n", &format!("{credential}rules:\n{rules}"), 1)
}

const WATCH: &str = "  - name: watch
    effect: observe
    agents: [devbot]
    hosts: [evil.example.test, new.example.test]
    methods: [any]
    credentials: [fresh]
  - name: watch-plain
    effect: observe
    agents: [devbot]
    hosts: [\"http://evil.example.test\"]
    methods: [any]
";

/// A question for an A record, and how it is answered: its code, and the address if there is one.
async fn question(lab: &Lab, from: &str, name: &str) -> (u8, Option<[u8; 4]>) {
    let socket = UdpSocket::bind((from, 0)).await.unwrap();
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    socket.send_to(&query, lab.addresses.dns[0]).await.unwrap();
    let mut answer = [0; 1500];
    let length = tokio::time::timeout(PATIENCE, socket.recv(&mut answer)).await.unwrap().unwrap();
    let has_address = answer[7] > 0;
    (answer[3] & 15, has_address.then(|| answer[length - 4..length].try_into().unwrap()))
}

fn last(lab: &Lab) -> Value {
    lab.records().pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_observed_is_read_and_recorded_and_goes_nowhere() {
    let servers = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nameserver = servers.local_addr().unwrap();
    let lab = Lab::with(Setup { policy: policy(WATCH), nameserver, ..Setup::default() }).await;
    let minted = lab.appliance.minter.minted_total();
    // DNS: our address, for the agent that is observed and for no other.
    for name in [EVIL, "new.example.test"] {
        assert_eq!(question(&lab, DEVBOT, name).await, (0, Some([127, 0, 0, 1])), "{name}");
        assert_eq!((&last(&lab)["event"], &last(&lab)["layer"]), (&"allowed".into(), &"dns".into()));
        assert_eq!(question(&lab, OTHERBOT, name).await, (3, None), "{name}");
    }
    assert!(tls(tcp(lab.addresses.https[0], OTHERBOT).await, &lab.h1, EVIL).await.is_err());
    lab.refusals();
    // The head, by every way in, with and without a stub.
    let (https, http) = ("https://evil.example.test:443", "http://evil.example.test:80");
    let new = "https://new.example.test:443";
    let bearer = format!("authorization: Bearer {FRESH_STUB}\r\n");
    for (conn, host, target, lines, authority, rule) in [
        (Conn::sni(&lab, EVIL, DEVBOT).await, EVIL, "/a?q=1", "", https, "watch"),
        (Conn::sni(&lab, EVIL, DEVBOT).await, EVIL, "/a", &*bearer, https, "watch"),
        (Conn::tunnel(&lab, EVIL, DEVBOT).await, EVIL, "/a", &*bearer, https, "watch"),
        (Conn::sni(&lab, "new.example.test", DEVBOT).await, "new.example.test", "/a", "", new, "watch"),
        (Conn::plain(lab.addresses.http[0], DEVBOT).await, EVIL, "/a", "", http, "watch-plain"),
        (
            Conn::plain(lab.addresses.proxy[0], DEVBOT).await,
            EVIL,
            "http://evil.example.test/a",
            "",
            http,
            "watch-plain",
        ),
    ] {
        let mut conn = conn;
        let answer =
            conn.ask(&format!("POST {target} HTTP/1.1\r\nhost: {host}\r\n{lines}content-length: 0\r\n\r\n")).await;
        let case = format!("{authority} {target} {lines}");
        assert_eq!((answer.status, &*answer.reason()), (403, "observed"), "{case}");
        let record = last(&lab);
        for (key, value) in [
            ("event", "refused"),
            ("layer", "http"),
            ("agent", "devbot"),
            ("authority", authority),
            ("method", "POST"),
            ("path", "/a"),
            ("decision", "observe"),
            ("reason", "observed"),
            ("rule", rule),
        ] {
            assert_eq!(record[key], value, "{case}: {key}");
        }
        assert_eq!(record["stub_of"].as_str(), (!lines.is_empty()).then_some("fresh"), "{case}");
        assert!(
            record.get("upstream").is_none() && record.get("credential").is_none() && record.get("tripwire").is_none()
        );
    }
    assert_eq!(lab.appliance.minter.minted_total(), minted + 2, "TLS was minted, once a name");
    assert_eq!(lab.origin.connections(), 0, "nothing is dialled");
    assert!(!lab.records().iter().any(|record| record["event"] == "begin"), "nothing is swapped");
    let mut packet = [0; 512];
    assert!(servers.try_recv(&mut packet).is_err(), "nothing is resolved");
    // That the ear is not deaf: a host that is allowed is asked for there.
    let mut allowed = Conn::sni(&lab, "b.wild.example.test", DEVBOT).await;
    allowed.send("GET / HTTP/1.1\r\nhost: b.wild.example.test\r\n\r\n").await;
    tokio::time::timeout(PATIENCE, servers.recv(&mut packet)).await.unwrap().unwrap();
    lab.is_well("observing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stub_trips_where_a_rule_only_observes() {
    let lab = Lab::with(Setup { policy: policy(WATCH), ..Setup::default() }).await;
    for (lines, reason, stub_of) in [
        (format!("authorization: Bearer {STUB}\r\n"), "stub_wrong_host", "api"),
        (format!("cookie: a={FRESH_STUB}\r\n"), "stub_out_of_slot", "fresh"),
        (format!("x-note: {STUB}\r\n"), "stub_out_of_slot", "api"),
    ] {
        let mut conn = Conn::sni(&lab, EVIL, DEVBOT).await;
        let answer = conn.ask(&format!("GET /x HTTP/1.1\r\nhost: {EVIL}\r\n{lines}\r\n")).await;
        assert_eq!(answer.reason(), reason, "{lines}");
        let record = last(&lab);
        assert_eq!((&record["tripwire"], &record["rule"]), (&true.into(), &"watch".into()), "{lines}");
        assert_eq!((&record["stub_of"], &record["decision"]), (&stub_of.into(), &"deny".into()), "{lines}");
    }
    assert_eq!(lab.origin.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tripwires_name_the_credential_whose_stub_it_was() {
    let lab = Lab::new().await;
    let bearer = format!("authorization: Bearer {STUB}");
    for (host, line, reason) in [
        ("api.example.test", format!("x-note: see {STUB} there"), "stub_out_of_slot"),
        ("api.example.test", format!("x-api-key: {STUB}"), "stub_out_of_slot"),
        ("open.example.test", bearer.clone(), "stub_wrong_host"),
        ("api.example.test", format!("{bearer}\r\nx-api-key: other"), "two_credentials"),
    ] {
        let mut conn = Conn::sni(&lab, host, DEVBOT).await;
        conn.ask(&format!("GET /x HTTP/1.1\r\nhost: {host}\r\n{line}\r\n\r\n")).await;
        let record = last(&lab);
        assert_eq!((&record["reason"], &record["stub_of"]), (&reason.into(), &"api".into()), "{line}");
    }
    let mut conn = Conn::sni(&lab, "paths.example.test", DEVBOT).await;
    conn.ask("GET /other HTTP/1.1\r\nhost: paths.example.test\r\nauthorization: Bearer mine\r\n\r\n").await;
    assert!(last(&lab).get("stub_of").is_none(), "no stub, no name");
    assert!(!std::fs::read_to_string(lab.audit_path()).unwrap().contains(STUB), "never the stub itself");
}

/// What `policy suggest` makes of the lab's records.
fn suggested(lab: &Lab, text: &str) -> Suggestion {
    let text = text.replace("FOLDER", &lab.folder.path().display().to_string());
    let policy = compile(&[SourceFile { name: "policy.yaml".into(), text }]).unwrap().policy;
    let mut suggest = Suggest::new(&policy);
    for line in std::fs::read_to_string(lab.audit_path()).unwrap().lines() {
        suggest.add(&serde_json::from_str::<Record<'_>>(line).unwrap());
    }
    suggest.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn from_a_denied_name_to_an_allowed_request_by_suggestions_alone() {
    let base = policy("");
    let lab = Lab::with(Setup { policy: base.clone(), ..Setup::default() }).await;
    let install = async |suggestion: &Suggestion| {
        let folder = lab.folder.path().join("policy");
        std::fs::write(folder.join(".suggested"), &suggestion.yaml).unwrap();
        std::fs::rename(folder.join(".suggested"), folder.join("suggested.yaml")).unwrap();
        assert_eq!(lab.reload(&base).await, "taken", "{}", suggestion.yaml);
    };
    // A name is denied: observe it.
    assert_eq!(question(&lab, DEVBOT, EVIL).await, (3, None));
    let first = suggested(&lab, &base);
    assert_eq!((first.allows, first.observes), (0, 1), "{}", first.yaml);
    install(&first).await;
    // Then its requests are seen, and denied still.
    assert_eq!(question(&lab, DEVBOT, EVIL).await, (0, Some([127, 0, 0, 1])));
    let bearer = format!("Bearer {FRESH_STUB}");
    let answer = lab.get(EVIL, "/v1/items", &[("authorization", &bearer)]).await;
    assert_eq!((answer.status, lab.origin.connections()), (403, 0));
    // And that is what is suggested then, with the credential whose stub was presented.
    let second = suggested(&lab, &base);
    assert_eq!((second.allows, second.observes), (1, 0), "{}", second.yaml);
    install(&second).await;
    let answer = lab.get(EVIL, "/v1/items", &[("authorization", &bearer)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let sent = lab.origin.requests().pop().unwrap();
    assert_eq!(sent.header("authorization"), Some(format!("Bearer {REAL}")));
    assert_eq!(lab.get(EVIL, "/v1/other", &[]).await.status, 403, "and nothing more");
}
