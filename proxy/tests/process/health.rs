//! How credentials are, as an operator sees it: metrics, `stubgate credential status` and `test`, and notice of an end.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::memory::until;
use crate::site::{HOST, Site, admin};

const SECRET: &str = "real-secret-of-api-Yq3Lw7Vx";

fn stubgate(site: &Site, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stubgate"));
    command.args(["credential"]).args(arguments).arg("--config").arg(site.path("etc/stubgate.yaml"));
    command.env_remove("STUBGATE_LOG").output().unwrap()
}

fn status(site: &Site, operators: SocketAddr, more: &[&str]) -> (Option<i32>, String) {
    let address = operators.to_string();
    let output = stubgate(site, &[&["status", "--admin", &address], more].concat());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// Exit status, and all that it said.
fn test(site: &Site) -> (Option<i32>, String) {
    let output = stubgate(site, &["test", "api"]);
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(!said.contains(SECRET), "{said}");
    (output.status.code(), said)
}

/// Puts more under the credential.
fn amend(site: &Site, more: &str) {
    let policy = site.path("etc/policy/policy.yaml");
    let text = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, text.replace("    slots: [bearer]\n", &format!("    slots: [bearer]\n    {more}\n"))).unwrap();
}

fn check(site: &Site, path: &str) {
    amend(site, &format!("check: {{ url: \"https://{HOST}{path}\" }}"));
}

