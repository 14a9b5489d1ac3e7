//! A double of Anthropic, as strict as a provider may be: access tokens end, a refresh token is good for one use, and
//! a second use ends all that came of that login. It decides everything by itself, remembers what it decided, and
//! repeats the token that it was shown in each answer of the model, so that one which is not scrubbed is in the pod.
//!
//! The exchanges are those of Claude Code 2.1.329: `POST /v1/oauth/token` of platform.claude.com with JSON, and
//! `POST /v1/messages` of api.anthropic.com, answered by server-sent events; and `POST /api/eval/…`, whose flags turn
//! channels on.

mod model;

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use super::{Origin, Place};
use crate::builder::fresh_secret;
use crate::program::Running;

pub use model::{Asked, Say, Script};

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The scopes of every login.
pub const SCOPES: [&str; 6] = [
    "user:profile",
    "user:inference",
    "user:sessions:claude_code",
    "user:mcp_servers",
    "user:file_upload",
    "user:plugins",
];

/// The origin. Clones are the same origin.
#[derive(Clone, Debug, Default)]
pub struct Anthropic {
    state: Arc<Mutex<State>>,
    released: Arc<Notify>,
}

/// A login: all tokens that came of one consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family(usize);

/// Where an exchange is kept waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The request arrived, and nothing was done.
    Before,
    /// The refresh token is used up, and the answer has not left.
    After,
}

/// What became of all that was asked so far.
#[derive(Clone, Debug, Default)]
pub struct Decided {
    /// Answers of the model that were begun.
    pub turns: usize,
    /// Requests that were answered 401, and why.
    pub unauthorized: Vec<String>,
    /// Pairs of tokens that were given for a refresh token.
    pub refreshes: usize,
    /// Refresh tokens that were shown a second time, or that nobody was given, and when the process began.
    pub misused: Vec<String>,
    /// `User-Agent`s that asked for tokens.
    pub askers: Vec<String>,
    /// What turns with tools asked, in their order.
    pub asked: Vec<Asked>,
}

#[derive(Debug, Default)]
struct State {
    families: Vec<Login>,
    access: HashMap<String, (usize, Instant)>,
    /// By token: whose it is, and whether it was used.
    refresh: HashMap<String, (usize, bool)>,
    issued: Vec<(String, String)>,
    decided: Decided,
    pause: Duration,
    script: Option<Script>,
    open: usize,
    last_exchange: Option<Instant>,
}

#[derive(Debug)]
struct Login {
    life: Duration,
    is_dead: bool,
    hold: Option<Hold>,
    held: usize,
}

impl Anthropic {
    /// A fresh login whose access tokens live so long, and what Claude Code keeps of it in `.credentials.json`.
    pub fn log_in(&self, life: Duration) -> (Family, String) {
        let mut state = self.state();
        let family = state.families.len();
        state.families.push(Login { life, is_dead: false, hold: None, held: 0 });
        let (access, refresh) = state.issue(family);
        let ends = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970") + life;
        let file = json!({ "claudeAiOauth": {
            "accessToken": access, "refreshToken": refresh, "expiresAt": u64::try_from(ends.as_millis()).expect("time"),
            "scopes": SCOPES, "subscriptionType": "max",
        }});
        (Family(family), file.to_string())
    }

    /// How long the access tokens live that a login has from now on.
    pub fn set_life(&self, family: Family, life: Duration) {
        self.state().families[family.0].life = life;
    }

    /// The pause between two events of an answer.
    pub fn set_pause(&self, pause: Duration) {
        self.state().pause = pause;
    }

    /// What the model says from now on to whoever has tools.
    pub fn follow(&self, script: Script) {
        self.state().script = Some(script);
    }

    /// Keeps the next exchanges of this login waiting until [`Anthropic::release`], or until whoever asked went away.
    pub fn hold(&self, family: Family, hold: Hold) {
        self.state().families[family.0].hold = Some(hold);
    }

