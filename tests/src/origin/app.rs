//! GitHub as a GitHub App meets it: an API that mints installation tokens for whoever signs as the app, and git for whoever
//! shows a token that is good at that time for that repository.
//!
//! What the API answers is the double of the appliance's own tests, in front of which stands real TLS.

#[path = "../../../proxy/tests/attacks/servers/asked.rs"]
#[allow(dead_code, reason = "shared with tests that ask for more of it")]
mod asked;
#[path = "../../../proxy/tests/attacks/servers/github.rs"]
#[allow(dead_code, reason = "shared with tests that ask for more of it")]
mod github;

use std::fmt;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use self::asked::{Asked, Said, respond};
use self::github::Github;
use super::{Origin, Place};
use crate::program::Running;

/// The app, its API as an origin, and the judge of what git is shown. Clones are the same.
#[derive(Clone)]
pub struct App {
    github: Github,
    level: &'static str,
    repositories: Vec<String>,
    prefix: String,
    uses: Arc<Mutex<Vec<Use>>>,
}

/// A request for git, as the origin judged it.
#[derive(Clone, Debug)]
pub struct Use {
    /// Path and query.
    pub target: String,
    /// What it was shown: nothing, or the number of a token that was good then, or something else.
    pub shown: Shown,
    /// How it was answered.
    pub status: u16,
}

/// What a request for git was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shown {
    /// No credential.
    Nothing,
    /// This token, which had not ended.
    Token(usize),
    /// Something that is no token, or one that had ended.
    Other,
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("repositories", &self.repositories).finish_non_exhaustive()
    }
}

impl App {
    /// App 12345, whose installation 678 grants tokens for just these repositories with `contents` at this level (`read` or
    /// `write`), which live so long. Every token begins with `prefix`.
    pub fn new(prefix: &str, repositories: &[&str], level: &'static str, life: Duration) -> App {
        let github = Github::new(life);
        {
            let mut state = github.state();
            state.base = "";
            prefix.clone_into(&mut state.prefix);
            state.narrowing = json!({ "repositories": repositories, "permissions": { "contents": level } });
        }
        let repositories = repositories.iter().map(|name| (*name).to_owned()).collect();
        App { github, level, repositories, prefix: prefix.to_owned(), uses: Arc::default() }
    }

    /// The app's private key, PEM.
    pub fn private_key(&self) -> &str {
        &self.github.private_key
    }

    /// What every token begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// When each token was minted, and when it ends.
    pub fn tokens(&self) -> Vec<(SystemTime, SystemTime)> {
        self.github.state().tokens.iter().map(|token| (token.minted, token.ends)).collect()
    }

    /// Requests for a token that were refused: not signed by the app, or not narrowed as it has to be.
    pub fn refused(&self) -> usize {
        self.github.state().refused
    }

    /// All requests for git so far.
    pub fn uses(&self) -> Vec<Use> {
        self.lock().clone()
    }

    /// Judges whatever asks for git, over HTTP at this socket, as nginx's `auth_request` asks for it.
    pub(super) fn judge(&self, socket: &Path) {
        let listener = UnixListener::bind(socket).expect("bind");
        listener.set_nonblocking(true).expect("nonblocking");
        let app = self.clone();
        in_runtime(async move {
            let listener = tokio::net::UnixListener::from_std(listener).expect("listener");
            while let Ok((stream, _)) = listener.accept().await {
                let app = app.clone();
                tokio::spawn(serve(stream, move |asked| app.judged(&asked)));
            }
        });
    }

    fn judged(&self, asked: &Asked) -> Said {
        let target = asked.header("x-original-uri").to_owned();
        let shown = self.shown(asked.header("authorization"));
        let status = match shown {
            Shown::Token(_) if self.is_granted(&target) => 204,
            Shown::Token(_) => 403,
            Shown::Nothing | Shown::Other => 401,
        };
        self.lock().push(Use { target, shown, status });
        let demand = (status == 401).then(|| ("www-authenticate", "Basic realm=\"GitHub\"".to_owned()));
        Said::Bytes(status, demand.into_iter().collect(), Vec::new())
    }

    /// git shows a token as the password of `x-access-token`.
    fn shown(&self, authorization: &str) -> Shown {
        if authorization.is_empty() {
            return Shown::Nothing;
        }
        let pair = authorization.strip_prefix("Basic ").and_then(|encoded| STANDARD.decode(encoded).ok());
        let pair = pair.and_then(|pair| String::from_utf8(pair).ok()).unwrap_or_default();
        let token = pair.strip_prefix("x-access-token:").and_then(|token| self.github.accepts(token));
        token.map_or(Shown::Other, Shown::Token)
    }

    /// Whether the tokens, each as narrow as the next, can do this.
    fn is_granted(&self, target: &str) -> bool {
        let repository = target.strip_prefix("/acme/").and_then(|rest| rest.split_once(".git/")).map(|(name, _)| name);
        let is_named = repository.is_some_and(|name| self.repositories.iter().any(|one| one == name));
        is_named && (self.level == "write" || !target.contains("git-receive-pack"))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Origin for App {
    fn names(&self) -> Vec<String> {
        vec!["api.github.com".to_owned()]
    }

    fn start(&self, place: &Place) -> Vec<Running> {
        let socket = place.socket(443);
        let listener = place.node.enter(move || TcpListener::bind(socket).expect("bind"));
        listener.set_nonblocking(true).expect("nonblocking");
        let tls = TlsAcceptor::from(place.leaf.server(&["http/1.1"]));
        let github = self.github.clone();
        in_runtime(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
            while let Ok((stream, _)) = listener.accept().await {
                let (github, tls) = (github.clone(), tls.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, move |asked| github.answer(asked)).await;
                    }
                });
            }
        });
        Vec::new()
    }
}

async fn serve<S>(stream: S, answer: impl Fn(Asked) -> Said + Send + Sync + 'static)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = Arc::new(answer);
    let service = service_fn(move |request| respond(Arc::clone(&answer), request));
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn in_runtime(work: impl Future<Output = ()> + Send + 'static) {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("runtime").block_on(work);
    });
}
