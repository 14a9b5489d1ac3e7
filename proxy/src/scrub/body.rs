//! A response's body, inspected as it passes: decoded if it must be, then scrubbed.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use stubgate_credentials::kinds::{Gate, Sights};
use stubgate_policy::OnCredential;
use stubgate_scrub::{Scrubber, Stream, Tally};

use super::decode::{Coding, Decoder, Undecodable};
use super::shown;
use crate::appliance::Appliance;
use crate::deadline::Deadline;
use crate::inspect::Room;

/// Why nothing more of a body may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// It can't be decoded: the origin is at fault.
    NotInspectable,
    /// Its agent has no memory left for it.
    NoRoom,
    /// It goes on with a known kind of credential, which is none of ours.
    Shown,
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
    /// Looks for credentials of others in what leaves the stream.
    gate: Option<Gate>,
    /// What is done about them.
    act: OnCredential,
    /// How long its end is held back.
    held: Deadline,
    decoder: Option<Decoder>,
    /// Coded, and passed as it is because there was nothing to look for. It ends with the first credential.
    is_opaque: bool,
    /// What its window takes of its agent's share of memory.
    room: Option<Room>,
    /// What is not decoded yet.
    input: Bytes,
    /// How many bytes are still to come, where that is known of a body that is not decoded.
    left: Option<u64>,
    trailers: Option<HeaderMap>,
    tally: Tally,
    seen: Sights,
    /// Nothing more comes into the stream.
    is_last: bool,
    is_ended: bool,
}

/// How long the end of a text is held back while nothing follows it.
pub(crate) fn held(appliance: &Appliance) -> Deadline {
    Deadline::new(Duration::from_millis(appliance.limits.scrub_held_milliseconds))
}

impl Inspector {
    pub(super) fn new(
        appliance: Arc<Appliance>,
        scrubber: Arc<Scrubber>,
        coding: Option<Coding>,
        agent: Option<&Arc<str>>,
    ) -> Self {
        let room = coding.zip(agent).map(|(_, agent)| {
            let agents = appliance.snapshot.load().policy.agents().len();
            appliance.held.enter(agent, agents)
        });
        Inspector {
            stream: scrubber.stream(),
            gate: None,
            act: OnCredential::Allow,
            held: held(&appliance),
            appliance,
            scrubber,
            decoder: coding.map(Decoder::new),
            is_opaque: false,
            room,
            input: Bytes::new(),
            left: None,
            trailers: None,
            tally: Tally::default(),
            seen: Sights::default(),
            is_last: false,
            is_ended: false,
        }
    }

    /// Does this about credentials that are none of ours.
    pub(super) fn watching(mut self, act: OnCredential) -> Self {
        (self.gate, self.act) = (Some(Gate::new(act)), act);
        self
    }

    /// Of a body that begins while there is nothing to look for.
    pub(super) fn waiting(appliance: Arc<Appliance>, scrubber: Arc<Scrubber>, is_coded: bool) -> Self {
        Inspector { is_opaque: is_coded, ..Inspector::new(appliance, scrubber, None, None) }
    }

    /// Whether what comes out has another length than what goes in.
    pub fn decodes(&self) -> bool {
        self.decoder.is_some()
    }

    /// Says how long the body is. The last piece of it then leaves whole, and not but for its end.
    pub fn announce(&mut self, length: Option<u64>) {
        self.left = length.filter(|_| self.decoder.is_none());
    }

    /// Takes a piece from the origin; only when [`Inspector::pull`] gave nothing.
    pub fn push(&mut self, data: Bytes) {
        self.renew();
        match &self.decoder {
            Some(_) => self.input = data,
            None => {
                self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                if self.left == Some(0) {
                    self.is_last = true;
                    self.stream.push_last(data);
                } else {
                    self.stream.push(data);
                }
            }
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
    /// Where the body is not what its coding says, or a bomb, where its agent has no memory left for its window, or where a
    /// credential comes that may not pass.
    pub fn pull(&mut self) -> Result<Option<Bytes>, Withheld> {
        if self.is_opaque && !self.scrubber.is_empty() {
            return Err(Withheld::NotInspectable);
        }
        loop {
            if let Some(data) = self.take() {
                self.held.touch();
                return Ok(Some(data));
            }
            if self.gate.as_ref().is_some_and(Gate::is_shut) {
                return Err(Withheld::Shown);
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

    /// What leaves the stream and then the gate.
    fn take(&mut self) -> Option<Bytes> {
        let Inspector { appliance, stream, gate, is_last, .. } = self;
        let ours = |text: &[u8]| shown::is_ours(appliance, text);
        let Some(gate) = gate else { return stream.take() };
        loop {
            if let Some(data) = gate.take() {
                return Some(data);
            }
            match stream.take() {
                Some(data) if *is_last && stream.is_drained() => gate.push_last(data, ours),
                Some(data) => gate.push(data, ours),
                None if *is_last && gate.is_open() => gate.push_last(Bytes::new(), ours),
                None => return None,
            }
        }
    }

    /// What left the stream, into the gate.
    fn drain(&mut self) {
        let Inspector { appliance, stream, gate, .. } = self;
        if let Some(gate) = gate {
            while let Some(data) = stream.take() {
                gate.push(data, |text| shown::is_ours(appliance, text));
            }
        }
    }

    /// The origin has no more at the moment. What is held comes out of [`Inspector::pull`] now, or it will wake the task and
    /// come then, whatever it is: when it leaves must not tell what it was compared with.
    pub fn pause(&mut self, cx: &mut Context<'_>) {
        let mut waits = self.stream.pause();
        self.drain();
        if let Some(gate) = &mut self.gate {
            waits |= gate.pause();
        }
        if waits && self.held.poll(cx).is_ready() {
            self.stream.let_go();
            self.drain();
            if let Some(gate) = &mut self.gate {
                gate.let_go();
            }
        }
    }

    /// The origin's body is over. What was held comes out of [`Inspector::pull`], then the trailers.
    ///
    /// # Errors
    /// Where the body is not whole, or its trailers show a credential that may not pass.
    pub fn finish(&mut self, trailers: Option<HeaderMap>) -> Result<(), Withheld> {
        if let Some(decoder) = &self.decoder {
            decoder.finish()?;
        }
        // An event stream may have ended in trailers hours after its last piece.
        self.renew();
        self.stream.finish();
        (self.is_last, self.is_ended) = (true, true);
        let Some(mut trailers) = trailers else { return Ok(()) };
        super::fields(&self.scrubber, &mut trailers, &mut self.tally);
        if self.gate.is_some() && shown::fields(&self.appliance, &mut trailers, self.act, &mut self.seen) {
            return Err(Withheld::Shown);
        }
        self.trailers = Some(trailers);
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

    /// Credentials that are none of ours, seen since this was asked last, and what is done about them.
    pub fn take_seen(&mut self) -> (Sights, OnCredential) {
        let mut seen = std::mem::take(&mut self.seen);
        if let Some(gate) = &mut self.gate {
            seen.add(&gate.take_seen());
        }
        (seen, self.act)
    }
}
