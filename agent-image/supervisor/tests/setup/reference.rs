//! `docs/agent/README.md` has every key of `agent.yaml` with its default, and the example of the agents' folder works.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;
use stubgate_agent::agent::AgentFile;
use stubgate_agent::bridge::file::Kind;
use stubgate_agent::{bridge, yaml};

use crate::world::World;

const DOCUMENT: &str = include_str!("../../../../docs/agent/README.md");
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agents");

/// Key and default of every row.
fn rows() -> BTreeMap<String, String> {
    let (_, table) = DOCUMENT.split_once("| key | default | meaning |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|')).map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
    });
    rows.collect()
}

fn parse<T: serde::de::DeserializeOwned>(text: &str) -> T {
    yaml::parse(Path::new("agent.yaml"), text).unwrap_or_else(|error| panic!("{error}"))
}

/// The names of all values, down to those that the table has as one.
fn flat(value: &Value, name: &str, rows: &BTreeMap<String, String>, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) if !rows.contains_key(name) => {
            for (key, value) in map {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flat(value, &name, rows, into);
            }
        }
        other => {
            into.insert(name.into(), other.clone());
        }
    }
}

fn all(value: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    flat(value, "", &rows(), &mut found);
    found
}

fn whole_example() -> &'static str {
    DOCUMENT
        .split("```yaml\n")
        .map(|block| block.split("```").next().unwrap())
        .find(|block| block.starts_with("client:"))
        .unwrap()
}

#[test]
fn the_table_and_the_example_have_every_key_of_agent_yaml_and_no_other() {
    let documented: BTreeSet<String> = rows().into_keys().collect();
    let names = |value: &Value| all(value).into_keys().collect::<BTreeSet<_>>();
    let read: AgentFile = parse(whole_example());
    assert_eq!(names(&serde_json::to_value(read).unwrap()), documented);
    assert_eq!(names(&parse(whole_example())), documented, "a key is not written in the example");
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_code() {
    let sections = "matrix: {}\nquiet_hours: { window: W }\nevents: { server: S, stub: T }\nhook: { command: C }\n\
                    health_prompt: { every_minutes: 7 }\n";
    let file: AgentFile = parse(sections);
    let defaults = all(&serde_json::to_value(file).unwrap());
    for (key, told) in rows() {
        let value = &defaults[&key];
        let is_right = match told.as_str() {
            "none" => {
                matches!(value, Value::Null)
                    || value == ""
                    || value == &Value::Array(vec![])
                    || value == &Value::Object(Default::default())
            }
            "must be written" => ["W", "S", "T", "C"].iter().any(|text| value == text) || value == 7,
            // Made of the agent's name where it is used; a test of git's has them.
            "the agent's name" | "`NAME@agents.invalid`" => value == "",
            text => {
                let text = text.trim_matches('`');
                value == text || *value == parse::<Value>(text)
            }
        };
        assert!(is_right, "{key}: the table says {told}, the code {value}");
    }
}

#[test]
fn keys_that_must_be_written_are_asked_for() {
    for (key, _) in rows().into_iter().filter(|(_, told)| told == "must be written") {
        let (section, key) = key.split_once('.').unwrap();
        let refused = yaml::parse::<AgentFile>(Path::new("agent.yaml"), &format!("{section}: {{}}\n")).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.contains("line 1 column") && refused.contains("missing field"), "{section}.{key}: {refused}");
    }
}

/// The image has its own Python and bridges; here only what the files say is looked at.
#[test]
fn the_example_of_the_agents_folder_is_taken_by_setup() {
    let world = World::new();
    fs::remove_dir_all(world.path("agents")).unwrap();
    copy(Path::new(EXAMPLE), &world.path("agents"));
    let mut command = world.command();
    // No network here: what is cloned is another test's.
    command.env("AGENT_REPOS", " ");
    let run = crate::world::ran(command.output().unwrap());
    assert_eq!(run.code, Some(0), "{}", run.text);
    for step in ["sources", "login", "instructions", "subagents", "settings", "client", "quiet", "git"] {
        assert!(!run.step(step).starts_with("failed"), "{}", run.text);
    }
    assert_eq!(run.step("instructions"), "done: the image's and 2 mounted");
    assert!(world.home(".claude/agents/reviewer.md").exists());
    assert_eq!(world.json("home/.claude.json")["mcpServers"]["github"]["env"]["GITHUB_TOKEN"], "proxy-token-github");
    assert!(world.text("home/.claude/settings.json").contains("stubgate-agent hook pr-comments"));
    let entries = bridge::file::read_one(&Path::new(EXAMPLE).join("devbot/bridges.yaml")).unwrap();
    assert!(entries["github"].required && matches!(entries["github"].kind(), Some(Kind::Stdio(_))));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
