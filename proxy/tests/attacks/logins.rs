//! The token endpoint of a login in escrow (DESIGN's *answer*): agents that refresh get their stubs again, nothing of it is
//! forwarded, and nothing real comes in.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use stubgate_credentials::{Fetched, Secret};
use zeroize::Zeroizing;

use crate::client::{Answer, Conn, tcp, tls};
use crate::lab::{DEVBOT, Lab, OTHERBOT, POLICY, Setup};

const TOKENS: &str = "platform.claude.com";
const REFRESH: &str = "refresh-token-stub";
const ACCESS: &str = "access-token-stub";
const REAL_ACCESS: &str = "sk-ant-oat01-real-access-token-0123456789";

fn policy(deny: &str) -> String {
    let logins = "credentials:\n  claude:\n    stub: access-token-stub\n    slots: [bearer]\n    hosts: [api.anthropic.com]\n    \
                  source: { oauth: { provider: claude, refresh_stub: refresh-token-stub } }\n  \
                  others:\n    stub: access-others-stub\n    slots: [bearer]\n    hosts: [api.anthropic.com]\n    \
                  source: { oauth: { provider: claude, refresh_stub: refresh-others-stub } }\n";
    let rules = format!(
        "rules:\n  - {{ name: model, agents: [devbot], hosts: [api.anthropic.com], methods: [POST], credentials: [claude] }}\n  \
         - {{ name: model-of-others, agents: [lockedbot], hosts: [api.anthropic.com], methods: [POST], credentials: [others] }}\n{deny}"
    );
    POLICY.replacen("credentials:\n", logins, 1).replacen("rules:\n", &rules, 1)
}

async fn lab(deny: &str) -> Lab {
    Lab::with(Setup { policy: policy(deny), ..Setup::default() }).await
}

/// As the keeper would, once the escrow has refreshed it.
fn has_a_token(lab: &Lab) {
    let snapshot = lab.appliance.snapshot.load();
    let id = snapshot.policy.credential_named("claude").unwrap();
    let secret = Secret::new(Zeroizing::new(REAL_ACCESS.into())).ok().unwrap();
    let fetched = Fetched { secret, expires: Some(SystemTime::now() + Duration::from_secs(600)) };
    lab.appliance.credentials.put("claude", snapshot.policy.credential(id).reading(), fetched);
}

