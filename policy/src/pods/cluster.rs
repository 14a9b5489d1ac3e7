//! A policy beside the pods that a cluster has: selectors that fit none, and pods that are nobody or somebody else.
//!
//! It asks [`Policy::agent_of_pod`]'s own index (law 1) and only tells; what it says is true of the moment at which the pods
//! were listed. Who lists them, by a file or by asking the API server, and how that is read, is not its business.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Pod, PodSelector, Selected};
use crate::compile::Compiled;
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::model::{AgentId, Policy};

/// A pod of a cluster, with what matters about it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterPod {
    /// Its name in its namespace.
    pub name: String,
    /// The namespace that it is in.
    pub namespace: String,
    /// The service account that it runs under.
    pub service_account: String,
    /// Its labels, sorted by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// Its addresses; none before it has any.
    pub addresses: Vec<IpAddr>,
    /// Whether it uses the network of its node, and so the address of its node.
    pub host_network: bool,
    /// Whether it is done, or on its way out: it is nobody then, and no selector's pod.
    pub ended: bool,
}

impl ClusterPod {
    /// What its identity is taken from.
    pub fn pod(&self) -> Pod<'_> {
        Pod { namespace: &self.namespace, service_account: &self.service_account, labels: &self.labels }
    }

    fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl Compiled {
    /// Looks at the selectors beside the pods of a cluster: warnings, in the order of files and lines.
    pub fn beside(&self, pods: &[ClusterPod]) -> Vec<Diagnostic> {
        let living: Vec<&ClusterPod> = pods.iter().filter(|pod| !pod.ended).collect();
        let mut look = Look { compiled: self, policy: &self.policy, found: Vec::new() };
        let mut fitting = vec![0_usize; self.policy.pods.selectors().len()];
        let mut claimed: BTreeMap<(usize, usize), Vec<&ClusterPod>> = BTreeMap::new();
        let mut elsewhere: BTreeMap<(usize, AgentId), Vec<&ClusterPod>> = BTreeMap::new();
        let mut hosts: BTreeMap<usize, Vec<&ClusterPod>> = BTreeMap::new();
        for pod in &living {
            let asked = pod.pod();
            let mut first: Option<(usize, AgentId)> = None;
            for (at, Selected { agent, .. }) in self.policy.pods.fitting(&asked) {
                if let Some(count) = fitting.get_mut(at) {
                    *count += 1;
                }
                match first {
                    None => first = Some((at, *agent)),
                    Some((other, of)) if of != *agent => {
                        claimed.entry((other.min(at), other.max(at))).or_default().push(pod);
                    }
                    Some(_) => {}
                }
            }
            let Some((at, agent)) = first else { continue };
            if pod.host_network {
                hosts.entry(at).or_default().push(pod);
                continue;
            }
            let sources: BTreeSet<AgentId> =
                pod.addresses.iter().filter_map(|address| self.policy.identify(*address)).collect();
            for other in sources.into_iter().filter(|other| *other != agent) {
                elsewhere.entry((at, other)).or_default().push(pod);
            }
        }
        for ((one, other), pods) in claimed {
            look.of_two(one, other, &pods);
        }
        for ((at, other), pods) in elsewhere {
            look.of_another_by_address(at, other, &pods);
        }
        for (at, pods) in hosts {
            look.on_host(at, &pods);
        }
        for (at, _) in fitting.iter().enumerate().filter(|(_, count)| **count == 0) {
            look.none(at, &living);
        }
        crate::compile::sort(&mut look.found);
        look.found
    }
}

struct Look<'a> {
    compiled: &'a Compiled,
    policy: &'a Policy,
    found: Vec<Diagnostic>,
}

