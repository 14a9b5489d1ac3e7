//! Where requests can go: finitely many kinds of hosts stand for all.
//!
//! A *base* is a name that some pattern of either policy is built on: `b` in `b`, `*.b` and `**.b`. For each base
//! there are three kinds of hosts: the base itself, one fresh label in front of it, and two. A fresh label begins no
//! base's label. Besides, each address literal that is written is a kind of its own.
//!
//! That is all. Take any name `h` that lies at or below some base, the longest such base `b`, and let `k` be the
//! number of labels that `h` has in front of `b`, or 2 if there are more. Then every pattern covers `h` if and only if
//! it covers `k` fresh labels in front of `b`: a pattern on `c` covers either only if `c` ends it, and because `b` is
//! the longest base that does, and no base holds a fresh label, `c` ends both or neither. If `c` is `b`, the pattern
//! asks whether there are 0, exactly 1, or at least 1 labels in front, which `k` answers. If `c` is shorter, then
//! there are `k` labels and those that `b` has in front of `c`; at least 1, and exactly 1 if `k` is 0 and `b` has 1.
//! A name below no base, and an address that nobody wrote, is covered by `any` alone, which only denies.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::hash::Folding;
use crate::model::hosts::{HostPattern, HostRule};
use crate::model::{Host, Name, Policy};

/// All kinds of hosts that two policies can tell apart.
#[derive(Debug)]
pub(super) struct Places {
    bases: Vec<Name>,
    at: HashMap<Name, u32, Folding>,
    addresses: BTreeSet<IpAddr>,
    fresh: String,
}

/// A kind of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// So many labels (2 stands for more) in front of this base.
    Under { base: u32, labels: u8 },
    /// This address.
    Address(IpAddr),
}

impl Places {
    pub(super) fn new(old: &Policy, new: &Policy) -> Places {
        let mut bases = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        let mut add = |host: &HostRule| match &host.pattern {
            HostPattern::Exact(base) | HostPattern::One(base) | HostPattern::Deep(base) => {
                if !bases.contains(base) {
                    bases.insert(base.clone());
                }
            }
            HostPattern::Ip(ip) => {
                addresses.insert(*ip);
            }
            HostPattern::Any => {}
        };
        for policy in [old, new] {
            policy.rules.iter().flat_map(|rule| &rule.hosts).for_each(&mut add);
            policy.credentials.iter().flat_map(|credential| &credential.hosts).for_each(&mut add);
            policy.forwards.iter().flat_map(|forward| &forward.names).for_each(&mut add);
        }
        let fresh = fresh_label(&bases);
        let bases: Vec<Name> = bases.into_iter().collect();
        let at = bases.iter().zip(0..).map(|(base, at)| (base.clone(), at)).collect();
        Places { bases, at, addresses, fresh }
    }

    /// Every kind, with a host of it.
    pub(super) fn all(&self) -> impl Iterator<Item = (Kind, Host)> {
        let names = self.bases.iter().zip(0..).flat_map(|(name, base)| {
            let one = format!("{}.{name}", self.fresh);
            let two = format!("{}.{one}", self.fresh);
            // A name that would be too long has no host of this kind either.
            let fresh = |text: &str| Name::parse(text.as_bytes()).ok();
            let hosts = [Some(name.clone()), fresh(&one), fresh(&two)];
            let kinds = hosts.into_iter().zip(0..);
            kinds.filter_map(move |(host, labels)| Some((Kind::Under { base, labels }, Host::Name(host?))))
        });
        names.chain(self.addresses.iter().map(|ip| (Kind::Address(*ip), Host::Ip(*ip))))
    }

    /// The kind of a host; `None` where no allow rule can name it.
    pub(super) fn of(&self, host: &Host) -> Option<Kind> {
        let name = match host {
            Host::Ip(ip) => return Some(Kind::Address(*ip)),
            Host::Name(name) => name,
        };
        let mut labels = 0_u8;
        let mut ending = name.as_str();
        loop {
            if let Some(base) = self.at.get(ending) {
                return Some(Kind::Under { base: *base, labels });
            }
            (_, ending) = ending.split_once('.')?;
            labels = (labels + 1).min(2);
        }
    }
}

/// The shortest label that no base has.
fn fresh_label(bases: &BTreeSet<Name>) -> String {
    let labels: BTreeSet<&str> = bases.iter().flat_map(Name::labels).collect();
    let short = ('a'..='z').rev().skip(2).map(String::from).filter(|label| label != "w");
    let long = (0_u64..).map(|n| format!("x{n}"));
    short.chain(long).find(|label| !labels.contains(label.as_str())).unwrap_or_default()
}
