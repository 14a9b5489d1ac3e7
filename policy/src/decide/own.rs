//! What stubgate answers by itself, for every known agent, whatever the rules say: the certificates to trust, at
//! `http://ca.stubgate.internal/bundle.pem`, and with the system's beside them at `http://stubgate.internal/ca.pem`. Nothing at
//! these hosts is ever forwarded, and no rule can name them.

use super::ask::{RequestStage, SlotRef};
use super::grant::{Answer, Decision, NameGrant};
use super::tokens::is_stub;
use crate::model::{Authority, Host, Method, Name, Policy, Reason, Scheme};

/// The name that is ours.
pub(crate) const HOST: &str = "stubgate.internal";
const PARENT: &str = "internal";
/// Where the certificates are.
pub(crate) const CA_HOST: &str = "ca.stubgate.internal";
const CA_PATH: &str = "/ca.pem";
const BUNDLE_PATH: &str = "/bundle.pem";

pub(crate) fn is_own(host: &Host) -> bool {
    host.name().is_some_and(is_own_name)
}

pub(crate) fn is_own_name(name: &Name) -> bool {
    matches!(name.as_str(), HOST | CA_HOST)
}

/// The one address at a host of ours.
pub(crate) fn address(host: &Host) -> &'static str {
    match host.name().map(Name::as_str) {
        Some(CA_HOST) => "http://ca.stubgate.internal/bundle.pem",
        _ => "http://stubgate.internal/ca.pem",
    }
}

/// Plain HTTP on 80: an agent that fetches the certificates does not trust them yet.
pub(super) fn is_plain(authority: &Authority) -> bool {
    authority.scheme() == Scheme::Http && authority.port() == Scheme::Http.default_port().get()
}

pub(crate) fn name(name: &Name) -> Option<NameGrant> {
    is_own_name(name).then_some(NameGrant::Advertise)
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
    let answer = match (ask.authority.host().name().map(Name::as_str), ask.target.as_str()) {
        (Some(HOST), CA_PATH) => Answer::CaBundle,
        (Some(CA_HOST), BUNDLE_PATH) => Answer::CaCertificates,
        _ => return Decision::deny(Reason::PathNotAllowed),
    };
    if ask.tokens.iter().any(|token| token.slot == SlotRef::Elsewhere) {
        return Decision::deny(Reason::StubOutOfSlot);
    }
    if ask.tokens.iter().any(|token| is_stub(policy, token)) {
        return Decision::deny(Reason::StubOverPlain);
    }
    Decision::Answer(answer)
}
