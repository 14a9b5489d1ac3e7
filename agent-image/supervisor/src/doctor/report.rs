//! What was found: a line for each check. Whatever is printed goes through here, and nothing that looks like a credential, no
//! stub and no control character passes: names of files and processes are the agent's to choose.

use serde::Serialize;
use serde_json::json;

use super::shapes;
use crate::state::mask::Mask;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grade {
    Ok,
    Warn,
    Bad,
}

/// A check and how it ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// Which: words with dots, of a closed list.
    pub(super) check: &'static str,
    pub(super) grade: Grade,
    /// What was found.
    pub(super) what: String,
    /// What to do about it.
    pub(super) advice: Option<&'static str>,
}

impl Finding {
    fn new(check: &'static str, grade: Grade, what: impl Into<String>) -> Self {
        Finding { check, grade, what: what.into(), advice: None }
    }

    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Finding::new(check, Grade::Ok, what)
    }

    pub(super) fn warn(check: &'static str, what: impl Into<String>) -> Self {
        Finding::new(check, Grade::Warn, what)
    }

    pub(super) fn bad(check: &'static str, what: impl Into<String>) -> Self {
        Finding::new(check, Grade::Bad, what)
    }

    pub(super) fn advise(self, advice: &'static str) -> Self {
        Finding { advice: Some(advice), ..self }
    }
}

/// All of them, fit to be printed.
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn new(found: Vec<Finding>, mask: &Mask) -> Self {
        let plain = |what: &str| mask.line(&shapes::redacted(what, mask.stubs()));
        Findings(found.into_iter().map(|finding| Finding { what: plain(&finding.what), ..finding }).collect())
    }

    pub(super) fn is_bad(&self) -> bool {
        self.0.iter().any(|finding| finding.grade == Grade::Bad)
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        let all = json!({ "version": 1, "ok": !self.is_bad(), "checks": self.0 });
        format!("{all:#}\n")
    }

    /// For people.
    pub(super) fn lines(&self) -> String {
        let width = self.0.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { check, grade, what, advice } in &self.0 {
            let grade = match grade {
                Grade::Ok => "ok",
                Grade::Warn => "warn",
                Grade::Bad => "bad",
            };
            text.push_str(&format!("{grade:4}  {check:width$}  {what}\n"));
            if let Some(advice) = advice {
                text.push_str(&format!("{:4}  {:width$}  → {advice}\n", "", ""));
            }
        }
        text
    }

    #[cfg(test)]
    pub(super) fn all(&self) -> &[Finding] {
        &self.0
    }
}
