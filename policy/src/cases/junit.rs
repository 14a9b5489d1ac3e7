//! Results as JUnit XML, for CI: one suite a file.

use std::fmt::Write as _;

use super::words::{line, place, run_cases, told};
use super::{Case, Report};
use crate::source::SourceFile;

/// The results as an XML document.
pub fn junit(report: &Report, cases: &[Case], files: &[SourceFile]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (all, failed) = (report.results.len(), report.failed());
    // Writing to memory can't fail, here and below.
    let _ =
        writeln!(out, "<testsuites name=\"stubgate policy test\" tests=\"{all}\" failures=\"{failed}\" errors=\"0\">");
    for (at, file) in files.iter().enumerate() {
        let name = escape(&file.name);
        let mine = || run_cases(report, cases).filter(|(_, case)| case.file == at);
        let failures = mine().filter(|(ran, _)| ran.failure.is_some()).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">",
            mine().count()
        );
        for (ran, case) in mine() {
            let head = format!("    <testcase name=\"{}\" classname=\"{name}\"", escape(&case.name));
            match &ran.failure {
                None => {
                    let _ = writeln!(out, "{head}/>");
                }
                Some(failure) => {
                    let message =
                        format!("{}: expected {}, came {}", place(case, files), failure.expected, failure.came);
                    let text = format!("{} (line {})\n{}", case.name, line(case, files), told(ran, failure));
                    let message = escape(&message);
                    let _ = writeln!(
                        out,
                        "{head}>\n      <failure type=\"decision\" message=\"{message}\">{}</failure>\n    </testcase>",
                        escape(&text)
                    );
                }
            }
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// For attributes and text; what XML 1.0 can't hold becomes `?`.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(char),
            '\u{fffe}' | '\u{ffff}' => out.push('?'),
            char if char.is_control() => out.push('?'),
            char => out.push(char),
        }
    }
    out
}
