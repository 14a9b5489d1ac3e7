//! What packages and pipelines bring: units that systemd takes and that leave the appliance no more than it needs, the
//! configuration beside them, tags of images, workflows with few rights.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use stubgate_tests::appliance;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn units() -> Vec<String> {
    let entries = fs::read_dir(root().join("deploy/systemd")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_str().unwrap().to_owned()).collect();
    names.retain(|name| name.ends_with(".service") || name.ends_with(".socket"));
    names.sort();
    names
}

/// A machine's root with our units in it, the targets that they name, and programs that are there.
fn machine(drop_ins: &[&str]) -> tempfile::TempDir {
    let machine = tempfile::tempdir().unwrap();
    let system = machine.path().join("usr/lib/systemd/system");
    fs::create_dir_all(&system).unwrap();
    for unit in units() {
        fs::copy(root().join("deploy/systemd").join(&unit), system.join(unit)).unwrap();
    }
    for name in drop_ins {
        let folder = machine.path().join("etc/systemd/system/stubgate.service.d");
        fs::create_dir_all(&folder).unwrap();
        fs::copy(root().join("deploy/systemd").join(name), folder.join(name)).unwrap();
    }
    // Of systemd itself.
    for target in ["basic", "multi-user", "network-online", "shutdown", "sockets", "sysinit"] {
        fs::write(system.join(format!("{target}.target")), "[Unit]\n").unwrap();
    }
    for program in ["usr/bin/stubgate", "bin/kill"] {
        let program = machine.path().join(program);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    machine
}

fn analyze(machine: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("systemd-analyze");
    command.arg(format!("--root={}", machine.display())).args(arguments).stdin(Stdio::null());
    command.output().expect("systemd-analyze: run tests/setup")
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn systemd_takes_the_units_without_a_word() {
    for drop_ins in [&[][..], &["sockets.conf"], &["credentials.conf"], &["sockets.conf", "credentials.conf"]] {
        let machine = machine(drop_ins);
        let units = units();
        let mut arguments = vec!["verify", "--man=no", "--recursive-errors=yes"];
        arguments.extend(units.iter().map(String::as_str));
        let output = analyze(machine.path(), &arguments);
        assert!(output.status.success() && both(&output).is_empty(), "{drop_ins:?}: {}", both(&output));
        // It is the unit that was looked at: a mistake in it is found.
        fs::write(machine.path().join("usr/lib/systemd/system/stubgate.service"), "[Service]\nExecStat=/x\n").unwrap();
        assert!(!both(&analyze(machine.path(), &["verify", "--man=no", "stubgate.service"])).is_empty());
    }
}

/// What `systemd-analyze security` says at most, in tenths: what is left is network, which is what the service is for, a capability for
/// ports below 1024, and the sockets of families that are used at the start.
#[test]
fn the_service_is_exposed_no_more_than_it_has_to_be() {
    for (drop_ins, ceiling) in [(&[][..], 16), (&["sockets.conf"], 12)] {
        let machine = machine(drop_ins);
        let limit = format!("--threshold={ceiling}");
        let output = analyze(machine.path(), &["security", "--offline=yes", "--no-pager", &limit, "stubgate.service"]);
        let said = both(&output);
        let level = said.lines().find(|line| line.contains("Overall exposure level")).unwrap_or_default();
        println!("{drop_ins:?} {level}");
        assert!(output.status.success(), "{said}");
        // The ceiling is where it is, not far above.
        let limit = format!("--threshold={}", ceiling - 3);
        assert!(
            !analyze(machine.path(), &["security", "--offline=yes", &limit, "stubgate.service"]).status.success(),
            "{level}"
        );
    }
}

/// stubgate serves on no socket that stubgate.yaml does not have; what packages bring agrees.
#[test]
fn socket_units_have_the_names_and_addresses_of_the_configuration_beside_them() {
    let yaml = read("deploy/systemd/stubgate.yaml");
    let listed = |name: &str| -> Option<String> {
        let line = yaml.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}: "))?.strip_prefix("[\""));
        Some(line?.strip_suffix("\"]")?.to_owned())
    };
    let mut names = BTreeSet::new();
    for unit in units().into_iter().filter(|unit| unit.ends_with(".socket")) {
        let text = read(&format!("deploy/systemd/{unit}"));
        let values = |key: &str| -> Vec<String> {
            text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned)).collect()
        };
        let name = values("FileDescriptorName").pop().unwrap();
        assert_eq!(unit, format!("stubgate-{name}.socket"));
        assert_eq!(values("Service"), ["stubgate.service"], "{unit}");
        assert_eq!(values("BindIPv6Only"), ["ipv6-only"], "{unit}");
        let streams = values("ListenStream");
        // Nobody is redirected before an operator says so.
        match listed(&name) {
            Some(address) => assert_eq!(streams, [address], "{unit}"),
            None => assert_eq!(name, "transparent"),
        }
        assert_eq!(values("ListenDatagram"), if name == "dns" { streams } else { Vec::new() }, "{unit}");
        names.insert(name);
    }
    let known = ["admin", "dns", "http", "https", "proxy", "transparent"].map(str::to_owned);
    assert_eq!(names, known.into());
    let file = root().join("deploy/systemd/stubgate.yaml");
    let checked = Command::new(appliance::binary()).args(["config", "check"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", both(&checked));
}

#[test]
fn users_and_folders_are_those_of_the_service() {
    let machine = tempfile::tempdir().unwrap();
    let run = |program: &str, arguments: &[&str], file: &str| {
        let at = format!("--root={}", machine.path().display());
        let output = Command::new(program).arg(at).args(arguments).arg(root().join(file)).output().expect(program);
        assert!(output.status.success(), "{program}: {}", both(&output));
        both(&output)
    };
    // Dry: what is made is told.
    let said = run("systemd-sysusers", &["--dry-run"], "deploy/systemd/sysusers.conf");
    assert!(said.contains("Creating user 'stubgate'"), "{said}");
    let service = read("deploy/systemd/stubgate.service");
    let tmpfiles = read("deploy/systemd/tmpfiles.conf");
    assert!(service.contains("\nUser=stubgate\nGroup=stubgate\n"));
    for folder in ["/var/lib/stubgate", "/var/log/stubgate"] {
        let line = tmpfiles.lines().find(|line| line.contains(folder)).unwrap();
        assert_eq!(line.split_whitespace().collect::<Vec<_>>()[2..5], ["0700", "stubgate", "stubgate"], "{line}");
    }
    // What it reads it can't write.
    for line in tmpfiles.lines().filter(|line| line.contains("/etc/")) {
        assert_eq!(line.split_whitespace().nth(3), Some("root"), "{line}");
    }
}

#[test]
fn the_package_has_the_version_of_the_program() {
    let cargo = read("Cargo.toml");
    let version = cargo.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap();
    assert!(read("deploy/debian/changelog").starts_with(&format!("stubgate ({version}-1) ")));
}

fn tags(arguments: &[&str], known: &str) -> Result<String, String> {
    let mut child = Command::new(root().join("deploy/image/tags"));
    child.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // Who needs no list may have ended already.
    let _ = child.stdin.take().unwrap().write_all(known.replace(' ', "\n").as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    if output.status.success() { Ok(text) } else { Err(both(&output)) }
}

#[test]
fn an_image_gets_the_tags_that_no_newer_release_has() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(tags(&["main", commit], ""), Ok(format!("main sha-{commit}")));
    for (version, known, expected) in [
        ("v1.0.0", "", "v1.0.0 v1.0 v1 latest"),
        ("v1.3.0", "v1.2.9 v1.3.0 v1.10.0-rc.1", "v1.3.0 v1.3 v1 latest"),
        ("v1.10.0", "v1.9.0 v1.2.0", "v1.10.0 v1.10 v1 latest"),
        ("v1.2.4", "v1.2.3 v1.3.0 v2.0.0 v10.0.0 other", "v1.2.4 v1.2"),
        ("v1.3.1", "v1.3.0 v2.0.0 v11.0.0", "v1.3.1 v1.3 v1"),
        ("v2.0.0-rc.1", "v1.3.0", "v2.0.0-rc.1"),
    ] {
        assert_eq!(tags(&["release", version], known).as_deref(), Ok(expected), "{version} beside {known}");
    }
    for wrong in
        [&["release", "1.0.0"][..], &["release", "v1.0"], &["release", "latest"], &["main", "main"], &["latest"], &[]]
    {
        assert!(tags(wrong, "").is_err(), "{wrong:?}");
    }
}

/// Read by Python's parser: YAML belongs to another crate here.
fn workflows() -> Vec<(String, Value)> {
    let script =
        "import json, sys, yaml\nprint(json.dumps({f: yaml.load(open(f), yaml.BaseLoader) for f in sys.argv[1:]}))";
    let entries = fs::read_dir(root().join(".github/workflows")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = entries.collect();
    let output = Command::new("/usr/bin/python3").args(["-c", script]).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", both(&output));
    let Value::Object(all) = serde_json::from_slice(&output.stdout).unwrap() else { panic!() };
    all.into_iter().map(|(path, value)| (path.rsplit('/').next().unwrap().to_owned(), value)).collect()
}

#[test]
fn workflows_name_actions_by_digest_and_have_no_right_that_they_need_not() {
    let workflows = workflows();
    assert!(workflows.len() >= 3);
    for (name, workflow) in &workflows {
        let text = read(&format!(".github/workflows/{name}"));
        for line in text.lines().filter(|line| line.contains("uses: ") && !line.contains("uses: ./")) {
            let (_, version) = line.split_once('@').unwrap();
            let (digest, comment) = version.split_once(" # v").unwrap_or_else(|| panic!("{name}: {line}: no version"));
            assert!(digest.len() == 40 && digest.chars().all(|one| one.is_ascii_hexdigit()), "{name}: {line}");
            assert!(comment.split('.').count() == 3, "{name}: {line}");
        }
        let rights = &workflow["permissions"];
        assert!(
            rights.as_object().is_some_and(|rights| rights.values().all(|right| right == "read")),
            "{name}: {rights}"
        );
        for (job, body) in workflow["jobs"].as_object().unwrap() {
            let writes = body["permissions"].as_object().into_iter().flatten().filter(|(_, right)| *right == "write");
            let writes: Vec<&str> = writes.map(|(of, _)| of.as_str()).collect();
            let expected: &[&str] = match (name.as_str(), job.as_str()) {
                ("image.yml", "image") => &["packages"],
                ("release.yml", "publish") => &["attestations", "id-token", "packages"],
                ("release.yml", "release") => &["attestations", "contents", "id-token"],
                _ => &[],
            };
            assert_eq!(
                writes.into_iter().collect::<BTreeSet<_>>(),
                expected.iter().copied().collect(),
                "{name}: {job}"
            );
            // What others wrote in a pull request or a tag is no part of a script.
            for step in body["steps"].as_array().into_iter().flatten() {
                assert!(!step["run"].as_str().unwrap_or_default().contains("${{"), "{name}: {job}: {step}");
            }
        }
        assert!(workflow["on"]["pull_request_target"].is_null(), "{name}");
    }
    let image = read(".github/workflows/image.yml");
    assert!(image.contains("deploy/image/tags main") && !image.contains("tags release"));
}
