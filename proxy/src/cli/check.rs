//! `stubgate policy check` and `stubgate config check`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stubgate_policy::{Diagnostic, Severity, SourceFile, compile, render};

use super::say::{count, say};
use super::{UNUSABLE, WRONG, fail};
use crate::config::{Config, ConfigProblem, policy_files};

pub(super) fn policy(paths: &[PathBuf]) -> ExitCode {
    let files = match policy_files(paths) {
        Ok(files) => files,
        Err(error) => return fail(UNUSABLE, error),
    };
    match compile(&files) {
        Ok(compiled) => {
            report(&compiled.warnings, &files);
            let policy = compiled.policy;
            say(format_args!(
                "policy is good: {} agents, {} credentials, {} rules in {} files",
                policy.agents().len(),
                policy.credentials().len(),
                policy.rules().len(),
                files.len()
            ));
            ExitCode::SUCCESS
        }
        Err(diagnostics) => {
            report(&diagnostics, &files);
            ExitCode::from(WRONG)
        }
    }
}

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

fn report(diagnostics: &[Diagnostic], files: &[SourceFile]) {
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
