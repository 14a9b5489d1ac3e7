//! What the documents show is real.

use std::path::Path;

use stubgate_agent::agent::AgentFile;
use stubgate_agent::yaml;

const DOCUMENTS: [&str; 2] =
    [include_str!("../../../../docs/agent/events.md"), include_str!("../../../../docs/agent/review-loop.md")];

/// The blocks of this language.
fn blocks<'d>(document: &'d str, language: &str) -> Vec<&'d str> {
    let begin = format!("```{language}\n");
    document.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn every_agent_file_that_is_shown_can_be_read() {
    let mut read = 0;
    for text in DOCUMENTS.iter().flat_map(|document| blocks(document, "yaml")) {
        if text.starts_with("# agent.yaml") {
            let file: AgentFile = yaml::parse(Path::new("agent.yaml"), text).unwrap();
            assert_ne!(file, AgentFile::default(), "{text}");
            read += 1;
        }
    }
    assert_eq!(read, 3);
}

#[test]
fn the_hook_that_is_shown_is_the_one_that_setup_writes() {
    let home = crate::home::Home::new();
    home.configure("pr_comments: { repositories: [acme/site] }\n");
    // Steps that need programs of the image fail here; this one does not.
    let ran = home.run(&["setup"]);
    assert!(home.path().join(".claude/settings.json").exists(), "{ran:?}");
    let written = std::fs::read_to_string(home.path().join(".claude/settings.json")).unwrap();
    let written: serde_json::Value = serde_json::from_str(&written).unwrap();
    let shown: serde_json::Value = serde_json::from_str(blocks(DOCUMENTS[1], "json")[0]).unwrap();
    assert_eq!(written["hooks"], shown["hooks"]);
}

#[test]
fn every_type_of_event_is_in_the_table() {
    for kind in stubgate_agent::event::kind::KINDS {
        assert!(DOCUMENTS[0].contains(&format!("| `{}` | ", kind.name)), "{}", kind.name);
    }
}