    /// How many exchanges of a login were kept waiting.
    pub fn held(&self, family: Family) -> usize {
        self.state().families[family.0].held
    }

    /// Lets exchanges of this login go on.
    pub fn release(&self, family: Family) {
        self.state().families[family.0].hold = None;
        self.released.notify_waiters();
    }

    /// Whether a login has ended by the second use of a refresh token.
    pub fn is_dead(&self, family: Family) -> bool {
        self.state().families[family.0].is_dead
    }

    /// Whether an exchange is under way now, or ended so short a time ago.
    pub fn is_exchanging(&self, within: Duration) -> bool {
        let state = self.state();
        state.open > 0 || state.last_exchange.is_some_and(|last| last.elapsed() < within)
    }

    /// What became of all that was asked.
    pub fn decided(&self) -> Decided {
        self.state().decided.clone()
    }

    /// Every token that was ever given to anybody, with a name for it.
    pub fn issued(&self) -> Vec<(String, String)> {
        self.state().issued.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self, request: http::Request<Incoming>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        match (&head.method, head.uri.path()) {
            (&Method::POST, "/v1/oauth/token") => {
                let asker = head.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
                self.state().decided.askers.push(asker.unwrap_or_default().to_owned());
                return self.exchange(&body).await;
            }
            (_, "/api/hello" | "/v1/oauth/hello") => return json_of(StatusCode::OK, &json!({ "message": "hello" })),
            (_, path) if path.starts_with("/api/directory/") => return json_of(StatusCode::OK, &json!({})),
            _ => {}
        }
        let token = shown.and_then(|shown| shown.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
        let checked = self.state().check(&token);
        if let Err(why) = checked {
            let place = format!("{} {}: {why}", head.method, head.uri.path());
            self.state().decided.unauthorized.push(place);
            let error = json!({ "type": "authentication_error", "message": "OAuth token has expired" });
            return json_of(StatusCode::UNAUTHORIZED, &json!({ "type": "error", "error": error }));
        }
        match head.uri.path() {
            "/v1/messages" => self.speak(&token, &body),
            "/v1/messages/count_tokens" => json_of(StatusCode::OK, &json!({ "input_tokens": 1 })),
            "/api/oauth/profile" => json_of(
                StatusCode::OK,
                &json!({
                    "account": { "uuid": "a", "email": "lab@lab.example", "has_claude_max": true },
                    "organization": { "uuid": "o", "organization_type": "claude_max" },
                }),
            ),
            path if path.starts_with("/api/eval/") => {
                json_of(StatusCode::OK, &json!({ "features": { "tengu_harbor": { "defaultValue": true } } }))
            }
            _ => json_of(StatusCode::OK, &json!({})),
        }
    }

    async fn exchange(&self, body: &[u8]) -> Response<Body> {
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let token = asked["refresh_token"].as_str().unwrap_or_default().to_owned();
        if asked["grant_type"] != "refresh_token" {
            return json_of(StatusCode::BAD_REQUEST, &json!({ "error": "unsupported_grant_type" }));
        }
        // Dropped where whoever asked goes away.
        let _open = Open::new(self);
        let family = self.state().refresh.get(&token).map(|(family, _)| *family);
        if let Some(family) = family {
            self.wait(family, Hold::Before).await;
        }
        let answer = self.state().rotate(&token);
        if let Some(family) = family {
            self.wait(family, Hold::After).await;
        }
        match answer {
            Ok(pair) => json_of(StatusCode::OK, &pair),
            Err(()) => json_of(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_grant" })),
        }
    }

    async fn wait(&self, family: usize, hold: Hold) {
        let mut is_first = true;
        loop {
            let released = self.released.notified();
            {
                let mut state = self.state();
                let login = &mut state.families[family];
                if login.hold != Some(hold) {
                    return;
                }
                login.held += usize::from(std::mem::take(&mut is_first));
            }
            let _ = tokio::time::timeout(Duration::from_millis(100), released).await;
        }
    }

    fn speak(&self, token: &str, body: &[u8]) -> Response<Body> {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let asked = Asked::read(&request);
        let (number, pause, script) = {
            let mut state = self.state();
            state.decided.turns += 1;
            let is_scripted = !asked.tools.is_empty();
            if is_scripted {
                state.decided.asked.push(asked.clone());
            }
            (state.decided.turns, state.pause, state.script.clone().filter(|_| is_scripted))
        };
        let plain = || vec![Say::Text(format!("pong, {token}, and pong"))];
        let parts = script.map_or_else(plain, |script| script.answer(&asked));
        model::answer(&parts, number, request["stream"] == true, pause)
    }
}

impl State {
    fn issue(&mut self, family: usize) -> (String, String) {
        let number = self.issued.len() / 2;
        // In the alphabet of the real ones, so that they are found as they are in every encoding of text.
        let token = |kind: &str| {
            let random: String = fresh_secret("token").chars().filter(char::is_ascii_alphanumeric).collect();
            format!("sk-ant-{kind}01-{number:04}-{random}AA")
        };
        let (access, refresh) = (token("oat"), token("ort"));
        let ends = Instant::now() + self.families[family].life;
        self.access.insert(access.clone(), (family, ends));
        self.refresh.insert(refresh.clone(), (family, false));
        self.issued.push((format!("access token {number}"), access.clone()));
        self.issued.push((format!("refresh token {number}"), refresh.clone()));
        (access, refresh)
    }

    fn check(&self, token: &str) -> Result<(), String> {
        let Some((family, ends)) = self.access.get(token) else {
            return Err(format!("no access token: {token:.24}"));
        };
        if self.families[*family].is_dead {
            return Err("the login was ended".into());
        }
        match ends.checked_duration_since(Instant::now()) {
            Some(_) => Ok(()),
            None => Err(format!("it ended {} ms ago", ends.elapsed().as_millis())),
        }
    }

    fn rotate(&mut self, token: &str) -> Result<Value, ()> {
        let Some((family, is_used)) = self.refresh.get_mut(token) else {
            self.decided.misused.push(format!("nobody was given {token:.24}"));
            return Err(());
        };
        let family = *family;
        if std::mem::replace(is_used, true) {
            self.decided.misused.push(format!("{token:.24} was used before"));
            self.families[family].is_dead = true;
        }
        if self.families[family].is_dead {
            return Err(());
        }
        self.decided.refreshes += 1;
        let (access, refresh) = self.issue(family);
        Ok(json!({
            "token_type": "Bearer", "access_token": access, "refresh_token": refresh,
            "expires_in": self.families[family].life.as_secs(), "scope": SCOPES.join(" "),
            "organization": { "uuid": "o", "name": "lab" }, "account": { "uuid": "a", "email_address": "lab@lab.example" },
        }))
    }
}

/// An exchange under way.
struct Open<'a>(&'a Anthropic);

impl<'a> Open<'a> {
    fn new(double: &'a Anthropic) -> Open<'a> {
        double.state().open += 1;
        Open(double)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.last_exchange = Some(Instant::now());
    }
}

impl Origin for Anthropic {
    fn names(&self) -> Vec<String> {
        ["api.anthropic.com", "platform.claude.com"].map(str::to_owned).to_vec()
    }

    fn start(&self, place: &Place) -> Vec<Running> {
        let socket = place.socket(443);
        let listener = place.node.enter(move || TcpListener::bind(socket).expect("bind"));
        listener.set_nonblocking(true).expect("nonblocking");
        let tls = TlsAcceptor::from(place.leaf.server(&["h2", "http/1.1"]));
        let origin = self.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("runtime").block_on(accept(origin, listener, tls));
        });
        Vec::new()
    }
}

async fn accept(origin: Anthropic, listener: TcpListener, tls: TlsAcceptor) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (origin, tls) = (origin.clone(), tls.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let service = service_fn(move |request| {
                let answer = origin.clone().answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            if is_h2 {
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            } else {
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            }
        });
    }
}

fn json_of(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
