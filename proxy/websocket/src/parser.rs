//! The frames of one direction, in order: what may follow what, and how much of it.

use crate::close;
use crate::header::{Header, Opcode, Sender};
use crate::mask::Mask;
use crate::utf8::Utf8;
use crate::violation::Violation;

/// Bounds on what one sender may send. Nothing is held, so they protect whoever is behind, not memory here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message, all its fragments together; so also of one frame.
    pub message_bytes: u64,
    /// Fragments of one message.
    pub fragments: u32,
}

impl Default for Limits {
    /// 1 GiB in 65,536 fragments.
    fn default() -> Self {
        Limits { message_bytes: 1 << 30, fragments: 1 << 16 }
    }
}

/// What stands at the front of the input. The caller takes so many bytes away before it asks again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Not enough to say anything. At most [`LONGEST_HEADER`](crate::LONGEST_HEADER) and
    /// [`LONGEST_CONTROL`](crate::LONGEST_CONTROL) bytes ever wait so.
    More,
    /// The header of a frame of data, [`Header::size`] bytes; its payload follows as [`Piece::Payload`], if it has any.
    Data(Header),
    /// Some payload of the frame of data under way, unmasked where it lies.
    Payload {
        /// So many bytes; never 0.
        length: usize,
        /// Masks them again.
        mask: Option<Mask>,
        /// Whether they are the last of their frame.
        ends_frame: bool,
    },
    /// A whole control frame: the header, then its payload, unmasked where it lies.
    Control(Header),
}

/// Reads the frames of one sender. After a [`Violation`] it must not be asked again.
#[derive(Clone, Debug)]
pub struct Parser {
    sender: Sender,
    limits: Limits,
    frame: Option<Frame>,
    message: Option<Message>,
    is_closed: bool,
}

/// The frame of data whose payload is being read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    left: u64,
    mask: Option<Mask>,
    is_final: bool,
}

/// The message under way.
#[derive(Clone, Debug)]
struct Message {
    text: Option<Utf8>,
    bytes: u64,
    fragments: u32,
}

impl Parser {
    /// Reads what `sender` sends.
    pub fn new(sender: Sender, limits: Limits) -> Self {
        Parser { sender, limits, frame: None, message: None, is_closed: false }
    }

    /// Whether the bytes so far end where a frame does, so that another one may be put in behind them.
    pub fn is_between_frames(&self) -> bool {
        self.frame.is_none()
    }

    /// Whether the sender has said Close.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What stands at the front of `input`. Payload that is told of is unmasked in place.
    ///
    /// # Errors
    /// The first thing that the sender must not send.
    pub fn next(&mut self, input: &mut [u8]) -> Result<Piece, Violation> {
        if self.frame.is_some() {
            return self.payload(input);
        }
        let Some(header) = Header::read(input, self.sender)? else { return Ok(Piece::More) };
        if header.opcode.is_control() { self.control(header, input) } else { self.data(header) }
    }

    fn control(&mut self, header: Header, input: &mut [u8]) -> Result<Piece, Violation> {
        if header.opcode == Opcode::Close && self.is_closed {
            return Err(Violation::AfterClose);
        }
        let length = usize::try_from(header.payload).unwrap_or(usize::MAX);
        let payload = input.get_mut(header.size..).and_then(|rest| rest.get_mut(..length));
        let Some(payload) = payload else { return Ok(Piece::More) };
        if let Some(mask) = header.mask {
            mask.apply(payload);
        }
        if header.opcode == Opcode::Close {
            close::check(payload)?;
            self.is_closed = true;
        }
        Ok(Piece::Control(header))
    }

    fn data(&mut self, header: Header) -> Result<Piece, Violation> {
        if self.is_closed {
            return Err(Violation::AfterClose);
        }
        let mut message = match (header.opcode, self.message.take()) {
            (Opcode::Continuation, Some(message)) => message,
            (Opcode::Continuation, None) => return Err(Violation::NothingToContinue),
            (_, Some(_)) => return Err(Violation::InsideMessage),
            (opcode, None) => {
                let text = (opcode == Opcode::Text).then(Utf8::default);
                Message { text, bytes: 0, fragments: 0 }
            }
        };
        message.bytes = message.bytes.saturating_add(header.payload);
        message.fragments = message.fragments.saturating_add(1);
        if message.bytes > self.limits.message_bytes {
            return Err(Violation::TooLarge);
        }
        if message.fragments > self.limits.fragments {
            return Err(Violation::TooManyFragments);
        }
        self.message = Some(message);
        if header.payload == 0 {
            self.end_frame(header.is_final)?;
        } else {
            self.frame = Some(Frame { left: header.payload, mask: header.mask, is_final: header.is_final });
        }
        Ok(Piece::Data(header))
    }

    fn payload(&mut self, input: &mut [u8]) -> Result<Piece, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(Piece::More) };
        let length = input.len().min(usize::try_from(frame.left).unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(Piece::More);
        }
        let payload = input.get_mut(..length).unwrap_or_default();
        let mask = frame.mask;
        if let Some(mask) = mask {
            mask.apply(payload);
            frame.mask = Some(mask.after(length));
        }
        frame.left -= length as u64;
        let (ends_frame, is_final) = (frame.left == 0, frame.is_final);
        if let Some(text) = self.message.as_mut().and_then(|message| message.text.as_mut())
            && !text.push(payload)
        {
            return Err(Violation::NotUtf8);
        }
        if ends_frame {
            self.frame = None;
            self.end_frame(is_final)?;
        }
        Ok(Piece::Payload { length, mask, ends_frame })
    }

    fn end_frame(&mut self, is_final: bool) -> Result<(), Violation> {
        if is_final
            && let Some(mut text) = self.message.take().and_then(|message| message.text)
            && !text.finish()
        {
            return Err(Violation::NotUtf8);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
