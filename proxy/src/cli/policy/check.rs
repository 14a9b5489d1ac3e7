//! `stubgate policy check`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stubgate_policy::diagnostic::explained;
use stubgate_policy::{SourceFile, compile, json, sarif};

use super::cluster;
use crate::cli::check::report;
use crate::cli::say::{count, say};
use crate::cli::{UNUSABLE, WRONG, fail};
use crate::config::policy_files_and_others;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Files, or folders of which every *.yaml is read; checked together, as one policy
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Also look at the `pods:` of agents beside the pods of a cluster, which is asked as kubectl would; or beside those of
    /// a file (`-` is standard input) with the output of `kubectl get pods --all-namespaces --output json`
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    cluster: Option<Option<PathBuf>>,
    /// How to write what is found: for people on standard error, the others on standard output
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
    /// End with 1 if there are warnings
    #[arg(long)]
    deny_warnings: bool,
    /// Leave out warnings with this code, such as SG0208; may be given more than once
    #[arg(long, value_name = "CODE", value_parser = warning_code)]
    allow: Vec<&'static str>,
}

/// The code of a warning; an allowance that allows nothing would go unnoticed.
fn warning_code(text: &str) -> Result<&'static str, String> {
    let warnings = || explained::ALL.iter().filter(|code| code.is_warning()).map(|code| code.code);
    warnings().find(|code| *code == text).ok_or_else(|| {
        let meant = text.to_ascii_uppercase();
        match warnings().find(|code| *code == meant) {
            Some(code) => format!("did you mean `{code}`?"),
            None => "this is no code of a warning; see docs/policy/codes.md".into(),
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Source lines with what is wrong underlined
    Human,
    /// One object with places, for scripts
    Json,
    /// SARIF 2.1.0, for code hosting
    Sarif,
}

pub(super) fn main(args: &Args) -> ExitCode {
    let (files, skipped) = match policy_files_and_others(&args.paths) {
        Ok(found) => found,
        Err(error) => return fail(UNUSABLE, error),
    };
    let pods = match args.cluster.as_ref().map(|file| cluster::pods(file.as_deref())).transpose() {
        Ok(pods) => pods,
        Err(error) => return fail(UNUSABLE, error),
    };
    let (policy, mut found) = match compile(&files) {
        Ok(compiled) => {
            let beside = pods.as_deref().map(|pods| compiled.beside(pods)).unwrap_or_default();
            (Some(compiled.policy), [compiled.warnings, beside].concat())
        }
        Err(found) => (None, found),
    };
    found.extend(skipped);
    found.retain(|one| one.is_error() || !args.allow.contains(&one.code));
    let good = policy.is_some() && (found.is_empty() || !args.deny_warnings);
    match args.format {
        Format::Json => say(format_args!("{:#}", json(&found, &files))),
        Format::Sarif => say(format_args!("{:#}", sarif(&found, &relative(files)))),
        Format::Human => {
            report(&found, &files);
            if let Some(policy) = &policy {
                say(format_args!(
                    "policy is {}: {}, {}, {} in {}",
                    if good { "good" } else { "good, but warnings are denied" },
                    count(policy.agents().len(), "agent"),
                    count(policy.credentials().len(), "credential"),
                    count(policy.rules().len(), "rule"),
                    count(files.len(), "file"),
                ));
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
}

/// Files below the working folder by their path in it, as a service that shows SARIF knows them.
fn relative(files: Vec<SourceFile>) -> Vec<SourceFile> {
    let Ok(here) = std::env::current_dir() else { return files };
    let inside = |name: &str| Some(Path::new(name).strip_prefix(&here).ok()?.display().to_string());
    files.into_iter().map(|file| SourceFile { name: inside(&file.name).unwrap_or(file.name), ..file }).collect()
}
