//! Close frames (RFC 6455 section 5.5.1): the code and reason inside, read and written.

use crate::header::Sender;
use crate::mask::Mask;
use crate::utf8::Utf8;
use crate::violation::Violation;

/// Bytes of the longest reason that a Close frame has room for.
pub const LONGEST_REASON: usize = 123;

/// Whether a code may stand in a Close frame: those of section 7.4.1 and IANA's registry, but the ones that are never
/// sent, and the ranges of libraries and applications.
pub fn is_valid_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Checks the payload of a Close frame.
pub(crate) fn check(payload: &[u8]) -> Result<(), Violation> {
    match payload {
        [] => Ok(()),
        [high, low, reason @ ..] => {
            if !is_valid_code(u16::from_be_bytes([*high, *low])) {
                return Err(Violation::CloseCode);
            }
            let mut text = Utf8::default();
            if text.push(reason) && text.finish() { Ok(()) } else { Err(Violation::NotUtf8) }
        }
        [_] => Err(Violation::CloseCode),
    }
}

/// A Close frame. A client's is masked with `key`, a server's is not. Of `reason` (ASCII) only what fits is kept.
pub fn close_frame(sender: Sender, code: u16, reason: &str, key: [u8; 4]) -> Vec<u8> {
    let reason = reason.as_bytes();
    let reason = reason.get(..reason.len().min(LONGEST_REASON)).unwrap_or_default();
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason);
    let length = u8::try_from(payload.len()).unwrap_or(0);
    let mut frame = vec![0x88];
    match sender {
        Sender::Client => {
            frame.push(0x80 | length);
            frame.extend_from_slice(&key);
            Mask::new(key).apply(&mut payload);
        }
        Sender::Server => frame.push(length),
    }
    frame.append(&mut payload);
    frame
}
