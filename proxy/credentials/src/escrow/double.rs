//! What the tests put in place of a provider, a clock and a shared store.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Request, Response};
use stubgate_policy::secret_source::{Endpoint, OauthBody, OauthProvider};
use zeroize::Zeroizing;

use super::holder::Clock;
use super::login::Login;
use super::store::{Doing, Lease, Row, Store, StoreError};
use crate::fetch::{Answering, HttpClient, Unanswered};
use crate::secret::Secret;

/// How the provider meets one request.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Answer,
    /// Never reached.
    NotSent,
    /// Lost on the way there.
    LostBefore,
    /// Carried out, and the answer lost.
    LostAfter,
    /// Says this and does nothing.
    Say(u16, &'static str),
    /// Carried out, and says this.
    DoAndSay(u16),
}

/// Rotates refresh tokens at each use, and ends all of the family when one is used twice.
#[derive(Default)]
pub(super) struct Provider {
    state: Mutex<State>,
    pub(super) script: Mutex<VecDeque<Act>>,
    /// Lets requests through one by one, where it is set.
    pub(super) gate: Mutex<Option<Arc<tokio::sync::Semaphore>>>,
}

#[derive(Default)]
struct State {
    issued: u64,
    used: HashSet<String>,
    is_dead: bool,
    requests: Vec<String>,
}

pub(super) const LIFE: u64 = 1000;

impl Provider {
    pub(super) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests.len()
    }

    pub(super) fn last_request(&self) -> String {
        self.state.lock().unwrap().requests.last().cloned().unwrap_or_default()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state.lock().unwrap().is_dead
    }

    pub(super) fn say(&self, acts: impl IntoIterator<Item = Act>) {
        self.script.lock().unwrap().extend(acts);
    }

    fn carry_out(&self, body: &str) -> Response<Zeroizing<Vec<u8>>> {
        let mut state = self.state.lock().unwrap();
        let asked: serde_json::Value = serde_json::from_str(body).unwrap();
        let token = asked["refresh_token"].as_str().unwrap().to_owned();
        let is_used = !state.used.insert(token.clone());
        let known = token.strip_prefix("refresh-").and_then(|number| number.parse::<u64>().ok());
        if is_used || known.is_none_or(|number| number > state.issued) {
            state.is_dead = true;
        }
        if state.is_dead {
            return answer(400, r#"{"error":"invalid_grant"}"#);
        }
        state.issued += 1;
        let number = state.issued;
        answer(
            200,
            &format!(
                r#"{{"access_token":"access-{number}","refresh_token":"refresh-{number}","expires_in":{LIFE},"scope":"a b"}}"#
            ),
        )
    }
}

fn answer(status: u16, body: &str) -> Response<Zeroizing<Vec<u8>>> {
    Response::builder().status(status).body(Zeroizing::new(body.as_bytes().to_vec())).unwrap()
}

impl HttpClient for Provider {
    fn send(&self, request: Request<Zeroizing<Vec<u8>>>) -> Answering<'_> {
        let body = String::from_utf8(request.into_body().to_vec()).unwrap();
        Box::pin(async move {
            let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Answer);
            if !matches!(act, Act::NotSent) {
                self.state.lock().unwrap().requests.push(body.clone());
            }
            let gate = self.gate.lock().unwrap().clone();
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            match act {
                Act::Answer => Ok(self.carry_out(&body)),
                Act::NotSent => Err(Unanswered::NotSent("no route".into())),
                Act::LostBefore => Err(Unanswered::Lost("reset".into())),
                Act::LostAfter => {
                    self.carry_out(&body);
                    Err(Unanswered::Lost("reset".into()))
                }
                Act::Say(status, text) => Ok(answer(status, text)),
                Act::DoAndSay(status) => {
                    self.carry_out(&body);
                    Ok(answer(status, ""))
                }
            }
        })
    }
}

