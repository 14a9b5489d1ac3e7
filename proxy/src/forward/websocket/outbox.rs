//! What one direction of a tunnel has yet to write: pieces in order, as they were read, written together.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

use crate::stream::Stream;

/// Pieces that go out with one call.
const TOGETHER: usize = 32;
/// Shorter pieces are put together instead: headers, and frames that are little more.
const SHORT: usize = 256;

/// Bounded by whoever fills it: nothing more is read while it holds anything.
#[derive(Default)]
pub(super) struct Outbox {
    pieces: VecDeque<Bytes>,
    /// Short pieces behind them.
    short: BytesMut,
}

impl Outbox {
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.len() < SHORT {
            self.short.extend_from_slice(&piece);
        } else {
            self.close_short();
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.short.is_empty()
    }

    /// Writes all; adds what went out to `moved`.
    pub(super) fn poll_write(
        &mut self,
        to: &mut Stream,
        moved: &mut u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.close_short();
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); TOGETHER];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut *to).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *moved += written as u64;
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn close_short(&mut self) {
        if !self.short.is_empty() {
            self.pieces.push_back(std::mem::take(&mut self.short).freeze());
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.pieces.pop_front();
        }
    }

    #[cfg(test)]
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.close_short();
        self.pieces.iter().flatten().copied().collect()
    }
}
