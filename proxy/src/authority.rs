//! Phase *authority* (law 2): the one place that a request is for.
//!
//! Whatever names an authority (the ClientHello, CONNECT, SOCKS, absolute-form, `:authority`, Host) goes through one parser, and
//! all that were given must be equal. What the request asks of the origin is parsed here too, once: method and path.

use http::StatusCode;
use stubgate_policy::{Authority, Method, Reason, Scheme, Target};

use crate::client::Entry;
use crate::request::{Arrived, Refusal};

/// What a request is for.
pub struct Address {
    /// The one authority.
    pub authority: Authority,
    /// The method that policy decides on: WEBSOCKET for an upgrade.
    pub method: Method,
    /// The path that policy decides on, and that is sent.
    pub target: Target,
}

/// Establishes the authority, method and path of a request.
///
/// # Errors
/// `bad_authority` for none, several, or odd spellings; `authority_mismatch` where they differ; `bad_request` for
/// methods that never pass and hopeless paths.
pub fn establish(arrived: &Arrived) -> Result<Address, Refusal> {
    let scheme = arrived.client.entry.scheme();
    let authority = one_authority(scheme, arrived)?;
    match &arrived.client.entry {
        Entry::Plain | Entry::Proxy => {}
        Entry::Within { target } if *target == authority => {}
        Entry::Tls { host, tunnel: None } if host == authority.host() => {}
        Entry::Tls { tunnel: Some(tunnel), .. } if *tunnel == authority => {}
        Entry::Within { .. } | Entry::Tls { .. } => return Err(Reason::AuthorityMismatch.into()),
    }
    let method = if arrived.websocket {
        Method::websocket()
    } else {
        if matches!(arrived.method, http::Method::TRACE | http::Method::CONNECT) {
            return Err(Reason::MethodNotAllowed.into());
        }
        Method::parse(arrived.method.as_str().as_bytes()).map_err(|_| Reason::BadRequest)?
    };
    let target = Target::parse(&arrived.path).map_err(|_| Reason::BadRequest)?;
    Ok(Address { authority, method, target })
}

fn one_authority(scheme: Scheme, arrived: &Arrived) -> Result<Authority, Refusal> {
    let mut claims = arrived.claims.iter();
    let first = claims.next().ok_or(Reason::BadAuthority)?;
    let authority = Authority::parse(scheme, first).map_err(|_| Reason::BadAuthority)?;
    for claim in claims {
        // Most clients repeat the same bytes.
        if claim != first {
            let other = Authority::parse(scheme, claim).map_err(|_| Reason::BadAuthority)?;
            if other != authority {
                return Err(Reason::AuthorityMismatch.into());
            }
        }
    }
    Ok(authority)
}

/// What a refused request itself named, for its record.
pub fn claimed(arrived: &Arrived) -> Option<Authority> {
    let scheme = arrived.client.entry.scheme();
    arrived.claims.iter().rev().find_map(|claim| Authority::parse(scheme, claim).ok())
}

/// What its connection named, or what its first claim did, for the same record.
pub fn of_connection(arrived: &Arrived) -> Option<Box<str>> {
    match &arrived.client.entry {
        Entry::Within { target: tunnel } | Entry::Tls { tunnel: Some(tunnel), .. } => Some(tunnel.to_string().into()),
        Entry::Tls { host, tunnel: None } => Some(host.to_string().into()),
        Entry::Plain | Entry::Proxy => arrived.claims.first().map(|claim| String::from_utf8_lossy(claim).into()),
    }
}

