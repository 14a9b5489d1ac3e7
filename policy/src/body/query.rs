//! What a query says beside a body. Many servers take a field from either, and some let the query win, so that what a rule
//! looks for in the body must not stand in the query: a key that names it, or begins a place of the rule, is refused.
//!
//! It reads queries widely, as the most tolerant of servers would, because it only ever refuses. Values are not looked at.

use super::{Fault, shown};
use crate::model::body::{JsonRule, folded};
use crate::model::pointer::Pointer;

/// Holds a query against a rule.
pub(super) fn check(rule: &JsonRule, query: &[u8]) -> Result<(), Fault> {
    let values = rule.deny_values.iter().chain(&*rule.allow_values).map(|(pointer, _)| pointer);
    let pointers: Vec<&Pointer> = rule.deny_pointers.iter().chain(values).collect();
    for pair in query.split(|byte| matches!(byte, b'&' | b';')) {
        let key = decoded(pair.split(|byte| *byte == b'=').next().unwrap_or_default());
        let key = folded(key.trim());
        if pointers.iter().any(|pointer| names(pointer, &key)) {
            return Err(Fault::not_allowed(format!("the query has `{}`, which belongs in the body", shown(&key))));
        }
    }
    Ok(())
}

/// Whether a key, as `key`, `key[a][b]` or `key.a.b`, begins the place or leads to it.
fn names(pointer: &Pointer, key: &str) -> bool {
    if pointer.begins_with(key) {
        return true;
    }
    let mut steps = key.split(['[', ']', '.']).filter(|step| !step.is_empty()).peekable();
    if steps.peek().is_some_and(|first| pointer.begins_with(first)) {
        return true;
    }
    let mut at = pointer.start();
    steps.any(|step| {
        at = pointer.step(at, step);
        pointer.is_there(at)
    })
}

/// Percent escapes and `+` read; what is no escape stays as it is.
fn decoded(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, tail)) = rest.split_first() {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let escape = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        let (byte, taken) = match (escape, first) {
            (Some((high, low)), _) => (high << 4 | low, 3),
            (None, b'+') => (b' ', 1),
            (None, other) => (*other, 1),
        };
        out.push(byte);
        rest = rest.get(taken..).unwrap_or_default();
    }
    String::from_utf8_lossy(&out).into_owned()
}
