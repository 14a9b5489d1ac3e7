//! Phase *forward*: to the origin that the permit names, and to no other.
//!
//! Resolve, vet the addresses, dial one of them, verify TLS for that name; or take a connection that was made so before,
//! for the same agent and authority. Then, as the last step, swap and send. A head is written anew from its parts; raw
//! bytes are relayed only after a correct 101.
//!
//! Which version of HTTP is spoken to the origin follows the client where the origin allows it, since then nothing needs
//! translating (interim responses, upgrades, trailers); where it does not, the other one is used.

pub mod dial;
mod h1;
mod h2;
pub mod pool;
mod relay;
pub(crate) mod websocket;

use std::sync::Arc;

use http::{HeaderMap, Response, header};
use http_body::Body as _;
use stubgate_credentials::Granted;
use stubgate_policy::{Permit, Reason};

pub use pool::Pool;
pub use relay::{Relay, RelayError};
pub use websocket::Tunnel;

use crate::appliance::Appliance;
use crate::body::{RequestBody, Watched};
use crate::decide::Permitted;
use crate::headers;
use crate::identify::still;
use crate::live::{Pace, Underway};
use crate::request::Refusal;
use crate::respond::ResponseBody;
use crate::scrub;
use crate::snapshot::Snapshot;
use crate::swap::{self, Place, Verified};
use crate::transaction::Transaction;
use dial::Wanted;
use pool::{Key, Turn, Upstream};

/// A request ready for an origin: everything but the credential, which goes in last.
pub(crate) struct Outgoing {
    method: http::Method,
    /// Path and query.
    target: String,
    headers: HeaderMap,
    body: Watched,
    permit: Permit,
    place: Option<Place>,
    snapshot: Arc<Snapshot>,
    /// What a WebSocket's handshake asked for, and what its frames are held to.
    websocket: Option<Box<(websocket::Handshake, websocket::Rules)>>,
    /// gRPC, whose trailers say how a call ended.
    is_grpc: bool,
    /// A client that can be sent interim responses.
    interim: Option<stubgate_h1::SharedConn<crate::stream::Stream>>,
    is_begun: bool,
    underway: Underway,
    transaction: Transaction,
}

/// Why a request did not get its response.
pub(crate) enum Failure {
    /// To be told to the agent.
    Refused(Refusal, Box<Outgoing>),
    /// A pooled connection had gone stale before a byte of response came; the request can be sent again.
    Stale(Box<Outgoing>),
}

impl Failure {
    fn new(reason: Reason, outgoing: Box<Outgoing>) -> Self {
        Failure::Refused(reason.into(), outgoing)
    }
}

/// Forwards a request.
///
/// # Errors
/// The refusal to tell, with the request whose transaction it is recorded in.
pub(crate) async fn forward(
    appliance: &Arc<Appliance>,
    mut outgoing: Box<Outgoing>,
) -> Result<Response<ResponseBody>, (Refusal, Box<Outgoing>)> {
    let key = Key::new(&outgoing.transaction.known, outgoing.permit.authority());
    let wanted = if outgoing.websocket.is_some() {
        Wanted::H1Only
    } else if outgoing.transaction.known.protocol == "h2" {
        Wanted::H2First
    } else {
        Wanted::H1First
    };
    let mut may_reuse = true;
    loop {
        let waiting = if may_reuse { appliance.pool.take(&key, wanted) } else { None };
        let upstream = match waiting {
            Some(upstream) => upstream,
            // Several KiB of state that most requests never need.
            None => match Box::pin(connect(appliance, &key, wanted, may_reuse, &outgoing)).await {
                Ok(upstream) => upstream,
                Err(refusal) => return Err((refusal, outgoing)),
            },
        };
        let sent = match upstream {
            Upstream::H1(upstream) => h1::exchange(appliance, upstream, key.clone(), outgoing).await,
            Upstream::H2(upstream) => h2::exchange(appliance, upstream, outgoing).await,
        };
        match sent {
            Ok(response) => return Ok(response),
            Err(Failure::Refused(refusal, outgoing)) => return Err((refusal, outgoing)),
            Err(Failure::Stale(outgoing)) if !may_reuse => {
                // It was not stale but fresh: the origin ends what it accepts.
                return Err((Reason::UpstreamUnreachable.into(), outgoing));
            }
            Err(Failure::Stale(again)) => {
                outgoing = again;
                may_reuse = false;
            }
        }
    }
}

