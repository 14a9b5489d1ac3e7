//! What stubgate answers by itself, for every known agent, whatever the rules say: the certificates to trust, at
//! `http://stubgate.internal/ca.pem`. Nothing at this host is ever forwarded, and no rule can name it.

use super::ask::{RequestStage, SlotRef};
use super::grant::{Answer, Decision, NameGrant};
use super::tokens::is_stub;
use crate::model::{Authority, Host, Method, Name, Policy, Reason, Scheme};

/// The name that is ours.
pub(crate) const HOST: &str = "stubgate.internal";
const PARENT: &str = "internal";
const CA_BUNDLE: &str = "/ca.pem";

pub(crate) fn is_own(host: &Host) -> bool {
    host.name().is_some_and(|name| name.as_str() == HOST)
}

/// Plain HTTP on 80: an agent that fetches the certificates does not trust them yet.
pub(super) fn is_plain(authority: &Authority) -> bool {
    authority.scheme() == Scheme::Http && authority.port() == Scheme::Http.default_port().get()
}

pub(crate) fn name(name: &Name) -> Option<NameGrant> {
    (name.as_str() == HOST).then_some(NameGrant::Advertise)
}

/// The ancestor of our name exists for everybody.
pub(super) fn is_ancestor(name: &Name) -> bool {
    name.as_str() == PARENT
}

pub(super) fn request<G>(policy: &Policy, ask: &RequestStage<'_>) -> Decision<G> {
    if !is_plain(ask.authority) {
        return Decision::deny(Reason::HostNotAllowed);
    }
    if *ask.method != Method::GET {
        return Decision::deny(Reason::MethodNotAllowed);
    }
    if ask.target.as_str() != CA_BUNDLE {
        return Decision::deny(Reason::PathNotAllowed);
    }
    if ask.tokens.iter().any(|token| token.slot == SlotRef::Elsewhere) {
        return Decision::deny(Reason::StubOutOfSlot);
    }
    if ask.tokens.iter().any(|token| is_stub(policy, token)) {
        return Decision::deny(Reason::StubOverPlain);
    }
    Decision::Answer(Answer::CaBundle)
}
