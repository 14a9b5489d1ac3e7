//! Standard output for people and scripts, which may close it early (`stubgate ca bundle | head`).

use std::fmt;
use std::io::{ErrorKind, Write};

/// Prints a line. A reader that went away ends the program quietly, as it does other tools.
pub(crate) fn say(line: impl fmt::Display) {
    put(format_args!("{line}\n"));
}

/// A number with its noun: `1 error`, `2 errors`.
pub(crate) fn count<N: TryInto<u64> + fmt::Display + Copy>(number: N, noun: &str) -> String {
    let ending = if number.try_into().is_ok_and(|number| number == 1) { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// Prints text as it is.
pub(crate) fn put(text: fmt::Arguments<'_>) {
    let written = std::io::stdout().lock().write_fmt(text);
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("stubgate: standard output can't be written: {error}");
            std::process::exit(1);
        }
    }
}
