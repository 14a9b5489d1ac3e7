//! The text as a tree, every value with its place, nothing judged.
//!
//! What is read into a tree instead of structs is told whole: an unknown key or a wrong shape hides no error behind it. All
//! files whose every error is reported begin here, so that the YAML crate's code is made for one type and not for each of theirs.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Spanned, span_of};

/// A value and its place in the file, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// From its first byte to the one behind its last.
    pub span: Range<usize>,
    /// What stands there.
    pub shape: Shape,
}

/// What stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A text; what YAML takes for a number or a flag is none.
    Text(String),
    /// What YAML takes for a number.
    Number {
        /// In full, in decimal.
        written: String,
        /// The number, if it is a whole one that fits; negative ones and fractions are none.
        whole: Option<u64>,
    },
    /// `true` or `false`.
    Flag(bool),
    /// Values in their order.
    List(Vec<Node>),
    /// Keys and values in their order.
    Map(Vec<Entry>),
    /// `null`, `~` or nothing.
    Null,
}

/// A key with its place, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where it stands, in bytes of the file.
    pub span: Range<usize>,
    /// What stands behind it.
    pub value: Node,
}

impl Shape {
    /// For "expected …, found …".
    pub fn what(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Number { .. } => "a number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Null => "nothing",
        }
    }

    fn number(written: impl ToString, whole: Option<u64>) -> Self {
        Self::Number { written: written.to_string(), whole }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Shape>::deserialize(deserializer)?;
        Ok(Node { span: span_of(&spanned), shape: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
        Ok(Shape::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Shape, E> {
        Ok(Shape::Text(text))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Shape, E> {
        Ok(Shape::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Shape, E> {
        Ok(Shape::number(number, Some(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Shape, E> {
        Ok(Shape::number(number, u64::try_from(number).ok()))
    }

    fn visit_u128<E>(self, number: u128) -> Result<Shape, E> {
        Ok(Shape::number(number, None))
    }

    fn visit_i128<E>(self, number: i128) -> Result<Shape, E> {
        Ok(Shape::number(number, None))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Shape, E> {
        Ok(Shape::number(number, None))
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut all = Vec::new();
        while let Some(node) = access.next_element()? {
            all.push(node);
        }
        Ok(Shape::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Shape, A::Error> {
        let mut all = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<String>, Node>()? {
            let span = span_of(&key);
            all.push(Entry { key: key.value, span, value });
        }
        Ok(Shape::Map(all))
    }
}
