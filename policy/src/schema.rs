//! JSON Schema (draft-07) of the files that people write, for their editors.
//!
//! Made from the structs that read the files, so that a key can be neither forgotten nor invented. It says less than
//! `stubgate policy check` does: what names mean across files, and what a host may be, is for that.

use serde_json::{Map, Value, json};

use crate::model::secret_source::OauthProvider;
use crate::preset;
use crate::raw::sources::{Command, Identifier, OwnProvider, Provider};
use crate::raw::{Argument, Document, Entries, Flag, Given, Number, Places, Text};

/// The dialect that editors know.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// Of a policy file.
pub fn policy() -> Value {
    document("stubgate policy", Document::schema())
}

/// Of a file of policy tests.
pub fn tests() -> Value {
    document("stubgate policy tests", crate::raw::cases::Document::schema())
}

/// A schema as a file of its own.
pub fn document(title: &str, schema: Value) -> Value {
    let mut whole = Map::new();
    whole.insert("$schema".into(), json!(DRAFT));
    whole.insert("title".into(), json!(title));
    if let Value::Object(schema) = schema {
        whole.extend(schema);
    }
    Value::Object(whole)
}

/// What can be described.
pub(crate) trait Describe {
    /// Its schema, without what its place adds.
    fn schema() -> Value;
}

/// A key of a map.
pub(crate) struct Field {
    pub(crate) key: &'static str,
    pub(crate) about: &'static str,
    pub(crate) schema: fn() -> Value,
    pub(crate) limit: Limit,
}

/// What a key's place adds to the type of its value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limit {
    required: bool,
    only: Option<u64>,
    least: Option<u64>,
    choice: &'static [&'static str],
    pattern: Option<&'static str>,
    each: Option<&'static str>,
    most: Option<u64>,
    one_of: &'static [&'static str],
    presets: bool,
    at_most: Option<u64>,
    each_has_any: &'static [&'static str],
}

impl Limit {
    pub(crate) const NONE: Limit = Limit {
        required: false,
        only: None,
        least: None,
        choice: &[],
        pattern: None,
        each: None,
        most: None,
        one_of: &[],
        presets: false,
        at_most: None,
        each_has_any: &[],
    };

    /// The form of a name that people choose.
    pub(crate) const NAME: &'static str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";

    /// The key must stand.
    pub(crate) const fn required() -> Limit {
        Limit { required: true, ..Limit::NONE }
    }

    /// One number.
    pub(crate) const fn only(self, number: u64) -> Limit {
        Limit { only: Some(number), ..self }
    }

    /// A number not below this one.
    pub(crate) const fn least(self, number: u64) -> Limit {
        Limit { least: Some(number), ..self }
    }

    /// One of these words.
    pub(crate) const fn choice(self, words: &'static [&'static str]) -> Limit {
        Limit { choice: words, ..self }
    }

    /// A text of this form.
    pub(crate) const fn pattern(self, pattern: &'static str) -> Limit {
        Limit { pattern: Some(pattern), ..self }
    }

    /// A list, or a map, of texts of this form.
    pub(crate) const fn each(self, pattern: &'static str) -> Limit {
        Limit { each: Some(pattern), ..self }
    }

    /// A number not above this one.
    pub(crate) const fn most(self, number: u64) -> Limit {
        Limit { most: Some(number), ..self }
    }

    /// A map with exactly one of these keys.
    pub(crate) const fn one_of(self, keys: &'static [&'static str]) -> Limit {
        Limit { one_of: keys, ..self }
    }

    /// A released preset.
    pub(crate) const fn presets(self) -> Limit {
        Limit { presets: true, ..self }
    }

    /// A number from 1 to this.
    pub(crate) const fn at_most(self, most: u64) -> Limit {
        Limit { at_most: Some(most), ..self }
    }

    /// A map of maps, each with one of these keys at least.
    pub(crate) const fn each_has_any(self, keys: &'static [&'static str]) -> Limit {
        Limit { each_has_any: keys, ..self }
    }

    fn apply(self, schema: &mut Map<String, Value>) {
        let mut add = |key: &str, value: Value| schema.insert(key.into(), value);
        if let Some(number) = self.only {
            add("const", json!(number));
        }
        if let Some(number) = self.least {
            add("minimum", json!(number));
        }
        if let Some(number) = self.most {
            add("maximum", json!(number));
        }
        if let Some(most) = self.at_most {
            add("minimum", json!(1));
            add("maximum", json!(most));
        }
        if !self.choice.is_empty() {
            add("enum", json!(self.choice));
        }
        if let Some(pattern) = self.pattern {
            add("pattern", json!(pattern));
        }
        if !self.one_of.is_empty() {
            let each: Vec<Value> = self.one_of.iter().map(|key| json!({ "required": [key] })).collect();
            add("oneOf", json!(each));
        }
        if self.presets {
            let names: Vec<String> = preset::released().iter().map(ToString::to_string).collect();
            add("enum", json!(names));
        }
        if let (false, Some(Value::Object(each))) =
            (self.each_has_any.is_empty(), schema.get_mut("additionalProperties"))
        {
            let any: Vec<Value> = self.each_has_any.iter().map(|key| json!({ "required": [key] })).collect();
            each.insert("anyOf".into(), json!(any));
        }
        for inner in ["items", "additionalProperties"] {
            if let (Some(pattern), Some(Value::Object(items))) = (self.each, schema.get_mut(inner)) {
                items.insert("pattern".into(), json!(pattern));
            }
        }
    }
}

/// A map with these keys and no others.
pub(crate) fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = match (field.schema)() {
            Value::Object(schema) => schema,
            _ => Map::new(),
        };
        field.limit.apply(&mut schema);
        schema.insert("description".into(), json!(field.about.trim()));
        properties.insert(field.key.to_owned(), Value::Object(schema));
    }
    let required: Vec<&str> = fields.iter().filter(|field| field.limit.required).map(|field| field.key).collect();
    let mut whole = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let (false, Some(whole)) = (required.is_empty(), whole.as_object_mut()) {
        whole.insert("required".into(), json!(required));
    }
    whole
}

impl Describe for Text {
    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

impl Describe for Number {
    fn schema() -> Value {
        json!({ "type": "integer", "minimum": 0 })
    }
}

impl Describe for Flag {
    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

impl<T: Describe> Describe for Vec<Given<T>> {
    fn schema() -> Value {
        let items = T::schema();
        let texts = items.get("type").is_some_and(|kind| kind == "string");
        let mut list = json!({ "type": "array", "items": items, "minItems": 1 });
        if let (true, Some(list)) = (texts, list.as_object_mut()) {
            list.insert("uniqueItems".into(), json!(true));
        }
        list
    }
}

impl<T: Describe> Describe for Entries<T> {
    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": T::schema(),
            "propertyNames": { "pattern": Limit::NAME },
        })
    }
}

impl Describe for Places {
    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": Vec::<Given<Text>>::schema(),
            "propertyNames": { "pattern": "^/." },
            "minProperties": 1,
        })
    }
}

impl Describe for Command {
    fn schema() -> Value {
        json!({ "type": "array", "items": Text::schema(), "minItems": 1 })
    }
}

impl Describe for Identifier {
    fn schema() -> Value {
        let text = json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]+$" });
        json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, text] })
    }
}

impl Describe for Provider {
    fn schema() -> Value {
        json!({ "anyOf": [{ "type": "string", "enum": OauthProvider::BUILT_IN }, OwnProvider::schema()] })
    }
}

impl Describe for Argument {
    fn schema() -> Value {
        json!({ "anyOf": [Text::schema(), Vec::<Given<Text>>::schema()] })
    }
}
