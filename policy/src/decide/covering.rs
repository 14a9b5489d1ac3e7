//! Rules that could cover a host wholly, taken from the index that decisions use: what lints look at, so that they
//! never compare all rules with all.

use super::index::{Bucket, Entry, Index};
use super::table::Table;
use crate::model::hosts::HostRule;
use crate::model::prefix::Prefix;
use crate::model::{AgentId, RuleId};

/// Which rules of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Allow and observe rules.
    Grant,
    /// Deny rules for all paths.
    Block,
    /// Deny rules for some paths.
    Refuse,
}

/// Rules for whom.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// This agent, by name or as one of all.
    One(AgentId),
    /// Every agent.
    Every,
    /// Whoever, on whatever path, where schemes and ports only meet.
    Any,
}

impl Index {
    /// The first `most` rules of this side whose host, scheme and port cover all of `host`, and that could match a path
    /// that begins so. A rule may come twice.
    pub(crate) fn covering(
        &self,
        host: &HostRule,
        whose: Whose,
        path: &[Prefix],
        side: Side,
        most: usize,
    ) -> Vec<RuleId> {
        let mut found = Vec::new();
        self.rules.find_covering(&host.pattern, |bucket| {
            let table = table(bucket, side);
            let room = most.saturating_sub(found.len());
            let fits = |entry: &&Entry| match whose {
                Whose::One(_) | Whose::Every => entry.ends.cover_all(host.ends),
                Whose::Any => entry.ends.meet(host.ends),
            };
            // Entries of other ports cost as much as those that fit.
            let mut take = |entries: &mut dyn Iterator<Item = &Entry>| {
                found.extend(entries.take(room).filter(fits).map(|entry| entry.rule));
            };
            match whose {
                Whose::One(agent) => take(&mut table.near(agent, path)),
                Whose::Every => take(&mut table.near_for_every(path)),
                Whose::Any => take(&mut table.all()),
            }
        });
        found
    }
}

fn table(bucket: &Bucket, side: Side) -> &Table {
    match side {
        Side::Grant => &bucket.grant,
        Side::Block => &bucket.block,
        Side::Refuse => &bucket.refuse,
    }
}
