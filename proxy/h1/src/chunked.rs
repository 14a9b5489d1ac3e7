//! The chunked coding (RFC 9112 section 7.1), read strictly.
//!
//! A size is one to sixteen hexadecimal digits and nothing else before the extension or the CRLF; extensions are
//! skipped within a budget for the whole body; every CRLF is demanded. What is sent on is chunked anew, so neither
//! extensions nor odd spellings travel further.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use thiserror::Error;

use crate::head::{EndFinder, HeadError, Limits, parse_trailers};

/// Bytes of chunk extensions that one body may carry.
const EXTENSION_BUDGET: usize = 16 * 1024;
/// Bytes of one size line; longer is an attack.
const LINE_BYTES: usize = 4 * 1024;

/// Why a chunked body was refused. The peer is at fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ChunkError {
    /// Not one to sixteen hexadecimal digits.
    #[error("malformed chunk size")]
    Size,
    /// A control byte or a bare line end in an extension, or too many of them.
    #[error("malformed chunk extension")]
    Extension,
    /// No CRLF where one is due.
    #[error("chunk not ended by CRLF")]
    Ending,
    /// The trailer section.
    #[error("malformed trailers: {0}")]
    Trailers(HeadError),
}

/// State between two calls of [`Decoder::decode`].
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    extensions: usize,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers(EndFinder),
    Done,
}

/// What a call of [`Decoder::decode`] found.
#[derive(Debug)]
pub enum Decoded {
    /// Bytes of the body; never empty.
    Data(Bytes),
    /// The end, with trailers if there were any.
    End(Option<HeaderMap>),
    /// More bytes are needed.
    More,
}

impl Decoder {
    /// Takes what it can from the front of `buf`.
    pub fn decode(&mut self, buf: &mut BytesMut, limits: &Limits) -> Result<Decoded, ChunkError> {
        loop {
            match &mut self.state {
                State::Size => {
                    let Some(lf) = memchr::memchr(b'\n', buf) else {
                        return if buf.len() > LINE_BYTES { Err(ChunkError::Size) } else { Ok(Decoded::More) };
                    };
                    let line = buf.get(..lf).and_then(|l| l.strip_suffix(b"\r")).ok_or(ChunkError::Ending)?;
                    let (size, extension) = parse_size_line(line)?;
                    self.extensions += extension;
                    if self.extensions > EXTENSION_BUDGET {
                        return Err(ChunkError::Extension);
                    }
                    buf.advance(lf + 1);
                    self.state = if size == 0 { State::Trailers(EndFinder::default()) } else { State::Data(size) };
                }
                State::Data(left) => {
                    if buf.is_empty() {
                        return Ok(Decoded::More);
                    }
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
                    *left -= take as u64;
                    if *left == 0 {
                        self.state = State::DataEnd;
                    }
                    return Ok(Decoded::Data(buf.split_to(take).freeze()));
                }
                State::DataEnd => match buf.get(..2) {
                    Some(b"\r\n") => {
                        buf.advance(2);
                        self.state = State::Size;
                    }
                    Some(_) => return Err(ChunkError::Ending),
                    None if buf.first().is_some_and(|&b| b != b'\r') => return Err(ChunkError::Ending),
                    None => return Ok(Decoded::More),
                },
                State::Trailers(end) => {
                    if buf.first() == Some(&b'\r') {
                        match buf.get(1) {
                            Some(b'\n') => {
                                buf.advance(2);
                                self.state = State::Done;
                                return Ok(Decoded::End(None));
                            }
                            Some(_) => return Err(ChunkError::Trailers(HeadError::BareLineEnd)),
                            None => return Ok(Decoded::More),
                        }
                    }
                    let Some(length) = end.find(buf).map_err(ChunkError::Trailers)? else {
                        return if buf.len() > limits.head_bytes {
                            Err(ChunkError::Trailers(HeadError::TooLarge))
                        } else {
                            Ok(Decoded::More)
                        };
                    };
                    let block = buf.split_to(length).freeze();
                    let trailers = parse_trailers(&block, limits).map_err(ChunkError::Trailers)?;
                    self.state = State::Done;
                    return Ok(Decoded::End(Some(trailers)));
                }
                State::Done => return Ok(Decoded::End(None)),
            }
        }
    }
}

/// The size, and how many bytes of extension followed.
fn parse_size_line(line: &[u8]) -> Result<(u64, usize), ChunkError> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 16 {
        return Err(ChunkError::Size);
    }
    let (size, extension) = line.split_at_checked(digits).ok_or(ChunkError::Size)?;
    let mut n: u64 = 0;
    for &b in size {
        let digit = char::from(b).to_digit(16).ok_or(ChunkError::Size)?;
        n = n.checked_mul(16).and_then(|n| n.checked_add(u64::from(digit))).ok_or(ChunkError::Size)?;
    }
    if n > i64::MAX.unsigned_abs() {
        return Err(ChunkError::Size);
    }
    match extension.first() {
        None => {}
        Some(b';') if extension.iter().all(|&b| b == b'\t' || (0x20..0x7f).contains(&b)) => {}
        Some(b';') => return Err(ChunkError::Extension),
        Some(_) => return Err(ChunkError::Size),
    }
    Ok((n, extension.len()))
}

/// The line that precedes a chunk of `length` bytes; at most 18 bytes.
pub fn write_size_line(out: &mut BytesMut, length: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut shift = (usize::BITS - length.leading_zeros()).max(1).div_ceil(4);
    while shift > 0 {
        shift -= 1;
        let digit = (length >> (shift * 4)) & 15;
        out.extend_from_slice(DIGITS.get(digit..=digit).unwrap_or(b"0"));
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
