//! Escrow of OAuth logins: stubgate alone holds a login's refresh token, and agents use its access token by a stub.
//!
//! A login is put here once by a person (`stubgate login`) and lives here: refreshed ahead of its end, by one holder at a
//! time, with every step durable before the next, so that an end of the process at any moment loses no token that it could
//! have kept. What can't be kept (an answer of a provider that was never received, of a token that is good for one use) is
//! known, and said with what mends it. docs/escrow.md has the steps and what each failure leads to.
//!
//! It refuses to give a refresh token to anybody but the provider, and to use a pair that is not durable yet (laws 4 and 5).

mod consent;
#[cfg(test)]
mod crash;
mod deposit;
#[cfg(test)]
mod double;
mod exchange;
mod failpoint;
mod holder;
mod key;
mod login;
#[cfg(test)]
mod postgres_server;
mod seal;
mod shelf;
mod status;
mod store;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use stubgate_policy::secret_source::{Oauth, OauthProvider};
use tokio::sync::watch;

pub use consent::{Consent, Device, LoginError};
pub use deposit::{DepositError, Granted};
pub use failpoint::Step;
pub use key::{KeyError, KeySource, Keyed};
pub use seal::SealingKey;
pub use status::{Standing, Status, Unready};
pub use store::StoreError;
pub use store::postgres::{Database, Dial, Dialling, PostgresPlace, system_dial};

use crate::fetch::{Fetch, Fetched, HttpClient};
use holder::{Clock, Holder, Source};
use shelf::Shelf;
use store::Store;
use store::postgres::Postgres;
use store::sqlite::Sqlite;

/// How often the store is looked at for what others wrote, and logins for what is due.
const LOOK: Duration = Duration::from_millis(500);

/// Every login that is kept.
pub struct Escrow {
    shelf: Arc<Shelf>,
    clock: Clock,
    holders: Mutex<HashMap<Box<str>, Arc<Holder>>>,
    changes: watch::Sender<u64>,
}

/// Where logins are kept.
#[derive(Clone, Default)]
pub enum StorePlace {
    /// In the state folder of one machine.
    #[default]
    Sqlite,
    /// In a database that several replicas share.
    Postgres(PostgresPlace),
}

/// The folder below the state folder in which the escrow writes.
pub fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join(store::sqlite::FOLDER)
}

impl Escrow {
    /// Opens the store, blocking: the one of this machine, before the process is locked down and before there are threads.
    /// A database is connected to when it is first asked.
    ///
    /// # Errors
    /// Where it can't be used.
    pub fn open(place: &StorePlace, key: SealingKey, state_dir: &Path) -> Result<Self, StoreError> {
        let store: Arc<dyn Store> = match place {
            StorePlace::Sqlite => Arc::new(Sqlite::open(state_dir)?),
            StorePlace::Postgres(place) => Arc::new(Postgres::new(place.clone())),
        };
        Ok(Self::over(store, key, Arc::new(SystemTime::now)))
    }

    fn over(store: Arc<dyn Store>, key: SealingKey, clock: Clock) -> Self {
        Self {
            shelf: Arc::new(Shelf::new(store, key)),
            clock,
            holders: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// The access token of a login, as a source. Sources of one login share its holder; the provider is as it is
    /// described last.
    pub fn source(&self, oauth: &Oauth, http: &Arc<dyn HttpClient>) -> Arc<dyn Fetch> {
        Arc::new(Source(self.holder(&oauth.login, &oauth.provider, http)))
    }

    /// The access token of a login as it stands, for a look at it: nothing is refreshed.
    ///
    /// # Errors
    /// Where there is none that is good.
    pub async fn standing(&self, oauth: &Oauth, http: &Arc<dyn HttpClient>) -> Result<Fetched, Unready> {
        self.holder(&oauth.login, &oauth.provider, http).as_it_stands().await
    }

    fn holder(&self, login: &str, provider: &OauthProvider, http: &Arc<dyn HttpClient>) -> Arc<Holder> {
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(holder) = holders.get(login) {
            holder.set_named(true);
            holder.describe(provider);
            return Arc::clone(holder);
        }
        let (shelf, clock) = (Arc::clone(&self.shelf), Arc::clone(&self.clock));
        let made = Holder::new(login, provider, Arc::clone(http), shelf, clock, self.changes.clone());
        let holder = Arc::new(made);
        holders.insert(login.into(), Arc::clone(&holder));
        holder
    }

    /// What no credential of the policy names any more is not refreshed from now on, and let go of once nothing of it is
    /// under way.
    pub fn keep(&self, logins: &HashSet<&str>) {
        for holder in self.all() {
            holder.set_named(logins.contains(holder.name()));
        }
    }

    fn all(&self) -> Vec<Arc<Holder>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Counts each time that a login has another pair of tokens, so that whoever keeps its value asks for it again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// How a login stands, as far as this process knows; none where no credential names it.
    pub fn status(&self, login: &str) -> Option<Status> {
        let holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.get(login).map(|holder| holder.status())
    }

    /// Sees to all logins for as long as it is polled: refreshes them in time, and takes what others stored.
    pub async fn run(&self) {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            self.tend().await;
        }
    }

    /// One look at all logins.
    async fn tend(&self) {
        let is_wanted = |holder: &Holder| holder.is_named() || holder.is_occupied();
        self.holders.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, holder| is_wanted(holder));
        let holders = self.all();
        if holders.is_empty() {
            return;
        }
        // Where the store is out of reach, what is known stays in use, and refreshing says so.
        if let Ok(revisions) = self.shelf.store.revisions().await {
            let revisions: HashMap<String, u64> = revisions.into_iter().collect();
            for holder in &holders {
                if revisions.get(holder.name()).copied().unwrap_or(0) != holder.revision() {
                    let _ = holder.look().await;
                }
            }
        }
        for holder in holders.into_iter().filter(|holder| holder.is_due() && !holder.is_in_flight()) {
            tokio::spawn(async move { holder.refresh().await });
        }
    }

    /// For the end of the process: lets no refresh begin, and waits until none is under way and every pair is stored.
    pub async fn settle(&self) {
        let mut settling = tokio::task::JoinSet::new();
        for holder in self.all() {
            settling.spawn(async move { holder.settle().await });
        }
        while settling.join_next().await.is_some() {}
    }
}
