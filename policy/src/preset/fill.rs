//! Rules of a preset, with the values of an include in their places.
//!
//! An item of a list that holds `{name}` becomes one item for each value of that parameter. Every place becomes the
//! include's, because that is the text that the reader of a diagnostic can change.
//!
//! A host is given with the scheme and port that the preset's allow rules need. Its deny rules get the host alone, and so
//! hold on every port and scheme: what a preset closes is closed to the agents' other rules too, wherever they lead.

use std::collections::BTreeMap;

use crate::model::authority;
use crate::raw::{self, Given, Shape, Span};

/// A value that has been read as its kind, and where it was given.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// What the include gives.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// In front of each rule's name: `github-read@1/`.
    pub(crate) prefix: String,
    /// Where the include names the preset.
    pub(crate) span: Span,
    pub(crate) agents: Vec<Argument>,
    /// By the preset's name; none for one that was left out.
    pub(crate) credentials: BTreeMap<String, Argument>,
    pub(crate) parameters: BTreeMap<String, Vec<Argument>>,
}

/// `{name}` in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placeholder<'a> {
    pub(crate) before: &'a str,
    pub(crate) name: &'a str,
    pub(crate) after: &'a str,
}

impl<'a> Placeholder<'a> {
    /// The first of a text.
    pub(crate) fn find(text: &'a str) -> Option<Placeholder<'a>> {
        let (before, rest) = text.split_once('{')?;
        let (name, after) = rest.split_once('}')?;
        Some(Placeholder { before, name, after })
    }
}

/// One rule of a preset as a rule of the policy.
pub(crate) fn fill(rule: &raw::Rule, with: &Arguments) -> raw::Rule {
    let name = text_of(&rule.name).map(|name| with.given(format!("{}{name}", with.prefix)));
    let credentials = rule.credentials.as_ref().map(|list| with.credentials(list)).filter(|list| !is_empty(list));
    let denies = text_of(&rule.effect) == Some("deny");
    let host = if denies { host_alone } else { str::to_owned };
    raw::Rule {
        name,
        effect: with.moved(&rule.effect),
        agents: Some(with.list(&with.agents)),
        hosts: rule.hosts.as_ref().map(|list| with.texts(list, host)),
        methods: rule.methods.as_ref().map(|list| with.texts(list, str::to_owned)),
        paths: rule.paths.as_ref().map(|list| with.texts(list, str::to_owned)),
        credentials,
        credential_required: with.moved(&rule.credential_required),
        foreign_credentials: with.moved(&rule.foreign_credentials),
        stub_in_body: with.moved(&rule.stub_in_body),
        credential_in_response: with.moved(&rule.credential_in_response),
        ranges: with.moved(&rule.ranges),
        encoded_slash: with.moved(&rule.encoded_slash),
        body: with.moved(&rule.body),
        graphql: with.moved(&rule.graphql),
        unknown: Vec::new(),
    }
}

/// A list of texts.
type List = Given<Vec<Given<String>>>;

impl Arguments {
    fn given<T>(&self, value: T) -> Given<T> {
        Given { span: self.span.clone(), shape: Shape::Is(value) }
    }

    fn moved<T: Clone>(&self, value: &Option<Given<T>>) -> Option<Given<T>> {
        value.as_ref().map(|value| Given { span: self.span.clone(), shape: value.shape.clone() })
    }

    fn list(&self, arguments: &[Argument]) -> List {
        self.given(arguments.iter().map(Argument::given).collect())
    }

    /// The list with its gaps filled, each with what `value` makes of an argument.
    fn texts(&self, list: &List, value: impl Fn(&str) -> String) -> List {
        let mut filled = Vec::new();
        for text in texts(list) {
            let Some(place) = Placeholder::find(text) else {
                filled.push(self.given(text.to_owned()));
                continue;
            };
            // A parameter that is not given leaves nothing here: an empty list is refused.
            for argument in self.parameters.get(place.name).into_iter().flatten() {
                let text = format!("{}{}{}", place.before, value(&argument.text), place.after);
                filled.push(Argument { text, span: argument.span.clone() }.given());
            }
        }
        self.given(filled)
    }

    fn credentials(&self, list: &List) -> List {
        let named = texts(list).filter_map(|name| self.credentials.get(name)).map(Argument::given);
        self.given(named.collect())
    }
}

impl Argument {
    fn given(&self) -> Given<String> {
        Given { span: self.span.clone(), shape: Shape::Is(self.text.clone()) }
    }
}

/// A host without scheme and port.
fn host_alone(text: &str) -> String {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let (host, _) = authority::split(rest.as_bytes());
    String::from_utf8_lossy(host).into_owned()
}

fn texts(list: &List) -> impl Iterator<Item = &str> {
    let items = match &list.shape {
        Shape::Is(items) => items.as_slice(),
        Shape::Null | Shape::Other(_) => &[],
    };
    items.iter().filter_map(|item| match &item.shape {
        Shape::Is(text) => Some(text.as_str()),
        Shape::Null | Shape::Other(_) => None,
    })
}

fn is_empty(list: &List) -> bool {
    texts(list).next().is_none()
}

fn text_of(given: &Option<Given<String>>) -> Option<&str> {
    match &given.as_ref()?.shape {
        Shape::Is(text) => Some(text),
        Shape::Null | Shape::Other(_) => None,
    }
}
