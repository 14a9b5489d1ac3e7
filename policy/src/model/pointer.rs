//! Places in a JSON document: JSON pointers (RFC 6901) in which `*` is any one step and `**` any number of them.
//!
//! Keys compare without case: what is refused under one spelling must not pass under another that the origin takes for
//! the same. A pointer is followed step by step beside a document, in a set of positions that fits one word.

use std::fmt;

use super::body::folded;

/// A place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pointer {
    steps: Box<[Step]>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    /// A key, or an index in digits; as written, and folded.
    Key(Box<str>, Box<str>),
    One,
    Any,
}

/// Where in a pointer a document stands: one bit for each number of steps that may be behind it.
pub(crate) type Positions = u64;

/// Why a text is no pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PointerError {
    NotAbsolute,
    EmptyStep,
    Escape,
    Star,
    Ending,
    Long,
}

impl PointerError {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            PointerError::NotAbsolute => "it does not begin with `/`",
            PointerError::EmptyStep => "it has an empty step",
            PointerError::Escape => "`~` is followed by something else than 0 or 1",
            PointerError::Star => "`*` stands beside other characters, or `**` beside `**`",
            PointerError::Ending => "it ends with `**`",
            PointerError::Long => "it has more than 32 steps",
        }
    }
}

impl Pointer {
    pub(crate) fn parse(text: &str) -> Result<Pointer, PointerError> {
        let rest = text.strip_prefix('/').ok_or(PointerError::NotAbsolute)?;
        let mut steps = Vec::new();
        for step in rest.split('/') {
            let step = match step {
                "" => return Err(PointerError::EmptyStep),
                "*" => Step::One,
                "**" if steps.last() == Some(&Step::Any) => return Err(PointerError::Star),
                "**" => Step::Any,
                step if step.contains('*') => return Err(PointerError::Star),
                step => {
                    let key = unescaped(step)?;
                    let folded = folded(&key);
                    Step::Key(key.into(), folded.into())
                }
            };
            steps.push(step);
        }
        if steps.last() == Some(&Step::Any) {
            return Err(PointerError::Ending);
        }
        if steps.len() > MOST_STEPS {
            return Err(PointerError::Long);
        }
        Ok(Pointer { steps: steps.into() })
    }

    /// Whether the first step is this key, which is folded already; a star is none.
    pub(crate) fn begins_with(&self, key: &str) -> bool {
        matches!(self.steps.first(), Some(Step::Key(_, own)) if **own == *key)
    }

    /// Before the first step.
    pub(crate) fn start(&self) -> Positions {
        self.beyond_any(1)
    }

    /// After one step more, by a key or index that is folded already.
    pub(crate) fn step(&self, from: Positions, key: &str) -> Positions {
        let mut to = 0;
        for (at, step) in self.steps.iter().enumerate() {
            if from & (1 << at) == 0 {
                continue;
            }
            match step {
                Step::Key(_, own) if **own == *key => to |= 1 << (at + 1),
                Step::Key(..) => {}
                Step::One => to |= 1 << (at + 1),
                Step::Any => to |= 1 << at,
            }
        }
        self.beyond_any(to)
    }

    /// Whether a document stands at the place.
    pub(crate) fn is_there(&self, at: Positions) -> bool {
        at & (1 << self.steps.len()) != 0
    }

    /// `**` may also be no step at all.
    fn beyond_any(&self, mut at: Positions) -> Positions {
        for (before, step) in self.steps.iter().enumerate() {
            if *step == Step::Any && at & (1 << before) != 0 {
                at |= 1 << (before + 1);
            }
        }
        at
    }
}

fn unescaped(step: &str) -> Result<String, PointerError> {
    let mut key = String::with_capacity(step.len());
    let mut chars = step.chars();
    while let Some(char) = chars.next() {
        match (char, char == '~') {
            (_, false) => key.push(char),
            (_, true) => match chars.next() {
                Some('0') => key.push('~'),
                Some('1') => key.push('/'),
                _ => return Err(PointerError::Escape),
            },
        }
    }
    Ok(key)
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| match step {
            Step::Key(key, _) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1")),
            Step::One => f.write_str("/*"),
            Step::Any => f.write_str("/**"),
        })
    }
}

/// So that positions fit a word.
const MOST_STEPS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pointer: &str, path: &[&str]) -> bool {
        let pointer = Pointer::parse(pointer).unwrap();
        let end = path.iter().fold(pointer.start(), |at, key| pointer.step(at, &folded(key)));
        pointer.is_there(end)
    }

    #[test]
    fn a_pointer_finds_its_places_and_no_others() {
        for (pointer, path, found) in [
            ("/a", &["a"][..], true),
            ("/a", &["A"], true),
            ("/a", &["a", "b"], false),
            ("/a", &[], false),
            ("/mask", &["ma\u{17f}\u{212a}"], true),
            ("/a/*/b", &["a", "0", "b"], true),
            ("/a/*/b", &["a", "b"], false),
            ("/**/b", &["b"], true),
            ("/**/b", &["x", "y", "b"], true),
            ("/**/b", &["b", "x"], false),
            ("/a/**/b/*", &["a", "b", "b", "x"], true),
            ("/a/**/b/*", &["a", "b"], false),
            ("/~01/x~1y", &["~1", "x/y"], true),
            ("/*", &["x"], true),
        ] {
            assert_eq!(finds(pointer, path), found, "{pointer} {path:?}");
        }
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        for (text, error) in [
            ("", PointerError::NotAbsolute),
            ("a", PointerError::NotAbsolute),
            ("/", PointerError::EmptyStep),
            ("/a//b", PointerError::EmptyStep),
            ("/a~", PointerError::Escape),
            ("/a~2", PointerError::Escape),
            ("/a*", PointerError::Star),
            ("/***", PointerError::Star),
            ("/**/**/a", PointerError::Star),
            ("/a/**", PointerError::Ending),
        ] {
            assert_eq!(Pointer::parse(text), Err(error), "{text}");
        }
        assert_eq!(Pointer::parse(&"/a".repeat(33)), Err(PointerError::Long));
        let longest = "/a".repeat(32);
        assert_eq!(Pointer::parse(&longest).unwrap().to_string(), longest);
    }
}
