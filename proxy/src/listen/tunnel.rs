//! What CONNECT and SOCKS share: the question at the *connect* stage, and its record.

use stubgate_policy::{Ask, Authority, ConnectStage, Decision, Reason};

use super::refuse::Unserved;
use crate::appliance::Appliance;
use crate::budget::Reached;
use crate::client::Whence;
use crate::identify::{agent_of, identify};
use crate::record::{Event, Layer, Line, Wire};
use crate::request::Refusal;
use crate::snapshot::Snapshot;

/// Why there is no tunnel.
pub(super) struct Refused {
    /// For records.
    pub(super) refusal: Refusal,
    /// The limit that is to blame, if one is.
    pub(super) reached: Option<Reached>,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused { refusal, reached: None }
    }
}

/// Asks policy whether this agent may reach one of `targets`, which differ in their scheme; the first that it may is
/// recorded under `word`, and takes one of its agent's requests a minute, if those are limited; whether it did.
///
/// # Errors
/// What was said of the first, or which limit was reached.
pub(super) fn decide(
    appliance: &Appliance,
    whence: &Whence,
    word: &'static str,
    targets: &[Authority],
) -> Result<bool, Refused> {
    let snapshot = appliance.snapshot.load();
    let (agent, agent_name) = identify(appliance, &snapshot, &whence.peer)?;
    let mut refusal = None;
    for target in targets {
        let denied = match snapshot.policy.decide(&Ask::new(agent, ConnectStage { authority: target })) {
            Decision::Allow(_) => {
                let taken = appliance.budgets.connection(&snapshot.policy, agent, &agent_name);
                let paid = taken
                    .map_err(|reached| Refused { refusal: Reason::LimitReached.into(), reached: Some(reached) })?;
                let line = line(appliance, &snapshot, whence, word, Some(target));
                // The tunnel carries nothing yet; each request in it has its own record and its own refusal.
                let _ = appliance.audit.write(&line);
                return Ok(paid);
            }
            Decision::Deny(denial) => Refusal { reason: denial.reason, rule: denial.rule, stub_of: None },
            Decision::Answer(_) => Reason::ConnectNotAllowed.into(),
        };
        refusal.get_or_insert(denied);
    }
    Err(refusal.unwrap_or_else(|| Reason::ConnectNotAllowed.into()).into())
}

/// Records and counts a refusal that is told without a status.
pub(super) fn refuse(
    appliance: &Appliance,
    whence: &Whence,
    word: &'static str,
    target: Option<&Authority>,
    refusal: &Refusal,
) {
    refuse_with(appliance, whence, word, target, refusal, None);
}

/// Records and counts a refusal that is told with this id and status.
pub(super) fn refuse_with(
    appliance: &Appliance,
    whence: &Whence,
    word: &'static str,
    target: Option<&Authority>,
    refusal: &Refusal,
    told: Option<(&str, u16)>,
) {
    Unserved::at(Layer::Connect, target).asked(word, told).record(appliance, whence, refusal);
}

fn line<'a>(
    appliance: &Appliance,
    snapshot: &'a Snapshot,
    whence: &Whence,
    word: &'static str,
    target: Option<&'a Authority>,
) -> Line<'a> {
    let agent = agent_of(appliance, &snapshot.policy, &whence.peer).map(|agent| snapshot.policy.agent(agent).name());
    Line {
        agent,
        peer: Some(whence.peer.address),
        original: whence.original,
        authority: target,
        method: Some(Wire(word)),
        decision: Some("allow"),
        policy: Some(snapshot.policy.fingerprint()),
        ..Line::new(Event::Allowed, Layer::Connect)
    }
}
