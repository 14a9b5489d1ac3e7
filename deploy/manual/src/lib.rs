//! Man pages and completions of shells, from the definition that `stubgate` parses its arguments with. Those of `stubgate-agent` would be
//! shipped nowhere: its image has neither man nor completions, and `--help` says the same.
//!
//! What users read is never written twice: what is made here is checked in below `deploy/man` and `deploy/completions`, where
//! packages take it from, and a test holds it to the definitions. Nothing in here is part of a program that runs.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

/// Every file, by its path below `deploy`.
///
/// # Errors
/// None that is met: what is written to is memory.
pub fn files() -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let program = stubgate_proxy::cli::definition();
    completions(&shown(&program), &mut files);
    let mut whole = program.disable_help_subcommand(true);
    whole.build();
    pages(&whole, whole.get_name(), None, &mut files)?;
    Ok(files)
}

/// The folders that hold nothing else.
pub const FOLDERS: [&str; 2] = ["man", "completions"];

/// What there is to complete: all but what the program calls itself with, which shells would offer as well.
fn shown(command: &Command) -> Command {
    let below = command.get_subcommands().filter(|one| !one.is_hide_set()).map(shown);
    let mut made =
        Command::new(command.get_name().to_owned()).args(command.get_arguments().cloned()).subcommands(below);
    if let Some(about) = command.get_about() {
        made = made.about(about.clone());
    }
    if let Some(version) = command.get_version() {
        made = made.version(version.to_owned());
    }
    made
}

fn completions(program: &Command, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    let name = program.get_name();
    for (shell, file) in [
        (Shell::Bash, format!("bash/{name}")),
        (Shell::Zsh, format!("zsh/_{name}")),
        (Shell::Fish, format!("fish/{name}.fish")),
    ] {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut program.clone(), name, &mut text);
        files.insert(PathBuf::from("completions").join(file), text);
    }
}

/// A page for a command and for each below it, named as git names its own: `stubgate-policy-check(1)`. A program has a folder, since it
/// has a package.
fn pages(
    command: &Command,
    program: &str,
    above: Option<&str>,
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> io::Result<()> {
    let name = above.map_or_else(|| command.get_name().to_owned(), |above| format!("{above}-{}", command.get_name()));
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
        pages(one, program, Some(&name), files)?;
    }
    let mut text = Vec::new();
    let page = command.clone().display_name(name.clone());
    clap_mangen::Man::new(page).source("stubgate").manual("stubgate").render(&mut text)?;
    files.insert(PathBuf::from("man").join(program).join(format!("{name}.1")), text);
    Ok(())
}
