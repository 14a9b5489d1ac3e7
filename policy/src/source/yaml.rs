//! The only file that names the YAML crate.
//!
//! A scan over the events comes first and finds every structural sin with its place; serde comes after and stops at
//! its first error. The options of the second pass refuse the same things once more.

use std::collections::HashMap;
use std::ops::Range;

use serde::de::DeserializeOwned;
pub use serde_saphyr::Spanned;
use serde_saphyr::granit_parser::{
    Event, Options as ParserOptions, Parser, ScalarStyle, ScanError, Span, options as parser_options,
};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Error, Location, Options, budget, options};

use super::tree::Node;
use super::{SourceFile, text, unknown_key};
use crate::diagnostic::{Diagnostic, codes};

/// Deepest nesting.
const MAX_DEPTH: usize = 24;
/// Most scalars, lists and maps in one file.
const MAX_NODES: usize = 8_000_000;
/// Findings of the scan for one file.
const MAX_FINDINGS: usize = 200;

/// Whether the scan reports nulls, or leaves them to the type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    Refuse,
    Keep,
}

/// What the scan found. `fatal`: the second pass would fail or stumble over the same.
pub(crate) struct Scan {
    pub(crate) found: Vec<Diagnostic>,
    pub(crate) fatal: bool,
}

/// Walks the events of the one document and reports all that has no business in it.
pub(crate) fn scan(file: usize, source: &SourceFile, nulls: Nulls) -> Scan {
    let mut scanner = Scanner {
        file,
        text: &source.text,
        nulls,
        open: Vec::new(),
        documents: 0,
        nodes: 0,
        stop: false,
        out: Scan { found: Vec::new(), fatal: false },
    };
    let options: ParserOptions = parser_options! { emit_comments: false, emit_unresolved_aliases: true };
    for event in Parser::new_from_str_with_options(&source.text, options) {
        match event {
            Ok((event, span)) => scanner.event(&event, &span),
            Err(error) => scanner.broken(&error),
        }
        if scanner.stop || scanner.out.found.len() >= MAX_FINDINGS {
            scanner.out.fatal = true;
            return scanner.out;
        }
    }
    if scanner.nodes == 0 {
        scanner.report(Diagnostic::error(codes::EMPTY_FILE, "the file is empty").at(file, 0..0, ""));
        scanner.out.fatal = true;
    }
    scanner.out
}

/// Reads into a type, strictly.
pub(crate) fn parse<T: DeserializeOwned>(file: usize, source: &SourceFile) -> Result<T, Diagnostic> {
    serde_saphyr::from_str_with_options(&source.text, strict()).map_err(|error| explain(file, &source.text, &error))
}

/// Reads into a tree; for files that may already be known to be wrong.
pub(crate) fn parse_tolerant(file: usize, source: &SourceFile) -> Result<Node, Diagnostic> {
    let mut options = strict();
    options.duplicate_keys = DuplicateKeyPolicy::FirstWins;
    options.merge_keys = MergeKeyPolicy::AsOrdinary;
    options.reject_unsupported_tags = false;
    serde_saphyr::from_str_with_options(&source.text, options).map_err(|error| explain(file, &source.text, &error))
}

/// Bytes of a location; empty at its start where the crate knows no length.
pub(crate) fn range(location: &Location) -> Range<usize> {
    let at = |n: Option<u64>| n.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let start = at(location.span().byte_offset());
    start..start + at(location.span().byte_len())
}

fn strict() -> Options {
    options! {
        budget: budget! {
            max_depth: MAX_DEPTH,
            max_documents: 1,
            max_anchors: 0,
            max_aliases: 0,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_total_scalar_bytes: text::MAX_BYTES,
            max_merge_keys: 0,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
    }
}

struct Scanner<'a> {
    file: usize,
    text: &'a str,
    nulls: Nulls,
    open: Vec<Open>,
    documents: usize,
    nodes: usize,
    stop: bool,
    out: Scan,
}

enum Open {
    List,
    /// The keys seen; whether a value comes next.
    Map(HashMap<String, Range<usize>>, bool),
}

