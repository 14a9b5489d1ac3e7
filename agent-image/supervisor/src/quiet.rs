//! Quiet hours: when the agent is not to be disturbed, and when it does not disturb.
//!
//! Two things make it quiet: the window of its files (`quiet_hours`), and what a person told it (`/dnd on`), which the agent writes
//! to `~/.claude/dnd.json`. Nothing of this drops an event: what would wake an agent wakes it afterwards. Critical incidents wake
//! always.

use std::fs;
use std::path::PathBuf;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::Deserialize;
use thiserror::Error;

use crate::agent::Agent;
use crate::files;

/// A window of each day, in a time zone.
#[derive(Clone, Debug)]
pub struct Window {
    start: Time,
    /// `None` is 24:00.
    end: Option<Time>,
    zone: TimeZone,
}

/// Why there is no window.
#[derive(Debug, Error)]
pub enum Wrong {
    /// It is none.
    #[error("quiet hours {0:?}: write them as 22:00-07:00, with two different times")]
    Window(String),
    /// Nobody knows the zone.
    #[error("quiet hours: {0:?} is no time zone as Europe/Vienna")]
    Zone(String),
    /// The file that the channel reads.
    #[error("{}: {source}", path.display())]
    Disk {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Comments, results, pull requests.
    Info,
    /// An incident that can wait.
    Warning,
    /// An incident that can't.
    Critical,
}

impl Window {
    /// Reads `22:00-07:00` and the name of a time zone. 24:00 may stand at the end.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn parse(window: &str, zone: &str) -> Result<Self, Wrong> {
        let none = || Wrong::Window(window.chars().take(64).collect());
        let (start, end) = window.split_once('-').ok_or_else(none)?;
        let start = time(start).ok_or_else(none)?;
        let end = if end.trim() == "24:00" { None } else { Some(time(end).ok_or_else(none)?) };
        if end == Some(start) {
            return Err(none());
        }
        let zone = TimeZone::get(zone).map_err(|_| Wrong::Zone(zone.chars().take(64).collect()))?;
        Ok(Window { start, end, zone })
    }

    /// When the window that this moment is in ends; `None` if it is in none. Beginning and end are moments: an hour that a change
    /// of clocks repeats does not open a window twice, and where it skips the time of one, that one is as much later.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        let days = [today.yesterday().ok()?, today];
        days.into_iter().find_map(|day| {
            let (start, end) = self.on(day)?;
            (start <= now && now < end).then_some(end)
        })
    }

    /// The window that begins on this day.
    fn on(&self, day: Date) -> Option<(Timestamp, Timestamp)> {
        let moment = |day: Date, time: Time| Some(self.zone.to_zoned(day.to_datetime(time)).ok()?.timestamp());
        let start = moment(day, self.start)?;
        let end = match self.end {
            Some(end) if end > self.start => moment(day, end)?,
            Some(end) => moment(day.tomorrow().ok()?, end)?,
            None => moment(day.tomorrow().ok()?, Time::midnight())?,
        };
        Some((start, end))
    }
}

/// Two digits, a colon, two digits.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_two = |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| is_two(text).then(|| text.parse::<i8>().ok())?;
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// What a person told the agent about being disturbed, as it wrote it down.
#[derive(Debug, Default, Deserialize)]
struct Dnd {
    active: bool,
    /// `08:00`, in the time zone of the quiet hours; for good if there is none.
    until: Option<String>,
    /// When it was told.
    since: Option<Timestamp>,
}

/// Until when it is quiet for this agent; `None` if it is not. What lasts until it is taken back ends in a day's time each time
/// that one asks.
pub fn until(agent: &Agent, now: Timestamp) -> Option<Timestamp> {
    let window = window(agent).unwrap_or_else(|why| {
        tracing::warn!(%why, "quiet hours are not kept");
        None
    });
    let told = told(agent, now);
    [window.and_then(|window| window.ends(now)), told].into_iter().flatten().max()
}

/// Whether something of this weight may wake the agent now.
pub fn may_wake(agent: &Agent, now: Timestamp, severity: Severity) -> bool {
    severity >= Severity::Critical || until(agent, now).is_none()
}

fn window(agent: &Agent) -> Result<Option<Window>, Wrong> {
    agent.file.quiet_hours.as_ref().map(|hours| Window::parse(&hours.window, &hours.time_zone)).transpose()
}

