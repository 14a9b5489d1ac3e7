//! What its hosts, methods and paths mean, and what is common to two of them. Said once, here, in its own terms; what is
//! written in the end is matched by policy alone (law 1).
//!
//! Hosts: `*` is every host, `*.x` is x and everything below it, anything else is a shell pattern over the whole name.
//! Paths: a pattern that ends in `/*` is that folder and everything below it, its other characters taken literally;
//! anything else is a shell pattern in which `*` stays within a segment.

use std::collections::BTreeSet;

use crate::decide::own;
use crate::model::hosts::{HostRule, Place};
use crate::model::path::Path;
use crate::model::paths::PathPattern;

/// A host of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Host {
    Every,
    /// This name or address, as a rule writes it.
    Exact(String),
    /// The name and everything below.
    Under(String),
}

impl Host {
    pub(super) fn parse(text: &str) -> Result<Host, String> {
        if text == "*" {
            return Ok(Host::Every);
        }
        let (base, under) = match text.strip_prefix("*.") {
            Some(base) => (base, true),
            None => (text, false),
        };
        if base.contains(['*', '?', '[', '\\']) {
            return Err(format!("`{text}`: a wildcard stands for whole labels in front only: name the hosts"));
        }
        if let Ok(ip) = base.parse::<std::net::IpAddr>() {
            return if under { Err(format!("`{text}` is no host")) } else { Ok(Host::Exact(literal(ip))) };
        }
        if base.contains(':') {
            return Err(format!(
                "`{text}`: ports are cut off before hosts are compared there, so that this never matched"
            ));
        }
        if [own::HOST, own::CA_HOST].iter().any(|own| base.eq_ignore_ascii_case(own)) {
            return Err(format!("`{text}` is stubgate's own, and no rule may name it"));
        }
        let wanted = if under { format!("**.{base}") } else { base.to_owned() };
        match HostRule::parse(&wanted, Place::Grant) {
            Ok(rule) if under => Ok(Host::Under(rule.to_string().trim_start_matches("**.").to_owned())),
            Ok(rule) => Ok(Host::Exact(rule.to_string())),
            Err(crate::model::hosts::HostRuleError::PublicSuffix(_)) => {
                Err(format!("`{text}`: anybody can have a name there: name the hosts"))
            }
            Err(_) => Err(format!("`{text}` is no host that a rule can name")),
        }
    }

    /// As rules and credentials write it; none for every host.
    pub(super) fn written(&self) -> Vec<String> {
        match self {
            Host::Every => Vec::new(),
            Host::Exact(host) => vec![host.clone()],
            Host::Under(base) => vec![base.clone(), format!("**.{base}")],
        }
    }

    /// Whether all of `other` is in this.
    pub(super) fn holds(&self, other: &Host) -> bool {
        let below =
            |name: &str, base: &str| name.strip_suffix(base).is_some_and(|head| head.is_empty() || head.ends_with('.'));
        match (self, other) {
            (Host::Every, _) => true,
            (_, Host::Every) => false,
            (Host::Exact(own), Host::Exact(other)) => own == other,
            (Host::Exact(_), Host::Under(_)) => false,
            (Host::Under(base), Host::Exact(name) | Host::Under(name)) => below(name, base),
        }
    }

    /// What is in both: one of them, or nothing.
    pub(super) fn common(&self, other: &Host) -> Option<Host> {
        if self.holds(other) {
            Some(other.clone())
        } else if other.holds(self) {
            Some(self.clone())
        } else {
            None
        }
    }
}

