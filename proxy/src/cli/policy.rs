//! `stubgate policy …`: one file a command.

mod check;
mod preset;
mod schema;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check policy files: every error at once, with its place and what to write instead
    Check(check::Args),
    /// Look at the rule files that a policy can include, and find the hosts for the one of packages
    #[command(subcommand)]
    Preset(preset::Command),
    /// Print the JSON Schema of a file format, for editors
    Schema(schema::Args),
}

pub(super) fn main(command: &Command) -> ExitCode {
    match command {
        Command::Check(args) => check::main(args),
        Command::Preset(command) => preset::main(command),
        Command::Schema(args) => schema::main(args),
    }
}