/// Makes a connection to the origin.
async fn connect(
    appliance: &Arc<Appliance>,
    key: &Key,
    wanted: Wanted,
    may_reuse: bool,
    outgoing: &Outgoing,
) -> Result<Upstream, Refusal> {
    let connecting = async {
        if wanted == Wanted::H1Only {
            return dial(appliance, key, wanted, outgoing).await;
        }
        loop {
            if may_reuse && let Some(upstream) = appliance.pool.take(key, wanted) {
                return Ok(upstream);
            }
            match appliance.pool.flights.turn(key) {
                Turn::Dial(dialling) => {
                    let dialled = dial(appliance, key, wanted, outgoing).await;
                    dialling.landed(dialled.as_ref().map(|_| ()).map_err(|refusal| *refusal));
                    return dialled;
                }
                Turn::Wait(waiting) => match waiting.landed().await {
                    Some(Ok(())) => break,
                    Some(Err(refusal)) => return Err(refusal),
                    // Whoever dialled has left.
                    None => {}
                },
            }
        }
        match appliance.pool.take(key, wanted) {
            Some(upstream) if may_reuse || matches!(upstream, Upstream::H2(_)) => Ok(upstream),
            // For one request at a time.
            _ => dial(appliance, key, wanted, outgoing).await,
        }
    };
    tokio::select! {
        connected = connecting => connected,
        () = std::future::poll_fn(|cx| outgoing.underway.poll_cut(cx)) => Err(outgoing.cut_reason().into()),
    }
}

async fn dial(appliance: &Arc<Appliance>, key: &Key, wanted: Wanted, outgoing: &Outgoing) -> Result<Upstream, Refusal> {
    let dialled = appliance.dialer.dial(outgoing.permit.authority(), wanted).await?;
    pool::open(appliance, key, dialled).await
}

