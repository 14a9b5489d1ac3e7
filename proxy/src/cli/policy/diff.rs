//! `stubgate policy diff`: two policies compared by meaning.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;
use stubgate_policy::diff::{Change, Diff, Direction};
use stubgate_policy::{Policy, compile};

use crate::cli::check::report;
use crate::cli::say::{put, say};
use crate::cli::{UNUSABLE, WRONG, fail};
use crate::config::policy_files;

/// Exit status where the new policy allows something that the old one did not.
const WIDENS: u8 = 3;

/// Exits with 0 if the new policy allows the same or less, 3 if anything widens, 1 if a policy is wrong, and 2 if one
/// can't be read.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The policy as it was: a file, or a folder of which every *.yaml is read
    #[arg(value_name = "OLD", required_unless_present = "olds")]
    old: Option<PathBuf>,
    /// The policy as it will be
    #[arg(value_name = "NEW", required_unless_present = "news")]
    new: Option<PathBuf>,
    /// One more file or folder of the old policy
    #[arg(long = "old", value_name = "PATH")]
    olds: Vec<PathBuf>,
    /// One more file or folder of the new policy
    #[arg(long = "new", value_name = "PATH")]
    news: Vec<PathBuf>,
    /// How to write what differs; markdown is for the comment on a change
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Human,
    Json,
    Markdown,
}

/// What `--format json` writes.
#[derive(Serialize)]
struct Report<'a> {
    widens: usize,
    narrows: usize,
    notes: usize,
    changes: &'a [Change],
}

pub(super) fn main(args: &Args) -> ExitCode {
    let side =
        |first: &Option<PathBuf>, more: &[PathBuf]| -> Vec<PathBuf> { first.iter().chain(more).cloned().collect() };
    let (old, new) = match (read(&side(&args.old, &args.olds)), read(&side(&args.new, &args.news))) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(UNUSABLE), _) | (_, Err(UNUSABLE)) => return ExitCode::from(UNUSABLE),
        _ => return ExitCode::from(WRONG),
    };
    let diff = Diff::between(&old, &new);
    match args.format {
        Format::Human => {
            let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
            put(format_args!("{}", diff.human(colour)));
        }
        Format::Markdown => put(format_args!("{}", diff.markdown())),
        Format::Json => {
            let report = Report {
                widens: diff.count(Direction::Widens),
                narrows: diff.count(Direction::Narrows),
                notes: diff.count(Direction::Note),
                changes: diff.changes(),
            };
            match serde_json::to_string_pretty(&report) {
                Ok(text) => say(text),
                Err(error) => return fail(UNUSABLE, error),
            }
        }
    }
    if diff.widens() { ExitCode::from(WIDENS) } else { ExitCode::SUCCESS }
}

/// A policy, or the exit status after what is wrong with it was shown.
fn read(paths: &[PathBuf]) -> Result<Policy, u8> {
    let files = policy_files(paths).map_err(|error| {
        let _ = fail(UNUSABLE, error);
        UNUSABLE
    })?;
    match compile(&files) {
        Ok(compiled) => Ok(compiled.policy),
        Err(diagnostics) => {
            report(&diagnostics, &files);
            Err(WRONG)
        }
    }
}
