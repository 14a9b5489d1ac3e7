//! `stubgate policy …`: one file a command.

mod check;
mod import;
mod suggest;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check policy files: every error at once, with its place and what to write instead
    Check(check::Args),
    /// Translate another proxy's configuration, and say what could not be
    #[command(subcommand)]
    Import(import::From),
    /// Suggest the narrowest rules for what was denied, from audit records, as YAML to review
    Suggest(suggest::Args),
}

pub(super) fn main(command: &Command) -> ExitCode {
    match command {
        Command::Check(args) => check::main(args),
        Command::Import(from) => import::main(from),
        Command::Suggest(args) => suggest::main(args),
    }
}