/// The end of what `dnd.json` says.
fn told(agent: &Agent, now: Timestamp) -> Option<Timestamp> {
    let path = dnd(agent);
    let about = fs::metadata(&path).ok().filter(|about| about.is_file() && about.len() <= 4096)?;
    let dnd: Dnd = serde_json::from_slice(&files::read_bounded(&path, 4096).ok()?).ok()?;
    if !dnd.active {
        return None;
    }
    let for_good = now.checked_add(SignedDuration::from_hours(24)).ok();
    let Some(until) = dnd.until.as_deref().and_then(time) else { return for_good };
    let since = dnd.since.or_else(|| Timestamp::try_from(about.modified().ok()?).ok()).unwrap_or(now);
    let zone =
        agent.file.quiet_hours.as_ref().and_then(|hours| TimeZone::get(&hours.time_zone).ok()).unwrap_or(TimeZone::UTC);
    let day = since.to_zoned(zone.clone()).date();
    // The first such time after it was told.
    let ends = [day, day.checked_add(1.day()).ok()?].into_iter().find_map(|day| {
        let ends = zone.to_zoned(day.to_datetime(until)).ok()?.timestamp();
        (ends > since).then_some(ends)
    })?;
    (now < ends).then_some(ends)
}

fn dnd(agent: &Agent) -> PathBuf {
    agent.place.claude().join("dnd.json")
}

/// The variables that the channel and the agent's rules read: `QUIET_HOURS` and `QUIET_HOURS_TZ`, if there are quiet hours.
pub fn variables(agent: &Agent) -> Vec<(String, String)> {
    let Some(hours) = &agent.file.quiet_hours else { return Vec::new() };
    vec![("QUIET_HOURS".into(), hours.window.clone()), ("QUIET_HOURS_TZ".into(), hours.time_zone.clone())]
}

