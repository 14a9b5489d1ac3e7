//! A double of GitHub's GraphQL interface: it takes the one query that it knows, checks who asks, and answers page by page.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use crate::authority::Authority;

/// What it answers instead of data.
#[derive(Clone)]
pub(crate) enum Trouble {
    Status(u16, Vec<(&'static str, String)>, &'static str),
    Error(&'static str),
    Silence,
}

pub(crate) struct GitHub {
    port: u16,
    shared: Arc<Mutex<World>>,
    _runtime: Runtime,
}

#[derive(Default)]
struct World {
    viewer: String,
    pulls: Vec<Value>,
    page: usize,
    remaining: u64,
    trouble: Option<Trouble>,
    asked: Vec<Value>,
}

/// A comment, a review or one in a thread.
pub(crate) fn by(login: &str, id: &str) -> Value {
    json!({ "id": id, "author": { "login": login } })
}

pub(crate) fn review(login: &str, id: &str, state: &str, comments: u64) -> Value {
    json!({ "id": id, "state": state, "author": { "login": login }, "comments": { "totalCount": comments } })
}

pub(crate) fn thread(id: &str, is_resolved: bool, comments: &[Value]) -> Value {
    json!({ "id": id, "isResolved": is_resolved, "comments": { "nodes": comments } })
}

pub(crate) fn pull(repository: &str, number: u64, comments: &[Value], reviews: &[Value], threads: &[Value]) -> Value {
    json!({
        "number": number,
        "repository": { "nameWithOwner": repository },
        "comments": { "nodes": comments },
        "reviews": { "nodes": reviews },
        "reviewThreads": { "nodes": threads },
    })
}

impl GitHub {
    pub(crate) fn open(authority: &Authority, viewer: &str) -> GitHub {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let world = World { viewer: viewer.into(), page: 25, remaining: 4000, ..World::default() };
        let shared = Arc::new(Mutex::new(world));
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::clone(&authority.config));
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, shared) = (acceptor.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| answer(Arc::clone(&shared), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        GitHub { port, shared, _runtime: runtime }
    }

    pub(crate) fn address(&self) -> String {
        format!("https://localhost:{}/graphql", self.port)
    }

    pub(crate) fn set(&self, pulls: Vec<Value>) {
        self.shared.lock().unwrap().pulls = pulls;
    }

    pub(crate) fn pages_of(&self, page: usize) {
        self.shared.lock().unwrap().page = page;
    }

    pub(crate) fn remaining(&self, points: u64) {
        self.shared.lock().unwrap().remaining = points;
    }

    pub(crate) fn trouble(&self, trouble: Option<Trouble>) {
        self.shared.lock().unwrap().trouble = trouble;
    }

    /// How often it was asked since it was last asked that.
    pub(crate) fn asked(&self) -> usize {
        std::mem::take(&mut self.shared.lock().unwrap().asked).len()
    }
}

async fn answer(shared: Arc<Mutex<World>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_known = header("authorization") == "Bearer proxy-token-github" && !header("user-agent").is_empty();
    if head.method != "POST" || head.uri.path() != "/graphql" || !is_known {
        return Ok(plain(401, &[], r#"{"message":"Bad credentials"}"#));
    }
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let trouble = {
        let mut world = shared.lock().unwrap();
        world.asked.push(asked.clone());
        world.trouble.clone()
    };
    match trouble {
        Some(Trouble::Status(status, headers, body)) => return Ok(plain(status, &headers, body)),
        Some(Trouble::Error(message)) => {
            return Ok(plain(200, &[], &json!({ "data": null, "errors": [{ "message": message }] }).to_string()));
        }
        Some(Trouble::Silence) => std::future::pending::<()>().await,
        None => {}
    }
    if asked["query"] != stubgate_agent::hook::github::QUERY || asked["operationName"] != "PrComments" {
        return Ok(plain(200, &[], r#"{"errors":[{"message":"Parse error"}]}"#));
    }
    let world = shared.lock().unwrap();
    let from: usize = asked["variables"]["after"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
    let to = (from + world.page).min(world.pulls.len());
    let data = json!({ "data": {
        "rateLimit": { "remaining": world.remaining, "resetAt": "2099-01-01T00:00:00Z" },
        "viewer": { "login": world.viewer, "pullRequests": {
            "pageInfo": { "hasNextPage": to < world.pulls.len(), "endCursor": to.to_string() },
            "nodes": world.pulls[from..to],
        } },
    } });
    Ok(plain(200, &[("x-ratelimit-remaining", world.remaining.to_string())], &data.to_string()))
}

fn plain(status: u16, headers: &[(&'static str, String)], body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    response
}
