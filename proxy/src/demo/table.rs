//! What the demonstration prints.

use std::io::IsTerminal;

use super::agent::Got;
use crate::cli::say::{count, say};

/// A table that is printed as it comes.
pub(super) struct Table {
    colour: bool,
    wrong: usize,
}

impl Table {
    pub(super) fn begin() -> Self {
        say(format_args!("An agent that holds only stubs, behind stubgate:\n"));
        Table { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(), wrong: 0 }
    }

    pub(super) fn request(&mut self, asked: &str, why: &str, got: &Got, expected: impl Fn(&Got) -> bool) {
        let result =
            if got.reason.is_empty() { got.status.to_string() } else { format!("{} {}", got.status, got.reason) };
        self.line(asked, why, &result, expected(got));
    }

    pub(super) fn line(&mut self, asked: &str, why: &str, result: &str, is_expected: bool) {
        self.wrong += usize::from(!is_expected);
        let (mark, colour) = if is_expected { ("ok", "32") } else { ("WRONG", "31") };
        let mark = if self.colour { format!("\x1b[{colour}m{mark}\x1b[0m") } else { mark.to_owned() };
        say(format_args!("  {mark}  {asked:<42} {result:<24} {why}"));
    }

    /// Whether all lines were as expected.
    pub(super) fn end(self) -> bool {
        if self.wrong > 0 {
            say(format_args!("\nNot what it should be: {}.", count(self.wrong, "line")));
        }
        self.wrong == 0
    }
}
