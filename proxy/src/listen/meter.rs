//! Meters an HTTP/2 connection of an agent: how many frames come that carry no request further.
//!
//! h2 bounds resets, CONTINUATION and empty DATA by itself, but answers any number of SETTINGS, PING and WINDOW_UPDATE
//! (RFC 9113 section 10.5 lists them as a denial of service). Here frames are counted by their headers as the bytes pass:
//! those without progress spend from a budget, and the connection fails once it is spent. HEADERS, DATA with content,
//! what we send (a download is answered by window updates) and time refill it. Nothing is changed in the bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Stream;

/// What precedes the first frame (RFC 9113 section 3.4).
const PREFACE: usize = 24;
/// Frames without progress that may come in a row.
const BUDGET: u32 = 2_000;
/// What one frame with progress gives back.
const REFILL: u32 = 200;
/// Bytes sent that give back one.
const SENT: usize = 512;
/// What a second gives back: more than any client's keep-alive needs.
const PER_SECOND: u32 = 10;

/// A stream whose incoming frames are counted.
pub(super) struct Metered {
    stream: Stream,
    frames: Frames,
    refilled: Instant,
    sent: usize,
}

/// Where in the sequence of frames the bytes are.
#[derive(Debug)]
struct Frames {
    skip: usize,
    header: [u8; 9],
    have: usize,
    budget: u32,
}

impl Metered {
    pub(super) fn new(stream: Stream) -> Self {
        Metered { stream, frames: Frames::new(), refilled: Instant::now(), sent: 0 }
    }

    fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        self.frames.refill(u32::try_from(self.sent / SENT).unwrap_or(BUDGET));
        self.sent %= SENT;
    }

    fn waited(&mut self) {
        let seconds = self.refilled.elapsed().as_secs();
        if seconds > 0 {
            self.refilled = Instant::now();
            self.frames.refill(PER_SECOND.saturating_mul(u32::try_from(seconds).unwrap_or(BUDGET)));
        }
    }
}

impl Frames {
    fn new() -> Self {
        Frames { skip: PREFACE, header: [0; 9], have: 0, budget: BUDGET }
    }

    fn refill(&mut self, frames: u32) {
        self.budget = self.budget.saturating_add(frames).min(BUDGET);
    }

    /// Passes over bytes; `false` once the budget is spent.
    fn pass(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len());
                self.skip -= n;
                bytes = bytes.get(n..).unwrap_or_default();
                continue;
            }
            let n = (self.header.len() - self.have).min(bytes.len());
            let (front, rest) = bytes.split_at(n);
            if let Some(place) = self.header.get_mut(self.have..self.have + n) {
                place.copy_from_slice(front);
            }
            self.have += n;
            bytes = rest;
            if self.have == self.header.len() {
                self.have = 0;
                let [a, b, c, kind, ..] = self.header;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                let is_progress = match kind {
                    // DATA with content, HEADERS.
                    0 => self.skip > 0,
                    1 => true,
                    _ => false,
                };
                if is_progress {
                    self.refill(REFILL);
                } else {
                    match self.budget.checked_sub(1) {
                        Some(left) => self.budget = left,
                        None => return false,
                    }
                }
            }
        }
        true
    }
}

impl AsyncRead for Metered {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        this.waited();
        if this.frames.pass(buf.filled().get(before..).unwrap_or_default()) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(io::Error::other("too many HTTP/2 frames without progress")))
        }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        this.sent(n);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs))?;
        this.sent(n);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        bytes.extend(std::iter::repeat_n(0, usize::from(length)));
        bytes
    }

    #[test]
    fn a_flood_without_progress_ends_the_connection() {
        for kind in [2, 4, 6, 8] {
            let mut frames = Frames::new();
            assert!(frames.pass(&[0; PREFACE]));
            let flood = frame(kind, 8).repeat(BUDGET as usize);
            assert!(frames.pass(&flood));
            assert!(!frames.pass(&frame(kind, 8)), "{kind}");
        }
    }

    #[test]
    fn a_transfer_with_window_updates_goes_on() {
        let mut frames = Frames::new();
        assert!(frames.pass(&[0; PREFACE]));
        let mut round = frame(0, 200);
        round.extend(frame(8, 4).repeat(3));
        for _ in 0..10_000 {
            assert!(frames.pass(&round));
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_are_cut(cuts in proptest::collection::vec(1usize..40, 1..200)) {
            let mut stream = vec![0; PREFACE];
            for kind in 0..10 {
                stream.extend(frame(kind, kind * 3));
            }
            let mut whole = Frames::new();
            whole.pass(&stream);
            let mut pieces = Frames::new();
            let mut rest = &stream[..];
            for cut in cuts {
                let (front, back) = rest.split_at(cut.min(rest.len()));
                pieces.pass(front);
                rest = back;
            }
            pieces.pass(rest);
            prop_assert_eq!(whole.budget, pieces.budget);
            prop_assert_eq!(whole.skip, pieces.skip);
        }
    }
}
