//! What is known of pods, by pod: from it follows what is shown of each address.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::{PodEntry, Spot};
use crate::pod::Sighting;

/// Texts and sets of labels that may be held for nobody.
const SPARE: usize = 256;

type KeptLabels = Arc<[(Box<str>, Box<str>)]>;

/// Everything, by the uid of pods.
#[derive(Default)]
pub(super) struct Writer {
    pods: HashMap<Arc<str>, Known>,
    /// Whose an address is: one pod's, where nothing is odd.
    holders: HashMap<IpAddr, Vec<Arc<str>>>,
    /// The last number that was given.
    last: u64,
    texts: HashSet<Arc<str>>,
    labels: HashSet<KeptLabels>,
}

struct Known {
    part: usize,
    addresses: Box<[IpAddr]>,
    entry: Arc<PodEntry>,
}

/// What a change touched.
#[derive(Default)]
pub(super) struct Touched {
    pub(super) addresses: Vec<IpAddr>,
    /// Whether a pod lost an address, or is not what it was.
    pub(super) is_loss: bool,
}

impl Writer {
    pub(super) fn pods(&self) -> usize {
        self.pods.len()
    }

    pub(super) fn contested(&self) -> usize {
        self.holders.values().filter(|holders| holders.len() > 1).count()
    }

    /// What is to be shown of an address.
    pub(super) fn spot(&self, address: IpAddr) -> Option<Spot> {
        match self.holders.get(&address)?.as_slice() {
            [] => None,
            [one] => self.pods.get(one).map(|known| Spot::Pod(Arc::clone(&known.entry))),
            [_, _, ..] => Some(Spot::Contested),
        }
    }

    pub(super) fn see(&mut self, part: usize, pod: &Sighting, keys: &BTreeSet<Box<str>>) -> Touched {
        let mut touched = Touched::default();
        self.see_one(part, pod, keys, &mut touched);
        touched
    }

    pub(super) fn forget(&mut self, uid: &str) -> Touched {
        let mut touched = Touched::default();
        self.forget_one(uid, &mut touched);
        touched
    }

    pub(super) fn replace(&mut self, part: usize, pods: &[Sighting], keys: &BTreeSet<Box<str>>) -> Touched {
        let mut touched = Touched::default();
        let there: HashSet<&str> = pods.iter().map(|pod| &*pod.uid).collect();
        let of_part = self.pods.iter().filter(|(_, known)| known.part == part);
        let gone: Vec<Arc<str>> =
            of_part.filter(|(uid, _)| !there.contains(&***uid)).map(|(uid, _)| Arc::clone(uid)).collect();
        // First those who are gone: an address may have passed on.
        for uid in gone {
            self.forget_one(&uid, &mut touched);
        }
        for pod in pods {
            self.see_one(part, pod, keys, &mut touched);
        }
        self.forget_unused();
        touched
    }

    fn see_one(&mut self, part: usize, pod: &Sighting, keys: &BTreeSet<Box<str>>, touched: &mut Touched) {
        if pod.addresses.is_empty() || pod.uid.is_empty() {
            return self.forget_one(&pod.uid, touched);
        }
        let kept = pod.labels.iter().filter(|(key, _)| keys.contains(*key));
        let labels: KeptLabels = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
        let is_same_stay = |known: &Known| *known.addresses == *pod.addresses;
        let number = self.pods.get(&*pod.uid).filter(|known| is_same_stay(known)).map(|known| known.entry.number);
        let number = number.unwrap_or_else(|| {
            self.forget_one(&pod.uid, touched);
            self.last += 1;
            self.last
        });
        let entry = PodEntry {
            number,
            namespace: self.text(&pod.namespace),
            service_account: self.text(&pod.service_account),
            labels: self.shared(labels),
        };
        // Pods that are known hold at most three each, so that this comes once in many times.
        if self.interned() > 4 * self.pods.len() + SPARE {
            self.forget_unused();
        }
        if let Some(known) = self.pods.get_mut(&*pod.uid) {
            known.part = part;
            if *known.entry != entry {
                known.entry = Arc::new(entry);
                touched.is_loss = true;
                touched.addresses.extend(&pod.addresses);
            }
            return;
        }
        let uid: Arc<str> = Arc::from(&*pod.uid);
        for address in &pod.addresses {
            let holders = self.holders.entry(*address).or_default();
            // Whoever had it alone has it no more.
            touched.is_loss |= !holders.is_empty();
            holders.push(Arc::clone(&uid));
        }
        touched.addresses.extend(&pod.addresses);
        self.pods.insert(uid, Known { part, addresses: pod.addresses.as_slice().into(), entry: Arc::new(entry) });
    }

    fn forget_one(&mut self, uid: &str, touched: &mut Touched) {
        let Some(known) = self.pods.remove(uid) else { return };
        touched.is_loss = true;
        for address in &known.addresses {
            if let Some(holders) = self.holders.get_mut(address) {
                holders.retain(|holder| **holder != *uid);
                if holders.is_empty() {
                    self.holders.remove(address);
                }
            }
        }
        touched.addresses.extend(&known.addresses);
    }

    /// Texts and sets of labels that are held.
    pub(super) fn interned(&self) -> usize {
        self.texts.len() + self.labels.len()
    }

    /// What only these sets hold any more.
    fn forget_unused(&mut self) {
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.labels.retain(|labels| Arc::strong_count(labels) > 1);
    }

    /// Most pods share these with others.
    fn text(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    fn shared(&mut self, labels: KeptLabels) -> KeptLabels {
        if let Some(known) = self.labels.get(&labels) {
            return Arc::clone(known);
        }
        self.labels.insert(Arc::clone(&labels));
        labels
    }
}
