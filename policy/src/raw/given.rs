//! Values as they were written, whatever shape they have.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::source::{Spanned, span_of};

/// Bytes of the file at hand.
pub(crate) type Span = Range<usize>;

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Given<T> {
    pub(crate) span: Span,
    pub(crate) shape: Shape<T>,
}

/// What stood there.
#[derive(Clone, Debug)]
pub(crate) enum Shape<T> {
    /// The shape that was expected.
    Is(T),
    /// `null`, `~` or nothing.
    Null,
    /// Some other shape, by its name.
    Other(&'static str),
}

/// A type that can be read from whatever stands there.
pub(crate) trait Lenient: Sized {
    /// "a list", "a text", …
    const WHAT: &'static str;

    fn scalar(_scalar: Scalar<'_>) -> Option<Self> {
        None
    }

    fn list<'de, A: SeqAccess<'de>>(mut access: A) -> Result<Option<Self>, A::Error> {
        while access.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn map<'de, A: MapAccess<'de>>(mut access: A) -> Result<Option<Self>, A::Error> {
        while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// A scalar after YAML has typed it.
#[derive(Clone, Copy)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Number(Option<u64>),
    Flag(bool),
}

impl Scalar<'_> {
    fn what(self) -> &'static str {
        match self {
            Scalar::Text(_) => "a text",
            Scalar::Number(_) => "a number",
            Scalar::Flag(_) => "true or false",
        }
    }
}

/// A text; what YAML takes for a number or a flag is none.
pub(crate) type Text = String;

impl Lenient for Text {
    const WHAT: &'static str = "a text";

    fn scalar(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Text(text) => Some(text.to_owned()),
            Scalar::Number(_) | Scalar::Flag(_) => None,
        }
    }
}

/// A whole number.
#[derive(Clone, Debug)]
pub(crate) struct Number(pub(crate) u64);

impl Lenient for Number {
    const WHAT: &'static str = "a number";

    fn scalar(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Number(Some(number)) => Some(Number(number)),
            Scalar::Number(None) | Scalar::Text(_) | Scalar::Flag(_) => None,
        }
    }
}

/// `true` or `false`.
#[derive(Clone, Debug)]
pub(crate) struct Flag(pub(crate) bool);

impl Lenient for Flag {
    const WHAT: &'static str = "true or false";

    fn scalar(scalar: Scalar<'_>) -> Option<Self> {
        match scalar {
            Scalar::Flag(flag) => Some(Flag(flag)),
            Scalar::Text(_) | Scalar::Number(_) => None,
        }
    }
}

impl<T: Lenient> Lenient for Vec<Given<T>> {
    const WHAT: &'static str = "a list";

    fn list<'de, A: SeqAccess<'de>>(mut access: A) -> Result<Option<Self>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = access.next_element()? {
            all.push(one);
        }
        Ok(Some(all))
    }
}

/// A map whose keys are names that the author chose.
#[derive(Clone, Debug)]
pub(crate) struct Entries<T>(pub(crate) Vec<(String, Span, Given<T>)>);

impl<T: Lenient> Lenient for Entries<T> {
    const WHAT: &'static str = "a map";

    fn map<'de, A: MapAccess<'de>>(mut access: A) -> Result<Option<Self>, A::Error> {
        let mut all = Vec::new();
        while let Some((key, value)) = access.next_entry::<Spanned<String>, Given<T>>()? {
            let span = span_of(&key);
            all.push((key.value, span, value));
        }
        Ok(Some(Entries(all)))
    }
}

/// A map from places in a document to texts.
#[derive(Clone, Debug)]
pub(crate) struct Places(pub(crate) Vec<(String, Span, List)>);

/// Texts, with where they stand.
pub(crate) type List = Given<Vec<Given<Text>>>;

impl Lenient for Places {
    const WHAT: &'static str = "a map";

    fn map<'de, A: MapAccess<'de>>(access: A) -> Result<Option<Self>, A::Error> {
        Ok(Entries::map(access)?.map(|Entries(all)| Places(all)))
    }
}

/// One text or several: which of the two is right depends on what it is for.
#[derive(Clone, Debug)]
pub(crate) enum Argument {
    One(String),
    Many(Vec<Given<Text>>),
}

impl Lenient for Argument {
    const WHAT: &'static str = "a text or a list";

