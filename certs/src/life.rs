//! The CAs of an appliance over time: which signs, which comes, which have been; and how one takes the place of another without
//! a moment in which an agent is shown a leaf that it does not trust.
//!
//! [`Life`] is asked now and then ([`Life::turn`]) and does what is due. What it did is on disk before it is in force, so that a
//! process that is killed at any moment goes on where it was (a test kills one at every step). It never signs: [`crate::Minter`]
//! is told who does. A CA of the operator's that can't be used is said, and changes nothing.

mod given;
mod open;
mod phase;
mod record;
mod store;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use given::{Given, Origin};
pub use phase::{Overlap, Phase, Role, Turned};
pub use record::{ACTIVE, Audience, Heard, Terms};
use record::{Due, Entry, MOST_PAST, NEAR_END, Record};
use store::Store;

use crate::authority::Anchor;
use crate::authority::store::Pair;
use crate::constraints::Subtrees;
use crate::{CaError, CertificateAuthority};

/// Seconds of one.
const HOUR: u64 = 60 * 60;

/// The CAs of an appliance.
#[derive(Debug)]
pub struct Life {
    origin: Origin,
    /// `None` where nothing can be kept over a restart.
    store: Option<Store>,
    unkept: Option<String>,
    /// When, in seconds since 1970; 0 for who only looks.
    opened: u64,
    record: Record,
    signing: Arc<CertificateAuthority>,
    next: Option<Arc<CertificateAuthority>>,
    /// As in the record.
    past: Vec<Anchor>,
}

impl Life {
    /// Begins an overlap with a CA that is made now.
    ///
    /// # Errors
    /// [`CaError::UnderWay`] where one comes already, [`CaError::Crowded`] where too many have been, [`CaError::GivenByFiles`]
    /// where the CA is the operator's; or it can't be written.
    pub fn rotate(&mut self, subtrees: &Subtrees, terms: Terms, now: SystemTime) -> Result<(), CaError> {
        if matches!(self.origin, Origin::Given(_)) {
            return Err(CaError::GivenByFiles);
        }
        let store = self.store.clone().ok_or(CaError::GivenByFiles)?;
        let locked = store.lock()?;
        self.adopt(&store, |_| Ok(()))?;
        if self.record.next.is_some() {
            return Err(CaError::UnderWay);
        }
        if self.record.past.len() >= MOST_PAST {
            return Err(CaError::Crowded { most: MOST_PAST });
        }
        let (authority, key_pem) = CertificateAuthority::create_new(subtrees, now)?;
        let entry = Entry { id: authority.id(), given: false };
        locked.put(&entry.id, &authority.certificate_pem(), key_pem.as_bytes())?;
        let mut record = self.record.clone();
        record.begin(entry, terms, leaf_life(), seconds(now));
        locked.write(&record)?;
        locked.clean(&record)?;
        self.record = record;
        self.next = Some(Arc::new(authority));
        Ok(())
    }

    /// Has the CA that comes sign, and all that have been leave, with the next turn of the appliance.
    ///
    /// # Errors
    /// [`CaError::NotUnderWay`] where there is nothing to end; or it can't be written.
    pub fn finish(&mut self, now: SystemTime) -> Result<(), CaError> {
        let store = self.store.clone().ok_or(CaError::NotUnderWay)?;
        let locked = store.lock()?;
        self.adopt(&store, |_| Ok(()))?;
        let mut record = self.record.clone();
        if !record.finish(seconds(now)) {
            return Err(CaError::NotUnderWay);
        }
        locked.write(&record)?;
        self.record = record;
        Ok(())
    }

    /// Does what is due. `looks` also compares with the disk, where a command or the operator may have put something new; a CA
    /// that comes from there has to pass `vet`. `audience` tells who was heard of, by the CA that comes.
    pub fn turn(
        &mut self,
        now: SystemTime,
        terms: Terms,
        looks: bool,
        vet: impl Fn(&CertificateAuthority) -> Result<(), CaError>,
        audience: impl FnOnce(&str) -> Audience,
    ) -> Turned {
        let before = (Arc::clone(&self.signing), self.record.clone());
        let problem = self.try_turn(now, terms, looks, vet, audience).err();
        let is_same = Arc::ptr_eq(&before.0, &self.signing) && before.1.entries().eq(self.record.entries());
        Turned { is_changed: !is_same, problem }
    }

