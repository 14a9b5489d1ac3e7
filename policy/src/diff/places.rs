//! Where requests can go: finitely many kinds of hosts stand for all.
//!
//! A *base* is a name that some pattern of either policy is built on: `b` in `b`, `*.b` and `**.b`. For each base
//! there are three kinds of hosts: the base itself, one fresh label in front of it, and two. A fresh label is one
//! that no base below this base has right in front of it. Besides, each address literal that is written is a kind of its own.
//!
//! That is all. Take any name `h` that lies at or below some base, the longest such base `b`, and let `k` be the
//! number of labels that `h` has in front of `b`, or 2 if there are more. Then every pattern covers `h` if and only if
//! it covers `k` fresh labels in front of `b`: a pattern on `c` covers either only if `c` ends it, and because `b` is
//! the longest base that does, and no base below `b` goes on with its fresh label, `c` ends both or neither. If `c` is `b`, the pattern
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
    /// For each base.
    fresh: Vec<Box<str>>,
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
        let fresh = fresh_labels(&bases);
        let bases: Vec<Name> = bases.into_iter().collect();
        let at = bases.iter().zip(0..).map(|(base, at)| (base.clone(), at)).collect();
        Places { bases, at, addresses, fresh }
    }

    /// Every kind, with a host of it; `None` if none could be made up although there may be some.
    pub(super) fn all(&self) -> impl Iterator<Item = (Kind, Option<Host>)> {
        let names = self.bases.iter().zip(&self.fresh).zip(0..).flat_map(|((name, fresh), base)| {
            let one = format!("{fresh}.{name}");
            // What stands in front of a fresh label makes no difference.
            let two = format!("x.{one}");
            let parse = |text: &str| Name::parse(text.as_bytes()).ok();
            let hosts = [Some(name.clone()), parse(&one), parse(&two)];
            let length = name.as_str().len();
            hosts.into_iter().zip([0, 2, 4]).zip(0..).filter_map(move |((host, more), labels)| {
                // Where no label of one byte has room there is no host of this kind.
                let is_possible = host.is_some() || length + more <= LONGEST;
                is_possible.then(|| (Kind::Under { base, labels }, host.map(Host::Name)))
            })
        });
        names.chain(self.addresses.iter().map(|ip| (Kind::Address(*ip), Some(Host::Ip(*ip)))))
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

/// For each base the shortest label that no base below it has right in front of it.
fn fresh_labels(bases: &BTreeSet<Name>) -> Vec<Box<str>> {
    let mut begun: HashMap<&str, BTreeSet<&str>> = HashMap::new();
    for base in bases {
        let mut rest = base.as_str();
        while let Some((label, ending)) = rest.split_once('.') {
            if bases.contains(ending) {
                begun.entry(ending).or_default().insert(label);
            }
            rest = ending;
        }
    }
    let none = BTreeSet::new();
    let fresh = |base: &Name| {
        let begun = begun.get(base.as_str()).unwrap_or(&none);
        let one = ('a'..='x').rev().filter(|label| *label != 'w').chain(['y', 'z', 'w']).chain('0'..='9');
        let two = ('a'..='z').rev().flat_map(|a| ('a'..='z').chain('0'..='9').map(move |b| format!("{a}{b}")));
        let long = (100_u64..).map(|n| format!("x{n}"));
        let all = one.map(String::from).chain(two).chain(long);
        all.into_iter().find(|label| !begun.contains(label.as_str())).unwrap_or_default().into()
    };
    bases.iter().map(fresh).collect()
}

/// Longest name, in bytes (RFC 1035 §2.3.4, without the root).
const LONGEST: usize = 253;
