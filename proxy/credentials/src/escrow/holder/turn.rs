//! One turn of refreshing: the steps in their order, each durable before the next.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::super::exchange::{Tokens, Verdict, ask, client_secret, judge};
use super::super::failpoint::{Step, pass};
use super::super::login::{Attempt, Login, Lost};
use super::super::shelf::Shelved;
use super::super::status::Unready;
use super::super::store::{Lease, StoreError};
use super::{AGAIN, Holder, Known, OTHERS, PAUSE, PAUSES};
use crate::fetch::Unanswered;

/// How often a pair is put over what others wrote meanwhile before the next turn goes on with it.
const TRIES: u32 = 3;

/// Why a turn came to nothing.
pub(super) struct Failed {
    why: String,
    next: Next,
}

/// When the next turn is.
enum Next {
    /// After a pause that grows, and not before that.
    Pause(Option<Duration>),
    /// After a pause that grows to a few seconds and no longer: nobody else is kept from work by our asking.
    Again,
    /// Soon: somebody else is at it.
    Soon,
    /// Never, until a person did something.
    Never,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Failed { why: error.to_string(), next: Next::Again }
    }
}

impl Failed {
    fn soon(why: &str) -> Self {
        Failed { why: why.into(), next: Next::Soon }
    }
}

impl Holder {
    pub(super) async fn take_turn(&self) -> Result<(), Unready> {
        let _flight = self.flight.lock().await;
        if self.is_ending() {
            return Err(Unready("the process is ending".into()));
        }
        let now = (self.clock)();
        let last = self.known().error.clone();
        // Many may have waited for one turn that failed; they do not each make another.
        if let (Some(error), false) = (last, self.is_due()) {
            return Err(Unready(error));
        }
        let failed = match self.turn().await {
            Ok(()) => {
                let mut known = self.known();
                (known.error, known.failures, known.not_before, known.others_since) = (None, 0, None, None);
                return Ok(());
            }
            Err(failed) => failed,
        };
        let failed = self.known().not_for_ever(failed);
        let mut known = self.known();
        let is_good = known.shelved.as_ref().is_some_and(|shelved| shelved.login.is_good(now));
        match failed.next {
            Next::Soon => {}
            Next::Never => known.not_before = None,
            Next::Again => {
                let pause = known.pause(AGAIN).mul_f64(1.0 + self.early / 4.0);
                known.not_before = now.checked_add(pause);
            }
            Next::Pause(at_least) => {
                let longest = if is_good { PAUSES.0 } else { PAUSES.1 };
                let pause = known.pause(longest).mul_f64(1.0 + self.early / 4.0);
                // From the end of the token on requests are refused: a long pause does not reach beyond that.
                let last = known.shelved.as_ref().and_then(|shelved| shelved.login.sent_until());
                let left = last.and_then(|last| last.duration_since(now).ok()).filter(|left| !left.is_zero());
                let pause = left.map_or(pause, |left| pause.min(left));
                known.not_before = now.checked_add(pause.max(at_least.unwrap_or_default()));
            }
        }
        if !matches!(failed.next, Next::Soon) {
            tracing::warn!(login = &*self.name, error = failed.why, still_good = is_good, "a login was not refreshed");
            known.error = Some(failed.why.clone());
        }
        drop(known);
        Err(Unready(failed.why))
    }

    async fn turn(&self) -> Result<(), Failed> {
        let unstored = self.known().unstored.clone();
        if let Some(login) = unstored {
            return self.put(login).await;
        }
        if !self.is_wanted(self.look().await?)? {
            return Ok(());
        }
        let Some(lease) = self.shelf.store.lead(&self.name).await? else {
            return Err(Failed::soon("another holder is refreshing it"));
        };
        pass(Step::Leading);
        // Whoever led before may have finished.
        let found = self.look().await?;
        if !self.is_wanted(found.clone())? {
            return Ok(());
        }
        let Some(shelved) = found else { return Ok(()) };
        self.check_orphan(&shelved.login)?;
        let done = self.ask(shelved, &lease).await;
        let mut known = self.known();
        if known.unstored.is_some() {
            // It goes with the pair.
            known.lease = Some(lease);
        } else {
            drop(lease);
        }
        drop(known);
        if done.is_ok() {
            pass(Step::Released);
        }
        done
    }

    fn is_wanted(&self, found: Option<Shelved>) -> Result<bool, Failed> {
        let never = |why: &str| Failed { why: why.into(), next: Next::Never };
        let Some(Shelved { login, .. }) = found else { return Err(never("nobody has logged in yet")) };
        if let Some(why) = self.alien(&login) {
            return Err(never(&why));
        }
        if !login.is_due(self.early, (self.clock)()) && !self.known().is_refused(&login) {
            return Ok(false);
        }
        if login.lost.is_some() {
            return Err(never("the provider takes the refresh token no more"));
        }
        if login.refresh.is_none() {
            return Err(never("there is no refresh token"));
        }
        Ok(true)
    }