    fn try_turn(
        &mut self,
        now: SystemTime,
        terms: Terms,
        looks: bool,
        vet: impl Fn(&CertificateAuthority) -> Result<(), CaError>,
        audience: impl FnOnce(&str) -> Audience,
    ) -> Result<(), CaError> {
        let mut problem = Ok(());
        if looks {
            problem = self.look_again(now, terms, &vet);
        }
        let at = seconds(now);
        if let Some(next) = &self.next {
            let agents = audience(&next.id());
            let is_news = !news(&agents).eq(news(&self.record.agents));
            self.record.agents = agents;
            if is_news && let Some(store) = &self.store {
                let locked = store.lock()?;
                // A command may have changed the rest meanwhile; the next look takes it.
                if let Some(mut record) = store.record()?.filter(|record| record.entries().eq(self.record.entries())) {
                    record.agents.clone_from(&self.record.agents);
                    locked.write(&record)?;
                    self.record = record;
                }
            }
        }
        match self.due(at) {
            Some(due) => self.make_due(due, at, &vet).and(problem),
            None => problem,
        }
    }

    /// The CA that signs.
    pub fn signing(&self) -> &Arc<CertificateAuthority> {
        &self.signing
    }

    /// Every certificate that agents must trust, by part; the one that signs is the first.
    pub fn anchors(&self) -> Vec<(Role, Anchor)> {
        let next = self.next.iter().map(|next| (Role::Next, next.anchor()));
        let past = self.past.iter().zip(&self.record.past);
        let past = past.map(|(anchor, past)| (Role::Past(time(past.until)), anchor.clone()));
        std::iter::once((Role::Signing, self.signing.anchor())).chain(next).chain(past).collect()
    }

    /// Where in its life it is.
    pub fn phase(&self) -> Phase {
        match (&self.next, self.past.is_empty()) {
            (Some(_), _) => Phase::Overlap,
            (None, false) => Phase::Trailing,
            (None, true) => Phase::Stable,
        }
    }

    /// When the CA that comes signs, at the latest before the one that signs ends; `None` where none does.
    pub fn overlap(&self) -> Option<Overlap> {
        let next = self.record.next.as_ref()?;
        let end = seconds(self.signing.not_after()).saturating_sub(NEAR_END);
        let (since, least_until) = (time(next.since), time(next.least_until(self.opened)));
        Some(Overlap { since, least_until, deadline: time(next.deadline.min(end)) })
    }

    /// The name of the CA that comes, as an audience is told by.
    pub fn coming(&self) -> Option<String> {
        self.next.as_ref().map(|next| next.id())
    }

    /// Who was heard of since it comes, as it is kept.
    pub fn audience(&self) -> &Audience {
        &self.record.agents
    }

    /// Why an overlap would not outlive a restart, where it would not.
    pub fn unkept(&self) -> Option<&str> {
        self.unkept.as_deref()
    }

    /// Whether the one that signs was made just now.
    pub fn is_new(&self) -> bool {
        self.signing.is_new()
    }

    /// Whether the operator gives the CA.
    pub fn is_given(&self) -> bool {
        matches!(self.origin, Origin::Given(_))
    }

    /// Whether an appliance may start: the one that signs lasts, or the one that comes takes its place.
    ///
    /// # Errors
    /// As [`CertificateAuthority::check_usable`].
    pub fn check_usable(&self, now: SystemTime) -> Result<(), CaError> {
        let signing = self.signing.check_usable(now);
        match (&self.next, signing) {
            (Some(next), Err(CaError::Ending { .. })) => next.check_usable(now),
            (_, signing) => signing,
        }
    }

