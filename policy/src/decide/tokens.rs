//! Law 3 in the head: which of the tokens found there is a stub, whether it may be swapped here, and whether anything
//! else that looks like a credential may pass.
//!
//! Stubs are compared whole and in constant time. Agent and stub select exactly one credential: two credentials may
//! share a stub only if no agent is granted both. A minted stub says itself which one, and for which agent.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;
use subtle::ConstantTimeEq;

use super::ask::{BasicField, RequestStage, SlotRef, Token};
use super::grant::Swap;
use super::meaning::{Meaning, MintedStub, Standing};
use super::request::Matched;
use crate::model::hash::Folding;
use crate::model::{AgentId, Authority, CredentialId, Policy, Reason, Scheme};

/// The swap to make, if any.
pub(super) fn judge(
    policy: &Policy,
    agent: AgentId,
    ask: &RequestStage<'_>,
    matched: &Matched,
) -> Result<Option<Swap>, Reason> {
    let options = || matched.iter().map(|id| policy.rule(*id).options);
    let mut swap = None;
    let mut foreign = 0;
    let mut stubs = 0;
    if ask.tokens.iter().any(|token| token.slot == SlotRef::Elsewhere) {
        return Err(Reason::StubOutOfSlot);
    }
    for (at, token) in ask.tokens.iter().enumerate() {
        if is_stub(policy, token) {
            let credential = selected(policy, agent, ask, matched, token)?;
            stubs += 1;
            swap = Some(Swap {
                credential,
                name: policy.credential(credential).name.clone(),
                stub: presented(policy, credential, token)?,
                is_minted: token.meaning != Meaning::Literal,
                token_index: at,
            });
        } else if !is_companion(policy, ask.tokens, token) {
            foreign += 1;
        }
    }
    if stubs > 1 || (stubs == 1 && foreign > 0) {
        return Err(Reason::TwoCredentials);
    }
    if foreign > 0 && policy.is_bound(ask.authority) && !options().any(|options| options.foreign_credentials) {
        return Err(Reason::ForeignCredential);
    }
    if swap.is_none() && options().all(|options| options.credential_required) {
        return Err(Reason::CredentialRequired);
    }
    Ok(swap)
}

impl Policy {
    /// What the rightful holder presents in a place: a credential's stub, or, where it takes only minted ones, one that was
    /// minted for the agent.
    pub(crate) fn rightful<'a>(&'a self, agent: AgentId, id: CredentialId, slot: SlotRef<'a>) -> Token<'a> {
        let credential = self.credential(id);
        let minted = MintedStub { agent, credential: id, id: 0, standing: Standing::Good };
        let meaning = if credential.minted_only { Meaning::Minted(minted) } else { Meaning::Literal };
        Token { slot, text: credential.stub.as_bytes(), meaning }
    }

    /// The credential whose stub a token is, to name it in the record of a refusal. Where several share the stub: the one
    /// that may go to this authority, then the one that some rule grants to this agent, then the first by name.
    pub fn credential_of_stub(&self, agent: AgentId, authority: &Authority, token: &Token<'_>) -> Option<CredentialId> {
        match token.meaning {
            Meaning::Minted(stub) => return Some(stub.credential),
            Meaning::Forged => return None,
            Meaning::Literal => {}
        }
        let known: SmallVec<[CredentialId; 4]> = candidates(self, token.text).collect();
        if known.len() < 2 {
            return known.first().copied();
        }
        let far = |id: &CredentialId| !self.credential(*id).hosts.iter().any(|host| host.covers(authority));
        let grants = |id: &CredentialId| {
            self.rules.iter().any(|rule| rule.credentials.contains(id) && rule.agents.contains(agent))
        };
        known.into_iter().min_by_key(|id| (far(id), !grants(id), *id))
    }
}

/// Whether a token is the stub of some credential, for whatever agent, or says so.
pub(super) fn is_stub(policy: &Policy, token: &Token<'_>) -> bool {
    match token.meaning {
        Meaning::Literal => candidates(policy, token.text).next().is_some(),
        Meaning::Minted(_) | Meaning::Forged => true,
    }
}

