//! Ends a tunnel whose frames are refused: a Close frame to each side that can still read one.

use std::future::poll_fn;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::outbox::Outbox;
use crate::stream::Stream;

/// How long a side is waited for that does not read, or does not end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes that are read and thrown away, so that the Close frame reaches a side that is still sending.
const LINGER_BYTES: usize = 1 << 20;

/// Writes what is left and a Close frame, if one may follow, ends the connection, and waits for the other side to do so.
pub(super) async fn say(to: &mut Stream, outbox: Option<Outbox>, close: Vec<u8>) {
    let saying = async {
        if let Some(mut outbox) = outbox {
            outbox.push(Bytes::from(close));
            let mut moved = 0;
            poll_fn(|cx| outbox.poll_write(to, &mut moved, cx)).await?;
        }
        to.shutdown().await?;
        let mut left = LINGER_BYTES;
        let mut thrown_away = BytesMut::with_capacity(4096);
        while left > 0 {
            thrown_away.clear();
            let read = to.read_buf(&mut thrown_away).await?;
            if read == 0 {
                break;
            }
            left = left.saturating_sub(read);
        }
        std::io::Result::Ok(())
    };
    // A side that has left, or stays too long, misses it.
    let _ = tokio::time::timeout(PATIENCE, saying).await;
}
