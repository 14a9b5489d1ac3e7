//! What a rule demands of a body, checked and comparable; the checks themselves are in [`crate::body`].

use super::pointer::Pointer;

/// What a rule demands of the body of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyRule {
    /// Bytes; a longer body is refused.
    pub(crate) max_bytes: usize,
    pub(crate) form: Form,
}

/// How the body is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json(JsonRule),
    Graphql(GraphqlRule),
}

/// `body: { json: … }`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonRule {
    /// The only keys of the document, sorted; `None`: any.
    pub(crate) allow_keys: Option<Box<[Box<str>]>>,
    /// Nothing may stand there.
    pub(crate) deny_pointers: Box<[Pointer]>,
    /// None of these texts may stand there.
    pub(crate) deny_values: Box<[(Pointer, Box<[Text]>)]>,
    /// What stands there is one of these texts.
    pub(crate) allow_values: Box<[(Pointer, Box<[Text]>)]>,
}

/// `graphql: …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphqlRule {
    pub(crate) query: bool,
    pub(crate) subscription: bool,
    /// Root fields of queries and subscriptions, sorted; `None`: any.
    pub(crate) fields: Option<Box<[Box<str>]>>,
    /// Root fields of mutations, sorted; empty: no mutation.
    pub(crate) mutations: Box<[Box<str>]>,
}

/// A text, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Text {
    pub(crate) start: Box<str>,
    /// Whether anything may follow: `web_search_*`.
    pub(crate) open: bool,
}

impl Text {
    pub(crate) fn parse(written: &str) -> Text {
        match written.strip_suffix('*') {
            Some(start) => Text { start: start.into(), open: true },
            None => Text { start: written.into(), open: false },
        }
    }

    /// In exact case.
    pub(crate) fn is(&self, text: &str) -> bool {
        if self.open { text.starts_with(&*self.start) } else { text == &*self.start }
    }

    /// Without regard to case, as deny rules read.
    pub(crate) fn resembles(&self, text: &str) -> bool {
        let (start, text) = (folded(&self.start), folded(text));
        if self.open { text.starts_with(&start) } else { text == start }
    }

    fn covers(&self, other: &Text) -> bool {
        if self.open { other.start.starts_with(&*self.start) } else { self == other }
    }
}

/// Without case, and the same for all that some program takes for the same letter (`ſ` and `s`, the Kelvin sign and `k`).
pub(crate) fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

impl BodyRule {
    /// Bytes; a longer body is refused.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Whether every body that `other` lets pass passes this one too, as far as can be shown by comparing what they say.
    pub fn covers(&self, other: &BodyRule) -> bool {
        self.max_bytes >= other.max_bytes
            && match (&self.form, &other.form) {
                (Form::Json(wide), Form::Json(narrow)) => wide.covers(narrow),
                (Form::Graphql(wide), Form::Graphql(narrow)) => wide.covers(narrow),
                (Form::Json(_), Form::Graphql(_)) | (Form::Graphql(_), Form::Json(_)) => false,
            }
    }
}

type Places = [(Pointer, Box<[Text]>)];

impl JsonRule {
    fn covers(&self, narrow: &JsonRule) -> bool {
        let texts = |of: &[Text], all: &[Text]| all.iter().all(|text| of.iter().any(|wide| wide.covers(text)));
        let denied = |wide: &Places, by: &Places| {
            wide.iter().all(|(place, values)| by.iter().any(|(other, more)| other == place && texts(more, values)))
        };
        let keys = match (&self.allow_keys, &narrow.allow_keys) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(wide), Some(narrow)) => narrow.iter().all(|key| wide.binary_search(key).is_ok()),
        };
        let nothing_at = |place: &Pointer| narrow.deny_pointers.contains(place);
        keys && self.deny_pointers.iter().all(nothing_at)
            && denied(&self.deny_values, &narrow.deny_values)
            && self.allow_values.iter().all(|(place, values)| {
                narrow.allow_values.iter().any(|(other, fewer)| other == place && texts(values, fewer))
            })
    }
}

impl GraphqlRule {
    fn covers(&self, narrow: &GraphqlRule) -> bool {
        let fields = match (&self.fields, &narrow.fields) {
            (None, _) => true,
            (Some(_), None) => !narrow.query && !narrow.subscription,
            (Some(wide), Some(narrow)) => narrow.iter().all(|field| wide.binary_search(field).is_ok()),
        };
        fields
            && (self.query || !narrow.query)
            && (self.subscription || !narrow.subscription)
            && narrow.mutations.iter().all(|field| self.mutations.binary_search(field).is_ok())
    }
}
