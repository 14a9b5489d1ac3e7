//! Masking (RFC 6455 section 5.3): XOR with four bytes, over and over. Applied twice it changes nothing.

/// A masking key, turned to where the payload at hand begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask([u8; 4]);

impl Mask {
    /// The key as it stands in a header.
    pub fn new(key: [u8; 4]) -> Self {
        Mask(key)
    }

    /// The key for what follows `skipped` more bytes of payload.
    #[must_use]
    pub fn after(self, skipped: usize) -> Self {
        let mut key = self.0;
        key.rotate_left(skipped % 4);
        Mask(key)
    }

    /// Masks, or unmasks, in place.
    pub fn apply(self, payload: &mut [u8]) {
        let word = u64::from_ne_bytes(self.doubled());
        let (words, rest) = payload.as_chunks_mut::<8>();
        for bytes in words {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.doubled()) {
            *byte ^= key;
        }
    }

    fn doubled(self) -> [u8; 8] {
        let [a, b, c, d] = self.0;
        [a, b, c, d, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masks_as_the_rfc_says_from_any_place_and_twice_is_nothing(
            key: [u8; 4],
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            at in 0..100usize,
        ) {
            let expected: Vec<u8> = payload.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            let at = at.min(payload.len());
            let mut masked = payload.clone();
            Mask::new(key).apply(&mut masked[..at]);
            Mask::new(key).after(at).apply(&mut masked[at..]);
            prop_assert_eq!(&masked, &expected);
            Mask::new(key).apply(&mut masked);
            prop_assert_eq!(masked, payload);
        }
    }
}
