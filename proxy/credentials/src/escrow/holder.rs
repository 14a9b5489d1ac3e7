//! Who holds a login: gives its access token, and refreshes it in time.
//!
//! A refresh token may be good for one use, so that everything here is about its only use being seen to the end. One
//! refresh at a time in this process, and one among all that share the store. Before the request leaves, an attempt is
//! durable; the answer's pair is durable before anybody uses it; and a refresh that has begun is not given up because
//! whoever waited for it went away. While anything fails, an access token that is still good stays in use.
//!
//! What a lost answer means: the provider may have used the refresh token up, or not. The same token is sent once more at
//! once, then with growing pauses, because nothing else can be done with it. Where the provider then says
//! `invalid_grant`, and nobody has stored a newer pair meanwhile, the login is lost, which is written down and said with
//! the command that mends it.

mod turn;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use stubgate_policy::secret_source::OauthProvider;
use tokio::sync::watch;
use tokio::time::Instant;

use super::login::Login;
use super::shelf::{Shelf, Shelved};
use super::status::{Standing, Status, Unready};
use super::store::{Lease, StoreError};
use crate::fetch::{Fetch, Fetched, Fetching, HttpClient};
use crate::secret::Secret;
use crate::sources::SourceError;

/// How long a caller waits for a refresh while the token of now is good.
const WAIT: Duration = Duration::from_secs(4);
/// The first pause after a failure; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause while the access token is good, and while there is none.
const PAUSES: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(30));

/// The longest pause where the store is out of reach: a pair may be waiting to be stored.
const AGAIN: Duration = Duration::from_secs(3);
/// How long somebody else may be at it before that is an error to be said: no refresh takes as long.
const OTHERS: Duration = Duration::from_secs(60);
/// Between two tries to store a pair at the end of the process.
const LAST_TRIES: Duration = Duration::from_millis(250);

/// What time it is.
pub(crate) type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// One login.
pub(crate) struct Holder {
    name: Box<str>,
    provider: Mutex<Arc<OauthProvider>>,
    http: Arc<dyn HttpClient>,
    shelf: Arc<Shelf>,
    clock: Clock,
    /// Between 0 and 1, so that several replicas are not all early at once.
    early: f64,
    flight: tokio::sync::Mutex<()>,
    /// No turn begins any more.
    is_ending: AtomicBool,
    /// Whether a credential of the policy in force names it.
    is_named: AtomicBool,
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
}

/// What this process knows of it.
#[derive(Default)]
struct Known {
    shelved: Option<Shelved>,
    /// Whether the store has been read.
    is_read: bool,
    /// A pair that the provider gave and the store has not taken yet.
    unstored: Option<Login>,
    /// The lead under which it was had. Until the pair is stored nobody else may refresh: they would send the refresh token
    /// that it replaces.
    lease: Option<Lease>,
    /// The attempt that this process made last.
    own_attempt: Option<[u8; 16]>,
    /// An attempt of another holder, and when it was first seen to stand there without its holder.
    orphan: Option<([u8; 16], Instant)>,
    /// Since when somebody else is at it.
    others_since: Option<Instant>,
    error: Option<String>,
    failures: u32,
    not_before: Option<SystemTime>,
    refreshes: u64,
    /// The pair whose access token an origin refused: it is refreshed ahead of its time.
    refused: Option<(u64, SystemTime)>,
}

