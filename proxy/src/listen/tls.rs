//! TLS towards agents: the ClientHello is read first, policy is asked whether this agent may reach that name at all, and
//! only then is a certificate minted.

use std::sync::Arc;

use bytes::BytesMut;
use rustls::server::Acceptor;
use stubgate_certs::{LeafName, MintError};
use stubgate_policy::{Ask, Authority, ConnectStage, Decision, Host, Name, Reason, Scheme};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;

use super::refuse::Unserved;
use super::{h1, h2};
use crate::appliance::Appliance;
use crate::budget::Limit;
use crate::ca;
use crate::client::{Client, Entry, Whence};
use crate::identify::identify;
use crate::record::{Event, Layer, Line};
use crate::request::Refusal;
use crate::stream::{Socket, Stream};

/// A fatal `unrecognized_name` alert (RFC 6066 section 3), as a plaintext record.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// Takes a TLS connection through its handshake and serves what is inside. `tunnel` is the target of CONNECT or SOCKS around it.
pub(super) async fn serve(appliance: &Arc<Appliance>, socket: Socket, whence: Whence, tunnel: Option<Authority>) {
    // By itself, so that its state is given back before the connection is served.
    let Some((stream, client, is_h2)) = Box::pin(handshake(appliance, socket, whence, tunnel)).await else { return };
    if is_h2 {
        h2::serve(appliance, stream, client).await;
    } else {
        h1::serve(appliance, stream, BytesMut::new(), client).await;
    }
}

/// The handshake; what it led to, and whether that is HTTP/2. What fails is recorded.
async fn handshake(
    appliance: &Arc<Appliance>,
    socket: Socket,
    whence: Whence,
    tunnel: Option<Authority>,
) -> Option<(Stream, Client, bool)> {
    let deadline = Instant::now() + appliance.timeouts.handshake;
    let mut hello = std::pin::pin!(LazyConfigAcceptor::new(Acceptor::default(), socket));
    let started = match timeout_at(deadline, hello.as_mut()).await {
        Ok(Ok(started)) => started,
        Ok(Err(_)) => {
            record(appliance, &whence, None, Reason::BadRequest.into());
            return None;
        }
        Err(_) => {
            appliance.metrics.limit_reached(Limit::Handshake).inc();
            record(appliance, &whence, None, Reason::LimitReached.into());
            return None;
        }
    };
    let host = match host(started.client_hello().server_name(), tunnel.as_ref()) {
        Ok(host) => host,
        Err(refusal) => {
            alert(appliance, started.io, &whence, tunnel.as_ref(), refusal).await;
            return None;
        }
    };
    let authority =
        tunnel.clone().unwrap_or_else(|| Authority::new(Scheme::Https, host.clone(), Scheme::Https.default_port()));
    let (agent, paid) = match reach(appliance, &whence, &authority, tunnel.is_some()) {
        Ok(reached) => reached,
        Err(refusal) => {
            alert(appliance, started.io, &whence, Some(&authority), refusal).await;
            return None;
        }
    };
    // Signing is what costs most here: an agent that floods waits for itself (TL-07, TL-23).
    let Ok(turn) = timeout_at(deadline, appliance.handshakes.turn(&agent)).await else {
        appliance.metrics.limit_reached(Limit::HandshakesPerAgent).inc();
        record(appliance, &whence, Some(&authority), Reason::LimitReached.into());
        return None;
    };
    let name = match &host {
        Host::Name(name) => LeafName::Dns(name.as_str()),
        Host::Ip(ip) => LeafName::Ip(*ip),
    };
    appliance.authorities.hear(&agent, whence.peer.ip());
    let config = match appliance.minter.server_config(&name).await {
        Ok(config) => config,
        Err(MintError::Constrained) => {
            // Its record is enough: an agent may try as often as it likes.
            tracing::debug!(%host, "policy allows a host that the CA may not sign for: it lies outside of its name constraints");
            alert(appliance, started.io, &whence, Some(&authority), Reason::OutsideCa.into()).await;
            return None;
        }
        Err(error) => {
            tracing::error!(%error, %host, "no certificate could be minted");
            record(appliance, &whence, Some(&authority), Reason::Internal.into());
            return None;
        }
    };
    let tls = match timeout_at(deadline, started.into_stream(config).into_fallible()).await {
        Ok(Ok(tls)) => tls,
        // The connection ends when its record is written.
        Ok(Err((error, _open))) if is_ours(&error) => {
            record(appliance, &whence, Some(&authority), Reason::BadRequest.into());
            return None;
        }
        Ok(Err((error, _open))) => {
            // An agent that does not trust our certificate, or went away.
            if ca::distrusted(appliance, &error) {
                let peer = whence.peer.ip();
                tracing::warn!(agent = &*agent, %peer, %host, "an agent distrusts the CA: it ended a handshake");
            }
            tracing::debug!(peer = %whence.peer.address, %authority, "a TLS handshake with an agent failed");
            return None;
        }
        Err(_) => {
            tracing::debug!(peer = %whence.peer.address, %authority, "a TLS handshake with an agent failed");
            return None;
        }
    };
    drop(turn);
    let is_h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    let client = Whence { paid, ..whence }.client(Entry::Tls { host, tunnel });
    Some((Stream::Tls(Box::new(tls.into())), client, is_h2))
}

