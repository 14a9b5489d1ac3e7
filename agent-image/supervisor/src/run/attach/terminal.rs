//! The terminal of a viewer: raw while it views, and put back afterwards.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Switches off whatever a client may have switched on: alternate screen, pasting, mouse, focus, keyboard protocols, colours.
const PLAIN: &str = "\x18\x1b\\\x1b[?1049l\x1b[?2004l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2026l\
                     \x1b[<99u\x1b[>4;0m\x1b[?1l\x1b>\x1b[r\x1b[0m\x1b[?25h";

/// Standard input and output.
pub(super) struct Terminal {
    before: Option<Termios>,
    has_shown: bool,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Terminal { before: None, has_shown: false }
    }

    /// Whether there is somebody who types.
    pub(super) fn make_raw(&mut self) -> bool {
        if self.before.is_some() {
            return true;
        }
        let Ok(before) = tcgetattr(io::stdin()) else { return false };
        let mut raw = before.clone();
        raw.make_raw();
        let is_raw = tcsetattr(io::stdin(), OptionalActions::Now, &raw).is_ok();
        self.before = Some(before);
        is_raw
    }

    /// Rows and columns, if there are any.
    pub(super) fn size(&self) -> Option<(u16, u16)> {
        let size = tcgetwinsize(io::stdout()).ok()?;
        (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
    }

    pub(super) fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.has_shown = true;
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// As it was, with a word to who sits there.
    pub(super) fn put_back(&mut self, word: &str) {
        let mut out = io::stdout().lock();
        if self.has_shown && out.is_terminal() {
            self.has_shown = false;
            let word = if word.is_empty() { String::new() } else { format!("\r\n[stubgate-agent] {word}\r\n") };
            let _ = write!(out, "{PLAIN}{word}");
            let _ = out.flush();
        }
        if let Some(before) = self.before.take() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.put_back("");
    }
}
