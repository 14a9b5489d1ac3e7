//! What the terminal shows, and the dialogs that are known.
//!
//! The client draws with escape codes, and what stands between them is chosen by whoever talks to the agent. So it is read by a
//! terminal's parser into cells, and everything else (the log, the dialogs, a viewer's first picture) is made from the cells.
//! However long, odd or cut the bytes are: no panic, and no more memory than one screen and one short history needs.

pub mod dialog;
mod disarm;
mod layout;
mod settled;
#[cfg(test)]
mod tests;

use std::fmt;
use std::num::NonZeroU16;

use vt100::Parser;

use disarm::Disarm;
use layout::View;
use settled::{Scrolled, Settled};

/// Rows and columns at most; what a viewer asks for beyond is cut.
const LARGEST: u16 = 500;
/// And at least: a wide character has no place in fewer.
const SMALLEST: u16 = 4;

/// A terminal's screen, as the bytes written to it made it.
pub struct Screen {
    parser: Parser<Scrolled>,
    disarm: Disarm,
    /// The beginning of a character whose end has not come yet. The parser gets whole ones: of some that it gets in two pieces,
    /// it loses the one after.
    held: Vec<u8>,
    settled: Settled,
}

impl Screen {
    /// An empty one. Sizes are cut to 4..=500.
    pub fn new(rows: u16, columns: u16) -> Self {
        let parser = Parser::new_with_callbacks(size(rows), size(columns), 0, Scrolled::default());
        Screen { parser, disarm: Disarm::default(), held: Vec::new(), settled: Settled::default() }
    }

    /// Takes what the client wrote. Any bytes, cut anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(4096) {
            let mut piece = std::mem::take(&mut self.held);
            piece.extend_from_slice(chunk);
            self.held = piece.split_off(piece.len() - unfinished(&piece));
            self.disarm.pass(&mut piece);
            self.parser.process(&piece);
        }
    }

    /// The terminal has another size now. Sizes are cut to 4..=500.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.parser.set_size(size(rows), size(columns));
    }

    /// What it shows: a line a row, without blanks at the ends, without escape codes.
    pub fn text(&self) -> String {
        let mut text = self.view().rows.join("\n");
        text.truncate(text.trim_end().len());
        text
    }

    /// Escape codes that paint what it shows on a fresh terminal of this size.
    pub fn repaint(&self) -> Vec<u8> {
        let screen = self.parser.screen();
        let mut codes = Vec::new();
        if screen.alternate_screen() {
            codes.extend_from_slice(b"\x1b[?1049h");
        }
        codes.extend_from_slice(screen.state_formatted().as_bytes());
        codes
    }

    /// Lines that have settled since the last call: those that left the screen at its top, and those that stood unchanged over
    /// two calls. Clean, each once; nothing of the input box, of spinners and of timers. Call it when the output is quiet.
    pub fn settled(&mut self) -> Vec<String> {
        let view = self.view();
        let scrolled = self.parser.callbacks_mut().take();
        self.settled.look(&scrolled, view.said())
    }

    fn view(&self) -> View {
        let screen = self.parser.screen();
        let (_, columns) = screen.size();
        let rows = screen.rows(0, columns.get()).map(|row| row.trim_end().to_owned()).collect();
        let (row, column) = screen.cursor_position();
        View { rows, columns: columns.get().into(), cursor: (row.into(), column.into()) }
    }

    /// In which colour this cell is written.
    fn color(&self, row: usize, column: usize) -> Option<vt100::Color> {
        let cell = self.parser.screen().cell(row.try_into().ok()?, column.try_into().ok()?)?;
        Some(cell.fgcolor())
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").field("size", &self.parser.screen().size()).finish_non_exhaustive()
    }
}

fn size(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells.clamp(SMALLEST, LARGEST)).unwrap_or(NonZeroU16::MIN)
}

/// Bytes at the end that begin a character and don't end it.
fn unfinished(bytes: &[u8]) -> usize {
    let begins = |length: &usize| {
        let tail = bytes.len().checked_sub(*length).and_then(|start| bytes.get(start..));
        let error = tail.and_then(|tail| std::str::from_utf8(tail).err());
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=3).find(begins).unwrap_or(0)
}
