//! The ready-made bridges as the supervisor has them: each entry is right, each server is asked by our probe, and what the document
//! says of the file is so.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stubgate_agent::bridge::Bridge;
use stubgate_agent::bridge::file::{self, Entry, Kind};

const NAMES: [&str; 8] = ["github", "http", "matrix", "nats", "postgres", "proxmox", "proxmox-elevated", "ssh"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn ready(name: &str) -> PathBuf {
    root().join("agent-image/bridges").join(name)
}

/// Python with the packages of the bridges; made by tests/setup.
fn python() -> Option<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let python = target.join("bridges-venv");
    if !python.join("bin/python").exists() {
        eprintln!("skipped: {} is missing; run tests/setup", python.display());
        return None;
    }
    Some(python)
}

/// The entries of a file, as if `{bridges}` were the folder of the sources.
fn entries(path: &Path) -> BTreeMap<String, Entry> {
    let text =
        fs::read_to_string(path).unwrap().replace("{bridges}", root().join("agent-image/bridges").to_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join(file::NAME);
    fs::write(&copy, text).unwrap();
    file::read_one(&copy).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a workload has in its environment, for a server that is only asked what it offers.
fn workload(folder: &Path) -> Vec<(String, String)> {
    let [dsn, key, known] = ["dsn", "key", "known_hosts"].map(|name| {
        let path = folder.join(name);
        fs::write(&path, "postgresql://reader@127.0.0.1:1/nothing\n").unwrap();
        path.display().to_string()
    });
    let operations = ready("ssh").join("operations.toml").display().to_string();
    [("POSTGRES_DSN_FILE", dsn), ("SSH_KEY_FILE", key), ("SSH_KNOWN_HOSTS", known), ("SSH_OPERATIONS", operations)]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

#[tokio::test]
async fn every_ready_made_server_offers_the_tools_that_its_entry_asks_for() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        let files = [ready(name).join("serve.yaml"), ready(name).join("bridge.yaml")];
        let path = files.iter().find(|path| path.exists()).unwrap();
        for (name, entry) in entries(path) {
            let wanted = entry.probe.tools.len();
            assert!(wanted > 0 && entry.package.is_some(), "{name}");
            let bridge = Bridge::new(&name, entry, folder.path().join(&name), &workload(folder.path()), Vec::new());
            let found = bridge.probe_installed(&python, Duration::from_secs(60)).await;
            let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(found.tools.len(), wanted, "{name}: {:?}", found.tools);
        }
    }
}

#[test]
fn both_sides_of_a_workload_name_the_same_tools_and_pins_are_those_that_are_tested() {
    let pins = fs::read_to_string(root().join("agent-image/bridges/requirements.txt")).unwrap();
    let is_tested = |pin: &str| pins.lines().any(|line| line == pin);
    for name in NAMES {
        let agents = entries(&ready(name).join("bridge.yaml"));
        for entry in agents.values().filter_map(|entry| entry.package.as_ref()) {
            assert!(is_tested(&entry.python) && entry.with.iter().all(|pin| is_tested(pin)), "{name}");
        }
        let served = ready(name).join("serve.yaml");
        if !served.exists() {
            continue;
        }
        let served = &entries(&served)[name];
        assert!(matches!(served.kind(), Some(Kind::Http(_))) && matches!(agents[name].kind(), Some(Kind::Remote(_))));
        assert_eq!(served.probe.tools, agents[name].probe.tools, "{name}");
        let package = served.package.as_ref().unwrap();
        assert!(is_tested(&package.python) && package.with.iter().all(|pin| is_tested(pin)), "{name}");
    }
}

#[test]
fn the_documents_example_is_one() {
    let text = fs::read_to_string(root().join("docs/agent/bridges.md")).unwrap();
    let (_, rest) = text.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file::NAME);
    fs::write(&path, example).unwrap();
    assert_eq!(file::read_one(&path).unwrap().len(), 4);
}

fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stubgate-agent"));
    command.env("AGENT_NAME", "devbot").env_remove("STUBGATE_BRIDGES");
    command
}

#[tokio::test]
async fn a_new_bridge_passes_its_tests_and_its_probe_as_it_is() {
    let Some(python) = python() else { return };
    for (name, flag) in [("lab-tickets", "--in-container"), ("lab-store", "--workload")] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join(name);
        let made = agent().args(["bridge", "new", name, flag, "--to"]).arg(&folder).stdout(Stdio::null()).status();
        assert!(made.unwrap().success());
        let tests = Command::new(python.join("bin/python"))
            .args(["-B", "-m", "unittest", "--quiet"])
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stderr));
        let said = String::from_utf8_lossy(&tests.stderr).into_owned();
        assert!(said.contains("Ran 3 tests"), "{said}");

        let entry = ["serve.yaml", "bridges.yaml"].iter().map(|file| folder.join(file)).find(|path| path.exists());
        let entry = file::read_one(&entry.unwrap()).unwrap().remove(name).unwrap();
        let password = folder.join("password");
        fs::write(&password, "right").unwrap();
        let variables = [
            ("LAB_STORE_PASSWORD_FILE".to_owned(), password.display().to_string()),
            ("LAB_STORE_ADDRESS".to_owned(), "127.0.0.1:1".to_owned()),
        ];
        let bridge = Bridge::new(name, entry, folder.join("versions"), &variables, Vec::new());
        bridge.probe_installed(&python, Duration::from_secs(60)).await.unwrap();
    }
}

