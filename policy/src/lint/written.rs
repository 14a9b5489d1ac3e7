//! Where rules, agents and credentials stand in the files, for what is underlined.

use std::collections::{HashMap, HashSet};

use crate::raw::{self, Entries, Given, Shape, Span};

/// A place in some file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: usize,
    pub(super) span: Span,
}

impl Place {
    /// Its order among places.
    pub(super) fn order(&self) -> (usize, usize) {
        (self.file, self.span.start)
    }
}

/// The files, by name.
pub(super) struct Written<'a> {
    rules: HashMap<&'a str, (usize, &'a raw::Rule)>,
    agents: HashMap<&'a str, Place>,
    credentials: HashMap<&'a str, (Place, &'a raw::Credential)>,
    /// Agents that may ask forwarded names.
    pub(super) askers: HashSet<&'a str>,
}

/// A list of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Agents,
    Hosts,
    Methods,
    Paths,
}

impl<'a> Written<'a> {
    pub(super) fn new(documents: &'a [(usize, raw::Document)]) -> Self {
        let mut written = Written {
            rules: HashMap::new(),
            agents: HashMap::new(),
            credentials: HashMap::new(),
            askers: HashSet::new(),
        };
        for (file, document) in documents {
            let file = *file;
            for rule in document.rules.iter().filter_map(is).flatten().filter_map(is) {
                if let Some(name) = rule.name.as_ref().and_then(is) {
                    written.rules.insert(name, (file, rule));
                }
            }
            for (name, span, _) in entries(&document.agents) {
                written.agents.insert(name, Place { file, span: span.clone() });
            }
            for (name, span, given) in entries(&document.credentials) {
                if let Some(credential) = is(given) {
                    written.credentials.insert(name, (Place { file, span: span.clone() }, credential));
                }
            }
            let dns = document.dns.iter().filter_map(is).flatten().filter_map(is);
            written.askers.extend(dns.flat_map(|entry| texts(&entry.agents)).map(|(text, _)| text));
        }
        written
    }

    /// The name of a rule; `None` if it stands in none of the files.
    pub(super) fn rule(&self, name: &str) -> Option<Place> {
        let (file, rule) = self.rules.get(name)?;
        Some(Place { file: *file, span: rule.name.as_ref()?.span.clone() })
    }

    pub(super) fn agent(&self, name: &str) -> Option<Place> {
        self.agents.get(name).cloned()
    }

    pub(super) fn credential(&self, name: &str) -> Option<Place> {
        self.credentials.get(name).map(|(place, _)| place.clone())
    }

    /// The entry of a credential's `hosts` at this position.
    pub(super) fn credential_host(&self, name: &str, at: usize) -> Option<Place> {
        let (place, credential) = self.credentials.get(name)?;
        let (_, span) = texts(&credential.hosts).nth(at)?;
        Some(Place { file: place.file, span: span.clone() })
    }

    /// The entries of a list of a rule, in their order.
    pub(super) fn list(&self, rule: &str, list: List) -> impl Iterator<Item = (&'a str, Place)> + use<'a> {
        let found = self.rules.get(rule).copied();
        found.into_iter().flat_map(move |(file, rule)| {
            let given = match list {
                List::Agents => &rule.agents,
                List::Hosts => &rule.hosts,
                List::Methods => &rule.methods,
                List::Paths => &rule.paths,
            };
            texts(given).map(move |(text, span)| (text, Place { file, span: span.clone() }))
        })
    }

    /// The entry of a rule's hosts at this position.
    pub(super) fn host(&self, rule: &str, at: usize) -> Option<Place> {
        self.list(rule, List::Hosts).nth(at).map(|(_, place)| place)
    }

    /// A whole list of a rule.
    pub(super) fn whole(&self, rule: &str, list: List) -> Option<Place> {
        let first = self.list(rule, list).next()?.1;
        let last = self.list(rule, list).last()?.1;
        Some(Place { file: first.file, span: first.span.start..last.span.end })
    }
}

fn is<T>(given: &Given<T>) -> Option<&T> {
    match &given.shape {
        Shape::Is(value) => Some(value),
        Shape::Null | Shape::Other(_) => None,
    }
}

fn entries<T>(given: &Option<Given<Entries<T>>>) -> &[(String, Span, Given<T>)] {
    given.as_ref().and_then(is).map(|entries| &*entries.0).unwrap_or_default()
}

fn texts(given: &Option<Given<Vec<Given<String>>>>) -> impl Iterator<Item = (&str, &Span)> {
    let list = given.as_ref().and_then(is).into_iter().flatten();
    list.filter_map(|item| is(item).map(|text| (text.as_str(), &item.span)))
}
