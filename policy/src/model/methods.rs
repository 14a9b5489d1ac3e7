//! Which methods a rule is about. GET does not imply HEAD; TRACE and CONNECT are in no set.

use std::fmt;

use super::method::Method;

/// A set of methods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MethodSet {
    any: bool,
    known: u16,
    other: Vec<Method>,
}

impl MethodSet {
    /// Every method that can match at all, WebSocket handshakes included.
    pub(crate) fn any() -> MethodSet {
        MethodSet { any: true, ..MethodSet::default() }
    }

    pub(crate) fn insert(&mut self, method: Method) {
        match method.bit() {
            Some(bit) => self.known |= bit,
            None if self.other.contains(&method) => {}
            None => self.other.push(method),
        }
    }

    pub(crate) fn contains(&self, method: &Method) -> bool {
        if method.never_matches() {
            return false;
        }
        match method.bit() {
            _ if self.any => true,
            Some(bit) => self.known & bit != 0,
            None => self.other.contains(method),
        }
    }

    /// Whether some method in it changes something.
    pub(crate) fn writes(&self) -> bool {
        let reads = Method::KNOWN.iter().filter(|method| method.only_reads()).filter_map(Method::bit);
        self.any || !self.other.is_empty() || self.known & !reads.fold(0, |all, bit| all | bit) != 0
    }

    /// The methods by name, those that are well known first; `None` is any.
    pub(crate) fn names(&self) -> Option<Vec<&str>> {
        let known = Method::KNOWN.iter().filter(|method| method.bit().is_some_and(|bit| self.known & bit != 0));
        (!self.any).then(|| known.chain(&self.other).map(Method::as_str).collect())
    }

    /// Adds all of `other`.
    pub(crate) fn join(&mut self, other: &MethodSet) {
        self.any |= other.any;
        self.known |= other.known;
        for method in &other.other {
            self.insert(method.clone());
        }
    }

    /// Whether some method is in both.
    pub(crate) fn meets(&self, other: &MethodSet) -> bool {
        let empty = |set: &MethodSet| !set.any && set.known == 0 && set.other.is_empty();
        match (self.any, other.any) {
            (true, _) => !empty(other),
            (_, true) => !empty(self),
            _ => self.known & other.known != 0 || other.other.iter().any(|method| self.contains(method)),
        }
    }

    /// Whether all of `other` is in this set.
    pub(crate) fn covers(&self, other: &MethodSet) -> bool {
        self.any
            || (!other.any && other.known & !self.known == 0 && other.other.iter().all(|method| self.contains(method)))
    }
}

impl fmt::Display for MethodSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().unwrap_or_else(|| vec!["any"]).join(", "))
    }
}
