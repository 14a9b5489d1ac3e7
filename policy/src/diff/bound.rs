//! Where credentials are looked for: the places that the credentials bound to an authority declare.
//!
//! The appliance reads a head by the same [`Policy::bound_slots`]. A credential that nobody is granted still has its
//! places looked at, and one of an agent's own is refused there. What stands in no such place is only text.

use std::collections::BTreeSet;

use crate::model::{Authority, Policy, Slot};

/// What credentials, whether granted or not, are bound to an authority for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound<'a> {
    /// Whether any is.
    pub(super) is_bound: bool,
    /// The places that are looked at because of them.
    pub(super) slots: BTreeSet<&'a Slot>,
}

impl<'a> Bound<'a> {
    pub(super) fn new(policy: &'a Policy, authority: &Authority) -> Bound<'a> {
        let slots = policy.bound_slots(authority).filter(|slot| !slot.is_customary()).collect();
        Bound { is_bound: policy.is_bound(authority), slots }
    }

    /// Places that are looked at here and not there.
    pub(super) fn beyond(&self, other: &Bound<'_>) -> Vec<&'a Slot> {
        self.slots.iter().filter(|slot| !other.slots.contains(**slot)).copied().collect()
    }
}
