//! Token endpoints of logins in escrow: stubgate answers there by itself, whatever the rules say (the *answer* outcome).
//!
//! An agent that some rule grants the credential of a login, and whose policy names a refresh stub for it, reaches the
//! login's endpoints: their names are answered, their connections taken, and a POST to their path is for us. Nothing of it
//! is ever forwarded. Whatever else is asked of these hosts is for the rules to say.

use std::collections::HashMap;

use subtle::ConstantTimeEq as _;

use super::ask::{RequestStage, SlotRef};
use super::grant::{Answer, Decision};
use super::tokens::is_stub;
use crate::model::policy::{AgentSet, Parts};
use crate::model::secret_source::Source;
use crate::model::{AgentId, Authority, CredentialId, Effect, Host, Method, Name, Policy, Reason, Target};

/// By host: there are few of these, and many credentials may share one.
#[derive(Debug, Default)]
pub(super) struct Logins(HashMap<Host, Vec<Login>>);

#[derive(Debug)]
struct Login {
    server: Authority,
    path: Box<str>,
    credential: CredentialId,
    holders: AgentSet,
}

impl Logins {
    pub(super) fn new(parts: &Parts) -> Self {
        let mut logins = Logins::default();
        for (at, credential) in parts.credentials.iter().enumerate() {
            let (Source::Oauth(oauth), Some(_), Some(id)) =
                (credential.source(), credential.refresh_stub(), CredentialId::at(at))
            else {
                continue;
            };
            for endpoint in &oauth.provider.token_endpoints {
                logins.0.entry(endpoint.server.host().clone()).or_default().push(Login {
                    server: endpoint.server.clone(),
                    path: endpoint.path.clone(),
                    credential: id,
                    holders: holders(parts, id),
                });
            }
        }
        logins
    }

    fn of(&self, agent: AgentId, host: &Host) -> impl Iterator<Item = &Login> {
        let found = if self.0.is_empty() { None } else { self.0.get(host) };
        found.into_iter().flatten().filter(move |login| login.holders.contains(agent))
    }

    /// Whether the host is asked for tokens by this agent.
    pub(super) fn has_host(&self, agent: AgentId, host: &Host) -> bool {
        self.of(agent, host).next().is_some()
    }

    /// The same for what a connection is for.
    pub(super) fn has_server(&self, agent: AgentId, server: &Authority) -> bool {
        self.of(agent, server.host()).any(|login| login.server == *server)
    }

    /// Whether such a host lies below a name.
    pub(super) fn has_below(&self, agent: AgentId, name: &Name) -> bool {
        let is_below = |host: &Host| {
            let mut above = host.name().and_then(Name::parent);
            while let Some(parent) = above {
                if parent == *name {
                    return true;
                }
                above = parent.parent();
            }
            false
        };
        self.0.iter().any(|(host, logins)| is_below(host) && logins.iter().any(|login| login.holders.contains(agent)))
    }

    /// What is said to a request for tokens; `None` where it is none.
    pub(super) fn request<G>(&self, policy: &Policy, agent: AgentId, ask: &RequestStage<'_>) -> Option<Decision<G>> {
        if *ask.method != Method::POST {
            return None;
        }
        let mut logins = self.of(agent, ask.authority.host()).filter(|login| login.server == *ask.authority).peekable();
        logins.peek()?;
        let path = match ask.target {
            Target::Canonical(path) => path.as_str(),
            // Who knows what the provider would take it for.
            Target::Odd { .. } => return Some(Decision::deny(Reason::PathAmbiguous)),
        };
        let login = logins.find(|login| is_endpoint(&login.path, path))?;
        // The refresh stub stands in the body; none belongs into the head.
        if ask.tokens.iter().any(|token| token.slot == SlotRef::Elsewhere || is_stub(policy, token)) {
            return Some(Decision::deny(Reason::StubOutOfSlot));
        }
        Some(Decision::Answer(Answer::OauthToken(login.credential)))
    }
}

/// Whether a provider might take a path for its endpoint: as deny rules read paths, without case and with a slash more.
fn is_endpoint(endpoint: &str, path: &str) -> bool {
    let plain = |path: &str| path.strip_suffix('/').unwrap_or(path).to_ascii_lowercase();
    plain(endpoint) == plain(path)
}

/// The agents that some rule grants a credential.
fn holders(parts: &Parts, credential: CredentialId) -> AgentSet {
    let mut some = Vec::new();
    for rule in parts.rules.iter().filter(|rule| rule.effect == Effect::Allow && rule.credentials.contains(&credential))
    {
        match &rule.agents {
            AgentSet::Every => return AgentSet::Every,
            AgentSet::Some(agents) => some.extend_from_slice(agents),
        }
    }
    some.sort_unstable();
    some.dedup();
    AgentSet::Some(some.into())
}

impl Policy {
    /// The login that a refresh token stands for at an endpoint where this agent is answered: one whose refresh stub it
    /// is, compared as a whole and in constant time.
    pub fn login_of(
        &self,
        agent: AgentId,
        server: &Authority,
        path: &str,
        refresh_token: &[u8],
    ) -> Option<CredentialId> {
        let is_it = |login: &&Login| {
            let stub = self.credential(login.credential).refresh_stub().unwrap_or_default().as_bytes();
            login.server == *server
                && is_endpoint(&login.path, path)
                && !stub.is_empty()
                && bool::from(stub.ct_eq(refresh_token))
        };
        self.index.logins.of(agent, server.host()).find(is_it).map(|login| login.credential)
    }

    /// The credential whose stub or refresh stub a text is, for whatever agent: to name it in the record of a refusal.
    pub fn credential_of_any_stub(&self, text: &[u8]) -> Option<CredentialId> {
        let is_it = |stub: Option<&str>| stub.is_some_and(|stub| bool::from(stub.as_bytes().ct_eq(text)));
        let mut credentials = self.credentials().iter();
        credentials.position(|one| is_it(Some(one.stub())) || is_it(one.refresh_stub())).and_then(CredentialId::at)
    }
}
