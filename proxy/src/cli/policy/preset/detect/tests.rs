//! Real files of each tool, in folders of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use stubgate_policy::{SourceFile, compile};

use super::*;

fn machine(root: &Path, files: &[(&str, &str)], variables: &[(&str, &str)]) -> Machine {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let home = root.join("home/dev");
    let mut all: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    all.insert("HOME".into(), home.display().to_string());
    Machine { root: root.to_owned(), folder: home.join("work/site"), variables: all }
}

fn hosts(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Vec<(String, Vec<Tool>)> {
    let root = tempfile::tempdir().unwrap();
    let found = detect(&machine(root.path(), files, variables));
    assert!(found.unread.is_empty(), "{found:?}");
    let tools = |places: Vec<(Tool, String)>| places.into_iter().map(|(tool, _)| tool).collect();
    found.hosts.into_iter().map(|(host, places)| (host, tools(places))).collect()
}

fn one(host: &str, tool: Tool) -> Vec<(String, Vec<Tool>)> {
    vec![(host.to_owned(), vec![tool])]
}

#[test]
fn npm_is_read_from_variables_and_from_the_files_of_project_user_and_machine() {
    let file = "# ours\nregistry = https://npm.example.com/\n@acme:registry=https://acme.example.com:8443/npm/\n\
                //npm.example.com/:_authToken=secret\n";
    let both =
        vec![("acme.example.com:8443".to_owned(), vec![Tool::Npm]), ("npm.example.com".to_owned(), vec![Tool::Npm])];
    for path in ["home/dev/.npmrc", "home/dev/work/.npmrc", "etc/npmrc", "usr/local/etc/npmrc"] {
        assert_eq!(hosts(&[(path, file)], &[]), both, "{path}");
    }
    for name in ["npm_config_registry", "NPM_CONFIG_REGISTRY"] {
        assert_eq!(hosts(&[], &[(name, "https://npm.example.com/x/")]), one("npm.example.com", Tool::Npm));
    }
}

#[test]
fn pip_is_read_from_variables_and_files_and_no_token_comes_along() {
    let file = "[global]\ntimeout = 60\nindex-url = https://user:secret@pip.example.com/simple\nextra-index-url =\n    \
                https://one.example.com/simple\n    http://two.example.com:8080/simple\n\
                trusted-host = three.example.com\n";
    let all: Vec<_> = ["http://two.example.com:8080", "one.example.com", "pip.example.com"]
        .map(|host| (host.to_owned(), vec![Tool::Pip]))
        .into();
    for path in ["home/dev/.config/pip/pip.conf", "home/dev/.pip/pip.conf", "etc/pip.conf"] {
        assert_eq!(hosts(&[(path, file)], &[]), all, "{path}");
    }
    let url = "https://token@pip.example.com/simple";
    assert_eq!(hosts(&[], &[("PIP_INDEX_URL", url)]), one("pip.example.com", Tool::Pip));
    let extra = "https://one.example.com/simple http://two.example.com:8080/simple";
    assert_eq!(hosts(&[], &[("PIP_EXTRA_INDEX_URL", extra)]).len(), 2);
}

#[test]
fn cargo_is_read_from_source_replacement_and_registries() {
    for text in [
        "[source.crates-io]\nreplace-with = \"mirror\"\n\n[source.mirror]\n\
         registry = \"sparse+https://cargo.example.com/index/\"\n",
        "[registries]\nours = { index = \"sparse+https://cargo.example.com/index/\" }\n",
        "[registries.ours]\nindex = 'https://cargo.example.com/index.git'\n",
        "source.mirror.registry = \"https://cargo.example.com/index\"\n",
    ] {
        for path in ["home/dev/.cargo/config.toml", "home/dev/work/.cargo/config.toml"] {
            assert_eq!(hosts(&[(path, text)], &[]), one("cargo.example.com", Tool::Cargo), "{path}: {text}");
        }
    }
    let vendored = "[source.vendored]\ndirectory = \"vendor\"\n[build]\nindex = \"https://no.example.com\"\n";
    assert_eq!(hosts(&[("home/dev/.cargo/config.toml", vendored)], &[]), []);
    let url = "sparse+https://cargo.example.com/";
    assert_eq!(hosts(&[], &[("CARGO_REGISTRIES_OURS_INDEX", url)]), one("cargo.example.com", Tool::Cargo));
}

#[test]
fn apt_is_read_from_both_formats_and_what_is_off_or_local_is_left_out() {
    let list = "# deb http://no.example.com x main\n\
                deb [arch=amd64 signed-by=/x.gpg] http://apt.example.com/debian stable main # ours\n\
                deb-src https://apt.example.com/debian stable main\n\
                deb cdrom:[Disc]/ stable main\ndeb file:///srv/apt ./\n";
    let sources = "Types: deb\nURIs: https://one.example.com/debian\n https://two.example.com/debian\nSuites: stable\n\n\
                   Enabled: no\nTypes: deb\nURIs: https://off.example.com/\n";
    let all: Vec<_> = ["apt.example.com", "http://apt.example.com", "one.example.com", "two.example.com"]
        .map(|host| (host.to_owned(), vec![Tool::Apt]))
        .into();
    let files = [("etc/apt/sources.list", list), ("etc/apt/sources.list.d/x.sources", sources)];
    assert_eq!(hosts(&files, &[]), all);
}

#[test]
fn what_is_found_is_an_include_that_checks() {
    let root = tempfile::tempdir().unwrap();
    let files = [
        ("home/dev/.npmrc", "registry=https://mirror.example.com/npm/\n@x:registry=${SOMEWHERE}\n"),
        ("etc/apt/sources.list", "deb http://apt.example.com/debian stable main\n"),
    ];
    let variables =
        [("PIP_INDEX_URL", "https://mirror.example.com/simple"), ("UV_INDEX", "a=https://[2001:db8::7]:8443/x")];
    let found = detect(&machine(root.path(), &files, &variables));
    assert_eq!(found.unread.len(), 1);
    let block = found.include().unwrap();
    assert!(block.contains("\"mirror.example.com\"  # npm (") && block.contains("pip (PIP_INDEX_URL)"), "{block}");
    assert!(block.contains("# cargo: nothing is configured"), "{block}");
    let policy = format!("version: 1\nagents: {{ a: {{ sources: [10.0.0.1/32] }} }}\n{block}");
    let compiled = compile(&[SourceFile { name: "x.yaml".into(), text: policy }]).unwrap();
    assert_eq!(compiled.policy.rules()[0].name(), "packages@1/download");
    assert!(detect(&machine(&root.path().join("empty"), &[], &[])).include().is_none());
}

#[test]
fn a_file_name_cannot_break_out_of_its_comment() {
    let root = tempfile::tempdir().unwrap();
    let files = [("etc/apt/sources.list.d/a\n  - b.list", "deb https://apt.example.com/ stable main\n")];
    let block = detect(&machine(root.path(), &files, &[])).include().unwrap();
    assert!(block.lines().all(|line| !line.starts_with("  - b")), "{block}");
}
