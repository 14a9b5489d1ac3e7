//! Phase *decide* (law 1): asks [`Policy::decide`](stubgate_policy::Policy::decide), and nothing else.

use std::sync::Arc;

use stubgate_policy::{AgentId, Answer, Ask, Decision, Permit, Reason, RequestStage, Token};

use crate::authority::Address;
use crate::identify::Identified;
use crate::request::Refusal;
use crate::snapshot::Snapshot;
use crate::swap::{Place, Places};

/// A request that may be forwarded.
pub struct Permitted {
    /// As it came.
    pub identified: Identified,
    /// What it is for.
    pub address: Address,
    /// The proof.
    pub permit: Permit,
    /// Where the stub stands that is swapped.
    pub place: Option<Place>,
    /// To ask again after a reload.
    pub question: Question,
}

/// What policy was asked, kept so that it can be asked again: live requests are decided again after a reload.
pub struct Question {
    agent: Arc<str>,
    address: Address,
    tokens: Vec<(Place, Box<[u8]>)>,
    credential: Option<Arc<str>>,
}

/// What a request stage may come to.
pub enum Outcome {
    /// Forward it.
    Permitted(Box<Permitted>),
    /// Answer it here.
    Answer(Answer),
}

/// Decides on a request.
///
/// # Errors
/// What policy denies, with its reason and rule.
pub fn decide(identified: Identified, address: Address) -> Result<Outcome, Refusal> {
    let snapshot = &identified.snapshot;
    let arrived = &identified.arrived;
    let places = Places::find(
        &snapshot.policy,
        &address.authority,
        &snapshot.stubs,
        arrived.method.as_str(),
        &arrived.path,
        arrived.query.as_deref(),
        &arrived.headers,
    )?;
    let tokens = places.tokens();
    let stub_of = || {
        let policy = &snapshot.policy;
        tokens.iter().find_map(|token| policy.credential_of_stub(identified.agent, &address.authority, token.text))
    };
    let decision = ask(snapshot, identified.agent, &address, &tokens);
    match decision {
        Decision::Deny(denial) => Err(Refusal { reason: denial.reason, rule: denial.rule, stub_of: stub_of() }),
        Decision::Answer(answer) => Ok(Outcome::Answer(answer)),
        Decision::Allow(permit) => {
            let place = permit.swap().map(|swap| swapped_place(&places, swap.token_index)).transpose();
            let place = place.map_err(|refusal| Refusal { stub_of: stub_of(), ..refusal })?;
            let question = Question {
                agent: Arc::clone(&identified.agent_name),
                address: Address {
                    authority: address.authority.clone(),
                    method: address.method.clone(),
                    target: address.target.clone(),
                },
                tokens: places.into_remembered(&snapshot.stubs),
                credential: permit.swap().map(|swap| Arc::clone(&swap.name)),
            };
            Ok(Outcome::Permitted(Box::new(Permitted { identified, address, permit, place, question })))
        }
    }
}

/// Where the stub stands that is swapped.
///
/// # Errors
/// `stub_out_of_slot` for a query slot: it can be declared but is not swapped yet, and the stub must not leave.
pub(crate) fn swapped_place(places: &Places, token_index: usize) -> Result<Place, Refusal> {
    let place = places.place(token_index).filter(|place| place.header().is_some());
    place.cloned().ok_or_else(|| Reason::StubOutOfSlot.into())
}

impl Question {
    /// Whether another policy would grant the same: the agent is still known by its address, and the same credential, if
    /// any, is swapped.
    pub fn holds_under(&self, snapshot: &Snapshot, peer: std::net::IpAddr) -> bool {
        let Some(agent) = snapshot.policy.identify(peer) else { return false };
        if snapshot.policy.agent(agent).name() != &*self.agent {
            return false;
        }
        let tokens: Vec<Token<'_>> =
            self.tokens.iter().map(|(place, text)| Token { slot: place.slot(), text }).collect();
        match ask(snapshot, agent, &self.address, &tokens) {
            Decision::Allow(permit) => permit.swap().map(|swap| &*swap.name) == self.credential.as_deref(),
            Decision::Deny(_) | Decision::Answer(_) => false,
        }
    }

    /// The credential that was swapped in.
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }
}

fn ask(snapshot: &Snapshot, agent: AgentId, address: &Address, tokens: &[Token<'_>]) -> Decision<Permit> {
    snapshot.policy.decide(&Ask::new(
        agent,
        RequestStage { authority: &address.authority, method: &address.method, target: &address.target, tokens },
    ))
}
