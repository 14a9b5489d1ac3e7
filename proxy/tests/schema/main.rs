//! The JSON Schemas: that they are what is checked in, and that they agree with the readers of the files.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod validator;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stubgate_policy::diagnostic::Diagnostic;
use stubgate_policy::{SourceFile, compile, schema, source};
use stubgate_proxy::config;
use validator::errors;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> SourceFile {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    SourceFile { name: path.display().to_string(), text }
}

fn value(file: &SourceFile) -> Value {
    source::read(0, file).unwrap_or_else(|found| panic!("{}: {found:#?}", file.name))
}

/// Every example of a document, and what a reader pastes into a shell.
fn blocks(document: &Path) -> Vec<SourceFile> {
    let text = read(document).text;
    let blocks = text.split("```yaml\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let pasted = text.split("<<'EOF'\n").skip(1).map(|block| block.split_once("\nEOF\n").unwrap().0);
    let named = |(number, text): (usize, &str)| SourceFile {
        name: format!("{} example {}", document.display(), number + 1),
        text: text.to_owned(),
    };
    blocks.chain(pasted).enumerate().map(named).collect()
}

fn files_in(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(ending));
    paths.sort();
    paths
}

/// Every example of the documents.
fn examples() -> Vec<SourceFile> {
    let documents = [
        "README.md",
        "docs/policy/reference.md",
        "docs/configuration.md",
        "docs/kubernetes.md",
        "docs/policy/presets.md",
        "docs/policy/editor.md",
        "docs/stubs.md",
    ];
    documents.iter().flat_map(|document| blocks(&root().join(document))).collect()
}

fn policies() -> Vec<SourceFile> {
    let mut all: Vec<SourceFile> = examples().into_iter().filter(|file| file.text.contains("version: 1")).collect();
    all.push(read(&root().join("policy/tests/policy/example.yaml")));
    let presets = files_in(&root().join("deploy/presets"), "@1");
    all.extend(presets.iter().map(|folder| read(&folder.join("policy.yaml"))));
    assert!(all.len() >= 13);
    all
}

fn cases() -> Vec<SourceFile> {
    let presets = files_in(&root().join("deploy/presets"), "@1");
    let mut all: Vec<SourceFile> = examples().into_iter().filter(|file| file.text.starts_with("tests:")).collect();
    all.extend(presets.iter().map(|folder| read(&folder.join("tests/cases.yaml"))));
    all
}

fn configurations() -> Vec<SourceFile> {
    let all: Vec<SourceFile> = examples().into_iter().filter(|file| file.text.contains("listen:")).collect();
    assert!(all.len() >= 2);
    all
}

fn check_policy(text: String) -> Vec<Diagnostic> {
    match compile(&[SourceFile { name: "policy.yaml".into(), text }]) {
        Ok(_) => Vec::new(),
        Err(found) => found,
    }
}

fn check_config(text: String) -> Vec<Diagnostic> {
    match config::compile(SourceFile { name: "stubgate.yaml".into(), text }) {
        Ok(_) => Vec::new(),
        Err(problem) => problem.diagnostics,
    }
}

#[test]
fn what_is_checked_in_is_what_the_code_says() {
    for (of, generated) in [("policy", schema::policy()), ("tests", schema::tests()), ("config", config::schema())] {
        let path = root().join(format!("deploy/schema/{of}.json"));
        let wanted = format!("{generated:#}\n");
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == wanted,
            "run: stubgate policy schema {of} >deploy/schema/{of}.json"
        );
    }
}

#[test]
fn every_key_is_described() {
    fn walk(schema: &Value, at: &str, keys: &mut usize) {
        for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
            let about = schema["description"].as_str().unwrap_or_default();
            assert!(about.ends_with(['.', '1']) && about.len() > 8, "{at}/{key}: {about:?}");
            walk(schema, &format!("{at}/{key}"), keys);
            *keys += 1;
        }
        for inner in ["items", "additionalProperties"] {
            if schema[inner].is_object() {
                walk(&schema[inner], at, keys);
            }
        }
    }
    let mut keys = 0;
    walk(&schema::policy(), "policy", &mut keys);
    walk(&schema::tests(), "tests", &mut keys);
    assert!(keys > 40, "{keys}");
    walk(&config::schema(), "config", &mut keys);
    for section in ["limits", "timeouts"] {
        let known = config::schema()["properties"][section]["properties"].as_object().unwrap().len();
        let keys = if section == "limits" { config::Limits::KEYS } else { config::Timeouts::KEYS };
        assert_eq!(known, keys.len(), "{section}");
    }
}

#[test]
fn every_good_file_is_accepted() {
    for (schema, files) in
        [(schema::policy(), policies()), (schema::tests(), cases()), (config::schema(), configurations())]
    {
        for file in files {
            assert_eq!(errors(&schema, &value(&file)), Vec::<String>::new(), "{}", file.name);
        }
    }
}

