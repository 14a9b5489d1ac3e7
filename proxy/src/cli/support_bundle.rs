//! `stubgate support-bundle`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use super::doctor::looked;
use super::say::{count, say};
use super::{UNUSABLE, WRONG, fail};
use crate::doctor::{self, Setting};
use crate::support::{self, Wanted};

pub(super) const NOTES: &str = "\
Each value in it is one of a list of kinds that hold no secret; docs/operations.md has the list. Look into it all the same before you
hand it on (tar tzf FILE): names of agents, rules, credentials and hosts, addresses and paths of files are in it.

Exit status: 0 written; 1 it can't be written; 2 usage, or a path that can't be read or is there already";

#[derive(Debug, clap::Args)]
pub(super) struct SupportBundle {
    /// Configuration of the appliance
    #[arg(long, value_name = "FILE", default_value = "/etc/stubgate/stubgate.yaml")]
    config: PathBuf,
    /// The bundle to write; never one that is there already
    #[arg(short, long, value_name = "FILE.tar.gz")]
    output: PathBuf,
    /// Ask nobody beyond this machine
    #[arg(long)]
    offline: bool,
    /// Tell hosts, names and paths that agents asked for as hashes, by which records can be compared with each other
    #[arg(long)]
    hashes: bool,
}

pub(super) fn main(asked: &SupportBundle) -> ExitCode {
    if asked.output.symlink_metadata().is_ok() {
        return fail(UNUSABLE, format!("{} is there already; name a file that is not", asked.output.display()));
    }
    let look = async |setting: &Setting| (doctor::examine(setting).await, doctor::ask(&setting.config).await);
    let (setting, (findings, answers)) = match looked(&asked.config, asked.offline, look) {
        Ok(looked) => looked,
        Err(status) => return status,
    };
    let members = support::collect(&setting, &findings, &answers, Wanted { hashes: asked.hashes });
    say(format_args!("{} will hold:", asked.output.display()));
    for member in &members {
        say(format_args!("  {:<17} {:>8} bytes  {}", member.name, member.content.len(), member.about));
    }
    match support::save(&asked.output, &members) {
        Ok(()) => {
            say(format_args!("written: {}, mode 600", count(members.len(), "file")));
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fail(UNUSABLE, format!("{} is there already; name a file that is not", asked.output.display()))
        }
        Err(error) => fail(WRONG, format!("{}: {error}", asked.output.display())),
    }
}
