//! Audit files, read line by line, for commands.
//!
//! Bounded: a line is as long as a record can be, and nothing of a file is kept here. Lines that are no records (a last one
//! that was cut, say) are counted, and the first of them is named.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::say::count;

/// Longest line that can be a record: 1024 characters of the wire in each of three fields, escaped twice.
const LONGEST_LINE: usize = 64 * 1024;
/// Read at once.
const BUFFER: usize = 256 * 1024;

/// Reads files.
#[derive(Default)]
pub(super) struct Records {
    unreadable: Unreadable,
}

/// Lines that are no records.
#[derive(Default)]
pub(super) struct Unreadable {
    /// How many.
    pub(super) count: u64,
    /// The first, by file and number.
    first: Option<(PathBuf, u64)>,
}

/// What is said of them; nothing where there are none.
impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((at, line)) = &self.first else { return Ok(()) };
        let lines = count(self.count, "line");
        write!(f, "left out {lines} that can't be read as records, first {}:{line}", at.display())
    }
}

impl Records {
    /// Reads a file, or standard input where it is `-`. `take` says whether a line is a record.
    pub(super) fn read(&mut self, path: &Path, take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        if path == Path::new("-") {
            self.lines(path, io::stdin().lock(), take)
        } else {
            self.read_open(path, File::open(path)?, take)
        }
    }

    /// Reads a file that is open.
    pub(super) fn read_open(&mut self, path: &Path, file: File, take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        self.lines(path, BufReader::with_capacity(BUFFER, file), take)
    }

    /// What could not be read until now.
    pub(super) fn unreadable(&self) -> &Unreadable {
        &self.unreadable
    }

    /// Reads whatever has lines; `at` is its name.
    pub(super) fn lines(
        &mut self,
        at: &Path,
        mut from: impl BufRead,
        mut take: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<()> {
        let mut line = Vec::new();
        let mut number = 0;
        let mut is_too_long = false;
        loop {
            let read = from.fill_buf()?;
            let is_over = read.is_empty();
            if is_over && line.is_empty() && !is_too_long {
                return Ok(());
            }
            let end = memchr::memchr(b'\n', read);
            let piece = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
            is_too_long |= line.len() + piece.len() > LONGEST_LINE;
            if !is_too_long {
                line.extend_from_slice(piece);
            }
            let used = piece.len() + usize::from(end.is_some());
            from.consume(used);
            if end.is_none() && !is_over {
                continue;
            }
            number += 1;
            let is_blank = line.trim_ascii().is_empty() && !is_too_long;
            if !is_blank && (is_too_long || !take(&line)) {
                self.unreadable.count += 1;
                self.unreadable.first.get_or_insert_with(|| (at.to_owned(), number));
            }
            line.clear();
            is_too_long = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> (Vec<String>, String) {
        let (mut records, mut taken) = (Records::default(), Vec::new());
        // As small as a buffer can be: lines lie across its borders.
        let small = BufReader::with_capacity(7, text);
        records
            .lines(Path::new("a"), small, |line| {
                let is_record = line.starts_with(b"{");
                taken.extend(is_record.then(|| String::from_utf8_lossy(line).into_owned()));
                is_record
            })
            .unwrap();
        (taken, records.unreadable().to_string())
    }

    #[test]
    fn what_is_no_record_is_counted_and_the_first_is_named() {
        let long = "{".repeat(LONGEST_LINE + 1);
        let text = ["{\"number\":1}", "", "cut", &long, " ", "{\"number\":2}", "cut"].join("\n");
        let (taken, said) = read(text.as_bytes());
        assert_eq!(taken, ["{\"number\":1}", "{\"number\":2}"]);
        assert_eq!(said, "left out 3 lines that can't be read as records, first a:3");
    }

    #[test]
    fn a_last_line_counts_with_and_without_its_break() {
        for text in ["{1}\n{2}", "{1}\n{2}\n", "{1}\n\n{2}\n\n"] {
            assert_eq!(read(text.as_bytes()), (vec!["{1}".into(), "{2}".into()], String::new()), "{text:?}");
        }
        assert_eq!(read(b"").0.len(), 0);
        assert_eq!(read(format!("{{{}", "1".repeat(LONGEST_LINE - 1)).as_bytes()).0.len(), 1);
    }
}
