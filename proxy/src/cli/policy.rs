//! `stubgate policy …`: one file a command.

mod check;
mod explain;
mod head;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check policy files: every error at once, with its place and what to write instead
    Check(check::Args),
    /// Explain the decision on one request: each phase, and each rule and why it does not fit
    Explain(explain::Args),
}

pub(super) fn main(command: &Command) -> ExitCode {
    match command {
        Command::Check(args) => check::main(args),
        Command::Explain(args) => explain::main(args),
    }
}
