//! Leading segments of paths, as keys: rules of one host are found by the literal beginning of their patterns.
//!
//! A key only narrows what is looked at; whether a pattern matches is decided by the pattern. ASCII case is ignored,
//! so that allow and deny rules share one key.

use smallvec::SmallVec;

/// Most leading segments in a key.
const DEEPEST: u8 = 4;
const START: u64 = 0xcbf2_9ce4_8422_2325;

/// So many leading segments, and a hash of them (FNV-1a: paths are short, and read byte by byte anyway).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Prefix {
    pub(crate) segments: u8,
    hash: u64,
}

impl Prefix {
    /// No segment: every path begins with it.
    pub(crate) const NONE: Prefix = Prefix { segments: 0, hash: START };

    /// The prefix that begins with this one and goes on with `segment`; `None` if it would be too long.
    pub(crate) fn and(self, segment: &str) -> Option<Prefix> {
        if self.segments == DEEPEST {
            return None;
        }
        let slash = if self.segments == 0 { START } else { mix(self.hash, b'/') };
        let hash = segment.bytes().fold(slash, mix);
        Some(Prefix { segments: self.segments + 1, hash })
    }
}

/// Every prefix that a path has, the empty one first. `path` begins with `/`.
pub(crate) fn of_path(path: &str) -> SmallVec<[Prefix; DEEPEST as usize + 1]> {
    let mut all = SmallVec::new();
    let mut hash = START;
    let mut segments = 0;
    all.push(Prefix::NONE);
    for byte in path.bytes().skip(1) {
        if byte == b'/' {
            segments += 1;
            all.push(Prefix { segments, hash });
            if segments == DEEPEST {
                return all;
            }
        }
        hash = mix(hash, byte);
    }
    all.push(Prefix { segments: segments + 1, hash });
    all
}

fn mix(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
}

#[cfg(test)]
mod tests {
    use super::{Prefix, of_path};

    #[test]
    fn a_path_has_the_prefixes_that_are_built_from_its_segments() {
        for path in ["/", "/a", "/a/", "/a/b/c", "/A/b/c/d", "/a/b/c/d/e/f", "/a%2Fb/c"] {
            let mut built = vec![Prefix::NONE];
            for segment in path.split('/').skip(1) {
                built.extend(built.last().and_then(|prefix| prefix.and(segment)));
            }
            built.dedup();
            let found = of_path(path);
            assert_eq!(found.as_slice(), &built[..found.len()], "{path}");
            assert_eq!(found.len(), built.len().min(5), "{path}");
        }
        assert_eq!(of_path("/A/b"), of_path("/a/B"));
        assert_ne!(of_path("/ab")[1], of_path("/a/b")[1]);
        assert_ne!(of_path("/ab")[1], of_path("/a/b")[2]);
    }
}
