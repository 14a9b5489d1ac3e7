//! `stubgate doctor`.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tokio::runtime::Builder;

use super::say::put;
use super::{WRONG, check, fail};
use crate::config::Config;
use crate::doctor::{Setting, examine};

pub(super) const NOTES: &str = "\
It runs beside the appliance or in its place, best as the same user, and only looks. Hosts that policy allows are asked with HEAD,
without a credential. In an agent's container, use stubgate-agent doctor and stubgate attack.

Exit status: 0 nothing is bad; 1 something is bad; 2 usage, or a path that can't be read";

#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// Configuration of the appliance
    #[arg(long, value_name = "FILE", default_value = "/etc/stubgate/stubgate.yaml")]
    config: PathBuf,
    /// Ask nobody beyond this machine
    #[arg(long)]
    offline: bool,
    /// How to tell
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line for each check, and what to do
    Human,
    /// One object: `version`, `ok` and `checks`
    Json,
}

/// Looks at where this configuration is to work; what hangs is left behind.
pub(super) fn looked<T>(
    config: &Path,
    offline: bool,
    look: impl AsyncFnOnce(&Setting) -> T,
) -> Result<(Setting, T), ExitCode> {
    let checked = Config::check(config).map_err(|problem| check::refuse(&problem))?;
    let setting = Setting::new(config, checked, offline);
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| fail(WRONG, error))?;
    let found = runtime.block_on(look(&setting));
    runtime.shutdown_background();
    Ok((setting, found))
}

pub(super) fn main(asked: &Doctor) -> ExitCode {
    let (_, findings) = match looked(&asked.config, asked.offline, examine) {
        Ok(looked) => looked,
        Err(status) => return status,
    };
    match asked.format {
        Format::Json => put(format_args!("{}", findings.json())),
        Format::Human => {
            let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            put(format_args!("{}", findings.lines(std::io::stdout().is_terminal() && !is_plain)));
        }
    }
    if findings.is_bad() { ExitCode::from(WRONG) } else { ExitCode::SUCCESS }
}
