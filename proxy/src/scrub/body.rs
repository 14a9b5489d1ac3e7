//! A response's body, inspected as it passes: decoded if it must be, then scrubbed.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use stubgate_scrub::{Scrubber, Stream, Tally};

use super::decode::{Coding, Decoder, Undecodable};
use crate::appliance::Appliance;
use crate::inspect::Room;

/// Why nothing more of a body may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It can't be decoded: the origin is at fault.
    NotInspectable,
    /// Its agent has no memory left for it.
    NoRoom,
}

impl From<Undecodable> for Withheld {
    fn from(_: Undecodable) -> Self {
        Withheld::NotInspectable
    }
}

/// One body on its way to an agent. What goes in comes out of [`Inspector::pull`], until that wants more.
pub struct Inspector {
    appliance: Arc<Appliance>,
    scrubber: Arc<Scrubber>,
    stream: Stream,
    decoder: Option<Decoder>,
    /// What its window takes of its agent's share of memory.
    room: Option<Room>,
    /// What is not decoded yet.
    input: Bytes,
    trailers: Option<HeaderMap>,
    tally: Tally,
    is_ended: bool,
}

impl Inspector {
    pub(super) fn new(
        appliance: Arc<Appliance>,
        scrubber: Arc<Scrubber>,
        coding: Option<Coding>,
        agent: Option<&Arc<str>>,
    ) -> Self {
        let agents = appliance.snapshot.load().policy.agents().len();
        let room = coding.zip(agent).map(|(_, agent)| appliance.held.enter(agent, agents));
        Inspector {
            stream: scrubber.stream(),
            appliance,
            scrubber,
            decoder: coding.map(Decoder::new),
            room,
            input: Bytes::new(),
            trailers: None,
            tally: Tally::default(),
            is_ended: false,
        }
    }

    /// Whether what comes out has another length than what goes in.
    pub fn decodes(&self) -> bool {
        self.decoder.is_some()
    }

    /// Takes a piece from the origin; only when [`Inspector::pull`] gave nothing.
    pub fn push(&mut self, data: Bytes) {
        self.renew();
        match &self.decoder {
            Some(_) => self.input = data,
            None => self.stream.push(data),
        }
    }

    /// A value that came into force since is looked for from here on, and one that went is let go.
    fn renew(&mut self) {
        let now = self.appliance.credentials.scrubber();
        if !Arc::ptr_eq(&now, &self.scrubber) {
            self.scrubber = Arc::clone(&now);
            self.stream.renew(&self.scrubber);
        }
    }

    /// A piece for the agent; `None` where more of the origin is needed first.
    ///
    /// # Errors
    /// Where the body is not what its coding says, or a bomb, or where its agent has no memory left for its window.
    pub fn pull(&mut self) -> Result<Option<Bytes>, Withheld> {
        loop {
            if let Some(data) = self.stream.take() {
                return Ok(Some(data));
            }
            let Some(decoder) = &mut self.decoder else { return Ok(None) };
            let text = decoder.step(&mut self.input)?;
            if self.room.as_mut().is_some_and(|room| !room.hold(decoder.window())) {
                return Err(Withheld::NoRoom);
            }
            match text {
                Some(text) => self.stream.push(text),
                None => return Ok(None),
            }
        }
    }

    /// The origin has no more at the moment.
    pub fn pause(&mut self) {
        self.stream.pause();
    }

    /// The origin's body is over. What was held comes out of [`Inspector::pull`], then the trailers.
    ///
    /// # Errors
    /// Where the body is not whole.
    pub fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Withheld> {
        if let Some(decoder) = &self.decoder {
            decoder.finish()?;
        }
        // An event stream may have ended in trailers hours after its last piece.
        self.renew();
        self.stream.finish();
        self.is_ended = true;
        self.trailers = trailers.map(|mut trailers| {
            super::fields(&self.scrubber, &mut trailers, &mut self.tally);
            trailers
        });
        Ok(())
    }

    /// Whether [`Inspector::finish`] was called.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The trailers, once.
    pub fn take_trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take()
    }

    /// What was found since this was asked last.
    pub fn take_tally(&mut self) -> Tally {
        let mut tally = std::mem::take(&mut self.tally);
        tally.add(&self.stream.take_tally());
        tally
    }
}
