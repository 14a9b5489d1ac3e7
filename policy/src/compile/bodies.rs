//! `body:` and `graphql:` of a rule: what it demands of bodies.
//!
//! A rule that looks into bodies must demand something of them, in words that can be read in one way only.

use std::sync::Arc;

use super::reader::{Found, Item, Reader};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::model::Effect;
use crate::model::body::{BodyRule, Form, GraphqlRule, JsonRule, Text};
use crate::model::pointer::Pointer;
use crate::raw;

/// Bytes of a body where the rule does not say.
const DEFAULT_BYTES: u64 = 1 << 20;
/// Bytes that a rule may name.
const MOST_BYTES: u64 = 1 << 26;

/// What a rule demands of bodies; `None` if it looks into none.
pub(super) fn check(
    rule: &raw::Rule,
    effect: Effect,
    at: &raw::Span,
    reader: &mut Reader<'_>,
) -> Option<Arc<BodyRule>> {
    let body = reader.optional(&rule.body);
    let graphql = reader.optional(&rule.graphql);
    for (key, given) in [("body", rule.body.is_some()), ("graphql", rule.graphql.is_some())] {
        if given && effect == Effect::Deny {
            let useless = format!("`{key}` may not stand in a deny rule: it refuses whatever the body holds");
            let help = "write what may pass into an allow rule, and remove it here";
            reader.report(Diagnostic::error(codes::BODY_ON_DENY, useless), at, "in this rule", help);
        }
    }
    match (body, graphql) {
        (Some(_), Some(graphql)) => {
            let both = Diagnostic::error(codes::CONTRADICTION, "`body` and `graphql` stand in one rule");
            reader.report(both, graphql.span, "", "keep one: a GraphQL request is a JSON body of its own");
            None
        }
        (Some(body), None) => json(&body, reader),
        (None, Some(body)) => graphql_of(&body, reader),
        (None, None) => None,
    }
    .map(Arc::new)
}

fn json(body: &Found<'_, raw::Body>, reader: &mut Reader<'_>) -> Option<BodyRule> {
    reader.unknown(&body.value.unknown, raw::Body::KEYS);
    let max_bytes = size(&body.value.max_bytes, reader);
    let json = reader.required(&body.value.json, "json", body.span)?;
    reader.unknown(&json.value.unknown, raw::JsonBody::KEYS);
    let raw = json.value;
    let list = reader.optional(&raw.allow_keys);
    let allow_keys = reader.texts(list).map(|items| names(&items));
    let list = reader.optional(&raw.deny_pointers);
    let deny_pointers = reader.texts(list).unwrap_or_default();
    let deny_pointers = deny_pointers.iter().filter_map(|item| pointer(item.value, item.span, reader)).collect();
    let rule = JsonRule {
        allow_keys,
        deny_pointers,
        deny_values: values(&raw.deny_values, reader),
        allow_values: values(&raw.allow_values, reader),
    };
    let given =
        [raw.allow_keys.is_some(), raw.deny_pointers.is_some(), raw.deny_values.is_some(), raw.allow_values.is_some()];
    if !given.contains(&true) {
        let nothing = Diagnostic::error(codes::BODY_DEMANDS_NOTHING, "`json` demands nothing of the body");
        reader.report(nothing, json.span, "", "write `allow_keys: [ … ]`, or remove `body`");
    }
    Some(BodyRule { max_bytes, form: Form::Json(rule) })
}

