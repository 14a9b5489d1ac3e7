//! One viewer's connection. Nobody waits for it: what it does not take in time is dropped, and once it takes again it gets the
//! whole screen anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Notify, mpsc};

use super::wire::{self, Frame};

/// Bytes that wait for one viewer at most, ...
const MOST_WAITING: usize = 128 * 1024;
/// ... where each piece of output costs this besides: output may come a byte at a time.
const PIECE: usize = 64;

/// What a viewer does.
#[derive(Debug)]
pub(crate) enum Event {
    /// It typed.
    Input(Vec<u8>),
    /// Its terminal has this size.
    Size(u64, u16, u16),
    /// It has missed something, and takes again.
    Missed(u64),
    /// It is gone.
    Gone(u64),
}

/// What waits for a viewer.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    has_missed: bool,
}

/// What is next for a viewer.
enum Next {
    Chunk(Bytes),
    Repaint,
    Nothing,
}

impl Outbox {
    /// Output of the client.
    pub(crate) fn put(&self, chunk: Bytes) {
        let mut waiting = self.lock();
        if waiting.has_missed {
            return;
        }
        let bytes = chunk.len() + PIECE;
        if waiting.bytes + bytes > MOST_WAITING {
            *waiting = Waiting { has_missed: true, ..Waiting::default() };
        } else {
            waiting.bytes += bytes;
            waiting.chunks.push_back(chunk);
        }
        drop(waiting);
        self.changed.notify_one();
    }

    /// The whole screen: whatever waits is of no use any more.
    pub(crate) fn repaint(&self, screen: Vec<u8>) {
        // A sequence that was cut is ended first.
        let mut whole = b"\x18\x1b\\".to_vec();
        whole.extend(screen);
        let bytes = whole.len() + PIECE;
        *self.lock() = Waiting { chunks: [Bytes::from(whole)].into(), bytes, has_missed: false };
        self.changed.notify_one();
    }

    fn next(&self) -> Next {
        let mut waiting = self.lock();
        match waiting.chunks.pop_front() {
            Some(chunk) => {
                waiting.bytes -= chunk.len() + PIECE;
                Next::Chunk(chunk)
            }
            None if waiting.has_missed => Next::Repaint,
            None => Next::Nothing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one viewer until it goes.
pub(crate) async fn serve(number: u64, stream: UnixStream, outbox: Arc<Outbox>, events: mpsc::Sender<Event>) {
    let (mut from, to) = stream.into_split();
    let reading = async {
        while let Ok(Some(frame)) = wire::read(&mut from).await {
            let event = match frame {
                Frame::Input(bytes) => Event::Input(bytes),
                Frame::Size { rows, columns } => Event::Size(number, rows, columns),
            };
            if events.send(event).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = write(number, to, &outbox, &events) => {}
    }
    let _ = events.send(Event::Gone(number)).await;
}

async fn write(number: u64, mut to: OwnedWriteHalf, outbox: &Outbox, events: &mpsc::Sender<Event>) {
    loop {
        match outbox.next() {
            Next::Chunk(chunk) => {
                if to.write_all(&chunk).await.is_err() {
                    return;
                }
            }
            Next::Repaint => {
                if events.send(Event::Missed(number)).await.is_err() {
                    return;
                }
                outbox.changed.notified().await;
            }
            Next::Nothing => outbox.changed.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_comes_a_byte_at_a_time_costs_no_more() {
        let outbox = Outbox::default();
        for _ in 0..MOST_WAITING {
            outbox.put(Bytes::from_static(b"x"));
            assert!(outbox.lock().chunks.len() <= MOST_WAITING / PIECE);
        }
        assert!(matches!(outbox.next(), Next::Repaint));
    }

    #[test]
    fn a_viewer_that_takes_nothing_costs_a_bounded_number_of_bytes_and_is_repainted() {
        let outbox = Outbox::default();
        let chunk = Bytes::from(vec![b'x'; 16 * 1024]);
        for _ in 0..1000 {
            outbox.put(chunk.clone());
            assert!(outbox.lock().bytes <= MOST_WAITING);
        }
        assert!(matches!(outbox.next(), Next::Repaint));
        outbox.put(chunk.clone());
        assert!(matches!(outbox.next(), Next::Repaint), "output after the gap is of no use without the repaint");
        outbox.repaint(b"screen".to_vec());
        outbox.put(Bytes::from_static(b"more"));
        assert!(matches!(outbox.next(), Next::Chunk(chunk) if chunk.ends_with(b"screen")));
        assert!(matches!(outbox.next(), Next::Chunk(chunk) if chunk == "more"));
        assert!(matches!(outbox.next(), Next::Nothing));
    }
}
