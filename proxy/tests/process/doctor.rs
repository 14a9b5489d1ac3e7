//! `stubgate doctor` and `stubgate support-bundle`, beside an appliance and without one.

use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::site::{Agent, HOST, Running, Site};

const SECRET: &str = "planted-in-a-file-0123456789";

/// A site whose listeners have ports that others can be told.
fn site() -> Site {
    let site = Site::new(SECRET);
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    let config = config
        .replace("proxy: [\"127.0.0.1:0\"]", &format!("proxy: [\"127.0.0.1:{}\"]", port()))
        .replace("admin: [\"127.0.0.1:0\"]", &format!("admin: [\"127.0.0.1:{}\"]", port()));
    fs::write(site.path("etc/stubgate.yaml"), config).unwrap();
    fs::set_permissions(site.path("secrets/api"), PermissionsExt::from_mode(0o600)).unwrap();
    site
}

fn run(site: &Site, command: &str, more: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_stubgate"));
    program.arg(command).arg("--config").arg(site.path("etc/stubgate.yaml")).args(more);
    program.env("PLANTED", "planted-in-the-environment").output().unwrap()
}

fn checks(site: &Site, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = run(site, "doctor", &[&["--format", "json"], more].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let all: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {output:?}"));
    assert_eq!(all["version"], 1);
    (output.status.code(), all["checks"].as_array().unwrap().clone())
}

/// Every check has its row in the documentation.
fn documented(checks: &[Value]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = fs::read_to_string(path).unwrap();
    for check in checks {
        let name = check["check"].as_str().unwrap();
        assert!(text.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
}

/// What a check says, whatever it says of others of its kind.
#[track_caller]
fn graded(checks: &[Value], check: &str, grade: &str, part: &str) {
    let is_it =
        |one: &&Value| one["check"] == check && one["grade"] == grade && one["what"].as_str().unwrap().contains(part);
    assert!(checks.iter().any(|one| is_it(&one)), "no {check} {grade} {part}: {checks:#?}");
}

#[test]
fn without_an_appliance_it_says_what_is_missing_and_beside_one_how_that_stands() {
    let site = site();
    let (code, alone) = checks(&site, &["--offline"]);
    assert_eq!(code, Some(0), "{alone:#?}");
    graded(&alone, "appliance", "warn", "nobody answers");
    graded(&alone, "ca", "warn", "there is none yet");
    graded(&alone, "state", "warn", "is not there");
    graded(&alone, "listen.proxy", "ok", "is free");
    graded(&alone, "credentials", "ok", "api comes from file");
    assert!(!site.path("state").exists(), "it only looks");

    let mut running: Running = site.start();
    running.serving();
    let (code, beside) = checks(&site, &[]);
    graded(&beside, "appliance", "ok", "ready, version");
    graded(&beside, "listen.proxy", "ok", "is served");
    graded(&beside, "ca", "ok", "days");
    graded(&beside, "ca.key", "ok", "");
    graded(&beside, "state", "ok", "");
    graded(&beside, "secrets", "ok", "");
    graded(&beside, "credentials", "ok", "api, from file, is in use");
    graded(&beside, "kernel.seccomp", "ok", "");
    graded(&beside, "upstream", "ok", &format!("https://{HOST}:443 answers 200"));
    assert!(site.origin.shown.lock().unwrap().iter().all(|shown| shown.is_empty()), "asked without a credential");
    documented(&beside);
    // Nobody is at the nameserver that this configuration has.
    graded(&beside, "resolvers", "bad", "127.0.0.1:9");
    assert_eq!(code, Some(1));

    let key = site.path("state/ca/key.pem");
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    fs::set_permissions(site.path("secrets/api"), PermissionsExt::from_mode(0o644)).unwrap();
    let (code, open) = checks(&site, &["--offline"]);
    graded(&open, "state.keys", "bad", "644");
    graded(&open, "ca", "bad", "644");
    fs::copy(&key, site.path("state/ca/0123456789abcdef.key.pem")).unwrap();
    graded(&checks(&site, &["--offline"]).1, "state.keys", "bad", "0123456789abcdef.key.pem");
    documented(&open);
    graded(&open, "secrets", "warn", "every user");
    assert_eq!(code, Some(1));
    running.stop();
    fs::set_permissions(site.path("secrets/api"), PermissionsExt::from_mode(0o600)).unwrap();
    let written = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    fs::write(site.path("secrets/database"), "word").unwrap();
    fs::set_permissions(site.path("secrets/database"), PermissionsExt::from_mode(0o644)).unwrap();
    let store = "{ postgres: { host: db.example, database: d, user: u, password_file: ../secrets/database } }";
    let more = format!("escrow: {{ store: {store}, key: {{ file: ../secrets/none }} }}\n");
    fs::write(site.path("etc/stubgate.yaml"), format!("{written}{more}")).unwrap();
    graded(&checks(&site, &["--offline"]).1, "secrets", "warn", "secrets/database");
    fs::write(site.path("etc/stubgate.yaml"), written).unwrap();
    let _taken = TcpListener::bind(address(&site, "proxy")).unwrap();
    graded(&checks(&site, &["--offline"]).1, "listen.proxy", "bad", "is taken");

    fs::remove_file(site.path("secrets/api")).unwrap();
    fs::write(site.path("etc/policy/policy.yaml"), "version: 1\nrulez: []\n").unwrap();
    graded(&checks(&site, &["--offline"]).1, "policy", "bad", "rulez");
    let human = run(&site, "doctor", &["--offline"]);
    let text = String::from_utf8_lossy(&human.stdout);
    assert!(text.contains("bad   policy") && text.contains("→ ") && !text.contains('\x1b'), "{text}");
    fs::remove_file(site.path("etc/stubgate.yaml")).unwrap();
    assert_eq!(run(&site, "doctor", &[]).status.code(), Some(2));
}

fn address(site: &Site, key: &str) -> String {
    let config = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    let rest = config.split(&format!("{key}: [\"")).nth(1).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// All that is in a bundle, unpacked.
fn unpacked(bundle: &Path) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(fs::File::open(bundle).unwrap()).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_support_bundle_holds_no_secret_of_any_kind_is_nobody_elses_and_replaces_nothing() {
    let site = site();
    let program = site.write_program("get-token", "echo planted-by-a-program");
    let policy = format!(
        "version: 1\n# planted-in-a-comment\nagents:\n  devbot: {{ sources: [\"127.0.0.1/32\"] }}\ncredentials:\n  api:\n    stub: \
         proxy-token-planted-stub\n    slots: [bearer, \"header:x-planted-slot\"]\n    hosts: [{HOST}]\n    source: {{ file: {}/api }}\n    check: {{ url: \
         \"https://{HOST}/planted-in-a-check\" }}\n  env:\n    stub: proxy-token-env\n    slots: [bearer]\n    hosts: [env.example]\n    \
         source: {{ env: PLANTED }}\n  exec:\n    stub: proxy-token-exec\n    slots: [bearer]\n    hosts: [exec.example]\n    source: {{ exec: \
         [\"{program}\", \"--token\", \"planted-in-an-argument\", \"https://user:planted-userinfo@exec.example/\"] }}\nrules:\n  - name: api\n    \
         agents: [devbot]\n    hosts: [{HOST}]\n    methods: [GET]\n    paths: [\"/x\", \"/planted-in-a-path/**\"]\n    credentials: [api]\n",
        site.path("secrets").display()
    );
    fs::write(site.path("etc/policy/policy.yaml"), &policy).unwrap();
    let mut command = site.program();
    command.env("PLANTED", "planted-in-the-environment");
    let mut running = Running::start(command);
    let (proxy, _) = running.serving();
    let config = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    fs::write(site.path("etc/stubgate.yaml"), format!("# planted-in-the-configuration\n{config}")).unwrap();
    // What an agent asks for is in the records.
    let client = site.client();
    let mut agent = Agent::connect(proxy, &client).unwrap();
    let _ = agent.get();
    let refused =
        "GET http://planted-in-a-host.example/planted-in-a-request HTTP/1.1\r\nhost: planted-in-a-host.example\r\n\r\n";
    let mut plain = std::net::TcpStream::connect(proxy).unwrap();
    std::io::Write::write_all(&mut plain, refused.as_bytes()).unwrap();
    let _ = plain.read(&mut [0; 1024]).unwrap();
    assert!(site.audit().contains("planted-in-a-request"), "it is there to be leaked");

    for (number, more) in [&["--offline"][..], &["--offline", "--hashes"]].into_iter().enumerate() {
        let path = site.path(&format!("bundle-{number}.tar.gz"));
        let at = path.display().to_string();
        let output = run(&site, "support-bundle", &[&["-o", &at], more].concat());
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        let text = unpacked(&path);
        for name in [
            "versions.json",
            "config.json",
            "policy.json",
            "doctor.json",
            "metrics.txt",
            "credentials.json",
            "audit.jsonl",
        ] {
            assert!(said.contains(name) && text.contains(&format!("stubgate-support/{name}")), "{name}: {said}");
        }
        let leaked: Vec<&str> =
            text.match_indices("planted").map(|(at, _)| &text[at.saturating_sub(80)..at + 40]).collect();
        assert!(leaked.is_empty(), "{leaked:#?}");
        // And what it is for is there.
        for wanted in ["stubgate_draining 0", "\"ready\": true", HOST, "\"exec\"", "drain_delay"] {
            assert!(text.contains(wanted), "{wanted} is missing");
        }
        assert!(text.contains("\"event\":\"refused\""), "records are there");
        assert_eq!(text.contains("\"path\":\""), number == 1, "hashes where they were asked for");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let before = fs::read(&path).unwrap();
        let again = run(&site, "support-bundle", &["-o", &at, "--offline"]);
        assert_eq!(again.status.code(), Some(2));
        assert_eq!(fs::read(&path).unwrap(), before, "what is there stays");
    }
    running.stop();

    // What is wrong with a file is quoted to a person, and not in a bundle.
    fs::write(site.path("etc/policy/policy.yaml"), format!("{policy}planted-as-a-key: planted-as-a-value\n")).unwrap();
    let path = site.path("bundle-of-a-broken-policy.tar.gz");
    let at = path.display().to_string();
    assert!(run(&site, "support-bundle", &["-o", &at, "--offline"]).status.success());
    let text = unpacked(&path);
    assert!(text.contains("it quotes a file") && !text.contains("planted"), "{text}");
}