#[test]
fn the_state_of_a_credential_is_told_by_metrics_and_by_the_command() {
    let site = Site::new(SECRET);
    let mut running = site.start();
    let (_, operators) = running.serving();
    let (code, text) = status(&site, operators, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.starts_with("CREDENTIAL  SOURCE  STATE ") && text.contains("\napi         file    in use  2"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colour where nobody sees it: {text}");
    let metrics = || admin(operators, "/metrics").1;
    // It was read at the start, and maybe once more since.
    let refreshes = "\nstubgate_credential_refreshes_total{credential=\"api\"} ";
    assert!(metrics().contains(refreshes) && !metrics().contains(&format!("{refreshes}0")), "{}", metrics());
    assert!(!metrics().contains("stubgate_credential_expiry_timestamp_seconds{"), "a file tells no end");
    let success = "stubgate_credential_last_success_timestamp_seconds{credential=\"api\"} ";
    let told = metrics().lines().find_map(|line| line.strip_prefix(success).map(str::to_owned)).unwrap();
    assert!(told.parse::<i64>().unwrap().abs_diff(ahead(0)) < 60, "{told}");

    fs::remove_file(site.path("secrets/api")).unwrap();
    running.said("credential api: ");
    let (code, text) = status(&site, operators, &["--json"]);
    let told: Value = serde_json::from_str(&text).unwrap();
    let one = &told["credentials"][0];
    assert_eq!((code, &one["name"], &one["state"]), (Some(1), &"api".into(), &"stale".into()), "{text}");
    assert_eq!(one["last_failure"]["kind"], "unreadable");
    assert!(one["last_failure"]["text"].as_str().unwrap().contains("the last good value stays in use"), "{text}");
    assert!(one["failures"].as_u64().unwrap() >= 1 && one["refreshes"].as_u64().unwrap() >= 1);
    assert!(metrics().contains("stubgate_credential_failures_total{credential=\"api\",kind=\"unreadable\"} "));
    assert!(![text, metrics(), admin(operators, "/credentials").1].concat().contains(SECRET));

    let text = fs::read_to_string(site.path("etc/policy/policy.yaml")).unwrap();
    fs::write(site.path("etc/policy/policy.yaml"), text.replace("api:\n", "other:\n").replace("[api]\n", "[other]\n"))
        .unwrap();
    // What was swapped and scrubbed stays counted: it happened.
    let is_of_api =
        |line: &str| line.contains("{credential=\"api\"") && !line.contains("_swaps_") && !line.contains("_scrubbed_");
    until("its series are gone", || !metrics().lines().any(is_of_api));
    assert!(metrics().contains("stubgate_credential_refreshes_total{credential=\"other\"} 0\n"), "{}", metrics());
    let (code, text) = status(&site, operators, &[]);
    assert!(code == Some(1) && text.contains("\nother       file    no value  -"), "{text}");
}

#[test]
fn whoever_asks_for_the_state_without_an_appliance_is_told_what_to_do() {
    let site = Site::new(SECRET);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let said = |arguments: &[&str]| {
        let output = stubgate(&site, arguments);
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = said(&["status", "--admin", &nobody]);
    assert!(text.contains(&format!("no appliance answers at {nobody}: nothing listens there. Start it")), "{text}");
    let config = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    fs::write(site.path("etc/stubgate.yaml"), config.replace("admin: [\"127.0.0.1:0\"]", "admin: []")).unwrap();
    let text = said(&["status"]);
    assert!(text.contains("has no admin endpoint") && text.contains("write `admin: [\"127.0.0.1:9090\"]`"), "{text}");
}

#[test]
fn a_value_that_its_source_does_not_renew_is_told_of_ahead_of_its_end() {
    let site = Site::new(SECRET);
    let answer = site.path("secrets/answer");
    let program = site.write_program("get-token", &format!("exec cat {}", answer.display()));
    site.write_source(&format!("{{ exec: [\"{program}\"] }}"));
    let mut running = site.start();
    let (_, operators) = running.serving();
    running.said("credential api: ");
    // An hour and a little from now.
    let end = ahead(3605);
    fs::write(&answer, format!("{{\"value\": \"{SECRET}\", \"expires_at\": {end}}}")).unwrap();
    running.signal(rustix::process::Signal::HUP);
    running.said("credential has a new value");
    let metrics = || admin(operators, "/metrics").1;
    assert!(
        metrics().contains(&format!("\nstubgate_credential_expiry_timestamp_seconds{{credential=\"api\"}} {end}\n"))
    );
    assert!(metrics().contains("\nstubgate_credentials_ending 0\n"));
    let said = running.said("credential ends in less than 1 hour");
    assert_eq!(said["credential"], "api");
    let refreshes = "stubgate_credential_refreshes_total{credential=\"api\"} ";
    let refreshes: u64 = metrics().lines().find_map(|line| line.strip_prefix(refreshes)?.parse().ok()).unwrap();
    assert!(refreshes >= 2, "its source was asked for a better one first");
    assert!(metrics().contains("\nstubgate_credentials_ending 1\n"));
    let records = site.audit();
    let told: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<&Value> = told.iter().filter(|record: &&Value| record["event"] == "expiring").collect();
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["layer"], &told[0]["credential"]), (&"credential".into(), &"api".into()));
    assert!(
        told[0]["note"].as_str().unwrap().contains("in less than 1 hour; its source gives nothing that ends later")
    );
    let (code, text) = status(&site, operators, &[]);
    assert!(code == Some(0) && text.contains("  ends in less than 1 hour, and its source gives nothing"), "{text}");
    assert!(![records, text, metrics()].concat().contains(SECRET));
}

#[test]
fn a_credential_is_tried_at_its_check_and_the_answer_is_explained() {
    for (path, code, said) in [
        ("/status/204", 0, "answers 204 No Content: the credential works"),
        ("/status/401", 1, "answers 401 Unauthorized: the origin refuses the credential"),
        ("/status/403", 1, "answers 403 Forbidden: the origin knows the credential, which lacks the right"),
        ("/status/302", 1, "answers 302 Found: the origin sends elsewhere, which is not followed"),
    ] {
        let site = Site::new(SECRET);
        check(&site, path);
        let (status, text) = test(&site);
        assert!(text.contains(said) && text.contains(&format!("GET https://{HOST}{path}")), "{text}");
        assert!(!text.contains("hi\n"), "no body: {text}");
        assert_eq!(status, Some(code), "{text}");
        assert_eq!(*site.origin.shown.lock().unwrap(), [SECRET], "once");
    }
}

#[test]
fn a_credential_goes_nowhere_but_to_its_verified_host() {
    // Another host.
    let site = Site::new(SECRET);
    amend(&site, "check: { url: \"https://api.example.org/\" }");
    let (code, text) = test(&site);
    assert!(code == Some(1) && text.contains("error[SG0137]"), "{text}");
    // A certificate that nobody vouches for.
    let site = Site::new(SECRET);
    check(&site, "/x");
    let config = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    fs::write(site.path("etc/stubgate.yaml"), config.replace("  ca_files: [../internet.pem]\n", "")).unwrap();
    let (code, text) = test(&site);
    assert!(code == Some(1) && text.contains("there is no trusted TLS connection"), "{text}");
    assert!(site.origin.shown.lock().unwrap().is_empty());
    // No check.
    let (code, text) = test(&Site::new(SECRET));
    assert!(code == Some(1) && text.contains("has no check, and none is known for its hosts: write `check:"), "{text}");
}

#[test]
fn a_credential_is_tried_with_what_its_program_gives_and_a_source_that_gives_nothing_is_said() {
    let site = Site::new(SECRET);
    let program = site.write_program("get-token", &format!("exec cat {}", site.path("secrets/api").display()));
    site.write_source(&format!("{{ exec: [\"{program}\"] }}"));
    check(&site, "/status/200");
    assert_eq!(test(&site).0, Some(0));
    assert_eq!(*site.origin.shown.lock().unwrap(), [SECRET]);
    fs::remove_file(site.path("secrets/api")).unwrap();
    let (code, text) = test(&site);
    assert!(code == Some(1) && text.contains(&format!("program {program} ended with status 1")), "{text}");
    site.write_source("{ env: STUBGATE_TEST_UNSET }");
    check(&site, "/status/200");
    let (code, text) = test(&site);
    assert!(code == Some(1) && text.contains("is not set (the appliance has an environment of its own"), "{text}");
}

/// Seconds since 1970, so many from now.
fn ahead(seconds: i64) -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() + seconds
}

