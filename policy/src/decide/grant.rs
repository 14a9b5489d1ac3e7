//! What a decision gives. A later phase takes these types, so that no phase can be skipped.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::model::{AgentId, Authority, BodyRule, CredentialId, Host, OnCredential, Reason, RuleId};

/// The outcome of [`Policy::decide`](crate::Policy::decide).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Decision<G> {
    /// Go on, holding this.
    Allow(G),
    /// Refuse.
    Deny(Denial),
    /// Answer by ourselves; forward nothing.
    Answer(Answer),
}

impl<G> Decision<G> {
    pub(crate) fn deny(reason: Reason) -> Self {
        Decision::Deny(Denial { reason, rule: None })
    }

    pub(crate) fn deny_by(reason: Reason, rule: RuleId) -> Self {
        Decision::Deny(Denial { reason, rule: Some(rule) })
    }

    /// What was granted, if it was.
    pub fn granted(&self) -> Option<&G> {
        match self {
            Decision::Allow(grant) => Some(grant),
            Decision::Deny(_) | Decision::Answer(_) => None,
        }
    }

    /// Why it was refused, if it was.
    pub fn denial(&self) -> Option<Denial> {
        match self {
            Decision::Deny(denial) => Some(*denial),
            Decision::Allow(_) | Decision::Answer(_) => None,
        }
    }
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The deny or observe rule that matched, or the allow rule whose demand the body does not meet; for records, never
    /// for the agent.
    pub rule: Option<RuleId>,
}

/// What stubgate answers by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The certificates that an agent must trust, and the system's, at `http://stubgate.internal/ca.pem`.
    CaBundle,
    /// The certificates that an agent must trust and no others, at `http://ca.stubgate.internal/bundle.pem`.
    CaCertificates,
    /// The token endpoint of a login in escrow.
    OauthToken(CredentialId),
}

/// What DNS does with an allowed name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameGrant {
    /// Answer with our own addresses (A and AAAA), NODATA for every other type.
    Advertise,
    /// Ask the servers of the zone: a `dns:` entry allows this agent, name and type.
    Forward,
    /// NODATA: an ancestor of an allowed name (RFC 8020), or a forwarded name asked for a type that is not allowed.
    Nodata,
}

/// Proof that some request of this agent to this authority may be allowed, so that a certificate may be minted and a
/// head read. Allows nothing to be forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    pub(super) agent: AgentId,
    pub(super) authority: Authority,
}

impl Reach {
    /// Whose connection it is.
    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// Whom it is for.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The host to mint for.
    pub fn host(&self) -> &Host {
        self.authority.host()
    }
}

/// Proof that one request may be forwarded, and with which credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub(super) agent: AgentId,
    pub(super) authority: Authority,
    pub(super) rule: RuleId,
    pub(super) swap: Option<Swap>,
    pub(super) ranges: bool,
    pub(super) deny_stub_in_body: bool,
    pub(super) on_credential: OnCredential,
    pub(super) to_look: Option<ToLook>,
    pub(super) looked: Vec<Arc<BodyRule>>,
}

/// What must still be asked before a request may be forwarded: whether its body is as one of these rules demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToLook {
    pub(super) rules: SmallVec<[RuleId; 8]>,
    pub(super) max_bytes: usize,
}

impl ToLook {
    /// The rules that look, in the order in which they are asked.
    pub fn rules(&self) -> &[RuleId] {
        &self.rules
    }

    /// Bytes of the longest body that one of them could let pass.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }
}

impl Permit {
    /// Whose request it is.
    pub fn agent(&self) -> AgentId {
        self.agent
    }

    /// The only place that the request may go.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The rule that grants: the first by name among those that grant the credential, if one is swapped, else among
    /// those that match.
    pub fn rule(&self) -> RuleId {
        self.rule
    }

    /// The credential to put in, if any.
    pub fn swap(&self) -> Option<&Swap> {
        self.swap.as_ref()
    }

    /// Whether `Range` and `If-Range` may stay in a request that swaps.
    pub fn ranges_allowed(&self) -> bool {
        self.ranges
    }

    /// Set while the body was not looked at: [`Policy::decide_body`](crate::Policy::decide_body) must be asked before
    /// anything is forwarded, and no credential is revealed.
    pub fn to_look(&self) -> Option<&ToLook> {
        self.to_look.as_ref()
    }

    /// What the body was found to satisfy; for asking again after a reload, when it is gone.
    pub fn looked(&self) -> &[Arc<BodyRule>] {
        &self.looked
    }

    /// Whether a stub in the body must stop the request.
    pub fn stub_in_body_denied(&self) -> bool {
        self.deny_stub_in_body
    }

    /// What is done about a known kind of credential in the response.
    pub fn on_credential(&self) -> OnCredential {
        self.on_credential
    }
}

/// A granted swap: this credential for the token at this place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swap {
    /// The credential, in the policy that decided.
    pub credential: CredentialId,
    /// Its name, which outlives a reload.
    pub name: Arc<str>,
    /// Its stub, as it stands in the request.
    pub stub: Arc<str>,
    /// Whether that is one that was minted for the agent, and not the credential's literal one.
    pub is_minted: bool,
    /// Which of the tokens of the question holds the stub.
    pub token_index: usize,
}
