//! `agents:`: who may ask, and the networks that they ask from, or the pods that they are. No address may belong to two of
//! them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Draft;
use super::limits;
use super::names::AGENT;
use super::pods;
use super::reader::{Item, Place, Reader};
use crate::diagnostic::{Diagnostic, codes};
use crate::model::policy::{AgentSet, SourceRange, Spot, spot};
use crate::model::{Agent, AgentId, AgentLimits};
use crate::pods::{PodSelector, Pods, Selected};
use crate::raw;

pub(super) fn check(documents: &[(usize, raw::Document)], draft: &mut Draft) {
    let mut defined = Vec::new();
    for (file, document) in documents {
        let mut reader = Reader::new(*file, &mut draft.found);
        let Some(entries) = reader.optional(&document.agents) else {
            continue;
        };
        for (name, span, given) in &entries.value.0 {
            let first = draft.agents.define(AGENT, name, reader.place(span), reader.found);
            let agent = reader.value(given).map(|agent| read(agent.value, span, &mut reader));
            if first {
                defined.push((name, agent.unwrap_or_default()));
            }
        }
    }
    let common = limits::common(documents, &mut draft.found);
    draft.agents.sort();
    defined.sort_by_key(|(name, _)| *name);
    let mut networks = Vec::new();
    let mut selectors = Vec::new();
    for (at, (name, checked)) in defined.into_iter().enumerate() {
        let Some(id) = AgentId::at(at) else { continue };
        let limits = checked.limits.or(common);
        draft.parts.agents.push(Agent::new(name.as_str(), checked.quarantined, limits));
        networks.extend(checked.networks.into_iter().map(|(net, place)| Network::new(net, id, place)));
        for (selector, place) in checked.pods {
            selectors.push(Selected { agent: id, selector });
            draft.selector_places.push(place);
        }
    }
    draft.parts.sources = ranges(networks, &draft.parts.agents, &mut draft.found);
    draft.parts.pods = Pods::new(selectors);
    pods::overlaps(&draft.parts.pods, &draft.selector_places, &draft.parts.agents, &mut draft.found);
}

/// The agents of a rule or `dns:` entry.
pub(super) fn resolve(items: &[Item<'_>], draft: &mut Draft, file: usize) -> AgentSet {
    let mut reader = Reader::new(file, &mut draft.found);
    if let Some(every) = items.iter().find(|item| item.value == "*") {
        if items.len() > 1 {
            let more = Diagnostic::error(codes::REPEATED, "`*` is every agent, and others stand beside it");
            reader.report(more, every.span, "", "keep `*` alone, or name the agents");
        }
        return AgentSet::Every;
    }
    let mut ids: Vec<AgentId> = items
        .iter()
        .filter_map(|item| draft.agents.resolve(AGENT, item.value, item.span, draft.complete, &mut reader))
        .filter_map(AgentId::at)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    AgentSet::Some(ids.into())
}

#[derive(Default)]
struct Checked {
    quarantined: bool,
    limits: AgentLimits,
    networks: Vec<(IpNet, Place)>,
    pods: Vec<(PodSelector, Place)>,
}

fn read(agent: &raw::Agent, span: &raw::Span, reader: &mut Reader<'_>) -> Checked {
    reader.unknown(&agent.unknown, raw::Agent::KEYS);
    if agent.sources.is_none() && agent.pods.is_none() {
        let nobody = Diagnostic::error(codes::MISSING_KEY, "nothing says who this agent is");
        reader.report(nobody, span, "", "add `sources:`, the networks that it asks from, or `pods:` of a cluster");
    }
    let sources = reader.optional(&agent.sources);
    let sources = reader.texts(sources).unwrap_or_default();
    let networks = sources.iter().filter_map(|item| Some((network(item, reader)?, reader.place(item.span)))).collect();
    let pods = match reader.optional(&agent.pods) {
        Some(list) => pods::read(&list, reader),
        None => Vec::new(),
    };
    let quarantined = reader.optional(&agent.quarantined).is_some_and(|flag| flag.value.0);
    let limits = reader.optional(&agent.limits).map(|limits| limits::read(limits.value, reader)).unwrap_or_default();
    Checked { quarantined, limits, networks, pods }
}

fn network(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<IpNet> {
    let text = item.value.as_str();
    let Some(net) = parse(text) else {
        let bad = Diagnostic::error(codes::BAD_SOURCE, format!("`{text}` is not a network"));
        reader.report(bad, item.span, "", "write an address and the length of its prefix: 10.42.0.11/32");
        return None;
    };
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
    {
        let bad = Diagnostic::error(codes::BAD_SOURCE, "an IPv4 address in IPv6 form never matches");
        reader.report(bad, item.span, "", &format!("write {v4}/{}", v6.prefix_len().saturating_sub(96)));
        return None;
    }
    if net.addr() != net.network() {
        let bits = Diagnostic::error(codes::HOST_BITS, format!("`{text}` has bits set behind its prefix"));
        reader.report(
            bits,
            item.span,
            "",
            &format!("write {} for the network, or {} for the host", net.trunc(), IpNet::from(net.addr())),
        );
    }
    if net.prefix_len() == 0 {
        let all = Diagnostic::warning(codes::WIDE_SOURCE, "every address there is would be this agent");
        reader.report(all, item.span, "", "name the networks that the agent is in");
    }
    Some(net.trunc())
}

/// Address and prefix length; an address alone is a host. `ipnet` would take leading zeros.
fn parse(text: &str) -> Option<IpNet> {
    let Some((ip, length)) = text.split_once('/') else {
        return text.parse::<IpAddr>().ok().map(IpNet::from);
    };
    let plain = length == "0" || (!length.starts_with('0') && length.bytes().all(|byte| byte.is_ascii_digit()));
    let length = length.parse().ok().filter(|_| plain)?;
    IpNet::new(ip.parse().ok()?, length).ok()
}

struct Network {
    first: Spot,
    last: Spot,
    agent: AgentId,
    net: IpNet,
    place: Place,
}

impl Network {
    fn new(net: IpNet, agent: AgentId, place: Place) -> Self {
        Network { first: spot(net.network()), last: spot(net.broadcast()), agent, net, place }
    }
}

/// Ranges that don't overlap, in order. Two networks are apart or one holds the other.
fn ranges(mut networks: Vec<Network>, agents: &[Agent], found: &mut Vec<Diagnostic>) -> Vec<SourceRange> {
    networks.sort_by_key(|network| (network.first, std::cmp::Reverse(network.last)));
    let name = |id: AgentId| agents.get(id.index()).map_or("", Agent::name);
    let mut ranges = Vec::new();
    let mut around: Vec<&Network> = Vec::new();
    for network in &networks {
        around.retain(|outer| outer.last >= network.first);
        for outer in around.iter().filter(|outer| outer.agent != network.agent) {
            let message =
                format!("{} belongs to two agents, `{}` and `{}`", network.net, name(outer.agent), name(network.agent));
            let overlap = Diagnostic::error(codes::OVERLAP, message)
                .at(network.place.file, network.place.span.clone(), format!("`{}`", name(network.agent)))
                .at(outer.place.file, outer.place.span.clone(), format!("`{}` has {}", name(outer.agent), outer.net));
            found.push(overlap.help("give each address to one agent"));
        }
        if around.is_empty() {
            ranges.push(SourceRange { first: network.first, last: network.last, agent: network.agent });
        }
        around.push(network);
    }
    ranges
}
