//! The facts as Prometheus reads them. Label values are names of bridges from configuration and words of closed lists, never
//! anything that a session, a server or a bridge says.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use super::readiness::{self, Reason};
use super::{Client, Facts};

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up, until the supervisor is started again.
    Counter,
}

impl Kind {
    /// Prometheus' word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
        }
    }
}

/// A metric: its name, labels, kind and meaning.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name without the common prefix.
    pub name: &'static str,
    /// Whose values stand in brackets; empty if it has none.
    pub label: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// What it means, in a sentence.
    pub help: &'static str,
}

/// What every name begins with.
pub const PREFIX: &str = "stubgate_agent_";

const fn gauge(name: &'static str, label: &'static str, help: &'static str) -> Metric {
    Metric { name, label, kind: Kind::Gauge, help }
}

const fn counter(name: &'static str, label: &'static str, help: &'static str) -> Metric {
    Metric { name, label, kind: Kind::Counter, help }
}

/// Every metric, in the order in which they are told.
pub const ALL: &[Metric] = &[
    gauge("build_info", "version", "Always 1; the version of the supervisor is its label."),
    gauge("start_time_seconds", "", "When the supervisor was started, in seconds since 1970."),
    gauge("ready", "", "1 while the agent is ready."),
    gauge("not_ready", "reason", "1 while this is a reason why the agent is not ready."),
    gauge("client_up", "", "1 while the client's process runs and takes part."),
    gauge(
        "client_start_time_seconds",
        "",
        "When the running client was started, in seconds since 1970; absent while none runs.",
    ),
    counter("client_restarts_total", "", "How often the client was started again."),
    counter("turns_total", "", "Turns that ended, as the session's own record says."),
    gauge(
        "last_turn_timestamp_seconds",
        "",
        "When the last turn ended, in seconds since 1970; absent before the first.",
    ),
    counter(
        "dialogs_total",
        "outcome",
        "Dialogs that appeared all the same: answered by the table, or blocked because it does not know them.",
    ),
    counter(
        "logins_restored_total",
        "",
        "How often the client's login held something else and was put back to the stubs.",
    ),
    gauge("bridge_up", "bridge", "1 while the last probe of the bridge succeeded."),
    gauge("bridge_required", "bridge", "1 if the agent is not ready without it."),
    gauge("bridge_tools", "bridge", "Tools that it offered at its last good probe."),
    gauge(
        "bridge_last_good_timestamp_seconds",
        "bridge",
        "When a probe last succeeded, in seconds since 1970; absent before the first.",
    ),
    counter("bridge_restarts_total", "bridge", "How often it was started again."),
    gauge("events_spooled", "", "Events that wait for their server."),
    gauge("events_aside", "", "Events that their server refused, and that a person must look at."),
];

/// What the label of a metric may say, as docs/metrics.md has it: words of a closed list in backquotes, or which names.
pub fn values(metric: &Metric) -> String {
    let words = |words: &mut dyn Iterator<Item = &'static str>| {
        words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    };
    match (metric.name, metric.label) {
        (_, "version") => "the version of the program".to_owned(),
        (_, "bridge") => "a bridge of the agent's configuration".to_owned(),
        ("not_ready", "reason") => words(&mut Reason::ALL.iter().map(|reason| reason.as_str())),
        ("dialogs_total", "outcome") => words(&mut [ANSWERED, BLOCKED].into_iter()),
        // A test finds a label of which nobody said it.
        _ => String::new(),
    }
}

/// What became of a dialog, as a label.
const ANSWERED: &str = "answered";
const BLOCKED: &str = "blocked";

/// The tables of docs/metrics.md.
pub fn tables() -> String {
    let mut text = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    let mut metrics: Vec<&Metric> = ALL.iter().collect();
    metrics.sort_by_key(|metric| metric.name);
    for Metric { name, label, kind, help } in &metrics {
        let label = if label.is_empty() { String::new() } else { format!("`{label}`") };
        // Writing to a String can't fail.
        let _ = writeln!(text, "| `{PREFIX}{name}` | {} | {label} | {help} |", kind.as_str());
    }
    text.push_str("\n| metric | label | values |\n|---|---|---|\n");
    for metric in metrics.into_iter().filter(|metric| !metric.label.is_empty()) {
        let _ = writeln!(text, "| `{PREFIX}{}` | `{}` | {} |", metric.name, metric.label, values(metric));
    }
    text
}