impl Look<'_> {
    fn name(&self, at: usize) -> &str {
        self.policy.pods.selectors().get(at).map_or("", |selected| self.policy.agent(selected.agent).name())
    }

    fn label(&self, warning: Diagnostic, at: usize, text: String) -> Diagnostic {
        match self.compiled.selector_places.get(at) {
            Some(place) => warning.at(place.file, place.span.clone(), text),
            None => warning,
        }
    }

    fn of_two(&mut self, one: usize, other: usize, pods: &[&ClusterPod]) {
        let (a, b) = (self.name(one), self.name(other));
        let message = format!("{} to two agents, `{a}` and `{b}`, and so to none", list(pods, "belongs", "belong"));
        let warning = Diagnostic::warning(codes::POD_OF_TWO, message);
        let warning = self.label(warning, other, format!("`{b}`"));
        let warning = self.label(warning, one, format!("`{a}`"));
        self.found.push(warning.help("tell the agents apart by a label, a service account or a namespace"));
    }

    fn of_another_by_address(&mut self, at: usize, other: AgentId, pods: &[&ClusterPod]) {
        let message = format!(
            "{} `{}` by this selector and `{}` by address, and so nobody",
            list(pods, "is", "are"),
            self.name(at),
            self.policy.agent(other).name()
        );
        let warning = self.label(Diagnostic::warning(codes::POD_OF_TWO, message), at, String::new());
        self.found.push(warning.help("take the addresses of pods out of `sources`, or remove the selector"));
    }

    fn on_host(&mut self, at: usize, pods: &[&ClusterPod]) {
        let message =
            format!("{} the network of the node, and can't be told from what else is there", list(pods, "uses", "use"));
        let warning = self.label(Diagnostic::warning(codes::POD_ON_HOST, message), at, "they are nobody".into());
        self.found.push(warning.help("run agents without `hostNetwork: true`"));
    }

    fn none(&mut self, at: usize, living: &[&ClusterPod]) {
        let Some(Selected { selector, .. }) = self.policy.pods.selectors().get(at) else { return };
        let message = format!("no pod is `{}` by this selector, of {} that run", self.name(at), living.len());
        let warning = self.label(Diagnostic::warning(codes::NO_SUCH_POD, message), at, String::new());
        self.found.push(warning.help(instead(selector, living)));
    }
}

/// The first thing about a selector that keeps it from every pod.
fn instead(selector: &PodSelector, living: &[&ClusterPod]) -> String {
    let near = |written: &str, known: &BTreeSet<&str>| match nearest(written, known.iter().copied()) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None => String::new(),
    };
    let namespaces: BTreeSet<&str> = living.iter().map(|pod| &*pod.namespace).collect();
    let here: Vec<&&ClusterPod> = living.iter().filter(|pod| *pod.namespace == *selector.namespace).collect();
    if here.is_empty() {
        let namespace = selector.namespace();
        return format!("no pod runs in the namespace `{namespace}`{}", near(namespace, &namespaces));
    }
    for (key, value) in selector.labels() {
        let values: BTreeSet<&str> = here
            .iter()
            .filter_map(|pod| pod.labels.iter().find(|(known, _)| known == key).map(|(_, value)| &**value))
            .collect();
        if values.is_empty() {
            let keys = here.iter().flat_map(|pod| pod.labels.iter()).map(|(key, _)| &**key).collect();
            return format!("no pod of its namespace has a label `{key}`{}", near(key, &keys));
        }
        if !values.contains(&**value) {
            return format!("no pod of its namespace has the label `{key}={value}`{}", near(value, &values));
        }
    }
    if let Some(account) = selector.service_account() {
        let accounts: BTreeSet<&str> = here.iter().map(|pod| &*pod.service_account).collect();
        if !accounts.contains(account) {
            return format!("no pod of its namespace runs under `{account}`{}", near(account, &accounts));
        }
    }
    "each of its demands is met by some pod, but no pod meets them all".to_owned()
}

/// "the pod a/b belongs", "the pods a/b, a/c and 3 more belong".
fn list(pods: &[&ClusterPod], one: &str, many: &str) -> String {
    let mut names: Vec<String> = pods.iter().map(|pod| pod.path()).collect();
    names.sort_unstable();
    match names.as_slice() {
        [name] => format!("the pod {name} {one}"),
        names => {
            let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
            let more = names.len().saturating_sub(MOST_NAMES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("the pods {}{more} {many}", shown.join(", "))
        }
    }
}

/// Most pods that one warning names.
const MOST_NAMES: usize = 3;
