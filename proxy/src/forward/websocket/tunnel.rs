//! What follows a 101: frames both ways until one side ends, nothing moves for too long, policy changes, or a frame is
//! refused.
//!
//! Both directions are parsed, whoever sends (law 7: what is behind may be no stronger than the frames it expects), and
//! looked into: stubs towards the origin are counted, or end the tunnel where a rule says so (law 3); credentials towards
//! the agent are replaced (law 4), those of now, however long ago the tunnel began. A tunnel that had to
//! be ended is recorded with its reason before either side is told (law 8).

use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use http::header;
use http::{Response, StatusCode};
use stubgate_h1::ResponseHead;
use stubgate_policy::Reason;
use stubgate_scrub::Scrubber;
use stubgate_websocket::{Limits, Sender, close_frame};

use super::declare;
use super::farewell;
use super::flow::{Broken, Fault, Flow, Look};
use super::reframe::Reframe;
use crate::appliance::Appliance;
use crate::budget::Limit;
use crate::config;
use crate::deadline::Deadline;
use crate::forward::pool::UpstreamH1;
use crate::headers;
use crate::live::Underway;
use crate::respond::ResponseBody;
use crate::snapshot::StubScanner;
use crate::stream::Stream;
use crate::stubs::StubWatch;
use crate::transaction::{Outcome, Transaction};

/// The innocent side of a refusal: towards an origin, an agent that leaves.
const GOING_AWAY: u16 = 1001;
/// Of a stub where a rule denies it.
const POLICY_VIOLATION: u16 = 1008;
/// The innocent side of a refusal: towards an agent, an origin that can't be relayed (IANA's registry).
const BAD_GATEWAY: u16 = 1014;

/// A WebSocket that was agreed on.
pub struct Tunnel {
    io: Stream,
    read: BytesMut,
    rules: Rules,
    underway: Underway,
    transaction: Transaction,
}

/// What its frames are held to.
pub(crate) struct Rules {
    /// For either side.
    limits: Limits,
    /// Control frames a second, for either side.
    controls: u32,
    /// What is looked for in what the agent sends.
    stubs: StubWatch,
    /// Whether one of them ends the tunnel.
    deny_stubs: bool,
}

impl Rules {
    /// As configured and as the rule says.
    pub(crate) fn new(limits: &config::Limits, stubs: StubScanner, deny_stubs: bool) -> Self {
        Rules {
            limits: Limits { message_bytes: limits.websocket_message_bytes, ..Limits::default() },
            controls: limits.websocket_control_frames_per_second,
            stubs: StubWatch::new(stubs),
            deny_stubs,
        }
    }
}

/// Hands the tunnel to whoever writes the 101; cloned by nobody in fact, as an extension must be.
#[derive(Clone)]
pub(crate) struct TunnelSlot(pub(crate) Arc<std::sync::Mutex<Option<Tunnel>>>);

/// How a tunnel ended.
enum End {
    Of(Outcome),
    Refused(Sender, Fault),
}

impl Tunnel {
    pub(in crate::forward) fn response(
        head: ResponseHead,
        upstream: UpstreamH1,
        rules: Rules,
        underway: Underway,
        mut transaction: Transaction,
    ) -> Response<ResponseBody> {
        transaction.answered(StatusCode::SWITCHING_PROTOCOLS);
        let (io, read) = upstream.conn.into_parts();
        let tunnel = Tunnel { io, read, rules, underway, transaction };
        let mut fields = head.headers;
        headers::strip_response(&mut fields);
        fields.remove(header::CONTENT_LENGTH);
        declare(&mut fields);
        let mut response = Response::new(ResponseBody::Empty);
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = fields;
        response.extensions_mut().insert(TunnelSlot(Arc::new(std::sync::Mutex::new(Some(tunnel)))));
        response
    }

