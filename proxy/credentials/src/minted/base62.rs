//! Bytes as letters and digits, and the checksum of GitHub's tokens.

/// In the order that GitHub's checksums have.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Digits that 20 bytes take.
pub(super) const DIGITS: usize = 27;

/// The digit for a number; numbers above 61 begin again.
pub(super) fn digit(number: u8) -> char {
    char::from(ALPHABET.get(usize::from(number) % 62).copied().unwrap_or(b'0'))
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'Z' => Some(digit - b'A' + 10),
        b'a'..=b'z' => Some(digit - b'a' + 36),
        _ => None,
    }
}

/// 20 bytes as one number, in [`DIGITS`] digits, the highest first.
#[expect(clippy::cast_possible_truncation, reason = "remainders are below 62, quotients of a byte below 256")]
pub(super) fn encode(bytes: &[u8; 20]) -> String {
    let mut number = *bytes;
    let mut digits = Vec::with_capacity(DIGITS);
    for _ in 0..DIGITS {
        let mut rest = 0_u32;
        for byte in &mut number {
            let with = rest << 8 | u32::from(*byte);
            *byte = (with / 62) as u8;
            rest = with % 62;
        }
        digits.push(digit(rest as u8));
    }
    digits.iter().rev().collect()
}

/// The 20 bytes; `None` for other digits, another number of them, or a number that is too high.
pub(super) fn decode(digits: &[u8]) -> Option<[u8; 20]> {
    if digits.len() != DIGITS {
        return None;
    }
    let mut number = [0_u8; 20];
    for digit in digits {
        let mut carry = u32::from(value(*digit)?);
        for byte in number.iter_mut().rev() {
            let with = u32::from(*byte) * 62 + carry;
            *byte = (with & 0xff).try_into().ok()?;
            carry = with >> 8;
        }
        if carry > 0 {
            return None;
        }
    }
    Some(number)
}

/// Six digits of CRC-32 (IEEE 802.3), with which GitHub's tokens end.
pub(crate) fn checksum(text: &[u8]) -> String {
    let mut crc = u32::MAX;
    for byte in text {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    let mut rest = !crc;
    let mut digits = [0_u8; 6];
    for place in digits.iter_mut().rev() {
        *place = u8::try_from(rest % 62).unwrap_or(0);
        rest /= 62;
    }
    digits.into_iter().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_a_token_that_github_published() {
        assert_eq!(checksum(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ"), "0mLq17");
    }

    #[test]
    fn every_number_of_20_bytes_has_one_spelling() {
        for bytes in [[0; 20], [0xff; 20], *b"abcdefghijklmnopqrst"] {
            assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes));
        }
        assert_eq!(decode(&[b'z'; DIGITS]), None, "above what 20 bytes hold");
        assert_eq!(decode(&[b'0'; DIGITS - 1]), None);
        assert_eq!(decode(b"00000000000000000000000000-"), None);
    }
}
