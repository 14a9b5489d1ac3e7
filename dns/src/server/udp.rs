//! The UDP loop of one socket, on a thread of its own: read what is there, decide it in one go, record it, send. No task for
//! what is answered here; only a forwarded question gets one. The runtime is left to those who wait for others, and is not
//! held up by the writing of records.

use std::{io, sync::Arc, thread, time::Duration};

use tokio::runtime::Handle;

pub(super) use self::port::Port;
use super::{Service, stop::Stop};
use crate::{
    Stamp, Transport,
    respond::{Batch, Source},
};

mod port;

/// Datagrams decided together.
const BATCH: usize = 128;
/// So many in one batch are a load that is worth a rest.
const LOAD: usize = 8;
/// A rest between batches under load, as network cards moderate their interrupts: what arrives meanwhile is decided and
/// recorded together, and answers to one client leave together. That takes less time than it costs.
const REST: Duration = Duration::from_micros(100);
/// Room for one datagram; what fills it was longer, and is no question that anybody sends.
const SLOT: usize = 1536;
/// How long to wait after an error of the socket itself, so that a lasting one doesn't spin.
const RETRY: Duration = Duration::from_millis(20);

/// Serves until `stop`. Blocks; forwarded questions run on `runtime`. `stamp` is of everyone who asks here, if they are known
/// by that.
pub(super) fn serve(
    port: Port,
    stamp: Option<Stamp>,
    service: &Arc<Service>,
    stop: &Stop,
    runtime: &Handle,
) -> io::Result<()> {
    let port = Arc::new(port);
    let mut inbox = Inbox::new(stamp);
    let mut batch = Batch::new(Transport::Udp);
    while !stop.is_set() {
        if let Err(error) = inbox.fill(&port) {
            tracing::warn!(%error, "DNS socket failed");
            thread::sleep(RETRY);
        }
        if !inbox.filled.is_empty() && service.take(&mut batch, inbox.arrived()) {
            port.send(&mut batch.answers().collect::<Vec<_>>());
            for forward in batch.forwards.drain(..) {
                let (port, relay, source) = (port.clone(), service.clone(), forward.source);
                let relay = async move {
                    if let Some(answer) = relay.forward(forward).await {
                        port.send(&mut [(source, answer.as_slice())]);
                    }
                };
                service.underway.spawn_on(relay, runtime);
            }
        }
        match inbox.filled.len() {
            0 => stop.or_readable(port.socket())?,
            LOAD..BATCH => thread::sleep(REST),
            _ => {}
        }
    }
    Ok(())
}

struct Inbox {
    room: Vec<u8>,
    filled: Vec<(usize, Source)>,
    stamp: Option<Stamp>,
}

impl Inbox {
    fn new(stamp: Option<Stamp>) -> Inbox {
        Inbox { room: vec![0; BATCH * SLOT], filled: Vec::with_capacity(BATCH), stamp }
    }

    /// Reads until nothing more is there or the batch is full. What was read before an error counts.
    fn fill(&mut self, port: &Port) -> io::Result<()> {
        self.filled.clear();
        for slot in self.room.chunks_exact_mut(SLOT) {
            match port.receive(slot) {
                Ok(datagram) => self.filled.push(datagram),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn arrived(&self) -> impl Iterator<Item = (Source, &[u8])> {
        self.room.chunks_exact(SLOT).zip(&self.filled).map(|(slot, (length, source))| {
            // A datagram that was cut is handed on without its header, as one that must not be answered.
            (
                Source { stamp: self.stamp, ..*source },
                if *length < SLOT { slot.get(..*length).unwrap_or_default() } else { &[] },
            )
        })
    }
}