/// A workload of the NATS bridge, with the real SDK behind it, asked through its front.
#[tokio::test]
async fn a_served_bridge_is_asked_through_its_front_with_a_token_only() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let [port, inner] =
        [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
    let token = "a-token-of-this-workload";
    let (tokens, file) = (folder.path().join("tokens"), folder.path().join("serve.yaml"));
    fs::write(&tokens, token).unwrap();
    let (program, server) = (python.join("bin/python"), ready("nats").join("server.py"));
    let command = format!("[\"{}\", \"{}\"]", program.display(), server.display());
    fs::write(&file, format!("bridges: {{ nats: {{ http: {{ command: {command}, port: {inner} }} }} }}\n")).unwrap();
    let mut served = tokio::process::Command::from({
        let mut command = agent();
        command.args(["bridge", "serve", "nats", "--plain-http", "--listen", &format!("127.0.0.1:{port}"), "--file"]);
        command.arg(&file).arg("--tokens").arg(&tokens).arg("--state-dir").arg(folder.path()).stdout(Stdio::null());
        command
    })
    .kill_on_drop(true)
    .spawn()
    .unwrap();

    let remote = |token: &str| {
        let text = format!(
            "{{ remote: {{ url: \"http://127.0.0.1:{port}/mcp\", stub: {token} }}, probe: {{ tools: [publish] }} }}"
        );
        let path = folder.path().join("agent.yaml");
        fs::write(&path, format!("bridges: {{ nats: {text} }}\n")).unwrap();
        let entry = file::read_one(&path).unwrap().remove("nats").unwrap();
        let web = stubgate_agent::web::Client::new(Duration::from_secs(20), 4096).ok();
        Bridge::new("nats", entry, folder.path().join("nats"), &[], Vec::new()).with_web(web)
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    let found = loop {
        match remote(token).probe(None, Duration::from_secs(20)).await {
            Ok(found) => break found,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(found.tools, ["publish", "request", "read"]);
    let refused = remote("another-token-that-is-wrong").probe(None, Duration::from_secs(20)).await;
    assert_eq!(refused.unwrap_err().to_string(), "answered 401");

    let id = rustix::process::Pid::from_raw(served.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert!(tokio::time::timeout(Duration::from_secs(20), served.wait()).await.unwrap().unwrap().success());
    assert!(std::net::TcpStream::connect(("127.0.0.1", inner)).is_err());
}

#[test]
fn the_bridge_that_a_command_names_is_not_taken_for_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("agents/devbot");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("bridges.yaml"), "bridges: { tickets: { stdio: { command: [tickets] } } }\n").unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stubgate-agent"));
        command.args(arguments).env("HOME", folder.path()).env("STUBGATE_AGENTS", folder.path().join("agents"));
        let output = command.env("AGENT_NAME", "devbot").output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in [["bridge", "upgrade", "tickets"], ["bridge", "rollback", "tickets"]] {
        let (code, told) = run(&arguments);
        assert_eq!(code, Some(1));
        assert!(!told.contains("no bridge is called"), "{arguments:?}: {told}");
    }
    let (code, told) = run(&["bridge", "rollback", "ticket"]);
    assert_eq!(code, Some(1));
    assert!(told.contains(r#"no bridge is called "ticket": "#) && told.contains("have tickets"), "{told}");
}

#[test]
fn here_is_the_folder_of_a_file_that_is_named_by_its_name_alone() {
    use std::io::{BufRead as _, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let entry = r#"bridges: { one: { http: { command: [sh, -c, "echo in {here}"], port: 7999 } } }"#;
    fs::write(folder.path().join("serve.yaml"), entry).unwrap();
    fs::write(folder.path().join("tokens"), "a-token-of-twenty-characters\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_stubgate-agent"));
    command.args(["bridge", "serve", "one", "--file", "serve.yaml", "--tokens", "tokens", "--plain-http"]);
    command.args(["--listen", "127.0.0.1:0", "--state-dir", "state"]).current_dir(folder.path());
    let mut serving = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(serving.stdout.take().unwrap()).lines().map_while(Result::ok);
    let said = lines.into_iter().find(|line| line.contains("a bridge printed")).unwrap();
    serving.kill().unwrap();
    serving.wait().unwrap();
    let here = folder.path().canonicalize().unwrap();
    assert!(said.contains(&format!("in {}", here.display())), "{said}");
}
