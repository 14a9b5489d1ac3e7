//! The server without its sockets: what one message is answered with. For tests and fuzzing of what an agent can send and
//! of what a zone's server can answer; a server decides through the same code.

use std::{net::SocketAddr, time::Instant};

use stubgate_policy::Name;

use crate::{
    DnsConfig, Surroundings, Transport, forward,
    respond::{Batch, Responder, Source},
    vet,
    wire::Query,
    zones::Zones,
};

/// Answers one message after the other.
pub struct Handler {
    responder: Responder,
    udp: Batch,
    tcp: Batch,
}

/// What a message came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// Answered, or dropped where there is nothing.
    Here(Option<Vec<u8>>),
    /// To be asked of the servers of its zone.
    Forward,
}

impl Handler {
    /// Answers as a server of this configuration.
    pub fn new(config: &DnsConfig, start: Instant) -> Self {
        let responder = Responder::new(config, start);
        Handler { responder, udp: Batch::new(Transport::Udp), tcp: Batch::new(Transport::Tcp) }
    }

    /// Decides on a message, records it, and answers.
    pub fn handle(
        &mut self,
        surroundings: &dyn Surroundings,
        (peer, transport): (SocketAddr, Transport),
        packet: &[u8],
        now: Instant,
    ) -> Handled {
        let batch = match transport {
            Transport::Udp => &mut self.udp,
            Transport::Tcp => &mut self.tcp,
        };
        let arrived = std::iter::once((Source { peer, local: None, stamp: None }, packet));
        batch.decide(&self.responder, surroundings, surroundings.policy(), arrived, now);
        if !batch.forwards.is_empty() {
            return Handled::Forward;
        }
        let is_kept = batch.record(surroundings, now.elapsed());
        Handled::Here(batch.answers().next().filter(|_| is_kept).map(|(_, answer)| answer.to_vec()))
    }

    /// What of a zone's answer to a question would be passed on; `None` also where the question itself can't be read.
    pub fn vet(question: &[u8], answer: &[u8], zone: &Name) -> Option<Vec<u8>> {
        let query = Query::parse(question).ok()?;
        if !forward::belongs(answer, &query, query.header.id) {
            return None;
        }
        let zone = Zones::new([(zone.clone(), ())]);
        vet::vet(answer, &query, |name| zone.find(name).is_some())
    }
}
