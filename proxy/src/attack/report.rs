//! What was tried and what came of it: a table for people, JSON for a Helm test.

use serde::Serialize;

use super::{Outcome, Probe, Scene};

/// Everything that came of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The allowed host that was used.
    host: Option<String>,
    /// The resolver of the place.
    resolver: String,
    /// Its proxy.
    proxy: Option<String>,
    /// Where the certificates that it trusts were found.
    trust: String,
    passed: usize,
    failed: usize,
    skipped: usize,
    probes: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    id: &'static str,
    what: &'static str,
    source: &'static str,
    result: Result,
    /// What happened, or why it can't be told.
    saw: String,
    /// What to do; for failures only.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Result {
    Passed,
    Failed,
    Skipped,
}

impl Report {
    pub(super) fn new(scene: &Scene, results: Vec<(&'static Probe, Outcome)>) -> Report {
        let probes: Vec<Line> = results.into_iter().map(|(probe, outcome)| line(probe, outcome)).collect();
        let count = |result: Result| probes.iter().filter(|line| line.result == result).count();
        Report {
            host: scene.host.as_ref().map(|(host, _)| host.clone()).or(scene.options.host.clone()),
            resolver: scene.resolver.to_string(),
            proxy: scene.proxy.map(|proxy| proxy.to_string()),
            trust: scene.trust.display().to_string(),
            passed: count(Result::Passed),
            failed: count(Result::Failed),
            skipped: count(Result::Skipped),
            probes,
        }
    }

    /// Whether no way was found open.
    pub fn is_closed(&self) -> bool {
        self.failed == 0
    }

    /// Whether anything could be told at all.
    pub fn tells(&self) -> bool {
        self.passed + self.failed > 0
    }

    /// The table, a line a probe.
    pub fn table(&self, colour: bool) -> String {
        let none = || "none".to_owned();
        let mut out = format!(
            "resolver {}, proxy {}, trusted certificates {}, allowed host {}\n\n",
            self.resolver,
            self.proxy.clone().unwrap_or_else(none),
            self.trust,
            self.host.clone().unwrap_or_else(none)
        );
        for line in &self.probes {
            let (word, code) = match line.result {
                Result::Passed => ("pass", "32"),
                Result::Failed => ("FAIL", "31"),
                Result::Skipped => ("skip", "33"),
            };
            let word = if colour { format!("\x1b[{code}m{word}\x1b[0m") } else { word.to_owned() };
            out.push_str(&format!("{word}  {:<28} {}\n      {:<28} {}\n", line.id, line.what, "", line.saw));
            if let Some(remedy) = line.remedy {
                out.push_str(&format!("      {:<28} {} ({})\n", "", remedy, line.source));
            }
        }
        out.push_str(&format!("\n{} passed, {} failed, {} skipped\n", self.passed, self.failed, self.skipped));
        out
    }

    /// The same for machines.
    ///
    /// # Errors
    /// None that can happen: all of it is text and numbers.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}

fn line(probe: &'static Probe, outcome: Outcome) -> Line {
    let (result, saw) = match outcome {
        Outcome::Passed(saw) => (Result::Passed, saw),
        Outcome::Failed(saw) => (Result::Failed, saw),
        Outcome::Skipped(why) => (Result::Skipped, why),
    };
    // Some of it came from a peer: a terminal must not obey it.
    let saw: String = saw.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(300).collect();
    let remedy = (result == Result::Failed).then_some(probe.remedy);
    Line { id: probe.id, what: probe.what, source: probe.source, result, saw, remedy }
}
