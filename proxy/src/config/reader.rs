//! Taking values out of the tree by the shape that is expected, and noting everything that is wrong on the way.
//!
//! Each function returns what it could read; what it could not is in [`Reader::found`] and refuses the whole file in
//! the end. So a mistake never turns into a default.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use stubgate_policy::diagnostic::{Diagnostic, codes as structure, nearest};
use stubgate_policy::source::tree::{Entry, Node, Shape};

use super::codes;

/// Position of the only file among the files of a problem.
pub(super) const FILE: usize = 0;

/// Collects what is wrong.
pub(super) struct Reader<'a> {
    /// The folder that relative paths start from.
    base: &'a Path,
    pub(super) found: Vec<Diagnostic>,
}

/// A map whose keys have been checked.
#[derive(Clone, Copy)]
pub(super) struct Map<'n> {
    pub(super) span: &'n Range<usize>,
    entries: &'n [Entry],
}

impl<'n> Map<'n> {
    pub(super) const EMPTY: Map<'static> = Map { span: &(0..0), entries: &[] };

    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(super) fn entries(&self) -> &'n [Entry] {
        self.entries
    }
}

/// A value and where it stood.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(base: &'a Path) -> Self {
        Self { base, found: Vec::new() }
    }

    /// Notes an error at a place.
    pub(super) fn refuse(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        at: &Range<usize>,
        help: impl Into<String>,
    ) {
        self.found.push(Diagnostic::error(code, message).at(FILE, at.clone(), "").help(help));
    }

    /// A map with only these keys.
    pub(super) fn map<'n>(&mut self, node: &'n Node, known: &[&str]) -> Option<Map<'n>> {
        let map = self.open_map(node)?;
        for entry in map.entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let help = match nearest(&entry.key, known.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.refuse(structure::UNKNOWN_KEY, format!("unknown key `{}`", entry.key), &entry.span, help);
        }
        Some(map)
    }

    /// A map whose keys the operator chose.
    pub(super) fn open_map<'n>(&mut self, node: &'n Node) -> Option<Map<'n>> {
        match &node.shape {
            Shape::Map(entries) => Some(Map { span: &node.span, entries }),
            _ => self.wrong_shape(node, "a map"),
        }
    }

    /// The map under a key that may be missing.
    pub(super) fn section<'n>(&mut self, of: Map<'n>, key: &str, known: &[&str]) -> Map<'n> {
        of.get(key).and_then(|node| self.map(node, known)).unwrap_or(Map::EMPTY)
    }

    /// The value of a key that must stand.
    pub(super) fn required<'n>(&mut self, map: Map<'n>, key: &str, help: &str) -> Option<&'n Node> {
        let node = map.get(key);
        if node.is_none() {
            let at = map.span.start..map.span.start;
            self.refuse(structure::MISSING_KEY, format!("the key `{key}` is missing"), &at, help);
        }
        node
    }

    /// The items of a list; a missing one has none.
    pub(super) fn list<'n>(&mut self, node: Option<&'n Node>) -> &'n [Node] {
        match node.map(|node| (&node.shape, node)) {
            None => &[],
            Some((Shape::List(items), _)) => items,
            Some((_, node)) => self.wrong_shape(node, "a list").unwrap_or_default(),
        }
    }

    /// The items of a list that must stand and hold something.
    pub(super) fn full_list<'n>(&mut self, map: Map<'n>, key: &str, help: &str) -> &'n [Node] {
        let Some(node) = self.required(map, key, help) else {
            return &[];
        };
        let items = self.list(Some(node));
        if items.is_empty() && matches!(node.shape, Shape::List(_)) {
            self.refuse(structure::EMPTY_LIST, format!("`{key}` is an empty list"), &node.span, help);
        }
        items
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        match &node.shape {
            Shape::Text(text) => Some(text),
            _ => self.wrong_shape(node, "a text"),
        }
    }

    pub(super) fn flag(&mut self, node: &Node) -> Option<bool> {
        match &node.shape {
            Shape::Flag(flag) => Some(*flag),
            _ => self.wrong_shape(node, "true or false"),
        }
    }

    /// A whole number within `range`.
    pub(super) fn number(&mut self, node: &Node, key: &str, range: (u64, u64)) -> Option<u64> {
        let (low, high) = range;
        match node.shape {
            Shape::Number { whole: Some(number), .. } if (low..=high).contains(&number) => Some(number),
            Shape::Number { .. } => {
                let help = format!("write a whole number from {low} to {high}");
                self.refuse(codes::OUT_OF_RANGE, format!("`{key}` is out of range"), &node.span, help);
                None
            }
            _ => self.wrong_shape(node, "a whole number"),
        }
    }

    /// `1.2.3.4:53` or `[2001:db8::1]:53`; names are refused, because nothing can resolve them yet.
    pub(super) fn address(&mut self, node: &Node, example_port: u16) -> Option<SocketAddr> {
        let text = self.text(node)?;
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(address);
        }
        let help = match text.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(ip) => format!("add the port: `{}`", SocketAddr::new(ip, example_port)),
            Err(_) if text.starts_with(':') || text.starts_with("*:") => {
                format!("for every address write `0.0.0.0{}` or `[::]{0}`", text.trim_start_matches('*'))
            }
            Err(_) => format!(
                "write an IP address and a port, such as `192.0.2.1:{example_port}` or `[2001:db8::1]:{example_port}`"
            ),
        };
        self.refuse(codes::BAD_ADDRESS, format!("`{text}` is not an IP address with a port"), &node.span, help);
        None
    }

    /// Items of a list as addresses, each once.
    pub(super) fn addresses(&mut self, items: &[Node], example_port: u16) -> Vec<Placed<SocketAddr>> {
        let read = items
            .iter()
            .filter_map(|node| Some(Placed { value: self.address(node, example_port)?, span: node.span.clone() }))
            .collect();
        self.once(read)
    }

    /// A path; a relative one starts at the folder of the configuration file.
    pub(super) fn path(&mut self, node: &Node) -> Option<PathBuf> {
        let text = self.text(node)?;
        if text.is_empty() {
            self.refuse(codes::BAD_PATH, "the path is empty", &node.span, "write the path of a file or folder");
            return None;
        }
        Some(self.base.join(text))
    }

    /// Refuses what stands twice, and keeps the first.
    pub(super) fn once<T: Eq + Hash + Clone>(&mut self, all: Vec<Placed<T>>) -> Vec<Placed<T>> {
        let mut seen: HashMap<T, Range<usize>> = HashMap::new();
        let mut kept = Vec::new();
        for placed in all {
            match seen.get(&placed.value) {
                Some(first) => {
                    let diagnostic = Diagnostic::error(codes::REPEATED, "the same entry stands twice")
                        .at(FILE, placed.span, "second")
                        .at(FILE, first.clone(), "first");
                    self.found.push(diagnostic.help("keep one"));
                }
                None => {
                    seen.insert(placed.value.clone(), placed.span.clone());
                    kept.push(placed);
                }
            }
        }
        kept
    }

    fn wrong_shape<T>(&mut self, node: &Node, expected: &str) -> Option<T> {
        let message = format!("expected {expected}, found {}", node.shape.what());
        let help = match (&node.shape, expected) {
            (Shape::Number { .. } | Shape::Flag(_), "a text") => "put it in quotes".to_owned(),
            (_, "a list") => "put it in brackets: `[…]`".to_owned(),
            _ => format!("write {expected}"),
        };
        self.refuse(structure::WRONG_SHAPE, message, &node.span, help);
        None
    }
}

/// Drops the places.
pub(super) fn values<T>(placed: Vec<Placed<T>>) -> Vec<T> {
    placed.into_iter().map(|placed| placed.value).collect()
}