    /// The folder that is read and written while the appliance runs.
    pub fn folder(&self) -> Option<&Path> {
        self.store.as_ref().map(Store::folder)
    }

    /// The operator's files.
    pub fn files(&self) -> Option<[&Path; 2]> {
        match &self.origin {
            Origin::Given(given) => Some([&given.certificate_file, &given.key_file]),
            Origin::Made(_) => None,
        }
    }

    /// The key of the one that signs.
    pub fn key_file(&self) -> Option<PathBuf> {
        match (&self.origin, &self.store) {
            (Origin::Given(given), _) => Some(given.key_file.clone()),
            (Origin::Made(_), Some(store)) => Some(store.key_file(&self.record.signing.id)),
            (Origin::Made(_), None) => None,
        }
    }

    /// Takes over what another process wrote; an operator's CA that comes with it has to pass `vet`, as that process may know
    /// nothing of what is trusted here.
    fn adopt(
        &mut self,
        store: &Store,
        vet: impl Fn(&CertificateAuthority) -> Result<(), CaError>,
    ) -> Result<(), CaError> {
        let Some(mut record) = store.record()? else { return Ok(()) };
        record.remember(&self.record);
        if record == self.record {
            return Ok(());
        }
        let held = |id: &str| {
            let known = [(&self.record.signing.id, &self.signing)].into_iter();
            let next = self.record.next.as_ref().map(|next| &next.entry.id).zip(self.next.as_ref());
            known.chain(next).find(|(known, _)| *known == id).map(|(_, authority)| Arc::clone(authority))
        };
        let authority = |id: &str| held(id).map_or_else(|| store.authority(id).map(Arc::new), Ok);
        let signing = authority(&record.signing.id)?;
        let next = record.next.as_ref().map(|next| authority(&next.entry.id)).transpose()?;
        let is_given = record.next.as_ref().is_some_and(|next| next.entry.given);
        next.iter().filter(|_| is_given).try_for_each(|next| vet(next))?;
        let past = record.past.iter().map(|past| store.anchor(&past.entry.id)).collect::<Result<_, _>>()?;
        (self.signing, self.next, self.past, self.record) = (signing, next, past, record);
        Ok(())
    }

    fn look_again(
        &mut self,
        now: SystemTime,
        terms: Terms,
        vet: impl Fn(&CertificateAuthority) -> Result<(), CaError>,
    ) -> Result<(), CaError> {
        if let Some(store) = self.store.clone() {
            self.adopt(&store, &vet)?;
        }
        let Origin::Given(given) = &mut self.origin else { return Ok(()) };
        let Some(pair) = given.read_again()? else { return Ok(()) };
        let vetted = pair.authority.check_usable(now).and_then(|()| vet(&pair.authority));
        if let Err(error) = vetted {
            // It is looked at again: it may become usable, or what is wrong with it may.
            given.certificate_pem.clear();
            return Err(error);
        }
        self.offer(pair, terms, now).map_err(|unkept| {
            let (pair, error) = *unkept;
            if let Origin::Given(given) = &mut self.origin {
                given.pair = Some(Box::new(pair));
            }
            error
        })
    }

    /// The operator's CA: nothing new, or one that comes.
    fn offer(&mut self, pair: Pair, terms: Terms, now: SystemTime) -> Result<(), Box<(Pair, CaError)>> {
        let id = pair.authority.id();
        let (signs, comes) = (self.signing.id() == id, self.coming().is_some_and(|next| next == id));
        let mut record = self.record.clone();
        if signs {
            // Put back before another took its place.
            record.withdraw(leaf_life(), seconds(now));
        } else if !comes {
            record.begin(Entry { id: id.clone(), given: true }, terms, leaf_life(), seconds(now));
        }
        let kept = self.store.as_ref().map_or(Ok(()), |store| {
            let locked = store.lock()?;
            locked.put(&self.name_of(&id), &pair.authority.certificate_pem(), &pair.key_pem)?;
            locked.write(&record)?;
            locked.clean(&record)
        });
        if let Err(error) = kept {
            return Err(Box::new((pair, error)));
        }
        let authority = Arc::new(pair.authority);
        let before = self.next.take();
        if signs {
            self.signing = authority;
        } else {
            self.next = Some(authority);
        }
        self.keep_past(before, &record);
        self.record = record;
        Ok(())
    }

