//! `stubgate audit …`: one file a command.

mod entry;
mod files;
mod join;
mod query;

use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Audit {
    /// Say who did what when, with which value of which credential
    #[command(after_help = query::NOTES)]
    Query(Box<query::Args>),
}

pub(super) fn main(command: &Audit) -> ExitCode {
    match command {
        Audit::Query(args) => query::main(args),
    }
}
