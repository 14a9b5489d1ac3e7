//! Diagnostics for code hosting and review: SARIF 2.1.0 (OASIS), one run.
//!
//! File names are written as relative URI references where they are relative, so that a service finds them in the
//! repository; columns count characters.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::explained::{self, Explained};
use super::place::Places;
use super::{Diagnostic, Label, Severity};
use crate::source::SourceFile;

/// A SARIF log, with a rule for each code of this crate.
pub fn sarif(diagnostics: &[Diagnostic], files: &[SourceFile]) -> Value {
    let places = Places::new(files);
    let results: Vec<Value> = diagnostics.iter().map(|diagnostic| result(diagnostic, files, &places)).collect();
    let rules: Vec<Value> = explained::ALL.iter().map(rule).collect();
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "stubgate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(explained: &Explained) -> Value {
    json!({
        "id": explained.code,
        "shortDescription": { "text": explained.title() },
        "fullDescription": { "text": explained.why },
        "help": { "text": explained.text(), "markdown": explained.markdown() },
        "defaultConfiguration": { "level": if explained.is_warning() { "warning" } else { "error" } },
    })
}

fn result(diagnostic: &Diagnostic, files: &[SourceFile], places: &Places<'_>) -> Value {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let text = match &diagnostic.help {
        Some(help) => format!("{}: {help}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    let mut labels = diagnostic.labels.iter().filter_map(|label| location(label, files, places));
    // Services refuse a whole log for one result without a place: what is about all files is shown at the first.
    let first = || location(&Label { file: 0, span: 0..0, text: String::new() }, files, places);
    let main: Vec<Value> = labels.next().or_else(first).into_iter().collect();
    let related: Vec<Value> = labels.collect();
    let mut result = json!({
        "ruleId": diagnostic.code,
        "level": level,
        "message": { "text": text },
        "locations": main,
    });
    if let (Some(at), Some(map)) = (explained::position(diagnostic.code), result.as_object_mut()) {
        map.insert("ruleIndex".into(), at.into());
    }
    if let (false, Some(map)) = (related.is_empty(), result.as_object_mut()) {
        map.insert("relatedLocations".into(), related.into());
    }
    result
}

fn location(label: &Label, files: &[SourceFile], places: &Places<'_>) -> Option<Value> {
    let place = places.of(label.file, &label.span)?;
    let uri = uri(&files.get(label.file)?.name);
    let mut location = json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri },
        "region": {
            "startLine": place.line,
            "startColumn": place.column,
            "endLine": place.end_line,
            "endColumn": place.end_column,
        },
    } });
    if let (false, Some(map)) = (label.text.is_empty(), location.as_object_mut()) {
        map.insert("message".into(), json!({ "text": label.text }));
    }
    Some(location)
}

/// A file name as a URI reference (RFC 3986): relative stays relative, absolute becomes `file:`.
fn uri(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    let relative = name.strip_prefix("./").unwrap_or(name);
    if relative.starts_with('/') {
        out.push_str("file://");
    }
    for byte in relative.bytes() {
        match byte {
            b'/' => out.push('/'),
            byte if crate::model::path::is_unreserved(byte) => out.push(char::from(byte)),
            byte => {
                // Writing to a String never fails.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn file_names_become_uri_references() {
        for (name, uri) in [
            ("policy/a.yaml", "policy/a.yaml"),
            ("./policy/a b.yaml", "policy/a%20b.yaml"),
            ("/etc/p/\u{fc}.yaml", "file:///etc/p/%C3%BC.yaml"),
            ("c:x.yaml", "c%3Ax.yaml"),
        ] {
            assert_eq!(super::uri(name), uri);
        }
    }
}
