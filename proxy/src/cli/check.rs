//! `stubgate config check`, and how findings are reported.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use stubgate_policy::{Diagnostic, Severity, SourceFile, render};

use super::say::say;
use super::{UNUSABLE, WRONG};
use crate::config::Config;

pub(super) fn config(path: &Path) -> ExitCode {
    match Config::read(path) {
        Ok(_) => {
            say(format_args!("configuration is good"));
            ExitCode::SUCCESS
        }
        Err(problem) if problem.files.is_empty() => {
            report(&problem.diagnostics, &problem.files);
            ExitCode::from(UNUSABLE)
        }
        Err(problem) => {
            report(&problem.diagnostics, &problem.files);
            ExitCode::from(WRONG)
        }
    }
}

pub(super) fn report(diagnostics: &[Diagnostic], files: &[SourceFile]) {
    if diagnostics.is_empty() {
        return;
    }
    eprintln!("{}", render(diagnostics, files, std::io::stderr().is_terminal()));
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    eprintln!("{errors} errors, {} warnings", diagnostics.len() - errors);
}
