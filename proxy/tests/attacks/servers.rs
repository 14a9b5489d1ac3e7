//! Credentials from servers: Vault, Infisical and GitHub as their documentation has them, asked over real TLS through the
//! appliance's own way out.

mod asked;
mod double;
#[allow(dead_code, reason = "shared with the lab, which asks for more of it")]
mod github;
mod infisical;
mod vault;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Request;
use stubgate_credentials::{HttpClient, Unanswered};
use stubgate_proxy::secrets_client::SecretsClient;
use zeroize::Zeroizing;

use crate::client::{Conn, PATIENCE};
use crate::lab::{DEVBOT, Lab, Setup};
use crate::origin::{Reply, ok};
use asked::Said;
use double::{Authority, Double};
use github::Github;
use infisical::Infisical;
use vault::Vault;

const APPROLE: &str = "vault: { address: \"https://vault.example.test:8200\", namespace: team, path: agents/api, key: token, \
    auth: { approle: { role_id_file: FOLDER/secrets/role, secret_id_file: FOLDER/secrets/secret } } }";
const KUBERNETES: &str = "vault: { address: \"https://vault.example.test:8200\", namespace: team, path: agents/api, key: token, \
    auth: { kubernetes: { role: stubgate, token_file: FOLDER/secrets/account } } }";
const INFISICAL: &str = "infisical: { address: \"https://infisical.example.test\", project: project-1, environment: prod, \
    path: /agents, name: API_TOKEN, client_id_file: FOLDER/secrets/client, client_secret_file: FOLDER/secrets/client_secret }";
const GITHUB: &str = "github_app: { address: \"https://github.example.test/api/v3\", app_id: 12345, installation: 678, \
    private_key: { file: FOLDER/secrets/key }, repositories: [site], permissions: { contents: write } }";

/// The appliance with one credential from there.
async fn lab(source: &str, authority: &Authority, at: &str, double: &Double) -> Lab {
    let policy = format!(
        "version: 1\nagents:\n  devbot: {{ sources: [\"127.0.0.1/32\"] }}\ncredentials:\n  api:\n    stub: proxy-token-api\n    \
         slots: [bearer]\n    hosts: [api.example.test]\n    source: {{ {source} }}\nrules:\n  - name: api\n    agents: [devbot]\n    \
         hosts: [api.example.test]\n    methods: [any]\n    credentials: [api]\n"
    );
    let secrets = vec![
        ("role", "role-of-the-appliance\n".into()),
        ("secret", "secret-of-the-appliance\n".into()),
        ("account", "token.of.account".into()),
        ("client", "identity-of-appliance".into()),
        ("client_secret", "secret-of-identity".into()),
    ];
    Lab::with(Setup {
        policy,
        secrets,
        elsewhere: HashMap::from([(at.to_owned(), double.address)]),
        trusted: authority.pem(),
        ..Setup::default()
    })
    .await
}

const REQUEST: &str = "GET /x HTTP/1.1\r\nhost: api.example.test\r\nauthorization: Bearer proxy-token-api\r\n\r\n";

/// What the origin gets in place of the stub; the reason of the refusal where there is none.
async fn used(lab: &Lab) -> String {
    let mut conn = Conn::sni(lab, "api.example.test", DEVBOT).await;
    let answer = conn.ask(REQUEST).await;
    if answer.status != 200 {
        return answer.reason();
    }
    lab.origin.requests().last().unwrap().header("authorization").unwrap()
}

