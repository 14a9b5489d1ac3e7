//! Credentials with which an agent can publish, or make further credentials: whatever it has read could leave there,
//! and a credential that it makes for itself is one that stubgate never sees.
//!
//! Each door of a known service is asked for as an agent would: [`Policy::decide`] says whether it is open, so that
//! deny rules count as they do in truth.

use std::collections::BTreeMap;

use super::Lint;
use super::services::{At, Door, SERVICES, Service};
use crate::decide::{Ask, BasicField, Decision, RequestStage, SlotRef};
use crate::diagnostic::codes;
use crate::model::hosts::{HostPattern, HostRule};
use crate::model::policy::AgentSet;
use crate::model::{
    AgentId, Authority, Credential, CredentialId, Effect, Host, Method, Name, Path, Policy, Rule, Scheme, Slot, Target,
};

/// Doors named in one warning.
const MOST_NAMED: usize = 3;

pub(super) fn check(lint: &mut Lint<'_>) {
    let policy = lint.policy;
    let services: Vec<Known> = SERVICES.iter().map(Known::new).collect();
    for rule in policy.rules().iter().filter(|rule| rule.effect == Effect::Allow && !rule.credentials.is_empty()) {
        let Some(agent) = first_agent(policy, rule) else { continue };
        let mut open: BTreeMap<(&str, CredentialId), (usize, Vec<&str>)> = BTreeMap::new();
        for (at, host) in rule.hosts.iter().enumerate() {
            for known in &services {
                for authority in known.reached(host) {
                    for id in rule.credentials.iter().copied() {
                        let what = known.open(policy, agent, rule, &authority, id);
                        if !what.is_empty() {
                            open.entry((known.service.name, id)).or_insert((at, Vec::new())).1.extend(what);
                        }
                    }
                }
            }
        }
        for ((service, id), (at, mut what)) in open {
            what.dedup();
            report(lint, rule, service, policy.credential(id), at, &what);
        }
    }
}

fn report(lint: &mut Lint<'_>, rule: &Rule, service: &str, credential: &Credential, at: usize, what: &[&str]) {
    let Some(place) = lint.written.host(rule.name(), at) else { return };
    let named = what.iter().take(MOST_NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = if what.len() > MOST_NAMED { ", and more" } else { "" };
    let message = format!("with `{}`, agents of `{}` can {named}{more}", credential.name(), rule.name());
    let label = format!("{service}, with no limit of paths that would prevent it");
    let help = "name the paths that are needed under `paths:`, down to owner and repository, project or channel; \
                or give GET and HEAD only";
    lint.report(codes::PUBLISHES, message, vec![(place, label)], help.into());
}

/// Any agent of the rule will do that is not quarantined.
fn first_agent(policy: &Policy, rule: &Rule) -> Option<AgentId> {
    let free = |id: &AgentId| !policy.agent(*id).quarantined();
    match &rule.agents {
        AgentSet::Every => (0..policy.agents().len()).filter_map(AgentId::at).find(free),
        AgentSet::Some(ids) => ids.iter().copied().find(free),
    }
}

/// A service as it is asked for.
struct Known {
    service: &'static Service,
    authorities: Vec<Authority>,
    doors: Vec<(&'static Door, Method, Target)>,
}

impl Known {
    fn new(service: &'static Service) -> Known {
        let names: &[&str] = match service.at {
            At::Names(names) => names,
            At::FirstLabels(_) => &[],
        };
        let authority = |name: &&str| Authority::parse(Scheme::Https, name.as_bytes()).ok();
        let read = |door: &'static Door| {
            let method = Method::parse(door.method.as_bytes()).ok()?;
            Some((door, method, Target::Canonical(Path::parse(door.path.as_bytes()).ok()?)))
        };
        Known {
            service,
            authorities: names.iter().filter_map(authority).collect(),
            doors: service.doors.iter().filter_map(read).collect(),
        }
    }

    /// The places of the service that a host of a rule covers.
    fn reached(&self, host: &HostRule) -> Vec<Authority> {
        let labels = match self.service.at {
            At::Names(_) => return self.authorities.iter().filter(|known| host.covers(known)).cloned().collect(),
            At::FirstLabels(labels) => labels,
        };
        match (&host.pattern, host.ends.scheme, host.ends.port) {
            (HostPattern::Exact(name), Some(scheme @ Scheme::Https), Some(port))
                if name.labels().next().is_some_and(|first| labels.contains(&first)) =>
            {
                authority(scheme, name, port.get()).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// What the agent can do there with the credential, by this rule.
    fn open(
        &self,
        policy: &Policy,
        agent: AgentId,
        rule: &Rule,
        at: &Authority,
        id: CredentialId,
    ) -> Vec<&'static str> {
        let credential = policy.credential(id);
        let Some(slot) = credential.slots().first().map(place_of) else { return Vec::new() };
        let tokens = [policy.rightful(agent, id, slot)];
        let mut what = Vec::new();
        for (door, method, target) in &self.doors {
            let Target::Canonical(path) = target else { continue };
            if !rule.methods.contains(method) || !rule.paths.grant(path) {
                continue;
            }
            let ask = RequestStage { authority: at, method, target, tokens: &tokens };
            match policy.decide(&Ask::new(agent, ask)) {
                // Where the body is looked into, the rule says what may be done.
                Decision::Allow(permit)
                    if permit.to_look().is_none() && permit.swap().is_some_and(|swap| swap.credential == id) =>
                {
                    what.push(door.what);
                }
                Decision::Allow(_) | Decision::Deny(_) | Decision::Answer(_) => {}
            }
        }
        what
    }
}

fn authority(scheme: Scheme, name: &Name, port: u16) -> Option<Authority> {
    Authority::parse(scheme, format!("{}:{port}", Host::Name(name.clone())).as_bytes()).ok()
}

fn place_of(slot: &Slot) -> SlotRef<'_> {
    match slot {
        Slot::Bearer => SlotRef::Bearer,
        Slot::Basic => SlotRef::Basic(BasicField::Password),
        Slot::Bare => SlotRef::Bare,
        Slot::Header(name) => SlotRef::Header(name),
        Slot::Query(name) => SlotRef::Query(name),
    }
}

#[cfg(test)]
mod tests {
    use super::{Known, SERVICES};
    use crate::lint::services::At;
    use crate::model::Name;

    #[test]
    fn every_line_of_the_list_of_services_can_be_asked_for() {
        for service in SERVICES {
            let known = Known::new(service);
            assert_eq!(known.doors.len(), service.doors.len(), "{}", service.name);
            let names = match service.at {
                At::Names(names) => {
                    assert_eq!(known.authorities.len(), names.len(), "{}", service.name);
                    names
                }
                At::FirstLabels(labels) => labels,
            };
            assert!(names.iter().all(|name| Name::parse(name.as_bytes()).is_ok()), "{}", service.name);
        }
    }
}
