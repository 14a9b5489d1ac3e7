//! TCP (RFC 7766): a task for each connection, which decides what stands in its buffer in one go and answers forwarded
//! questions as they come back, in any order. A client that is slow to ask or to read, or asks for too much at once, loses
//! its connection and nothing else.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use stubgate_policy::{AgentId, Reason};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Instant, timeout},
};

use super::Service;
use crate::{
    Peer, QueryOutcome, QueryRecord, Stamp, Transport,
    respond::{Batch, Source},
    wire::MAX_QUERY,
};

/// Questions of one connection that are decided together, and that may be with other servers at once.
const PIPELINE: usize = 32;
/// Room for what one read may bring.
const READ: usize = 4096;
/// How long to rest after an error of the listener itself, such as no file descriptors left.
const REST: Duration = Duration::from_millis(50);

/// `stamp` is of everyone who connects here, if they are known by that.
pub(super) async fn serve(listener: TcpListener, stamp: Option<Stamp>, service: Arc<Service>) -> io::Result<()> {
    let mut cancelled = pin!(service.shutdown.cancelled());
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut cancelled => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let stamp = stamp.unwrap_or_else(|| service.surroundings.stamp(address));
                admit(stream, Peer { address, stamp }, &service);
            }
            Err(error) => {
                tracing::warn!(%error, "DNS connection not accepted");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Gives a connection its task, if its agent has room for one more.
fn admit(stream: TcpStream, peer: Peer, service: &Arc<Service>) {
    let policy = service.surroundings.policy();
    let agent = service.surroundings.identify(&policy, &peer);
    let slots = service.responder.allowances.open(&policy).of(agent).connections.clone();
    let Ok(slot) = slots.try_acquire_owned() else {
        let record = unreadable((agent, peer.address), QueryOutcome::RateLimited, Reason::LimitReached);
        service.surroundings.record(&policy, &[record]);
        return;
    };
    let connection = Connection::new(stream, peer, service.clone());
    service.underway.spawn(async move {
        connection.run().await;
        drop(slot);
    });
}

/// What a forwarded question came to; `None` if nothing may be sent.
type Returned = Option<Vec<u8>>;

struct Connection {
    stream: TcpStream,
    peer: Peer,
    service: Arc<Service>,
    batch: Batch,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Forwarded questions whose answers are still to come.
    awaited: usize,
    returned: (mpsc::Sender<Returned>, mpsc::Receiver<Returned>),
}

impl Connection {
    fn new(stream: TcpStream, peer: Peer, service: Arc<Service>) -> Connection {
        Connection {
            stream,
            peer,
            service,
            batch: Batch::new(Transport::Tcp),
            inbox: Vec::new(),
            outbox: Vec::new(),
            awaited: 0,
            returned: mpsc::channel(PIPELINE),
        }
    }

    async fn run(mut self) {
        let service = self.service.clone();
        let idle = service.config.tcp_idle;
        let mut cancelled = pin!(service.shutdown.cancelled());
        let mut deadline = pin!(tokio::time::sleep(idle));
        let mut open = true;
        while open || self.awaited > 0 {
            self.inbox.reserve(READ);
            tokio::select! {
                biased;
                Some(answer) = self.returned.1.recv(), if self.awaited > 0 => {
                    self.awaited -= 1;
                    if let Some(answer) = answer {
                        put(&mut self.outbox, &answer);
                    }
                }
                () = &mut cancelled, if open => open = false,
                // Whoever waits for another server's answer is not idle.
                () = &mut deadline, if self.awaited == 0 => return,
                read = self.stream.read_buf(&mut self.inbox), if open && self.awaited < PIPELINE => match read {
                    Ok(0) => open = false,
                    Ok(_) => {}
                    Err(_) => return,
                },
            }
            let progress = !self.outbox.is_empty() || open && self.take_questions(&mut open);
            if !self.outbox.is_empty() {
                match timeout(idle, self.stream.write_all(&self.outbox)).await {
                    Ok(Ok(())) => self.outbox.clear(),
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            if progress {
                deadline.as_mut().reset(Instant::now() + idle);
            }
        }
    }

    /// Decides the whole questions in the inbox; whether there were any. Closes `open` if no more may be read.
    fn take_questions(&mut self, open: &mut bool) -> bool {
        let mut taken = false;
        while *open {
            let Some((questions, used)) = questions(&self.inbox, PIPELINE - self.awaited) else {
                let policy = self.service.surroundings.policy();
                let agent = self.service.surroundings.identify(&policy, &self.peer);
                let record = unreadable((agent, self.peer.address), QueryOutcome::Malformed, Reason::BadRequest);
                self.service.surroundings.record(&policy, &[record]);
                *open = false;
                break;
            };
            if questions.is_empty() {
                break;
            }
            taken = true;
            let source = Source { peer: self.peer.address, local: None, stamp: Some(self.peer.stamp) };
            let arrived = questions.into_iter().map(|question| (source, question));
            *open = self.service.take(&mut self.batch, arrived);
            if !*open {
                break;
            }
            self.inbox.drain(..used);
            for (_, answer) in self.batch.answers() {
                put(&mut self.outbox, answer);
            }
            for forward in self.batch.forwards.drain(..) {
                self.awaited += 1;
                let (service, returned) = (self.service.clone(), self.returned.0.clone());
                self.service.underway.spawn(async move {
                    let answer = service.forward(forward).await;
                    // Fails only if the connection is gone.
                    let _ = returned.send(answer).await;
                });
            }
        }
        taken
    }
}

/// Up to `most` whole messages at the start of `bytes`, and how many bytes they take with their lengths. `None` if one
/// announces a length that no question has.
fn questions(bytes: &[u8], most: usize) -> Option<(Vec<&[u8]>, usize)> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while found.len() < most {
        let Some((length, tail)) = rest.split_first_chunk::<2>() else { break };
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 || length > MAX_QUERY {
            return if found.is_empty() { None } else { Some((found, bytes.len() - rest.len())) };
        }
        let Some((message, tail)) = tail.split_at_checked(length) else { break };
        found.push(message);
        rest = tail;
    }
    Some((found, bytes.len() - rest.len()))
}

/// Appends a message with its length. Answers are far below 64 KiB, or came with a 16-bit length themselves.
fn put(outbox: &mut Vec<u8>, answer: &[u8]) {
    if let Ok(length) = u16::try_from(answer.len()) {
        outbox.extend_from_slice(&length.to_be_bytes());
        outbox.extend_from_slice(answer);
    }
}

/// The record of something that has no question.
fn unreadable(
    (agent, peer): (Option<AgentId>, SocketAddr),
    outcome: QueryOutcome,
    reason: Reason,
) -> QueryRecord<'static> {
    QueryRecord {
        agent,
        peer,
        transport: Transport::Tcp,
        name: None,
        qtype: 0,
        outcome,
        rule: None,
        reason: Some(reason),
        micros: 0,
    }
}