impl Scanner<'_> {
    fn event(&mut self, event: &Event<'_>, span: &Span) {
        let at = byte_range(self.text, span);
        match event {
            Event::DocumentStart(..) => self.document(at),
            Event::Alias(_) | Event::UnresolvedAlias(_) => self.alias(at),
            Event::Scalar(text, style, anchor, tag) => {
                self.node(&at, *anchor, tag.is_some());
                self.scalar(text, *style == ScalarStyle::Plain, at);
            }
            Event::SequenceStart(_, anchor, tag) => self.begin(Open::List, &at, *anchor, tag.is_some()),
            Event::MappingStart(_, anchor, tag) => {
                self.begin(Open::Map(HashMap::new(), false), &at, *anchor, tag.is_some());
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
                self.value_done();
            }
            _ => {}
        }
    }

    fn document(&mut self, at: Range<usize>) {
        self.documents += 1;
        if self.documents > 1 {
            self.stop = true;
            let diagnostic = Diagnostic::error(codes::SECOND_DOCUMENT, "a second document begins here");
            self.report(diagnostic.at(self.file, at, "").help("one document a file: move it to a file of its own"));
        }
    }

    fn alias(&mut self, at: Range<usize>) {
        self.out.fatal = true;
        let diagnostic = Diagnostic::error(codes::ANCHOR, "an alias stands here");
        self.report(
            diagnostic
                .at(self.file, at, "")
                .help("write the value out; quote it if it is a wildcard: \"*.example.com\""),
        );
        match self.open.last_mut() {
            Some(Open::Map(_, value_next)) => *value_next = !*value_next,
            Some(Open::List) | None => {}
        }
    }

    fn node(&mut self, at: &Range<usize>, anchor: usize, tag: bool) {
        let text = self.text;
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            self.stop = true;
            let diagnostic = Diagnostic::error(codes::TOO_LARGE, format!("the file has more than {MAX_NODES} values"));
            self.report(diagnostic.at(self.file, at.clone(), "").help("split it into several files"));
        }
        if anchor != 0 {
            self.out.fatal = true;
            let diagnostic = Diagnostic::error(codes::ANCHOR, "an anchor stands here");
            self.report(
                diagnostic.at(self.file, property(text, at, '&'), "").help("write the value out where it is used"),
            );
        }
        if tag {
            self.out.fatal = true;
            let diagnostic = Diagnostic::error(codes::TAG, "a tag stands here");
            self.report(
                diagnostic
                    .at(self.file, property(text, at, '!'), "")
                    .help("remove the tag; quote the value if it is a text"),
            );
        }
    }

    fn begin(&mut self, open: Open, at: &Range<usize>, anchor: usize, tag: bool) {
        self.node(at, anchor, tag);
        if let Some(Open::Map(_, false)) = self.open.last() {
            self.stop = true;
            let diagnostic = Diagnostic::error(codes::SYNTAX, "a list or map can't be a key");
            self.report(diagnostic.at(self.file, at.clone(), ""));
        }
        self.open.push(open);
        if self.open.len() > MAX_DEPTH {
            self.stop = true;
            let diagnostic = Diagnostic::error(codes::TOO_DEEP, format!("nested more than {MAX_DEPTH} deep"));
            self.report(diagnostic.at(self.file, at.clone(), ""));
        }
    }

    fn scalar(&mut self, text: &str, plain: bool, at: Range<usize>) {
        if let Some(Open::Map(keys, value_next @ false)) = self.open.last_mut() {
            *value_next = true;
            let first = keys.get(text).cloned();
            keys.entry(text.to_owned()).or_insert_with(|| at.clone());
            if plain && text == "<<" {
                let diagnostic = Diagnostic::error(codes::MERGE_KEY, "a merge key stands here");
                self.report(diagnostic.at(self.file, at.clone(), "").help("write the keys out"));
            } else if plain && is_null(text) {
                self.out.fatal = true;
                let diagnostic = Diagnostic::error(codes::NULL, "the key is missing");
                self.report(diagnostic.at(self.file, at, "").help("write the key; quote it if it is a text: \"null\""));
            } else if let Some(first) = first {
                let diagnostic =
                    Diagnostic::error(codes::DUPLICATE_KEY, format!("the key `{text}` stands twice in this map"))
                        .at(self.file, at, "second")
                        .at(self.file, first, "first");
                self.report(diagnostic.help("keep one"));
            }
            return;
        }
        if plain && self.nulls == Nulls::Refuse && is_null(text) {
            self.report(null(self.file, at));
        }
        self.value_done();
    }

    fn value_done(&mut self) {
        if let Some(Open::Map(_, value_next)) = self.open.last_mut() {
            *value_next = false;
        }
    }

    fn broken(&mut self, error: &ScanError) {
        self.stop = true;
        let mark = error.marker();
        let at = mark.byte_offset().unwrap_or_else(|| byte_at(self.text, mark.index()));
        let diagnostic = Diagnostic::error(codes::SYNTAX, format!("not YAML: {}", error.info()));
        let diagnostic = diagnostic.at(self.file, one_char(self.text, at), "");
        let help = syntax_help(self.text, at, &error.info());
        self.report(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.out.found.push(diagnostic);
    }
}

