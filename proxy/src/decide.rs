//! Phase *decide* (law 1): asks [`Policy::decide`](stubgate_policy::Policy::decide), and nothing else.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;
use stubgate_policy::{
    AgentId, Answer, Ask, BodyRule, CredentialId, Decision, Denial, Fault, Meaning, Permit, Reason, RequestStage,
    RuleId, Seen, Token,
};

use crate::authority::Address;
use crate::ca::Form;
use crate::identify::Identified;
use crate::inspect::{self, Refused};
use crate::request::{Presented, Refusal};
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

/// A request that is allowed for some bodies.
pub struct Looking {
    /// As it came.
    pub identified: Identified,
    /// Bytes of the longest body that may pass.
    pub max_bytes: usize,
    address: Address,
    places: Places,
    rule: Option<RuleId>,
}

/// A request to the token endpoint of a login in escrow.
pub struct Tokens {
    /// As it came.
    pub identified: Identified,
    /// What it is for.
    pub address: Address,
    /// A login that this agent has there; its body says which one is meant.
    pub login: CredentialId,
}

/// A request for the certificates to trust.
pub struct BundleAsked {
    /// Who asks.
    pub agent: Arc<str>,
    /// From where.
    pub address: IpAddr,
    /// For which of them.
    pub form: Form,
    /// What it trusts already, as it says.
    pub known: Option<HeaderValue>,
}

/// What policy was asked, kept so that it can be asked again: live requests are decided again after a reload.
pub struct Question {
    agent: Arc<str>,
    address: Address,
    tokens: Vec<(Place, Box<[u8]>)>,
    credential: Option<Arc<str>>,
    /// What its body was found to be.
    looked: Vec<Arc<BodyRule>>,
}

/// What a request stage may come to.
pub enum Outcome {
    /// Forward it.
    Permitted(Box<Permitted>),
    /// Look at its body first.
    Look(Box<Looking>),
    /// Answer it here with the certificates to trust.
    Bundle(Box<BundleAsked>),
    /// Answer it here, as the provider of this login would.
    Tokens(Box<Tokens>),
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
    let decision = snapshot.policy.decide(&asked(identified.agent, &address, &tokens));
    match decision {
        Decision::Deny(denial) => Err(denied(denial, &identified, &address, &places)),
        Decision::Answer(Answer::OauthToken(login)) => {
            Ok(Outcome::Tokens(Box::new(Tokens { identified, address, login })))
        }
        Decision::Answer(Answer::CaBundle) => Ok(bundle(&identified, Form::WithSystem)),
        Decision::Answer(Answer::CaCertificates) => Ok(bundle(&identified, Form::Own)),
        Decision::Allow(permit) => match permit.to_look() {
            Some(look) => {
                let (max_bytes, rule) = (look.max_bytes(), look.rules().first().copied());
                Ok(Outcome::Look(Box::new(Looking { identified, max_bytes, address, places, rule })))
            }
            None => permitted(identified, address, places, permit).map(Outcome::Permitted),
        },
    }
}

fn bundle(identified: &Identified, form: Form) -> Outcome {
    let (agent, address) = (Arc::clone(&identified.agent_name), identified.arrived.client.peer.ip());
    let known = identified.arrived.headers.get(http::header::IF_NONE_MATCH).cloned();
    Outcome::Bundle(Box::new(BundleAsked { agent, address, form, known }))
}

fn denied(denial: Denial, identified: &Identified, address: &Address, places: &Places) -> Refusal {
    Refusal { reason: denial.reason, rule: denial.rule, stub_of: stub_of(identified, address, places) }
}

fn stub_of(identified: &Identified, address: &Address, places: &Places) -> Option<Presented> {
    let policy = &identified.snapshot.policy;
    let of = |token: &Token<'_>| {
        let credential = policy.credential_of_stub(identified.agent, &address.authority, token)?;
        let minted = match token.meaning {
            Meaning::Minted(stub) => Some((stub.agent, stub.id.into())),
            Meaning::Literal | Meaning::Forged => None,
        };
        Some(Presented { credential, minted })
    };
    places.tokens().iter().find_map(of)
}

fn permitted(
    identified: Identified,
    address: Address,
    places: Places,
    permit: Permit,
) -> Result<Box<Permitted>, Refusal> {
    let place = permit.swap().map(|swap| swapped_place(&places, swap.token_index)).transpose();
    let place = place.map_err(|refusal| Refusal { stub_of: stub_of(&identified, &address, &places), ..refusal })?;
    let question = Question {
        agent: Arc::clone(&identified.agent_name),
        address: Address {
            authority: address.authority.clone(),
            method: address.method.clone(),
            target: address.target.clone(),
        },
        tokens: places.into_remembered(&identified.snapshot.stubs),
        credential: permit.swap().map(|swap| Arc::clone(&swap.name)),
        looked: permit.looked().to_vec(),
    };
    Ok(Box::new(Permitted { identified, address, permit, place, question }))
}

impl Looking {
    /// Decides with the body.
    ///
    /// # Errors
    /// What policy denies, and what about the body is to blame.
    pub fn decide(self: Box<Self>, bytes: &[u8]) -> Result<Box<Permitted>, Refused> {
        let Looking { identified, address, places, .. } = *self;
        let (decision, fault) = {
            let tokens = places.tokens();
            let body = inspect::body(&identified.arrived.headers, identified.arrived.query.as_deref(), bytes);
            let ask = asked(identified.agent, &address, &tokens);
            identified.snapshot.policy.decide_body(&ask, Seen::Body(&body))
        };
        match decision {
            Decision::Allow(permit) => permitted(identified, address, places, permit).map_err(Refused::of),
            Decision::Deny(denial) => {
                Err(Refused { fault, ..Refused::of(denied(denial, &identified, &address, &places)) })
            }
            // Nothing that is answered here is looked into.
            Decision::Answer(_) => Err(Reason::Internal.into()),
        }
    }

    /// A refusal for a body that was not even taken in.
    pub fn fault(&self, fault: Fault) -> Refused {
        let stub_of = stub_of(&self.identified, &self.address, &self.places);
        let refusal = Refusal { reason: fault.reason, rule: self.rule, stub_of };
        Refused { fault: Some(fault), ..Refused::of(refusal) }
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
    /// Whether another policy would grant the same to whom its peer is now: the same agent, with the same credential
    /// swapped, if any.
    pub fn holds_under(&self, snapshot: &Snapshot, agent: Option<AgentId>) -> bool {
        let Some(agent) = agent else { return false };
        if snapshot.policy.agent(agent).name() != &*self.agent {
            return false;
        }
        // A minted stub may have been called back, and means other ids there.
        let tokens: Vec<Token<'_>> = self
            .tokens
            .iter()
            .map(|(place, text)| Token { slot: place.slot(), text, meaning: snapshot.stubs.meaning(text) })
            .collect();
        let ask = asked(agent, &self.address, &tokens);
        match snapshot.policy.decide_body(&ask, Seen::Satisfied(&self.looked)).0 {
            Decision::Allow(permit) => permit.swap().map(|swap| &*swap.name) == self.credential.as_deref(),
            Decision::Deny(_) | Decision::Answer(_) => false,
        }
    }

    /// Who asked, by name.
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// The credential that was swapped in.
    pub fn credential(&self) -> Option<&str> {
        self.credential.as_deref()
    }
}

fn asked<'a>(agent: AgentId, address: &'a Address, tokens: &'a [Token<'a>]) -> Ask<'a, RequestStage<'a>> {
    let Address { authority, method, target } = address;
    Ask::new(agent, RequestStage { authority, method, target, tokens })
}
