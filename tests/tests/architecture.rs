//! Who may depend on whom, as DESIGN draws it, held against what cargo says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// Every edge between our crates that may exist, as `from → to`, without the common prefix.
const EDGES: [(&str, &str); 13] = [
    ("dns", "policy"),
    ("credentials", "policy"),
    ("credentials", "scrub"),
    ("proxy", "policy"),
    ("proxy", "certs"),
    ("proxy", "dns"),
    ("proxy", "h1"),
    ("proxy", "scrub"),
    ("proxy", "websocket"),
    ("proxy", "credentials"),
    ("proxy", "sandbox"),
    ("manual", "proxy"),
    ("proxy", "kubernetes"),
];

/// Crates that only the named ones of ours may use directly, by prefix.
const KEPT: [(&str, &[&str]); 9] = [
    ("hickory-", &["dns"]),
    ("rcgen", &["certs", "agent", "tests"]),
    ("secrecy", &["credentials"]),
    ("serde-saphyr", &["policy", "agent"]),
    ("kube", &["kubernetes"]),
    ("k8s-openapi", &["kubernetes"]),
    ("async-nats", &["agent"]),
    ("pty-process", &["agent"]),
    ("vt100", &["agent"]),
];

/// Every direct dependency in the workspace, of any kind: `(crate, dependency)`.
fn edges() -> BTreeSet<(String, String)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata");
    let mut edges = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("packages") {
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let name =
                |value: &Value| value["name"].as_str().expect("a name").trim_start_matches("stubgate-").to_owned();
            let ours = dependency["path"].is_string();
            let to = if ours { format!("our {}", name(dependency)) } else { name(dependency) };
            edges.insert((name(package), to));
        }
    }
    assert!(edges.len() > 20, "cargo metadata said: {edges:?}");
    edges
}

#[test]
fn our_crates_depend_on_each_other_only_as_drawn() {
    for (from, to) in edges() {
        let Some(to) = to.strip_prefix("our ") else {
            continue;
        };
        assert!(EDGES.contains(&(&*from, to)), "{from} may not depend on {to}");
    }
}

#[test]
fn the_crates_with_a_keeper_are_used_by_it_alone() {
    for (from, to) in edges() {
        for (prefix, keepers) in KEPT {
            let kept = if prefix.ends_with('-') { to.starts_with(prefix) } else { to == prefix };
            assert!(!kept || keepers.contains(&&*from), "{from} may not use {to}");
        }
    }
}

#[test]
fn policy_knows_no_runtime_no_socket_and_no_file_watcher() {
    let refused = ["tokio", "hyper", "rustls", "notify", "socket2", "rand", "reqwest", "tracing"];
    for (from, to) in edges() {
        assert!(from != "policy" || !refused.contains(&&*to), "policy may not use {to}");
    }
}

/// Crates with a module `sys`, and what for.
const UNSAFE: [&str; 3] = ["proxy/credentials/src/sys.rs", "proxy/sandbox/src/sys.rs", "proxy/src/sys.rs"];

#[test]
fn unsafe_code_is_in_the_modules_sys_that_are_named_and_nowhere_else() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut folders =
        ["policy", "certs", "dns", "proxy", "agent-image", "tests/src"].map(|name| root.join(name)).to_vec();
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let is_unsafe = |line: &str| {
                    let code = line.split("//").next().unwrap_or_default();
                    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| code.contains(word))
                };
                if text.lines().any(is_unsafe) {
                    found.insert(path.strip_prefix(&root).unwrap().display().to_string());
                }
            }
        }
    }
    assert_eq!(found, UNSAFE.map(str::to_owned).into());
}
