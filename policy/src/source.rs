//! Text to spans: the strict reader of every YAML file that stubgate takes.
//!
//! One document a file; no tags, anchors, aliases, merge keys, duplicate keys or nulls; bounded size, depth and
//! number of nodes; no byte order mark, control or bidirectional character. What YAML would let pass in silence is
//! an error here, because a reader of the file would not see it. The YAML crate is named in `source/yaml.rs` only.

mod text;
pub mod tree;
mod yaml;

use serde::de::DeserializeOwned;
use tree::Node;
pub use yaml::Spanned;

use crate::diagnostic::{Diagnostic, codes, nearest};

pub(crate) use text::is_hidden;
pub(crate) use yaml::null;

/// A file that somebody else has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// What diagnostics call it.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// Reads a file into a type of the caller. `file` is its position among the files that diagnostics are rendered with.
///
/// # Errors
/// Every error of the text and of its structure; of those that the type finds, the first.
pub fn read<T: DeserializeOwned>(file: usize, source: &SourceFile) -> Result<T, Vec<Diagnostic>> {
    let mut found = text::check(file, source);
    if found.is_empty() {
        found = yaml::scan(file, source, yaml::Nulls::Refuse).found;
    }
    if !found.is_empty() {
        return Err(found);
    }
    yaml::parse(file, source).map_err(|diagnostic| vec![diagnostic])
}

/// Reads a file as a tree, nulls included, so that errors of structure don't hide those of meaning. `None` if there was
/// nothing to go on with.
pub(crate) fn read_tolerant(file: usize, source: &SourceFile, into: &mut Vec<Diagnostic>) -> Option<Node> {
    let found = text::check(file, source);
    let broken = !found.is_empty();
    into.extend(found);
    if broken {
        return None;
    }
    let scan = yaml::scan(file, source, yaml::Nulls::Keep);
    let clean = scan.found.is_empty();
    into.extend(scan.found);
    if scan.fatal {
        return None;
    }
    match yaml::parse_tolerant(file, source) {
        Ok(node) => Some(node),
        Err(diagnostic) => {
            if clean {
                into.push(diagnostic);
            }
            None
        }
    }
}

/// Where a value stands, in bytes of its file.
pub fn span_of<T>(value: &Spanned<T>) -> std::ops::Range<usize> {
    yaml::range(&value.referenced)
}

/// An unknown key, with a guess at what was meant.
pub(crate) fn unknown_key(file: usize, key: &str, span: std::ops::Range<usize>, known: &[&str]) -> Diagnostic {
    let diagnostic = Diagnostic::error(codes::UNKNOWN_KEY, format!("unknown key `{key}`")).at(file, span, "");
    match nearest(key, known.iter().copied()) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic.help(format!("known here: {}", known.join(", "))),
    }
}