/// Readies a permitted request for its origin, and enters it among what is under way.
///
/// # Errors
/// The refusal to tell, with the transaction to record it in.
pub(crate) fn prepare(
    appliance: &Arc<Appliance>,
    permitted: Box<Permitted>,
    mut transaction: Transaction,
) -> Result<Box<Outgoing>, (Refusal, Box<Transaction>)> {
    let Permitted { identified, address, permit, place, question } = *permitted;
    let crate::identify::Identified { arrived, snapshot, agent, agent_name } = identified;
    let mut headers = arrived.headers;
    transaction.permit(&snapshot, &permit);
    if permit.swap().is_some_and(|swap| !appliance.credentials.available(&swap.name)) {
        // Told before anything is dialled; `seal` asks again.
        return Err((Reason::CredentialMissing.into(), Box::new(transaction)));
    }
    let is_opaque = headers.contains_key(header::CONTENT_ENCODING) || scrub::has_inner_coding(&headers);
    if permit.stub_in_body_denied() && is_opaque {
        // What can't be inspected under such a rule is refused (law 9).
        return Err((Reason::StubInBody.into(), Box::new(transaction)));
    }
    if !scrub::is_answerable(appliance, &permit, &headers) {
        return Err((Reason::ResponseNotInspectable.into(), Box::new(transaction)));
    }
    let handshake = if arrived.websocket { websocket::Handshake::take(&mut headers) } else { None };
    let websocket = handshake.map(|handshake| {
        let rules = websocket::Rules::new(&appliance.limits, snapshot.stubs.clone(), permit.stub_in_body_denied());
        Box::new((handshake, rules))
    });
    let is_grpc = headers::is_grpc(&headers);
    headers::strip_request(&mut headers);
    scrub::ask(appliance, &permit, &mut headers);
    if is_grpc {
        headers.insert(header::TE, http::HeaderValue::from_static("trailers"));
    }
    let mut target = String::with_capacity(address.target.as_str().len() + 64);
    target.push_str(address.target.as_str());
    if let Some(query) = &arrived.query {
        target.push('?');
        // The head's parser let ASCII through only.
        target.push_str(&String::from_utf8_lossy(query));
    }
    let body = if arrived.body.is_end_stream() { RequestBody::Empty } else { arrived.body };
    // What was taken in waits for us, not for its agent.
    let is_taken = matches!(body, RequestBody::Whole(_));
    let mut body = Watched::new(body, snapshot.stubs.clone(), permit.stub_in_body_denied());
    body.charge(transaction.spending.charge().cloned());
    transaction.watch(body.passed());
    let peer = arrived.client.peer;
    let question = Arc::new(question);
    let pace = Pace {
        since: arrived.at,
        most: websocket.is_none().then_some(appliance.timeouts.request),
        body: (websocket.is_none() && !is_grpc && !is_taken && !body.is_end_stream()).then(|| body.passed()),
        spending: transaction.spending.end().clone(),
    };
    let underway = appliance.live.enter(peer, Arc::clone(&question), pace);
    let now = appliance.snapshot.load();
    // What happened since the decision did not see this request among what is under way: a reload, the end of a pod.
    let whose = still(appliance, &now.policy, &peer, &agent_name);
    if whose.is_none() || now.generation != snapshot.generation && !question.holds_under(&now, whose) {
        return Err((Reason::PolicyChanged.into(), Box::new(transaction)));
    }
    if snapshot.policy.agent(agent).is_shut() {
        // Nor did a quarantine since then.
        return Err((Reason::Quarantined.into(), Box::new(transaction)));
    }
    Ok(Box::new(Outgoing {
        method: arrived.method,
        target,
        headers,
        body,
        permit,
        place,
        snapshot,
        websocket,
        is_grpc,
        interim: arrived.interim,
        is_begun: false,
        underway,
        transaction,
    }))
}

impl Outgoing {
    /// What its refusal is recorded with; the rest is let go.
    pub(crate) fn into_refused(self: Box<Self>) -> (Arc<Snapshot>, Transaction) {
        let Outgoing { snapshot, transaction, .. } = *self;
        (snapshot, transaction)
    }

    /// The body, for whoever sends it.
    fn take_body(&mut self) -> Watched {
        std::mem::replace(&mut self.body, Watched::empty())
    }

    /// Why it was cut.
    fn cut_reason(&self) -> Reason {
        if self.transaction.spending.reached().is_some() { Reason::LimitReached } else { Reason::PolicyChanged }
    }

    /// The last step before the bytes go: the `begin` record, then the credential.
    async fn seal(&mut self, appliance: &Appliance, verified: Option<&Verified>) -> Result<(), Refusal> {
        if self.underway.is_cut() {
            return Err(self.cut_reason().into());
        }
        if self.permit.swap().is_some() && verified.is_none_or(|verified| verified.0 != *self.permit.authority()) {
            // No path leads here; the credential may be in its place already.
            return Err(Reason::Internal.into());
        }
        // From here on it is this value and no other, so that the record that comes before names what goes.
        let granted = self.permit.swap().map(|_| appliance.credentials.granted(&self.snapshot.policy, &self.permit));
        let granted = granted.transpose().map_err(|_| Reason::CredentialMissing)?;
        let version = granted.as_ref().map(Granted::version);
        if self.is_begun {
            // Sent once more, with the value that is in its place already: not where that is no longer the one in use.
            return if version == self.transaction.version() { Ok(()) } else { Err(Reason::CredentialMissing.into()) };
        }
        self.transaction.begin(&self.snapshot, &self.permit, version).await?;
        if self.underway.is_cut() {
            return Err(self.cut_reason().into());
        }
        swap::ask_for_all(&self.permit, &mut self.headers);
        if let Some(granted) = granted {
            let place = self.place.as_ref().ok_or(Reason::Internal)?;
            swap::put_in(&granted, &self.permit, place, verified, &mut self.headers)?;
        }
        self.is_begun = true;
        Ok(())
    }
}
