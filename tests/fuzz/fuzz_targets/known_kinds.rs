//! Known kinds of credentials: whatever the pieces, the same is found and the same leaves, and a mask covers what it is for.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use stubgate_credentials::kinds::{Gate, LONGEST, SHORTEST, mask, sights};
use stubgate_policy::OnCredential;

fuzz_target!(|data: &[u8]| {
    // Sizes of pieces up to a zero, then text.
    let Some(end) = data.iter().position(|byte| *byte == 0) else { return };
    let (sizes, text) = (&data[..end], &data[end + 1..]);
    let nobody = |_: &[u8]| false;
    let found = sights(text, nobody);
    let mut masked = text.to_vec();
    let mut last = 0;
    for sight in &found {
        assert!(sight.span.start >= last && (SHORTEST..=LONGEST).contains(&sight.span.len()));
        last = sight.span.end;
        mask(&mut masked, sight);
    }
    for sight in &found {
        assert!(sights(&masked[sight.span.clone()], nobody).is_empty());
    }
    for act in [OnCredential::Allow, OnCredential::Replace, OnCredential::Deny] {
        let mut gate = Gate::new(act);
        let mut out = Vec::new();
        let mut left = text;
        let mut sizes = sizes.iter().cycle();
        while !left.is_empty() {
            let size = sizes.next().map_or(left.len(), |size| usize::from(*size));
            let (piece, after) = left.split_at(size.min(left.len()));
            gate.push(Bytes::copy_from_slice(piece), nobody);
            out.extend(std::iter::from_fn(|| gate.take()).flatten());
            left = after;
        }
        gate.push_last(Bytes::new(), nobody);
        out.extend(std::iter::from_fn(|| gate.take()).flatten());
        match act {
            OnCredential::Allow => assert_eq!(out, text),
            OnCredential::Replace => assert_eq!(out, masked),
            OnCredential::Deny => assert_eq!(out, &text[..found.first().map_or(text.len(), |first| first.span.start)]),
        }
        assert_eq!(gate.is_shut(), act == OnCredential::Deny && !found.is_empty());
    }
});
