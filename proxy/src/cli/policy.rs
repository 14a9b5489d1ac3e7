//! `stubgate policy …`: one file a command.

mod check;
mod cluster;
mod diff;
mod explain;
mod head;
mod import;
mod preset;
mod schema;
mod suggest;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check policy files: every error at once, with its place and what to write instead
    Check(check::Args),
    /// Run the tests of a policy, and name the rules that none of them reaches
    Test(test::Args),
    /// Explain the decision on one request: each phase, and each rule and why it does not fit
    Explain(explain::Args),
    /// Compare two policies by meaning: what agents newly can do, and what they no longer can
    Diff(diff::Args),
    /// Translate another proxy's configuration, and say what could not be
    #[command(subcommand)]
    Import(import::From),
    /// Suggest the narrowest rules for what was denied, from audit records, as YAML to review
    Suggest(suggest::Args),
    /// Look at the rule files that a policy can include, and find the hosts for the one of packages
    #[command(subcommand)]
    Preset(preset::Command),
    /// Print the JSON Schema of a file format, for editors
    Schema(schema::Args),
}

pub(super) fn main(command: &Command) -> ExitCode {
    match command {
        Command::Check(args) => check::main(args),
        Command::Test(args) => test::main(args),
        Command::Explain(args) => explain::main(args),
        Command::Diff(args) => diff::main(args),
        Command::Import(from) => import::main(from),
        Command::Suggest(args) => suggest::main(args),
        Command::Preset(command) => preset::main(command),
        Command::Schema(args) => schema::main(args),
    }
}
