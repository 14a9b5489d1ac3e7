//! Logins in escrow under the lock-down: put there while the appliance runs, and kept by it.

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::site::{Agent, Site};

const SECRET: &str = "real-secret-of-api-0123456789";

const CLAUDE: &str = "claude";
const OWN: &str = "{ name: acme, token_url: \"https://api.example.test/v1/oauth/token\", \
                   device_url: \"https://api.example.test/v1/oauth/device\", client_id: c, body: json }";

/// A site whose credential is a login of this provider.
fn site(provider: &str) -> Site {
    let site = Site::with(SECRET, "process: { require_lockdown: true }");
    let policy = site.path("etc/policy/policy.yaml");
    let text = fs::read_to_string(&policy).unwrap();
    let source = format!("{{ file: {} }}", site.path("secrets/api").display());
    assert!(text.contains(&source), "{text}");
    fs::write(&policy, text.replace(&source, &format!("{{ oauth: {{ provider: {provider}, login: team }} }}")))
        .unwrap();
    site
}

/// `stubgate login PROVIDER --import` of a file with this access token, which ends so many seconds from now.
fn import(site: &Site, provider: &str, access: &str, ends: i64) -> Output {
    import_with(site, provider, access, ends, "user:inference")
}

fn import_with(site: &Site, provider: &str, access: &str, ends: i64, scope: &str) -> Output {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let file = site.path("credentials.json");
    let text = format!(
        r#"{{"claudeAiOauth":{{"accessToken":"{access}","refreshToken":"real-refresh-{access}","expiresAt":{},"scopes":["{scope}"]}}}}"#,
        now + ends * 1000
    );
    fs::write(&file, text).unwrap();
    login(site, provider).arg("--import").arg(file).output().unwrap()
}

/// `stubgate login PROVIDER`.
fn login(site: &Site, provider: &str) -> Command {
    let mut login = Command::new(env!("CARGO_BIN_EXE_stubgate"));
    login.args(["login", provider, "--config"]).arg(site.path("etc/stubgate.yaml"));
    login
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asks until the origin is shown this.
fn shows(site: &Site, proxy: std::net::SocketAddr, token: &str) {
    let client = site.client();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let _ = Agent::connect(proxy, &client).and_then(|mut agent| agent.get());
        if site.origin.shown.lock().unwrap().last().is_some_and(|shown| shown == token) {
            return;
        }
        assert!(Instant::now() < deadline, "{:?}", site.origin.shown.lock().unwrap());
    }
}

#[test]
fn a_login_that_is_made_while_the_appliance_runs_is_taken_and_replaced() {
    let site = site(CLAUDE);
    let mut running = site.start();
    let (proxy, _) = running.serving();
    let text = said(&import(&site, "claude", "access-one-0123", 36_000));
    assert!(text.contains("the login team of claude is in escrow, generation 1 (user:inference)"), "{text}");
    assert!(text.contains("two holders of one login break it"), "{text}");
    assert!(!text.contains("access-one"), "{text}");
    shows(&site, proxy, "access-one-0123");
    assert!(said(&import(&site, "claude", "access-two-0123", 36_000)).contains("generation 2"));
    shows(&site, proxy, "access-two-0123");
}

#[test]
fn a_login_is_refreshed_under_the_lock_down_and_no_file_holds_a_token() {
    let site = site(OWN);
    let text = said(&login(&site, "acme").output().unwrap());
    assert!(text.starts_with("open https://api.example.test/device and type ABCD-EFGH\n"), "{text}");
    let mut running = site.start();
    let (proxy, _) = running.serving();
    shows(&site, proxy, "access-after-real-refresh-access-one-0123");
    assert_eq!(running.said("refreshed a login")["generation"], 2);
    let shown = site.origin.shown.lock().unwrap().clone();
    assert_eq!(shown.iter().filter(|token| token.starts_with("real-refresh")).count(), 1, "{shown:?}");
    for file in fs::read_dir(site.path("state/escrow")).unwrap().flatten() {
        let bytes = fs::read(file.path()).unwrap();
        assert!(!bytes.windows(8).any(|part| part == b"access-o" || part == b"real-ref"), "{:?}", file.path());
    }
}

#[test]
fn a_token_that_its_origin_refuses_is_refreshed_ahead_of_time_and_agents_can_not_have_refreshes_at_will() {
    let site = site(OWN);
    said(&login(&site, "acme").output().unwrap());
    let mut running = site.start();
    let (proxy, _) = running.serving();
    let first = "access-after-real-refresh-access-one-0123";
    shows(&site, proxy, first);
    assert_eq!(running.said("refreshed a login")["generation"], 2);
    let next = "access-after-next-real-refresh-access-one-0123";
    site.origin.refused.lock().unwrap().extend([first.into(), next.into()]);
    let mut agent = Agent::connect(proxy, &site.client()).unwrap();
    assert_eq!(agent.get().unwrap(), 401, "it goes to the agent as it is");
    assert_eq!(running.said("an origin answers 401")["credential"], "api");
    assert_eq!(running.said("refreshed a login")["generation"], 3);
    shows(&site, proxy, next);
    // Each pair that was had would be another one to be refused.
    for _ in 0..300 {
        assert_eq!(agent.get().unwrap(), 401);
    }
    let shown = site.origin.shown.lock().unwrap().clone();
    let refreshes = shown.iter().filter(|token| token.starts_with("real-refresh") || token.starts_with("next"));
    assert_eq!(refreshes.count(), 2, "{shown:?}");
    let told = site.audit().lines().filter(|line| line.contains("\"event\":\"rejected\"")).count();
    assert_eq!(told, 1);
}

#[test]
fn a_file_of_another_provider_or_with_more_rights_than_are_needed_is_refused_with_what_to_do() {
    let (of_claude, of_acme) = (site(CLAUDE), site(OWN));
    let refused = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && !text.contains("access-one"), "{text}");
        text
    };
    let text = refused(&import(&of_acme, "acme", "access-one-0123", 36_000));
    assert!(text.contains("would be sent to acme: log in with `stubgate login acme`, without --import"), "{text}");
    let text = refused(&import_with(&of_claude, "claude", "access-one-0123", 36_000, "org:create_api_key"));
    assert!(text.contains("good for org:create_api_key, which"), "{text}");
    assert!(text.contains("log in with `stubgate login claude`"), "{text}");
    let file = of_claude.path("another.json");
    fs::write(&file, r#"{"access_token":"access-one-0123","refresh_token":"real-refresh"}"#).unwrap();
    let text = refused(&login(&of_claude, "claude").arg("--import").arg(file).output().unwrap());
    assert!(text.contains("there is no `claudeAiOauth`; take the .credentials.json"), "{text}");
    assert!(of_acme.origin.shown.lock().unwrap().is_empty());
}

#[test]
fn a_name_that_the_policy_uses_for_another_provider_is_refused() {
    let site = site(OWN);
    let mut login = Command::new(env!("CARGO_BIN_EXE_stubgate"));
    login.args(["login", "claude", "--name", "team", "--import", "/nowhere", "--config"]);
    let output = login.arg(site.path("etc/stubgate.yaml")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        text.contains("the policy uses the login team for acme: choose another one for claude with --name"),
        "{text}"
    );
}
