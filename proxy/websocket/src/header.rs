//! The header of a frame (RFC 6455 section 5.2).

use crate::mask::Mask;
use crate::violation::Violation;

/// Bytes of the longest header: two, eight of length, four of mask.
pub const LONGEST_HEADER: usize = 14;
/// Bytes of the longest payload of a control frame.
pub const LONGEST_CONTROL: usize = 125;

/// Who sends the frames at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Masks every frame.
    Client,
    /// Masks none.
    Server,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    Continuation,
    /// A message of text.
    Text,
    /// A message of bytes.
    Binary,
    /// The end of what the sender says.
    Close,
    /// To be answered with a Pong.
    Ping,
    /// The answer to a Ping, or a sign of life.
    Pong,
}

impl Opcode {
    /// Close, Ping and Pong: short, whole, and allowed between the fragments of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }

    fn read(bits: u8) -> Result<Self, Violation> {
        Ok(match bits {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Violation::ReservedOpcode),
        })
    }
}

/// The header of one frame, valid by itself; whether it may come at this point is the parser's matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub opcode: Opcode,
    /// Whether this frame is the last of its message.
    pub is_final: bool,
    /// How its payload is masked; as `Sender` demands.
    pub mask: Option<Mask>,
    /// Bytes of payload; below 2^63.
    pub payload: u64,
    /// Bytes of the header itself.
    pub size: usize,
}

impl Header {
    /// Reads the header at the front of `input`; `None` while it is not complete. What is wrong with its first bytes is
    /// said without waiting for the others.
    ///
    /// # Errors
    /// What no frame of `sender` may have.
    pub fn read(input: &[u8], sender: Sender) -> Result<Option<Self>, Violation> {
        let Some((&first, input)) = input.split_first() else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBit);
        }
        let opcode = Opcode::read(first & 0x0f)?;
        let is_final = first & 0x80 != 0;
        if opcode.is_control() && !is_final {
            return Err(Violation::FragmentedControl);
        }
        let Some((&second, input)) = input.split_first() else { return Ok(None) };
        match (sender, second & 0x80 != 0) {
            (Sender::Client, false) => return Err(Violation::NotMasked),
            (Sender::Server, true) => return Err(Violation::Masked),
            (Sender::Client, true) | (Sender::Server, false) => {}
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > LONGEST_CONTROL {
            return Err(Violation::LongControl);
        }
        let (payload, extended, input) = match short {
            126 => {
                let Some((bytes, rest)) = input.split_first_chunk::<2>() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*bytes)), 2, rest)
            }
            127 => {
                let Some((bytes, rest)) = input.split_first_chunk::<8>() else { return Ok(None) };
                (u64::from_be_bytes(*bytes), 8, rest)
            }
            _ => (u64::from(short), 0, input),
        };
        let least = match extended {
            0 => 0,
            2 => 126,
            _ => 1 << 16,
        };
        if payload < least || payload >> 63 != 0 {
            return Err(Violation::LengthEncoding);
        }
        let mask = match sender {
            Sender::Server => None,
            Sender::Client => match input.first_chunk::<4>() {
                Some(key) => Some(Mask::new(*key)),
                None => return Ok(None),
            },
        };
        let size = 2 + extended + if mask.is_some() { 4 } else { 0 };
        Ok(Some(Header { opcode, is_final, mask, payload, size }))
    }
}
