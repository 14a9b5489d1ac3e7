//! Lines of the screen for the log: what will not change any more, once.
//!
//! A line settles when it leaves the screen at its top, or when it stood for two looks. The input box, what is below it, spinners
//! and timers never settle: they are the client's furniture, not what was said.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use vt100::Callbacks;
use vt100::capture::{BasicFormattedCaptureState, RowContents, basic_formatted_to_plain};

use super::layout;
use crate::clean;

/// Bytes of what left the screen between two looks, at most; the rest is dropped.
const SCROLLED: usize = 256 * 1024;
/// Lines of which it is remembered that they were given.
const REMEMBERED: usize = 2000;

/// What left the screen at its top since it was last taken.
#[derive(Default)]
pub(super) struct Scrolled {
    text: String,
    state: BasicFormattedCaptureState,
}

impl Scrolled {
    pub(super) fn take(&mut self) -> String {
        self.state = BasicFormattedCaptureState::new();
        std::mem::take(&mut self.text)
    }
}

impl Callbacks for Scrolled {
    fn on_scroll(&mut self, row: RowContents<'_>, alternate: bool) {
        // A row has 500 cells of 22 bytes at most.
        if !alternate && self.text.len() < SCROLLED {
            // Into a string, it can't fail.
            let _ = row.write_formatted_basic(&mut self.text, &mut self.state);
        }
    }
}

/// What was given, and what stood at the last look.
#[derive(Default)]
pub(super) struct Settled {
    stood: Vec<String>,
    given: VecDeque<u64>,
    hash: RandomState,
}

impl Settled {
    /// Lines to give now.
    pub(super) fn look(&mut self, scrolled: &str, stands: &[String]) -> Vec<String> {
        let mut lines = Vec::new();
        let plain: String = basic_formatted_to_plain(scrolled).collect();
        for line in plain.lines() {
            self.give(line, &mut lines);
        }
        let stood = std::mem::take(&mut self.stood);
        for line in stands {
            if stood.contains(line) {
                self.give(line, &mut lines);
            }
        }
        self.stood = stands.to_vec();
        lines
    }

    fn give(&mut self, line: &str, lines: &mut Vec<String>) {
        if layout::is_furniture(line) {
            return;
        }
        let line = clean::line(line);
        let hash = self.hash.hash_one(&line);
        if self.given.contains(&hash) {
            return;
        }
        if self.given.len() == REMEMBERED {
            self.given.pop_front();
        }
        self.given.push_back(hash);
        lines.push(line);
    }
}
