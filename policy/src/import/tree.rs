//! Values of another program's file: what has another shape than expected is as if it were not there.

use crate::source::tree::{Entry, Node, Shape};

impl Node {
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.shape {
            Shape::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.shape {
            Shape::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Texts, and numbers as they are written in full.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text(text) | Shape::Number { written: text, .. } => Some(text),
            _ => None,
        }
    }

    /// The text of a key.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    pub(super) fn is_true(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Node { shape: Shape::Flag(true), .. }))
    }

    pub(super) fn is_empty(&self) -> bool {
        match &self.shape {
            Shape::Text(text) => text.is_empty(),
            Shape::Number { .. } | Shape::Flag(_) => false,
            Shape::List(items) => items.is_empty(),
            Shape::Map(entries) => entries.is_empty(),
            Shape::Null => true,
        }
    }
}