async fn post(lab: &Lab, host: &str, kind: &str, body: &str) -> Answer {
    let mut conn = Conn::sni(lab, host, DEVBOT).await;
    let length = body.len();
    let head = format!(
        "POST /v1/oauth/token HTTP/1.1\r\nhost: {host}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    conn.ask(&format!("{head}{body}")).await
}

/// As Claude Code 2.1.329 writes it.
fn refresh(token: &str) -> String {
    json!({
        "grant_type": "refresh_token",
        "refresh_token": token,
        "client_id": "9d1c250a-e61b-44d9-88ed-5944d1962f5e",
        "scope": "user:profile user:inference",
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_with_the_stub_gets_the_stubs_again() {
    let lab = lab("").await;
    has_a_token(&lab);
    let form = format!("grant_type=refresh_token&refresh_token={REFRESH}&scope=user%3Aprofile+user%3Ainference");
    for host in [TOKENS, "console.anthropic.com"] {
        for (kind, body) in
            [("application/json", refresh(REFRESH)), ("application/x-www-form-urlencoded; charset=utf-8", form.clone())]
        {
            let answer = post(&lab, host, kind, &body).await;
            assert_eq!(answer.status, 200, "{host} {kind}: {}", answer.text());
            assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
            let said: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((&said["access_token"], &said["refresh_token"]), (&ACCESS.into(), &REFRESH.into()));
            assert_eq!(
                (&said["token_type"], &said["scope"]),
                (&"Bearer".into(), &"user:profile user:inference".into())
            );
            assert!(said["expires_in"].as_u64().unwrap() > 3600, "clients refresh five minutes ahead");
        }
    }
    assert_eq!(lab.origin.requests().len(), 0, "nothing of it is forwarded");
    let answered = |record: &&Value| record["event"] == "answered" && record["credential"] == "claude";
    assert_eq!(lab.records().iter().filter(answered).count(), 4);
    lab.is_well("a refresh").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_body_comes_after_a_reload_is_decided_by_what_is_in_force_then() {
    let lab = lab("").await;
    has_a_token(&lab);
    let body = refresh(REFRESH);
    let mut conn = Conn::sni(&lab, TOKENS, DEVBOT).await;
    conn.send(format!(
        "POST /v1/oauth/token HTTP/1.1\r\nhost: {TOKENS}\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    ))
    .await;
    assert_eq!(conn.head().await.status, 100, "it was decided, and its body is waited for");
    let without = policy("").replacen("model, agents: [devbot]", "model, agents: [otherbot]", 1);
    assert_eq!(lab.reload(&without).await, "taken");
    conn.send(&body).await;
    let answer = conn.answer(false).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(!lab.records().iter().any(|record| record["event"] == "answered"));
    lab.is_well("a late body").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_minted_stubs_count_a_refresh_mints_one_that_the_agent_can_use_and_no_other() {
    let policy = policy("")
        .replacen("    stub: access-token-stub\n", "    stub: access-token-stub\n    minted_only: true\n", 1)
        .replacen(
            "agents: [devbot], hosts: [api.anthropic.com]",
            "agents: [devbot, otherbot], hosts: [api.anthropic.com]",
            1,
        );
    let lab = Lab::with(Setup { policy, ..Setup::default() }).await;
    has_a_token(&lab);
    let mut stubs = Vec::new();
    for _ in 0..2 {
        let answer = post(&lab, TOKENS, "application/json", &refresh(REFRESH)).await;
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &said["refresh_token"]), (200, &REFRESH.into()));
        stubs.push(said["access_token"].as_str().unwrap().to_owned());
    }
    assert!(stubs[0].starts_with("sk-ant-oat01-SGM") && stubs[0] != stubs[1], "{stubs:?}");
    for (from, stub, status, reason) in [
        (DEVBOT, &*stubs[0], 200, ""),
        (DEVBOT, &*stubs[1], 200, ""),
        (DEVBOT, ACCESS, 403, "stub_not_granted"),
        (OTHERBOT, &*stubs[0], 403, "stub_of_other_agent"),
    ] {
        let mut conn = Conn::sni(&lab, "api.anthropic.com", from).await;
        let head = format!("POST /v1/messages HTTP/1.1\r\nhost: api.anthropic.com\r\nauthorization: Bearer {stub}\r\n");
        let answer = conn.ask(&format!("{head}content-length: 0\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{from} {stub}");
        if status == 403 {
            assert_eq!(answer.reason(), reason, "{from} {stub}");
        }
    }
    let seen = lab.origin.requests();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some(format!("Bearer {REAL_ACCESS}"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deny_rule_does_not_reach_what_is_answered_here() {
    let deny =
        "  - { name: closed, effect: deny, agents: [\"*\"], hosts: [any], methods: [any], paths: [\"/v1/**\"] }\n";
    let lab = lab(deny).await;
    has_a_token(&lab);
    assert_eq!(post(&lab, TOKENS, "application/json", &refresh(REFRESH)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_a_good_token_is_not_there_for_a_while_and_never_an_invalid_grant() {
    let lab = lab("").await;
    let answer = post(&lab, TOKENS, "application/json", &refresh(REFRESH)).await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(said["error"], "temporarily_unavailable");
    assert!(lab.records().iter().any(|record| record["event"] == "answered" && record["status"] == 503));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_else_is_asked_there_is_refused() {
    let lab = lab("").await;
    has_a_token(&lab);
    let code = json!({ "grant_type": "authorization_code", "code": "abc", "code_verifier": "x", "client_id": "y" });
    for (what, kind, body, status, reason) in [
        ("a person's consent", "application/json", code.to_string(), 403, "login_in_escrow"),
        ("a token of its own", "application/json", refresh("sk-ant-ort01-own"), 403, "login_in_escrow"),
        ("the other stub", "application/json", refresh(ACCESS), 403, "stub_not_granted"),
        ("another agent's stub", "application/json", refresh("refresh-others-stub"), 403, "stub_not_granted"),
        ("no JSON", "application/json", "{".to_owned(), 400, "bad_request"),
        ("a list", "application/json", format!("[{}]", refresh(REFRESH)), 400, "bad_request"),
        ("no type", "text/plain", refresh(REFRESH), 400, "bad_request"),
        ("too much", "application/json", format!("{}{}", refresh(REFRESH), " ".repeat(70_000)), 400, "bad_request"),
    ] {
        let answer = post(&lab, TOKENS, kind, &body).await;
        assert_eq!((answer.status, &*answer.reason()), (status, reason), "{what}: {}", answer.text());
        assert!(!answer.text().contains("invalid_grant"), "{what}");
    }
    let metrics = lab.metrics();
    assert!(metrics.contains("stubgate_tripwires_total{reason=\"stub_not_granted\"} 2"), "{metrics}");
    let mut conn = Conn::sni(&lab, TOKENS, DEVBOT).await;
    let answer = conn.ask(&format!("GET /v1/oauth/hello HTTP/1.1\r\nhost: {TOKENS}\r\n\r\n")).await;
    assert_eq!((answer.status, &*answer.reason()), (403, "host_not_allowed"), "the rest of the host is for rules");
    let mut conn = Conn::sni(&lab, TOKENS, DEVBOT).await;
    let head = format!("POST /v1/oauth/token HTTP/1.1\r\nhost: {TOKENS}\r\nauthorization: Bearer {ACCESS}\r\n");
    let answer = conn.ask(&format!("{head}content-length: 0\r\n\r\n")).await;
    assert_eq!(&*answer.reason(), "stub_out_of_slot");
    assert_eq!(lab.origin.requests().len(), 0);
    lab.is_well("a login").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_no_rule_grants_the_login_does_not_even_reach_the_host() {
    let lab = lab("").await;
    has_a_token(&lab);
    assert!(tls(tcp(lab.addresses.https[0], OTHERBOT).await, &lab.h1, TOKENS).await.is_err());
    assert_eq!(lab.refusals(), ["connect_not_allowed"]);
}
