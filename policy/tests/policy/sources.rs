//! Every kind of source, as it is written and as it reaches the model.

use std::path::Path;
use std::time::Duration;

use stubgate_policy::secret_source::{
    Endpoint, Exec, GithubApp, Infisical, Oauth, OauthBody, OauthProvider, Vault, VaultAuth,
};
use stubgate_policy::{Authority, Policy, Reading, Scheme, Source};

use crate::support::{errors, policy};

fn text(source: &str) -> String {
    format!(
        "version: 1
agents: {{ a: {{ sources: [\"10.0.0.1/32\"] }} }}
credentials:
  forge: {{ stub: stub-forge-1, slots: [bearer], hosts: [api.forge.example], source: {source} }}
rules:
  - {{ name: r, agents: [a], hosts: [api.forge.example], methods: [GET], credentials: [forge] }}
"
    )
}

fn with(source: &str) -> Policy {
    policy(&text(source))
}

fn reading(source: &str) -> Reading {
    let policy = with(source);
    policy.credential(policy.credential_named("forge").unwrap()).reading().clone()
}

fn read(source: &str) -> Source {
    let Reading { source, json_key, ttl } = reading(source);
    assert_eq!((json_key, ttl), (None, None));
    source
}

fn server(text: &str) -> Authority {
    Authority::parse(Scheme::Https, text.as_bytes()).unwrap()
}

fn file(path: &str) -> Box<Path> {
    Path::new(path).into()
}

const VAULT: &str = "address: \"https://vault.corp.example:8200\", path: agents/github, key: token";

#[test]
fn a_file_and_a_variable_are_what_they_were() {
    assert_eq!(read("{ file: /run/secrets/forge }"), Source::File(file("/run/secrets/forge")));
    assert_eq!(read("{ env: FORGE }"), Source::Env("FORGE".into()));
}

#[test]
fn a_key_and_a_life_stand_beside_kinds_and_a_minted_token_has_no_key() {
    let vault = format!("vault: {{ {VAULT}, auth: {{ token_file: /t }} }}");
    let app = "github_app: { app_id: 1, private_key: { file: /k }, installation: 1 }";
    for kind in ["file: /run/x", "env: X", "exec: [/bin/x]", &vault] {
        let reading = reading(&format!("{{ {kind}, json_key: data.token, ttl_seconds: 300 }}"));
        assert_eq!(reading.json_key.as_deref(), Some("data.token"), "{kind}");
        assert_eq!(reading.ttl, Some(Duration::from_secs(300)), "{kind}");
    }
    for kind in [app, "oauth: { provider: claude }"] {
        assert_eq!(reading(&format!("{{ {kind}, ttl_seconds: 300 }}")).ttl, Some(Duration::from_secs(300)));
    }
}

#[test]
fn a_program_has_its_arguments_and_time() {
    let exec = |arguments: &[&str], seconds| {
        Source::Exec(Box::new(Exec {
            program: file("/usr/local/bin/get-token"),
            arguments: arguments.iter().map(|one| Box::from(*one)).collect(),
            timeout: Duration::from_secs(seconds),
        }))
    };
    assert_eq!(read("{ exec: [/usr/local/bin/get-token] }"), exec(&[], 10));
    let same_twice = read("{ exec: [/usr/local/bin/get-token, -v, -v, \"\", \"a b\"], timeout_seconds: 60 }");
    assert_eq!(same_twice, exec(&["-v", "-v", "", "a b"], 60));
}

#[test]
fn vault_is_reached_in_three_ways() {
    let vault = |namespace: Option<&str>, mount: &str, auth| {
        Source::Vault(Box::new(Vault {
            server: server("vault.corp.example:8200"),
            namespace: namespace.map(Into::into),
            mount: mount.into(),
            path: "agents/github".into(),
            key: "token".into(),
            auth,
        }))
    };
    assert_eq!(
        read(&format!("{{ vault: {{ {VAULT}, namespace: team/one, mount: kv/two, auth: {{ token_file: /t }} }} }}")),
        vault(Some("team/one"), "kv/two", VaultAuth::Token { file: file("/t") })
    );
    let approle = "approle: { role_id_file: /r, secret_id_file: /s }";
    assert_eq!(
        read(&format!("{{ vault: {{ {VAULT}, auth: {{ {approle} }} }} }}")),
        vault(
            None,
            "secret",
            VaultAuth::AppRole { mount: "approle".into(), role_id_file: file("/r"), secret_id_file: file("/s") }
        )
    );
    let kubernetes = "kubernetes: { mount: k8s, role: stubgate, token_file: /t }";
    assert_eq!(
        read(&format!("{{ vault: {{ {VAULT}, auth: {{ {kubernetes} }} }} }}")),
        vault(
            None,
            "secret",
            VaultAuth::Kubernetes { mount: "k8s".into(), role: "stubgate".into(), token_file: file("/t") }
        )
    );
}

#[test]
fn infisical_has_an_address_and_a_folder_by_itself() {
    let infisical = |at: &str, path: &str| {
        Source::Infisical(Box::new(Infisical {
            server: server(at),
            project: "p-1".into(),
            environment: "prod".into(),
            path: path.into(),
            name: "GITHUB_TOKEN".into(),
            client_id_file: file("/i"),
            client_secret_file: file("/s"),
        }))
    };
    let rest = "project: p-1, environment: prod, name: GITHUB_TOKEN, client_id_file: /i, client_secret_file: /s";
    assert_eq!(read(&format!("{{ infisical: {{ {rest} }} }}")), infisical("app.infisical.com", "/"));
    assert_eq!(
        read(&format!("{{ infisical: {{ {rest}, address: \"https://secrets.corp.example/\", path: /team/x }} }}")),
        infisical("secrets.corp.example", "/team/x")
    );
}

#[test]
fn a_github_app_is_narrowed_to_what_is_written() {
    let app = GithubApp {
        server: server("api.github.com"),
        base_path: "".into(),
        app_id: "123".into(),
        private_key: Box::new(Source::File(file("/run/app.pem")).into()),
        installation: 456,
        repositories: Box::default(),
        permissions: Box::default(),
    };
    let head = "app_id: 123, private_key: { file: /run/app.pem }, installation: 456";
    assert_eq!(read(&format!("{{ github_app: {{ {head} }} }}")), Source::GithubApp(Box::new(app.clone())));
    let narrow = "repositories: [site, docs.wiki], permissions: { pull_requests: read, contents: write }";
    let narrowed = GithubApp {
        repositories: ["site".into(), "docs.wiki".into()].into(),
        permissions: [("contents".into(), "write".into()), ("pull_requests".into(), "read".into())].into(),
        ..app
    };
    assert_eq!(read(&format!("{{ github_app: {{ {head}, {narrow} }} }}")), Source::GithubApp(Box::new(narrowed)));
    let own = "{ github_app: { app_id: Iv23liAb, private_key: { exec: [/bin/key], json_key: pem, ttl_seconds: 60 }, \
               installation: 9, address: \"https://github.corp.example:8443/api/v3/\" } }";
    let Source::GithubApp(own) = read(own) else { panic!() };
    assert_eq!((&*own.app_id, &*own.base_path), ("Iv23liAb", "/api/v3"));
    assert_eq!(own.server, server("github.corp.example:8443"));
    assert_eq!(own.private_key.json_key.as_deref(), Some("pem"));
    assert_eq!(own.private_key.ttl, Some(Duration::from_secs(60)));
}

#[test]
fn the_login_of_claude_needs_no_more_than_its_name() {
    let Source::Oauth(oauth) = read("{ oauth: { provider: claude, refresh_stub: refresh-token-stub } }") else {
        panic!()
    };
    let Oauth { login, provider, refresh_stub } = *oauth;
    assert_eq!((&*login, refresh_stub.as_deref()), ("forge", Some("refresh-token-stub")));
    let endpoints: Vec<String> =
        provider.token_endpoints.iter().map(|one| format!("{}{}", one.server, one.path)).collect();
    assert_eq!(
        endpoints,
        ["https://platform.claude.com:443/v1/oauth/token", "https://console.anthropic.com:443/v1/oauth/token"]
    );
    assert_eq!(provider.body, OauthBody::Json);
    assert_eq!(provider.authorization_url.as_deref(), Some("https://claude.com/cai/oauth/authorize"));
    assert_eq!(provider.redirect_uri.as_deref(), Some("https://platform.claude.com/oauth/code/callback"));
    assert_eq!(&*provider.client_id, "9d1c250a-e61b-44d9-88ed-5944d1962f5e");
    assert!(provider.scopes.contains(&"user:inference".into()));
    assert!(!provider.scopes.iter().any(|scope| scope.contains("api_key")), "no token that makes keys");
}

#[test]
fn a_provider_of_ones_own_has_all_that_refreshing_takes() {
    let own = "{ oauth: { login: team, provider: { name: acme, token_url: \"https://id.acme.example/oauth/token\", \
               authorization_url: \"https://id.acme.example/authorize?audience=api\", \
               device_url: \"https://id.acme.example:8443\", redirect_uri: \"http://127.0.0.1:8123/back\", client_id: abc, \
               client_secret_file: /run/acme, scopes: [read, offline_access], body: json } } }";
    let Source::Oauth(oauth) = read(own) else { panic!() };
    assert_eq!((&*oauth.login, &oauth.refresh_stub), ("team", &None));
    let at = |server_text: &str, path: &str| Endpoint { server: server(server_text), path: path.into() };
    assert_eq!(
        oauth.provider,
        OauthProvider {
            name: "acme".into(),
            token_endpoints: [at("id.acme.example", "/oauth/token")].into(),
            authorization_url: Some("https://id.acme.example/authorize?audience=api".into()),
            device_endpoint: Some(at("id.acme.example:8443", "/")),
            redirect_uri: Some("http://127.0.0.1:8123/back".into()),
            client_id: "abc".into(),
            client_secret_file: Some(file("/run/acme")),
            scopes: ["read".into(), "offline_access".into()].into(),
            body: OauthBody::Json,
        }
    );
}

#[test]
fn every_file_and_program_that_a_source_names_is_known() {
    let vault = |auth: &str| format!("{{ vault: {{ {VAULT}, auth: {{ {auth} }} }} }}");
    let app = |key: &str| format!("{{ github_app: {{ app_id: 1, installation: 1, private_key: {key} }} }}");
    let infisical =
        "{ infisical: { project: p, environment: e, name: n, client_id_file: /i, client_secret_file: /s } }";
    let own = "{ oauth: { provider: { name: acme, token_url: \"https://id.acme.example/t\", client_id: a, \
               client_secret_file: /s } } }";
    for (source, files, programs) in [
        ("{ file: /f }".to_owned(), vec!["/f"], vec![]),
        ("{ env: X }".to_owned(), vec![], vec![]),
        ("{ exec: [/bin/x, /etc/passwd] }".to_owned(), vec![], vec!["/bin/x"]),
        (vault("token_file: /t"), vec!["/t"], vec![]),
        (vault("approle: { role_id_file: /r, secret_id_file: /s }"), vec!["/r", "/s"], vec![]),
        (vault("kubernetes: { role: r, token_file: /k }"), vec!["/k"], vec![]),
        (infisical.to_owned(), vec!["/i", "/s"], vec![]),
        (app("{ file: /app.pem }"), vec!["/app.pem"], vec![]),
        (app("{ exec: [/bin/key] }"), vec![], vec!["/bin/key"]),
        (app(&vault("token_file: /t")), vec!["/t"], vec![]),
        ("{ oauth: { provider: claude } }".to_owned(), vec![], vec![]),
        (own.to_owned(), vec!["/s"], vec![]),
    ] {
        let read = read(&source);
        assert_eq!(read.files(), files.iter().map(Path::new).collect::<Vec<_>>(), "{source}");
        assert_eq!(read.programs(), programs.iter().map(Path::new).collect::<Vec<_>>(), "{source}");
    }
}

#[test]
fn a_refresh_stub_is_a_stub_to_whoever_looks_for_stubs() {
    let policy = with("{ oauth: { provider: claude, refresh_stub: refresh-token-stub } }");
    assert_eq!(policy.stubs().collect::<Vec<_>>(), ["refresh-token-stub", "stub-forge-1"]);
}

fn two(one: &str, other: &str, agents: (&str, &str)) -> String {
    format!(
        "version: 1
agents: {{ a: {{ sources: [\"10.0.0.1/32\"] }}, b: {{ sources: [\"10.0.0.2/32\"] }} }}
credentials:
  one: {{ stub: stub-one-1, slots: [bearer], hosts: [x.example.com], source: {{ oauth: {{ provider: claude, {one} }} }} }}
  two: {{ stub: stub-two-2, slots: [bearer], hosts: [x.example.com], source: {{ oauth: {{ provider: claude, {other} }} }} }}
rules:
  - {{ name: one, agents: [{}], hosts: [x.example.com], methods: [GET], credentials: [one] }}
  - {{ name: two, agents: [{}], hosts: [x.example.com], methods: [GET], credentials: [two] }}
",
        agents.0, agents.1
    )
}

#[test]
fn a_refresh_stub_is_told_apart_from_all_others() {
    for (one, other, agents, codes) in [
        ("refresh_stub: refresh-stub", "refresh_stub: refresh-stub", ("a", "b"), vec![]),
        ("refresh_stub: refresh-stub", "refresh_stub: refresh-stub", ("a", "a"), vec!["SG0122"]),
        ("refresh_stub: refresh-stub", "refresh_stub: refresh-stub-2", ("a", "b"), vec!["SG0121"]),
        ("refresh_stub: stub-two-2", "refresh_stub: refresh-stub", ("a", "b"), vec!["SG0121"]),
        ("refresh_stub: stub-one-1", "refresh_stub: refresh-stub", ("a", "b"), vec!["SG0121"]),
        ("refresh_stub: my-stub-one-1", "refresh_stub: refresh-stub", ("a", "b"), vec!["SG0121"]),
        ("refresh_stub: short", "refresh_stub: refresh-stub", ("a", "b"), vec!["SG0120"]),
        ("login: two", "refresh_stub: refresh-stub", ("a", "b"), vec!["SG0128"]),
        ("login: shared", "login: shared", ("a", "b"), vec!["SG0128"]),
        ("login: mine", "login: one", ("a", "b"), vec![]),
    ] {
        assert_eq!(errors(&two(one, other, agents)), codes, "{one} {other} {agents:?}");
    }
}

#[test]
fn times_are_bounded_on_both_sides() {
    for (source, is_good) in [
        ("{ env: X, ttl_seconds: 0 }", false),
        ("{ env: X, ttl_seconds: 1 }", true),
        ("{ env: X, ttl_seconds: 86400 }", true),
        ("{ env: X, ttl_seconds: 86401 }", false),
        ("{ exec: [/bin/x], timeout_seconds: 0 }", false),
        ("{ exec: [/bin/x], timeout_seconds: 1 }", true),
        ("{ exec: [/bin/x], timeout_seconds: 60 }", true),
        ("{ exec: [/bin/x], timeout_seconds: 61 }", false),
    ] {
        let expected: &[&str] = if is_good { &[] } else { &["SG0126"] };
        assert_eq!(errors(&text(source)), expected, "{source}");
    }
}

#[test]
fn a_check_is_a_request_to_a_host_that_the_credential_is_bound_to() {
    let check = |hosts: &str, check: &str| {
        let text = format!(
            "version: 1\nagents: {{ a: {{ sources: [\"10.0.0.1/32\"] }} }}\ncredentials:\n  \
             x: {{ stub: stub-forge-1, slots: [bearer], hosts: [{hosts}], source: {{ env: X }}{check} }}\n"
        );
        policy(&text).credentials()[0].check().map(|check| check.to_string())
    };
    for (hosts, written, expected) in [
        ("a.example", ", check: { url: \"https://a.example\" }", Some("GET https://a.example/")),
        ("a.example", ", check: { url: \"https://a.example?x=1\" }", Some("GET https://a.example/?x=1")),
        ("\"*.a.example\"", ", check: { url: \"https://b.a.example/me\" }", Some("GET https://b.a.example/me")),
        (
            "\"a.example:8443\"",
            ", check: { url: \"https://a.example:8443/me\", method: HEAD }",
            Some("HEAD https://a.example:8443/me"),
        ),
        ("a.example", "", None),
        ("github.com, api.github.com", "", Some("GET https://api.github.com/rate_limit")),
        (
            "api.github.com",
            ", check: { url: \"https://api.github.com/user\" }",
            Some("GET https://api.github.com/user"),
        ),
    ] {
        assert_eq!(check(hosts, written).as_deref(), expected, "{hosts}{written}");
    }
}
