//! Runbooks: one for each alert, all of one shape, with commands that there are.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::alerts::{alerts, runbook};
use crate::{read, root};

/// What a reader at night looks for, in this order.
const PARTS: [&str; 4] = ["## What it means", "## Do", "## It worked when", "## Stop and ask when"];

fn files() -> BTreeSet<String> {
    let entries = std::fs::read_dir(root().join("docs/runbooks")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "README.md").collect()
}

#[test]
fn every_runbook_has_its_parts_in_their_order() {
    for file in files() {
        let text = read(&format!("docs/runbooks/{file}"));
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        let known: Vec<&str> = headings.iter().copied().filter(|heading| PARTS.contains(heading)).collect();
        assert_eq!(known, PARTS, "{file}");
        let (_, steps) = text.split_once("## Do\n").unwrap();
        assert!(steps.contains("```sh\n") || steps.contains("\n    "), "{file}: no command");
    }
}

/// The table of the overview: runbook, then its alerts.
#[test]
fn the_overview_lists_every_runbook_with_its_alerts_and_their_severity() {
    let text = read("docs/runbooks/README.md");
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| [")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let file = cells[0].split_once("](").unwrap().1.trim_end_matches(')');
        let alerts = cells[2].split(", ").filter(|alert| !alert.is_empty()).map(str::to_owned);
        told.insert(file.to_owned(), alerts.collect());
    }
    assert_eq!(told.keys().cloned().collect::<BTreeSet<_>>(), files());
    let mut known: BTreeMap<String, BTreeSet<String>> =
        files().into_iter().map(|file| (file, BTreeSet::new())).collect();
    for (name, rule) in alerts() {
        let file = runbook(&rule).rsplit('/').next().unwrap().to_owned();
        let severity = rule["labels"]["severity"].as_str().unwrap();
        known.get_mut(&file).unwrap().insert(format!("`{name}` ({severity})"));
    }
    assert_eq!(told, known);
}

/// Commands of `stubgate` in runbooks and guides: each exists, with each of its flags.
#[test]
fn commands_of_stubgate_are_there() {
    let mut documents: Vec<String> = files().into_iter().map(|file| format!("docs/runbooks/{file}")).collect();
    documents.extend(["docs/install/compose.md", "docs/nft.md", "docs/runbooks/README.md"].map(str::to_owned));
    let mut asked = BTreeSet::new();
    for document in documents {
        let text = read(&document);
        for block in text.split("```sh\n").skip(1).map(|block| block.split_once("```").unwrap().0) {
            for line in block.replace("\\\n", " ").lines() {
                let line = line.split(" #").next().unwrap();
                for part in line.split(['|', ';', '(']).flat_map(|part| part.split("&&")) {
                    let words: Vec<&str> = part.split_whitespace().collect();
                    let Some(at) = words.iter().rposition(|word| ["stubgate", "/stubgate"].contains(word)) else {
                        continue;
                    };
                    let is_ours = at == 0 || words[at - 1] == "--" || words.contains(&"exec") || words[0] == "sudo";
                    // As a unit, a service or a name it is none of ours.
                    let is_command =
                        words.get(at + 1).is_some_and(|word| word.starts_with(|char: char| char.is_ascii_lowercase()));
                    if is_ours && is_command && !words[..at].iter().any(|word| word.starts_with("systemctl")) {
                        asked.insert((document.clone(), words[at + 1..].join(" ")));
                    }
                }
            }
        }
    }
    assert!(asked.len() >= 8, "{asked:?}");
    for (document, line) in asked {
        let is_word =
            |word: &&str| word.chars().all(|char| char.is_ascii_lowercase() || char == '-') && !word.starts_with('-');
        let words: Vec<&str> = line.split(' ').take_while(is_word).collect();
        // As much of it as names commands; what follows are arguments.
        let mut help = None;
        for count in (1..=words.len()).rev() {
            let output =
                Command::new(env!("CARGO_BIN_EXE_stubgate")).args(&words[..count]).arg("--help").output().unwrap();
            if output.status.success() {
                help = Some(String::from_utf8(output.stdout).unwrap());
                break;
            }
        }
        let help = help.unwrap_or_else(|| panic!("{document}: no such command: stubgate {line}"));
        assert!(!help.contains("\nCommands:"), "{document}: no such command: stubgate {line}");
        for flag in line.split(' ').filter(|word| word.starts_with("--") && word.len() > 2) {
            let flag = flag.split('=').next().unwrap();
            assert!(help.contains(flag), "{document}: stubgate {line}: no {flag}");
        }
    }
}
