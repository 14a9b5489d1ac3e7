//! The state of one login, and how it is written down.
//!
//! A state says at every moment what can be done with the login: which pair of tokens is good, and whether a request that
//! may have used the refresh token up is without an answer. It is written whole or not at all, and what can't be read back
//! to the last byte is no state. The bytes made here are sealed before they leave this crate's memory.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::secret::Secret;

/// How the bytes are laid out; the first one had no end of the refresh token, and a text in each attempt that told nobody
/// anything.
const LAYOUT: u8 = 2;
const FIRST_LAYOUT: u8 = 1;
/// The longest text or list that is read back.
const LONGEST: usize = 64 * 1024;
/// How long an access token is taken to live where its provider does not say.
const UNSAID_LIFE: Duration = Duration::from_secs(3600);
/// A token is refreshed at least this long before its end, where it lives three times as long.
const AHEAD: Duration = Duration::from_secs(300);
/// How long before its end a token is sent no more: a request takes its time to get there, and one that arrives with an
/// ended token is answered 401, upon which clients throw their stub away. A twentieth of its life where that is less.
const TRANSIT: Duration = Duration::from_secs(2);
/// How far the clocks of replicas may be apart.
const SKEW: Duration = Duration::from_secs(300);

/// A login, as it stands in the store.
#[derive(Clone)]
pub(crate) struct Login {
    /// How many pairs of tokens there were, this one counted.
    pub(crate) generation: u64,
    /// Who issued it, for people.
    pub(crate) provider: Box<str>,
    pub(crate) access: Arc<Secret>,
    /// When the pair was asked for: its life began at some time after that.
    pub(crate) obtained: SystemTime,
    /// When the access token ends, where the provider says so.
    pub(crate) ends: Option<SystemTime>,
    /// None where the provider gave none: such a login can't be refreshed.
    pub(crate) refresh: Option<Arc<Secret>>,
    /// When that ends, where the provider says so. For people: it is sent as long as there is no other.
    pub(crate) refresh_ends: Option<SystemTime>,
    /// What was granted.
    pub(crate) scopes: Vec<Box<str>>,
    /// A refresh that is under way, or whose answer was never seen.
    pub(crate) attempt: Option<Attempt>,
    /// Why nobody can refresh it any more.
    pub(crate) lost: Option<Lost>,
}

/// A request that carries the refresh token, written down before it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) id: [u8; 16],
    pub(crate) started: SystemTime,
    /// When the first of the requests before it was made whose answer was never seen, with the same refresh token.
    pub(crate) unanswered_since: Option<SystemTime>,
}

/// The provider no longer takes the refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) at: SystemTime,
    /// When the answer was lost that may have held the next token; none where every request was answered.
    pub(crate) unanswered_since: Option<SystemTime>,
}

impl Login {
    /// When it is to be refreshed. `early` between 0 and 1 spreads several replicas over the last tenth of the time ahead.
    pub(crate) fn due(&self, early: f64) -> SystemTime {
        let ends = self.ends.unwrap_or(self.obtained + UNSAID_LIFE);
        let life = ends.duration_since(self.obtained).unwrap_or_default();
        let ahead = (life / 5).max(AHEAD.min(life / 3));
        let jitter = ahead.mul_f64(early.clamp(0.0, 1.0) / 10.0);
        ends.checked_sub(ahead + jitter).unwrap_or(self.obtained)
    }

    /// Whether it is to be refreshed now. Also where the clock stood wrong when the pair was had: its end is then unknown.
    pub(crate) fn is_due(&self, early: f64, now: SystemTime) -> bool {
        let is_of_the_future = now.checked_add(SKEW).is_some_and(|latest| self.obtained > latest);
        is_of_the_future || self.due(early) <= now
    }

    /// Tells one pair of tokens from another, also where a database was put back, which counts generations a second time.
    pub(crate) fn pair(&self) -> (u64, SystemTime) {
        (self.generation, self.obtained)
    }

    /// Until when the access token is sent to origins: a little less than its provider says that it lives.
    pub(crate) fn sent_until(&self) -> Option<SystemTime> {
        let ends = self.ends?;
        let life = ends.duration_since(self.obtained).unwrap_or_default();
        Some(ends.checked_sub(TRANSIT.min(life / 20)).unwrap_or(ends))
    }

