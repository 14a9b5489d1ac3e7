//! The dialogs that are known: data, with the versions of the client that they were seen in. Unknown keys are refused, and so is
//! an entry that could be pressed without every word of it being known.

use std::path::Path;

use serde::Deserialize;

use crate::yaml::{self, Wrong};

/// What is built in.
const BUILT_IN: &str = include_str!("../../../../dialogs.yaml");
/// Entries, options of one, and bytes of its words at most.
const MOST: usize = 64;
const OPTIONS: usize = 16;
const WORDS: usize = 4096;

/// The dialogs that are known.
#[derive(Clone, Debug, Default)]
pub struct Table(Vec<Entry>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    dialogs: Vec<Entry>,
}

/// One dialog, as a whole.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// What it is called in logs.
    pub(super) name: String,
    /// Which clients it was seen in.
    clients: Clients,
    /// What is drawn right above it.
    pub(super) begins: Begins,
    /// Every word above the options, separated by one blank. `{folder}` is the client's working folder on a row of its own,
    /// `{any}` up to 40 characters that differ from case to case.
    pub(super) text: String,
    /// Every option, in any order; none where there is nothing but Enter to press.
    #[serde(default)]
    pub(super) options: Vec<String>,
    /// Which of them.
    #[serde(default)]
    pub(super) choose: Option<String>,
    /// Every word below them, to the end of the screen.
    #[serde(default)]
    pub(super) below: String,
}

/// Where a dialog begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Begins {
    /// Below a rule over all columns.
    Rule,
    /// Below the welcome of a home that was never used.
    Welcome,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Clients {
    from: String,
    before: String,
}

/// A client's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32, u32, u32);

impl Version {
    /// Three numbers with dots, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('.').map(|part| {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| part.parse().ok()).flatten()
        });
        let version = Version(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(version)
    }
}

impl Table {
    /// The one of this build.
    pub fn built_in() -> Self {
        // Held by a test: it can be read. If it could not, no dialog would be known, which presses nothing.
        Self::parse(Path::new("dialogs.yaml"), BUILT_IN).unwrap_or_default()
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// It can't be read, or is wrong: with the place.
    pub fn read(path: &Path) -> Result<Self, Wrong> {
        Self::checked(path, yaml::read(path)?)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, Wrong> {
        Self::checked(path, yaml::parse(path, text)?)
    }

    fn checked(path: &Path, file: File) -> Result<Self, Wrong> {
        let wrong = |why: String| Wrong::Text { path: path.into(), why };
        if file.dialogs.len() > MOST {
            return Err(wrong(format!("{} dialogs; {MOST} at most", file.dialogs.len())));
        }
        for (at, entry) in file.dialogs.iter().enumerate() {
            if file.dialogs.iter().take(at).any(|other| other.name == entry.name) {
                return Err(wrong(format!("{:?} is there twice", entry.name)));
            }
            entry.check().map_err(|why| wrong(format!("{:?}: {why}", entry.name)))?;
        }
        Ok(Table(file.dialogs))
    }

    /// Those of this client.
    pub(super) fn for_client(&self, version: Version) -> impl Iterator<Item = &Entry> {
        self.0.iter().filter(move |entry| entry.is_of(version))
    }
}

impl Entry {
    fn is_of(&self, version: Version) -> bool {
        let bounds = (Version::parse(&self.clients.from), Version::parse(&self.clients.before));
        matches!(bounds, (Some(from), Some(before)) if from <= version && version < before)
    }

    fn check(&self) -> Result<(), &'static str> {
        let bounds = (Version::parse(&self.clients.from), Version::parse(&self.clients.before));
        let (Some(from), Some(before)) = bounds else { return Err("clients are three numbers with dots: 2.1.329") };
        let is_chosen = |option: &String| self.choose.as_ref() == Some(option);
        let is_twice = |(at, option): (usize, &String)| self.options.iter().take(at).any(|other| other == option);
        // `{any}` alone would be any dialog at all.
        let fixed = self.text.replace("{any}", "").replace("{folder}", "");
        if from >= before {
            Err("clients: `from` is not before `before`")
        } else if self.name.is_empty() {
            Err("no name")
        } else if fixed.split_whitespace().count() < 4 {
            Err("text: too few words to know it by")
        } else if self.text.len() + self.below.len() > WORDS {
            Err("text: too long")
        } else if self.options.len() == 1 || self.options.len() > OPTIONS {
            Err("options: none, or 2 to 16")
        } else if self.options.iter().any(|option| option.trim() != option || option.is_empty()) {
            Err("options: an empty one, or one with blanks around it")
        } else if self.options.iter().enumerate().any(is_twice) {
            Err("options: one is there twice")
        } else if self.options.is_empty() && (self.choose.is_some() || !self.below.is_empty()) {
            Err("choose, below: there are no options")
        } else if !self.options.is_empty() && !self.options.iter().any(is_chosen) {
            Err("choose: none of the options")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_table_can_be_read() {
        let table = Table::parse(Path::new("dialogs.yaml"), BUILT_IN).expect("it is right");
        assert_eq!(table.0.len(), 7);
        assert_eq!(Table::built_in().0.len(), 7);
    }

    #[test]
    fn an_entry_that_is_not_whole_is_refused() {
        let right = "name: a\nclients: { from: 2.1.0, before: 2.2.0 }\nbegins: rule\ntext: one two three four\n\
                     options: [x, y]\nchoose: x\nbelow: z";
        let read = |entry: &str| {
            let indented = entry.replace('\n', "\n    ");
            Table::parse(Path::new("t"), &format!("dialogs:\n  - {indented}\n")).map(|table| table.0.len())
        };
        assert_eq!(read(right).expect("right"), 1);
        for (from, to) in [
            ("2.1.0", "2.1"),
            ("2.1.0", "2.2.0"),
            ("2.1.0", "2.1.0-beta"),
            ("one two three four", "'{any} {folder} one two three'"),
            ("[x, y]", "[x]"),
            ("[x, y]", "[x, x]"),
            ("[x, y]", "[x, '']"),
            ("[x, y]", "[]"),
            ("choose: x", "choose: z"),
            ("choose: x", ""),
            ("begins: rule", "begins: anywhere"),
            ("below: z", "bellow: z"),
            ("name: a", "name: ''"),
        ] {
            assert!(read(&right.replacen(from, to, 1)).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn versions_are_three_numbers() {
        assert_eq!(Version::parse("2.1.329"), Some(Version(2, 1, 329)));
        assert!(Version::parse("2.1.154") < Version::parse("2.1.1000"));
        for text in ["", "2.1", "2.1.3.4", "2.1.x", "2.1.-3", "+2.1.3", "2..3", "99999999999.1.1"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
