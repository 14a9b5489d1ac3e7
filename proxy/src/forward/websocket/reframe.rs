//! Frames of an origin, scrubbed: payload may be held back for a while, and is put back under its own headers (law 4).
//!
//! All payload of one direction is one text to the scrubber, so that a credential is found over the borders of pieces,
//! frames and messages. What it replaces has the same length, so headers stay as they came. Control frames are whole, and
//! scrubbed each by itself. The order of frames never changes.

use std::collections::VecDeque;
use std::task::Context;

use bytes::Bytes;
use stubgate_scrub::{Scrubber, Stream, Tally};

use super::outbox::Outbox;
use crate::deadline::Deadline;

/// Frames that may wait behind a held tail; more are a flood, since they carry nothing.
const MOST_WAITING: usize = 4096;

/// Scrubs frames.
pub(super) struct Reframe {
    scrubber: Scrubber,
    stream: Stream,
    /// How long its end is held back.
    held: Deadline,
    /// What goes out next, in order.
    layout: VecDeque<Part>,
    /// Payload that may leave.
    ready: Bytes,
    /// Found in control frames.
    apart: Tally,
}

enum Part {
    /// As it is: a header, or a control frame.
    Whole(Bytes),
    /// So many bytes of payload.
    Payload(usize),
}

impl Reframe {
    pub(super) fn new(scrubber: Scrubber, held: Deadline) -> Self {
        let stream = scrubber.stream();
        Reframe { scrubber, stream, held, layout: VecDeque::new(), ready: Bytes::new(), apart: Tally::default() }
    }

    /// Goes on with other needles, if these are others.
    pub(super) fn renew(&mut self, scrubber: &Scrubber) {
        if !self.scrubber.is_same(scrubber) {
            self.stream.renew(scrubber);
            self.scrubber = scrubber.clone();
        }
    }

    /// A header, or a control frame of which [`Reframe::scrub`] has taken the payload.
    pub(super) fn whole(&mut self, bytes: Bytes) {
        self.layout.push_back(Part::Whole(bytes));
    }

    /// Payload of data.
    pub(super) fn payload(&mut self, bytes: Bytes) {
        self.layout.push_back(Part::Payload(bytes.len()));
        self.stream.push(bytes);
    }

    /// Scrubs payload that is whole.
    pub(super) fn scrub(&mut self, payload: &mut [u8]) {
        if let Some(scrubbed) = self.scrubber.scrubbed(payload, &mut self.apart) {
            payload.copy_from_slice(&scrubbed);
        }
    }

    /// Gives out what may leave; whether no more than may be waits behind what is held.
    #[must_use]
    pub(super) fn settle(&mut self, outbox: &mut Outbox) -> bool {
        while let Some(part) = self.layout.front_mut() {
            match part {
                Part::Whole(bytes) => outbox.push(std::mem::take(bytes)),
                Part::Payload(left) => {
                    if self.ready.is_empty() {
                        let Some(ready) = self.stream.take() else { break };
                        self.held.touch();
                        self.ready = ready;
                    }
                    let length = self.ready.len().min(*left);
                    outbox.push(self.ready.split_to(length));
                    *left -= length;
                    if *left > 0 {
                        continue;
                    }
                }
            }
            self.layout.pop_front();
        }
        self.layout.len() <= MOST_WAITING
    }

    /// The origin has nothing more at the moment: what is held leaves now, or wakes the task to be asked again.
    pub(super) fn pause(&mut self, outbox: &mut Outbox, cx: &mut Context<'_>) {
        if !self.layout.is_empty() {
            if self.stream.pause() && self.held.poll(cx).is_ready() {
                self.stream.let_go();
            }
            let _ = self.settle(outbox);
        }
    }

    /// Nothing more will be taken of the origin, though it may have more. Whether nothing is held back.
    #[must_use]
    pub(super) fn stop(&mut self, outbox: &mut Outbox) -> bool {
        let _ = self.stream.pause();
        let _ = self.settle(outbox);
        self.layout.is_empty()
    }

    /// There will be nothing more: all leaves.
    pub(super) fn finish(&mut self, outbox: &mut Outbox) {
        self.stream.finish();
        let _ = self.settle(outbox);
    }

    /// Credentials that were found since this was asked last.
    pub(super) fn take_tally(&mut self) -> Tally {
        let mut found = std::mem::take(&mut self.apart);
        found.add(&self.stream.take_tally());
        found
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use stubgate_scrub::{Builder, Letters};

    use super::*;

    const REAL: &[u8] = b"real-secret-0123456789";
    const STUB: &[u8] = b"proxy-token-stub******";

    fn scrubber() -> Scrubber {
        let mut builder = Builder::default();
        let owner = builder.owner("api".into());
        builder.needle(owner, Letters::Exact, REAL.to_vec().into(), STUB.to_vec()).unwrap();
        builder.build()
    }

    proptest! {
        /// However payload is cut into frames and however frames are cut into pieces, headers stay in order and under
        /// them the scrubbed text.
        #[test]
        fn headers_stay_and_the_text_under_them_is_scrubbed(
            before in "[a-z ]{0,30}",
            after in "[a-z ]{0,30}",
            cuts in proptest::collection::vec(0usize..9, 1..20),
            pauses in proptest::collection::vec(any::<bool>(), 20),
        ) {
            let text = [before.as_bytes(), REAL, after.as_bytes()].concat();
            let expected_text = [before.as_bytes(), STUB, after.as_bytes()].concat();
            let held = Deadline::new(Duration::from_millis(1));
            let (mut reframe, mut outbox) = (Reframe::new(scrubber(), held), Outbox::default());
            let (mut expected, mut at) = (Vec::new(), 0);
            for (number, cut) in cuts.iter().chain([&1000]).enumerate() {
                let end = (at + cut).min(text.len());
                let header = format!("<{number}>");
                expected.extend_from_slice(header.as_bytes());
                expected.extend_from_slice(&expected_text[at..end]);
                reframe.whole(header.into_bytes().into());
                if end > at {
                    reframe.payload(Bytes::copy_from_slice(&text[at..end]));
                }
                prop_assert!(reframe.settle(&mut outbox));
                // A pause releases what may turn out to be the beginning of a credential, never its rest.
                if pauses.get(number) == Some(&true) && end <= before.len() {
                    reframe.stream.let_go();
                }
                at = end;
            }
            reframe.finish(&mut outbox);
            prop_assert_eq!(outbox.into_bytes(), expected);
            prop_assert_eq!(reframe.take_tally().total(), 1);
        }
    }
}