/// A policy whose credential is a login, with a check.
fn write_login(site: &Site) {
    let provider = "{ name: acme, token_url: \"https://api.example.test/v1/oauth/token\", client_id: c, body: json }";
    site.write_source(&format!("{{ oauth: {{ provider: {provider}, login: team }} }}"));
    check(site, "/status/200");
}

/// Puts a login in escrow whose access token ends then, and maybe its refresh token.
fn log_in(site: &Site, ends: i64, more: &str) {
    let login = format!(
        r#"{{"claudeAiOauth":{{"accessToken":"{SECRET}","refreshToken":"real-refresh-of-team","expiresAt":{ends}000{more},"scopes":[]}}}}"#
    );
    fs::write(site.path("login.json"), login).unwrap();
    let mut import = Command::new(env!("CARGO_BIN_EXE_stubgate"));
    import.args(["login", "acme", "--config"]).arg(site.path("etc/stubgate.yaml"));
    assert!(import.arg("--import").arg(site.path("login.json")).output().unwrap().status.success());
}

#[test]
fn a_login_is_tried_with_the_token_that_it_has_and_never_refreshed() {
    let site = Site::new(SECRET);
    write_login(&site);
    let (code, text) = test(&site);
    assert!(code == Some(1) && text.contains("nobody has logged in yet: stubgate login acme --name team"), "{text}");
    for (ends, expected) in [(36_000, Some(0)), (-60, Some(1))] {
        log_in(&site, ahead(ends), "");
        let (code, text) = test(&site);
        assert_eq!(code, expected, "{text}");
        assert_eq!(text.contains("only the appliance refreshes it"), ends < 0, "{text}");
        assert_eq!(*site.origin.shown.lock().unwrap(), [SECRET], "shown once, and no refresh token ever");
    }
}

#[test]
fn a_login_whose_refresh_token_ends_is_told_of_also_where_its_access_token_is_renewed() {
    let site = Site::new(SECRET);
    write_login(&site);
    let mut running = site.start();
    let (_, operators) = running.serving();
    let end = ahead(3605);
    log_in(&site, ahead(1800), &format!(",\"refreshTokenExpiresAt\":{end}000"));
    running.said("credential has a new value");
    assert_eq!(running.said("credential ends in less than 1 hour")["credential"], "api");
    let series = format!("\nstubgate_credential_expiry_timestamp_seconds{{credential=\"api\"}} {end}\n");
    assert!(admin(operators, "/metrics").1.contains(&series), "not the end of its access token");
    let (code, text) = status(&site, operators, &[]);
    assert!(code == Some(0) && text.contains("  login team: ok, generation 1\n"), "{text}");
    assert!(!text.contains(SECRET) && !text.contains("real-refresh"), "{text}");
}