/// Whether it was us who ended a handshake: an old version, nothing in common, a malformed message.
fn is_ours(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    cause.is_some_and(|cause| !matches!(cause, rustls::Error::AlertReceived(_)))
}

/// The host that a connection is for. Without a tunnel only SNI tells it. In one it must be the target's; an IP
/// literal can't be in SNI, so there its absence counts as equal.
fn host(sni: Option<&str>, tunnel: Option<&Authority>) -> Result<Host, Refusal> {
    let named = match sni {
        Some(name) => Some(Name::parse(name.as_bytes()).map(Host::Name).map_err(|_| Reason::BadAuthority)?),
        None => None,
    };
    match (named, tunnel) {
        (Some(host), None) => Ok(host),
        (Some(host), Some(tunnel)) if host == *tunnel.host() => Ok(host),
        (None, Some(tunnel)) if matches!(tunnel.host(), Host::Ip(_)) => Ok(tunnel.host().clone()),
        (None, _) => Err(Reason::BadAuthority.into()),
        (Some(_), Some(_)) => Err(Reason::AuthorityMismatch.into()),
    }
}

/// Asks policy at the *connect* stage. By SNI alone the port is not known yet, so a name that is allowed on another port
/// must pass here too; the request stage decides on the port. Beside the agent: whether the first request is paid for.
///
/// An agent without requests for this minute is refused here as far as records go, and has its handshake all the same:
/// what it asks inside is told 429, and when that lifts, where an alert would say nothing.
fn reach(
    appliance: &Appliance,
    whence: &Whence,
    authority: &Authority,
    has_port: bool,
) -> Result<(Arc<str>, bool), Refusal> {
    let snapshot = appliance.snapshot.load();
    let (agent, agent_name) = identify(appliance, &snapshot, &whence.peer)?;
    match snapshot.policy.decide(&Ask::new(agent, ConnectStage { authority })) {
        Decision::Allow(_) => {}
        Decision::Deny(denial) if has_port || !name_is_allowed(&snapshot, agent, authority) => {
            return Err(Refusal { reason: denial.reason, rule: denial.rule, stub_of: None });
        }
        Decision::Deny(_) => {}
        Decision::Answer(_) => return Err(Reason::ConnectNotAllowed.into()),
    }
    if let Host::Name(name) = authority.host() {
        appliance.budgets.name(&snapshot.policy, agent, name).map_err(|_| Reason::LimitReached)?;
    }
    let taken = if whence.paid { Ok(true) } else { appliance.budgets.connection(&snapshot.policy, agent, &agent_name) };
    let Ok(paid) = taken else {
        record(appliance, whence, Some(authority), Reason::LimitReached.into());
        return Ok((agent_name, false));
    };
    let line = Line {
        agent: Some(snapshot.policy.agent(agent).name()),
        peer: Some(whence.peer.address),
        original: whence.original,
        authority: Some(authority),
        decision: Some("allow"),
        policy: Some(snapshot.policy.fingerprint()),
        ..Line::new(Event::Allowed, Layer::Tls)
    };
    // Carries nothing yet; each request on it has its own record and its own refusal.
    let _ = appliance.audit.write(&line);
    Ok((agent_name, paid))
}

fn name_is_allowed(
    snapshot: &crate::snapshot::Snapshot,
    agent: stubgate_policy::AgentId,
    authority: &Authority,
) -> bool {
    let Host::Name(name) = authority.host() else { return false };
    let kind = stubgate_policy::QueryKind::A;
    let asked = snapshot.policy.decide(&Ask::new(agent, stubgate_policy::NameStage { name, kind }));
    matches!(asked, Decision::Allow(stubgate_policy::NameGrant::Advertise))
}

async fn alert(
    appliance: &Appliance,
    mut io: Socket,
    whence: &Whence,
    authority: Option<&Authority>,
    refusal: Refusal,
) {
    record(appliance, whence, authority, refusal);
    // Best effort: the connection ends in any case.
    let _ = io.write_all(&UNRECOGNIZED_NAME).await;
    let _ = io.shutdown().await;
}

fn record(appliance: &Appliance, whence: &Whence, authority: Option<&Authority>, refusal: Refusal) {
    Unserved::at(Layer::Tls, authority).record(appliance, whence, &refusal);
}
