//! The store as the rest of the escrow sees it: logins go in and come out, and what lies there is sealed.
//!
//! It remembers the highest revision of each login that this process has seen, so that a state of before that was put back
//! is refused and not used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::login::Login;
use super::seal::{Place, SealingKey};
use super::store::{Row, Store, StoreError};

/// Sealed logins.
pub(crate) struct Shelf {
    pub(crate) store: Arc<dyn Store>,
    key: SealingKey,
    seen: Mutex<HashMap<String, u64>>,
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
        let Some(row) = self.store.read(name).await? else { return Ok(None) };
        let place = Place { name, revision: row.revision, generation: row.generation };
        let state = self.key.open(place, &row.sealed).ok_or_else(|| StoreError::Sealed(name.into()))?;
        let login = Login::decode(&state).ok_or_else(|| StoreError::Sealed(name.into()))?;
        self.saw(name, row.revision)?;
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
        self.saw(name, revision)?;
        Ok(Some(revision))
    }

    fn saw(&self, name: &str, revision: u64) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.entry(name.to_owned()).or_insert(revision);
        if revision < *last {
            return Err(StoreError::RolledBack(name.into()));
        }
        *last = revision;
        Ok(())
    }
}