    /// Whether the access token may still be sent.
    pub(crate) fn is_good(&self, now: SystemTime) -> bool {
        self.sent_until().is_none_or(|last| now < last)
    }

    /// The bytes to be sealed.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer(Zeroizing::new(Vec::with_capacity(self.room())));
        out.bytes(&[LAYOUT]);
        out.number(self.generation);
        out.text(self.provider.as_bytes());
        out.text(self.access.reveal());
        out.time(Some(self.obtained));
        out.time(self.ends);
        out.text(self.refresh.as_ref().map_or(&[][..], |token| token.reveal()));
        out.time(self.refresh_ends);
        out.number(len(self.scopes.len()));
        for scope in &self.scopes {
            out.text(scope.as_bytes());
        }
        out.bytes(&[u8::from(self.attempt.is_some())]);
        if let Some(attempt) = &self.attempt {
            out.bytes(&attempt.id);
            out.time(Some(attempt.started));
            out.time(attempt.unanswered_since);
        }
        out.bytes(&[u8::from(self.lost.is_some())]);
        if let Some(lost) = &self.lost {
            out.time(Some(lost.at));
            out.time(lost.unanswered_since);
        }
        out.0
    }

    /// The state that was written; none where these bytes are not one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut from = Reader(bytes);
        let [layout] = from.bytes()?;
        if !matches!(layout, FIRST_LAYOUT | LAYOUT) {
            return None;
        }
        let generation = from.number()?;
        let provider = from.string()?;
        let access = Arc::new(from.secret()??);
        let obtained = from.time()??;
        let ends = from.time()?;
        let refresh = from.secret()?.map(Arc::new);
        let refresh_ends = if layout == FIRST_LAYOUT { None } else { from.time()? };
        let count = from.number()?;
        let scopes = (0..count).map(|_| from.string()).collect::<Option<Vec<_>>>()?;
        let attempt = match from.bytes::<1>()? {
            [0] => None,
            _ => {
                let (id, started) = (from.bytes()?, from.time()??);
                if layout == FIRST_LAYOUT {
                    from.string()?;
                }
                Some(Attempt { id, started, unanswered_since: from.time()? })
            }
        };
        let lost = match from.bytes::<1>()? {
            [0] => None,
            _ => Some(Lost { at: from.time()??, unanswered_since: from.time()? }),
        };
        let login = Self { generation, provider, access, obtained, ends, refresh, refresh_ends, scopes, attempt, lost };
        from.0.is_empty().then_some(login)
    }

    /// Enough for all of it: growing would leave copies of tokens in freed memory.
    fn room(&self) -> usize {
        let scopes: usize = self.scopes.iter().map(|scope| scope.len() + 8).sum();
        let tokens = self.access.reveal().len() + self.refresh.as_ref().map_or(0, |token| token.reveal().len());
        256 + tokens + scopes + self.provider.len()
    }
}

struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.number(len(text.len()));
        self.bytes(text);
    }

    /// Milliseconds since 1970, and one: nothing is 0.
    fn time(&mut self, time: Option<SystemTime>) {
        self.number(time.map_or(0, |time| millis(time).saturating_add(1)));
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok().filter(|&length| length <= LONGEST)?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }

    fn string(&mut self) -> Option<Box<str>> {
        std::str::from_utf8(self.text()?).ok().map(Into::into)
    }

    /// Some(None) where the text is empty.
    #[expect(clippy::option_option, reason = "unreadable, and nothing, are not the same")]
    fn secret(&mut self) -> Option<Option<Secret>> {
        let text = self.text()?;
        if text.is_empty() {
            return Some(None);
        }
        Secret::new(Zeroizing::new(text.to_vec())).ok().map(Some)
    }

    #[expect(clippy::option_option, reason = "unreadable, and nothing, are not the same")]
    fn time(&mut self) -> Option<Option<SystemTime>> {
        let number = self.number()?;
        Some(match number.checked_sub(1) {
            None => None,
            Some(millis) => Some(UNIX_EPOCH.checked_add(Duration::from_millis(millis))?),
        })
    }
}

fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn len(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