    /// The operator's CA that comes is the operator's no more.
    fn withdraw(&mut self, store: &Store, now: SystemTime) -> Result<(), CaError> {
        let locked = store.lock()?;
        let mut record = self.record.clone();
        record.withdraw(leaf_life(), seconds(now));
        locked.write(&record)?;
        locked.clean(&record)?;
        let before = self.next.take();
        self.keep_past(before, &record);
        self.record = record;
        Ok(())
    }

    /// Has the anchors of those that have been as the record has them, where one that came may be among them now.
    fn keep_past(&mut self, before: Option<Arc<CertificateAuthority>>, record: &Record) {
        let mut held: Vec<Anchor> = before.map(|before| before.anchor()).into_iter().collect();
        held.append(&mut self.past);
        let of = |id: &str| held.iter().find(|one| one.id() == id).cloned();
        self.past = record.past.iter().filter_map(|past| of(&past.entry.id)).collect();
    }

    fn due(&self, at: u64) -> Option<Due> {
        self.record.due(at, self.opened, |id| self.end_of(id))
    }

    fn make_due(
        &mut self,
        due: Due,
        at: u64,
        vet: impl Fn(&CertificateAuthority) -> Result<(), CaError>,
    ) -> Result<(), CaError> {
        let store = self.store.clone();
        let locked = store.as_ref().map(Store::lock).transpose()?;
        if let Some(store) = &store {
            self.adopt(store, vet)?;
            if self.due(at) != Some(due) {
                return Ok(());
            }
        }
        let mut record = self.record.clone();
        match due {
            Due::Promote => record.promote(leaf_life(), at),
            Due::Retire => record.retire(at, |id| self.end_of(id)),
        }
        if let Some(locked) = &locked {
            locked.write(&record)?;
        }
        if let (Due::Promote, Some(next)) = (due, self.next.take()) {
            let before = std::mem::replace(&mut self.signing, next);
            self.past.insert(0, before.anchor());
            self.past.truncate(record.past.len());
        }
        if due == Due::Retire {
            let stays = |entry: &Entry| record.past.iter().any(|past| past.entry == *entry);
            let mut all = self.record.past.iter().map(|past| stays(&past.entry));
            self.past.retain(|_| all.next().unwrap_or(true));
        }
        self.record = record;
        // Only now: what is removed is needed by nobody, whatever happens from here on.
        locked.as_ref().map_or(Ok(()), |locked| locked.clean(&self.record))
    }

    /// When the certificate of an entry is over.
    fn end_of(&self, id: &str) -> Option<u64> {
        if self.record.signing.id == id {
            return Some(seconds(self.signing.not_after()));
        }
        let past = self.record.past.iter().zip(&self.past).find(|(past, _)| past.entry.id == id);
        past.map(|(_, anchor)| seconds(anchor.not_after()))
    }

    /// The name of the files of a CA: the first one's have none.
    fn name_of(&self, id: &str) -> String {
        if self.signing.id() == id { self.record.signing.id.clone() } else { id.to_owned() }
    }

    fn role_of(&self, id: &str) -> Option<Role> {
        self.anchors().into_iter().find(|(_, anchor)| anchor.id() == id).map(|(role, _)| role)
    }
}

/// What is worth a write: who came or left, who was seen, and once an hour that somebody came again.
fn news(agents: &Audience) -> impl Iterator<Item = (&str, IpAddr, bool, u64)> {
    agents.iter().flat_map(|(name, all)| {
        all.iter().map(move |(address, heard)| (name.as_str(), *address, heard.seen.is_some(), heard.heard / HOUR))
    })
}

/// No leaf is good for longer than this.
fn leaf_life() -> Duration {
    crate::minter::LONGEST_LEAF
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests;