/// The stub as it stands in the request.
fn presented(policy: &Policy, credential: CredentialId, token: &Token<'_>) -> Result<Arc<str>, Reason> {
    match token.meaning {
        Meaning::Literal => Ok(Arc::clone(&policy.credential(credential).stub)),
        // What was minted is ASCII.
        Meaning::Minted(_) | Meaning::Forged => {
            std::str::from_utf8(token.text).map(Arc::from).map_err(|_| Reason::StubForged)
        }
    }
}

/// The key under which a stub is found, so that no comparison of texts ends early.
pub(super) fn key(text: &[u8]) -> u64 {
    let mut hasher = Folding.build_hasher();
    hasher.write(text);
    hasher.finish()
}

fn candidates<'a>(policy: &'a Policy, text: &'a [u8]) -> impl Iterator<Item = CredentialId> + 'a {
    let ids = policy.index.credentials.get(&key(text)).map(Vec::as_slice).unwrap_or_default();
    ids.iter().copied().filter(|id| policy.credential(*id).stub.as_bytes().ct_eq(text).into())
}

/// The one credential that this stub stands for here, or why it may not stand here.
fn selected(
    policy: &Policy,
    agent: AgentId,
    ask: &RequestStage<'_>,
    matched: &Matched,
    token: &Token<'_>,
) -> Result<CredentialId, Reason> {
    let minted = match token.meaning {
        Meaning::Literal => None,
        Meaning::Minted(stub) => Some(usable(stub, agent)?),
        Meaning::Forged => return Err(Reason::StubForged),
    };
    if ask.authority.scheme() != Scheme::Https {
        return Err(Reason::StubOverPlain);
    }
    let at_home = |id: &CredentialId| policy.credential(*id).hosts.iter().any(|host| host.covers(ask.authority));
    let granted = |id: &CredentialId| {
        let is_open = minted.is_some() || !policy.credential(*id).minted_only;
        is_open && matched.iter().any(|rule| policy.rule(*rule).credentials.contains(id))
    };
    let known: SmallVec<[CredentialId; 4]> = match minted {
        Some(credential) => SmallVec::from_elem(credential, 1),
        None => candidates(policy, token.text).collect(),
    };
    if !known.iter().any(at_home) {
        return Err(Reason::StubWrongHost);
    }
    let Some(id) = known.iter().copied().find(granted) else {
        return Err(Reason::StubNotGranted);
    };
    if !at_home(&id) {
        return Err(Reason::StubWrongHost);
    }
    if !policy.credential(id).slots.iter().any(|slot| slot.holds(token.slot)) {
        return Err(Reason::StubOutOfSlot);
    }
    Ok(id)
}

/// The credential of a minted stub, if this agent may use it at all.
fn usable(stub: MintedStub, agent: AgentId) -> Result<CredentialId, Reason> {
    if stub.agent != agent {
        return Err(Reason::StubOfOtherAgent);
    }
    match stub.standing {
        Standing::Good => Ok(stub.credential),
        Standing::Expired => Err(Reason::StubExpired),
        Standing::Revoked => Err(Reason::StubRevoked),
    }
}

/// Whether this is the harmless half of a Basic pair whose other half is a stub. Beside a stub as user, a long
/// password is no filler (`x-oauth-basic`) but a credential that the origin might prefer.
fn is_companion(policy: &Policy, tokens: &[Token<'_>], token: &Token<'_>) -> bool {
    let SlotRef::Basic(field) = token.slot else {
        return false;
    };
    let mut pairs = tokens.iter().filter(|other| matches!(other.slot, SlotRef::Basic(_)));
    let (Some(a), Some(b), None) = (pairs.next(), pairs.next(), pairs.next()) else {
        return false;
    };
    let other = if std::ptr::eq(a, token) { b } else { a };
    let paired = matches!(
        (field, other.slot),
        (BasicField::User, SlotRef::Basic(BasicField::Password))
            | (BasicField::Password, SlotRef::Basic(BasicField::User))
    );
    let short = field == BasicField::User || token.text.len() <= MAX_FILLER;
    paired && short && is_stub(policy, other)
}

/// Longest password beside a stub as user, in bytes: shorter than any token worth stealing.
const MAX_FILLER: usize = 15;
