//! Takes raw values out, and says what is wrong with those that can't be taken.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, codes};
use crate::raw::{self, Given, Shape, Span, Unknown, sources};
use crate::source::{null, unknown_key};

/// A place in some file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: usize,
    pub(crate) span: Span,
}

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Found<'a, T> {
    pub(crate) value: &'a T,
    pub(crate) span: &'a Span,
}

/// Reads the values of one file.
pub(crate) struct Reader<'a> {
    pub(crate) file: usize,
    pub(crate) found: &'a mut Vec<Diagnostic>,
}

/// One text of a list.
pub(crate) type Item<'a> = Found<'a, String>;

impl<'a> Reader<'a> {
    pub(crate) fn new(file: usize, found: &'a mut Vec<Diagnostic>) -> Self {
        Reader { file, found }
    }

    pub(crate) fn place(&self, span: &Span) -> Place {
        Place { file: self.file, span: span.clone() }
    }

    /// Adds what is missing to a diagnostic of this file.
    pub(crate) fn report(&mut self, diagnostic: Diagnostic, span: &Span, label: &str, help: &str) {
        let diagnostic = diagnostic.at(self.file, span.clone(), label);
        self.found.push(if help.is_empty() { diagnostic } else { diagnostic.help(help) });
    }

    /// The value itself.
    pub(crate) fn shape<T: Named>(&mut self, given: Given<T>) -> Option<T> {
        self.wrong(&given);
        match given.shape {
            Shape::Is(value) => Some(value),
            Shape::Null | Shape::Other(_) => None,
        }
    }

    /// The value of a key that must stand; `map` is where it is missed.
    pub(crate) fn required<'g, T: Named>(
        &mut self,
        given: &'g Option<Given<T>>,
        key: &str,
        map: &Span,
    ) -> Option<Found<'g, T>> {
        if given.is_none() {
            let missing = Diagnostic::error(codes::MISSING_KEY, format!("the key `{key}` is missing"));
            let help = match key {
                "methods" => "add `methods: [GET, HEAD]`, or what is needed".into(),
                "version" => "add `version: 1`".into(),
                _ => format!("add `{key}:`"),
            };
            self.report(missing, map, "", &help);
        }
        self.optional(given)
    }

    pub(crate) fn optional<'g, T: Named>(&mut self, given: &'g Option<Given<T>>) -> Option<Found<'g, T>> {
        given.as_ref().and_then(|given| self.value(given))
    }

    pub(crate) fn value<'g, T: Named>(&mut self, given: &'g Given<T>) -> Option<Found<'g, T>> {
        self.wrong(given);
        match &given.shape {
            Shape::Is(value) => Some(Found { value, span: &given.span }),
            Shape::Null | Shape::Other(_) => None,
        }
    }

    fn wrong<T: Named>(&mut self, given: &Given<T>) {
        match &given.shape {
            Shape::Is(_) => {}
            Shape::Null => self.found.push(null(self.file, given.span.clone())),
            Shape::Other(what) => {
                let wrong = Diagnostic::error(codes::WRONG_SHAPE, format!("expected {}, found {what}", T::WHAT));
                self.report(wrong, &given.span, "", T::help(what));
            }
        }
    }

    /// A list that must have entries; those that are texts, each once.
    pub(crate) fn texts<'g>(&mut self, list: Option<Found<'g, Vec<Given<String>>>>) -> Option<Vec<Item<'g>>> {
        let list = list?;
        if list.value.is_empty() {
            let empty = Diagnostic::error(codes::EMPTY_LIST, "the list is empty");
            self.report(empty, list.span, "", "write an entry, or remove the key; nothing never means everything");
        }
        let items: Vec<Item<'g>> = list.value.iter().filter_map(|given| self.value(given)).collect();
        let mut seen: HashMap<&str, &Span> = HashMap::new();
        for item in &items {
            if let Some(first) = seen.insert(item.value, item.span) {
                let repeated =
                    Diagnostic::error(codes::REPEATED, format!("`{}` stands twice in this list", item.value))
                        .at(self.file, item.span.clone(), "second")
                        .at(self.file, first.clone(), "first");
                self.found.push(repeated);
            }
        }
        Some(items)
    }

    pub(crate) fn required_texts<'g>(
        &mut self,
        given: &'g Option<Given<Vec<Given<String>>>>,
        key: &str,
        map: &Span,
    ) -> Option<Vec<Item<'g>>> {
        let list = self.required(given, key, map);
        self.texts(list)
    }

    pub(crate) fn unknown(&mut self, unknown: &[Unknown], known: &[&str]) {
        // The scan has reported merge keys.
        for key in unknown.iter().filter(|key| key.key != "<<") {
            self.found.push(unknown_key(self.file, &key.key, key.span.clone(), known));
        }
    }
}

