//! All selectors of a policy, found by the one thing that tells most of them apart: a pod is compared with a few.

use std::collections::{BTreeSet, HashMap};

use super::{AmbiguousPod, Pod, PodSelector};
use crate::model::AgentId;

/// A selector and whose it is.
#[derive(Clone, Debug)]
pub(crate) struct Selected {
    pub(crate) agent: AgentId,
    pub(crate) selector: PodSelector,
}

/// Selectors, in the order in which they were given, and the way to those that a pod may fit.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    selectors: Box<[Selected]>,
    namespaces: HashMap<Box<str>, Bucket>,
    label_keys: Box<[Box<str>]>,
}

/// The selectors of a namespace, each in one place.
#[derive(Debug, Default)]
struct Bucket {
    by_label: HashMap<Box<str>, HashMap<Box<str>, Vec<usize>>>,
    by_account: HashMap<Box<str>, Vec<usize>>,
    others: Vec<usize>,
}

/// What a selector can be found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Handle<'a> {
    Label(&'a str, &'a str),
    Account(&'a str),
}

impl Pods {
    pub(crate) fn new(selectors: Vec<Selected>) -> Pods {
        let mut shared: HashMap<(&str, Handle<'_>), usize> = HashMap::new();
        for selector in selectors.iter().map(|selected| &selected.selector) {
            for handle in handles(selector) {
                *shared.entry((selector.namespace(), handle)).or_default() += 1;
            }
        }
        let mut namespaces: HashMap<Box<str>, Bucket> = HashMap::new();
        for (at, Selected { selector, .. }) in selectors.iter().enumerate() {
            let bucket = namespaces.entry(selector.namespace.clone()).or_default();
            let rarest = handles(selector).min_by_key(|handle| (shared.get(&(selector.namespace(), *handle)), *handle));
            let list = match rarest {
                Some(Handle::Label(key, value)) => {
                    bucket.by_label.entry(key.into()).or_default().entry(value.into()).or_default()
                }
                Some(Handle::Account(account)) => bucket.by_account.entry(account.into()).or_default(),
                None => &mut bucket.others,
            };
            list.push(at);
        }
        let keys: BTreeSet<&str> =
            selectors.iter().flat_map(|selected| selected.selector.labels()).map(|(key, _)| &**key).collect();
        let label_keys = keys.into_iter().map(Into::into).collect();
        Pods { selectors: selectors.into(), namespaces, label_keys }
    }

    pub(crate) fn selectors(&self) -> &[Selected] {
        &self.selectors
    }

    pub(super) fn label_keys(&self) -> &[Box<str>] {
        &self.label_keys
    }

    /// Positions of the selectors that a pod fits.
    pub(crate) fn fitting<'a>(&'a self, pod: &'a Pod<'_>) -> impl Iterator<Item = (usize, &'a Selected)> {
        let bucket = self.namespaces.get(pod.namespace).into_iter();
        let near = bucket.flat_map(|bucket| {
            let labels = pod.labels.iter().filter_map(|(key, value)| bucket.by_label.get(key)?.get(value));
            labels.chain(bucket.by_account.get(pod.service_account)).chain([&bucket.others]).flatten()
        });
        near.filter_map(|at| Some((*at, self.selectors.get(*at)?))).filter(|(_, near)| near.selector.fits(pod))
    }

    pub(super) fn agent(&self, pod: &Pod<'_>) -> Result<Option<AgentId>, AmbiguousPod> {
        let mut fitting = self.fitting(pod).map(|(_, selected)| selected.agent);
        let Some(first) = fitting.next() else { return Ok(None) };
        match fitting.find(|agent| *agent != first) {
            Some(second) => Err(AmbiguousPod { first: first.min(second), second: first.max(second) }),
            None => Ok(Some(first)),
        }
    }
}

fn handles(selector: &PodSelector) -> impl Iterator<Item = Handle<'_>> {
    let labels = selector.labels().iter().map(|(key, value)| Handle::Label(key, value));
    labels.chain(selector.service_account().map(Handle::Account))
}
