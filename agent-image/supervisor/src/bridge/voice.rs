//! What a bridge prints, as lines of the log: no escape codes, no stubs, no more than somebody reads.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::message::is_plain;
use crate::agent::Agent;

/// Bytes of a line that are looked at.
pub(super) const LONGEST: usize = 2048;

/// Lines at once, and a second.
const BURST: f64 = 100.0;
const RATE: f64 = 10.0;

/// A stub shorter than this is not looked for: it would be found in words.
const SHORTEST: usize = 8;

/// Says what a bridge prints.
#[derive(Debug)]
pub struct Voice {
    bridge: String,
    hidden: Vec<String>,
    meter: Mutex<Meter>,
}

#[derive(Debug)]
struct Meter {
    left: f64,
    at: Instant,
    dropped: u64,
}

impl Voice {
    /// For the bridge of this name, hiding these values.
    pub fn new(bridge: &str, mut hidden: Vec<String>) -> Self {
        hidden.retain(|value| value.len() >= SHORTEST);
        // The longest first: one may be a part of another.
        hidden.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Voice {
            bridge: bridge.into(),
            hidden,
            meter: Mutex::new(Meter { left: BURST, at: Instant::now(), dropped: 0 }),
        }
    }

    /// Writes a line to the log.
    pub fn say(&self, line: &[u8]) {
        let line = clean(line, &self.hidden);
        if line.is_empty() {
            return;
        }
        let (is_free, dropped) = self.meter.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now());
        if dropped > 0 {
            tracing::warn!(bridge = self.bridge, lines = dropped, "a bridge prints too much; lines were left out");
        }
        if is_free {
            tracing::info!(bridge = self.bridge, line, "a bridge printed");
        }
    }
}

impl Meter {
    /// Whether a line may be written now, and how many were not since the last one that was.
    fn take(&mut self, now: Instant) -> (bool, u64) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * RATE).min(BURST);
        self.at = now;
        if self.left < 1.0 {
            self.dropped += 1;
            return (false, 0);
        }
        self.left -= 1.0;
        (true, std::mem::take(&mut self.dropped))
    }
}

/// Values that stand for credentials to this agent: nothing is lost if they are seen, and nothing won.
pub fn stubs<'v>(agent: &'v Agent, environment: impl Iterator<Item = (&'v String, &'v String)>) -> Vec<String> {
    let file = &agent.file;
    let named = environment.filter(|(name, _)| {
        let name = name.to_ascii_uppercase();
        ["TOKEN", "STUB", "KEY", "SECRET", "PASSWORD", "AUTH"].iter().any(|word| name.contains(word))
    });
    let mut all = vec![&file.login.access_stub, &file.login.refresh_stub, &file.pr_comments.stub];
    all.extend(file.git.stubs.values());
    all.extend(file.matrix.as_ref().map(|matrix| &matrix.stub));
    all.extend(file.events.as_ref().map(|events| &events.stub));
    all.extend(named.map(|(_, value)| value));
    all.into_iter().cloned().collect()
}

/// A line without escape codes and controls, with what is hidden masked.
pub fn clean(line: &[u8], hidden: &[String]) -> String {
    let text = String::from_utf8_lossy(line.get(..LONGEST).unwrap_or(line));
    let mut clean = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => skip_escape(&mut letters),
            '\t' => clean.push(' '),
            letter if is_plain(letter) => clean.push(letter),
            _ => {}
        }
    }
    let mut clean = clean.trim().to_owned();
    for value in hidden.iter().filter(|value| !value.is_empty()) {
        if clean.contains(value.as_str()) {
            clean = clean.replace(value.as_str(), "***");
        }
    }
    clean
}

/// After ESC: a control sequence (ECMA-48, 5.4), a string up to its end, or two more characters at most.
fn skip_escape(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match letters.next() {
        Some('[') => while letters.next().is_some_and(|letter| !('\u{40}'..='\u{7e}').contains(&letter)) {},
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(letter) = letters.next() {
                if letter == '\u{7}' || (letter == '\u{1b}' && letters.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        Some(' '..='/') => {
            letters.next();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_has_no_codes_and_no_stubs() {
        let hidden = ["proxy-token-github".to_owned()];
        for (line, expected) in [
            ("plain\n", "plain"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}after", "after"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Bascii\u{1b}7", "ascii"),
            ("a\tb\rc\u{8}\u{202e}d", "a bcd"),
            ("Authorization: Bearer proxy-token-github, proxy-token-githubx", "Authorization: Bearer ***, ***x"),
            ("proxy-token\u{1b}[0m-github", "***"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(clean(line.as_bytes(), &hidden), expected, "{line:?}");
        }
    }

    #[test]
    fn too_many_lines_are_left_out_and_counted() {
        let start = Instant::now();
        let mut meter = Meter { left: 2.0, at: start, dropped: 0 };
        let taken: Vec<bool> = (0..5).map(|_| meter.take(start).0).collect();
        assert_eq!(taken, [true, true, false, false, false]);
        assert_eq!(meter.take(start + Duration::from_millis(150)), (true, 3));
        assert_eq!(meter.take(start + Duration::from_millis(300)), (true, 0));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_a_code_into_the_log(line in prop::collection::vec(any::<u8>(), 0..4000)) {
            let clean = clean(&line, &[]);
            prop_assert!(clean.chars().all(is_plain));
            prop_assert!(clean.len() <= 3 * LONGEST);
        }
    }
}
