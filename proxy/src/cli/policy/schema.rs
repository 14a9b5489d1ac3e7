//! `stubgate policy schema`.

use std::process::ExitCode;

use clap::ValueEnum;
use stubgate_policy::schema;

use crate::cli::say::say;
use crate::config;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Which files
    #[arg(default_value = "policy")]
    of: Of,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    /// Policy files
    Policy,
    /// Files of policy tests
    Tests,
    /// stubgate.yaml
    Config,
}

pub(super) fn main(args: &Args) -> ExitCode {
    let schema = match args.of {
        Of::Policy => schema::policy(),
        Of::Tests => schema::tests(),
        Of::Config => config::schema(),
    };
    say(format_args!("{schema:#}"));
    ExitCode::SUCCESS
}
