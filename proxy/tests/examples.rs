//! Every example of a file format in the documents is read as the appliance would read it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use stubgate_policy::{SourceFile, compile, render};
use stubgate_proxy::config;

fn examples() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let pages = std::fs::read_dir(root.join("docs/policy")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut pages: Vec<String> = pages.map(|name| format!("docs/policy/{}", name.to_str().unwrap())).collect();
    // What codes.md shows is wrong by intent, and tested where it is made.
    pages.retain(|name| name.ends_with(".md") && !name.ends_with("codes.md"));
    pages.extend(["README.md".into(), "docs/configuration.md".into(), "docs/kubernetes.md".into()]);
    pages.extend(["docs/agent/README.md".into(), "docs/install/systemd.md".into()]);
    for document in pages {
        let text = std::fs::read_to_string(root.join(&document)).unwrap();
        let blocks = text.split("```yaml\n").skip(1).map(|block| block.split_once("```").unwrap().0);
        // What a reader pastes into a shell.
        let pasted = text.split("<<'EOF'\n").skip(1).map(|block| block.split_once("\nEOF\n").unwrap().0);
        for (number, yaml) in blocks.chain(pasted).enumerate() {
            found.push(SourceFile { name: format!("{document} example {}", number + 1), text: yaml.into() });
        }
    }
    found
}

#[test]
fn every_policy_in_the_documents_is_good() {
    // What suggest prints has no agents of its own, and is compiled where its page is tested.
    let is_whole = |text: &str| text.contains("version: 1") && text.lines().any(|line| line.starts_with("agents:"));
    let policies: Vec<_> = examples().into_iter().filter(|file| is_whole(&file.text)).collect();
    assert!(policies.len() >= 2);
    for file in policies {
        let files = [file];
        let compiled = compile(&files).unwrap_or_else(|found| panic!("{}", render(&found, &files, false)));
        // The deny rule of the example is there to be explained, with its warning.
        let others: Vec<_> = compiled.warnings.into_iter().filter(|warning| warning.code != "SG0210").collect();
        assert!(others.is_empty(), "{}", render(&others, &files, false));
    }
}

/// Parts of a policy, to be added to one with these agents and this credential.
#[test]
fn every_recipe_is_good() {
    const AGENTS: &str = "agents: { devbot: { sources: [10.0.0.1] }, infrabot: { sources: [10.0.0.2] } }\n";
    const CREDENTIALS: &str = "credentials: { github: { stub: proxy-token-github, slots: [bearer, basic], \
                               hosts: [github.com, api.github.com], source: { env: GITHUB } } }\n";
    let recipes: Vec<_> = examples().into_iter().filter(|file| file.name.contains("cookbook")).collect();
    assert!(recipes.len() >= 5);
    for SourceFile { name, text } in recipes {
        let has = |key: &str| text.lines().any(|line| line.starts_with(key));
        let agents = if has("agents:") { "" } else { AGENTS };
        let credentials = if has("credentials:") { "" } else { CREDENTIALS };
        let files = [SourceFile { name, text: format!("version: 1\n{agents}{credentials}{text}") }];
        if let Err(found) = compile(&files) {
            panic!("{}", render(&found, &files, false));
        }
    }
}

/// A page that is named in a page is there.
#[test]
fn every_link_between_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md"), root.join("SECURITY.md"), root.join("ARCHITECTURE.md")];
    for folder in ["docs", "docs/agent", "docs/install", "docs/policy", "docs/adr", "tests"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let local = !link.is_empty() && !link.contains("://");
            assert!(!local || page.parent().unwrap().join(link).exists(), "{}: {link}", page.display());
        }
    }
}

#[test]
fn the_suggestion_in_the_documents_fits_its_policy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policy/suggest.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```yaml\n").skip(1).map(|block| block.split_once("```").unwrap().0);
    let files: Vec<_> = blocks.map(|yaml| SourceFile { name: "suggest.md".into(), text: yaml.into() }).collect();
    assert_eq!(files.len(), 2);
    let compiled = compile(&files).unwrap_or_else(|found| panic!("{}", render(&found, &files, false)));
    assert_eq!(compiled.policy.rules().len(), 6);
}

#[test]
fn every_configuration_in_the_documents_is_good() {
    // A map of listeners; the address in an agent.yaml is another key of this name.
    let is_whole = |text: &str| text.lines().any(|line| line == "listen:");
    let configurations: Vec<_> = examples().into_iter().filter(|file| is_whole(&file.text)).collect();
    assert!(configurations.len() >= 2);
    for file in configurations {
        config::compile(file).unwrap_or_else(|problem| panic!("{problem}"));
    }
}

#[test]
fn every_limit_and_timeout_is_documented_with_its_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("docs/configuration.md")).unwrap();
    for key in config::Limits::KEYS.iter().chain(config::Timeouts::KEYS) {
        assert!(text.contains(&format!("| `{key}` |")), "{key} is not in docs/configuration.md");
    }
}
