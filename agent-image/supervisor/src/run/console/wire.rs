//! What a viewer sends: frames of a type byte, a length of two bytes (big-endian) and that many bytes. `i` is input as typed, `r`
//! is rows and columns, two bytes each. What the supervisor sends back is the bytes of the terminal, as they are.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Typed.
    Input(Vec<u8>),
    /// The viewer's terminal has this size.
    Size {
        /// Lines.
        rows: u16,
        /// Cells of a line.
        columns: u16,
    },
}

/// Bytes of input in a frame at most.
pub(crate) const LONGEST_INPUT: usize = 4096;

/// Reads the next frame; `None` at the end. One that is none is an error: whoever sends it is no viewer.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Frame>> {
    let mut head = [0; 3];
    if from.read(head.get_mut(..1).unwrap_or_default()).await? == 0 {
        return Ok(None);
    }
    from.read_exact(head.get_mut(1..).unwrap_or_default()).await?;
    let [kind, high, low] = head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    // Before anything is waited for.
    if !matches!((kind, length), (b'i', ..=LONGEST_INPUT) | (b'r', 4)) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no frame of a viewer"));
    }
    let mut payload = vec![0; length];
    from.read_exact(&mut payload).await?;
    match (kind, payload.as_slice()) {
        (b'i', _) => Ok(Some(Frame::Input(payload))),
        (b'r', &[a, b, c, d]) => {
            Ok(Some(Frame::Size { rows: u16::from_be_bytes([a, b]), columns: u16::from_be_bytes([c, d]) }))
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no frame of a viewer")),
    }
}

/// The frames of typed bytes.
pub(crate) fn input(bytes: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(bytes.len() + 3);
    for chunk in bytes.chunks(LONGEST_INPUT) {
        frames.push(b'i');
        frames.extend_from_slice(&u16::try_from(chunk.len()).unwrap_or(u16::MAX).to_be_bytes());
        frames.extend_from_slice(chunk);
    }
    frames
}

/// The frame of a size.
pub(crate) fn size(rows: u16, columns: u16) -> Vec<u8> {
    let mut frame = vec![b'r', 0, 4];
    frame.extend_from_slice(&rows.to_be_bytes());
    frame.extend_from_slice(&columns.to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(mut bytes: &[u8]) -> io::Result<Vec<Frame>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut found = Vec::new();
            while let Some(frame) = read(&mut bytes).await? {
                found.push(frame);
            }
            Ok(found)
        })
    }

    #[test]
    fn what_is_no_frame_ends_the_connection() {
        for bytes in [&b"x\0\0"[..], b"r\0\x03abc", b"i\0\x05abc", b"i\0", b"GET / HTTP/1.1\r\n\r\n"] {
            assert!(frames(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(frames(b"").unwrap(), []);
    }

    proptest! {
        #[test]
        fn reads_what_was_written(typed in prop::collection::vec(any::<u8>(), 0..20_000), rows: u16, columns: u16) {
            let mut bytes = size(rows, columns);
            bytes.extend(input(&typed));
            let found = frames(&bytes).unwrap();
            prop_assert_eq!(&found[0], &Frame::Size { rows, columns });
            let read: Vec<u8> = found[1..].iter().flat_map(|frame| match frame {
                Frame::Input(bytes) => bytes.clone(),
                Frame::Size { .. } => Vec::new(),
            }).collect();
            prop_assert_eq!(read, typed);
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = frames(&bytes);
        }
    }
}
