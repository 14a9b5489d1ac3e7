//! The store as the rest of the escrow sees it: logins go in and come out, and what lies there is sealed.
//!
//! It remembers the highest revision of each login that this process has seen, and when its pair of tokens was had, so that
//! a state of before that was put back is refused and not used. A pair that was had later is none of those, whatever its
//! number: it is what a person's new login makes of a database that was put back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::login::Login;
use super::seal::{Place, SealingKey};
use super::store::{Row, Store, StoreError};

/// Sealed logins.
pub(crate) struct Shelf {
    pub(crate) store: Arc<dyn Store>,
    key: SealingKey,
    seen: Mutex<HashMap<String, (u64, SystemTime)>>,
}

/// A login and the number of the write that put it there.
#[derive(Clone)]
pub(crate) struct Shelved {
    pub(crate) login: Login,
    pub(crate) revision: u64,
}

impl Shelf {
    pub(crate) fn new(store: Arc<dyn Store>, key: SealingKey) -> Self {
        Self { store, key, seen: Mutex::default() }
    }

    /// A login, if there is one.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Shelved>, StoreError> {
        match self.read_once(name).await {
            // What was read may have been overtaken by a write on its way here.
            Err(StoreError::RolledBack(_)) => self.read_once(name).await,
            done => done,
        }
    }

    async fn read_once(&self, name: &str) -> Result<Option<Shelved>, StoreError> {
        let Some(row) = self.store.read(name).await? else { return Ok(None) };
        let place = Place { name, revision: row.revision, generation: row.generation };
        let state = self.key.open(place, &row.sealed).ok_or_else(|| StoreError::Sealed(name.into()))?;
        let login = Login::decode(&state).ok_or_else(|| StoreError::Sealed(name.into()))?;
        if !self.is_news(name, row.revision, login.obtained) {
            return Err(StoreError::RolledBack(name.into()));
        }
        Ok(Some(Shelved { login, revision: row.revision }))
    }

    /// Puts a login in place of revision `before` (0: of none). None where another one lies there; else its revision, and
    /// then it is durable.
    pub(crate) async fn write(&self, name: &str, login: &Login, before: u64) -> Result<Option<u64>, StoreError> {
        let revision = before + 1;
        let place = Place { name, revision, generation: login.generation };
        let sealed = self.key.seal(place, login.encode()).ok_or(StoreError::NoSeal)?;
        let row = Row { revision, generation: login.generation, sealed };
        if !self.store.write(name, &row).await? {
            return Ok(None);
        }
        self.is_news(name, revision, login.obtained);
        Ok(Some(revision))
    }

    /// Whether a state is not older than the newest that was seen; it is that one from now on.
    fn is_news(&self, name: &str, revision: u64, obtained: SystemTime) -> bool {
        let mut seen = self.seen();
        let last = seen.entry(name.to_owned()).or_insert((revision, obtained));
        if revision < last.0 && obtained <= last.1 {
            return false;
        }
        *last = (revision, obtained);
        true
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, (u64, SystemTime)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
