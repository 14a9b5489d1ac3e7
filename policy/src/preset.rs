//! Presets: reviewed rule files that a policy includes by name and version.
//!
//! Their texts are part of the program, so that no path or address can stand in for one. A released version never
//! changes: who includes `github-read@1` and updates stubgate has the rules that were reviewed, and a better set has a
//! new number. What a preset leaves to its user is typed (see [`Kind`]); a value is read as what it claims to be before
//! it is put in its place, so it can't say more there than one host or one segment of a path.

mod fill;
mod texts;
mod value;

use std::fmt;
use std::sync::LazyLock;

pub use value::Kind;

pub(crate) use fill::{Argument, Arguments, Placeholder, fill};
pub(crate) use value::{ValueError, check};

use crate::raw;

/// A reviewed set of rules with gaps for what differs from place to place.
#[derive(Debug)]
pub struct Preset {
    pub(crate) name: String,
    pub(crate) version: u64,
    pub(crate) about: String,
    pub(crate) credentials: Vec<Need>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) rules: Vec<raw::Given<raw::Rule>>,
    pub(crate) text: &'static str,
}

/// A credential that a preset's rules grant; the include says which of its policy that is.
#[derive(Debug)]
pub struct Need {
    /// What the preset calls it.
    pub name: String,
    /// What it is for, in plain words.
    pub about: String,
    /// Whether the include may leave it out; the rules then grant none.
    pub optional: bool,
}

/// What the include says under `with`.
#[derive(Debug)]
pub struct Parameter {
    /// Its key.
    pub name: String,
    /// What its value is read as.
    pub kind: Kind,
    /// What it is for, in plain words.
    pub about: String,
}

impl Preset {
    /// The name, without the version.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, from 1.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What it lets an agent do, in plain words.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// The credentials that it grants.
    pub fn credentials(&self) -> &[Need] {
        &self.credentials
    }

    /// What must stand under `with`.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The whole file, as it was reviewed.
    pub fn text(&self) -> &'static str {
        self.text
    }
}

/// `github-read@1`
impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// Every released preset, by name and version.
pub fn released() -> &'static [Preset] {
    static READ: LazyLock<Vec<Preset>> = LazyLock::new(|| {
        // One that could not be read would be unknown to every include: refused. A test sees to it that there is none.
        texts::TEXTS.iter().filter_map(|(_, text)| crate::compile::read_preset(text).ok()).collect()
    });
    &READ
}

/// The preset that an include names: `github-read@1`.
pub fn find(name: &str) -> Option<&'static Preset> {
    let (name, version) = name.split_once('@')?;
    released().iter().find(|preset| preset.name == name && preset.version.to_string() == version)
}

#[cfg(test)]
mod tests {
    use super::{released, texts};
    use crate::source::SourceFile;

    #[test]
    fn every_text_is_read_and_stands_in_the_file_of_its_name() {
        for (file, text) in texts::TEXTS {
            let preset = crate::compile::read_preset(text).unwrap_or_else(|found| {
                let source = SourceFile { name: (*file).to_owned(), text: (*text).to_owned() };
                panic!("{}", crate::render(&found, &[source], false))
            });
            assert_eq!(*file, format!("{preset}.yaml"));
            assert!(preset.about().len() > 80, "{preset} does not say what it lets an agent do");
        }
        assert_eq!(released().len(), texts::TEXTS.len());
        assert!(texts::TEXTS.is_sorted_by_key(|(file, _)| *file));
    }
}
