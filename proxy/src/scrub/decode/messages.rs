//! Messages inside of a body, each compressed by itself: gRPC's, gRPC-Web's, and those of the Connect protocol, which all
//! have a head of a byte of flags and four of length. A compressed one is sent on unfolded, and its head says so; its new
//! length stands in front of it, so it is held as a whole, within [`MOST`] (law 7). Others stream.

use bytes::{Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

use super::{FREE, RATIO, STEP, Undecodable};

/// Bytes of a message that was compressed.
const MOST: usize = 16 << 20;
const HEAD: usize = 5;
/// The flag of a compressed message; others are no matter of ours.
const FOLDED: u8 = 1;

/// How messages are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scrub) enum Fold {
    /// RFC 1952.
    Gzip,
    /// RFC 1950.
    Deflate,
}

/// The messages of one body.
pub(super) struct Messages {
    fold: Fold,
    /// Of a head that is not whole.
    head: BytesMut,
    state: State,
}

enum State {
    Head,
    /// So much of a message as it is.
    Plain(usize),
    Folded(Folded),
    /// A message was given out, which somebody may hold yet.
    Given(usize),
}

struct Folded {
    inflate: Decompress,
    left: usize,
    taken: usize,
    /// Behind the head.
    text: Vec<u8>,
    is_ended: bool,
}

impl Messages {
    pub(super) fn new(fold: Fold) -> Self {
        Messages { fold, head: BytesMut::new(), state: State::Head }
    }

    /// Whether the body may end here.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Head | State::Given(_)) && self.head.is_empty()
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        match &self.state {
            State::Head | State::Plain(_) => 0,
            State::Folded(folded) => folded.text.capacity(),
            State::Given(bytes) => *bytes,
        }
    }

    /// Takes some of the input.
    pub(super) fn step(&mut self, input: &mut Bytes) -> Result<Bytes, Undecodable> {
        match &mut self.state {
            State::Head | State::Given(_) => self.head(input),
            State::Plain(left) => {
                let piece = input.split_to((*left).min(input.len()));
                *left -= piece.len();
                if *left == 0 {
                    self.state = State::Head;
                }
                Ok(piece)
            }
            State::Folded(folded) => {
                let piece = input.split_to(folded.left.min(input.len()));
                folded.add(&piece)?;
                if folded.left > 0 {
                    return Ok(Bytes::new());
                }
                let text = folded.finish()?;
                self.state = State::Given(text.len());
                Ok(text)
            }
        }
    }

    fn head(&mut self, input: &mut Bytes) -> Result<Bytes, Undecodable> {
        let piece = input.split_to((HEAD - self.head.len()).min(input.len()));
        self.head.extend_from_slice(&piece);
        let Some((&flags, rest)) = self.head.split_first() else { return Ok(Bytes::new()) };
        let Some(length) = rest.first_chunk() else { return Ok(Bytes::new()) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let head = self.head.split().freeze();
        if flags & FOLDED == 0 {
            self.state = if length == 0 { State::Head } else { State::Plain(length) };
            return Ok(head);
        }
        if length == 0 {
            return Err(Undecodable);
        }
        let inflate = match self.fold {
            Fold::Gzip => Decompress::new_gzip(15),
            Fold::Deflate => Decompress::new(true),
        };
        let text = vec![flags & !FOLDED, 0, 0, 0, 0];
        self.state = State::Folded(Folded { inflate, left: length, taken: 0, text, is_ended: false });
        Ok(Bytes::new())
    }
}

impl Folded {
    fn add(&mut self, mut piece: &[u8]) -> Result<(), Undecodable> {
        self.left -= piece.len();
        self.taken += piece.len();
        loop {
            if self.is_ended {
                return if piece.is_empty() { Ok(()) } else { Err(Undecodable) };
            }
            self.text.reserve(STEP);
            let (taken, length) = (self.inflate.total_in(), self.text.len());
            let status =
                self.inflate.decompress_vec(piece, &mut self.text, FlushDecompress::None).map_err(|_| Undecodable)?;
            let taken = usize::try_from(self.inflate.total_in() - taken).unwrap_or(usize::MAX);
            piece = piece.get(taken..).unwrap_or_default();
            self.is_ended = status == Status::StreamEnd;
            let is_bomb = self.text.len() as u64 > FREE && self.text.len() as u64 / RATIO > self.taken as u64;
            if is_bomb || self.text.len() > MOST {
                return Err(Undecodable);
            }
            let is_stuck = taken == 0 && self.text.len() == length;
            if !self.is_ended && (is_stuck || piece.is_empty() && self.text.len() < self.text.capacity()) {
                return if piece.is_empty() { Ok(()) } else { Err(Undecodable) };
            }
        }
    }

    /// The message as it is now.
    fn finish(&mut self) -> Result<Bytes, Undecodable> {
        if !self.is_ended {
            return Err(Undecodable);
        }
        let mut text = std::mem::take(&mut self.text);
        let length = text.len().checked_sub(HEAD).and_then(|length| u32::try_from(length).ok()).ok_or(Undecodable)?;
        text.get_mut(1..HEAD).ok_or(Undecodable)?.copy_from_slice(&length.to_be_bytes());
        Ok(text.into())
    }
}
