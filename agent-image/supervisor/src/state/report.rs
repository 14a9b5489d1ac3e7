//! How it all is, as programs read it: `status --json`. Its shape is stable: a key keeps its name and meaning while `version` is
//! the same, and keys may be added. docs/agent/state.md lists them, and a test holds the list.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::mask::Mask;
use super::readiness::{self, NotReady};
use super::{Client, Facts};

/// The version of this shape.
pub const VERSION: u32 = 1;

/// How it all is. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of this shape.
    pub version: u32,
    /// The agent's name.
    pub agent: String,
    /// Whether it is ready.
    pub ready: bool,
    /// Why it is not.
    pub reasons: Vec<NotReady>,
    /// The supervisor itself.
    pub supervisor: Supervisor,
    /// The client.
    pub client: ClientReport,
    /// The session.
    pub session: Session,
    /// The client's login.
    pub login: Login,
    /// What is wrong with trust, if anything is.
    pub trust: Option<String>,
    /// Which disk is full, if one is.
    pub disk: Option<String>,
    /// Whether tmux has its session; null without tmux.
    pub tmux: Option<bool>,
    /// Every bridge.
    pub bridges: BTreeMap<String, BridgeReport>,
    /// Events that wait for their server.
    pub events_spooled: u64,
    /// Events that it refused.
    pub events_aside: u64,
}

/// The supervisor itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Supervisor {
    /// Its version.
    pub version: String,
    /// When it was started.
    pub since: String,
}

/// The client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientReport {
    /// `waiting`, `up`, `hung` or `down`.
    pub is: String,
    /// The number of its process.
    pub pid: Option<u32>,
    /// Since when it is so.
    pub since: Option<String>,
    /// How it ended.
    pub why: Option<String>,
    /// When it is started again.
    pub next: Option<String>,
    /// How often it was started again.
    pub restarts: u64,
}

/// The session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Turns that ended.
    pub turns: u64,
    /// When the last one did.
    pub last_turn: Option<String>,
    /// The dialog that it waits in.
    pub dialog: Option<String>,
    /// Dialogs answered by the table.
    pub dialogs_answered: u64,
    /// Dialogs that it does not know.
    pub dialogs_blocked: u64,
    /// Why the last health prompt was not answered.
    pub unanswered: Option<String>,
}

/// The client's login.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Login {
    /// Whether it holds nothing but its stubs.
    pub is_stub: bool,
    /// How often it was put right again.
    pub restored: u64,
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BridgeReport {
    /// Whether its last probe succeeded.
    pub up: bool,
    /// Whether the agent is not ready without it.
    pub required: bool,
    /// Its version.
    pub version: Option<String>,
    /// When a probe last succeeded.
    pub last_good: Option<String>,
    /// Tools that it offered then.
    pub tools: u64,
    /// Why it does not work.
    pub failing: Option<String>,
    /// How often it was started again.
    pub restarts: u64,
}

impl Report {
    /// What is known now, with stubs masked.
    pub fn new(agent: &str, facts: &Facts, mask: &Mask, started: SystemTime, now: SystemTime) -> Self {
        let line = |text: &Option<String>| text.as_ref().map(|text| mask.line(text));
        let reasons = told(facts, mask, now);
        let bridges = facts.bridges.iter().map(|(name, bridge)| {
            let report = BridgeReport {
                up: bridge.is_up(),
                required: bridge.required,
                version: line(&bridge.version),
                last_good: bridge.last_good.map(rfc3339),
                tools: bridge.tools,
                failing: line(&bridge.failing),
                restarts: bridge.restarts,
            };
            (name.clone(), report)
        });
        Report {
            version: VERSION,
            agent: agent.to_owned(),
            ready: reasons.is_empty(),
            reasons,
            supervisor: Supervisor { version: env!("CARGO_PKG_VERSION").into(), since: rfc3339(started) },
            client: client(facts, mask),
            session: Session {
                turns: facts.turns,
                last_turn: facts.last_turn.map(rfc3339),
                dialog: line(&facts.dialog),
                dialogs_answered: facts.dialogs_answered,
                dialogs_blocked: facts.dialogs_blocked,
                unanswered: line(&facts.unanswered),
            },
            login: Login { is_stub: facts.login_is_stub, restored: facts.logins_restored },
            trust: line(&facts.trust),
            disk: line(&facts.disk),
            tmux: facts.tmux,
            bridges: bridges.collect(),
            events_spooled: facts.spooled,
            events_aside: facts.events_aside,
        }
    }
}

/// Why the agent is not ready, with stubs masked.
pub fn told(facts: &Facts, mask: &Mask, now: SystemTime) -> Vec<NotReady> {
    let reasons = readiness::reasons(facts, now).into_iter();
    reasons.map(|NotReady { reason, text }| NotReady { reason, text: mask.line(&text) }).collect()
}

fn client(facts: &Facts, mask: &Mask) -> ClientReport {
    let report =
        ClientReport { is: String::new(), pid: None, since: None, why: None, next: None, restarts: facts.restarts };
    match &facts.client {
        Client::Waiting => ClientReport { is: "waiting".into(), ..report },
        Client::Up { pid, since, .. } => {
            ClientReport { is: "up".into(), pid: Some(*pid), since: Some(rfc3339(*since)), ..report }
        }
        Client::Hung { pid, since } => {
            ClientReport { is: "hung".into(), pid: Some(*pid), since: Some(rfc3339(*since)), ..report }
        }
        Client::Down { why, next, .. } => {
            ClientReport { is: "down".into(), why: Some(mask.line(why)), next: Some(rfc3339(*next)), ..report }
        }
    }
}

/// To the second; a time that no calendar has is the beginning of all.
fn rfc3339(time: SystemTime) -> String {
    let stamp = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::Timestamp::from_second(stamp.as_second()).unwrap_or(stamp).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::Bridge;
    use super::*;

    #[test]
    fn stubs_and_escape_codes_are_in_no_text_of_it() {
        let said = "\x1b[31mproxy-token-github\nsecond".to_owned();
        let bridge =
            Bridge { required: true, version: Some(said.clone()), failing: Some(said.clone()), ..Bridge::default() };
        let facts = Facts {
            client: Client::Down { why: said.clone(), next: UNIX_EPOCH, restarts: 2 },
            dialog: Some(said.clone()),
            trust: Some(said.clone()),
            unanswered: Some(said.clone()),
            disk: Some(said.clone()),
            bridges: [("github".into(), bridge)].into(),
            ..Facts::default()
        };
        let mask = Mask::new(["proxy-token-github".to_owned()]);
        let report = Report::new("devbot", &facts, &mask, UNIX_EPOCH, UNIX_EPOCH);
        let text = serde_json::to_string(&report).unwrap();
        assert!(!text.contains("proxy-token") && !text.contains("\\u001b") && !text.contains("\\n"), "{text}");
        assert_eq!(report.session.dialog.as_deref(), Some("[31m[stub] second"));
        assert!(!report.ready && report.reasons.len() == 7);
    }

    #[test]
    fn times_are_told_to_the_second() {
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_millis(1_700_000_000_900)), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_reader_gets_back_what_was_written() {
        let report = Report::new("devbot", &Facts::default(), &Mask::default(), UNIX_EPOCH, UNIX_EPOCH);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }
}
