//! Diagnostics as people see them, and that every code is drawn at least once.

use std::collections::BTreeSet;

use stubgate_policy::diagnostic::{Diagnostic, codes};
use stubgate_policy::{SourceFile, compile, json, render, sarif};

/// Files that are wrong in every way there is.
const WRONG: &[(&str, &str)] = &[
    ("syntax.yaml", include_str!("wrong/syntax.yaml")),
    ("structure.yaml", include_str!("wrong/structure.yaml")),
    ("anchors.yaml", include_str!("wrong/anchors.yaml")),
    ("documents.yaml", include_str!("wrong/documents.yaml")),
    ("deep.yaml", include_str!("wrong/deep.yaml")),
    ("empty.yaml", ""),
    ("hidden.yaml", "version: 1 # \u{202e}\n"),
    ("agents.yaml", include_str!("wrong/agents.yaml")),
    ("pods.yaml", include_str!("wrong/pods.yaml")),
    ("credentials.yaml", include_str!("wrong/credentials.yaml")),
    ("rules.yaml", include_str!("wrong/rules.yaml")),
    ("include.yaml", include_str!("wrong/include.yaml")),
    ("dns.yaml", include_str!("wrong/dns.yaml")),
    ("nothing.yaml", "version: 1\nagents:\n  a: { sources: [\"::/0\"] }\n"),
];

fn found(name: &str, text: &str) -> (Vec<SourceFile>, Vec<Diagnostic>) {
    let files = vec![SourceFile { name: name.into(), text: text.into() }];
    let found = match compile(&files) {
        Ok(compiled) => compiled.warnings,
        Err(found) => found,
    };
    (files, found)
}

#[test]
fn findings_are_drawn_with_place_underline_and_help() {
    for (name, text) in WRONG {
        let (files, found) = found(name, text);
        insta::assert_snapshot!(*name, render(&found, &files, false));
    }
}

/// One mistake a file, as people make them; the file's name says which.
#[test]
fn each_mistake_is_drawn_with_its_place_and_what_to_write_instead() {
    let mut drawn = 0;
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "broken/snapshots" }, {
        for (name, text) in broken() {
            let (files, found) = found(&name, &text);
            assert!(!found.is_empty(), "{name} is not broken");
            insta::assert_snapshot!(name.trim_end_matches(".yaml"), render(&found, &files, false));
            drawn += 1;
        }
    });
    assert!(drawn >= 60, "{drawn}");
}

/// What an error of a host suggests in place of it is never refused next.
#[test]
fn what_is_suggested_passes() {
    let mut tried = 0;
    for (name, text) in broken().filter(|(name, _)| name.starts_with("host-") || name.starts_with("credential-host")) {
        let (_, before) = found(&name, &text);
        for diagnostic in &before {
            let help = diagnostic.help.as_deref().unwrap_or_default();
            let Some(instead) = help.split_once("write `").and_then(|(_, rest)| rest.split('`').next()) else {
                continue;
            };
            let label = &diagnostic.labels[0];
            let mut better = text.clone();
            better.replace_range(label.span.clone(), &format!("{instead:?}"));
            let (_, after) = found(&name, &better);
            let still: Vec<&Diagnostic> = after.iter().filter(|one| one.is_error()).collect();
            assert!(still.is_empty(), "{name}: {instead} gives {still:?}");
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried}");
}

fn broken() -> impl Iterator<Item = (String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policy/broken");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(&path).unwrap())
    })
}

