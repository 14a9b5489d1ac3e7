//! How a life begins: with a CA that is made or the operator's, or as it is on a disk, for whoever only looks.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use super::given::{Given, Origin};
use super::record::{Entry, Record, Terms};
use super::store::Store;
use super::{Life, seconds};
use crate::authority::store::Pair;
use crate::constraints::Subtrees;
use crate::{CaError, CertificateAuthority};

impl Life {
    /// The CAs of an appliance that starts. A CA of the operator's that is not the one of before begins an overlap with it; so does
    /// a first own one after the operator's.
    ///
    /// # Errors
    /// Where the one that signs, or what the state folder says, can't be used. What can't be *kept* of the operator's is no
    /// error: see [`Life::unkept`].
    pub fn open(state_dir: &Path, origin: Origin, terms: Terms, now: SystemTime) -> Result<Self, CaError> {
        let store = Store::new(state_dir);
        let life = match origin {
            Origin::Made(subtrees) => Self::open_made(state_dir, store, subtrees, terms, now),
            Origin::Given(mut given) => {
                let Some(pair) = given.pair.take() else { return Err(CaError::Certificate) };
                pair.authority.check_usable(now)?;
                match Self::open_kept(store, *pair, terms, now) {
                    Ok(life) => Ok(Life { origin: Origin::Given(given), ..life }),
                    Err(unkept) => {
                        let (pair, error) = *unkept;
                        let entry = Entry { id: pair.authority.id(), given: true };
                        let mut life = Self::of(Origin::Given(given), None, entry, pair.authority);
                        life.unkept = Some(error.to_string());
                        Ok(life)
                    }
                }
            }
        };
        life.map(|life| Life { opened: seconds(now), ..life })
    }

    /// What is there, without making, moving or removing anything: for whoever looks on beside an appliance. `given` is the
    /// operator's, where there is one.
    ///
    /// # Errors
    /// Where there is none, or it can't be used.
    pub fn look(state_dir: &Path, given: Option<Given>) -> Result<Self, CaError> {
        let store = Store::beside(state_dir);
        let Some(mut given) = given else {
            return match store.record()? {
                Some(record) => Self::load(Origin::Made(Subtrees::default()), store, record),
                None => {
                    let first = store.authority("")?;
                    Ok(Self::of(Origin::Made(Subtrees::default()), Some(store), Entry::first(), first))
                }
            };
        };
        let kept = store.record().ok().flatten();
        let kept = kept.and_then(|record| Self::load(Origin::Made(Subtrees::default()), store, record).ok());
        let Some(pair) = given.pair.take().map(|pair| *pair) else { return Err(CaError::Certificate) };
        let id = pair.authority.id();
        Ok(match kept {
            // What an appliance knows of it. One that it has not noticed yet is none of its CAs.
            Some(life) if life.role_of(&id).is_some() => Life { origin: Origin::Given(given), ..life },
            _ => Self::of(Origin::Given(given), None, Entry { id, given: true }, pair.authority),
        })
    }

    /// Whether a CA was made or kept in a state folder, or a part of one.
    pub fn is_there(state_dir: &Path) -> bool {
        let store = Store::new(state_dir);
        store.has_record() || store.has_first()
    }

    /// Whose the CA of a state folder is, for root beside an appliance: its keys may be this user's. `None` for who is not root.
    pub fn owner(state_dir: &Path) -> Option<u32> {
        Store::new(state_dir).owner()
    }

    fn open_made(
        state_dir: &Path,
        store: Store,
        subtrees: Subtrees,
        terms: Terms,
        now: SystemTime,
    ) -> Result<Self, CaError> {
        let record = match store.is_made() {
            // Nobody else is in the middle of a change.
            true => {
                let locked = store.lock()?;
                let record = store.record()?;
                if record.is_none() {
                    store.check_lost()?;
                }
                // Without a record only the first one is there, or none: the rest is what a killed process left.
                locked.clean(record.as_ref().unwrap_or(&Record::of(Entry::first())))?;
                record
            }
            false => None,
        };
        let Some(record) = record else {
            let first = CertificateAuthority::load_or_create_within(state_dir, &subtrees, now)?;
            return Ok(Self::of(Origin::Made(subtrees), Some(store), Entry::first(), first));
        };
        let mut life = Self::load(Origin::Made(subtrees.clone()), store.clone(), record)?;
        if life.record.next.as_ref().is_some_and(|next| next.entry.given) {
            life.withdraw(&store, now)?;
        }
        if life.record.signing.given && life.next.is_none() {
            life.rotate(&subtrees, terms, now)?;
        }
        Ok(life)
    }

    /// With the state folder; the pair is given back where that can't be used.
    fn open_kept(store: Store, pair: Pair, terms: Terms, now: SystemTime) -> Result<Self, Box<(Pair, CaError)>> {
        // Its origin is put in by the caller, who has the files.
        let origin = || Origin::Made(Subtrees::default());
        let prepared = (|| {
            store.make_folder()?;
            let locked = store.lock()?;
            let life = match store.record()? {
                Some(record) => Some(Self::load(origin(), store.clone(), record)?),
                None if store.has_first() => {
                    let first = store.authority("")?;
                    Some(Self::of(origin(), Some(store.clone()), Entry::first(), first))
                }
                None => None,
            };
            let record = match &life {
                Some(life) => life.record.clone(),
                None => {
                    let entry = Entry { id: pair.authority.id(), given: true };
                    locked.put(&entry.id, &pair.authority.certificate_pem(), &pair.key_pem)?;
                    Record::of(entry)
                }
            };
            locked.write(&record)?;
            locked.clean(&record)?;
            Ok::<_, CaError>(life)
        })();
        match prepared {
            Err(error) => Err(Box::new((pair, error))),
            Ok(None) => {
                let entry = Entry { id: pair.authority.id(), given: true };
                Ok(Self::of(origin(), Some(store), entry, pair.authority))
            }
            Ok(Some(mut life)) => life.offer(pair, terms, now).map(|()| life),
        }
    }

    pub(super) fn of(origin: Origin, store: Option<Store>, entry: Entry, signing: CertificateAuthority) -> Self {
        let record = Record::of(entry);
        let signing = Arc::new(signing);
        Self { origin, store, unkept: None, opened: 0, record, signing, next: None, past: Vec::new() }
    }

    pub(super) fn load(origin: Origin, store: Store, record: Record) -> Result<Self, CaError> {
        let signing = store.authority(&record.signing.id)?;
        let next = record.next.as_ref().map(|next| store.authority(&next.entry.id).map(Arc::new)).transpose()?;
        let past = record.past.iter().map(|past| store.anchor(&past.entry.id)).collect::<Result<_, _>>()?;
        let (store, signing) = (Some(store), Arc::new(signing));
        Ok(Self { origin, store, unkept: None, opened: 0, record, signing, next, past })
    }
}
