//! What was found: a line for each check, in the shape that `stubgate-agent doctor` has too.

use serde::Serialize;
use serde_json::json;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Something that a person should look at.
    Warn,
    /// Something does not work, or is open.
    Bad,
}

/// A check and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which: words with dots, of a closed list.
    pub check: &'static str,
    /// How it ended.
    pub grade: Grade,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// Whether `what` or `advice` quote a file that a person wrote: no support bundle takes them.
    #[serde(skip)]
    pub quotes: bool,
}

impl Finding {
    fn new(check: &'static str, grade: Grade, what: impl Into<String>) -> Self {
        Finding { check, grade, what: what.into(), advice: None, quotes: false }
    }

    /// All is well.
    pub fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Finding::new(check, Grade::Ok, what)
    }

    /// Somebody should look.
    pub fn warn(check: &'static str, what: impl Into<String>) -> Self {
        Finding::new(check, Grade::Warn, what)
    }

    /// Something is broken or open.
    pub fn bad(check: &'static str, what: impl Into<String>) -> Self {
        Finding::new(check, Grade::Bad, what)
    }

    /// With what to do about it.
    #[must_use]
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Finding { advice: Some(advice.into()), ..self }
    }

    /// In words that may be anything.
    #[must_use]
    pub fn quoting(self) -> Self {
        Finding { quotes: true, ..self }
    }
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Fit to be printed: names come from files and from peers, and a terminal must not obey them.
    pub fn new(found: Vec<Finding>) -> Self {
        let plain =
            |text: &str| text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(400).collect();
        let fit = |finding: Finding| Finding {
            what: plain(&finding.what),
            advice: finding.advice.as_deref().map(plain),
            ..finding
        };
        Findings(found.into_iter().map(fit).collect())
    }

    /// Each of them.
    pub fn all(&self) -> &[Finding] {
        &self.0
    }

    /// Whether something is bad.
    pub fn is_bad(&self) -> bool {
        self.0.iter().any(|finding| finding.grade == Grade::Bad)
    }

    /// For programs.
    pub fn json(&self) -> String {
        let all = json!({ "version": 1, "ok": !self.is_bad(), "checks": self.0 });
        format!("{all:#}\n")
    }

    /// For people.
    pub fn lines(&self, colour: bool) -> String {
        let width = self.0.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { check, grade, what, advice, .. } in &self.0 {
            let (word, code) = match grade {
                Grade::Ok => ("ok  ", "32"),
                Grade::Warn => ("warn", "33"),
                Grade::Bad => ("bad ", "31"),
            };
            let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
            text.push_str(&format!("{word}  {check:width$}  {what}\n"));
            if let Some(advice) = advice {
                text.push_str(&format!("{:4}  {:width$}  → {advice}\n", "", ""));
            }
        }
        let count = |wanted| self.0.iter().filter(|finding| finding.grade == wanted).count();
        let (ok, warn, bad) = (count(Grade::Ok), count(Grade::Warn), count(Grade::Bad));
        text.push_str(&format!("\n{ok} ok, {warn} warn, {bad} bad\n"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_and_programs_are_told_the_same_and_no_terminal_obeys_it() {
        let found = Findings::new(vec![
            Finding::ok("ca", "good"),
            Finding::warn("clock", "\x1b[2Jlate").advise("set it"),
            Finding::bad("listeners.https", "taken").advise("free it"),
        ]);
        assert!(found.is_bad());
        let lines = found.lines(false);
        assert_eq!(
            lines,
            "ok    ca               good\nwarn  clock            ?[2Jlate\n                       → set it\nbad   \
             listeners.https  taken\n                       → free it\n\n1 ok, 1 warn, 1 bad\n"
        );
        assert!(found.lines(true).starts_with("\x1b[32mok  \x1b[0m"));
        let json: serde_json::Value = serde_json::from_str(&found.json()).unwrap();
        assert_eq!((&json["version"], &json["ok"]), (&json!(1), &json!(false)));
        assert_eq!(
            json["checks"][1],
            json!({ "check": "clock", "grade": "warn", "what": "?[2Jlate", "advice": "set it" })
        );
        assert!(!Findings::new(vec![Finding::warn("ca", "x")]).is_bad());
    }
}
