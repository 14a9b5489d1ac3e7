//! The record of a connection that is refused before a request on it was read: one for every layer, so that none forgets
//! what another one tells.

use stubgate_policy::Authority;

use crate::appliance::Appliance;
use crate::client::Whence;
use crate::identify::agent_of;
use crate::record::{Event, Layer, Line, Wire};
use crate::request::Refusal;

/// What is known of such a connection.
pub(super) struct Unserved<'a> {
    layer: Layer,
    authority: Option<&'a Authority>,
    /// CONNECT or SOCKS.
    word: Option<&'static str>,
    /// The id and status that are told.
    told: Option<(&'a str, u16)>,
}

impl<'a> Unserved<'a> {
    /// At this layer, for this authority if it is known.
    pub(super) fn at(layer: Layer, authority: Option<&'a Authority>) -> Self {
        Unserved { layer, authority, word: None, told: None }
    }

    /// Asked for in this word, and told with this id and status, if with any.
    pub(super) fn asked(self, word: &'static str, told: Option<(&'a str, u16)>) -> Self {
        Unserved { word: Some(word), told, ..self }
    }

    /// Records and counts it.
    pub(super) fn record(self, appliance: &Appliance, whence: &Whence, refusal: &Refusal) {
        let snapshot = appliance.snapshot.load();
        let rule = refusal.rule.map(|rule| snapshot.policy.rule(rule).name());
        appliance.metrics.refused(refusal.reason, rule.unwrap_or("")).inc();
        let agent = agent_of(appliance, &snapshot.policy, &whence.peer);
        let line = Line {
            id: self.told.map(|(id, _)| id),
            agent: agent.map(|agent| snapshot.policy.agent(agent).name()),
            peer: Some(whence.peer.address),
            original: whence.original,
            authority: self.authority,
            method: self.word.map(Wire),
            decision: Some("deny"),
            rule,
            reason: Some(refusal.reason),
            status: self.told.map(|(_, status)| status),
            policy: Some(snapshot.policy.fingerprint()),
            ..Line::new(Event::Refused, self.layer)
        };
        // Refused all the same; a lost record is counted.
        let _ = appliance.audit.refuse(&line);
    }
}
