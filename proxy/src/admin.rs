//! The admin endpoint: `/metrics`, `/credentials`, `/healthz`, `/readyz`. For operators and Prometheus, never for agents: it
//! is on an address of its own, loopback by default, and tells no secret, and of policy the names of rules and credentials.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::appliance::{Appliance, refresh};
use crate::lockdown::Part;
use crate::pods;
use crate::readiness::{self, Unready};

/// Connections at once.
const CONNECTIONS: usize = 64;

/// Serves until the appliance closes; `/readyz` says so from the moment that it drains.
pub async fn serve(appliance: Arc<Appliance>, sockets: TcpListener) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = sockets.accept() => accepted,
            () = appliance.closing.cancelled() => return,
        };
        let (Ok((tcp, _)), Ok(slot)) = (accepted, Arc::clone(&slots).try_acquire_owned()) else {
            // Too many, or out of file descriptors: give connections time to end.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let appliance = Arc::clone(&appliance);
        // Not among the appliance's tasks: a scraper that keeps its connection does not hold up a shutdown.
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let appliance = Arc::clone(&appliance);
                async move { Ok::<_, Infallible>(answer(&appliance, &request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(tcp), service);
            // A scraper that went away is no news.
            let _ = tokio::time::timeout(Duration::from_secs(300), connection).await;
            drop(slot);
        });
    }
}

async fn answer(appliance: &Arc<Appliance>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match request.uri().path() {
        "/metrics" => {
            let mut response = text(StatusCode::OK, rendered(Arc::clone(appliance)).await);
            let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
        "/credentials" => match serde_json::to_vec(&appliance.report()) {
            Ok(report) => {
                let mut response = text(StatusCode::OK, report);
                let kind = http::HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, kind);
                response
            }
            // There is nothing in it that could not be written.
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, ""),
        },
        "/healthz" => text(StatusCode::OK, "alive\n"),
        "/readyz" => match readiness::unready(appliance, SystemTime::now()) {
            Some(why @ Unready::Pods) => {
                let details = pods::unready(appliance).unwrap_or_default();
                text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}: {details}"))
            }
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            None => text(StatusCode::OK, ready(appliance)),
        },
        _ => text(StatusCode::NOT_FOUND, "/metrics, /credentials, /healthz or /readyz\n"),
    }
}

/// A large policy has a line for each rule: not on a thread that carries requests.
async fn rendered(appliance: Arc<Appliance>) -> String {
    let render = move || {
        refresh(&appliance);
        appliance.metrics.render()
    };
    tokio::task::spawn_blocking(render).await.unwrap_or_default()
}

/// A line for each part of the lock-down follows, and one for each credential that has no value: requests that need it are
/// refused, and all others served.
fn ready(appliance: &Appliance) -> String {
    let mut text = "ready\n".to_owned();
    if let Some(confinement) = appliance.confinement.get() {
        for part in Part::ALL {
            text.push_str(&format!("{}: {}\n", part.as_str(), confinement.state(part)));
        }
    }
    match appliance.programs.get().and_then(|programs| programs.is_there()) {
        Some(true) => text.push_str("programs: in force\n"),
        Some(false) => text.push_str("programs: missing (the process that runs them has ended; restart stubgate)\n"),
        None => {}
    }
    if let Some(pods) = &appliance.pods {
        text.push_str(&pods.standing());
    }
    if let Some(why) = pods::unready(appliance) {
        text.push_str(&format!("warning: agents can't be known by their pods: {why}"));
    }
    for (address, count) in appliance.gateways.many(std::time::Instant::now()) {
        text.push_str(&format!(
            "warning: {count} connections came from {address}, a node's or gateway's address: source NAT makes all agents one\n"
        ));
    }
    for name in appliance.credentials.without_value() {
        text.push_str(&format!("credential {name}: no value\n"));
    }
    text
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response
}
