//! The real yaml-language-server with our schemas, spoken to as an editor does: over standard input and output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A language server and the messages that it has sent.
struct Server {
    child: Child,
    stdin: ChildStdin,
    messages: Receiver<Value>,
    folder: tempfile::TempDir,
    files: usize,
}

impl Server {
    fn start() -> Server {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
        let program = workspace().join(target).join("lab-node/node_modules/.bin/yaml-language-server");
        assert!(program.exists(), "{} is missing: run tests/setup", program.display());
        let mut child = Command::new("node")
            .arg(program)
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node");
        let stdin = child.stdin.take().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = channel();
        thread::spawn(move || {
            while let Some(message) = read(&mut stdout) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut server = Server { child, stdin, messages, folder: tempfile::tempdir().unwrap(), files: 0 };
        let capabilities = json!({ "textDocument": { "publishDiagnostics": {} } });
        let params = json!({ "processId": std::process::id(), "rootUri": null, "capabilities": capabilities });
        server.send(json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }));
        server.wait(|message| message["id"] == 1 && message.get("result").is_some());
        server.notify("initialized", json!({}));
        // Only the schema that a file names: nothing is fetched.
        let settings = json!({ "yaml": { "validate": true, "schemaStore": { "enable": false } } });
        server.notify("workspace/didChangeConfiguration", json!({ "settings": settings }));
        server
    }

    /// Opens a text that names one of our schemas, and gives what the editor would underline.
    fn diagnostics(&mut self, of: &str, text: &str) -> Vec<Value> {
        let schema = workspace().join(format!("deploy/schema/{of}.json")).canonicalize().unwrap();
        // A file of its own: what is said of an earlier text can't be taken for this one's.
        self.files += 1;
        let path = self.folder.path().join(format!("{of}-{}.yaml", self.files));
        let uri = format!("file://{}", path.display());
        let text = format!("# yaml-language-server: $schema=file://{}\n{text}", schema.display());
        fs::write(&path, &text).unwrap();
        let document = json!({ "uri": uri, "languageId": "yaml", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
        let told = self.wait(|message| {
            message["method"] == "textDocument/publishDiagnostics" && message["params"]["uri"] == json!(uri)
        });
        told["params"]["diagnostics"].as_array().unwrap().clone()
    }

    fn notify(&mut self, method: &str, params: Value) {
        self.send(json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    fn send(&mut self, message: Value) {
        let body = message.to_string();
        write!(self.stdin, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        self.stdin.flush().unwrap();
    }

    /// The next message of that kind. What the server asks meanwhile is answered with nothing, as a plain editor does.
    fn wait(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).expect("an answer of the language server");
            if wanted(&message) {
                return message;
            }
            if message.get("method").is_some() && message.get("id").is_some() {
                let id = message["id"].clone();
                self.send(json!({ "jsonrpc": "2.0", "id": id, "result": null }));
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One message: headers, an empty line, JSON.
fn read(from: &mut impl BufRead) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("Content-Length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Line and columns, from 0, of a word that stands once in a text below the line that names the schema.
fn range_of(text: &str, word: &str) -> Value {
    let (line, at) = text
        .lines()
        .enumerate()
        .find_map(|(line, text)| Some((line + 1, text.find(word)?)))
        .unwrap_or_else(|| panic!("{word} is not there"));
    json!({
        "start": { "line": line, "character": at },
        "end": { "line": line, "character": at + word.len() },
    })
}

const POLICY: &str = "version: 1
agents:
  devbot: { sources: [\"10.42.0.11/32\"] }
rules:
  - name: read
    agents: [devbot]
    hosts: [api.example.com]
    methods: [GET]
";

#[test]
fn an_unknown_key_is_underlined_where_it_stands() {
    let mut server = Server::start();
    assert_eq!(server.diagnostics("policy", POLICY), Vec::<Value>::new());
    let cases = [
        ("policy", POLICY.replace("methods:", "mehtods:"), "mehtods"),
        ("policy", POLICY.replace("sources:", "sorces:"), "sorces"),
        ("policy", format!("{POLICY}inclood: []\n"), "inclood"),
        (
            "tests",
            "tests:\n  - { name: x, agent: a, request: GET https://x.example/, expects: allow }\n".to_owned(),
            "expects",
        ),
        (
            "config",
            "listen: { proxy: [\"127.0.0.1:3128\"] }\npolicy: [/x]\nlimits:\n  conections: 5\n".to_owned(),
            "conections",
        ),
    ];
    for (of, text, key) in cases {
        let found = server.diagnostics(of, &text);
        let unknown: Vec<&Value> = found
            .iter()
            .filter(|diagnostic| diagnostic["message"].as_str().unwrap().contains(&format!("{key} is not allowed")))
            .collect();
        assert_eq!(unknown.len(), 1, "{key}: {found:?}");
        assert_eq!(unknown[0]["range"], range_of(&text, key), "{key}");
    }
}

#[test]
fn a_word_that_is_no_choice_is_underlined_and_a_missing_key_is_named() {
    let mut server = Server::start();
    let text = POLICY.replace("methods: [GET]", "effect: dney");
    let found = server.diagnostics("policy", &text);
    let messages: Vec<&str> = found.iter().map(|diagnostic| diagnostic["message"].as_str().unwrap()).collect();
    assert!(messages.iter().any(|message| message.contains("\"methods\"")), "{messages:?}");
    let choice = found.iter().find(|diagnostic| diagnostic["range"] == range_of(&text, "dney"));
    assert!(choice.is_some_and(|found| found["message"].as_str().unwrap().contains("\"observe\"")), "{found:?}");
}

#[test]
fn every_preset_s_policy_and_cases_are_good_to_an_editor() {
    let mut server = Server::start();
    let mut seen = 0;
    for entry in fs::read_dir(workspace().join("deploy/presets")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        for (of, file) in [("policy", "policy.yaml"), ("tests", "tests/cases.yaml")] {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            let found = server.diagnostics(of, &text);
            assert_eq!(found, Vec::<Value>::new(), "{}", folder.join(file).display());
            let found = server.diagnostics(of, &format!("{text}zzzz: 1\n"));
            assert_eq!(found.len(), 1, "{}: {found:?}", folder.join(file).display());
            seen += 1;
        }
    }
    assert!(seen >= 20);
}
