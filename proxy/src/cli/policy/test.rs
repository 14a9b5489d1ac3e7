//! `stubgate policy test`.

use std::path::PathBuf;
use std::process::ExitCode;

use stubgate_policy::{cases, compile};

use super::explain::color;
use super::head::Explainer;
use crate::cli::check::report;
use crate::cli::say::{put, say};
use crate::cli::{UNUSABLE, WRONG, fail};
use crate::config::policy_files;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Policy files or folders; of a folder, tests/*.yaml are the tests
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// A file or folder of tests, instead of those beside the policy; may be given more than once
    #[arg(long, value_name = "PATH")]
    tests: Vec<PathBuf>,
    /// How to write the results
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// Fail if fewer rules are reached and credentials swapped, of all, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100))]
    min_coverage: Option<u8>,
    /// Tell failures and sums only
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Human,
    Junit,
    Json,
}

pub(super) fn main(args: &Args) -> ExitCode {
    let beside: Vec<PathBuf> = args.paths.iter().map(|path| path.join("tests")).filter(|path| path.is_dir()).collect();
    let tests = if args.tests.is_empty() { &beside } else { &args.tests };
    let (files, tests) = match policy_files(&args.paths).and_then(|files| Ok((files, policy_files(tests)?))) {
        Ok(read) => read,
        Err(error) => return fail(UNUSABLE, error),
    };
    let policy = match compile(&files) {
        Ok(compiled) => compiled.policy,
        Err(found) => {
            report(&found, &files);
            return ExitCode::from(WRONG);
        }
    };
    let cases = match cases::read(&policy, &tests) {
        Ok(cases) => cases,
        Err(found) => {
            report(&found, &tests);
            return ExitCode::from(WRONG);
        }
    };
    let results = cases::run(&policy, &cases, &Explainer::new(&policy));
    match args.format {
        Format::Human => put(format_args!("{}", cases::render(&results, &cases, &tests, args.quiet, color()))),
        Format::Junit => put(format_args!("{}", cases::junit(&results, &cases, &tests))),
        Format::Json => say(format_args!("{:#}", cases::json(&results, &cases, &tests))),
    }
    let covered = results.coverage.percent();
    if let Some(wanted) = args.min_coverage.filter(|wanted| covered < usize::from(*wanted)) {
        return fail(WRONG, format_args!("coverage is {covered} %, and --min-coverage wants {wanted} %"));
    }
    if results.failed() > 0 { ExitCode::from(WRONG) } else { ExitCode::SUCCESS }
}
