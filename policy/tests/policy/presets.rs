//! Presets: that a released one stays what it was, that each keeps its promises, and that no value breaks out of one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use stubgate_policy::{Effect, SourceFile, cases, compile, preset};

use crate::cases::Plain;
use crate::support::{ask_with, policy, policy_of};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/presets")
}

fn read(path: &Path) -> SourceFile {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceFile { name: path.display().to_string(), text }
}

#[test]
fn a_released_preset_never_changes() {
    let sums = read(&folder().join("SHA256SUMS")).text;
    let mut listed = BTreeSet::new();
    for line in sums.lines() {
        let (sum, file) = line.split_once("  ").unwrap();
        let digest = Sha256::digest(read(&folder().join(file)).text);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, sum, "{file} was changed: make a new version, and leave this one as it was");
        listed.insert(file.trim_end_matches(".yaml").to_owned());
    }
    let released: BTreeSet<String> = preset::released().iter().map(ToString::to_string).collect();
    assert_eq!(listed, released);
    for preset in preset::released() {
        assert_eq!(preset.text(), read(&folder().join(format!("{preset}.yaml"))).text);
    }
}

#[test]
fn every_preset_does_what_its_cases_say_and_every_rule_of_it_has_one() {
    for preset in preset::released() {
        let files = [read(&folder().join(format!("{preset}/policy.yaml")))];
        let policy = compile(&files).unwrap_or_else(|found| panic!("{preset}: {found:#?}")).policy;
        let files = [read(&folder().join(format!("{preset}/tests/cases.yaml")))];
        let cases = cases::read(&policy, &files).unwrap_or_else(|found| panic!("{preset}: {found:#?}"));
        let report = cases::run(&policy, &cases, &Plain);
        assert_eq!(report.failed(), 0, "{}", cases::render(&report, &cases, &files, true, false));
        let last = |name: &str| name.rsplit('/').next().map(str::to_owned);
        let reached: BTreeSet<_> = report.coverage.reached.iter().map(|rule| last(rule)).collect();
        for rule in policy.rules().iter().filter(|rule| rule.preset() == Some(&preset.to_string())) {
            assert!(reached.contains(&last(rule.name())), "no case of {preset} reaches {}", rule.name());
        }
    }
}

#[test]
fn an_include_gives_its_rules_to_its_agents_only_and_under_its_name() {
    let policy = policy(
        "version: 1
agents: { a: { sources: [10.0.0.1/32] }, b: { sources: [10.0.0.2/32] } }
include:
  - { preset: packages@1, agents: [a], with: { hosts: [one.example.com, two.example.com] } }
  - { preset: packages@1, name: more, agents: [b], with: { hosts: [three.example.com] } }
",
    );
    let names: Vec<&str> = policy.rules().iter().map(|rule| rule.name()).collect();
    assert_eq!(names, ["packages@1/download", "packages@1/more/download"]);
    assert!(policy.rules().iter().all(|rule| rule.preset() == Some("packages@1")));
    for (agent, host, allowed) in [
        ("a", "one.example.com", true),
        ("a", "two.example.com", true),
        ("a", "three.example.com", false),
        ("b", "three.example.com", true),
        ("b", "one.example.com", false),
    ] {
        let decision = ask_with(&policy, agent, &format!("GET https://{host}/x"), &[]);
        assert_eq!(decision.granted().is_some(), allowed, "{agent} {host}");
    }
}

#[test]
fn includes_of_all_files_are_merged() {
    let agents = SourceFile {
        name: "agents.yaml".into(),
        text: "version: 1\nagents: { a: { sources: [10.0.0.1/32] } }\n".into(),
    };
    let include = |file: &str| SourceFile {
        name: file.into(),
        text: "version: 1\ninclude: [{ preset: packages@1, agents: [a], with: { hosts: [x.example.com] } }]\n".into(),
    };
    assert_eq!(policy_of(&[agents.clone(), include("x.yaml")]).rules().len(), 1);
    let twice = compile(&[agents, include("x.yaml"), include("y.yaml")]).unwrap_err();
    assert_eq!(twice.iter().map(|found| found.code).collect::<Vec<_>>(), ["SG0104"]);
}

proptest! {
    /// Whatever is given as a repository: if it is taken, exactly that repository is granted.
    #[test]
    fn no_value_breaks_out_of_its_place(
        owner in "[a-z.]{1,6}|[a-z.*%/{}-]{1,6}|\\PC{1,6}",
        name in "[a-z.]{1,6}|[a-z.*%/{}-]{1,6}|\\PC{1,6}",
        other in "(/[a-z.]{1,5}){1,4}",
    ) {
        let value = serde_json::to_string(&format!("{owner}/{name}")).unwrap();
        let text = format!(
            "version: 1\nagents: {{ a: {{ sources: [10.0.0.1/32] }} }}\n\
             credentials: {{ c: {{ stub: stub-of-git, slots: [basic], hosts: [github.com], source: {{ env: C }} }} }}\n\
             include: [{{ preset: github-git@1, agents: [a], credentials: {{ github: c }}, with: {{ repositories: [{value}] }} }}]\n"
        );
        let files = [SourceFile { name: "x.yaml".into(), text }];
        let Ok(compiled) = compile(&files) else { return Ok(()) };
        let policy = compiled.policy;
        prop_assert_eq!(policy.rules().iter().filter(|rule| rule.effect() == Effect::Allow).count(), 3);
        let asked = |path: &str| {
            let Ok(_) = stubgate_policy::Target::parse(path.as_bytes()) else { return false };
            ask_with(&policy, "a", &format!("POST https://github.com{path}"), &[]).granted().is_some()
        };
        let own = format!("/{owner}/{name}.git/git-receive-pack");
        prop_assert!(asked(&own), "{}", own);
        let path = format!("{other}/git-receive-pack");
        let same = [format!("/{owner}/{name}"), format!("/{owner}/{name}.git")].contains(&other);
        prop_assert_eq!(asked(&path), same, "{}", path);
    }
}