/// Puts `~/.claude/dnd.json` in place for an agent with a channel or with quiet hours, and leaves what a person told it: a restart
/// does not end a `/dnd on`. Whether it changed. The window itself goes by [`variables`].
///
/// # Errors
///
/// Quiet hours that are none; a file that can't be written.
pub fn write_channel(agent: &Agent) -> Result<bool, Wrong> {
    let has_window = window(agent)?.is_some();
    if !has_window && agent.file.matrix.is_none() {
        return Ok(false);
    }
    let path = dnd(agent);
    let is_right = files::read_bounded(&path, 4096).is_ok_and(|text| serde_json::from_slice::<Dnd>(&text).is_ok());
    if is_right {
        return Ok(false);
    }
    files::replace(&path, b"{\"active\":false}\n", 0o600).map_err(|source| Wrong::Disk { path, source })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::agent::{AgentFile, Place, file};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_is_what_people_mean_by_it_also_when_the_clocks_change() {
        for (window, zone, moment, ends) in [
            ("22:00-07:00", "UTC", "2026-05-01T21:59:59Z", None),
            ("22:00-07:00", "UTC", "2026-05-01T22:00:00Z", Some("2026-05-02T07:00:00Z")),
            ("22:00-07:00", "UTC", "2026-05-02T06:59:59Z", Some("2026-05-02T07:00:00Z")),
            ("22:00-07:00", "UTC", "2026-05-02T07:00:00Z", None),
            ("12:30-13:00", "UTC", "2026-05-02T12:45:00Z", Some("2026-05-02T13:00:00Z")),
            ("00:00-24:00", "UTC", "2026-05-02T00:00:00Z", Some("2026-05-03T00:00:00Z")),
            ("00:00-24:00", "UTC", "2026-05-02T23:59:59Z", Some("2026-05-03T00:00:00Z")),
            ("20:00-00:00", "UTC", "2026-05-02T23:59:59Z", Some("2026-05-03T00:00:00Z")),
            ("22:00-07:00", "Europe/Vienna", "2026-01-10T21:30:00Z", Some("2026-01-11T06:00:00Z")),
            ("22:00-07:00", "Europe/Vienna", "2026-07-10T20:30:00Z", Some("2026-07-11T05:00:00Z")),
            ("22:00-07:00", "America/New_York", "2026-07-11T01:00:00Z", None),
            ("22:00-07:00", "America/New_York", "2026-07-11T02:00:00Z", Some("2026-07-11T11:00:00Z")),
            // On March 29, Vienna goes from 02:00 to 03:00: the night is an hour shorter.
            ("22:00-07:00", "Europe/Vienna", "2026-03-28T21:00:00Z", Some("2026-03-29T05:00:00Z")),
            ("22:00-07:00", "Europe/Vienna", "2026-03-29T05:00:00Z", None),
            // A window that ends in the hour that is skipped ends as much later, at 03:30.
            ("22:00-02:30", "Europe/Vienna", "2026-03-29T01:15:00Z", Some("2026-03-29T01:30:00Z")),
            ("22:00-02:30", "Europe/Vienna", "2026-03-29T01:30:00Z", None),
            // One that begins in it begins at 03:30.
            ("02:30-05:00", "Europe/Vienna", "2026-03-29T01:15:00Z", None),
            ("02:30-05:00", "Europe/Vienna", "2026-03-29T01:30:00Z", Some("2026-03-29T03:00:00Z")),
            // One that is skipped whole is moved whole.
            ("02:00-02:45", "Europe/Vienna", "2026-03-29T01:10:00Z", Some("2026-03-29T01:45:00Z")),
            // On October 25, it goes from 03:00 to 02:00: the night is an hour longer.
            ("22:00-07:00", "Europe/Vienna", "2026-10-25T05:30:00Z", Some("2026-10-25T06:00:00Z")),
            ("22:00-07:00", "Europe/Vienna", "2026-10-25T06:00:00Z", None),
            // Half past two comes twice; the window ends the first time, and does not open again.
            ("22:00-02:30", "Europe/Vienna", "2026-10-25T00:29:00Z", Some("2026-10-25T00:30:00Z")),
            ("22:00-02:30", "Europe/Vienna", "2026-10-25T00:45:00Z", None),
            ("22:00-02:30", "Europe/Vienna", "2026-10-25T01:15:00Z", None),
            ("02:30-05:00", "Europe/Vienna", "2026-10-25T01:15:00Z", Some("2026-10-25T04:00:00Z")),
        ] {
            let parsed = Window::parse(window, zone).unwrap();
            assert_eq!(parsed.ends(at(moment)), ends.map(at), "{window} {zone} {moment}");
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for (window, zone) in [
            ("", "UTC"),
            ("22:00", "UTC"),
            ("22-07", "UTC"),
            ("22:00-22:00", "UTC"),
            ("25:00-07:00", "UTC"),
            ("22:60-07:00", "UTC"),
            ("2:00-07:00", "UTC"),
            ("24:00-07:00", "UTC"),
            ("22:00-+7:00", "UTC"),
            ("22:00-07:00-08:00", "UTC"),
            ("22:00-07:00", "Europe/Wien"),
            ("22:00-07:00", ""),
        ] {
            assert!(Window::parse(window, zone).is_err(), "{window} {zone}");
        }
    }

    fn agent(home: &Path, hours: Option<(&str, &str)>) -> Agent {
        let place = Place {
            name: "devbot".into(),
            agents: home.join("agents"),
            home: home.into(),
            workspace: home.join("workspace"),
            bundle: home.join("bundle.pem"),
            trust: home.join("trust"),
            run: home.join("run"),
        };
        let quiet_hours =
            hours.map(|(window, zone)| file::QuietHours { window: window.into(), time_zone: zone.into() });
        Agent { name: "devbot".into(), file: AgentFile { quiet_hours, ..AgentFile::default() }, place }
    }

    #[test]
    fn what_a_person_told_the_agent_counts_beside_the_window() {
        let home = tempfile::tempdir().unwrap();
        let agent = agent(home.path(), Some(("22:00-07:00", "Europe/Vienna")));
        let path = home.path().join(".claude/dnd.json");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let noon = "2026-07-10T10:00:00Z";
        for (told, moment, quiet) in [
            ("", noon, false),
            (r#"{"active":false}"#, noon, false),
            (r#"{"active":false}"#, "2026-07-10T21:00:00Z", true),
            (r#"{"active":true}"#, noon, true),
            (r#"{"active":true,"since":"2026-07-09T10:00:00Z"}"#, noon, true),
            // Told at ten in the evening of Vienna, until its eight in the morning.
            (r#"{"active":true,"until":"08:00","since":"2026-07-09T20:00:00Z"}"#, "2026-07-10T05:59:00Z", true),
            (r#"{"active":true,"until":"08:00","since":"2026-07-09T20:00:00Z"}"#, "2026-07-10T06:00:00Z", false),
            (r#"{"active":true,"until":"18:00","since":"2026-07-10T08:00:00Z"}"#, noon, true),
            (r#"{"active":true,"until":"18:00","since":"2026-07-09T08:00:00Z"}"#, noon, false),
            (r#"{"active":true,"until":"when I say"}"#, noon, true),
            ("not json", noon, false),
        ] {
            fs::write(&path, told).unwrap();
            assert_eq!(until(&agent, at(moment)).is_some(), quiet, "{told} {moment}");
            assert_eq!(may_wake(&agent, at(moment), Severity::Warning), !quiet);
            assert!(may_wake(&agent, at(moment), Severity::Critical));
        }
    }

    #[test]
    fn the_channel_gets_its_file_and_a_restart_does_not_end_what_a_person_told() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".claude/dnd.json");
        assert!(!write_channel(&agent(home.path(), None)).unwrap());
        assert!(!path.exists());
        let with = agent(home.path(), Some(("22:00-07:00", "UTC")));
        assert!(write_channel(&with).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"active\":false}\n");
        fs::write(&path, r#"{"active":true,"until":"08:00"}"#).unwrap();
        assert!(!write_channel(&with).unwrap());
        fs::write(&path, "{").unwrap();
        assert!(write_channel(&with).unwrap());
        assert!(write_channel(&agent(home.path(), Some(("late", "UTC")))).is_err());
        let pairs = variables(&with);
        assert_eq!(pairs, [("QUIET_HOURS".into(), "22:00-07:00".into()), ("QUIET_HOURS_TZ".into(), "UTC".into())]);
    }
}
