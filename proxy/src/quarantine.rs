//! Agents that all is denied to because they set off too many tripwires (`quarantine_after_tripwires`).
//!
//! Such an agent is held in the policy in force, where every decision sees it: DNS, TLS, CONNECT, requests, and what is
//! under way, which is decided again at once (law 1). A reload holds it in the next policy too. It is let go by a
//! restart, or by a policy that says `quarantined: true` of it and so takes over: what lifts the quarantine then is the
//! change of that line, which people review. Nothing that the agent does or waits for lifts it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use stubgate_policy::Policy;

use crate::appliance::Appliance;
use crate::budget::Daily;
use crate::record::{Event, Layer, Line};

/// Tripwires by agent, and the agents that are held.
#[derive(Default)]
pub struct Quarantine {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Only of agents that set one off, each known to some policy.
    tripwires: HashMap<Arc<str>, Daily>,
    held: BTreeSet<Arc<str>>,
}

impl Quarantine {
    /// Counts a tripwire; whether it is the one that ends the agent's patience.
    fn count(&self, agent: &Arc<str>, most: Option<u64>, now: SystemTime) -> bool {
        let mut state = self.state();
        if state.held.contains(agent) {
            return false;
        }
        let today = state.tripwires.entry(Arc::clone(agent)).or_default().add(now);
        most.is_some_and(|most| today >= most) && state.held.insert(Arc::clone(agent))
    }

    /// Holds whoever is held in another policy, before it is in force. A policy that says so itself takes over.
    pub fn hold_in(&self, policy: &Policy) {
        let mut state = self.state();
        let State { tripwires, held } = &mut *state;
        held.retain(|name| {
            let Some(agent) = policy.agent_named(name) else { return true };
            if policy.agent(agent).quarantined() {
                tripwires.remove(name);
                return false;
            }
            policy.hold(agent);
            true
        });
        tripwires.retain(|name, _| held.contains(name) || policy.agent_named(name).is_some());
    }

    /// How many agents of a policy are denied everything, by policy or because they are held.
    pub fn len(&self, policy: &Policy) -> usize {
        let state = self.state();
        policy.agents().iter().filter(|agent| agent.quarantined() || state.held.contains(agent.name())).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a tripwire of an agent, and quarantines it if that was one too many.
pub fn tripwire(appliance: &Arc<Appliance>, agent: &Arc<str>) {
    let snapshot = appliance.snapshot.load_full();
    let Some(id) = snapshot.policy.agent_named(agent) else { return };
    let most = snapshot.policy.agent(id).limits().quarantine_after_tripwires;
    if !appliance.quarantine.count(agent, most, SystemTime::now()) {
        return;
    }
    // From here on nothing is granted to it any more; a reload at this moment finds it among those that are held.
    snapshot.policy.hold(id);
    appliance.quarantine.hold_in(&appliance.snapshot.load().policy);
    tracing::error!(
        agent = &**agent,
        tripwires = most,
        "agent quarantined: all is denied to it; a restart lifts this, or a policy with `quarantined: true` takes over"
    );
    let line = Line {
        agent: Some(agent),
        decision: Some("deny"),
        reason: Some(stubgate_policy::Reason::Quarantined),
        count: most,
        policy: Some(snapshot.policy.fingerprint()),
        ..Line::new(Event::Quarantined, Layer::Policy)
    };
    // It is quarantined whether or not it could be written; a lost record is counted.
    let _ = appliance.audit.write(&line);
    let appliance = Arc::clone(appliance);
    // What is under way may be much, and this is somebody's request.
    // A request may be dropped after its runtime; nothing is under way then.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn_blocking(move || appliance.decide_again());
    }
}

#[cfg(test)]
mod tests {
    use stubgate_policy::{SourceFile, compile};

    use super::*;

    fn policy(quarantined: bool) -> Policy {
        let text = format!(
            "version: 1\nagents:\n  a: {{ sources: [10.0.0.1/32], quarantined: {quarantined} }}\n  b: {{ sources: [10.0.0.2/32] }}\n"
        );
        compile(&[SourceFile { name: "p".into(), text }]).unwrap().policy
    }

    #[test]
    fn an_agent_is_held_once_and_over_reloads_until_policy_takes_over() {
        let (quarantine, now) = (Quarantine::default(), SystemTime::now());
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!(!quarantine.count(&a, Some(2), now));
        assert!(!quarantine.count(&b, Some(2), now), "each has its own");
        assert!(quarantine.count(&a, Some(2), now));
        assert!(!quarantine.count(&a, Some(2), now), "told once");
        assert!(!quarantine.count(&b, None, now), "without a limit it is only counted");
        let next = policy(false);
        quarantine.hold_in(&next);
        assert_eq!(quarantine.len(&next), 1);
        let ours = policy(true);
        quarantine.hold_in(&ours);
        assert_eq!(quarantine.len(&ours), 1);
        let lifted = policy(false);
        quarantine.hold_in(&lifted);
        assert_eq!(quarantine.len(&lifted), 0);
        assert!(!quarantine.count(&a, Some(2), now), "and it begins with none");
    }
}
