//! Diagnostics for programs: one JSON object.

use serde_json::{Value, json};

use super::place::Places;
use super::{Diagnostic, Label, Severity};
use crate::source::SourceFile;

/// `{ "errors": n, "warnings": n, "diagnostics": [{ code, severity, message, help, labels: [{ file, line, column,
/// end_line, end_column, text }] }] }`. Lines and columns count from 1, columns in characters; the first label is the
/// main one; `help` is null where there is none.
pub fn json(diagnostics: &[Diagnostic], files: &[SourceFile]) -> Value {
    let places = Places::new(files);
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    let all: Vec<Value> = diagnostics.iter().map(|diagnostic| one(diagnostic, files, &places)).collect();
    json!({ "errors": errors, "warnings": diagnostics.len() - errors, "diagnostics": all })
}

fn one(diagnostic: &Diagnostic, files: &[SourceFile], places: &Places<'_>) -> Value {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let labels: Vec<Value> = diagnostic.labels.iter().filter_map(|label| labelled(label, files, places)).collect();
    json!({
        "code": diagnostic.code,
        "severity": severity,
        "message": diagnostic.message,
        "help": diagnostic.help,
        "labels": labels,
    })
}

fn labelled(label: &Label, files: &[SourceFile], places: &Places<'_>) -> Option<Value> {
    let place = places.of(label.file, &label.span)?;
    Some(json!({
        "file": files.get(label.file)?.name,
        "line": place.line,
        "column": place.column,
        "end_line": place.end_line,
        "end_column": place.end_column,
        "text": label.text,
    }))
}
