//! Diagnostics for people, in the look of rustc.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Label, Severity};
use crate::source::SourceFile;

/// Draws diagnostics with file, line, column, underline and help; one blank line between two. `color` writes ANSI
/// sequences; text quoted from files is stripped of control characters first.
pub fn render(diagnostics: &[Diagnostic], files: &[SourceFile], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let files: Vec<Lines<'_>> = files.iter().map(Lines::new).collect();
    let drawn: Vec<String> = diagnostics.iter().map(|diagnostic| draw(diagnostic, &files, &renderer)).collect();
    let mut out = drawn.join("\n\n");
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

fn draw(diagnostic: &Diagnostic, files: &[Lines<'_>], renderer: &Renderer) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let excerpts: Vec<Excerpt> = diagnostic.labels.iter().filter_map(|label| Excerpt::cut(label, files)).collect();
    let message = visible(&diagnostic.message);
    let help = diagnostic.help.as_deref().map(visible);
    let title = level.primary_title(message.as_str()).id(diagnostic.code);
    let mut group = Group::with_title(title);
    let mut rest = excerpts.as_slice();
    let mut kind = AnnotationKind::Primary;
    while let Some(first) = rest.first() {
        let same = rest.iter().take_while(|excerpt| excerpt.joins(first)).count().max(1);
        let (drawn, later) = rest.split_at_checked(same).unwrap_or((rest, &[]));
        let mut snippet = Snippet::source(first.text.as_str()).line_start(first.line).path(first.name.as_str());
        for excerpt in drawn {
            let label = (!excerpt.label.is_empty()).then_some(excerpt.label.as_str());
            snippet = snippet.annotation(kind.span(excerpt.span.clone()).label(label));
            kind = AnnotationKind::Context;
        }
        group = group.element(snippet);
        rest = later;
    }
    if let Some(help) = &help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// Where the lines of a file begin, found once for all its diagnostics.
struct Lines<'a> {
    name: &'a str,
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(file: &'a SourceFile) -> Self {
        let ends = file.text.match_indices('\n').map(|(at, _)| at + 1);
        Lines { name: &file.name, text: &file.text, starts: std::iter::once(0).chain(ends).collect() }
    }
}

/// The line that a label begins on: drawing the whole file would cost too much.
struct Excerpt {
    name: String,
    text: String,
    line: usize,
    span: Range<usize>,
    label: String,
}

impl Excerpt {
    fn cut(label: &Label, files: &[Lines<'_>]) -> Option<Excerpt> {
        let file = files.get(label.file)?;
        let text = file.text;
        let start = floor(text, label.span.start);
        let end = floor(text, label.span.end.max(start));
        let line = file.starts.partition_point(|line| *line <= start).checked_sub(1)?;
        let from = *file.starts.get(line)?;
        let to = file.starts.get(line + 1).map_or(text.len(), |next| next - 1);
        let end = end.min(to);
        Some(Excerpt {
            name: visible(file.name),
            text: masked(text.get(from..to)?),
            line: line + 1,
            span: start - from..end - from,
            label: visible(&label.text),
        })
    }

    fn joins(&self, other: &Excerpt) -> bool {
        self.name == other.name && self.line == other.line
    }
}

/// The last border of characters that is not behind `at`.
pub(super) fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Control and bidirectional characters would reach a terminal; those of one byte become `?`, so that spans hold.
fn masked(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for char in line.chars() {
        if char != '\t' && crate::source::is_hidden(char) {
            out.extend(std::iter::repeat_n('?', char.len_utf8()));
        } else {
            out.push(char);
        }
    }
    out
}

fn visible(text: &str) -> String {
    text.chars().map(|char| if crate::source::is_hidden(char) { '?' } else { char }).collect()
}