pub(super) fn literal(ip: std::net::IpAddr) -> String {
    match ip {
        std::net::IpAddr::V4(ip) => ip.to_string(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// Methods; `None` is all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Methods(pub(super) Option<BTreeSet<String>>);

impl Methods {
    pub(super) fn common(&self, other: &Methods) -> Option<Methods> {
        let both = match (&self.0, &other.0) {
            (None, other) => other.clone(),
            (own, None) => own.clone(),
            (Some(own), Some(other)) => {
                let both: BTreeSet<String> = own.intersection(other).cloned().collect();
                if both.is_empty() {
                    return None;
                }
                Some(both)
            }
        };
        Some(Methods(both))
    }

    pub(super) fn holds(&self, other: &Methods) -> bool {
        match (&self.0, &other.0) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own.is_superset(other),
        }
    }
}

/// A path pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathGlob {
    /// This folder without its slash, and everything below.
    Under(String),
    /// A pattern of policy.
    Pattern(String),
}

impl PathGlob {
    pub(super) fn parse(text: &str) -> Result<PathGlob, String> {
        let good = |pattern: &str| PathPattern::parse(pattern).is_ok();
        if let Some(base) = text.strip_suffix("/*") {
            if base.contains('*') {
                return Err(format!(
                    "`{text}`: before a last `/*` the original takes `*` literally, so that this matched nothing real; write what was meant"
                ));
            }
            return if good(&format!("{base}/**")) && (base.is_empty() || good(base)) {
                Ok(PathGlob::Under(base.to_owned()))
            } else {
                Err(format!("`{text}` can't be a path of a rule"))
            };
        }
        if text.contains(['?', '[', '\\']) {
            return Err(format!("`{text}`: `?`, `[…]` and `\\` have no equivalent in paths"));
        }
        let mut pattern = text.to_owned();
        while pattern.contains("**") {
            pattern = pattern.replace("**", "*");
        }
        if good(&pattern) { Ok(PathGlob::Pattern(pattern)) } else { Err(format!("`{text}` can't be a path of a rule")) }
    }

    pub(super) fn written(&self) -> Vec<String> {
        match self {
            PathGlob::Under(base) if base.is_empty() => vec!["/**".to_owned()],
            PathGlob::Under(base) => vec![base.clone(), format!("{base}/**")],
            PathGlob::Pattern(pattern) => vec![pattern.clone()],
        }
    }

    /// What is in both, where that is one of them.
    fn common(&self, other: &PathGlob) -> Option<PathGlob> {
        if self.holds(other) {
            Some(other.clone())
        } else if other.holds(self) {
            Some(self.clone())
        } else {
            None
        }
    }

    fn holds(&self, other: &PathGlob) -> bool {
        match (self, other) {
            (PathGlob::Under(base), PathGlob::Under(path) | PathGlob::Pattern(path)) => {
                path.strip_prefix(base.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            (PathGlob::Pattern(own), PathGlob::Pattern(other)) if own == other => true,
            (PathGlob::Pattern(own), PathGlob::Pattern(other)) if !other.contains('*') => {
                match (PathPattern::parse(own), Path::parse(other.as_bytes())) {
                    (Ok(pattern), Ok(path)) => pattern.grants(&path, false),
                    _ => false,
                }
            }
            (PathGlob::Pattern(_), _) => false,
        }
    }
}

/// Paths; `None` is all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Paths(pub(super) Option<Vec<PathGlob>>);

impl Paths {
    /// What is in both, as far as it can be said; less than that where patterns only overlap.
    pub(super) fn common(&self, other: &Paths) -> Option<Paths> {
        let (own, other) = match (&self.0, &other.0) {
            (None, other) => return Some(Paths(other.clone())),
            (own, None) => return Some(Paths(own.clone())),
            (Some(own), Some(other)) => (own, other),
        };
        let mut both: Vec<PathGlob> =
            own.iter().flat_map(|own| other.iter().filter_map(|other| own.common(other))).collect();
        both.sort();
        both.dedup();
        (!both.is_empty()).then_some(Paths(Some(both)))
    }

    /// Whether something may be in both that [`Paths::common`] does not say.
    pub(super) fn is_unclear(&self, other: &Paths) -> bool {
        let (Some(own), Some(other)) = (&self.0, &other.0) else { return false };
        let starred = |path: &PathGlob| matches!(path, PathGlob::Pattern(pattern) if pattern.contains('*'));
        own.iter().any(|own| other.iter().any(|other| (starred(own) || starred(other)) && own.common(other).is_none()))
    }

    pub(super) fn holds(&self, other: &Paths) -> bool {
        match (&self.0, &other.0) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => other.iter().all(|path| own.iter().any(|own| own.holds(path))),
        }
    }
}
