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

/// Draws findings on standard error, and says how many there are.
pub(super) fn report(diagnostics: &[Diagnostic], files: &[SourceFile]) {
    if diagnostics.is_empty() {
        return;
    }
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    eprintln!("{}", render(diagnostics, files, color));
    eprintln!("{}", summary(diagnostics));
}

/// "1 error, 2 warnings"; what there is none of is left out.
pub(super) fn summary(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let counts = [(errors, "error"), (diagnostics.len() - errors, "warning")];
    let said: Vec<String> =
        counts.into_iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(number, noun)).collect();
    said.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_one_of_is_not_many() {
        let (error, warning) = (Diagnostic::error("X", "x"), Diagnostic::warning("X", "x"));
        assert_eq!(summary(&[error.clone(), warning.clone(), warning.clone()]), "1 error, 2 warnings");
        assert_eq!(summary(&[error.clone(), error]), "2 errors");
        assert_eq!(summary(&[warning]), "1 warning");
        assert_eq!(count(0, "agent"), "0 agents");
    }
}