    /// Moves frames both ways. `from_client` is what the client sent behind its handshake.
    pub async fn run(self, appliance: &Appliance, mut client: Stream, from_client: BytesMut) {
        let Tunnel { mut io, read, rules, underway, mut transaction } = self;
        let Rules { limits, controls, stubs, deny_stubs } = rules;
        let look = Look::Stubs { watch: stubs, deny: deny_stubs };
        let already = from_client.len();
        let mut up = Flow::new(Sender::Client, limits, controls, look, from_client);
        if up.charge(transaction.spending.charge().cloned(), already).is_err() {
            return transaction.end(Outcome::Aborted);
        }
        let scrubber = Scrubber::clone(&appliance.credentials.scrubber());
        let look = Look::Credentials(Box::new(Reframe::new(scrubber, crate::scrub::held(appliance))));
        let mut down = Flow::new(Sender::Server, limits, controls, look, read);
        let mut deadline = Deadline::new(appliance.timeouts.tunnel_idle);
        let end = poll_fn(|cx| {
            if underway.poll_cut(cx).is_ready() {
                return Poll::Ready(End::Of(Outcome::Cut));
            }
            down.renew(&appliance.credentials.scrubber());
            let before = up.moved + down.moved;
            let sent = up.poll(&mut client, &mut io, cx);
            let received = down.poll(&mut io, &mut client, cx);
            // At once: the tunnel may last for hours.
            transaction.scrubbed(&down.take_tally());
            if up.moved + down.moved != before {
                deadline.touch();
            }
            match (sent, received) {
                (Poll::Ready(Err(Broken::Fault(fault))), _) => Poll::Ready(End::Refused(Sender::Client, fault)),
                (_, Poll::Ready(Err(Broken::Fault(fault)))) => Poll::Ready(End::Refused(Sender::Server, fault)),
                (Poll::Ready(Err(Broken::Io)), _) | (_, Poll::Ready(Err(Broken::Io))) => {
                    Poll::Ready(End::Of(Outcome::Aborted))
                }
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(End::Of(Outcome::Complete)),
                _ => deadline.poll(cx).map(|()| {
                    transaction.timed_out(Limit::TunnelIdle);
                    End::Of(Outcome::Aborted)
                }),
            }
        })
        .await;
        transaction.bytes_out = down.moved;
        transaction.sent(up.moved, up.stubs);
        match end {
            End::Of(Outcome::Complete) if up.is_cut_short() || down.is_cut_short() => {
                transaction.end(Outcome::Aborted);
            }
            End::Of(outcome) => transaction.end(outcome),
            End::Refused(sender, fault) => {
                let (to_client, to_origin) = closes(sender, fault, &transaction.known.id);
                let (reason, note) = told(sender, fault);
                transaction.end_refused(reason, &note);
                tokio::join!(
                    farewell::say(&mut client, down.into_outbox(), to_client),
                    farewell::say(&mut io, up.into_outbox(), to_origin),
                );
            }
        }
    }
}

/// Reason and note of a refusal, for its record.
fn told(sender: Sender, fault: Fault) -> (Reason, String) {
    let who = match sender {
        Sender::Client => "agent",
        Sender::Server => "origin",
    };
    match fault {
        Fault::Frames(violation) => (Reason::WebsocketProtocol, format!("{who}: {violation}")),
        Fault::Stub => (Reason::StubInBody, format!("{who}: a stub in a frame")),
    }
}

/// The Close frames to the agent and to the origin. The agent is told why; an origin is not told that we are there.
fn closes(sender: Sender, fault: Fault, id: &str) -> (Vec<u8>, Vec<u8>) {
    let (code, why) = match fault {
        Fault::Frames(violation) => (violation.close_code(), violation.to_string()),
        Fault::Stub => (POLICY_VIOLATION, Reason::StubInBody.hint().to_owned()),
    };
    let (to_client, to_origin) = match sender {
        Sender::Client => (code, GOING_AWAY),
        Sender::Server => (BAD_GATEWAY, code),
    };
    // Masked, as a client's frames are; it hides nothing here.
    let [a, b, c, d, ..] = RandomState::new().hash_one(id).to_ne_bytes();
    let why = match sender {
        Sender::Client => format!("stubgate: {why} ({id})"),
        Sender::Server => format!("stubgate: from the host: {why} ({id})"),
    };
    (close_frame(Sender::Server, to_client, &why, [0; 4]), close_frame(Sender::Client, to_origin, "", [a, b, c, d]))
}
