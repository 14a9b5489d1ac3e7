//! `dns:` entries: who may ask which names of forwarded zones, for which types of record.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::Comparison;
use super::parts::{Key, MethodsText, Piece};
use super::places::Kind;
use super::side::{Side, Which};
use super::{Aspect, Direction};
use crate::decide::{Ask, NameGrant, NameStage, QueryKind};
use crate::model::hosts::{HostPattern, HostRule};
use crate::model::{AgentId, Host, Name};

impl Comparison<'_> {
    /// Compares what is forwarded of one kind of names.
    pub(super) fn names(&mut self, kind: Kind, host: &Host) {
        let Host::Name(name) = host else { return };
        let mut types = written(self.old, host);
        types.extend(written(self.new, host));
        let mut differ: BTreeMap<(Which, BTreeSet<u16>), Vec<usize>> = BTreeMap::new();
        for (at, pair) in self.pairs.all().iter().enumerate() {
            let before = forwarded(self.old, pair.old, name, &types);
            let after = forwarded(self.new, pair.new, name, &types);
            for (to, more) in [(Which::New, &after - &before), (Which::Old, &before - &after)] {
                if !more.is_empty() {
                    differ.entry((to, more)).or_default().push(at);
                }
            }
        }
        for ((to, types), pairs) in differ {
            let (side, direction) = match to {
                Which::New => (self.new, Direction::Widens),
                Which::Old => (self.old, Direction::Narrows),
            };
            let key = Key { direction, aspect: Aspect::Dns, to, blame: None, grants: None };
            let mut piece = Piece::at(&pairs, pattern(side, host, &types), kind, MethodsText::default());
            piece.types = types;
            self.found.push((key, piece));
        }
    }
}

/// The types that some entry names for this host.
fn written(side: &Side<'_>, host: &Host) -> BTreeSet<u16> {
    side.find(host).forwards.iter().flat_map(|(_, types)| types.iter().copied()).collect()
}

fn forwarded(side: &Side<'_>, agent: Option<AgentId>, name: &Name, types: &BTreeSet<u16>) -> BTreeSet<u16> {
    let Some(agent) = agent else { return BTreeSet::new() };
    let asks = |number: &u16| {
        let ask = Ask::new(agent, NameStage { name, kind: QueryKind::from(*number) });
        side.policy.decide(&ask).granted() == Some(&NameGrant::Forward)
    };
    types.iter().copied().filter(asks).collect()
}

/// The narrowest pattern of the entries that are responsible.
fn pattern(side: &Side<'_>, host: &Host, types: &BTreeSet<u16>) -> Option<HostRule> {
    let about = side.policy.forwards.iter().filter(|forward| forward.types.iter().any(|number| types.contains(number)));
    let names = about.flat_map(|forward| &forward.names).filter(|name| name.pattern.covers(host));
    names
        .max_by_key(|name| match &name.pattern {
            HostPattern::Any => (0, 0),
            HostPattern::Deep(base) => (1, base.labels().count()),
            HostPattern::One(base) => (2, base.labels().count()),
            HostPattern::Exact(_) | HostPattern::Ip(_) => (3, 0),
        })
        .cloned()
}