/// The status that a refusal is answered with. Never 401: git and Claude Code would throw their stub away.
pub fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::AuthorityMismatch => StatusCode::MISDIRECTED_REQUEST,
        Reason::BadRequest | Reason::BadAuthority | Reason::TwoCredentials => StatusCode::BAD_REQUEST,
        // For its record: an agent is told with a Close frame.
        Reason::WebsocketProtocol => StatusCode::BAD_REQUEST,
        Reason::LimitReached => StatusCode::TOO_MANY_REQUESTS,
        Reason::Unresolvable | Reason::UpstreamTls | Reason::UpstreamUnreachable | Reason::UpstreamProtocol => {
            StatusCode::BAD_GATEWAY
        }
        Reason::UpgradeRefused | Reason::ResponseNotInspectable => StatusCode::BAD_GATEWAY,
        Reason::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        Reason::AuditFull | Reason::NotReady | Reason::ShuttingDown | Reason::CredentialMissing => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Reason::LoopDetected => StatusCode::LOOP_DETECTED,
        Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Reason::UnknownAgent
        | Reason::Quarantined
        | Reason::NameNotAllowed
        | Reason::ConnectNotAllowed
        | Reason::HostNotAllowed
        | Reason::MethodNotAllowed
        | Reason::PathNotAllowed
        | Reason::PathAmbiguous
        | Reason::DeniedByRule
        | Reason::Observed
        | Reason::StubOutOfSlot
        | Reason::StubWrongHost
        | Reason::StubNotGranted
        | Reason::StubOfOtherAgent
        | Reason::StubExpired
        | Reason::StubRevoked
        | Reason::StubForged
        | Reason::ForeignCredential
        | Reason::LoginInEscrow
        | Reason::CredentialRequired
        | Reason::StubInBody
        | Reason::CredentialInResponse
        | Reason::BodyNotAllowed
        | Reason::BodyNotInspectable
        | Reason::StubOverPlain
        | Reason::AddressNotPublic
        | Reason::OutsideCa
        | Reason::PolicyChanged => StatusCode::FORBIDDEN,
    }
}

/// Whether the same request may well be granted in a while, so that a client should try again.
pub fn is_temporary(reason: Reason) -> bool {
    match reason {
        Reason::LimitReached
        | Reason::Unresolvable
        | Reason::UpstreamUnreachable
        | Reason::UpstreamProtocol
        | Reason::UpstreamTimeout
        | Reason::CredentialMissing
        | Reason::AuditFull
        | Reason::NotReady
        | Reason::ShuttingDown
        | Reason::Internal => true,
        // A certificate that is not trusted, or a host that does not speak WebSocket, stays as it is.
        Reason::UpstreamTls
        | Reason::UpgradeRefused
        | Reason::WebsocketProtocol
        | Reason::ResponseNotInspectable
        | Reason::LoopDetected
        | Reason::AuthorityMismatch
        | Reason::BadRequest
        | Reason::BadAuthority
        | Reason::TwoCredentials
        | Reason::UnknownAgent
        | Reason::Quarantined
        | Reason::NameNotAllowed
        | Reason::ConnectNotAllowed
        | Reason::HostNotAllowed
        | Reason::MethodNotAllowed
        | Reason::PathNotAllowed
        | Reason::PathAmbiguous
        | Reason::DeniedByRule
        | Reason::Observed
        | Reason::StubOutOfSlot
        | Reason::StubWrongHost
        | Reason::StubNotGranted
        | Reason::StubOfOtherAgent
        | Reason::StubExpired
        | Reason::StubRevoked
        | Reason::StubForged
        | Reason::ForeignCredential
        | Reason::LoginInEscrow
        | Reason::CredentialRequired
        | Reason::StubInBody
        | Reason::CredentialInResponse
        | Reason::BodyNotAllowed
        | Reason::BodyNotInspectable
        | Reason::StubOverPlain
        | Reason::AddressNotPublic
        | Reason::OutsideCa
        | Reason::PolicyChanged => false,
    }
}

/// Whether a refusal means that a stub was where it has no business: alerted and counted.
pub fn is_tripwire(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::StubOutOfSlot
            | Reason::StubWrongHost
            | Reason::StubNotGranted
            | Reason::StubOfOtherAgent
            | Reason::StubRevoked
            | Reason::StubForged
            | Reason::StubInBody
            | Reason::StubOverPlain
            | Reason::CredentialInResponse
    )
}
