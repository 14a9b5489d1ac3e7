//! How the client lays its screen out: what was said above, and below it either the input box or a dialog.
//!
//! Geometry that what is said can't have: the client draws its rules over all columns and indents what others wrote, and it
//! parks the cursor where input goes, in the box or on the highlighted option.

use std::ops::Range;

/// The screen at one moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Its rows, without blanks at the right end.
    pub(super) rows: Vec<String>,
    /// How wide it is.
    pub(super) columns: usize,
    /// Row and column of the cursor.
    pub(super) cursor: (usize, usize),
}

impl View {
    pub(super) fn row(&self, at: usize) -> &str {
        self.rows.get(at).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn part(&self, range: Range<usize>) -> &[String] {
        self.rows.get(range).unwrap_or_default()
    }

    /// Rows of what was said: those above the input box, or all.
    pub(super) fn said(&self) -> &[String] {
        self.part(0..self.input_box().unwrap_or(self.rows.len()))
    }

    /// The row where the input box begins: an edge, the prompt, the cursor, and an edge.
    pub(super) fn input_box(&self) -> Option<usize> {
        let is_edge = |at: &usize| self.is_edge(*at);
        let above = (0..self.cursor.0).rev().find(is_edge)?;
        let _below = (self.cursor.0 + 1..self.rows.len()).find(is_edge)?;
        self.row(above + 1).starts_with(['❯', '>', '!', '#', '&']).then_some(above)
    }

    /// After the last row with anything in it.
    pub(super) fn end(&self) -> usize {
        self.rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1)
    }

    /// After the last rule over all columns; what is drawn from there on is one thing.
    pub(super) fn after_rule(&self) -> Option<usize> {
        (0..self.rows.len()).rev().find(|&at| self.is_rule(at)).map(|at| at + 1)
    }

    /// After the welcome of a client of this version, which stands above the dialogs of a new home.
    pub(super) fn after_welcome(&self, version: &str) -> Option<usize> {
        let is_ground =
            |row: &String| row.starts_with('.') && row.contains('█') && row.chars().all(|c| "█. ".contains(c));
        (self.row(0) == format!("Welcome to Claude Code v{version}"))
            .then(|| self.rows.iter().position(is_ground).map(|at| at + 1))
            .flatten()
    }

    /// The run of rows with anything in them that this row stands in.
    pub(super) fn block(&self, at: usize) -> Range<usize> {
        let is_empty = |at: &usize| self.row(*at).is_empty();
        let start = (0..at).rev().find(is_empty).map_or(0, |empty| empty + 1);
        let end = (at..self.rows.len()).find(is_empty).unwrap_or(self.rows.len());
        start..end
    }

    /// Whether something waits for an answer in place of the input box, as far as can be seen of what is not known.
    pub(super) fn waits(&self) -> bool {
        let start = self.after_rule().unwrap_or(0).min(self.cursor.0);
        let last = self.row(self.end().saturating_sub(1)).trim_start();
        let hints = ["Enter to ", "Esc to ", "esc to ", "↑/↓", "Press Enter", "Paste code here"];
        let hints_at_keys = hints.iter().any(|hint| last.contains(hint));
        let is_bare = last.starts_with("Press Enter") || last.starts_with("Paste code here");
        let mut marked = (start..self.end()).filter(|&at| self.row(at).trim_start().starts_with('❯'));
        let lists = marked.any(|at| self.block(at).len() > 1 && (hints_at_keys || self.cursor.0 == at));
        self.input_box().is_none() && (lists || is_bare)
    }

    fn is_rule(&self, at: usize) -> bool {
        let row = self.row(at);
        row.chars().count() == self.columns && row.chars().all(|letter| letter == '─')
    }

    /// A rule, or one with a label in it.
    fn is_edge(&self, at: usize) -> bool {
        let row = self.row(at);
        let drawn = row.chars().filter(|&letter| letter == '─').count();
        row.starts_with('─') && row.ends_with('─') && row.chars().count() == self.columns && drawn * 2 > self.columns
    }
}

/// A row that says nothing: empty, a rule, the client's spinner with its timer, a tool that is still at work.
pub(super) fn is_furniture(row: &str) -> bool {
    let row = row.trim_end();
    let is_drawn = row.chars().all(|letter| letter.is_whitespace() || matches!(letter, '─' | '╌' | '━'));
    let mut words = row.split(' ');
    let is_star = words.next().is_some_and(|word| ["·", "✢", "✳", "✶", "✻", "✽", "∗"].contains(&word));
    let is_waiting = row.trim_start().starts_with('⎿') && row.ends_with('…');
    is_drawn || is_star || is_waiting
}
