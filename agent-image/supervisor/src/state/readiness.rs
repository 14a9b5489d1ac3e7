//! Whether an agent is ready: a pure function of what is known. An agent that is dead, waits in a dialog, or holds what it
//! should not is not ready, and each reason is one of a closed list, so that an alert can name it.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Client, Facts};

/// Why an agent is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The client was not started yet.
    ClientWaiting,
    /// It ended.
    ClientDown,
    /// It runs and takes no part.
    ClientHung,
    /// It waits in a dialog that nobody answers.
    DialogBlocked,
    /// Its login holds something that is no stub.
    LoginNotStub,
    /// The trust stores are not in order.
    TrustWrong,
    /// A bridge that it can't do without does not work.
    BridgeFailing,
    /// It does not answer.
    HealthPromptUnanswered,
    /// The session of tmux is gone.
    TmuxMissing,
    /// There is no room left for what it writes.
    DiskFull,
}

impl Reason {
    /// Every reason, in the order in which they are told.
    pub const ALL: &'static [Reason] = &[
        Reason::ClientWaiting,
        Reason::ClientDown,
        Reason::ClientHung,
        Reason::DialogBlocked,
        Reason::LoginNotStub,
        Reason::TrustWrong,
        Reason::BridgeFailing,
        Reason::HealthPromptUnanswered,
        Reason::TmuxMissing,
        Reason::DiskFull,
    ];

    /// Its word, as in `/readyz`, metrics and `status --json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ClientWaiting => "client_waiting",
            Reason::ClientDown => "client_down",
            Reason::ClientHung => "client_hung",
            Reason::DialogBlocked => "dialog_blocked",
            Reason::LoginNotStub => "login_not_stub",
            Reason::TrustWrong => "trust_wrong",
            Reason::BridgeFailing => "bridge_failing",
            Reason::HealthPromptUnanswered => "health_prompt_unanswered",
            Reason::TmuxMissing => "tmux_missing",
            Reason::DiskFull => "disk_full",
        }
    }
}

/// A reason, and what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// Which.
    pub reason: Reason,
    /// In words.
    pub text: String,
}

