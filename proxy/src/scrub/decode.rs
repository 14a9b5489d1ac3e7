//! Undoing a content coding, piece by piece and in bounded memory.
//!
//! One step takes some of the input and gives at most [`STEP`] bytes (of Zstandard: one block, and at its end one window).
//! Windows are at most 32 KiB (gzip, deflate), 16 MiB (Brotli without its large windows) and 8 MiB (Zstandard, as RFC 9659
//! has it); of messages that are compressed one by one, one is held. What unfolds to more than a hundred times its size is a bomb (RE-08), once it is over a mebibyte. What ends early, or goes on behind
//! its end, is an error.

mod messages;

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf, Bytes, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

pub(super) use messages::Fold;
use messages::Messages;

/// Bytes that one step gives at most.
const STEP: usize = 32 * 1024;
/// How often larger than what came the text may be.
const RATIO: u64 = 100;
/// Bytes of text for which that is not asked.
const FREE: u64 = 1 << 20;
/// RFC 9659.
const ZSTANDARD_WINDOW: u64 = 8 << 20;
/// RFC 8878 section 3.1.1.2.4.
const ZSTANDARD_BLOCK: usize = 128 * 1024;

/// A coding that is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 1950, or RFC 1951 as some origins send it.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstandard,
    /// Of each message by itself.
    Messages(Fold),
}

/// It can't be undone. The origin is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

/// One body being decoded.
pub(super) struct Decoder {
    coding: State,
    taken: u64,
    given: u64,
    /// Of Brotli, as its first byte says.
    brotli_window: u64,
    /// At the end of what there can be, or between two members.
    is_ended: bool,
}

enum State {
    /// Not begun: which of the two formats it is, its first byte tells.
    Deflate,
    Flate(Decompress, Coding),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstandard(Box<Zstandard>),
    Messages(Box<Messages>),
}

impl Decoder {
    pub(super) fn new(coding: Coding) -> Self {
        let alloc = StandardAlloc::default;
        let coding = match coding {
            Coding::Gzip => State::Flate(Decompress::new_gzip(15), Coding::Gzip),
            Coding::Deflate => State::Deflate,
            Coding::Brotli => State::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc()))),
            Coding::Zstandard => State::Zstandard(Box::new(Zstandard::new())),
            Coding::Messages(fold) => State::Messages(Box::new(Messages::new(fold))),
        };
        Decoder { coding, taken: 0, given: 0, brotli_window: 0, is_ended: false }
    }

    /// The next piece of text; `None` where more input is needed for it.
    pub(super) fn step(&mut self, input: &mut Bytes) -> Result<Option<Bytes>, Undecodable> {
        loop {
            let before = input.len();
            let given = match &mut self.coding {
                State::Deflate => {
                    let Some(first) = input.first() else { return Ok(None) };
                    let has_header = first & 0x0f == 8 && first >> 4 <= 7;
                    self.coding = State::Flate(Decompress::new(has_header), Coding::Deflate);
                    continue;
                }
                _ if self.is_ended && input.is_empty() => return Ok(None),
                State::Flate(inflate, coding) => {
                    if self.is_ended {
                        if *coding == Coding::Deflate {
                            return Err(Undecodable);
                        }
                        // Members of gzip may follow each other.
                        *inflate = Decompress::new_gzip(15);
                        self.is_ended = false;
                    }
                    let (piece, is_ended) = flate(inflate, input)?;
                    self.is_ended = is_ended;
                    piece
                }
                State::Brotli(_) if self.is_ended => return Err(Undecodable),
                State::Brotli(state) => {
                    if let (0, Some(first)) = (self.brotli_window, input.first()) {
                        self.brotli_window = brotli_window(*first);
                    }
                    let (piece, is_ended) = brotli(state, input)?;
                    self.is_ended = is_ended;
                    piece
                }
                State::Zstandard(frames) => {
                    let piece = frames.step(input)?;
                    self.is_ended = frames.is_between();
                    piece
                }
                State::Messages(messages) => {
                    let piece = messages.step(input)?;
                    self.is_ended = messages.is_between();
                    piece
                }
            };
            self.taken += (before - input.len()) as u64;
            self.given += given.len() as u64;
            if self.given > FREE && self.given / RATIO > self.taken {
                return Err(Undecodable);
            }
            if !given.is_empty() {
                return Ok(Some(given));
            }
            if input.is_empty() {
                return Ok(None);
            }
            if input.len() == before && !self.is_ended {
                return Err(Undecodable);
            }
        }
    }

    /// Bytes of the window that the text so far may have filled; what is the same for all responses is not counted.
    pub(super) fn window(&self) -> usize {
        let most = match &self.coding {
            State::Deflate | State::Flate(..) => 0,
            State::Brotli(_) => self.brotli_window,
            State::Zstandard(_) => ZSTANDARD_WINDOW,
            State::Messages(messages) => return messages.held(),
        };
        usize::try_from(self.given.min(most)).unwrap_or(usize::MAX)
    }

    /// Whether the text is whole, now that there is no more input. A body of no bytes at all is.
    pub(super) fn finish(&self) -> Result<(), Undecodable> {
        if self.is_ended || self.taken == 0 { Ok(()) } else { Err(Undecodable) }
    }
}

fn flate(inflate: &mut Decompress, input: &mut Bytes) -> Result<(Bytes, bool), Undecodable> {
    let mut piece = BytesMut::zeroed(STEP);
    let (taken, given) = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, &mut piece, FlushDecompress::None).map_err(|_| Undecodable)?;
    let length = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
    input.advance(length(inflate.total_in(), taken).min(input.len()));
    piece.truncate(length(inflate.total_out(), given));
    Ok((piece.freeze(), status == Status::StreamEnd))
}

