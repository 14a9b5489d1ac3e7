//! `stubgate policy check`.

use std::path::PathBuf;
use std::process::ExitCode;

use stubgate_policy::compile;

use crate::cli::check::report;
use crate::cli::say::say;
use crate::cli::{UNUSABLE, WRONG, fail};
use crate::config::policy_files;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Files, or folders of which every *.yaml is read; checked together, as one policy
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

pub(super) fn main(args: &Args) -> ExitCode {
    let files = match policy_files(&args.paths) {
        Ok(files) => files,
        Err(error) => return fail(UNUSABLE, error),
    };
    match compile(&files) {
        Ok(compiled) => {
            report(&compiled.warnings, &files);
            let policy = compiled.policy;
            say(format_args!(
                "policy is good: {} agents, {} credentials, {} rules in {} files",
                policy.agents().len(),
                policy.credentials().len(),
                policy.rules().len(),
                files.len()
            ));
            ExitCode::SUCCESS
        }
        Err(diagnostics) => {
            report(&diagnostics, &files);
            ExitCode::from(WRONG)
        }
    }
}