/// Why the agent is not ready; it is, if there is nothing.
pub fn reasons(facts: &Facts, now: SystemTime) -> Vec<NotReady> {
    let mut reasons = Vec::new();
    let mut add = |reason, text: String| reasons.push(NotReady { reason, text });
    match &facts.client {
        Client::Waiting => add(Reason::ClientWaiting, "the client was not started yet".into()),
        Client::Up { .. } => {}
        Client::Down { why, next, .. } => {
            let then = match next.duration_since(now) {
                Ok(left) => format!("in {} s", left.as_secs()),
                Err(_) => "now".into(),
            };
            add(Reason::ClientDown, format!("the client ended ({why}) and is started again {then}"));
        }
        Client::Hung { pid, since } => {
            let long = now.duration_since(*since).unwrap_or_default().as_secs();
            add(Reason::ClientHung, format!("the client (process {pid}) takes no part, for {long} s"));
        }
    }
    if let Some(text) = &facts.dialog {
        add(Reason::DialogBlocked, format!("the client waits in a dialog: {text}"));
    }
    if !facts.login_is_stub {
        add(Reason::LoginNotStub, "the client's login was not seen to hold its stubs and nothing else".into());
    }
    if let Some(why) = &facts.trust {
        add(Reason::TrustWrong, why.clone());
    }
    for (name, bridge) in facts.bridges.iter().filter(|(_, bridge)| bridge.required) {
        match (&bridge.failing, bridge.last_good) {
            (Some(why), _) => add(Reason::BridgeFailing, format!("{name}: {why}")),
            (None, None) => add(Reason::BridgeFailing, format!("{name}: has not answered yet")),
            (None, Some(_)) => {}
        }
    }
    if let Some(why) = &facts.unanswered {
        add(Reason::HealthPromptUnanswered, why.clone());
    }
    if facts.tmux == Some(false) {
        add(Reason::TmuxMissing, "tmux has no session `main`".into());
    }
    if let Some(which) = &facts.disk {
        add(Reason::DiskFull, which.clone());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::super::Bridge;
    use super::*;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    fn good() -> Facts {
        let bridge = Bridge { required: true, last_good: Some(now()), ..Bridge::default() };
        Facts {
            client: Client::Up { pid: 7, since: now(), restarts: 3 },
            login_is_stub: true,
            tmux: Some(true),
            bridges: [("github".into(), bridge)].into(),
            ..Facts::default()
        }
    }

    fn words(change: impl FnOnce(&mut Facts)) -> Vec<&'static str> {
        let mut facts = good();
        change(&mut facts);
        reasons(&facts, now()).iter().map(|not| not.reason.as_str()).collect()
    }

    #[test]
    fn an_agent_is_ready_when_nothing_is_wrong() {
        assert_eq!(words(|_| {}), [""; 0]);
        assert_eq!(words(|facts| facts.tmux = None), [""; 0], "headless");
        let off = Bridge { failing: Some("no".into()), ..Bridge::default() };
        assert_eq!(words(|facts| drop(facts.bridges.insert("nats".into(), off))), [""; 0], "not required");
    }

    #[test]
    fn a_supervisor_that_knows_nothing_yet_is_not_ready() {
        let words: Vec<&str> = reasons(&Facts::default(), now()).iter().map(|not| not.reason.as_str()).collect();
        assert_eq!(words, ["client_waiting", "login_not_stub"]);
    }

    #[test]
    fn each_fault_has_its_reason() {
        let down = Client::Down { why: "exit status 1".into(), next: now(), restarts: 1 };
        assert_eq!(words(|facts| facts.client = down), ["client_down"]);
        assert_eq!(words(|facts| facts.client = Client::Hung { pid: 7, since: now() }), ["client_hung"]);
        assert_eq!(words(|facts| facts.client = Client::Waiting), ["client_waiting"]);
        assert_eq!(words(|facts| facts.dialog = Some("Settings Error".into())), ["dialog_blocked"]);
        assert_eq!(words(|facts| facts.login_is_stub = false), ["login_not_stub"]);
        assert_eq!(words(|facts| facts.trust = Some("gone".into())), ["trust_wrong"]);
        assert_eq!(words(|facts| facts.unanswered = Some("gone".into())), ["health_prompt_unanswered"]);
        assert_eq!(words(|facts| facts.tmux = Some(false)), ["tmux_missing"]);
        assert_eq!(words(|facts| facts.disk = Some("/home".into())), ["disk_full"]);
        let fails = |facts: &mut Facts| {
            facts.bridges.entry("github".into()).or_default().failing = Some("connection refused".into());
        };
        assert_eq!(words(fails), ["bridge_failing"]);
        let unseen = |facts: &mut Facts| facts.bridges.entry("github".into()).or_default().last_good = None;
        assert_eq!(words(unseen), ["bridge_failing"]);
    }

    #[test]
    fn every_fault_is_told_at_once_in_the_order_of_the_list() {
        let all = words(|facts| {
            facts.client = Client::Hung { pid: 7, since: now() };
            facts.dialog = Some("?".into());
            facts.login_is_stub = false;
            facts.trust = Some("?".into());
            facts.bridges.entry("github".into()).or_default().failing = Some("?".into());
            facts.unanswered = Some("?".into());
            facts.tmux = Some(false);
            facts.disk = Some("?".into());
        });
        let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(all, known[2..]);
    }

    #[test]
    fn the_text_says_when_the_client_is_started_again() {
        let text = |next| {
            let client = Client::Down { why: "signal 9".into(), next, restarts: 1 };
            reasons(&Facts { client, ..good() }, now()).remove(0).text
        };
        assert_eq!(text(now() + Duration::from_secs(12)), "the client ended (signal 9) and is started again in 12 s");
        assert!(text(now() - Duration::from_secs(1)).ends_with("now"));
    }

    #[test]
    fn words_are_those_of_the_serialised_form() {
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    proptest! {
        /// The one that matters most: whatever else is known, a client that does not run makes no ready pod.
        #[test]
        fn an_agent_that_is_dead_is_never_ready(tmux: Option<bool>, login: bool, seconds in 0u64..3_000_000, which in 0..3) {
            let since = UNIX_EPOCH + Duration::from_secs(seconds);
            let client = match which {
                0 => Client::Waiting,
                1 => Client::Down { why: String::new(), next: since, restarts: 0 },
                _ => Client::Hung { pid: 1, since },
            };
            let facts = Facts { client, tmux, login_is_stub: login, ..good() };
            prop_assert!(!reasons(&facts, now()).is_empty());
        }
    }
}
