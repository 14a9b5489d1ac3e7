//! Values as they were written, whatever shape they have.

use std::ops::Range;

use crate::source::tree::{self, Node};

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

impl<T: Lenient> From<Node> for Given<T> {
    fn from(node: Node) -> Self {
        let shape = match node.shape {
            tree::Shape::Null => Shape::Null,
            written => {
                let what = written.what();
                T::take(written).map_or(Shape::Other(what), Shape::Is)
            }
        };
        Given { span: node.span, shape }
    }
}

/// A type that is taken from whatever stands there.
pub(crate) trait Lenient: Sized {
    /// `None` where another shape was expected.
    fn take(written: tree::Shape) -> Option<Self>;
}

/// A text; what YAML takes for a number or a flag is none.
pub(crate) type Text = String;

impl Lenient for Text {
    fn take(written: tree::Shape) -> Option<Self> {
        match written {
            tree::Shape::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A whole number.
#[derive(Clone, Debug)]
pub(crate) struct Number(pub(crate) u64);

impl Lenient for Number {
    fn take(written: tree::Shape) -> Option<Self> {
        match written {
            tree::Shape::Number { whole, .. } => whole.map(Number),
            _ => None,
        }
    }
}

/// `true` or `false`.
#[derive(Clone, Debug)]
pub(crate) struct Flag(pub(crate) bool);

impl Lenient for Flag {
    fn take(written: tree::Shape) -> Option<Self> {
        match written {
            tree::Shape::Flag(flag) => Some(Flag(flag)),
            _ => None,
        }
    }
}

impl<T: Lenient> Lenient for Vec<Given<T>> {
    fn take(written: tree::Shape) -> Option<Self> {
        match written {
            tree::Shape::List(nodes) => Some(nodes.into_iter().map(Given::from).collect()),
            _ => None,
        }
    }
}

/// A map whose keys are names that the author chose.
#[derive(Clone, Debug)]
pub(crate) struct Entries<T>(pub(crate) Vec<(String, Span, Given<T>)>);

impl<T: Lenient> Lenient for Entries<T> {
    fn take(written: tree::Shape) -> Option<Self> {
        let tree::Shape::Map(entries) = written else {
            return None;
        };
        Some(Entries(entries.into_iter().map(|entry| (entry.key, entry.span, entry.value.into())).collect()))
    }
}

/// A map from places in a document to texts.
#[derive(Clone, Debug)]
pub(crate) struct Places(pub(crate) Vec<(String, Span, List)>);

/// Texts, with where they stand.
pub(crate) type List = Given<Vec<Given<Text>>>;

impl Lenient for Places {
    fn take(written: tree::Shape) -> Option<Self> {
        Entries::take(written).map(|Entries(all)| Places(all))
    }
}

/// One text or several: which of the two is right depends on what it is for.
#[derive(Clone, Debug)]
pub(crate) enum Argument {
    One(String),
    Many(Vec<Given<Text>>),
}

impl Lenient for Argument {
    fn take(written: tree::Shape) -> Option<Self> {
        match written {
            tree::Shape::Text(text) => Some(Argument::One(text)),
            other => Vec::take(other).map(Argument::Many),
        }
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
            fn take(written: $crate::source::tree::Shape) -> Option<Self> {
                let $crate::source::tree::Shape::Map(entries) = written else {
                    return None;
                };
                let mut read = Self::default();
                for $crate::source::tree::Entry { key, span, value } in entries {
                    match key.as_str() {
                        $(stringify!($field) => read.$field = Some(value.into()),)*
                        _ => read.unknown.push(Unknown { key, span }),
                    }
                }
                Some(read)
            }
        }
    };
}
pub(crate) use lenient;
