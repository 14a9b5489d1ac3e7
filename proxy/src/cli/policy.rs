//! `stubgate policy …`: one file a command.

mod check;
mod diff;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check policy files: every error at once, with its place and what to write instead
    Check(check::Args),
    /// Compare two policies by meaning: what agents newly can do, and what they no longer can
    Diff(diff::Args),
}

pub(super) fn main(command: &Command) -> ExitCode {
    match command {
        Command::Check(args) => check::main(args),
        Command::Diff(args) => diff::main(args),
    }
}