    /// An attempt of another holder may still be under way where the lock can be lost by who is alive.
    fn check_orphan(&self, login: &Login) -> Result<(), Failed> {
        let Some(attempt) = &login.attempt else { return Ok(()) };
        let patience = self.shelf.store.patience();
        let mut known = self.known();
        if patience.is_zero() || known.own_attempt == Some(attempt.id) {
            return Ok(());
        }
        let seen = match known.orphan {
            Some((id, seen)) if id == attempt.id => seen,
            _ => known.orphan.insert((attempt.id, Instant::now())).1,
        };
        if seen.elapsed() < patience {
            return Err(Failed::soon("the answer to another holder may still be coming"));
        }
        Ok(())
    }

    async fn ask(&self, mut shelved: Shelved, _lead: &Lease) -> Result<(), Failed> {
        let provider = self.provider();
        // The policy may have changed since it was wanted, and no other provider ever sees the refresh token.
        if shelved.login.provider != provider.name {
            return Err(Failed::soon("the policy names another provider by now"));
        }
        let secret = {
            let provider = Arc::clone(&provider);
            let read = tokio::task::spawn_blocking(move || client_secret(&provider)).await;
            let read = read.unwrap_or_else(|_| Err("the process is ending".into()));
            read.map_err(|why| Failed { why, next: Next::Pause(None) })?
        };
        let Some(refresh) = shelved.login.refresh.clone() else { return Ok(()) };
        let endpoint = provider.token_endpoints.first();
        let endpoint =
            endpoint.ok_or_else(|| Failed { why: "there is no token endpoint".into(), next: Next::Never })?;

        if self.is_ending() {
            return Err(Failed::soon("the process is ending"));
        }
        let before = shelved.login.attempt.clone();
        let started = (self.clock)();
        let mut attempt = Attempt {
            id: identifier(),
            started,
            unanswered_since: before.as_ref().map(|attempt| attempt.unanswered_since.unwrap_or(attempt.started)),
        };
        self.known().own_attempt = Some(attempt.id);
        shelved.login.attempt = Some(attempt.clone());
        shelved.revision = self.replace(&shelved.login, shelved.revision).await?;
        pass(Step::Attempted);

        let scopes = shelved.login.scopes.join(" ");
        let mut fields: Vec<(&str, &[u8])> =
            vec![("grant_type", b"refresh_token"), ("refresh_token", refresh.reveal())];
        if !scopes.is_empty() {
            fields.push(("scope", scopes.as_bytes()));
        }
        let send = || ask(&*self.http, &provider, endpoint, secret.as_ref(), &fields);
        // A token lives from some time after it was asked for: what the way there and back took is not its own.
        let mut sent = (self.clock)();
        let mut answer = send().await;
        if let Err(unanswered) = &answer {
            if matches!(unanswered, Unanswered::Lost(_)) {
                attempt.unanswered_since.get_or_insert(started);
                tracing::warn!(login = &*self.name, error = %unanswered, "the answer to a refresh was lost; asking once more");
            }
            sent = (self.clock)();
            answer = send().await;
        }
        pass(Step::Answered);
        match answer.as_ref().map(judge) {
            Ok(Verdict::Granted(tokens)) => self.take(shelved, tokens, sent).await,
            Ok(Verdict::Gone) => self.give_up(shelved, attempt.unanswered_since).await,
            Ok(Verdict::Unclear(why, after)) => Err(Failed { why, next: Next::Pause(after) }),
            Ok(Verdict::Later(why, after)) => {
                self.restore(shelved, attempt, before).await;
                Err(Failed { why, next: Next::Pause(after) })
            }
            Ok(Verdict::Refused(why)) => {
                self.restore(shelved, attempt, before).await;
                Err(Failed { why, next: Next::Pause(Some(Duration::from_secs(30))) })
            }
            Err(Unanswered::NotSent(why)) => {
                let why = why.clone();
                self.restore(shelved, attempt, before).await;
                Err(Failed { why, next: Next::Pause(None) })
            }
            Err(error @ Unanswered::Lost(_)) => Err(Failed { why: error.to_string(), next: Next::Pause(None) }),
        }
    }

    /// Nothing was carried out: as it was before, but for what else was lost in this turn. Where this can't be written,
    /// the attempt stands as one without an answer, which is the careful reading of it.
    async fn restore(&self, mut shelved: Shelved, attempt: Attempt, before: Option<Attempt>) {
        let is_clean = attempt.unanswered_since.is_none() || before.is_some();
        shelved.login.attempt = if is_clean { before } else { Some(attempt) };
        let _ = self.replace(&shelved.login, shelved.revision).await;
    }

    async fn take(&self, shelved: Shelved, tokens: Tokens, sent: SystemTime) -> Result<(), Failed> {
        let login = shelved.login.next(tokens, sent);
        match self.shelf.write(&self.name, &login, shelved.revision).await {
            Ok(Some(revision)) => {
                pass(Step::Stored);
                self.took(Shelved { login, revision });
                Ok(())
            }
            Ok(None) => self.put(login).await,
            Err(error) => {
                tracing::error!(login = &*self.name, %error, "a new pair of tokens can't be stored; trying on");
                self.known().unstored = Some(login);
                Err(error.into())
            }
        }
    }

