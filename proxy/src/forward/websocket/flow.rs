//! One direction of a tunnel: read, parse, look, write; nothing is read while anything waits to be written.
//!
//! Towards an origin, what passes is what came, byte for byte: frames are looked at where they lie, and masked again as they
//! were. Towards an agent, credentials in payload are replaced, and all else is what came (laws 4 and 9). A frame that must
//! not pass is not begun where its header and what is wrong with it came together; where part of it has gone out
//! already, it stays without its end, so that no endpoint takes it for a frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::BytesMut;
use stubgate_scrub::{Scrubber, Tally};
use stubgate_websocket::{ControlRate, Limits, Mask, Parser, Piece, Sender, Violation};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use super::outbox::Outbox;
use super::reframe::Reframe;
use crate::budget::Charge;
use crate::stream::Stream;
use crate::stubs::StubWatch;

/// Bytes that are read at once, which is about what one direction may hold.
const BUFFER: usize = 16 * 1024;

/// Why a direction goes no further; its sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its frames are not as they must be.
    Frames(Violation),
    /// It holds a stub where a rule denies that.
    Stub,
}

/// Why a direction ended early.
pub(super) enum Broken {
    /// One side left.
    Io,
    /// What came before the fault has gone out.
    Fault(Fault),
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Broken::Io
    }
}

/// What is done with what passes.
pub(super) enum Look {
    /// Stubs are counted, or denied.
    Stubs {
        /// Across frames and messages.
        watch: StubWatch,
        /// Whether one ends the tunnel.
        deny: bool,
    },
    /// Credentials are replaced.
    Credentials(Box<Reframe>),
}

/// One direction.
pub(super) struct Flow {
    input: BytesMut,
    parser: Parser,
    controls: ControlRate,
    look: Look,
    /// Where what is read is counted before it goes on.
    charge: Option<Charge>,
    outbox: Outbox,
    fault: Option<Fault>,
    /// Whether what has passed ends inside a frame.
    is_inside: bool,
    is_ended: bool,
    is_shut: bool,
    /// Bytes that went out.
    pub(super) moved: u64,
    /// Stubs that were seen.
    pub(super) stubs: u64,
}

impl Flow {
    /// `input` is what `sender` sent already.
    pub(super) fn new(sender: Sender, limits: Limits, controls: u32, look: Look, input: BytesMut) -> Self {
        let mut flow = Flow {
            input,
            parser: Parser::new(sender, limits),
            controls: ControlRate::new(controls),
            look,
            charge: None,
            outbox: Outbox::default(),
            fault: None,
            is_inside: false,
            is_ended: false,
            is_shut: false,
            moved: 0,
            stubs: 0,
        };
        flow.take();
        flow
    }

    /// Counts what comes from here on, and the `already` bytes that it began with.
    ///
    /// # Errors
    /// Where that is more than the agent may send. The charge knows the limit.
    pub(super) fn charge(&mut self, charge: Option<Charge>, already: usize) -> Result<(), Broken> {
        self.charge = charge;
        self.count(already)
    }

    fn count(&self, bytes: usize) -> Result<(), Broken> {
        match &self.charge {
            Some(charge) if bytes > 0 => charge.spend(bytes as u64).map_err(|_| Broken::Io),
            _ => Ok(()),
        }
    }