/// Waits until requests go out with this value.
async fn comes_into_use(lab: &Lab, value: &str) {
    let limit = Instant::now() + Duration::from_secs(15);
    while used(lab).await != value {
        assert!(Instant::now() < limit, "never in use: {value}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Has every source asked, and waits until its server was.
async fn ask_again(lab: &Lab, double: &Double) {
    let before = double.requests();
    lab.appliance.keeper.get().unwrap().ask_all();
    lab.until("the server is asked", || double.requests() > before).await;
}

fn says(lab: &Lab, text: &str) -> bool {
    lab.records().iter().any(|record| record["note"].as_str().is_some_and(|note| note.contains(text)))
}

fn failures(lab: &Lab) -> usize {
    let is_failure = |record: &&serde_json::Value| record["layer"] == "credential" && record["outcome"] == "failed";
    lab.records().iter().filter(is_failure).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_vault_is_used_and_rotated_and_kept_while_vault_is_sealed() {
    for source in [APPROLE, KUBERNETES] {
        let (authority, vault) = (Authority::new(), Vault::default());
        vault.state().value = "value-one-of-vault".into();
        vault.state().lease = Duration::from_secs(3600);
        let answering = vault.clone();
        let double = authority.serve("vault.example.test", move |asked| answering.answer(asked)).await;
        let lab = lab(source, &authority, "vault.example.test:8200", &double).await;
        comes_into_use(&lab, "Bearer value-one-of-vault").await;
        vault.state().value = "value-two-of-vault".into();
        let rotated = Instant::now();
        lab.appliance.keeper.get().unwrap().ask_all();
        comes_into_use(&lab, "Bearer value-two-of-vault").await;
        assert!(rotated.elapsed() < Duration::from_secs(2));
        assert_eq!(vault.state().logins, 1, "one session for both");

        vault.revoke_all();
        vault.state().value = "value-three-of-vault".into();
        lab.appliance.keeper.get().unwrap().ask_all();
        comes_into_use(&lab, "Bearer value-three-of-vault").await;
        assert_eq!(vault.state().logins, 2, "a session that is refused is had anew");

        vault.state().is_sealed = true;
        ask_again(&lab, &double).await;
        lab.until("the failure is recorded", || says(&lab, "the last good value stays in use")).await;
        assert_eq!(used(&lab).await, "Bearer value-three-of-vault");
        vault.state().is_sealed = false;
        vault.state().is_deleted = true;
        let before = failures(&lab);
        ask_again(&lab, &double).await;
        lab.until("that failure is recorded", || failures(&lab) > before).await;
        assert_eq!(used(&lab).await, "Bearer value-three-of-vault", "a deleted version is a failure like others");
        vault.state().is_deleted = false;
        vault.state().value = "value-four-of-vault".into();
        ask_again(&lab, &double).await;
        comes_into_use(&lab, "Bearer value-four-of-vault").await;
        lab.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_its_origin_refuses_has_vault_asked_at_once_and_not_again_for_it() {
    let (authority, vault) = (Authority::new(), Vault::default());
    vault.state().value = "value-one-of-vault".into();
    vault.state().lease = Duration::from_secs(3600);
    let answering = vault.clone();
    let double = authority.serve("vault.example.test", move |asked| answering.answer(asked)).await;
    let lab = lab(APPROLE, &authority, "vault.example.test:8200", &double).await;
    comes_into_use(&lab, "Bearer value-one-of-vault").await;
    lab.origin.answer_bytes("/x", "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
    let marked = || lab.records().iter().filter(|record| record["event"] == "rejected").count();
    let sent = |value: &str| {
        let expected = format!("Bearer {value}");
        lab.origin.requests().iter().any(|seen| seen.header("authorization").as_ref() == Some(&expected))
    };

    vault.state().value = "value-two-of-vault".into();
    let revoked = Instant::now();
    while !sent("value-two-of-vault") {
        assert!(revoked.elapsed() < Duration::from_secs(2), "the next questions are minutes away");
        used(&lab).await;
    }
    assert_eq!((vault.state().reads, marked()), (2, 1));
    // Nothing that Vault has is good there.
    while marked() < 2 {
        assert!(revoked.elapsed() < Duration::from_secs(15), "the second value is never told");
        used(&lab).await;
    }
    lab.until("vault is asked for that one", || vault.state().reads == 3).await;
    for _ in 0..50 {
        used(&lab).await;
    }
    assert_eq!((vault.state().reads, marked()), (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_vault_that_is_short_is_renewed_and_not_had_anew() {
    let (authority, vault) = (Authority::new(), Vault::default());
    vault.state().value = "value-one-of-vault".into();
    vault.state().lease = Duration::from_secs(300);
    let answering = vault.clone();
    let double = authority.serve("vault.example.test", move |asked| answering.answer(asked)).await;
    let lab = lab(APPROLE, &authority, "vault.example.test:8200", &double).await;
    comes_into_use(&lab, "Bearer value-one-of-vault").await;
    // Each question renews it, once it is a second old.
    let renewed = || {
        lab.appliance.keeper.get().unwrap().ask_all();
        vault.state().renewals > 0
    };
    lab.until("the session is renewed", renewed).await;
    assert_eq!(vault.state().logins, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_infisical_is_used_and_rotated() {
    let (authority, infisical) = (Authority::new(), Infisical::default());
    infisical.state().value = "value-one-of-infisical".into();
    let answering = infisical.clone();
    let double = authority.serve("infisical.example.test", move |asked| answering.answer(asked)).await;
    let lab = lab(INFISICAL, &authority, "infisical.example.test:443", &double).await;
    comes_into_use(&lab, "Bearer value-one-of-infisical").await;
    infisical.state().value = "value-two-of-infisical".into();
    lab.appliance.keeper.get().unwrap().ask_all();
    comes_into_use(&lab, "Bearer value-two-of-infisical").await;
    assert_eq!(infisical.state().logins, 1);
    infisical.revoke_all();
    infisical.state().value = "value-three-of-infisical".into();
    lab.appliance.keeper.get().unwrap().ask_all();
    comes_into_use(&lab, "Bearer value-three-of-infisical").await;
    assert_eq!(infisical.state().logins, 2);
}

/// A GitHub, and an appliance whose origin takes its tokens alone, and answers with which one it was.
async fn github(github: &Github) -> (Lab, Double) {
    let authority = Authority::new();
    let answering = github.clone();
    let double = authority.serve("github.example.test", move |asked| answering.answer(asked)).await;
    let lab = lab(GITHUB, &authority, "github.example.test:443", &double).await;
    let accepting = github.clone();
    let accepts = move |header: &str| accepting.accepts(header.strip_prefix("Bearer ")?);
    lab.origin.answer("/x", move |seen| match accepts(&seen.header("authorization").unwrap_or_default()) {
        Some(number) => ok(&number.to_string()),
        None => Reply::Bytes(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".into()),
    });
    // Written last: until then it has failed in a way that it recovers from.
    lab.write_secret("key", &github.private_key);
    lab.appliance.keeper.get().unwrap().ask_all();
    lab.until("there is a token", || github.minted() > 0 && lab.appliance.credentials.available("api")).await;
    (lab, double)
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_app_that_live_six_seconds_are_renewed_while_requests_run_and_none_fails() {
    let app = Github::new(Duration::from_secs(6));
    let (lab, _double) = github(&app).await;
    let lab = Arc::new(lab);
    let until = Instant::now() + Duration::from_secs(15);
    let agents: Vec<_> = (0..3)
        .map(|_| {
            let lab = Arc::clone(&lab);
            tokio::spawn(async move {
                let mut conn = Conn::sni(&lab, "api.example.test", DEVBOT).await;
                let (mut requests, mut tokens) = (0, BTreeSet::new());
                while Instant::now() < until {
                    let answer = conn.ask(REQUEST).await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                    if answer.header("connection").is_some_and(|value| value == "close") {
                        // A connection brings so many requests and then ends.
                        conn = Conn::sni(&lab, "api.example.test", DEVBOT).await;
                    }
                    tokens.insert(answer.text());
                    requests += 1;
                }
                (requests, tokens)
            })
        })
        .collect();
    let (mut requests, mut tokens) = (0, BTreeSet::new());
    for agent in agents {
        let (more, used) = agent.await.unwrap();
        requests += more;
        tokens.extend(used);
    }
    assert!(requests > 100, "{requests}");
    assert!(tokens.len() >= 3, "{tokens:?} of {}", app.minted());
    assert!(app.minted() <= 8, "one at a time, and not before it is time: {}", app.minted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_app_that_can_do_more_than_policy_asks_for_is_not_used() {
    let app = Github::new(Duration::from_secs(3600));
    let (lab, double) = github(&app).await;
    // Asked twice at the start, it may have minted twice.
    let first = number(&used(&lab).await);
    let good = {
        let mut state = app.state();
        state.beyond = Some("administration");
        state.tokens.len()
    };
    ask_again(&lab, &double).await;
    lab.until("the failure is recorded", || says(&lab, "the last good value stays in use")).await;
    assert!(first < good && app.minted() > good);
    assert!(number(&used(&lab).await) < good, "one that can do no more than it was asked for");
    {
        let mut state = app.state();
        (state.beyond, state.refusal) = (None, Some((401, "A JSON web token could not be decoded")));
    }
    let before = failures(&lab);
    ask_again(&lab, &double).await;
    lab.until("that failure is recorded", || failures(&lab) > before).await;
    assert!(number(&used(&lab).await) < good, "the last good one");
    app.state().refusal = None;
    let before = app.minted();
    ask_again(&lab, &double).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while number(&used(&lab).await) < before {
        assert!(tokio::time::Instant::now() < deadline, "a new one comes into use");
    }
}

/// Of a token of the double.
fn number(authorization: &str) -> usize {
    authorization.strip_prefix("Bearer ghs_token_number_").and_then(|number| number.parse().ok()).unwrap()
}

/// With a time for every question.
async fn client(authority: &Authority, at: &str, address: SocketAddr, within: Duration) -> (Lab, SecretsClient) {
    let lab = Lab::with(Setup {
        elsewhere: HashMap::from([(at.to_owned(), address)]),
        trusted: authority.pem(),
        ..Setup::default()
    })
    .await;
    let client = SecretsClient::new(Arc::clone(&lab.appliance.dialer)).within(within);
    (lab, client)
}

fn question(url: &str) -> Request<Zeroizing<Vec<u8>>> {
    Request::post(url).body(Zeroizing::new(b"{\"a\":1}".to_vec())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_sent_and_what_was_lost_are_told_apart() {
    let authority = Authority::new();
    let double = authority
        .serve("vault.example.test", |asked| match asked.target.as_str() {
            "/ok?a=b" => {
                assert_eq!((asked.header("host"), &asked.body["a"]), ("vault.example.test:8200", &1.into()));
                Said::Json(200, "well".into())
            }
            "/longest" => Said::Bytes(200, vec![], vec![b'x'; 1024 * 1024]),
            "/long" => Said::Bytes(200, vec![], vec![b'x'; 1024 * 1024 + 1]),
            "/elsewhere" => {
                Said::Bytes(307, vec![("location", "https://vault.example.test:8200/ok?a=b".into())], vec![])
            }
            "/gone" => Said::Gone,
            _ => Said::Silence,
        })
        .await;
    let (_lab, client) = client(&authority, "vault.example.test:8200", double.address, PATIENCE).await;
    let ask = |path: &str| client.send(question(&format!("https://vault.example.test:8200{path}")));
    let good = ask("/ok?a=b").await.unwrap();
    assert_eq!((good.status().as_u16(), good.body().as_slice()), (200, &b"\"well\""[..]));
    assert_eq!(ask("/longest").await.unwrap().body().len(), 1024 * 1024);
    let before = double.requests();
    assert_eq!(ask("/elsewhere").await.unwrap().status(), 307);
    assert_eq!(double.requests(), before + 1, "a redirect is not followed");
    for (path, expected) in [("/long", "longer than 1048576 bytes"), ("/gone", "the connection ended")] {
        assert_eq!(ask(path).await.err(), Some(Unanswered::Lost(expected.into())), "{path}");
    }
    let plain = client.send(question("http://vault.example.test:8200/ok?a=b")).await.err();
    assert_eq!(plain, Some(Unanswered::NotSent("its address is not https".into())));
    // Long enough to send it.
    let client = client.within(Duration::from_secs(3));
    let silent = client.send(question("https://vault.example.test:8200/never")).await.err();
    assert_eq!(silent, Some(Unanswered::Lost("not within 3 seconds".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_a_server_that_is_not_verified_or_not_at_a_public_address() {
    let authority = Authority::new();
    let double = authority.serve("another.example.test", |_| Said::Json(200, "well".into())).await;
    let (_lab, client) = client(&authority, "vault.example.test:8200", double.address, PATIENCE).await;
    let unsent = async |url: &str| match client.send(question(url)).await.err() {
        Some(Unanswered::NotSent(why)) => why,
        other => panic!("{url}: {other:?}"),
    };
    let why = unsent("https://vault.example.test:8200/x").await;
    assert!(why.starts_with("there is no trusted TLS connection to vault.example.test"), "{why}");
    let why = unsent("https://10.9.8.7:8200/x").await;
    assert!(why.contains("upstream.allow_private"), "{why}");
    let why = unsent("https://169.254.169.254/x").await;
    assert!(why.contains("does not dial by itself"), "{why}");
    let why = unsent(&format!("https://127.0.0.1:{}/x", double.address.port())).await;
    assert!(why.contains("does not dial by itself"), "its own addresses are none to ask: {why}");
    assert_eq!(double.requests(), 0);
    // A port where nobody listens.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_lab, client) = self::client(&authority, "vault.example.test:8200", free, PATIENCE).await;
    match client.send(question("https://vault.example.test:8200/x")).await.err() {
        Some(Unanswered::NotSent(why)) => assert_eq!(why, "https://vault.example.test:8200 can't be reached"),
        other => panic!("{other:?}"),
    }
}
