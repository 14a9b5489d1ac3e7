//! What stands in the body of a request, held against what a rule demands of it.
//!
//! Pure: bytes and headers in, a verdict out. A body passes only if there is one way to read it: what is encoded, too
//! long, doubled, or does not parse is refused, never cut and never guessed at. The proxy forwards exactly the bytes that
//! were looked at.

mod graphql;
mod json;
mod query;

use std::sync::Arc;

use crate::model::Reason;
use crate::model::body::{BodyRule, Form};

/// A body, and what the head says about it.
#[derive(Clone, Debug)]
pub struct Body<'a> {
    /// Every `Content-Type` of the head.
    pub content_types: Vec<&'a [u8]>,
    /// Every `Content-Encoding` of the head.
    pub content_encodings: Vec<&'a [u8]>,
    /// What follows the first `?` of the target, as it was sent.
    pub query: Option<&'a [u8]>,
    /// All of it.
    pub bytes: &'a [u8],
}

impl Body<'_> {
    /// No body at all.
    pub fn none() -> Body<'static> {
        Body { content_types: Vec::new(), content_encodings: Vec::new(), query: None, bytes: &[] }
    }
}

/// What is known of a body.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// The body itself.
    Body(&'a Body<'a>),
    /// That it satisfied these; for a body that is gone.
    Satisfied(&'a [Arc<BodyRule>]),
}

impl Seen<'_> {
    /// Whether the body is as a rule demands.
    ///
    /// # Errors
    /// The first thing about it that is not.
    pub(crate) fn satisfies(&self, rule: &BodyRule) -> Result<(), Fault> {
        match self {
            Seen::Body(body) => check(rule, body),
            Seen::Satisfied(known) if known.iter().any(|known| rule.covers(known)) => Ok(()),
            Seen::Satisfied(_) => Err(Fault::not_allowed("the body can't be looked at again".to_owned())),
        }
    }
}

/// Why a body does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `body_not_allowed` or `body_not_inspectable`.
    pub reason: Reason,
    /// Whether it is too long: 413 in HTTP.
    pub is_too_large: bool,
    /// What is wrong with it, in words of the agent's own body: never what the rule says.
    pub text: String,
}

impl Fault {
    fn not_allowed(text: String) -> Fault {
        Fault { reason: Reason::BodyNotAllowed, is_too_large: false, text }
    }

    fn not_inspectable(text: impl Into<String>) -> Fault {
        Fault { reason: Reason::BodyNotInspectable, is_too_large: false, text: text.into() }
    }

    /// A body longer than may be looked at.
    pub fn too_large(most: usize) -> Fault {
        let text = format!("the body has more than {most} bytes");
        Fault { is_too_large: true, ..Fault::not_inspectable(text) }
    }

    /// The lower, the more it says.
    pub(crate) fn weight(&self) -> u8 {
        match (self.reason, self.is_too_large) {
            (_, true) => 2,
            (Reason::BodyNotAllowed, false) => 0,
            (_, false) => 1,
        }
    }

    /// What the agent is told.
    pub fn hint(&self) -> String {
        format!("{}; {}", self.text, self.reason.hint())
    }
}

/// Whether a body is as a rule demands.
fn check(rule: &BodyRule, body: &Body<'_>) -> Result<(), Fault> {
    if body.bytes.len() > rule.max_bytes {
        return Err(Fault::too_large(rule.max_bytes));
    }
    if body.bytes.is_empty() {
        return Err(Fault::not_inspectable("there is no body, where a JSON one is expected"));
    }
    if body.content_encodings.iter().any(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Fault::not_inspectable("the body is compressed; send it as it is"));
    }
    let suffix = match &rule.form {
        Form::Json(_) => true,
        Form::Graphql(_) => false,
    };
    is_json(&body.content_types, suffix)?;
    match &rule.form {
        Form::Json(rule) => {
            body.query.map_or(Ok(()), |query| query::check(rule, query))?;
            json::check(rule, body.bytes)
        }
        Form::Graphql(_) if body.query.is_some() => {
            Err(Fault::not_inspectable("the path has a query, which some servers read as part of a GraphQL request"))
        }
        Form::Graphql(rule) => graphql::check(rule, body.bytes),
    }
}

/// One `Content-Type`, JSON, in UTF-8 (RFC 8259 §8.1). `suffix`: `application/…+json` too.
fn is_json(types: &[&[u8]], suffix: bool) -> Result<(), Fault> {
    let [only] = types else {
        return Err(Fault::not_inspectable("there must be one Content-Type, and it must be application/json"));
    };
    let wrong = || Fault::not_inspectable("the Content-Type must be application/json, in UTF-8");
    let text = std::str::from_utf8(only).map_err(|_| wrong())?.to_ascii_lowercase();
    let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
    let kind = parts.next().unwrap_or_default();
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let structured = kind.strip_prefix("application/").and_then(|rest| rest.strip_suffix("+json"));
    if kind != "application/json" && !(suffix && structured.is_some_and(is_token)) {
        return Err(wrong());
    }
    match (parts.next(), parts.next()) {
        (None, _) => Ok(()),
        (Some("charset=utf-8" | "charset=\"utf-8\""), None) => Ok(()),
        (Some(_), _) => Err(wrong()),
    }
}

/// A text of the agent's, as a hint shows it: in visible ASCII, and not all of a long one.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(MOST_SHOWN).flat_map(char::escape_default).collect();
    if text.chars().nth(MOST_SHOWN).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Characters of one text that a hint shows.
const MOST_SHOWN: usize = 64;

/// For fuzzing: reads bytes as a rule's body that demands only that there is one way to read them.
///
/// # Errors
/// As in a request.
#[doc(hidden)]
pub fn read_json(bytes: &[u8]) -> Result<(), Fault> {
    json::check(&crate::model::body::JsonRule::default(), bytes)
}

/// For fuzzing: the operations of a GraphQL document, each with its kind and the fields at its root.
///
/// # Errors
/// As in a request.
#[doc(hidden)]
pub fn read_graphql(document: &str) -> Result<Vec<(&'static str, Vec<String>)>, Fault> {
    graphql::roots(document)
}

#[cfg(test)]
mod tests;