pub(super) fn provider() -> OauthProvider {
    let endpoint = Endpoint {
        server: stubgate_policy::Authority::parse(stubgate_policy::Scheme::Https, b"provider.example").unwrap(),
        path: "/v1/oauth/token".into(),
    };
    OauthProvider {
        name: "claude".into(),
        token_endpoints: Box::new([endpoint]),
        authorization_url: None,
        device_endpoint: None,
        redirect_uri: None,
        client_id: "client".into(),
        client_secret_file: None,
        scopes: Box::new([]),
        body: OauthBody::Json,
    }
}

/// A clock that stands until it is moved.
pub(super) struct Time(AtomicU64);

impl Time {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(1_000_000_000)))
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn clock(self: &Arc<Self>) -> Clock {
        let time = Arc::clone(self);
        Arc::new(move || time.now())
    }
}

pub(super) fn secret(text: &str) -> Arc<Secret> {
    Arc::new(Secret::new(Zeroizing::new(text.as_bytes().to_vec())).ok().unwrap())
}

/// The first pair of a login, as its provider double knows it.
pub(super) fn first(now: SystemTime) -> Login {
    Login {
        generation: 1,
        provider: "claude".into(),
        access: secret("access-0"),
        obtained: now,
        ends: Some(now + Duration::from_secs(LIFE)),
        refresh: Some(secret("refresh-0")),
        refresh_ends: None,
        scopes: vec!["a".into(), "b".into()],
        attempt: None,
        lost: None,
    }
}

/// A store that several holders share, whose lock may be lost by who is alive, and that can be out of reach.
#[derive(Default)]
pub(super) struct Shared {
    rows: Mutex<HashMap<String, Row>>,
    leads: Arc<Mutex<HashSet<String>>>,
    pub(super) is_down: Mutex<bool>,
    pub(super) patience: Mutex<Duration>,
}

struct Held(Arc<Mutex<HashSet<String>>>, String);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.lock().unwrap().remove(&self.1);
    }
}

impl Shared {
    fn up(&self) -> Result<(), StoreError> {
        if *self.is_down.lock().unwrap() { Err(StoreError::Unreachable("down".into())) } else { Ok(()) }
    }

    pub(super) fn turn_down(&self, is_down: bool) {
        *self.is_down.lock().unwrap() = is_down;
    }

    /// As when the store was started anew: whoever led no longer does.
    pub(super) fn lose_leads(&self) {
        self.leads.lock().unwrap().clear();
    }

    pub(super) fn row(&self, name: &str) -> Option<Row> {
        self.rows.lock().unwrap().get(name).cloned()
    }

    pub(super) fn put_back(&self, name: &str, row: Row) {
        self.rows.lock().unwrap().insert(name.into(), row);
    }
}

impl Store for Shared {
    fn read<'a>(&'a self, name: &'a str) -> Doing<'a, Option<Row>> {
        Box::pin(async move {
            self.up()?;
            Ok(self.row(name))
        })
    }

    fn write<'a>(&'a self, name: &'a str, row: &'a Row) -> Doing<'a, bool> {
        Box::pin(async move {
            self.up()?;
            let mut rows = self.rows.lock().unwrap();
            if rows.get(name).map_or(0, |row| row.revision) + 1 != row.revision {
                return Ok(false);
            }
            rows.insert(name.into(), row.clone());
            Ok(true)
        })
    }

    fn revisions(&self) -> Doing<'_, Vec<(String, u64)>> {
        Box::pin(async move {
            self.up()?;
            Ok(self.rows.lock().unwrap().iter().map(|(name, row)| (name.clone(), row.revision)).collect())
        })
    }

    fn lead<'a>(&'a self, name: &'a str) -> Doing<'a, Option<Lease>> {
        Box::pin(async move {
            self.up()?;
            let is_free = self.leads.lock().unwrap().insert(name.into());
            let held = || Box::new(Held(Arc::clone(&self.leads), name.into()));
            Ok(is_free.then(|| Lease { _held: held() }))
        })
    }

    fn patience(&self) -> Duration {
        *self.patience.lock().unwrap()
    }
}
