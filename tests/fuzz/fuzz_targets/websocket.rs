//! WebSocket frames: however the bytes are cut, the same frames and the same violation come out; masked again they are what
//! came; text is UTF-8; and little ever waits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stubgate_websocket::{LONGEST_CONTROL, LONGEST_HEADER, Limits, Opcode, Parser, Piece, Sender, Violation};

const LIMITS: Limits = Limits { message_bytes: 3000, fragments: 16 };

/// Whole frames: what they are and their payload; and how it ended.
type Read = (Vec<(Opcode, bool, Vec<u8>)>, Result<bool, Violation>);

fn read(sender: Sender, data: &[u8], step: usize) -> Read {
    let mut parser = Parser::new(sender, LIMITS);
    let (mut frames, mut open, mut buffer, mut given, mut done) = (Vec::new(), None, Vec::new(), 0, 0);
    loop {
        let used = match parser.next(&mut buffer) {
            Err(violation) => return (frames, Err(violation)),
            Ok(Piece::More) if given == data.len() => {
                assert_eq!(parser.is_between_frames(), open.is_none());
                return (frames, Ok(buffer.is_empty() && open.is_none()));
            }
            Ok(Piece::More) => {
                assert!(buffer.len() < LONGEST_HEADER + LONGEST_CONTROL);
                let end = (given + step).min(data.len());
                buffer.extend_from_slice(&data[given..end]);
                given = end;
                continue;
            }
            Ok(Piece::Data(header)) => {
                assert!(header.payload <= LIMITS.message_bytes);
                if header.payload == 0 {
                    frames.push((header.opcode, header.is_final, Vec::new()));
                } else {
                    open = Some((header.opcode, header.is_final, Vec::new()));
                }
                header.size
            }
            Ok(Piece::Payload { length, mask, ends_frame }) => {
                assert!(length > 0);
                open.as_mut().expect("a frame under way").2.extend_from_slice(&buffer[..length]);
                if let Some(mask) = mask {
                    mask.apply(&mut buffer[..length]);
                }
                if ends_frame {
                    frames.extend(open.take());
                }
                length
            }
            Ok(Piece::Control(header)) => {
                let used = header.size + header.payload as usize;
                let payload = buffer[header.size..used].to_vec();
                assert!(payload.len() <= LONGEST_CONTROL);
                frames.push((header.opcode, header.is_final, payload));
                if let Some(mask) = header.mask {
                    mask.apply(&mut buffer[header.size..used]);
                }
                used
            }
        };
        assert_eq!(buffer[..used], data[done..done + used]);
        buffer.drain(..used);
        done += used;
    }
}

fuzz_target!(|data: &[u8]| {
    let [step, who, data @ ..] = data else { return };
    let sender = if who & 1 == 0 { Sender::Client } else { Sender::Server };
    let whole = read(sender, data, data.len().max(1));
    assert_eq!(read(sender, data, usize::from(*step) + 1), whole);
    assert_eq!(read(sender, data, 1), whole);
    let mut text: Option<Vec<u8>> = None;
    for (opcode, is_final, payload) in whole.0 {
        match opcode {
            Opcode::Text => text = Some(payload),
            Opcode::Continuation => {
                if let Some(text) = &mut text {
                    text.extend(payload);
                }
            }
            Opcode::Binary | Opcode::Close | Opcode::Ping | Opcode::Pong => continue,
        }
        if is_final && let Some(text) = text.take() {
            assert!(std::str::from_utf8(&text).is_ok());
        }
    }
});