/// Bytes of a stream's window, between 1 KiB and 16 MiB (RFC 7932 section 9.1).
fn brotli_window(first: u8) -> u64 {
    let bits = match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => 16,
        (_, 0, 0) => 17,
        (_, 0, low) => 8 + low,
        (_, high, _) => 17 + high,
    };
    1 << bits
}

fn brotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    input: &mut Bytes,
) -> Result<(Bytes, bool), Undecodable> {
    let mut piece = BytesMut::zeroed(STEP);
    let (mut left, mut taken) = (input.len(), 0);
    let (mut room, mut given, mut total) = (STEP, 0, 0);
    let result =
        BrotliDecompressStream(&mut left, &mut taken, input, &mut room, &mut given, &mut piece, &mut total, state);
    input.advance(taken.min(input.len()));
    piece.truncate(given);
    match result {
        BrotliResult::ResultSuccess => Ok((piece.freeze(), true)),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok((piece.freeze(), false)),
        BrotliResult::ResultFailure => Err(Undecodable),
    }
}

/// Zstandard, frame by frame and block by block: the decoder wants each as a whole.
struct Zstandard {
    frame: FrameDecoder,
    /// Input of a header or block of which the rest is not there.
    part: BytesMut,
    state: Frame,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    Header,
    Skip(u64),
    Block { has_checksum: bool },
}

impl Zstandard {
    fn new() -> Self {
        let mut frame = FrameDecoder::new();
        frame.set_max_window_size(ZSTANDARD_WINDOW);
        Zstandard { frame, part: BytesMut::new(), state: Frame::Header }
    }

    fn is_between(&self) -> bool {
        self.state == Frame::Header && self.part.is_empty()
    }

    /// Goes on by one header or block.
    fn step(&mut self, input: &mut Bytes) -> Result<Bytes, Undecodable> {
        if let Frame::Skip(left) = &mut self.state {
            let skipped = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
            input.advance(skipped);
            *left -= skipped as u64;
            if *left == 0 {
                self.state = Frame::Header;
            }
            return Ok(Bytes::new());
        }
        // Header and block sizes stand in their first bytes, so this takes two rounds at most.
        loop {
            let wanted = match self.state {
                Frame::Block { has_checksum } => block_length(&self.part, has_checksum)?,
                Frame::Header | Frame::Skip(_) => header_length(&self.part)?,
            };
            if let Some(missing) = wanted.checked_sub(self.part.len()).filter(|missing| *missing > 0) {
                let piece = input.split_to(missing.min(input.len()));
                self.part.extend_from_slice(&piece);
                if piece.len() < missing {
                    return Ok(Bytes::new());
                }
                continue;
            }
            let part = self.part.split();
            return match self.state {
                Frame::Block { .. } => self.block(&part),
                Frame::Header | Frame::Skip(_) => self.header(&part).map(|()| Bytes::new()),
            };
        }
    }

    fn header(&mut self, header: &[u8]) -> Result<(), Undecodable> {
        self.state = if let Some((magic, rest)) = header.split_first_chunk()
            && is_skippable(u32::from_le_bytes(*magic))
        {
            let length = rest.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
            if length == 0 { Frame::Header } else { Frame::Skip(length.into()) }
        } else {
            self.frame.reset(header).map_err(|_| Undecodable)?;
            Frame::Block { has_checksum: header.get(4).is_some_and(|descriptor| descriptor & 4 != 0) }
        };
        Ok(())
    }

    fn block(&mut self, block: &[u8]) -> Result<Bytes, Undecodable> {
        self.frame.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1)).map_err(|_| Undecodable)?;
        let text = self.frame.collect().unwrap_or_default();
        if self.frame.is_finished() {
            let told = self.frame.get_checksum_from_data();
            if told.is_some() && told != self.frame.get_calculated_checksum() {
                return Err(Undecodable);
            }
            self.state = Frame::Header;
        }
        Ok(text.into())
    }
}

fn is_skippable(magic: u32) -> bool {
    magic & !0xf == 0x184d_2a50
}

/// How many bytes a frame's header has, as far as `part` tells (RFC 8878 section 3.1.1.1).
fn header_length(part: &[u8]) -> Result<usize, Undecodable> {
    let Some((magic, rest)) = part.split_first_chunk() else { return Ok(5) };
    let magic = u32::from_le_bytes(*magic);
    if is_skippable(magic) {
        return Ok(8);
    }
    if magic != 0xfd2f_b528 {
        return Err(Undecodable);
    }
    let Some(descriptor) = rest.first() else { return Ok(5) };
    let is_single = descriptor >> 5 & 1 == 1;
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0);
    let size = match descriptor >> 6 {
        0 => usize::from(is_single),
        1 => 2,
        2 => 4,
        _ => 8,
    };
    Ok(5 + usize::from(!is_single) + dictionary + size)
}

/// How many bytes the next block has, with its header, and with the checksum if it is the last one.
fn block_length(part: &[u8], has_checksum: bool) -> Result<usize, Undecodable> {
    let Some([a, b, c]) = part.first_chunk() else { return Ok(3) };
    let header = u32::from_le_bytes([*a, *b, *c, 0]);
    let size = usize::try_from(header >> 3).unwrap_or(usize::MAX);
    if size > ZSTANDARD_BLOCK {
        return Err(Undecodable);
    }
    let content = match header >> 1 & 3 {
        1 => 1,
        0 | 2 => size,
        _ => return Err(Undecodable),
    };
    Ok(3 + content + if has_checksum && header & 1 == 1 { 4 } else { 0 })
}

#[cfg(test)]
mod tests;
