//! JSON that can be read in one way only, walked beside the pointers of a rule (RFC 8259, and the traps of RFC 7493).
//!
//! Refused: a key that stands twice in one object at any depth (after its escapes are read), text that is not UTF-8, half
//! a surrogate pair, a byte order mark, anything behind the document, numbers beyond a double, and more than 64 levels. A document that is no object is not what any rule means.
//! The document is never built: what is kept is the way to the place at hand, and the keys of the objects on it.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{Fault, shown};
use crate::model::body::{JsonRule, Text, folded};
use crate::model::pointer::{Pointer, Positions};

/// Levels of maps and lists.
const MOST_LEVELS: usize = 64;

/// Holds a body against a rule.
pub(super) fn check(rule: &JsonRule, bytes: &[u8]) -> Result<(), Fault> {
    let mut walk = Walk { rule, way: Vec::new(), open: Vec::new(), levels: 0, fault: None };
    walk.start();
    read(bytes, &mut walk)
}

/// Reads bytes to their end, telling `to` of each value.
pub(super) fn read(bytes: &[u8], to: &mut impl Hear) -> Result<(), Fault> {
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::not_inspectable("the body is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(Fault::not_inspectable("the body begins with a byte order mark"));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Value { to }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match (to.fault(), read) {
        (Some(fault), _) => Err(fault),
        (None, Ok(())) => Ok(()),
        (None, Err(error)) => {
            let place = format!("line {}, column {}", error.line(), error.column());
            Err(Fault::not_inspectable(format!("the body is not valid JSON ({place})")))
        }
    }
}

/// Who hears of what stands in a document. An error stops the reading; [`Hear::fault`] tells what it was.
pub(super) trait Hear {
    fn enter(&mut self, key: Key<'_>) -> Result<(), Stop>;
    fn leave(&mut self);
    /// At the place that was entered, or at the root.
    fn value(&mut self, value: Scalar<'_>) -> Result<(), Stop>;
    fn twice(&mut self, key: &str) -> Stop;
    fn deep(&mut self) -> Stop;
    fn fault(&mut self) -> Option<Fault>;
    /// Maps and lists that are open.
    fn levels(&mut self) -> &mut usize;
}

/// A step in a document.
#[derive(Clone, Copy)]
pub(super) enum Key<'a> {
    Name(&'a str),
    Index(usize),
}

/// What stands at a place.
#[derive(Clone, Copy)]
pub(super) enum Scalar<'a> {
    Text(&'a str),
    Null,
    Other,
    Map,
    List,
}

/// Reading was stopped; the listener knows why.
pub(super) struct Stop;

struct Value<'a, H> {
    to: &'a mut H,
}

impl<H: Hear> Value<'_, H> {
    fn scalar<E: serde::de::Error>(self, value: Scalar<'_>) -> Result<(), E> {
        self.to.value(value).map_err(|Stop| E::custom("stopped"))
    }

    fn open<E: serde::de::Error>(&mut self, value: Scalar<'_>) -> Result<(), E> {
        *self.to.levels() += 1;
        if *self.to.levels() > MOST_LEVELS {
            self.to.deep();
            return Err(E::custom("stopped"));
        }
        self.to.value(value).map_err(|Stop| E::custom("stopped"))
    }
}

impl<'de, H: Hear> DeserializeSeed<'de> for Value<'_, H> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, H: Hear> Visitor<'de> for Value<'_, H> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.scalar(Scalar::Text(text))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar(Scalar::Other)
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar(Scalar::Other)
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar(Scalar::Other)
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar(Scalar::Other)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        self.open(Scalar::List)?;
        let mut at = 0_usize;
        loop {
            if self.to.enter(Key::Index(at)).is_err() {
                return Err(A::Error::custom("stopped"));
            }
            let more = access.next_element_seed(Value { to: &mut *self.to })?.is_some();
            self.to.leave();
            if !more {
                break;
            }
            at = at.saturating_add(1);
        }
        *self.to.levels() -= 1;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<(), A::Error> {
        self.open(Scalar::Map)?;
        let mut keys: BTreeSet<Cow<'de, str>> = BTreeSet::new();
        while let Some(key) = access.next_key_seed(KeyText)? {
            if keys.contains(&key) {
                self.to.twice(&key);
                return Err(A::Error::custom("stopped"));
            }
            if self.to.enter(Key::Name(&key)).is_err() {
                return Err(A::Error::custom("stopped"));
            }
            access.next_value_seed(Value { to: &mut *self.to })?;
            self.to.leave();
            keys.insert(key);
        }
        *self.to.levels() -= 1;
        Ok(())
    }
}

/// A key with its escapes read; borrowed where there are none.
struct KeyText;

