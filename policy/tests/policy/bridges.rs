//! The policies that come with bridges: clean, and doing what their tests say.

use std::fs;
use std::path::{Path, PathBuf};

use stubgate_policy::{SourceFile, cases, compile};

use crate::cases::Plain;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent-image/bridges")
}

fn read(path: &Path) -> SourceFile {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceFile { name: path.display().to_string(), text }
}

#[test]
fn every_ready_made_bridge_has_a_policy_without_a_warning() {
    let mut seen = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let bridge = entry.unwrap().path();
        if bridge.join("server.py").exists() {
            let path = bridge.join("policy.yaml");
            let compiled = compile(&[read(&path)]).unwrap_or_else(|found| panic!("{}: {found:#?}", path.display()));
            assert_eq!(compiled.warnings, [], "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 8, "only {seen} bridges");
}

#[test]
fn the_policy_of_a_new_bridge_is_clean_and_its_tests_reach_every_rule() {
    for kind in ["in-container", "workload"] {
        let folder = folder().join("_new").join(kind).join("policy");
        let filled = |path: &Path| {
            let SourceFile { name, text } = read(path);
            SourceFile { name, text: text.replace("__NAME__", "lab-tickets") }
        };
        let compiled = compile(&[filled(&folder.join("policy.yaml"))]).unwrap_or_else(|found| panic!("{found:#?}"));
        assert_eq!(compiled.warnings, [], "{kind}");
        let files = [filled(&folder.join("tests/__NAME__.yaml"))];
        let cases = cases::read(&compiled.policy, &files).unwrap_or_else(|found| panic!("{found:#?}"));
        let report = cases::run(&compiled.policy, &cases, &Plain);
        assert_eq!(report.failed(), 0, "{}", cases::render(&report, &cases, &files, true, false));
        assert_eq!(report.coverage.reached.len(), compiled.policy.rules().len(), "{kind}");
    }
}
