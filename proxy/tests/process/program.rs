//! The program as an operator meets it: what it prints, how it exits, what it says while files change under it.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::site::Running;

const POLICY: &str = r#"version: 1
agents:
  devbot: { sources: ["127.0.0.1/32"] }
credentials:
  api:
    stub: proxy-token-api
    slots: [bearer]
    hosts: [api.example.test]
    source: { file: FOLDER/secrets/api }
rules:
  - name: api
    agents: [devbot]
    hosts: [api.example.test]
    methods: [GET]
    credentials: [api]
"#;

/// A folder with a configuration and everything that it names.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        for name in ["policy", "secrets"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        // The systems that build this need no root certificates of their own.
        let internet =
            stubgate_certs::CertificateAuthority::create("the internet", std::time::SystemTime::now()).unwrap();
        fs::write(folder.path().join("internet.pem"), internet.certificate_pem()).unwrap();
        fs::write(folder.path().join("policy/policy.yaml"), POLICY.replace("FOLDER", &here)).unwrap();
        let site = Site { folder };
        site.write_secret("first-value-0123456789");
        fs::write(
            site.config(),
            "listen: { proxy: [\"127.0.0.1:0\"], admin: [] }\npolicy: [policy]\nstate_dir: state\n\
             upstream: { ca_files: [internet.pem] }\ntimeouts: { drain_delay_seconds: 0, drain_seconds: 1 }\n\
             audit: { files: [{ path: log/audit.jsonl }] }\n",
        )
        .unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("stubgate.yaml")
    }

    fn write_secret(&self, value: &str) {
        fs::write(self.path("secrets/.new"), value).unwrap();
        fs::rename(self.path("secrets/.new"), self.path("secrets/api")).unwrap();
    }

    fn start(&self) -> Running {
        let mut program = Command::new(env!("CARGO_BIN_EXE_stubgate"));
        program.args(["run", "--config"]).arg(self.config()).env_remove("STUBGATE_LOG");
        Running::start(program)
    }

    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("log/audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn stubgate(args: &[&str], file: Option<&Path>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stubgate")).args(args).args(file).env_remove("STUBGATE_LOG").output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complained(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn times(log: &[Value], text: &str) -> usize {
    log.iter().filter(|line| line.to_string().contains(text)).count()
}

#[test]
fn a_configuration_that_is_missing_exits_2_and_one_that_is_wrong_1_everywhere() {
    let site = Site::new();
    let wrong = site.path("wrong.yaml");
    fs::write(&wrong, "listn: {}\n").unwrap();
    for args in
        [&["run", "--config"][..], &["config", "check"], &["ca", "init", "--config"], &["ca", "show", "--config"]]
    {
        let output = stubgate(args, Some(&site.path("missing.yaml")));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = complained(&output);
        assert!(said.starts_with("error[SC0001]: ") && said.contains("missing.yaml"), "{args:?}: {said}");
        assert!(said.ends_with("\n1 error\n") && !said.contains("stubgate run"), "{args:?}: {said}");
        let output = stubgate(args, Some(&wrong));
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(complained(&output).starts_with("error[SG0010]: "), "{args:?}: {}", complained(&output));
    }
}

#[test]
fn a_good_configuration_is_checked_with_its_warnings() {
    let site = Site::new();
    let output = stubgate(&["config", "check"], Some(&site.config()));
    assert_eq!((output.status.code(), complained(&output).as_str()), (Some(0), ""));
    fs::remove_file(site.path("internet.pem")).unwrap();
    let output = stubgate(&["config", "check"], Some(&site.config()));
    assert_eq!((output.status.code(), printed(&output).as_str()), (Some(0), "configuration is good\n"));
    let said = complained(&output);
    assert!(said.starts_with("warning[SC0019]: ") && said.ends_with("\n1 warning\n"), "{said}");
}

#[test]
fn ca_init_says_whether_it_made_one() {
    let site = Site::new();
    let folder = site.path("state/ca").display().to_string();
    let shown = stubgate(&["ca", "show", "--config"], Some(&site.config()));
    assert_eq!(shown.status.code(), Some(2));
    assert!(complained(&shown).contains("stubgate ca init"));
    let first = printed(&stubgate(&["ca", "init", "--config"], Some(&site.config())));
    let second = printed(&stubgate(&["ca", "init", "--config"], Some(&site.config())));
    assert!(
        first.starts_with(&format!("made {folder}\nphase                stable\nSHA-256 fingerprint  ")),
        "{first}"
    );
    assert_eq!(second, first.replace("made ", "already there, unchanged: "));
    assert_eq!(
        printed(&stubgate(&["ca", "show", "--config"], Some(&site.config()))),
        first.split_once('\n').unwrap().1
    );
}

#[test]
fn what_is_wrong_with_a_ca_is_said_once_and_with_the_way_out() {
    let site = Site::new();
    stubgate(&["ca", "init", "--config"], Some(&site.config()));
    fs::remove_file(site.path("state/ca/key.pem")).unwrap();
    let output = stubgate(&["run", "--config"], Some(&site.config()));
    assert_eq!(output.status.code(), Some(1));
    let said = complained(&output);
    assert!(said.contains("key.pem is missing beside") && said.contains("restore it from a backup"), "{said}");
    fs::remove_dir_all(site.path("state/ca")).unwrap();
    fs::write(site.path("state/ca"), "no folder").unwrap();
    let said = complained(&stubgate(&["run", "--config"], Some(&site.config())));
    assert_eq!(said.matches("os error").count(), 1, "{said}");
}

#[test]
fn help_tells_exit_codes_and_the_log_level() {
    for args in [&["--help"][..], &["run", "--help"], &["config", "check", "--help"]] {
        assert!(printed(&stubgate(args, None)).contains("Exit status: 0 "), "{args:?}");
    }
    assert!(printed(&stubgate(&["run", "--help"], None)).contains("STUBGATE_LOG"));
}

#[test]
fn a_first_start_makes_what_it_needs_and_says_so() {
    let site = Site::new();
    let mut running = site.start();
    let made = running.said("made a new certificate authority");
    assert_eq!(made["folder"], site.path("state/ca").display().to_string());
    let shown = printed(&stubgate(&["ca", "show", "--config"], Some(&site.config())));
    assert!(shown.contains(made["sha256_fingerprint"].as_str().unwrap()), "{made} {shown}");
    let serving = running.said("serving");
    assert!(serving["proxy"].as_str().unwrap().starts_with("127.0.0.1:"), "{serving}");
    assert!(serving.get("dns").is_none() && serving.get("addresses").is_none(), "{serving}");
    running.stop();
    assert!(site.records().iter().any(|record| record["outcome"] == "started"));

    let mut again = site.start();
    again.said("serving");
    assert_eq!(times(&again.stop(), "made a new certificate authority"), 0);
}

#[test]
fn a_rotated_secret_and_a_lost_one_leave_a_trace_without_their_value() {
    let site = Site::new();
    let mut running = site.start();
    running.said("serving");
    site.write_secret("second-value-0123456789");
    assert_eq!(running.said("credential has a new value")["credential"], "api");
    fs::remove_file(site.path("secrets/api")).unwrap();
    assert!(
        running.said("credential api: ")["message"].as_str().unwrap().ends_with("the last good value stays in use")
    );
    site.write_secret("second-value-0123456789");
    running.said("credential can be read again");
    let log = running.stop();
    let records = site.records();
    let told: Vec<(&Value, &Value)> = records
        .iter()
        .filter(|record| record["layer"] == "credential")
        .map(|record| (&record["outcome"], &record["credential"]))
        .collect();
    assert_eq!(told, [(&"taken".into(), &"api".into()), (&"failed".into(), &"api".into())]);
    let taken = records.iter().find(|record| record["layer"] == "policy").unwrap();
    assert_eq!((&taken["generation"], taken.get("count")), (&1.into(), None));
    let written = format!("{log:?} {records:?}");
    assert!(!written.contains("value-0123456789"), "{written}");
}

#[test]
fn what_is_missing_at_the_start_is_said_once() {
    let site = Site::new();
    fs::remove_dir_all(site.path("secrets")).unwrap();
    let mut running = site.start();
    running.said("serving");
    // Each look at the files would say it again: two of them are sure to have passed.
    for generation in 2..4 {
        let policy = fs::read_to_string(site.path("policy/policy.yaml")).unwrap();
        fs::write(site.path("policy/policy.yaml"), policy + "# more\n").unwrap();
        assert_eq!(running.said("policy taken")["generation"], generation);
    }
    fs::remove_dir_all(site.path("policy")).unwrap();
    running.said("policy not taken");
    running.signal(rustix::process::Signal::HUP);
    running.said("credential api: ");
    let log = running.stop();
    assert_eq!(times(&log, "requests that need it are refused"), 2, "at the start, and when asked anew: {log:#?}");
    assert_eq!(times(&log, "the policy can't be read"), 2, "likewise: {log:#?}");
    let failed = site.records().iter().filter(|record| record["outcome"] == "failed").count();
    assert_eq!(failed, 4);
}

#[test]
fn sighup_tells_that_the_configuration_is_no_longer_what_runs() {
    let site = Site::new();
    let good = fs::read_to_string(site.config()).unwrap();
    let mut running = site.start();
    running.said("serving");
    fs::write(site.config(), good.replace("drain_seconds: 1", "drain_seconds: 2")).unwrap();
    running.signal(rustix::process::Signal::HUP);
    running.said("the configuration differs from what runs");
    fs::write(site.config(), good.replace("drain_seconds: 1", "drain: 1")).unwrap();
    running.signal(rustix::process::Signal::HUP);
    running.said("the configuration is broken");
    fs::write(site.config(), format!("# nothing but a comment\n{good}")).unwrap();
    running.signal(rustix::process::Signal::HUP);
    while running.said("policy taken")["generation"] != 4 {}
    let log = running.stop();
    assert_eq!(times(&log, "the configuration "), 2, "{log:#?}");
}

#[test]
fn without_file_descriptors_agents_are_turned_away_and_the_log_stays_short() {
    let site = Site::new();
    let mut running = site.start();
    let to: SocketAddr = running.said("serving")["proxy"].as_str().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(running.child.id()).unwrap());
    let few = rustix::process::Rlimit { current: Some(64), maximum: Some(64) };
    rustix::process::prlimit(pid, rustix::process::Resource::Nofile, few).unwrap();
    let agents: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(to).unwrap()).collect();
    running.said("connections can't be accepted");
    // RE-06: whoever is one too many notices at once, and does not wait for an answer that never comes.
    let is_closed = |mut agent: &TcpStream| {
        agent.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        match agent.read(&mut [0]) {
            Ok(read) => read == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    };
    let deadline = Instant::now() + Duration::from_secs(15);
    while agents.iter().filter(|agent| is_closed(agent)).count() < 100 {
        assert!(Instant::now() < deadline, "those who are too many are left to wait");
    }
    drop(agents);
    // And once there are some again, it serves.
    let answer = (0..50).find_map(|_| {
        let mut agent = TcpStream::connect(to).unwrap();
        agent.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = agent.write_all(b"CONNECT other.example.test:443 HTTP/1.1\r\nhost: other.example.test:443\r\n\r\n");
        let mut answer = String::new();
        let _ = agent.read_to_string(&mut answer);
        if answer.is_empty() {
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(answer).filter(|answer| !answer.is_empty())
    });
    assert!(answer.is_some_and(|answer| answer.starts_with("HTTP/1.1 403")));
    let log = running.stop();
    assert!(times(&log, "can't be accepted") <= 3 && log.len() < 30, "{} lines", log.len());
}

#[test]
fn a_stub_is_minted_shown_and_called_back() {
    let site = Site::new();
    let config = site.config();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_stubgate"))
            .args(["stub", args[0], "--config"])
            .arg(&config)
            .args(&args[1..])
            .output()
            .unwrap();
        (output.status.code().unwrap(), printed(&output), complained(&output))
    };
    let (code, stub, _) = run(&["mint", "--agent", "devbot", "--credential", "api", "--ttl", "12h", "--shape", "ghp"]);
    assert_eq!(code, 0);
    let stub = stub.strip_suffix('\n').unwrap();
    assert_eq!((stub.len(), &stub[..4]), (40, "ghp_"));
    let (code, shown, _) = run(&["show", stub]);
    assert_eq!(code, 0);
    let field =
        |shown: &str, name: &str| shown.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(
        (field(&shown, "agent"), field(&shown, "credential"), field(&shown, "state")),
        ("devbot".into(), "api".into(), "good".into())
    );
    assert!(field(&shown, "ends").ends_with(":00:00.000000Z"), "{shown}");
    // Locked down, it still sees what is called back.
    let mut running = site.start();
    running.said("serving");
    assert_eq!(run(&["revoke", &field(&shown, "id")]).0, 0);
    assert_eq!(running.said("stubs are revoked")["revoked"], 1);
    running.stop();
    let (code, shown, _) = run(&["show", stub]);
    assert_eq!((code, field(&shown, "state")), (1, "revoked".into()));
    let other_end = if stub.ends_with('0') { '1' } else { '0' };
    let (code, _, said) = run(&["show", &format!("{}{other_end}", &stub[..39])]);
    assert!(code == 1 && said.contains("no stub of this policy"), "{said}");
    for (args, code) in [
        (vec!["mint", "--agent", "nobody", "--credential", "api"], 1),
        (vec!["mint", "--agent", "devbot", "--credential", "nothing"], 1),
        (vec!["mint", "--agent", "devbot", "--credential", "api", "--ttl", "5m"], 2),
        (vec!["mint", "--agent", "devbot", "--credential", "api", "--shape", "round"], 2),
        (vec!["show", "proxy-token-api"], 1),
        (vec!["revoke", "proxy-token-api"], 2),
    ] {
        assert_eq!(run(&args).0, code, "{args:?}");
    }
}
