//! Names of agents, credentials and rules: their form, that each is defined once, and their ids in order.

use std::collections::BTreeMap;

use super::reader::{Place, Reader};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::raw::Span;

/// What is named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) one: &'static str,
    pub(super) unknown: &'static str,
    pub(super) most: usize,
}

pub(super) const AGENT: Kind = Kind { one: "agent", unknown: codes::UNKNOWN_AGENT, most: 65_536 };
pub(super) const CREDENTIAL: Kind = Kind { one: "credential", unknown: codes::UNKNOWN_CREDENTIAL, most: 16_384 };
pub(super) const RULE: Kind = Kind { one: "rule", unknown: codes::UNKNOWN_KEY, most: 200_000 };

/// Defined names, in order.
#[derive(Debug, Default)]
pub(super) struct Names {
    places: BTreeMap<String, Place>,
    order: Vec<String>,
}

impl Names {
    /// Notes a definition. `false` if there is one of that name already, which is reported.
    pub(super) fn define(&mut self, kind: Kind, name: &str, place: Place, found: &mut Vec<Diagnostic>) -> bool {
        if !is_name(name) {
            let bad = Diagnostic::error(
                codes::BAD_NAME,
                format!("`{name}` can't be the name of {} {}", article(kind.one), kind.one),
            );
            let bad = bad.at(place.file, place.span.clone(), "");
            found.push(bad.help("letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 64"));
        }
        self.admit(kind, name, place, found)
    }

    /// Notes a name whose form nobody could have written: a preset's rules are called `PRESET@VERSION/RULE`.
    pub(super) fn admit(&mut self, kind: Kind, name: &str, place: Place, found: &mut Vec<Diagnostic>) -> bool {
        if let Some(first) = self.places.get(name) {
            let twice = Diagnostic::error(codes::DEFINED_TWICE, format!("the {} `{name}` is defined twice", kind.one))
                .at(place.file, place.span, "second definition")
                .at(first.file, first.span.clone(), "first definition");
            found.push(twice.help("rename or remove one; names are shared by all files"));
            return false;
        }
        if self.places.len() == kind.most {
            let many = Diagnostic::error(codes::TOO_MANY, format!("more than {} {}s", kind.most, kind.one));
            found.push(many.at(place.file, place.span.clone(), ""));
        }
        self.places.insert(name.to_owned(), place);
        true
    }

    /// To be called after the last definition: ids are positions in this order.
    pub(super) fn sort(&mut self) {
        self.order = self.places.keys().cloned().collect();
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.order.binary_search_by(|known| known.as_str().cmp(name)).ok()
    }

    /// The position of a name that is used; reports one that is not defined, if all files could be read.
    pub(super) fn resolve(
        &self,
        kind: Kind,
        name: &str,
        span: &Span,
        complete: bool,
        reader: &mut Reader<'_>,
    ) -> Option<usize> {
        let position = self.position(name);
        if position.is_none() && complete {
            let unknown = Diagnostic::error(kind.unknown, format!("the {} `{name}` is not defined", kind.one));
            let help = match nearest(name, self.order.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("define it under `{}s:`", kind.one),
            };
            reader.report(unknown, span, "", &help);
        }
        position
    }
}

pub(super) fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with('a') { "an" } else { "a" }
}

const MAX_NAME: usize = 64;
