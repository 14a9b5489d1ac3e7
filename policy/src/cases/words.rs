//! What came of policy tests, for people and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Case, Failure, Ran, Report};
use crate::explain;
use crate::source::SourceFile;

/// Draws the results: each case unless `quiet`, then each failure with its explanation, then the sums.
pub fn render(report: &Report, cases: &[Case], files: &[SourceFile], quiet: bool, color: bool) -> String {
    let mut out = String::new();
    let paint = |text: &str, code: u8| if color { format!("\u{1b}[1;{code}m{text}\u{1b}[0m") } else { text.to_owned() };
    let mut file = None;
    for (ran, case) in run_cases(report, cases).filter(|_| !quiet) {
        if file != Some(case.file) {
            file = Some(case.file);
            let _ = writeln!(out, "{}", files.get(case.file).map_or("", |file| file.name.as_str()));
        }
        let word = if ran.failure.is_some() { paint("FAIL", 31) } else { paint("ok  ", 32) };
        let _ = writeln!(out, "  {word}  {}", case.name);
    }
    for (ran, case) in run_cases(report, cases) {
        if let Some(failure) = &ran.failure {
            let _ =
                write!(out, "\n{} {}: {}\n{}", paint("FAIL", 31), place(case, files), case.name, told(ran, failure));
        }
    }
    let failed = report.failed();
    let all = report.results.len();
    let noun = if all == 1 { "test" } else { "tests" };
    let sum = format!("{all} {noun}: {} passed, {failed} failed", all - failed);
    let _ = writeln!(out, "\n{}", paint(&sum, if failed > 0 { 31 } else { 32 }));
    let coverage = &report.coverage;
    covered(&mut out, "rules reached", &coverage.reached, &coverage.unreached);
    covered(&mut out, "credentials swapped", &coverage.swapped, &coverage.unswapped);
    let _ = writeln!(out, "coverage: {} %", coverage.percent());
    out.trim_start_matches('\n').to_owned()
}

/// The results as one JSON object.
pub fn json(report: &Report, cases: &[Case], files: &[SourceFile]) -> Value {
    let tests = run_cases(report, cases).map(|(ran, case)| {
        let failure = ran.failure.as_ref();
        json!({
            "name": case.name,
            "file": files.get(case.file).map(|file| &file.name),
            "line": line(case, files),
            "asked": ran.asked,
            "passed": failure.is_none(),
            "expected": failure.map(|failure| &failure.expected),
            "came": failure.map(|failure| &failure.came),
            "presented": failure.and_then(|failure| failure.presented.as_ref()),
            "explanation": failure.map(|failure| failure.explanation.to_json()),
        })
    });
    let coverage = &report.coverage;
    json!({
        "tests": tests.collect::<Vec<_>>(),
        "passed": report.results.len() - report.failed(),
        "failed": report.failed(),
        "coverage": {
            "percent": coverage.percent(),
            "rules": { "reached": coverage.reached, "unreached": coverage.unreached },
            "credentials": { "swapped": coverage.swapped, "unswapped": coverage.unswapped },
        },
    })
}

/// A failure in several lines.
pub(super) fn told(ran: &Ran, failure: &Failure) -> String {
    let mut out = String::new();
    let with = failure.presented.as_ref().map(|presented| format!(", with {presented}")).unwrap_or_default();
    let _ = writeln!(out, "  asked     {}{with}", ran.asked);
    let _ = writeln!(out, "  expected  {}", failure.expected);
    let _ = writeln!(out, "  came      {}", failure.came);
    for line in explain::render(&failure.explanation, false).lines().skip(1) {
        let _ = writeln!(out, "{}", format!("    {line}").trim_end());
    }
    out
}

pub(super) fn run_cases<'a>(report: &'a Report, cases: &'a [Case]) -> impl Iterator<Item = (&'a Ran, &'a Case)> {
    report.results.iter().filter_map(|ran| cases.get(ran.case).map(|case| (ran, case)))
}

/// `file:line` of a case.
pub(super) fn place(case: &Case, files: &[SourceFile]) -> String {
    format!("{}:{}", files.get(case.file).map_or("", |file| file.name.as_str()), line(case, files))
}

pub(super) fn line(case: &Case, files: &[SourceFile]) -> usize {
    let text = files.get(case.file).and_then(|file| file.text.get(..case.span.start)).unwrap_or_default();
    text.matches('\n').count() + 1
}

fn covered(out: &mut String, what: &str, good: &[String], left: &[String]) {
    let all = good.len() + left.len();
    if all == 0 {
        return;
    }
    let none = if left.is_empty() { String::new() } else { format!("; not: {}", left.join(", ")) };
    let _ = writeln!(out, "{what}: {} of {all}{none}", good.len());
}
