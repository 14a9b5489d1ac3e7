//! Every example of a file format in the documents is read as the appliance would read it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use stubgate_policy::{SourceFile, compile, render};
use stubgate_proxy::config;

fn examples() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    for document in ["README.md", "docs/policy.md", "docs/configuration.md"] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for (number, block) in text.split("```yaml\n").skip(1).enumerate() {
            let (yaml, _) = block.split_once("```").unwrap();
            found.push(SourceFile { name: format!("{document} example {}", number + 1), text: yaml.into() });
        }
    }
    found
}

#[test]
fn every_policy_in_the_documents_is_good() {
    let policies: Vec<_> = examples().into_iter().filter(|file| file.text.contains("version: 1")).collect();
    assert!(policies.len() >= 2);
    for file in policies {
        let files = [file];
        let compiled = compile(&files).unwrap_or_else(|found| panic!("{}", render(&found, &files, false)));
        // The deny rule of the example is there to be explained, with its warning.
        let others: Vec<_> = compiled.warnings.into_iter().filter(|warning| warning.code != "SG0210").collect();
        assert!(others.is_empty(), "{}", render(&others, &files, false));
    }
}

#[test]
fn every_configuration_in_the_documents_is_good() {
    let configurations: Vec<_> = examples().into_iter().filter(|file| file.text.contains("listen:")).collect();
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
