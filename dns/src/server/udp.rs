//! The UDP loop of one socket: read what is there, decide it in one go, record it, send. No task for what is answered
//! here; only a forwarded question gets one.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use tokio::net::UdpSocket;

use super::Service;
use crate::{Transport, respond::Batch};

/// Datagrams decided together.
const BATCH: usize = 64;
/// Room for one datagram; what fills it was longer, and is no question that anybody sends.
const SLOT: usize = 1536;
/// How long to rest after an error of the socket itself, so that a lasting one doesn't spin.
const REST: Duration = Duration::from_millis(20);

pub(super) async fn serve(socket: UdpSocket, service: Arc<Service>) {
    let socket = Arc::new(socket);
    let mut inbox = Inbox::new();
    let mut batch = Batch::new(Transport::Udp);
    let mut cancelled = pin!(service.shutdown.cancelled());
    loop {
        tokio::select! {
            biased;
            () = &mut cancelled => return,
            ready = socket.readable() => if let Err(error) = ready {
                tracing::warn!(%error, "DNS socket failed");
                tokio::time::sleep(REST).await;
            }
        }
        if let Err(error) = inbox.fill(&socket) {
            tracing::warn!(%error, "DNS socket failed");
            tokio::time::sleep(REST).await;
        }
        if inbox.is_empty() || !service.take(&mut batch, inbox.arrived()) {
            continue;
        }
        for (peer, answer) in batch.answers() {
            send(&socket, peer, answer);
        }
        for forward in batch.forwards.drain(..) {
            let (socket, service, peer) = (socket.clone(), service.clone(), forward.peer);
            service.clone().underway.spawn(async move {
                if let Some(answer) = service.forward(forward).await {
                    send(&socket, peer, &answer);
                }
            });
        }
        if inbox.is_full() {
            // More is waiting; others want to run too.
            tokio::task::yield_now().await;
        }
    }
}

/// Sends, or drops the answer as any network may: the client asks again.
fn send(socket: &UdpSocket, peer: SocketAddr, answer: &[u8]) {
    if let Err(error) = socket.try_send_to(answer, peer) {
        tracing::debug!(%error, "DNS answer dropped");
    }
}

struct Inbox {
    room: Vec<u8>,
    filled: Vec<(usize, SocketAddr)>,
}

impl Inbox {
    fn new() -> Inbox {
        Inbox { room: vec![0; BATCH * SLOT], filled: Vec::with_capacity(BATCH) }
    }

    /// Reads until nothing more is there or the batch is full. What was read before an error counts.
    fn fill(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.filled.clear();
        for slot in self.room.chunks_exact_mut(SLOT) {
            match socket.try_recv_from(slot) {
                Ok(datagram) => self.filled.push(datagram),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn arrived(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        self.room.chunks_exact(SLOT).zip(&self.filled).map(|(slot, (length, peer))| {
            // A datagram that was cut is handed on without its header, as one that must not be answered.
            (*peer, if *length < SLOT { slot.get(..*length).unwrap_or_default() } else { &[] })
        })
    }

    fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    fn is_full(&self) -> bool {
        self.filled.len() == BATCH
    }
}
