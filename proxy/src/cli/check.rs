//! `stubgate policy check` and `stubgate config check`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stubgate_policy::{Diagnostic, Severity, SourceFile, compile, render};

use super::say::say;
use super::{UNUSABLE, WRONG, fail};
use crate::config::{Config, policy_files};

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

fn report(diagnostics: &[Diagnostic], files: &[SourceFile]) {
    if diagnostics.is_empty() {
        return;
    }
    eprintln!("{}", render(diagnostics, files, std::io::stderr().is_terminal()));
    let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
    eprintln!("{errors} errors, {} warnings", diagnostics.len() - errors);
}