/// What a shape is called, and what to write instead of another.
pub(crate) trait Named {
    const WHAT: &'static str;

    fn help(_found: &str) -> &'static str {
        ""
    }
}

impl Named for String {
    const WHAT: &'static str = "a text";

    fn help(found: &str) -> &'static str {
        match found {
            "a number" | "true or false" => "quote it",
            _ => "",
        }
    }
}

impl Named for crate::raw::Number {
    const WHAT: &'static str = "a number";

    fn help(found: &str) -> &'static str {
        if found == "a text" { "write the number, without quotes" } else { "" }
    }
}

impl Named for crate::raw::Flag {
    const WHAT: &'static str = "true or false";

    fn help(found: &str) -> &'static str {
        if found == "a text" { "write `true` or `false`, without quotes" } else { "" }
    }
}

impl<T> Named for Vec<Given<T>> {
    const WHAT: &'static str = "a list";

    fn help(found: &str) -> &'static str {
        match found {
            "a text" | "a number" | "true or false" => "put it in brackets: [ … ]",
            "a map" => "begin each entry with `- `, or put all in brackets: [ … ]",
            _ => "",
        }
    }
}

impl<T> Named for crate::raw::Entries<T> {
    const WHAT: &'static str = "a map from names";
}

impl Named for crate::raw::Places {
    const WHAT: &'static str = "a map from places to lists of texts";
}

impl Named for crate::raw::pods::Labels {
    const WHAT: &'static str = "a map from keys to values";

    fn help(_found: &str) -> &'static str {
        "write each label with its value: { app: devbot }"
    }
}

impl Named for crate::raw::Argument {
    const WHAT: &'static str = "a text or a list";

    fn help(found: &str) -> &'static str {
        String::help(found)
    }
}

impl Named for crate::raw::SecretSource {
    const WHAT: &'static str = "a map";

    fn help(_found: &str) -> &'static str {
        "write `{ file: /run/secrets/NAME }` or `{ env: NAME }`; a secret never stands in a policy: replace one that did"
    }
}

impl Named for crate::raw::sources::KeySource {
    const WHAT: &'static str = "a map";

    fn help(found: &str) -> &'static str {
        crate::raw::SecretSource::help(found)
    }
}

impl Named for crate::raw::sources::Command {
    const WHAT: &'static str = "a list";

    fn help(_found: &str) -> &'static str {
        "write the program and each argument by itself: `[/usr/local/bin/get-token, prod]`; no shell takes a line apart"
    }
}

impl Named for crate::raw::sources::Identifier {
    const WHAT: &'static str = "a number or a text";
}

impl Named for crate::raw::sources::Provider {
    const WHAT: &'static str = "a name or a map";
}

impl Named for crate::raw::Check {
    const WHAT: &'static str = "a map";

    fn help(_found: &str) -> &'static str {
        "write `{ url: \"https://HOST/PATH\" }`"
    }
}

macro_rules! maps {
    ($($type:ty)*) => {
        $(impl Named for $type {
            const WHAT: &'static str = "a map";
        })*
    };
}

maps!(raw::Document raw::Agent raw::PodSelector raw::Limits raw::Credential raw::Rule raw::Dns);
maps!(raw::Body raw::JsonBody raw::Graphql);
maps!(raw::Include raw::PresetFile raw::PresetCredential raw::PresetParameter);
maps!(sources::Vault sources::VaultAuth sources::AppRole sources::Kubernetes sources::Infisical);
maps!(sources::GithubApp sources::Oauth);