    /// Moves what can be moved; ready once the sender has ended and the other side knows.
    pub(super) fn poll(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>> {
        while !self.is_shut {
            ready!(self.outbox.poll_write(to, &mut self.moved, cx))?;
            if let Some(fault) = self.fault {
                return Poll::Ready(Err(Broken::Fault(fault)));
            }
            if self.is_ended {
                if let Look::Credentials(reframe) = &mut self.look {
                    reframe.finish(&mut self.outbox);
                    ready!(self.outbox.poll_write(to, &mut self.moved, cx))?;
                }
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.is_shut = true;
                break;
            }
            self.input.reserve(BUFFER);
            match poll_read_buf(Pin::new(&mut *from), cx, &mut self.input) {
                // Many peers end TLS without saying so, once the WebSocket itself was closed.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => self.is_ended = true,
                Poll::Ready(read) => {
                    let read = read?;
                    self.is_ended = read == 0;
                    self.count(read)?;
                    self.take();
                }
                Poll::Pending => {
                    if let Look::Credentials(reframe) = &mut self.look {
                        reframe.pause(&mut self.outbox, cx);
                        if !self.outbox.is_empty() {
                            // Come back for the wake-up once it is written.
                            continue;
                        }
                    }
                    if self.input.is_empty() {
                        // An idle tunnel holds no buffer.
                        self.input = BytesMut::new();
                    }
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the sender ended in the middle of a frame.
    pub(super) fn is_cut_short(&self) -> bool {
        self.is_inside || !self.input.is_empty()
    }

    /// What is left to write, if a Close frame may follow it: not inside a frame, not after another Close, and not where
    /// something is held. That stays here: whoever ends a tunnel chooses the moment, and would choose one inside a credential.
    pub(super) fn into_outbox(mut self) -> Option<Outbox> {
        let is_settled = match &mut self.look {
            Look::Credentials(reframe) => reframe.stop(&mut self.outbox),
            Look::Stubs { .. } => true,
        };
        (is_settled && !self.is_inside && !self.parser.is_closed()).then_some(self.outbox)
    }

    /// Looks for these credentials from now on, where it looks for any.
    pub(super) fn renew(&mut self, scrubber: &Scrubber) {
        if let Look::Credentials(reframe) = &mut self.look {
            reframe.renew(scrubber);
        }
    }

    /// Credentials that were replaced since this was asked last.
    pub(super) fn take_tally(&mut self) -> Tally {
        match &mut self.look {
            Look::Credentials(reframe) => reframe.take_tally(),
            Look::Stubs { .. } => Tally::default(),
        }
    }

    /// Takes in what was read.
    fn take(&mut self) {
        // What has passed, and behind it a header whose payload has not been looked at yet.
        let (mut passed, mut header) = (0, 0);
        while self.fault.is_none() {
            let piece = match self.parser.next(self.input.get_mut(passed + header..).unwrap_or_default()) {
                Ok(piece) => piece,
                Err(violation) => {
                    self.fault = Some(Fault::Frames(violation));
                    break;
                }
            };
            match piece {
                Piece::More => break,
                Piece::Data(frame) if frame.payload == 0 => self.pass(&mut passed, frame.size, 0),
                Piece::Data(frame) => header = frame.size,
                Piece::Payload { length, mask, ends_frame } => {
                    if self.look_at(passed + header, length, mask, false) {
                        self.pass(&mut passed, header, length);
                        header = 0;
                        self.is_inside = !ends_frame;
                    }
                }
                Piece::Control(frame) => {
                    let length = usize::try_from(frame.payload).unwrap_or_default();
                    if !self.controls.admit(Instant::now()) {
                        self.fault = Some(Fault::Frames(Violation::TooManyControls));
                    } else if self.look_at(passed + frame.size, length, frame.mask, true) {
                        self.pass(&mut passed, frame.size + length, 0);
                    }
                }
            }
        }
        if self.fault.is_none() && header > 0 {
            self.pass(&mut passed, header, 0);
            self.is_inside = true;
        }
        match &mut self.look {
            Look::Credentials(reframe) => {
                if !reframe.settle(&mut self.outbox) {
                    self.fault = self.fault.or(Some(Fault::Frames(Violation::TooManyControls)));
                }
            }
            Look::Stubs { .. } => self.outbox.push(self.input.split_to(passed).freeze()),
        }
    }

    /// Looks at payload where it lies, unmasked, and masks it again; whether it may pass.
    fn look_at(&mut self, start: usize, length: usize, mask: Option<Mask>, is_whole: bool) -> bool {
        let payload = self.input.get_mut(start..start + length).unwrap_or_default();
        match &mut self.look {
            Look::Stubs { watch, deny } => {
                let seen = if is_whole { watch.look_apart(payload) } else { watch.look(payload) };
                self.stubs += seen;
                if seen > 0 && *deny {
                    self.fault = Some(Fault::Stub);
                    return false;
                }
            }
            Look::Credentials(reframe) if is_whole => reframe.scrub(payload),
            Look::Credentials(_) => {}
        }
        if let Some(mask) = mask {
            mask.apply(payload);
        }
        true
    }

    /// Lets the next bytes pass: a header or a whole frame, and payload.
    fn pass(&mut self, passed: &mut usize, whole: usize, payload: usize) {
        match &mut self.look {
            // All together, at the end.
            Look::Stubs { .. } => *passed += whole + payload,
            Look::Credentials(reframe) => {
                if whole > 0 {
                    reframe.whole(self.input.split_to(whole).freeze());
                }
                if payload > 0 {
                    reframe.payload(self.input.split_to(payload).freeze());
                }
            }
        }
    }
}