/// A value that was left out.
pub(crate) fn null(file: usize, at: Range<usize>) -> Diagnostic {
    Diagnostic::error(codes::NULL, "the value is missing")
        .at(file, at, "")
        .help("write the value, or remove the key; nothing never means everything")
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn byte_range(text: &str, span: &Span) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or_else(|| byte_at(text, span.start.index()));
    let end = span.end.byte_offset().unwrap_or_else(|| byte_at(text, span.end.index()));
    start..end.max(start)
}

fn byte_at(text: &str, chars: usize) -> usize {
    text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at)
}

/// The tag or anchor before a value; the parser gives the place of the value only.
fn property(text: &str, value: &Range<usize>, sign: char) -> Range<usize> {
    let before = text.get(..value.start).unwrap_or_default();
    let Some(last) = before.rfind(sign) else {
        return value.clone();
    };
    let start = before.get(..last).map_or(0, |head| head.trim_end_matches(sign).len());
    let end = before.get(start..).and_then(|rest| rest.find(char::is_whitespace)).map_or(before.len(), |n| start + n);
    start..end
}

fn one_char(text: &str, at: usize) -> Range<usize> {
    let len = text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    at..at + len
}

/// What is behind the most frequent complaints of the parser.
fn syntax_help(text: &str, at: usize, complaint: &str) -> &'static str {
    let line = text.get(..at).map_or(0, |before| before.rfind('\n').map_or(0, |newline| newline + 1));
    let line = text.get(line..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    if line.split_once(':').is_some_and(|(_, value)| value.trim() == "*") {
        "quote it: `[\"*\"]`"
    } else if line.contains(":{") || line.contains(":[") {
        "put a space behind the colon"
    } else if complaint.contains("bracket") || complaint.contains("flow") {
        "close each bracket with its own kind"
    } else if complaint.contains("quote") {
        "close the quote on its line"
    } else if complaint.contains("'-' indicator") || complaint.contains("indent") || complaint.contains("block mapping")
    {
        "indent all keys of one entry alike: under `- name:`, two spaces more than the `-`"
    } else {
        ""
    }
}

/// An error of the second pass in our words.
fn explain(file: usize, text: &str, error: &Error) -> Diagnostic {
    let at = error.location().map_or(0..0, |location| range(&location));
    let at = if at.is_empty() { one_char(text, at.start) } else { at };
    let error = error.without_snippet();
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(file, field, at, expected),
        Error::SerdeUnknownVariant { variant, expected, .. } => unknown_key(file, variant, at, expected),
        Error::SerdeMissingField { field, .. } => {
            Diagnostic::error(codes::MISSING_KEY, format!("the key `{field}` is missing")).at(file, at, "in this map")
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            Diagnostic::error(codes::WRONG_SHAPE, format!("expected {expected}, found {unexpected}")).at(file, at, "")
        }
        Error::InvalidScalar { ty, .. } => {
            Diagnostic::error(codes::WRONG_SHAPE, format!("not a valid {ty}")).at(file, at, "")
        }
        Error::InvalidBooleanStrict { .. } => Diagnostic::error(codes::WRONG_SHAPE, "not a yes-or-no value")
            .at(file, at, "")
            .help("write `true` or `false`"),
        Error::DuplicateMappingKey { .. } => {
            Diagnostic::error(codes::DUPLICATE_KEY, "the key stands twice in this map").at(file, at, "")
        }
        Error::Budget { .. } => {
            Diagnostic::error(codes::TOO_LARGE, "the file is too large or too deep").at(file, at, "")
        }
        other => Diagnostic::error(codes::WRONG_SHAPE, one_line(&other.to_string())).at(file, at, ""),
    }
}

/// First line, without the position that the crate puts behind.
fn one_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.split_once(" at line ").map_or(line, |(line, _)| line);
    line.trim_start_matches("error: ").to_owned()
}