fn graphql_of(graphql: &Found<'_, raw::Graphql>, reader: &mut Reader<'_>) -> Option<BodyRule> {
    const KINDS: [&str; 3] = ["query", "mutation", "subscription"];
    let raw = graphql.value;
    reader.unknown(&raw.unknown, raw::Graphql::KEYS);
    let max_bytes = size(&raw.max_bytes, reader);
    let operations = reader.required_texts(&raw.operations, "operations", graphql.span)?;
    for item in operations.iter().filter(|item| !KINDS.contains(&item.value.as_str())) {
        let bad = format!("`{}` is not one of {}", item.value, KINDS.join(", "));
        let help = nearest(item.value, KINDS).map(|meant| format!("did you mean `{meant}`?")).unwrap_or_default();
        reader.report(Diagnostic::error(codes::BAD_CHOICE, bad), item.span, "", &help);
    }
    let has = |kind: &str| operations.iter().any(|item| item.value == kind);
    let list = reader.optional(&raw.fields);
    let fields = reader.texts(list).map(|items| fields(&items, reader));
    let list = reader.optional(&raw.mutations);
    let mutations = reader.texts(list).map(|items| self::fields(&items, reader));
    match (&raw.mutations, has("mutation")) {
        (None, true) => {
            let none = Diagnostic::error(codes::MISSING_KEY, "mutations are allowed, and none is named");
            reader.report(none, graphql.span, "", "name each: `mutations: [addComment]`");
        }
        (Some(given), false) => {
            let closed =
                Diagnostic::error(codes::CONTRADICTION, "mutations are named, and `operations` has no `mutation`");
            reader.report(closed, &given.span, "", "add `mutation` to `operations`, or remove `mutations`");
        }
        _ => {}
    }
    if let (Some(given), false) = (&raw.fields, has("query") || has("subscription")) {
        let closed =
            Diagnostic::error(codes::CONTRADICTION, "`fields` names what queries may ask, and no query is allowed");
        reader.report(closed, &given.span, "", "add `query` to `operations`, or write mutations under `mutations`");
    }
    let rule = GraphqlRule {
        query: has("query"),
        subscription: has("subscription"),
        fields,
        mutations: mutations.unwrap_or_default(),
    };
    Some(BodyRule { max_bytes, form: Form::Graphql(rule) })
}

fn size(given: &Option<raw::Given<raw::Number>>, reader: &mut Reader<'_>) -> usize {
    let Some(number) = reader.optional(given) else {
        return usize::try_from(DEFAULT_BYTES).unwrap_or(usize::MAX);
    };
    if !(1..=MOST_BYTES).contains(&number.value.0) {
        let bad = format!("`max_bytes` is 1 to {MOST_BYTES}, not {}", number.value.0);
        let help = "a body is held in memory until it was looked at";
        reader.report(Diagnostic::error(codes::BAD_SIZE, bad), number.span, "", help);
    }
    usize::try_from(number.value.0).unwrap_or(usize::MAX)
}

fn values(given: &Option<raw::Given<raw::Places>>, reader: &mut Reader<'_>) -> Box<[(Pointer, Box<[Text]>)]> {
    let Some(places) = reader.optional(given) else { return Box::default() };
    if places.value.0.is_empty() {
        let empty = Diagnostic::error(codes::EMPTY_LIST, "the map is empty");
        reader.report(empty, places.span, "", "write an entry, or remove the key; nothing never means everything");
    }
    let mut all = Vec::new();
    for (text, span, list) in &places.value.0 {
        let pointer = pointer(text, span, reader);
        let list = reader.value(list);
        let texts = reader.texts(list).unwrap_or_default();
        let texts = texts.iter().map(|item| Text::parse(item.value)).collect();
        all.extend(pointer.map(|pointer| (pointer, texts)));
    }
    all.into()
}

fn pointer(text: &str, span: &raw::Span, reader: &mut Reader<'_>) -> Option<Pointer> {
    match Pointer::parse(text) {
        Ok(pointer) => Some(pointer),
        Err(error) => {
            let bad = format!("`{text}` is not a JSON pointer: {}", error.text());
            let help = "write `/tools/*/type`: keys and indices behind slashes, `*` for one step, `**` for any number";
            reader.report(Diagnostic::error(codes::BAD_POINTER, bad), span, "", help);
            None
        }
    }
}

fn fields(items: &[Item<'_>], reader: &mut Reader<'_>) -> Box<[Box<str>]> {
    for item in items {
        let mut bytes = item.value.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        if !first || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            let bad = format!("`{}` is not the name of a GraphQL field", item.value);
            let help = "write the field as the schema does, without arguments or wildcards";
            reader.report(Diagnostic::error(codes::BAD_FIELD, bad), item.span, "", help);
        }
    }
    names(items)
}

fn names(items: &[Item<'_>]) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = items.iter().map(|item| item.value.as_str().into()).collect();
    names.sort_unstable();
    names.dedup();
    names.into()
}
