//! Lines and columns of a label, for programs.

use std::ops::Range;

use super::render::floor;
use crate::source::SourceFile;

/// A label's place; lines and columns count from 1, columns in characters, and the end is behind the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) end_line: usize,
    pub(super) end_column: usize,
}

/// Where the lines of each file begin, found once.
pub(super) struct Places<'a> {
    files: Vec<(&'a str, Vec<usize>)>,
}

impl<'a> Places<'a> {
    pub(super) fn new(files: &'a [SourceFile]) -> Self {
        let starts = |text: &str| std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Places { files: files.iter().map(|file| (&*file.text, starts(&file.text))).collect() }
    }

    pub(super) fn of(&self, file: usize, span: &Range<usize>) -> Option<Place> {
        let (text, starts) = self.files.get(file)?;
        let at = |byte: usize| {
            let byte = floor(text, byte);
            let line = starts.partition_point(|start| *start <= byte).max(1);
            let column = text.get(*starts.get(line - 1)?..byte)?.chars().count() + 1;
            Some((line, column))
        };
        let (line, column) = at(span.start)?;
        let (end_line, end_column) = at(span.end.max(span.start))?;
        Some(Place { line, column, end_line, end_column })
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, Places};
    use crate::source::SourceFile;

    #[test]
    fn columns_count_characters_and_lines_end_at_line_feeds() {
        let files = [SourceFile { name: "p".into(), text: "a: \u{fc}b\nc\n".into() }];
        let places = Places::new(&files);
        let place = |line, column, end_line, end_column| Some(Place { line, column, end_line, end_column });
        assert_eq!(places.of(0, &(5..6)), place(1, 5, 1, 6));
        assert_eq!(places.of(0, &(3..5)), place(1, 4, 1, 5));
        assert_eq!(places.of(0, &(0..8)), place(1, 1, 2, 2));
        assert_eq!(places.of(0, &(900..901)), place(3, 1, 3, 1));
        assert_eq!(places.of(1, &(0..1)), None);
    }
}