/// Every map of a value that the schema gives its keys, as JSON pointers.
fn maps(schema: &Value, value: &Value, at: &str, into: &mut Vec<(String, Value)>) {
    if let Some(map) = value.as_object() {
        if schema["additionalProperties"] == false {
            into.push((at.to_owned(), schema.clone()));
        }
        for (key, value) in map {
            let inner = match &schema["properties"][key] {
                Value::Null => &schema["additionalProperties"],
                known => known,
            };
            maps(inner, value, &format!("{at}/{key}"), into);
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        maps(&schema["items"], item, &format!("{at}/{index}"), into);
    }
}

/// Adds an unknown key to every map, takes every required key out of every map, and puts every word of every choice in
/// its place: schema and reader must agree.
fn agree(schema: &Value, file: &SourceFile, check: fn(String) -> Vec<Diagnostic>) -> usize {
    let good = value(file);
    let mut all = Vec::new();
    maps(schema, &good, "", &mut all);
    for (at, inner) in &all {
        let changed = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
            let mut changed = good.clone();
            change(changed.pointer_mut(at).unwrap().as_object_mut().unwrap());
            (errors(schema, &changed), check(changed.to_string()))
        };
        let (said, found) = changed(&|map| {
            map.insert("zzzz".into(), json!(1));
        });
        assert!(said.iter().any(|said| said.ends_with("zzzz: unknown key")), "{} {at}: {said:?}", file.name);
        assert!(found.iter().any(|found| found.code == "SG0010"), "{} {at}: {found:?}", file.name);
        for key in inner["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let (said, found) = changed(&|map| {
                map.remove(key);
            });
            assert!(!said.is_empty(), "{} {at}: without {key}", file.name);
            assert!(found.iter().any(|found| found.code == "SG0011"), "{} {at}: without {key}: {found:?}", file.name);
        }
        for (key, of) in inner["properties"].as_object().unwrap() {
            for word in of["enum"].as_array().into_iter().flatten() {
                let (said, found) = changed(&|map| {
                    map.insert(key.clone(), word.clone());
                });
                assert!(said.is_empty(), "{} {at}: {key}: {word}: {said:?}", file.name);
                let refused = found.iter().any(|found| ["SG0109", "SG0190"].contains(&found.code));
                assert!(!refused, "{} {at}: {key}: {word}: {found:?}", file.name);
            }
            if of["enum"].is_array() {
                let (said, found) = changed(&|map| {
                    map.insert(key.clone(), json!("zzzz"));
                });
                assert!(!said.is_empty() && !found.is_empty(), "{} {at}: {key}: zzzz", file.name);
            }
        }
    }
    all.len()
}

#[test]
fn schema_and_reader_of_policies_agree_on_keys_and_choices() {
    let schema = schema::policy();
    let seen: usize = policies().iter().map(|file| agree(&schema, file, check_policy)).sum();
    assert!(seen > 60, "{seen}");
}

#[test]
fn schema_and_reader_of_configurations_agree_on_keys() {
    let schema = config::schema();
    let whole = SourceFile {
        name: "stubgate.yaml".into(),
        text: r#"
listen: { dns: ["0.0.0.0:53"], http: [], https: [], proxy: ["[::1]:3128"], transparent: ["0.0.0.0:15001", { tproxy: "[::]:15002" }], admin: ["127.0.0.1:9090"] }
advertise: ["10.43.100.100"]
policy: [/etc/stubgate/policy]
state_dir: /var/lib/stubgate
ca: { certificate_file: /ca.pem, key_file: /ca.key }
dns: { forward: [{ zones: [cluster.local], to: ["10.43.0.10:53"] }] }
limits: { connections: 5 }
timeouts: { idle_seconds: 5 }
upstream:
  nameservers: ["10.0.0.2:53"]
  ca_files: [/root.pem]
  connect_to: { "api.github.com:443": "127.0.0.1:8443" }
  allow_private: [{ hosts: [registry.corp.example], networks: ["10.1.2.0/24"] }]
audit: { files: [{ path: /var/log/audit, max_bytes: 100000, keep: 3, durable: true }] }
stubs: { key_file: /etc/stubgate/stub.key, revoked_file: /etc/stubgate/revoked/stubs }
process: { user: stubgate, require_lockdown: true, credential_folders: [/run/more] }
escrow:
  store: { postgres: { host: db.corp.example, port: 5432, database: logins, user: stubgate, password_file: /run/p, ca_file: /ca.pem } }
  key: { file: /run/key }
kubernetes: { kubeconfig: /etc/stubgate/kubeconfig, context: c, namespaces: [agents], stale_after_seconds: 60 }
"#
        .into(),
    };
    assert_eq!(check_config(whole.text.clone()), []);
    assert_eq!(errors(&schema, &value(&whole)), Vec::<String>::new());
    let map = value(&whole);
    for (key, described) in schema["properties"].as_object().unwrap() {
        assert!(map.get(key).is_some(), "{key} is not in the example above");
        assert!(described["description"].is_string());
    }
    assert!(agree(&schema, &whole, check_config) >= 10);
    for file in configurations() {
        agree(&schema, &file, check_config);
    }
}

#[test]
fn numbers_end_where_the_reader_ends_them() {
    let schema = config::schema();
    for section in ["limits", "timeouts"] {
        for (key, of) in schema["properties"][section]["properties"].as_object().unwrap() {
            let (low, high) = (of["minimum"].as_u64().unwrap(), of["maximum"].as_u64().unwrap());
            assert!((low..=high).contains(&of["default"].as_u64().unwrap()), "{key}");
            let below = low.checked_sub(1).map(|less| (less, false));
            for (number, good) in [(low, true), (high, true), (high + 1, false)].into_iter().chain(below) {
                let mut file = json!({ "listen": { "proxy": ["127.0.0.1:1"] }, "policy": ["/x"] });
                file[section] = json!({ key: number });
                assert_eq!(errors(&schema, &file).is_empty(), good, "{key}: {number}");
                assert_eq!(check_config(file.to_string()).is_empty(), good, "{key}: {number}");
            }
        }
    }
}
