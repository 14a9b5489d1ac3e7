//! `stubgate policy preset`: what can be included, in full, and the hosts of this machine's package registries.

mod detect;

use std::process::ExitCode;

use clap::Subcommand;
use stubgate_policy::preset::{self, Preset};

use crate::cli::say::{put, say};
use crate::cli::{UNUSABLE, WRONG, fail};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List the presets, each with what it lets an agent do
    List,
    /// Show one: what it lets an agent do, what it must be given, its rules
    Show {
        /// The preset: github-read@1; without a version, its newest
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Show the preset for package registries, or the include block for this machine's
    Packages {
        /// Read the hosts from the configuration of npm, pip, cargo and apt at hand
        #[arg(long)]
        detect: bool,
    },
}

pub(super) fn main(command: &Command) -> ExitCode {
    match command {
        Command::List => list(),
        Command::Show { name } => show(name),
        Command::Packages { detect: false } => show("packages"),
        Command::Packages { detect: true } => found(),
    }
}

fn list() -> ExitCode {
    for preset in preset::released() {
        let first = preset.about().split_inclusive(['.', ':']).next().unwrap_or_default();
        say(format_args!("{preset}"));
        say(wrapped(first.trim_end_matches([':', '.']), "    "));
    }
    ExitCode::SUCCESS
}

fn show(name: &str) -> ExitCode {
    let newest = || preset::released().iter().filter(|preset| preset.name() == name).max_by_key(|one| one.version());
    let Some(preset) = preset::find(name).or_else(newest) else {
        let known = preset::released().iter().flat_map(|preset| [preset.to_string(), preset.name().to_owned()]);
        let known: Vec<String> = known.collect();
        let meant = stubgate_policy::diagnostic::nearest(name, known.iter().map(String::as_str));
        let hint = meant
            .map_or("`stubgate policy preset list` lists them".to_owned(), |meant| format!("did you mean `{meant}`?"));
        return fail(UNUSABLE, format_args!("there is no preset `{name}`: {hint}"));
    };
    say(format_args!("{preset}\n"));
    say(wrapped(preset.about(), ""));
    say(format_args!("\n{}", example(preset)));
    let rules = preset.text().find("\nrules:").and_then(|at| preset.text().get(at + 1..)).unwrap_or_default();
    put(format_args!("{rules}"));
    ExitCode::SUCCESS
}

/// How it is included, with what each value is for.
fn example(preset: &Preset) -> String {
    let mut out = format!("include:\n  - preset: {preset}\n    agents: […]\n");
    if !preset.credentials().is_empty() {
        out.push_str("    credentials:\n");
    }
    for need in preset.credentials() {
        let optional = if need.optional { "optional: " } else { "" };
        out.push_str(&format!("{}\n", wrapped(&format!("{optional}{}", need.about), "      # ")));
        out.push_str(&format!("      {}: …\n", need.name));
    }
    if !preset.parameters().is_empty() {
        out.push_str("    with:\n");
    }
    for parameter in preset.parameters() {
        out.push_str(&format!("{}\n", wrapped(&parameter.about, "      # ")));
        out.push_str(&format!("      {}: {}\n", parameter.name, parameter.kind.example()));
    }
    out
}

fn found() -> ExitCode {
    let found = match detect::Machine::this() {
        Ok(machine) => detect::detect(&machine),
        Err(error) => return fail(UNUSABLE, format_args!("the current folder can't be read: {error}")),
    };
    match found.include() {
        Some(block) => {
            put(format_args!("{block}"));
            ExitCode::SUCCESS
        }
        None => fail(WRONG, "neither npm, pip, cargo nor apt is configured for a registry or mirror here"),
    }
}

/// Lines of at most 100 characters.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        let fresh = line.len() == indent.len();
        if !fresh && line.chars().count() + 1 + word.chars().count() > 100 {
            lines.push(format!("{indent}{word}"));
            continue;
        }
        if !fresh {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_none_is_too_long() {
        let text = "word ".repeat(50);
        let out = wrapped(&text, "  # ");
        assert!(out.lines().all(|line| line.len() <= 100 && line.starts_with("  # word")), "{out}");
        assert_eq!(out.split_whitespace().filter(|word| *word == "word").count(), 50);
    }

    #[test]
    fn every_preset_shows_what_it_must_be_given() {
        for preset in preset::released() {
            let shown = example(preset);
            for name in preset.credentials().iter().map(|need| &need.name) {
                assert!(shown.contains(&format!("\n      {name}: ")), "{shown}");
            }
            for name in preset.parameters().iter().map(|parameter| &parameter.name) {
                assert!(shown.contains(&format!("\n      {name}: ")), "{shown}");
            }
        }
    }
}