    fn scalar(scalar: Scalar<'_>) -> Option<Self> {
        Text::scalar(scalar).map(Argument::One)
    }

    fn list<'de, A: SeqAccess<'de>>(access: A) -> Result<Option<Self>, A::Error> {
        Ok(Vec::list(access)?.map(Argument::Many))
    }
}

/// A key that the struct doesn't have.
#[derive(Clone, Debug)]
pub(crate) struct Unknown {
    pub(crate) key: String,
    pub(crate) span: Span,
}

/// A struct whose fields are all `Option<Given<…>>`, which keeps unknown keys instead of failing on them. A field's
/// documentation and what follows `=` go into the JSON Schema, so that no key is without.
macro_rules! lenient {
    ($(#[$doc:meta])* pub(crate) struct $name:ident {
        $($(#[doc = $about:literal])* $field:ident: $type:ty $(= $limit:expr)?,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub(crate) struct $name {
            $($(#[doc = $about])* pub(crate) $field: Option<Given<$type>>,)*
            pub(crate) unknown: Vec<Unknown>,
        }

        impl $name {
            pub(crate) const KEYS: &'static [&'static str] = &[$(stringify!($field),)*];
        }

        impl $crate::schema::Describe for $name {
            fn schema() -> serde_json::Value {
                $crate::schema::object(&[$($crate::schema::Field {
                    key: stringify!($field),
                    about: concat!($($about,)*),
                    schema: <$type as $crate::schema::Describe>::schema,
                    limit: [$($limit,)? $crate::schema::Limit::NONE][0],
                },)*])
            }
        }

        impl $crate::raw::given::Lenient for $name {
            const WHAT: &'static str = "a map";

            fn map<'de, A: serde::de::MapAccess<'de>>(mut access: A) -> Result<Option<Self>, A::Error> {
                let mut read = $name::default();
                while let Some(key) = access.next_key::<crate::source::Spanned<String>>()? {
                    match key.value.as_str() {
                        $(stringify!($field) => read.$field = Some(access.next_value()?),)*
                        _ => {
                            access.next_value::<serde::de::IgnoredAny>()?;
                            let span = crate::source::span_of(&key);
                            read.unknown.push(Unknown { key: key.value, span });
                        }
                    }
                }
                Ok(Some(read))
            }
        }
    };
}
pub(crate) use lenient;

impl<'de, T: Lenient> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Any<T>>::deserialize(deserializer)?;
        Ok(Given { span: span_of(&spanned), shape: spanned.value.0 })
    }
}

struct Any<T>(Shape<T>);

impl<'de, T: Lenient> Deserialize<'de> for Any<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyVisitor(PhantomData)).map(Any)
    }
}

struct AnyVisitor<T>(PhantomData<T>);

impl<T: Lenient> AnyVisitor<T> {
    fn scalar<E>(scalar: Scalar<'_>) -> Result<Shape<T>, E> {
        Ok(T::scalar(scalar).map_or(Shape::Other(scalar.what()), Shape::Is))
    }
}

impl<'de, T: Lenient> Visitor<'de> for AnyVisitor<T> {
    type Value = Shape<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E>(self, text: &str) -> Result<Shape<T>, E> {
        Self::scalar(Scalar::Text(text))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Shape<T>, E> {
        Self::scalar(Scalar::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Shape<T>, E> {
        Self::scalar(Scalar::Number(Some(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Shape<T>, E> {
        Self::scalar(Scalar::Number(u64::try_from(number).ok()))
    }

    fn visit_u128<E>(self, _number: u128) -> Result<Shape<T>, E> {
        Self::scalar(Scalar::Number(None))
    }

    fn visit_i128<E>(self, _number: i128) -> Result<Shape<T>, E> {
        Self::scalar(Scalar::Number(None))
    }

    fn visit_f64<E>(self, _number: f64) -> Result<Shape<T>, E> {
        Self::scalar(Scalar::Number(None))
    }

    fn visit_unit<E>(self) -> Result<Shape<T>, E> {
        Ok(Shape::Null)
    }

    fn visit_none<E>(self) -> Result<Shape<T>, E> {
        Ok(Shape::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Shape<T>, A::Error> {
        Ok(T::list(access)?.map_or(Shape::Other("a list"), Shape::Is))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Shape<T>, A::Error> {
        Ok(T::map(access)?.map_or(Shape::Other("a map"), Shape::Is))
    }
}
