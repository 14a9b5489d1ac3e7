//! `stubgate policy import`: reads another proxy's file, and prints or writes what the policy crate makes of it. What is
//! handed out was compiled first.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ipnet::IpNet;
use stubgate_policy::import::{Import, Kind, iron_proxy};
use stubgate_policy::{SourceFile, compile};

use crate::cli::check::report;
use crate::cli::say::{put, say};
use crate::cli::{UNUSABLE, WRONG, fail};
use crate::config::{self, policy_files};

/// Exit status where something became wider.
const WIDER: u8 = 3;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum From {
    /// iron-proxy's YAML: domains, CIDRs, rules, and secrets with replace and inject
    ///
    /// Exits with 3 where something is allowed that the original refused.
    IronProxy(Args),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The configuration
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Write policy.yaml and stubgate.yaml into this folder, instead of printing them; neither may be there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A network that the agents are in, such as 10.42.0.0/24; the original does not say
    #[arg(long, value_name = "NETWORK")]
    source: Vec<IpNet>,
}

pub(super) fn main(from: &From) -> ExitCode {
    let From::IronProxy(args) = from;
    let mut files = match policy_files(std::slice::from_ref(&args.file)) {
        Ok(files) => files,
        Err(error) => return fail(UNUSABLE, error),
    };
    let Some(source) = files.pop().filter(|_| files.is_empty()) else {
        return fail(UNUSABLE, "name one file");
    };
    let import = match iron_proxy(&source, &args.source) {
        Ok(import) => import,
        Err(diagnostics) => {
            report(&diagnostics, &[source]);
            return ExitCode::from(WRONG);
        }
    };
    if !is_good(&import) {
        return fail(WRONG, "the translation does not check clean: mend the above in the original and try again");
    }
    match &args.out {
        Some(folder) => {
            if let Err(error) = write(folder, &import) {
                return fail(UNUSABLE, error);
            }
            notes(&import, &source, |line| say(line));
        }
        None => {
            put(format_args!("# policy.yaml\n{}\n# stubgate.yaml\n{}", import.policy, import.config));
            if io::stdout().is_terminal() {
                eprintln!();
            }
            notes(&import, &source, |line| eprintln!("{line}"));
        }
    }
    if import.notes.iter().any(|note| note.kind == Kind::Wider) { ExitCode::from(WIDER) } else { ExitCode::SUCCESS }
}

/// Whether what was made can be used; else its diagnostics are shown.
fn is_good(import: &Import) -> bool {
    let policy = [SourceFile { name: "policy.yaml".into(), text: import.policy.clone() }];
    if let Err(diagnostics) = compile(&policy) {
        report(&diagnostics, &policy);
        return false;
    }
    let config = SourceFile { name: "stubgate.yaml".into(), text: import.config.clone() };
    if let Err(problem) = config::compile(config) {
        report(&problem.diagnostics, &problem.files);
        return false;
    }
    true
}

fn write(folder: &Path, import: &Import) -> io::Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| named(folder, &error))?;
    let paths = [("policy.yaml", &import.policy), ("stubgate.yaml", &import.config)];
    // Neither, rather than one of them.
    for (name, _) in paths {
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() {
            let there = "is there already: remove it, or name another folder";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} {there}", path.display())));
        }
    }
    for (name, text) in paths {
        let path = folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| named(&path, &error))?;
    }
    Ok(())
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// One line each: place, what became of it, and why.
fn notes(import: &Import, source: &SourceFile, out: impl Fn(&str)) {
    for note in &import.notes {
        let place = if note.line == 0 { source.name.clone() } else { format!("{}:{}", source.name, note.line) };
        out(&format!("{place}: {}: {}", note.kind.as_str(), note.text));
    }
    let count = |kind| import.notes.iter().filter(|note| note.kind == kind).count();
    out(&format!(
        "{} wider, {} narrower, {} missing, {} changed",
        count(Kind::Wider),
        count(Kind::Narrower),
        count(Kind::Missing),
        count(Kind::Changed)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files that the policy crate's tests translate.
    fn originals() -> Vec<SourceFile> {
        policy_files(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/policy/import")]).unwrap()
    }

    #[test]
    fn every_translation_is_a_good_policy_and_a_good_configuration() {
        let originals = originals();
        assert!(originals.len() >= 6);
        for original in &originals {
            let import = iron_proxy(original, &[]).unwrap();
            assert!(is_good(&import), "{}\n{}", original.name, import.config);
        }
    }

    #[test]
    fn files_that_are_there_are_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let import = iron_proxy(&originals()[0], &[]).unwrap();
        write(&folder.path().join("new"), &import).unwrap();
        std::fs::write(folder.path().join("stubgate.yaml"), "mine").unwrap();
        let refused = write(folder.path(), &import).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert!(!folder.path().join("policy.yaml").exists(), "neither");
        assert_eq!(std::fs::read_to_string(folder.path().join("stubgate.yaml")).unwrap(), "mine");
    }
}