impl Holder {
    pub(crate) fn new(
        name: &str,
        provider: &OauthProvider,
        http: Arc<dyn HttpClient>,
        shelf: Arc<Shelf>,
        clock: Clock,
        changes: watch::Sender<u64>,
    ) -> Self {
        let mut random = [0; 4];
        // Without it all are early alike.
        let _ = aws_lc_rs::rand::fill(&mut random);
        Self {
            name: name.into(),
            provider: Mutex::new(Arc::new(provider.clone())),
            http,
            shelf,
            clock,
            early: f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX),
            flight: tokio::sync::Mutex::default(),
            is_ending: AtomicBool::new(false),
            is_named: AtomicBool::new(true),
            known: Mutex::default(),
            changes,
        }
    }

    /// The provider as a policy describes it now.
    pub(crate) fn describe(&self, provider: &OauthProvider) {
        let mut held = self.provider.lock().unwrap_or_else(PoisonError::into_inner);
        if **held == *provider {
            return;
        }
        *held = Arc::new(provider.clone());
        // Whoever knows something asks for the provider, so that nothing is asked of it in here.
        drop(held);
        self.known().not_before = None;
    }

    fn provider(&self) -> Arc<OauthProvider> {
        Arc::clone(&self.provider.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn set_named(&self, is_named: bool) {
        self.is_named.store(is_named, Ordering::Release);
    }

    pub(crate) fn is_named(&self) -> bool {
        self.is_named.load(Ordering::Acquire)
    }

    /// Whether a turn is under way.
    pub(crate) fn is_in_flight(&self) -> bool {
        self.flight.try_lock().is_err()
    }

    /// Whether something of it is still to be seen to: a turn, or a pair that is not stored yet.
    pub(crate) fn is_occupied(&self) -> bool {
        self.is_in_flight() || self.known().unstored.is_some()
    }

    /// The revision that is known, 0 where none is.
    pub(crate) fn revision(&self) -> u64 {
        self.known().shelved.as_ref().map_or(0, |shelved| shelved.revision)
    }

    /// Reads what the store holds now.
    pub(crate) async fn look(&self) -> Result<Option<Shelved>, StoreError> {
        let found = self.shelf.read(&self.name).await?;
        self.saw(found.clone());
        Ok(found)
    }

    fn saw(&self, found: Option<Shelved>) {
        let pair = |of: &Option<Shelved>| of.as_ref().map(|shelved| shelved.login.pair());
        let mut known = self.known();
        let is_other = known.is_read && pair(&known.shelved) != pair(&found);
        if is_other {
            (known.error, known.failures, known.not_before, known.orphan) = (None, 0, None, None);
            known.others_since = None;
        }
        known.is_read = true;
        known.shelved = found;
        drop(known);
        if is_other {
            self.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Whether it is time to refresh it, as far as is known.
    pub(crate) fn is_due(&self) -> bool {
        let now = (self.clock)();
        let known = self.known();
        let may = known.not_before.is_none_or(|time| time <= now);
        may && (known.unstored.is_some()
            || known.shelved.as_ref().is_some_and(|shelved| self.wants(&shelved.login, &known, now)))
    }

    /// Whether a refresh of this state makes sense now.
    fn wants(&self, login: &Login, known: &Known, now: SystemTime) -> bool {
        let is_due = login.is_due(self.early, now) || known.is_refused(login);
        self.is_named() && login.lost.is_none() && login.refresh.is_some() && is_due && self.alien(login).is_none()
    }

    /// An origin refused this access token. Where it is still that of the pair, the pair is refreshed ahead of its time, once:
    /// the next one is another.
    fn refused(&self, token: &Secret) {
        let mut known = self.known();
        let pair = known.shelved.as_ref().map(|shelved| &shelved.login);
        known.refused = pair.filter(|login| login.access.is_same(token)).map(Login::pair).or(known.refused);
    }

    /// Why nothing of this login may be used here: another provider gave it than the one that the policy names.
    fn alien(&self, login: &Login) -> Option<String> {
        let provider = self.provider();
        (login.provider != provider.name).then(|| {
            format!(
                "the login {} in escrow is one of {}, and the policy uses it for {}: name another login there, \
                 or log in again: stubgate login {} --name {}",
                self.name, login.provider, provider.name, provider.name, self.name
            )
        })
    }

    /// Refreshes it where it is due, to the end, whether or not anybody waits for that.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<(), Unready> {
        let holder = Arc::clone(self);
        let task = tokio::spawn(async move { holder.take_turn().await });
        task.await.unwrap_or_else(|_| Err(Unready("the refresh was cut off as the process ends".into())))
    }

    /// For the end of the process: no refresh begins any more, the one that is under way is waited for, and a pair that it
    /// had is stored, however long that takes.
    pub(crate) async fn settle(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
        loop {
            let flight = self.flight.lock().await;
            let Some(login) = self.known().unstored.clone() else { return };
            if self.put(login).await.is_ok() {
                return;
            }
            drop(flight);
            tokio::time::sleep(LAST_TRIES).await;
        }
    }

    fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::SeqCst)
    }

    /// Its token, where the store has one that is good; it is not refreshed, however due that is.
    pub(crate) async fn as_it_stands(&self) -> Result<Fetched, Unready> {
        match tokio::time::timeout(WAIT, self.look()).await {
            Ok(Ok(_)) => self.good().ok_or_else(|| self.unready()),
            Ok(Err(error)) => Err(Unready(error.to_string())),
            Err(_) => Err(Unready("the store of logins gives no answer".into())),
        }
    }

    async fn value(self: &Arc<Self>) -> Result<Fetched, Unready> {
        let looked = match tokio::time::timeout(WAIT, self.look()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Unready(error.to_string())),
            Err(_) => Err(Unready("the store of logins gives no answer".into())),
        };
        if let (Err(error), None) = (&looked, self.good()) {
            return Err(error.clone());
        }
        if !self.is_due() {
            return self.good().ok_or_else(|| self.unready());
        }
        match self.good() {
            Some(_) => {
                // What it fails with is in the log and in the status.
                let _ = tokio::time::timeout(WAIT, self.refresh()).await;
            }
            None => {
                if let Err(error) = self.refresh().await
                    && self.status().advice.is_none()
                {
                    return Err(error);
                }
            }
        }
        self.good().ok_or_else(|| self.unready())
    }

    /// The token that is known, where it is good.
    fn good(&self) -> Option<Fetched> {
        let now = (self.clock)();
        let known = self.known();
        let login = &known.shelved.as_ref()?.login;
        if self.alien(login).is_some() {
            return None;
        }
        let secret = Secret::copy_of(&login.access);
        login.is_good(now).then_some(Fetched { secret, expires: login.sent_until() })
    }

    fn unready(&self) -> Unready {
        let status = self.status();
        let why = status.advice.or(status.last_error);
        Unready(why.unwrap_or_else(|| format!("the login is {}", status.standing.as_str())))
    }

    /// How it stands, as far as is known.
    pub(crate) fn status(&self) -> Status {
        let now = (self.clock)();
        let known = self.known();
        let login = known.shelved.as_ref().map(|shelved| &shelved.login);
        let again = format!("log in again: stubgate login {} --name {}", self.provider().name, self.name);
        let (standing, advice) = match login {
            None if !known.is_read => (Standing::Unknown, None),
            None => {
                let first =
                    format!("nobody has logged in yet: stubgate login {} --name {}", self.provider().name, self.name);
                (Standing::Missing, Some(first))
            }
            Some(login) if self.alien(login).is_some() => (Standing::Missing, self.alien(login)),
            Some(Login { lost: Some(lost), .. }) => {
                let why = if lost.unanswered_since.is_some() {
                    "the provider takes the refresh token no more: an answer that held the next one was lost"
                } else {
                    "the provider takes the refresh token no more: it was revoked, has ended, or another holder used it"
                };
                (Standing::Lost, Some(format!("{why}; {again}")))
            }
            Some(login) if login.refresh.is_none() && login.is_due(self.early, now) => {
                (Standing::Lost, Some(format!("there is no refresh token; {again}")))
            }
            Some(login) if !login.is_good(now) => (Standing::Ended, None),
            Some(_) if known.error.is_some() => (Standing::Failing, None),
            Some(_) => (Standing::Ok, None),
        };
        Status {
            login: self.name.clone(),
            standing,
            expires: login.and_then(|login| login.ends),
            refresh_ends: login.and_then(|login| login.refresh_ends),
            generation: login.map_or(0, |login| login.generation),
            refreshes: known.refreshes,
            obtained: login.map(|login| login.obtained),
            last_error: known.error.clone(),
            advice,
        }
    }
}

/// The access token of a login in escrow, as a source of a credential.
pub(crate) struct Source(pub(crate) Arc<Holder>);

impl Fetch for Source {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async move { self.0.value().await.map_err(|unready| SourceError::Other(unready.to_string())) })
    }

    fn fetch_but(&self, refused: &Secret) -> Fetching<'_> {
        self.0.refused(refused);
        self.fetch()
    }
}

#[cfg(test)]
mod tests;
