//! How a release is made: tags of images, workflows with few rights that publish nothing untested or unsigned, programs of one version,
//! the documented check of signatures, and images that are described alike wherever that is.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{both, read, root};

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

/// Whether a signer is taken by an expression as `cosign` would take it: anywhere in the text, where it is not anchored.
fn is_taken(signer: &str, by: &str) -> bool {
    let mut grep = Command::new("grep").args(["-qE", by]).stdin(Stdio::piped()).spawn().unwrap();
    // It may have ended already.
    let _ = grep.stdin.take().unwrap().write_all(signer.as_bytes());
    grep.wait().unwrap().success()
}

#[test]
fn the_documented_check_of_signatures_takes_one_repositorys_releases_alone() {
    let guide = read("deploy/image/README.md");
    let signer = guide.lines().find_map(|line| line.strip_prefix("signer='")?.strip_suffix('\'')).unwrap();
    let of = |path: &str| format!("https://github.com/{path}");
    assert!(is_taken(&of("OWNER/REPO/.github/workflows/release.yml@refs/tags/v1.2.3"), signer));
    for other in [
        "MALLORY/REPO/.github/workflows/release.yml@refs/tags/v1.2.3",
        "OWNER/REPO/.github/workflows/image.yml@refs/heads/main",
        "OWNER/REPO/.github/workflows/release.yml@refs/heads/v1.2.3-mine",
        "MALLORY/x/https://github.com/OWNER/REPO/.github/workflows/release.yml@refs/tags/v1.2.3",
        "OWNER/REPO/.github/workflows/release.yml@refs/tags/v1.2.3/more",
    ] {
        assert!(!is_taken(&of(other), signer), "{other}");
    }
    // Nothing is said to be good without naming who signed it.
    let checks: Vec<&str> = guide.lines().filter(|line| line.starts_with("cosign verify")).collect();
    assert!(checks.len() >= 3);
    for check in checks {
        assert!(
            check.contains(r#"--certificate-identity-regexp "$signer" --certificate-oidc-issuer "$issuer" "#),
            "{check}"
        );
    }
}

/// What runs or names a program to build with: workflows, the Makefile, scripts of deployment.
fn recipes() -> Vec<(String, String)> {
    let mut files: Vec<String> = workflows().into_iter().map(|(name, _)| format!(".github/workflows/{name}")).collect();
    let others = [
        "Makefile",
        "tests/setup",
        "tests/setup-go",
        "deploy/debian/build",
        "deploy/image/build",
        "deploy/image/oci.sh",
    ];
    files.extend(others.map(str::to_owned));
    files.into_iter().map(|file| (file.clone(), read(&file))).collect()
}

#[test]
fn programs_that_build_a_release_have_a_version() {
    let mut versions = BTreeSet::new();
    for (file, text) in recipes() {
        for line in text.lines().filter(|line| line.contains("install --locked")) {
            let (_, rest) = line.split_once("install --locked").unwrap();
            let mut words = rest.split([' ', '"', ')', ';']).filter(|word| word.starts_with("cargo-"));
            let (name, version) = words.next().unwrap().split_once('@').unwrap_or_else(|| panic!("{file}: {line}"));
            versions.insert((name.to_owned(), version.to_owned()));
        }
        assert_eq!(text.matches("cargo install").count(), text.matches("cargo install --locked").count(), "{file}");
    }
    // Each has one, wherever it is said.
    let names: BTreeSet<&str> = versions.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names.len(), names), (versions.len(), ["cargo-deb", "cargo-deny"].into()));
    let release = read(".github/workflows/release.yml");
    let compiler = release.lines().find_map(|line| line.trim().strip_prefix("RUSTUP_TOOLCHAIN: ")).unwrap();
    for file in ["deploy/image/Containerfile", "agent-image/Containerfile"] {
        let image =
            read(file).lines().find_map(|line| Some(line.strip_prefix("FROM rust:")?.split('-').next()?.to_owned()));
        assert!(compiler.starts_with(&format!("{}.", image.unwrap())), "{file}");
    }
    assert!(!release.contains(" helm package"), "helm is that of tests/setup-go");
}

