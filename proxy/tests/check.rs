//! `stubgate policy check` as scripts and continuous integration run it: status, streams and formats.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const STUBGATE: &str = env!("CARGO_BIN_EXE_stubgate");
const GOOD: &str = "version: 1
agents:
  devbot: { sources: [10.42.0.11/32] }
rules:
  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET] }
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn check(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(STUBGATE).args(["policy", "check"]).args(arguments).current_dir(folder).output().unwrap()
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn a_good_policy_is_counted_in_one_line() {
    let folder = folder(&[("policy/a.yaml", GOOD)]);
    let output = check(folder.path(), &["policy"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(out(&output), "policy is good: 1 agent, 0 credentials, 1 rule in 1 file\n");
    assert_eq!(err(&output), "");
}

#[test]
fn warnings_are_denied_only_where_that_is_asked_for_and_allowed_by_code() {
    let folder = folder(&[("policy/a.yaml", &GOOD.replace("[devbot], hosts", "['*'], hosts").replace("GET", "any"))]);
    let output = check(folder.path(), &["policy"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(err(&output).contains("warning[SG0208]"), "{}", err(&output));
    assert!(err(&output).ends_with("\n1 warning\n"), "{}", err(&output));
    assert_eq!(check(folder.path(), &["policy", "--deny-warnings"]).status.code(), Some(1));
    let allowed = check(folder.path(), &["policy", "--deny-warnings", "--allow", "SG0208"]);
    assert_eq!((allowed.status.code(), err(&allowed)), (Some(0), ""));
}

#[test]
fn an_error_is_status_1_and_cannot_be_allowed() {
    let folder = folder(&[("policy/a.yaml", &GOOD.replace("hosts: [a.example]", "hosts: ['*']"))]);
    let output = check(folder.path(), &["policy"]);
    assert_eq!((output.status.code(), out(&output)), (Some(1), ""));
    assert!(err(&output).contains("error[SG0131]") && err(&output).ends_with("\n1 error\n"), "{}", err(&output));
    for code in ["SG0131", "SG9999", "sg0210"] {
        let output = check(folder.path(), &["policy", "--allow", code]);
        assert_eq!(output.status.code(), Some(2), "{code}");
        assert!(code != "sg0210" || err(&output).contains("did you mean `SG0210`?"), "{}", err(&output));
    }
    assert_eq!(check(folder.path(), &["missing"]).status.code(), Some(2));
    assert_eq!(check(folder.path(), &["policy", "--format", "xml"]).status.code(), Some(2));
}

#[test]
fn files_that_are_not_read_are_said_except_tests() {
    let folder = folder(&[("policy/a.yaml", GOOD), ("policy/deny.yml", GOOD), ("policy/tests/t.yaml", "tests: []\n")]);
    let output = check(folder.path(), &["policy"]);
    assert_eq!(output.status.code(), Some(0));
    let said = "warning[SG0213]: policy/deny.yml is not read: only *.yaml directly in the folder";
    assert!(err(&output).contains(said), "{}", err(&output));
    assert!(err(&output).contains("\n1 warning\n"), "{}", err(&output));
}

#[test]
fn json_and_sarif_are_alone_on_standard_output() {
    let folder = folder(&[("policy/a.yaml", &GOOD.replace("methods", "mehtods"))]);
    let json = check(folder.path(), &["policy", "--format", "json"]);
    assert_eq!((json.status.code(), err(&json)), (Some(1), ""));
    let json: Value = serde_json::from_str(out(&json)).unwrap();
    assert_eq!((json["errors"].as_u64(), json["warnings"].as_u64()), (Some(2), Some(0)));
    assert_eq!(json["diagnostics"][0]["labels"][0]["file"], "policy/a.yaml");
    // Absolute paths below the working folder are written as code hosting knows them.
    let absolute = fs::canonicalize(folder.path()).unwrap().join("policy");
    for path in ["policy", absolute.to_str().unwrap()] {
        let sarif = check(folder.path(), &[path, "--format", "sarif"]);
        assert_eq!((sarif.status.code(), err(&sarif)), (Some(1), ""));
        let sarif: Value = serde_json::from_str(out(&sarif)).unwrap();
        let place = &sarif["runs"][0]["results"][1]["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "policy/a.yaml");
        assert_eq!(place["region"]["startLine"], 5);
    }
}

/// The step's script of `deploy/ci/policy.yml`, run as the service does.
fn step(name: &str, folder: &Path) -> Output {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/ci/policy.yml");
    let file = stubgate_policy::SourceFile { name: path.into(), text: fs::read_to_string(path).unwrap() };
    let workflow: Value = stubgate_policy::source::read(0, &file).unwrap();
    let steps = workflow["jobs"]["policy"]["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["name"] == name).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-e", "-o", "pipefail", "-c", step["run"].as_str().unwrap()]);
    with_stubgate(&mut shell).env("POLICY", "policy").env("RUNNER_TEMP", folder).current_dir(folder).output().unwrap()
}

fn with_stubgate(command: &mut Command) -> &mut Command {
    let own = Path::new(STUBGATE).parent().unwrap();
    command.env("PATH", format!("{}:{}", own.display(), std::env::var("PATH").unwrap()))
}

#[test]
fn the_workflow_writes_sarif_first_and_fails_after_it() {
    let broken = folder(&[("policy/a.yaml", &GOOD.replace("GET", "get"))]);
    assert_eq!(step("Check, for code scanning", broken.path()).status.code(), Some(0));
    let sarif: Value = serde_json::from_slice(&fs::read(broken.path().join("policy.sarif")).unwrap()).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "SG0140");
    assert_eq!(step("Check", broken.path()).status.code(), Some(1));
    let missing = folder(&[]);
    assert_ne!(step("Check, for code scanning", missing.path()).status.code(), Some(0));
    let good = folder(&[("policy/a.yaml", GOOD)]);
    assert_eq!(step("Check", good.path()).status.code(), Some(0));
}

#[test]
fn the_hook_judges_what_is_staged() {
    let folder = folder(&[("policy/a.yaml", GOOD), ("other.txt", "x")]);
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=n", "-c", "user.email=e@x.example", "-c", "init.defaultBranch=main"]);
        let output = with_stubgate(git.args(arguments)).current_dir(folder.path()).output().unwrap();
        (output.status.success(), format!("{}{}", out(&output), err(&output)))
    };
    assert!(git(&["init", "--quiet"]).0);
    let hook = folder.path().join(".git/hooks/pre-commit");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/ci/pre-commit"), &hook).unwrap();
    assert!(git(&["add", "--all"]).0);
    let (passed, said) = git(&["commit", "--message", "good"]);
    assert!(passed && said.contains("policy is good"), "{said}");

    let policy = folder.path().join("policy/a.yaml");
    fs::write(&policy, GOOD.replace("GET", "get")).unwrap();
    assert!(git(&["add", "--all"]).0);
    fs::write(&policy, GOOD).unwrap();
    let (passed, said) = git(&["commit", "--message", "bad"]);
    assert!(!passed && said.contains("error[SG0140]"), "{said}");

    // Mended in the working folder and staged again; what does not touch the policy is not checked.
    assert!(git(&["add", "--all"]).0);
    fs::write(folder.path().join("other.txt"), "y").unwrap();
    assert!(git(&["add", "--all"]).0);
    let (passed, said) = git(&["commit", "--message", "other"]);
    assert!(passed && !said.contains("policy is"), "{said}");
}

const PODS: &str = "version: 1
agents:
  devbot: { pods: [{ namespace: agents, labels: { app: devbot } }] }
rules:
  - { name: r, agents: [devbot], hosts: [a.example], methods: [GET] }
";
const LISTED: &str = r#"{"kind":"List","items":[
  {"kind":"Pod","metadata":{"name":"devbot-0","namespace":"agents","labels":{"app":"devbot"}},"spec":{"serviceAccountName":"devbot"}}]}"#;

#[test]
fn selectors_of_pods_are_held_against_a_cluster() {
    let other = LISTED.replace("\"app\":\"devbot\"", "\"app\":\"devbto\"");
    let folder =
        folder(&[("policy/a.yaml", PODS), ("pods.json", LISTED), ("other.json", &other), ("text", "NAME READY")]);
    let good = check(folder.path(), &["policy", "--cluster", "pods.json", "--deny-warnings"]);
    assert_eq!((good.status.code(), err(&good)), (Some(0), ""));
    let gone = check(folder.path(), &["policy", "--cluster", "other.json"]);
    assert_eq!(gone.status.code(), Some(0));
    assert!(err(&gone).contains("warning[SG0222]") && err(&gone).contains("did you mean `devbto`?"), "{}", err(&gone));
    let denied = check(folder.path(), &["policy", "--cluster", "other.json", "--deny-warnings"]);
    assert_eq!(denied.status.code(), Some(1));
    let allowed = check(folder.path(), &["policy", "--cluster", "other.json", "--deny-warnings", "--allow", "SG0222"]);
    assert_eq!((allowed.status.code(), err(&allowed)), (Some(0), ""));
    for (file, said) in [("text", "kubectl get pods"), ("none.json", "none.json: "), ("policy", "policy: ")] {
        let output = check(folder.path(), &["policy", "--cluster", file]);
        assert_eq!(output.status.code(), Some(2), "{file}");
        assert!(err(&output).contains(said), "{file}: {}", err(&output));
    }
}

#[test]
fn a_list_of_pods_is_read_from_standard_input() {
    let folder = folder(&[("policy/a.yaml", PODS), ("pods.json", LISTED)]);
    let mut command = Command::new(STUBGATE);
    command.args(["policy", "check", "policy", "--cluster", "-", "--deny-warnings"]).current_dir(folder.path());
    let output = command.stdin(fs::File::open(folder.path().join("pods.json")).unwrap()).output().unwrap();
    assert_eq!((output.status.code(), err(&output)), (Some(0), ""));
}

#[test]
fn a_decision_is_explained_for_a_pod() {
    let two = "  infrabot: { pods: [{ namespace: agents, service_account: infrabot }] }\nrules:";
    let folder = folder(&[("policy/a.yaml", &PODS.replace("rules:", two))]);
    let explain = |pod: &str| {
        let mut command = Command::new(STUBGATE);
        command.args(["policy", "explain", "policy", "--pod", pod, "GET https://a.example/"]);
        command.current_dir(folder.path()).output().unwrap()
    };
    let known = explain("agents/devbot,app=devbot,tier=dev");
    assert!(known.status.success() && out(&known).contains("by devbot\nALLOW"), "{}{}", out(&known), err(&known));
    let nobody = explain("agents/devbot");
    assert!(nobody.status.success() && out(&nobody).contains("DENY unknown_agent"), "{}", out(&nobody));
    let of_two = explain("agents/infrabot,app=devbot");
    assert_eq!(of_two.status.code(), Some(2));
    assert!(err(&of_two).contains("`devbot` and `infrabot`"), "{}", err(&of_two));
    for bad in ["agents", "agents/devbot,app", ""] {
        assert_eq!(explain(bad).status.code(), Some(2), "{bad}");
    }
}
