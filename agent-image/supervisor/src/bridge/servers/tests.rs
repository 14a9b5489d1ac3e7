use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::agent::AgentFile;

fn agent(folder: &Path, shared: &str, own: &str) -> Agent {
    let agents = folder.join("agents");
    for (name, text) in [("_shared", shared), ("devbot", own)] {
        fs::create_dir_all(agents.join(name)).unwrap();
        fs::write(agents.join(name).join(file::NAME), text).unwrap();
    }
    let place = crate::bridge::testing::place(folder);
    Agent { name: "devbot".into(), file: AgentFile::default(), place }
}

fn wrong(text: &str) -> String {
    let folder = TempDir::new().unwrap();
    servers(&agent(folder.path(), text, "{}")).unwrap_err().to_string()
}

#[test]
fn each_kind_is_told_in_the_clients_own_words() {
    let folder = TempDir::new().unwrap();
    let text = r#"
bridges:
  github:
    stdio: { command: [python, "{here}/server.py", --read-only] }
    package: { python: "mcp==1.30.0" }
    environment: { GITHUB_TOKEN: proxy-token-github }
  weather:
    http: { command: [/usr/bin/weather, "{port}"], port: 7801 }
  nats:
    remote: { url: "https://nats.example.com/mcp", stub: proxy-token-nats }
  odd:
    remote: { url: "https://odd.example.com/mcp", stub: proxy-token-odd, slot: "header:x-api-key" }
  bare:
    remote: { url: "https://bare.example.com/mcp", stub: proxy-token-bare, slot: bare }
"#;
    let agent = agent(folder.path(), text, "{}");
    let found = Value::Object(servers(&agent).unwrap());
    let home = agent.place.home.display().to_string();
    let here = agent.place.agents.join("_shared").display().to_string();
    assert_eq!(
        found,
        json!({
            "github": {
                "type": "stdio",
                "command": format!("{home}/.local/state/stubgate-agent/bridges/github/current/bin/python"),
                "args": [format!("{here}/server.py"), "--read-only"],
                "env": { "GITHUB_TOKEN": "proxy-token-github" },
            },
            "weather": { "type": "http", "url": "http://127.0.0.1:7801/mcp" },
            "nats": {
                "type": "http",
                "url": "https://nats.example.com/mcp",
                "headers": { "Authorization": "Bearer proxy-token-nats" },
            },
            "odd": {
                "type": "http",
                "url": "https://odd.example.com/mcp",
                "headers": { "x-api-key": "proxy-token-odd" },
            },
            "bare": {
                "type": "http",
                "url": "https://bare.example.com/mcp",
                "headers": { "Authorization": "proxy-token-bare" },
            },
        })
    );
}

#[test]
fn an_agents_entry_stands_over_the_shared_one_whole_and_may_take_it_away() {
    let folder = TempDir::new().unwrap();
    let shared = "
bridges:
  one: { stdio: { command: [/bin/one] }, required: true }
  two: { stdio: { command: [/bin/two] } }
";
    let own = r#"
bridges:
  one: { remote: { url: "https://one.example.com/mcp", stub: proxy-token-one } }
  two: { disabled: true }
"#;
    let agent = agent(folder.path(), shared, own);
    let found = servers(&agent).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["one"]);
    assert_eq!(found["one"]["type"], "http");
    assert!(!file::read(&agent).unwrap()["one"].required);
}

#[test]
fn an_agent_without_a_file_has_no_bridges() {
    let folder = TempDir::new().unwrap();
    let agent = agent(folder.path(), "{}", "{}");
    fs::remove_dir_all(&agent.place.agents).unwrap();
    assert!(servers(&agent).unwrap().is_empty());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (text, why) in [
        ("bridges: { a: { stdio: { command: [] } } }", "bridge a: command"),
        ("bridges: { a: { required: true } }", "exactly one of"),
        ("bridges: { a: { stdio: { command: [/a] }, http: { command: [/a], port: 7000 } } }", "exactly one of"),
        ("bridges: { a: { stdio: { command: [/a] }, requird: true } }", "requird"),
        ("bridges: { A: { stdio: { command: [/a] } } }", "bridge A: a name"),
        ("bridges: { \"../a\": { stdio: { command: [/a] } } }", "a name"),
        ("bridges: { a: { stdio: { command: [/a] }, package: { python: mcp } } }", "not pinned"),
        ("bridges: { a: { stdio: { command: [/a] }, package: { python: \"mcp>=1\" } } }", "not pinned"),
        ("bridges: { a: { stdio: { command: [/a] }, package: { python: \"mcp==../1\" } } }", "not pinned"),
        ("bridges: { a: { stdio: { command: [/a] }, package: { python: \"a==1\", with: [b] } } }", "not pinned"),
        ("bridges: { a: { http: { command: [/a], port: 80 } } }", "port 80"),
        ("bridges: { a: { http: { command: [/a], port: 7000, path: mcp } } }", "path"),
        ("bridges: { a: { remote: { url: \"http://nats.example.com/mcp\", stub: proxy-token } } }", "https://"),
        ("bridges: { a: { remote: { url: \"https://u:p@nats.example.com/\", stub: proxy-token } } }", "no login"),
        ("bridges: { a: { remote: { url: \"https://x.example.com/\", stub: \"two words\" } } }", "stub"),
        (
            "bridges: { a: { remote: { url: \"https://x.example.com/\", stub: proxy-token, slot: cookie } } }",
            "a slot is",
        ),
        ("bridges: { a: { stdio: { command: [/a] }, probe: { every_seconds: 1 } } }", "every_seconds"),
    ] {
        let said = wrong(text);
        assert!(said.contains(why) && said.contains(file::NAME), "{text}: {said}");
    }
}