    /// Puts a pair that the provider gave over what others wrote meanwhile, unless one of them has a newer pair.
    pub(super) async fn put(&self, login: Login) -> Result<(), Failed> {
        self.known().unstored = Some(login.clone());
        for _ in 0..TRIES {
            let found = self.look().await?;
            let is_newer = |found: &Shelved| found.login.generation >= login.generation && found.login.lost.is_none();
            if found.as_ref().is_some_and(is_newer) {
                self.known().stored();
                return Ok(());
            }
            let before = found.map_or(0, |found| found.revision);
            if let Some(revision) = self.shelf.write(&self.name, &login, before).await? {
                pass(Step::Stored);
                self.took(Shelved { login, revision });
                return Ok(());
            }
        }
        Err(Failed::soon("another holder writes it again and again"))
    }

    fn took(&self, shelved: Shelved) {
        let generation = shelved.login.generation;
        let mut known = self.known();
        known.refreshes += 1;
        known.stored();
        drop(known);
        self.saw(Some(shelved));
        tracing::info!(login = &*self.name, generation, "refreshed a login");
    }

    async fn give_up(&self, mut shelved: Shelved, unanswered_since: Option<SystemTime>) -> Result<(), Failed> {
        let generation = shelved.login.generation;
        if let Some(found) = self.look().await?
            && found.revision != shelved.revision
        {
            let is_newer = found.login.generation > generation && found.login.lost.is_none();
            return if is_newer { Ok(()) } else { Err(Failed::soon("another holder wrote it meanwhile")) };
        }
        shelved.login.attempt = None;
        shelved.login.lost = Some(Lost { at: (self.clock)(), unanswered_since });
        self.replace(&shelved.login, shelved.revision).await?;
        let advice = self.status().advice.unwrap_or_default();
        tracing::error!(login = &*self.name, advice, "a login is lost");
        Err(Failed { why: "the provider takes the refresh token no more".into(), next: Next::Never })
    }

    /// Writes a state in place of the one that was read.
    async fn replace(&self, login: &Login, before: u64) -> Result<u64, Failed> {
        let written = self.shelf.write(&self.name, login, before).await?;
        let revision = written.ok_or_else(|| Failed::soon("another holder wrote it meanwhile"))?;
        self.saw(Some(Shelved { login: login.clone(), revision }));
        Ok(revision)
    }
}

impl Known {
    /// Whether an origin refused the access token of this pair.
    pub(super) fn is_refused(&self, login: &Login) -> bool {
        self.refused == Some(login.pair())
    }

    /// The pair is durable, or a newer one is: others may refresh again.
    fn stored(&mut self) {
        (self.unstored, self.lease) = (None, None);
    }

    /// What somebody else keeps us from for too long is an error like any other.
    fn not_for_ever(&mut self, failed: Failed) -> Failed {
        if !matches!(failed.next, Next::Soon) {
            self.others_since = None;
            return failed;
        }
        let since = *self.others_since.get_or_insert_with(Instant::now);
        if since.elapsed() < OTHERS {
            return failed;
        }
        let why = format!("{} for more than {} seconds", failed.why, OTHERS.as_secs());
        Failed { why, next: Next::Again }
    }

    fn pause(&mut self, longest: Duration) -> Duration {
        self.failures = self.failures.saturating_add(1);
        PAUSE.saturating_mul(1 << (self.failures - 1).min(12)).min(longest)
    }
}

impl Login {
    /// The state after the provider gave tokens, which were asked for at `sent`.
    pub(crate) fn next(&self, tokens: Tokens, sent: SystemTime) -> Login {
        let is_same = |token| self.refresh.as_ref().is_some_and(|before| before.is_same(token));
        // A token that stays keeps its end, unless another one is said.
        let kept = self.refresh_ends.filter(|_| tokens.refresh.as_deref().is_none_or(is_same));
        let refresh_ends = tokens.refresh_life.and_then(|life| sent.checked_add(life)).or(kept);
        Login {
            refresh_ends,
            generation: self.generation + 1,
            provider: self.provider.clone(),
            access: tokens.access,
            obtained: sent,
            ends: tokens.life.and_then(|life| sent.checked_add(life)),
            // RFC 6749, 6: where none is given, the one of before stays.
            refresh: tokens.refresh.or_else(|| self.refresh.clone()),
            scopes: tokens.scopes.unwrap_or_else(|| self.scopes.clone()),
            attempt: None,
            lost: None,
        }
    }
}

/// Tells one attempt from another; nothing hangs on its being secret.
fn identifier() -> [u8; 16] {
    let mut id = [0; 16];
    let _ = aws_lc_rs::rand::fill(&mut id);
    id
}