#[test]
fn nothing_is_published_that_was_not_tested_nor_tagged_for_people_before_it_is_signed() {
    let all = workflows();
    let of = |name: &str| &all.iter().find(|(file, _)| file == name).unwrap().1;
    for (file, job) in [("image.yml", "image"), ("release.yml", "publish"), ("release.yml", "release")] {
        let jobs = &of(file)["jobs"];
        let needs = &jobs[job]["needs"];
        assert!(
            needs == "test" || needs.as_array().is_some_and(|all| all.contains(&"test".into())),
            "{file}: {job}: {needs}"
        );
        assert_eq!(jobs["test"]["uses"], "./.github/workflows/test.yml", "{file}");
    }
    assert_eq!(of("image.yml")["concurrency"]["cancel-in-progress"], "false");
    let scripts = |job: &str| -> Vec<String> {
        let steps = of("release.yml")["jobs"][job]["steps"].as_array().unwrap().iter();
        steps.map(|step| step["run"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let built = scripts("build");
    let at = |what: &str| built.iter().position(|script| script.contains(what)).unwrap_or_else(|| panic!("{what}"));
    assert!(at("make image deb") < at("rm -rf target") && at("rm -rf target") < at("make images-run"));
    assert!(built[at("rm -rf target")].contains("| diff ") && at("deploy/debian/try") < at("sha256sum -- *"));
    // The version's own tag, then signatures and provenance, the others last.
    let published = scripts("publish");
    let signs = published.iter().position(|script| script.contains("cosign sign")).unwrap();
    assert!(published[signs].contains(r#"<<<"$GITHUB_REF_NAME""#) && !published[signs].contains("tags release"));
    let moves = published.iter().position(|script| script.contains("tags release")).unwrap();
    assert!(moves == published.len() - 1 && published[moves].contains("sed 1d"));
}

#[test]
fn programs_are_installed_before_checks_look_for_them() {
    let make = read("Makefile");
    let (_, check) = make.split_once("\ncheck: toolchain\n").unwrap();
    assert!(check.find("./tests/setup\n").unwrap() < check.find("actionlint").unwrap());
}

/// What an image says of itself: user, folder, volumes, ports, program, arguments.
type Told = (String, String, BTreeSet<String>, BTreeSet<String>, String, String);

fn of_containerfile(path: &str) -> Told {
    let text = read(path);
    let (_, last) = text.rsplit_once("\nFROM ").unwrap();
    let line = |key: &str| {
        last.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{path}: {key}")).to_owned()
    };
    let words = |text: String| -> BTreeSet<String> { serde_json::from_str(&text).unwrap() };
    let ports = line("EXPOSE ")
        .split(' ')
        .map(|port| if port.contains('/') { port.to_owned() } else { format!("{port}/tcp") })
        .collect();
    let command: Vec<String> = serde_json::from_str(&line("CMD ")).unwrap();
    (line("USER "), line("WORKDIR "), words(line("VOLUME ")), ports, line("ENTRYPOINT "), command.join(" "))
}

fn of_build(path: &str) -> Told {
    let text = read(path);
    let value = |key: &str| -> String {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{key}=")))
            .unwrap_or_else(|| panic!("{path}: {key}"));
        line.trim_matches(['"', '(', ')']).to_owned()
    };
    let user = value("user");
    let all = |option: &str| -> Vec<String> {
        let option = format!("{option} ");
        let said = text.split(&option).skip(1).map(|rest| {
            let end = if rest.starts_with(['"', '\'']) {
                rest[1..].find(&rest[..1]).map(|at| at + 2)
            } else {
                rest.find(char::is_whitespace)
            };
            rest[..end.unwrap_or(rest.len())].trim_end_matches([')', ';']).trim_matches(['"', '\'']).to_owned()
        });
        said.filter(|word| !word.is_empty()).collect()
    };
    let one = |option: &str| all(option).remove(0).replace("$user", &user);
    // Of a list, as the agent's has it.
    let volumes = all("--volume").into_iter().flat_map(|volume| match volume.as_str() {
        "/$place" => value("places").split(' ').chain(["tmp"]).map(|place| format!("/{place}")).collect(),
        _ => vec![volume],
    });
    (
        one("--user"),
        one("--workingdir"),
        volumes.collect(),
        all("--port").into_iter().collect(),
        one("--entrypoint"),
        one("--cmd"),
    )
}

#[test]
fn an_image_is_the_same_by_its_containerfile_and_by_its_build() {
    for folder in ["deploy/image", "agent-image"] {
        let told = of_build(&format!("{folder}/build"));
        assert_eq!(of_containerfile(&format!("{folder}/Containerfile")), told, "{folder}");
        assert!(told.2.len() * told.3.len() >= 5 && told.0.contains(':'), "{folder}: {told:?}");
    }
}
