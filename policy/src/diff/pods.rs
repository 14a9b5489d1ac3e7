//! Pods that either policy tells apart, each kind by the one that has nothing more than it must.
//!
//! A pod fits some selectors of the old policy and some of the new one. Whoever it is in both, a pod that has only what one
//! selector of each side demands (or two of a side, where that makes it nobody) is the same or fits fewer, so that every way
//! in which pods change hands is met by one of those. Who they are is asked of [`Policy::agent_of_pod`] (law 1).

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{AgentId, Policy};
use crate::pods::{PodSelector, Selected};

/// Who a pod is in the old policy, and who in the new.
pub(super) type Who = (Option<AgentId>, Option<AgentId>);

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// Kinds of pods by who they are, without those that are nobody in both.
    pub(super) found: BTreeMap<Who, Vec<PodSelector>>,
    /// Whether all were looked at.
    pub(super) complete: bool,
}

pub(super) fn cells(old: &Policy, new: &Policy) -> Cells {
    let both = [(Which::Old, old), (Which::New, new)];
    let all: Vec<One<'_>> = both
        .iter()
        .flat_map(|(which, policy)| policy.pods.selectors().iter().map(move |selected| One { which: *which, selected }))
        .collect();
    let mut search = Search { old, new, cells: Cells { complete: true, ..Cells::default() }, left: ENOUGH };
    for group in parted(all, |selector| Some(selector.namespace())).1 {
        search.group(group);
    }
    search.cells
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    Old,
    New,
}

/// A selector of one side.
#[derive(Clone, Copy)]
struct One<'a> {
    which: Which,
    selected: &'a Selected,
}

struct Search<'a> {
    old: &'a Policy,
    new: &'a Policy,
    cells: Cells,
    left: usize,
}

impl Search<'_> {
    /// Selectors of which no pod fits one of another group too.
    fn group(&mut self, mut group: Vec<One<'_>>) {
        let keys: BTreeSet<&str> =
            group.first().into_iter().flat_map(|one| one.selected.selector.labels()).map(|(key, _)| &**key).collect();
        for key in keys {
            let (rest, parts) = parted(group, |selector| value(selector, key));
            if rest.is_empty() && parts.len() > 1 {
                return parts.into_iter().for_each(|part| self.group(part));
            }
            group = rest.into_iter().chain(parts.into_iter().flatten()).collect();
        }
        let (rest, parts) = parted(group, PodSelector::service_account);
        if rest.is_empty() && parts.len() > 1 {
            return parts.into_iter().for_each(|part| self.group(part));
        }
        let group: Vec<One<'_>> = rest.into_iter().chain(parts.into_iter().flatten()).collect();
        self.crossings(&group);
    }

    fn crossings(&mut self, group: &[One<'_>]) {
        for one in group {
            self.note(&one.selected.selector);
        }
        let side = |which| group.iter().filter(move |one| one.which == which);
        for before in side(Which::Old) {
            for after in side(Which::New) {
                if !self.spend() {
                    return;
                }
                let Some(met) = self.meet(&before.selected.selector, &after.selected.selector) else { continue };
                // A pod is nobody where a second agent has it: on the side of either.
                for third in group {
                    if !self.spend() {
                        return;
                    }
                    let same = if third.which == Which::Old { before } else { after };
                    if same.selected.agent != third.selected.agent {
                        self.meet(&met, &third.selected.selector);
                    }
                }
            }
        }
    }

    fn meet(&mut self, one: &PodSelector, other: &PodSelector) -> Option<PodSelector> {
        let met = one.and(other).filter(|_| self.spend())?;
        self.note(&met);
        Some(met)
    }

    fn spend(&mut self) -> bool {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.cells.complete = false,
        }
        self.cells.complete
    }

    fn note(&mut self, selector: &PodSelector) {
        let pod = selector.least();
        let agent = |policy: &Policy| policy.agent_of_pod(&pod).ok().flatten();
        let who = (agent(self.old), agent(self.new));
        if who != (None, None) {
            let kinds = self.cells.found.entry(who).or_default();
            if kinds.len() < MOST_KINDS && !kinds.contains(selector) {
                kinds.push(selector.clone());
            }
        }
    }
}

fn value<'a>(selector: &'a PodSelector, key: &str) -> Option<&'a str> {
    selector.labels().iter().find(|(known, _)| &**known == key).map(|(_, value)| &**value)
}

/// Those without a value, and the others by it.
fn parted<'a>(
    all: Vec<One<'a>>,
    value: impl Fn(&'a PodSelector) -> Option<&'a str>,
) -> (Vec<One<'a>>, Vec<Vec<One<'a>>>) {
    let mut rest = Vec::new();
    let mut parts: BTreeMap<&str, Vec<One<'a>>> = BTreeMap::new();
    for one in all {
        match value(&one.selected.selector) {
            Some(value) => parts.entry(value).or_default().push(one),
            None => rest.push(one),
        }
    }
    (rest, parts.into_values().collect())
}

/// Most selectors that are put together with others.
const ENOUGH: usize = 1_000_000;
/// Most kinds of pods that are kept for people to see; who they are does not depend on it.
const MOST_KINDS: usize = 4;
