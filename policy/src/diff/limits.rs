//! Limits that differ: a limit that is raised or gone widens, one that is lowered or new narrows.
//!
//! Compared agent by agent, as requests are: by address, not by name, and not for an agent in quarantine.

use std::collections::BTreeMap;

use super::pairs::Pairs;
use super::parts::Piece;
use super::{Aspect, Change, Direction};
use crate::model::Policy;

/// One change for each way in which limits differ, with all agents that it concerns.
pub(super) fn changes(old: &Policy, new: &Policy, pairs: &Pairs) -> Vec<Change> {
    let mut found: BTreeMap<(Direction, Vec<String>), Vec<String>> = BTreeMap::new();
    for pair in pairs.all() {
        let (Some(before), Some(after)) = (pair.old, pair.new) else { continue };
        let before = old.agent(before).limits().each();
        let after = new.agent(after).limits().each();
        for direction in [Direction::Widens, Direction::Narrows] {
            let both = before.iter().zip(&after);
            let differ = both.filter(|((_, before), (_, after))| direction_of(*before, *after) == Some(direction));
            let texts: Vec<String> = differ
                .map(|((key, before), (_, after))| format!("{key} {} -> {}", text(*before), text(*after)))
                .collect();
            if !texts.is_empty() {
                found.entry((direction, texts)).or_default().push(pair.name.to_string());
            }
        }
    }
    let change = |((direction, limits), mut agents): ((Direction, Vec<String>), Vec<String>)| {
        agents.sort_unstable();
        Change {
            direction,
            aspect: Aspect::Limits,
            rule: None,
            allowed_by: None,
            agents,
            hosts: Vec::new(),
            hosts_in_part: false,
            methods: Vec::new(),
            methods_except: Vec::new(),
            paths: Vec::new(),
            paths_in_part: false,
            credentials: Vec::new(),
            stubs: Vec::new(),
            slots: Vec::new(),
            types: Vec::new(),
            limits,
            witness: None,
            piece: Piece::nothing(),
        }
    };
    found.into_iter().map(change).collect()
}

/// `None` is no limit, and wider than any.
fn direction_of(before: Option<u64>, after: Option<u64>) -> Option<Direction> {
    let width = |limit: Option<u64>| limit.map_or(u128::MAX, u128::from);
    match width(before).cmp(&width(after)) {
        std::cmp::Ordering::Less => Some(Direction::Widens),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(Direction::Narrows),
    }
}

fn text(limit: Option<u64>) -> String {
    limit.map_or_else(|| "none".to_owned(), |number| number.to_string())
}