impl<'de> DeserializeSeed<'de> for KeyText {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeyText {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// A document beside a rule's pointers.
struct Walk<'r> {
    rule: &'r JsonRule,
    /// To the place at hand, with where the pointers still open begin in `open`.
    way: Vec<(Step, usize)>,
    /// Pointers that could still be reached, level by level.
    open: Vec<Open<'r>>,
    levels: usize,
    fault: Option<Fault>,
}

enum Step {
    Name(String),
    Index(usize),
}

/// A pointer on its way, and what it says about its place.
#[derive(Clone, Copy)]
struct Open<'r> {
    pointer: &'r Pointer,
    at: Positions,
    says: Says<'r>,
}

#[derive(Clone, Copy)]
enum Says<'r> {
    Nothing,
    NoneOf(&'r [Text]),
    OneOf(&'r [Text]),
}

impl<'r> Walk<'r> {
    fn start(&mut self) {
        let rule = self.rule;
        let mut open = |pointer: &'r Pointer, says| self.open.push(Open { pointer, at: pointer.start(), says });
        rule.deny_pointers.iter().for_each(|pointer| open(pointer, Says::Nothing));
        rule.deny_values.iter().for_each(|(pointer, texts)| open(pointer, Says::NoneOf(texts)));
        rule.allow_values.iter().for_each(|(pointer, texts)| open(pointer, Says::OneOf(texts)));
    }

    fn stop(&mut self, fault: Fault) -> Stop {
        self.fault.get_or_insert(fault);
        Stop
    }

    fn not_allowed(&mut self, what: &str) -> Stop {
        let text = format!("{what} at {}", self.place());
        self.stop(Fault::not_allowed(text))
    }

    fn place(&self) -> String {
        let mut text = String::new();
        for (step, _) in self.way.iter().take(MOST_STEPS) {
            text.push('/');
            match step {
                Step::Name(name) => text.push_str(&shown(name)),
                Step::Index(at) => text.push_str(&at.to_string()),
            }
        }
        text
    }
}

impl Hear for Walk<'_> {
    fn enter(&mut self, key: Key<'_>) -> Result<(), Stop> {
        let from = self.way.last().map_or(0, |(_, from)| *from);
        let to = self.open.len();
        if let (Key::Name(name), true, Some(allowed)) = (key, self.way.is_empty(), &self.rule.allow_keys)
            && allowed.binary_search_by(|known| (**known).cmp(name)).is_err()
        {
            let text = format!("the body has the key `{}`", shown(name));
            return Err(self.stop(Fault::not_allowed(text)));
        }
        if from < to {
            let text = match key {
                Key::Name(name) => folded(name),
                Key::Index(at) => at.to_string(),
            };
            for at in from..to {
                let Some(open) = self.open.get(at).copied() else { continue };
                let next = open.pointer.step(open.at, &text);
                if next != 0 {
                    self.open.push(Open { at: next, ..open });
                }
            }
        }
        let step = match key {
            Key::Name(name) => Step::Name(name.to_owned()),
            Key::Index(at) => Step::Index(at),
        };
        self.way.push((step, to));
        Ok(())
    }

    fn leave(&mut self) {
        if let Some((_, from)) = self.way.pop() {
            self.open.truncate(from);
        }
    }

    fn value(&mut self, value: Scalar<'_>) -> Result<(), Stop> {
        if self.way.is_empty() {
            return match value {
                Scalar::Map => Ok(()),
                // A list around the document moves every place that a pointer names.
                _ => Err(self.stop(Fault::not_allowed("the body is no JSON object".to_owned()))),
            };
        }
        let from = self.way.last().map_or(0, |(_, from)| *from);
        for at in from..self.open.len() {
            let Some(open) = self.open.get(at).copied() else { continue };
            if !open.pointer.is_there(open.at) {
                continue;
            }
            match (open.says, value) {
                (Says::Nothing, _) => return Err(self.not_allowed("the body has something")),
                (Says::NoneOf(texts), Scalar::Text(text)) if texts.iter().any(|denied| denied.resembles(text)) => {
                    return Err(self.not_allowed(&format!("the body has the value `{}`", shown(text))));
                }
                (Says::OneOf(texts), Scalar::Text(text)) if texts.iter().any(|allowed| allowed.is(text)) => {}
                (Says::OneOf(_), Scalar::Text(text)) => {
                    return Err(self.not_allowed(&format!("the body has the value `{}`", shown(text))));
                }
                (Says::OneOf(_), _) => return Err(self.not_allowed("the body has a value that is no text")),
                (Says::NoneOf(_), _) => {}
            }
        }
        Ok(())
    }

    fn twice(&mut self, key: &str) -> Stop {
        let text = format!("the body has the key `{}` twice in one object", shown(key));
        self.stop(Fault::not_inspectable(text))
    }

    fn deep(&mut self) -> Stop {
        self.stop(Fault::not_inspectable(format!("the body is nested deeper than {MOST_LEVELS} levels")))
    }

    fn fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    fn levels(&mut self) -> &mut usize {
        &mut self.levels
    }
}

/// Steps of a place that a hint shows.
const MOST_STEPS: usize = 8;
