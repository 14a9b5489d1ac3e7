//! Explanations for programs. Fields are added, never renamed; those that do not apply are `null` or empty.

use serde_json::{Value, json};

use super::{Explanation, rules};
use crate::decide::NameGrant;

impl Explanation {
    /// As a JSON object. `decision`, `rule` and `reason` are what an audit record of the same request says.
    pub fn to_json(&self) -> Value {
        let phases = self
            .phases
            .iter()
            .map(|phase| json!({ "phase": phase.name.as_str(), "state": phase.state.as_str(), "text": phase.text }));
        let rules = self.rules.iter().map(|rule| {
            json!({
                "rule": rule.rule,
                "effect": rules::effect(rule.effect),
                "matches": rule.fits.matches(),
                "fits": rule.fits.as_str(),
                "pattern": rule.pattern,
                "text": rule.text,
            })
        });
        let credentials = self
            .credentials
            .iter()
            .map(|offer| json!({ "credential": offer.credential, "slots": offer.slots, "rules": offer.rules }));
        json!({
            "question": self.question,
            "agent": self.agent,
            "decision": self.decision.as_str(),
            "rule": self.rule,
            "reason": self.reason.map(|reason| reason.as_str()),
            "sentence": self.sentence,
            "dns": self.dns.map(name_grant),
            "credential": self.swap.as_ref().map(|swap| &swap.credential),
            "place": self.swap.as_ref().map(|swap| &swap.place),
            "phases": phases.collect::<Vec<_>>(),
            "rules": rules.collect::<Vec<_>>(),
            "credentials": credentials.collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

fn name_grant(grant: NameGrant) -> &'static str {
    match grant {
        NameGrant::Advertise => "advertise",
        NameGrant::Forward => "forward",
        NameGrant::Nodata => "nodata",
    }
}
