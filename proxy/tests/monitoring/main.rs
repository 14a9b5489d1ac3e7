//! What stands between a metric and a person: the document that lists the metrics, the alerts with their tests and runbooks, and
//! the dashboard. Each names metrics, labels and words that the code has, and no others.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod alerts;
mod dashboard;
mod expression;
mod metrics;
mod runbooks;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use stubgate_policy::{SourceFile, source};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A YAML file of ours as a value.
fn yaml(path: &str) -> Value {
    let file = SourceFile { name: path.to_owned(), text: read(path) };
    source::read(0, &file).unwrap_or_else(|found| panic!("{path}: {found:#?}"))
}

/// Runs Prometheus' own tool, which must be content.
fn promtool(arguments: &[&str], input: &str) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed (tests/setup)");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}