/// The text that `/metrics` answers with.
pub fn render(facts: &Facts, started: SystemTime, now: SystemTime) -> String {
    let mut text = String::with_capacity(8 * 1024);
    for metric in ALL {
        let series = series(metric.name, facts, started, now);
        if series.is_empty() {
            continue;
        }
        let Metric { name, label, kind, help } = metric;
        let kind = kind.as_str();
        // Writing to a String can't fail.
        let _ = writeln!(text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {kind}");
        for (value_of_label, value) in series {
            let _ = match label.is_empty() {
                true => writeln!(text, "{PREFIX}{name} {value}"),
                false => writeln!(text, "{PREFIX}{name}{{{label}=\"{}\"}} {value}", escaped(&value_of_label)),
            };
        }
    }
    text
}

/// A metric's series: the value of its label, and its own.
fn series(name: &str, facts: &Facts, started: SystemTime, now: SystemTime) -> Vec<(String, u64)> {
    let one = |value: u64| vec![(String::new(), value)];
    let some = |value: Option<u64>| value.map(one).unwrap_or_default();
    let bridges = |value: fn(&super::Bridge) -> Option<u64>| {
        let series = facts.bridges.iter().filter_map(|(name, bridge)| Some((name.clone(), value(bridge)?)));
        series.collect::<Vec<_>>()
    };
    match name {
        "build_info" => vec![(env!("CARGO_PKG_VERSION").to_owned(), 1)],
        "start_time_seconds" => one(seconds(started)),
        "ready" => one(readiness::reasons(facts, now).is_empty().into()),
        "not_ready" => {
            let reasons = readiness::reasons(facts, now);
            let holds = |reason: Reason| reasons.iter().any(|not| not.reason == reason);
            Reason::ALL.iter().map(|&reason| (reason.as_str().to_owned(), holds(reason).into())).collect()
        }
        "client_up" => one(matches!(facts.client, Client::Up { .. }).into()),
        "client_start_time_seconds" => match facts.client {
            Client::Up { since, .. } => one(seconds(since)),
            Client::Waiting | Client::Hung { .. } | Client::Down { .. } => Vec::new(),
        },
        "client_restarts_total" => one(facts.restarts),
        "turns_total" => one(facts.turns),
        "last_turn_timestamp_seconds" => some(facts.last_turn.map(seconds)),
        "dialogs_total" => {
            vec![(ANSWERED.to_owned(), facts.dialogs_answered), (BLOCKED.to_owned(), facts.dialogs_blocked)]
        }
        "logins_restored_total" => one(facts.logins_restored),
        "bridge_up" => bridges(|bridge| Some(bridge.is_up().into())),
        "bridge_required" => bridges(|bridge| Some(bridge.required.into())),
        "bridge_tools" => bridges(|bridge| Some(bridge.tools)),
        "bridge_last_good_timestamp_seconds" => bridges(|bridge| bridge.last_good.map(seconds)),
        "bridge_restarts_total" => bridges(|bridge| Some(bridge.restarts)),
        "events_spooled" => one(facts.spooled),
        "events_aside" => one(facts.events_aside),
        // A test finds a name of the list that has no series.
        _ => Vec::new(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The value of a label, as the text format writes it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Bridge;
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// Facts with which every metric has a series.
    fn full() -> Facts {
        let bridge = Bridge { required: true, last_good: Some(at(90)), tools: 12, restarts: 2, ..Bridge::default() };
        Facts {
            client: Client::Up { pid: 7, since: at(50), restarts: 3 },
            restarts: 3,
            login_is_stub: true,
            last_turn: Some(at(80)),
            turns: 4,
            dialogs_answered: 1,
            bridges: [("git\"hub".into(), bridge), ("nats".into(), Bridge::default())].into(),
            spooled: 9,
            ..Facts::default()
        }
    }

    #[test]
    fn every_metric_has_a_series_a_help_and_a_type() {
        let text = render(&full(), at(1), at(100));
        for metric in ALL {
            let name = format!("{PREFIX}{}", metric.name);
            assert!(text.contains(&format!("# HELP {name} {}\n", metric.help)), "{name}");
            let has_series = |line: &str| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with([' ', '{']));
            assert!(text.lines().any(has_series), "{name}");
            assert_eq!(metric.kind == Kind::Counter, name.ends_with("_total"), "{name}");
        }
    }

    #[test]
    fn values_are_those_of_the_facts() {
        let text = render(&full(), at(1), at(100));
        for line in [
            "stubgate_agent_start_time_seconds 1",
            "stubgate_agent_ready 1",
            "stubgate_agent_not_ready{reason=\"client_down\"} 0",
            "stubgate_agent_client_up 1",
            "stubgate_agent_client_start_time_seconds 50",
            "stubgate_agent_client_restarts_total 3",
            "stubgate_agent_turns_total 4",
            "stubgate_agent_last_turn_timestamp_seconds 80",
            "stubgate_agent_dialogs_total{outcome=\"answered\"} 1",
            "stubgate_agent_dialogs_total{outcome=\"blocked\"} 0",
            "stubgate_agent_bridge_up{bridge=\"git\\\"hub\"} 1",
            "stubgate_agent_bridge_up{bridge=\"nats\"} 0",
            "stubgate_agent_bridge_tools{bridge=\"git\\\"hub\"} 12",
            "stubgate_agent_events_spooled 9",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
    }

    #[test]
    fn nothing_that_a_client_or_a_bridge_said_is_told() {
        let said = "proxy-token-github";
        let mut facts = full();
        facts.dialog = Some(said.into());
        facts.trust = Some(said.into());
        facts.unanswered = Some(said.into());
        facts.client = Client::Down { why: said.into(), next: at(1), restarts: 1 };
        for bridge in facts.bridges.values_mut() {
            bridge.failing = Some(said.into());
            bridge.version = Some(said.into());
        }
        let text = render(&facts, at(1), at(100));
        assert!(!text.contains(said), "{text}");
        assert!(text.contains("stubgate_agent_ready 0\n"));
        assert!(text.contains("stubgate_agent_not_ready{reason=\"dialog_blocked\"} 1\n"));
        assert!(!text.contains("client_start_time_seconds"), "none runs");
    }
}
