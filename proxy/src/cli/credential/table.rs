//! How credentials stand, drawn for people.

use std::fmt::Write as _;

use crate::health::{Report, Standing, State};

const HEADINGS: [&str; 7] = ["CREDENTIAL", "SOURCE", "STATE", "LAST SUCCESS", "EXPIRES", "REFRESHES", "FAILURES"];
/// Where the state stands.
const STATE: usize = 2;

/// A line for each credential, and below it what a person should know of it.
pub(super) fn draw(report: &Report, colour: bool) -> String {
    let mut out = String::new();
    if !report.is_ready {
        out.push_str("the appliance has no usable policy; its log says why\n");
    }
    let rows: Vec<[String; 7]> = report.credentials.iter().map(row).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(&mut out, &HEADINGS.map(str::to_owned), widths, None);
    for (row, one) in rows.iter().zip(&report.credentials) {
        line(&mut out, row, widths, colour.then(|| paint(one.state)));
        for note in notes(one) {
            let _ = writeln!(out, "  {}", shown(&note));
        }
    }
    out
}

fn row(one: &Standing) -> [String; 7] {
    let time = |time: &Option<String>| time.as_deref().map_or("-".to_owned(), whole_seconds);
    [
        shown(&one.name),
        shown(&one.source),
        word(one.state).to_owned(),
        time(&one.last_success),
        time(&one.expires),
        one.refreshes.to_string(),
        one.failures.to_string(),
    ]
}

fn notes(one: &Standing) -> Vec<String> {
    let ends = one.ends_within.as_ref().map(|time| {
        format!("ends in less than {time}, and its source gives nothing that ends later: renew it where it comes from")
    });
    let failed = one
        .last_failure
        .as_ref()
        .map(|failure| format!("failed last at {} ({}): {}", whole_seconds(&failure.time), failure.kind, failure.text));
    let login = one.login.as_ref().map(|login| {
        let advice = login.advice.as_ref().map_or(String::new(), |advice| format!(": {advice}"));
        format!("login {}: {}, generation {}{advice}", login.name, login.standing, login.generation)
    });
    [ends, failed, login].into_iter().flatten().collect()
}

fn line(out: &mut String, cells: &[String; 7], widths: [usize; 7], paint: Option<&str>) {
    let mut line = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let (on, off) = paint.filter(|_| at == STATE).map_or(("", ""), |on| (on, "\u{1b}[0m"));
        let gap = " ".repeat(width.saturating_sub(cell.chars().count()) + 2);
        let _ = write!(line, "{on}{cell}{off}{gap}");
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

const fn word(state: State) -> &'static str {
    match state {
        State::InUse => "in use",
        State::Stale => "stale",
        State::NoValue => "no value",
    }
}

const fn paint(state: State) -> &'static str {
    match state {
        State::InUse => "\u{1b}[32m",
        State::Stale => "\u{1b}[33m",
        State::NoValue => "\u{1b}[31m",
    }
}

/// Without the parts of a second.
fn whole_seconds(time: &str) -> String {
    shown(time.split_once('.').map_or(time, |(seconds, _)| seconds)) + if time.contains('.') { "Z" } else { "" }
}

/// A path of a file may hold anything; a terminal is not to act on it.
fn shown(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Failure, Login};

    fn report() -> Report {
        let one = |name: &str, state| Standing {
            name: name.into(),
            source: "file".into(),
            state,
            last_success: Some("2026-11-21T16:00:00.123456Z".into()),
            expires: None,
            ends_within: None,
            refreshes: 3,
            failures: 0,
            last_failure: None,
            login: None,
        };
        let stale = Standing {
            source: "exec".into(),
            expires: Some("2026-11-22T00:00:00.000000Z".into()),
            ends_within: Some("1 day".into()),
            failures: 12,
            last_failure: Some(Failure {
                time: "2026-11-21T16:01:00.000000Z".into(),
                kind: "timeout".into(),
                text: "credential stale-one: program /bin/\u{1b}[2Jx gave no answer".into(),
            }),
            ..one("stale-one", State::Stale)
        };
        let lost = Login {
            name: "team".into(),
            standing: "lost".into(),
            generation: 4,
            advice: Some("log in again: stubgate login claude --name team".into()),
        };
        let login =
            Standing { source: "oauth".into(), last_success: None, login: Some(lost), ..one("login", State::NoValue) };
        Report { is_ready: true, credentials: vec![one("a", State::InUse), stale, login] }
    }

    #[test]
    fn each_credential_has_its_line_and_below_it_what_to_do() {
        let drawn = draw(&report(), false);
        let expected = "\
CREDENTIAL  SOURCE  STATE     LAST SUCCESS          EXPIRES               REFRESHES  FAILURES
a           file    in use    2026-11-21T16:00:00Z  -                     3          0
stale-one   exec    stale     2026-11-21T16:00:00Z  2026-11-22T00:00:00Z  3          12
  ends in less than 1 day, and its source gives nothing that ends later: renew it where it comes from
  failed last at 2026-11-21T16:01:00Z (timeout): credential stale-one: program /bin/\u{fffd}[2Jx gave no answer
login       oauth   no value  -                     -                     3          0
  login team: lost, generation 4: log in again: stubgate login claude --name team
";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn colour_adds_escapes_around_states_and_changes_no_text() {
        let drawn = draw(&report(), true);
        assert!(drawn.contains("\u{1b}[32min use\u{1b}[0m") && drawn.contains("\u{1b}[31mno value\u{1b}[0m"));
        let plain = ["\u{1b}[32m", "\u{1b}[33m", "\u{1b}[31m", "\u{1b}[0m"];
        assert_eq!(plain.iter().fold(drawn, |text, escape| text.replace(escape, "")), draw(&report(), false));
    }

    #[test]
    fn no_usable_policy_is_said_first() {
        let drawn = draw(&Report { is_ready: false, credentials: Vec::new() }, false);
        assert!(drawn.starts_with("the appliance has no usable policy"), "{drawn}");
    }
}
