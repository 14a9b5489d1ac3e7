//! What each code means, for the page of all codes, for SARIF, and for whoever asks.
//!
//! Every code of [`codes`] has an entry here, and every example is compiled by a test and gives its code.

mod format;
mod lints;
mod policy;
mod presets;
mod tested;

use std::fmt::Write as _;

use super::codes;

/// A code, explained.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// The code.
    pub code: &'static str,
    /// Why it is an error, or worth a look.
    pub why: &'static str,
    /// A part of a policy file that gives it; empty where none can be shown. See [`whole`].
    pub example: &'static str,
    /// What to write instead.
    pub instead: &'static str,
}

/// Every code of this crate, in order.
pub static ALL: std::sync::LazyLock<Vec<Explained>> =
    std::sync::LazyLock::new(|| [format::ALL, policy::ALL, presets::ALL, lints::ALL, tested::ALL].concat());

/// Where a code stands in [`ALL`].
pub fn position(code: &str) -> Option<usize> {
    ALL.iter().position(|explained| explained.code == code)
}

impl Explained {
    /// What the code stands for, in a few words.
    pub fn title(&self) -> &'static str {
        codes::ALL.iter().find(|(code, _)| *code == self.code).map_or("", |(_, title)| title)
    }

    /// Whether a policy with it can be used all the same.
    pub fn is_warning(&self) -> bool {
        matches!(self.code, codes::WIDE_SOURCE | codes::GRANTS_NOTHING)
            || (codes::COVERED..=codes::POD_ON_HOST).contains(&self.code)
    }

    /// Why, and what instead, as plain text.
    pub fn text(&self) -> String {
        format!("{} Instead: {}", self.why, self.instead)
    }

    /// The same with the example, as Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!("{}\n", self.why);
        if !self.example.is_empty() {
            let _ = write!(out, "\n```yaml\n{}\n```\n", shown(self.example));
        }
        let _ = writeln!(out, "\nInstead: {}", self.instead);
        out
    }
}

/// The page of all codes.
pub fn page() -> String {
    let mut out = format!(
        "# Codes of `stubgate policy check`\n\n\
        Made from the list of codes in the program; a test keeps it so. A code keeps its meaning for good.\n\
        Errors stop a policy from being used. Warnings don't; `--deny-warnings` makes them errors, and `--allow CODE` leaves\n\
        one out that is meant so. What is not shown in an example is as here:\n\n```yaml\n{PREAMBLE}```\n"
    );
    for explained in ALL.iter() {
        let kind = if explained.is_warning() { "warning" } else { "error" };
        let _ =
            write!(out, "\n## {}: {}\n\n*{kind}* \u{b7} {}", explained.code, explained.title(), explained.markdown());
    }
    out
}

/// An example of a hidden character must not hide in what shows it.
fn shown(example: &str) -> String {
    let shown = |char: char| match char {
        char if char != '\n' && char != '\t' && crate::source::is_hidden(char) => {
            format!("<U+{:04X}>", u32::from(char))
        }
        char => char.to_string(),
    };
    example.trim_end().chars().map(shown).collect()
}

/// A whole file from an example: what it leaves out is filled in. A text with `version` is whole already.
pub fn whole(example: &str) -> String {
    let has = |key: &str| example.lines().any(|line| line.starts_with(key));
    if has("version") || example.is_empty() {
        return example.to_owned();
    }
    let mut out = String::new();
    let mut wanted = true;
    for line in PREAMBLE.lines() {
        if line.starts_with(|first: char| first.is_ascii_alphabetic()) {
            wanted = !line.split_once(':').is_some_and(|(key, _)| has(&format!("{key}:")));
        }
        if wanted {
            out.push_str(line);
            out.push('\n');
        }
    }
    out + example
}

const PREAMBLE: &str = "version: 1
agents:
  devbot: { sources: [10.42.0.11/32] }
credentials:
  forge:
    stub: stub-forge-1
    slots: [bearer]
    hosts: [api.forge.example]
    source: { env: FORGE_TOKEN }
rules:
  - { name: forge, agents: [devbot], hosts: [api.forge.example], methods: [GET], credentials: [forge] }
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceFile;

    #[test]
    fn every_code_is_explained_in_order() {
        let explained: Vec<&str> = ALL.iter().map(|explained| explained.code).collect();
        let codes: Vec<&str> = codes::ALL.iter().map(|(code, _)| *code).collect();
        assert_eq!(explained, codes);
        for explained in ALL.iter() {
            for text in [explained.why, explained.instead] {
                assert!(text.ends_with('.') && text.starts_with(|c: char| !c.is_lowercase()), "{}", explained.code);
            }
        }
    }

    #[test]
    fn every_example_gives_its_code_and_severity() {
        let without = [codes::TOO_LARGE, codes::EMPTY_FILE, codes::TOO_DEEP, codes::NO_FILES, codes::TOO_MANY];
        // Those of the pods of a cluster are found beside them.
        let beside = [codes::NO_SUCH_POD, codes::POD_OF_TWO, codes::POD_ON_HOST];
        for explained in ALL.iter() {
            if explained.example.is_empty() {
                // The codes of policy tests are not those of a policy.
                let other = explained.code == codes::NOT_READ
                    || explained.code.starts_with("SG03")
                    || beside.contains(&explained.code);
                assert!(without.contains(&explained.code) || other, "{}", explained.code);
                continue;
            }
            let files = [SourceFile { name: "p.yaml".into(), text: whole(explained.example) }];
            let found = match crate::compile(&files) {
                Ok(compiled) => compiled.warnings,
                Err(found) => found,
            };
            let drawn = crate::render(&found, &files, false);
            let own = found.iter().find(|one| one.code == explained.code);
            assert!(own.is_some(), "{}: {drawn}\n{}", explained.code, files[0].text);
            assert!(own.is_none_or(|one| one.is_error() != explained.is_warning()), "{drawn}");
            let others = found.iter().filter(|one| one.is_error() && one.code != explained.code).count();
            assert_eq!(others, 0, "{}: {drawn}", explained.code);
        }
    }

    #[test]
    fn the_preamble_has_nothing_to_say_about() {
        let found = crate::compile(&[SourceFile { name: "p.yaml".into(), text: PREAMBLE.into() }]).unwrap();
        assert_eq!(found.warnings, []);
    }
}
