//! What packages and pipelines bring: units that systemd takes and that leave the appliance no more than it needs, the
//! configuration beside them, guides that do what they say; in [`release`], how images and packages are made and published.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use stubgate_tests::appliance;

#[path = "packaging/release.rs"]
mod release;

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

/// Every line of a guide that makes rules of nftables and loads them: of its scripts and of its unit.
fn loaded(guide: &str) -> Vec<String> {
    let text = read(guide);
    let unit = |line: &str| {
        line.strip_prefix("ExecStart=/bin/sh -ec '").and_then(|line| line.strip_suffix('\'')).map(str::to_owned)
    };
    let lines = text.lines().filter(|line| line.contains("stubgate nft --config"));
    lines.map(|line| unit(line).unwrap_or_else(|| line.to_owned())).collect()
}

/// Programs of the guides: stubgate is the real one, docker runs it here, and nft takes whatever it is given, as it takes an empty set.
fn stand_ins(folder: &Path) {
    for (name, script) in [
        ("stubgate", format!("exec {} \"$@\"", appliance::binary().display())),
        ("docker", "while [ \"$1\" != /stubgate ]; do shift; done; shift; exec stubgate \"$@\"".to_owned()),
        ("sudo", "exec \"$@\"".to_owned()),
        ("install", "while [ \"$1\" != stubgate.nft ]; do shift; done; cp \"$@\"".to_owned()),
        ("nft", "[ \"$1\" = --file ]; if [ \"$2\" = - ]; then cat >loaded; else cat \"$2\" >loaded; fi".to_owned()),
    ] {
        let program = folder.join(name);
        fs::write(&program, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn documented_lines_that_load_rules_fail_where_there_are_none() {
    for (guide, count) in [("docs/nft.md", 3), ("docs/install/compose.md", 1)] {
        let lines = loaded(guide);
        assert_eq!(lines.len(), count, "{guide}: {lines:?}");
        for line in lines {
            let folder = tempfile::tempdir().unwrap();
            let here = folder.path();
            stand_ins(here);
            let path = format!("{}:{}", here.display(), std::env::var("PATH").unwrap());
            let script = ["/etc/", "/run/"].iter().fold(line.clone(), |script, place| {
                fs::create_dir_all(here.join(&place[1..])).unwrap();
                script.replace(place, &format!("{}{place}", here.display()))
            });
            let script = script.replace("--config stubgate.yaml", "--config etc/stubgate/stubgate.yaml");
            let ran = || {
                let shell =
                    Command::new("/bin/sh").args(["-ec", &script]).current_dir(here).env("PATH", &path).output();
                shell.unwrap()
            };
            let configuration = here.join("etc/stubgate/stubgate.yaml");
            fs::create_dir(configuration.parent().unwrap()).unwrap();
            fs::write(&configuration, read("deploy/compose/stubgate.yaml")).unwrap();
            let good = ran();
            assert!(good.status.success(), "{guide}: {script}: {}", both(&good));
            if line.contains("nft --file") {
                assert!(fs::read_to_string(here.join("loaded")).unwrap().contains("table inet"), "{guide}: {script}");
            }
            fs::remove_file(here.join("loaded")).ok();
            fs::write(&configuration, "listen: { dsn: [] }\n").unwrap();
            assert!(!ran().status.success(), "{guide}: a broken configuration passes: {script}");
            assert!(!here.join("loaded").exists(), "{guide}: {script}");
        }
    }
}

/// What the guide has an operator write beside the package's units is taken away with it.
#[test]
fn a_purge_takes_what_the_guide_wrote() {
    let purge = read("deploy/debian/postrm");
    let guide = read("docs/install/systemd.md");
    let (_, rest) = guide.split_once("/etc/systemd/system/stubgate-").unwrap();
    assert!(rest.split_whitespace().next().unwrap().ends_with(".socket.d"));
    for made in ["/etc/systemd/system/stubgate.service.d", "/etc/systemd/system/stubgate-*.socket.d"] {
        assert!(purge.split_whitespace().any(|word| word == made), "{made}");
    }
}

#[test]
fn the_guide_for_systemd_tries_loopback_before_it_listens_for_containers() {
    let guide = read("docs/install/systemd.md");
    let at = |what: &str| guide.find(what).unwrap_or_else(|| panic!("{what}"));
    assert!(at("curl --proxy http://127.0.0.1:3128") < at("sed -i 's/127"));
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path().join("stubgate");
    fs::create_dir_all(here.join("policy")).unwrap();
    fs::copy(root().join("deploy/systemd/stubgate.yaml"), here.join("stubgate.yaml")).unwrap();
    let (_, policy) = guide.split_once("/etc/stubgate/policy/policy.yaml <<'EOF'\n").unwrap();
    fs::write(here.join("policy/policy.yaml"), policy.split_once("EOF\n").unwrap().0).unwrap();
    let seds: Vec<&str> = guide.lines().filter(|line| line.starts_with("sed -i") && line.contains("127")).collect();
    for sed in &seds {
        let script = sed.replace("/etc/stubgate/", &format!("{}/", here.display()));
        assert!(Command::new("sh").args(["-ec", &script]).status().unwrap().success(), "{script}");
    }
    let made = fs::read_to_string(here.join("stubgate.yaml")).unwrap();
    let listens: Vec<&str> = made.lines().filter(|line| line.contains("[\"")).collect();
    assert!(listens.iter().any(|line| line.contains("dns: [\"172.30.0.1:53\"]")), "{made}");
    assert!(listens.iter().any(|line| line.contains("admin: [\"127.0.0.1:9090\"]")), "{made}");
    assert_eq!(listens.iter().filter(|line| line.contains("127.0.0.1")).count(), 1, "{made}");
    assert!(fs::read_to_string(here.join("policy/policy.yaml")).unwrap().contains("sources: [\"172.30.0.11/32\"]"));
    for (area, file) in [("config", "stubgate.yaml"), ("policy", "policy")] {
        let checked = Command::new(appliance::binary()).args([area, "check"]).arg(here.join(file)).output().unwrap();
        assert!(checked.status.success(), "{}", both(&checked));
    }
}