#[test]
fn every_code_has_an_example() {
    let mut seen: BTreeSet<&str> =
        WRONG.iter().flat_map(|(name, text)| found(name, text).1).map(|diagnostic| diagnostic.code).collect();
    // Their examples are too large for a file, or are no file.
    seen.extend([codes::NO_FILES, codes::TOO_LARGE, codes::TOO_MANY, codes::NOT_READ]);
    seen.extend(broken().flat_map(|(name, text)| found(&name, &text).1).map(|diagnostic| diagnostic.code));
    // Those of policy tests have theirs in cases.rs.
    let ours = codes::ALL.iter().filter(|(code, _)| !code.starts_with("SG03"));
    // What needs a cluster has its own in pods/cluster.rs.
    seen.extend([codes::NO_SUCH_POD, codes::POD_OF_TWO, codes::POD_ON_HOST]);
    let missing: Vec<&str> = ours.map(|(code, _)| *code).filter(|code| !seen.contains(code)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn colour_adds_escapes_and_changes_no_text() {
    let (files, found) = found("agents.yaml", include_str!("wrong/agents.yaml"));
    let (plain, colour) = (render(&found, &files, false), render(&found, &files, true));
    assert!(!plain.contains('\u{1b}'));
    assert!(colour.contains("\u{1b}["));
    let mut stripped = String::new();
    for (at, part) in colour.split("\u{1b}[").enumerate() {
        stripped.push_str(if at == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(stripped, plain);
}

/// What SARIF 2.1.0 demands of the parts that are written (§3.11, §3.13, §3.14, §3.19, §3.27, §3.30, §3.49).
#[test]
fn sarif_has_what_its_schema_demands() {
    for (name, text) in WRONG {
        let (files, found) = found(name, text);
        let log = sarif(&found, &files);
        assert_eq!(log["version"], "2.1.0");
        assert!(log["$schema"].as_str().unwrap().ends_with("sarif-schema-2.1.0.json"));
        let run = &log["runs"][0];
        assert_eq!(log["runs"].as_array().unwrap().len(), 1);
        assert_eq!(run["tool"]["driver"]["name"], "stubgate");
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), codes::ALL.len());
        for rule in rules {
            for text in [&rule["shortDescription"], &rule["fullDescription"], &rule["help"]] {
                assert!(!text["text"].as_str().unwrap().is_empty(), "{rule}");
            }
        }
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), found.len());
        for (result, diagnostic) in results.iter().zip(&found) {
            assert_eq!(result["ruleId"], diagnostic.code);
            let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[rule]["id"], diagnostic.code);
            assert!(result["message"]["text"].as_str().unwrap().starts_with(&diagnostic.message));
            assert_eq!(result["level"], if diagnostic.is_error() { "error" } else { "warning" });
            let main = &result["locations"][0]["physicalLocation"];
            assert_eq!(main["artifactLocation"]["uri"], *name);
            let at = |key: &str| main["region"][key].as_u64().unwrap();
            assert!(at("startLine") >= 1 && at("startColumn") >= 1);
            assert!((at("endLine"), at("endColumn")) >= (at("startLine"), at("startColumn")));
        }
    }
}

#[test]
fn json_says_the_same_as_the_drawing() {
    let (files, found) = found("rules.yaml", include_str!("wrong/rules.yaml"));
    let all = json(&found, &files);
    let drawn = render(&found, &files, false);
    assert_eq!(all["errors"], found.iter().filter(|one| one.is_error()).count());
    assert_eq!(all["warnings"], found.iter().filter(|one| !one.is_error()).count());
    for one in all["diagnostics"].as_array().unwrap() {
        let label = &one["labels"][0];
        let place = format!("--> {}:{}:{}\n", label["file"].as_str().unwrap(), label["line"], label["column"]);
        assert!(drawn.contains(&place), "{place}");
        assert!(drawn.contains(one["message"].as_str().unwrap()));
    }
}

#[test]
fn a_file_cannot_reach_the_terminal_of_its_reader() {
    let text = "version: 1\nagents:\n  \"a\\e[2J\": { sources: [10.0.0.1/32] }\n";
    let (files, found) = found("x\u{1b}[31m.yaml", text);
    assert!(!found.is_empty());
    assert!(!render(&found, &files, false).contains('\u{1b}'));
}
