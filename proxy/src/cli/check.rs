//! `stubgate config check`, and how findings are reported.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use stubgate_policy::{Diagnostic, Severity, SourceFile, render};

use super::say::{count, say};
use super::{UNUSABLE, WRONG};
use crate::config::{Config, ConfigProblem};

pub(super) fn config(path: &Path) -> ExitCode {
    match Config::check(path) {
        Ok(checked) => {
            report(&checked.warnings, &checked.files);
            say(format_args!("configuration is good"));
            ExitCode::SUCCESS
        }
        Err(problem) => refuse(&problem),
    }
}

/// Shows why there is no configuration; the same everywhere that one is named.
pub(super) fn refuse(problem: &ConfigProblem) -> ExitCode {
    report(&problem.diagnostics, &problem.files);
    ExitCode::from(if problem.is_unreadable() { UNUSABLE } else { WRONG })
}

pub(super) fn report(diagnostics: &[Diagnostic], files: &[SourceFile]) {
    if diagnostics.is_empty() {
        return;
    }
    eprintln!("{}", render(diagnostics, files, std::io::stderr().is_terminal()));
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    let warnings = diagnostics.len() - errors;
    let counted = [(errors, "error"), (warnings, "warning")].into_iter().filter(|(number, _)| *number > 0);
    let counted: Vec<String> = counted.map(|(number, noun)| count(number, noun)).collect();
    eprintln!("{}", counted.join(", "));
}
