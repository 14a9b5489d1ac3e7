//! Agents by the pods that they run in: namespace, labels and service account, as the cluster's API server tells them.
//!
//! The appliance knows pods from a watch, finds the one at a peer's address, and asks [`Policy::agent_of_pod`]. A pod that
//! two agents claim is nobody's (law 5). Who may create a pod with these labels in that namespace, under that service
//! account, decides who the agent is: that is for the cluster's own rules (RBAC, admission), and a namespace says most.
//! Nothing here knows an address, nor whether a pod lives: see `stubgate-kubernetes` for that.

pub mod cluster;
mod index;

use std::fmt;

use thiserror::Error;

use crate::model::{AgentId, Policy};
pub(crate) use index::{Pods, Selected};

/// Which pods are an agent: all that is written must fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodSelector {
    pub(crate) namespace: Box<str>,
    /// Sorted; each key once.
    pub(crate) labels: Box<[(Box<str>, Box<str>)]>,
    pub(crate) service_account: Option<Box<str>>,
}

/// What identity is taken from, of one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pod<'a> {
    /// The namespace that it is in.
    pub namespace: &'a str,
    /// The service account that it runs under (`spec.serviceAccountName`); empty fits no selector that names one.
    pub service_account: &'a str,
    /// Its labels, sorted by key. Those of [`Policy::label_keys`] are enough.
    pub labels: &'a [(Box<str>, Box<str>)],
}

/// A pod that selectors of two agents fit: it is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the pod belongs to two agents")]
pub struct AmbiguousPod {
    /// One of them.
    pub first: AgentId,
    /// Another one.
    pub second: AgentId,
}

impl PodSelector {
    /// The only namespace that its pods are in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The labels that they have, among others; sorted by key.
    pub fn labels(&self) -> &[(Box<str>, Box<str>)] {
        &self.labels
    }

    /// The service account that they run under, if that is written.
    pub fn service_account(&self) -> Option<&str> {
        self.service_account.as_deref()
    }

    pub(crate) fn fits(&self, pod: &Pod<'_>) -> bool {
        *self.namespace == *pod.namespace
            && self.service_account.as_deref().is_none_or(|account| account == pod.service_account)
            && self.labels.iter().all(|label| pod.labels.contains(label))
    }

    /// The pod that has what this selector asks for and nothing else: whatever fits it fits every pod of this selector.
    pub(crate) fn least(&self) -> Pod<'_> {
        Pod {
            namespace: &self.namespace,
            service_account: self.service_account.as_deref().unwrap_or_default(),
            labels: &self.labels,
        }
    }

    /// The selector of the pods that both fit; `None` if there can't be one.
    pub(crate) fn and(&self, other: &PodSelector) -> Option<PodSelector> {
        let service_account = match (&self.service_account, &other.service_account) {
            (Some(one), Some(two)) if one != two => return None,
            (one, two) => one.as_ref().or(two.as_ref()).cloned(),
        };
        if self.namespace != other.namespace {
            return None;
        }
        let mut labels: Vec<_> = self.labels.iter().chain(&other.labels).cloned().collect();
        labels.sort_unstable();
        labels.dedup();
        let twice = labels.windows(2).any(|pair| matches!(pair, [(one, _), (two, _)] if one == two));
        (!twice).then(|| PodSelector { namespace: self.namespace.clone(), labels: labels.into(), service_account })
    }
}

impl fmt::Display for PodSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "namespace {}", self.namespace)?;
        for (at, (key, value)) in self.labels.iter().enumerate() {
            write!(f, "{}{key}={value}", if at == 0 { " with " } else { " " })?;
        }
        match &self.service_account {
            Some(account) => write!(f, " under service account {account}"),
            None => Ok(()),
        }
    }
}

impl Policy {
    /// The agent that a pod is; `None` if no selector fits it.
    ///
    /// # Errors
    /// Selectors of two agents fit: to be refused as an unknown peer is, and said.
    pub fn agent_of_pod(&self, pod: &Pod<'_>) -> Result<Option<AgentId>, AmbiguousPod> {
        self.pods.agent(pod)
    }

    /// Whether any agent is matched by its pods, so that the cluster must be watched.
    pub fn has_pods(&self) -> bool {
        !self.pods.selectors().is_empty()
    }

    /// The keys of all labels that selectors name, sorted: no other label of a pod matters.
    pub fn label_keys(&self) -> &[Box<str>] {
        self.pods.label_keys()
    }

    /// The selectors of an agent, as they are written.
    pub fn pod_selectors(&self, agent: AgentId) -> impl Iterator<Item = &PodSelector> {
        let own = self.pods.selectors().iter().filter(move |selected| selected.agent == agent);
        own.map(|selected| &selected.selector)
    }
}

/// Whether a text can be the name of a namespace.
pub fn is_namespace(text: &str) -> bool {
    is_label(text, 63)
}

/// RFC 1123 as Kubernetes reads it: lower case, with a letter or digit at both ends.
pub(crate) fn is_label(text: &str, most: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<u8>| byte.is_some_and(plain);
    text.len() <= most
        && ends(text.bytes().next())
        && ends(text.bytes().next_back())
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
}
