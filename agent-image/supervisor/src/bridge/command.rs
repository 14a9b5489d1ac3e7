//! What a person does with bridges.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use clap::{ArgGroup, Subcommand};

use super::one::{Bridge as Known, probed};
use super::versions::Versions;
use super::{all, file, history, new, probe, serve};
use crate::agent::Place;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Bridge {
    /// Every bridge, its version and its last probe
    List {},
    /// Ask bridges now; exit code 1 if one does not work
    Probe {
        /// Only these
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Install a version, ask it, and switch to it if it works; the one before is kept
    Upgrade {
        /// The bridge
        #[arg(id = "bridge", value_name = "NAME")]
        name: String,
        /// By default the version that bridges.yaml pins
        version: Option<String>,
        /// Install from this folder, and from nowhere else
        #[arg(long, value_name = "DIR")]
        find_links: Option<PathBuf>,
    },
    /// Go back to the version that ran before
    Rollback {
        /// The bridge
        #[arg(id = "bridge", value_name = "NAME")]
        name: String,
    },
    /// Run a bridge as a workload of its own: HTTPS, and a token that it asks for
    Serve(serve::Serve),
    /// Write the beginning of a bridge: server, entry, policy, tests
    #[command(group(ArgGroup::new("where").args(["in_container", "workload"])))]
    New {
        /// Its name: lower-case letters, digits and -
        #[arg(id = "bridge", value_name = "NAME")]
        name: String,
        /// It speaks HTTP, and runs in the agent's container (the default)
        #[arg(long)]
        in_container: bool,
        /// It speaks something else, holds a credential, and runs elsewhere
        #[arg(long)]
        workload: bool,
        /// Folder to write it to
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

impl Bridge {
    /// Runs it.
    pub fn run(&self, place: &Place) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = match runtime {
            Ok(runtime) => runtime.block_on(self.execute(place)),
            Err(error) => Err(error.into()),
        };
        done.unwrap_or_else(|error| {
            eprintln!("stubgate-agent: {}", crate::web::chain(error.as_ref()));
            ExitCode::FAILURE
        })
    }

    async fn execute(&self, place: &Place) -> anyhow::Result<ExitCode> {
        match self {
            Bridge::List {} => {
                let bridges = all(&place.agent()?)?;
                for bridge in &bridges {
                    say!("{}", line(bridge));
                }
                if bridges.is_empty() {
                    eprintln!("no bridges: none is in bridges.yaml of the agent or of _shared");
                }
            }
            Bridge::Probe { names } => return probe_all(place, names).await,
            Bridge::Upgrade { name, version, find_links } => {
                log();
                let bridge = known(place, name)?;
                let found = Versions::of(&bridge).upgrade(version.as_deref(), find_links.as_deref()).await?;
                let version = Versions::of(&bridge).version().unwrap_or_default();
                say!("{name}: {version} is current and offers {} tools", found.tools.len());
                again(&bridge);
            }
            Bridge::Rollback { name } => {
                let bridge = known(place, name)?;
                say!("{name}: back to {}", Versions::of(&bridge).rollback()?);
                again(&bridge);
            }
            Bridge::Serve(command) => return command.execute(place).await,
            Bridge::New { name, workload, to, .. } => {
                let folder = to.clone().unwrap_or_else(|| name.into());
                let kind = if *workload { new::Kind::Workload } else { new::Kind::InContainer };
                for path in new::write(name, kind, &folder)? {
                    say!("{}", path.display());
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a person must know after a switch.
fn again(bridge: &Known) {
    if matches!(bridge.entry.kind(), Some(file::Kind::Stdio(_))) {
        say!("the client has it after its next start, or /mcp and Reconnect");
    }
}

async fn probe_all(place: &Place, names: &[String]) -> anyhow::Result<ExitCode> {
    log();
    let bridges = all(&place.agent()?)?;
    if let Some(missing) = names.iter().find(|name| !bridges.iter().any(|bridge| bridge.name == **name)) {
        bail!("{}", unknown(missing, &bridges));
    }
    let mut all_work = true;
    for bridge in bridges.iter().filter(|bridge| names.is_empty() || names.contains(&bridge.name)) {
        let started = Instant::now();
        let versions = Versions::of(bridge);
        let found = bridge.probe(versions.current().as_deref(), probe::DEADLINE).await;
        let probed = probed(&found, versions.version(), started);
        // An instance of a person's own, on another disk perhaps: its history is that of whoever keeps it.
        let _ = history::add(&bridge.kept().with_extension("jsonl"), &probed);
        match found {
            Ok(found) => say!(
                "{}: works ({} {}, MCP {}, {} ms): {}",
                bridge.name,
                found.server,
                found.version,
                found.protocol,
                probed.milliseconds,
                found.tools.join(" ")
            ),
            Err(why) => {
                all_work = false;
                let is_missing = bridge.entry.package.is_some() && versions.current().is_none();
                let name = &bridge.name;
                let hint = match is_missing {
                    true => format!("; its package is not installed: `stubgate-agent bridge upgrade {name}`"),
                    false => String::new(),
                };
                say!("{}: {why}{hint}", bridge.name);
            }
        }
    }
    Ok(if all_work { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn known(place: &Place, name: &str) -> anyhow::Result<Known> {
    let mut bridges = all(&place.agent()?)?;
    match bridges.iter().position(|bridge| bridge.name == name) {
        Some(at) => Ok(bridges.swap_remove(at)),
        None => bail!("{}", unknown(name, &bridges)),
    }
}

fn unknown(name: &str, bridges: &[Known]) -> String {
    let names: Vec<&str> = bridges.iter().map(|bridge| bridge.name.as_str()).collect();
    let names = if names.is_empty() { "none".into() } else { names.join(", ") };
    format!("no bridge is called {name:?}: bridges.yaml of the agent and of _shared have {names}")
}

fn line(bridge: &Known) -> String {
    let kind = match bridge.entry.kind() {
        Some(file::Kind::Stdio(_)) => "stdio",
        Some(file::Kind::Http(_)) => "http",
        Some(file::Kind::Remote(_)) => "remote",
        None => "",
    };
    let versions = Versions::of(bridge);
    let last = history::last(&bridge.kept().with_extension("jsonl"));
    let version = versions.version().or_else(|| last.as_ref()?.version.clone()).unwrap_or_else(|| "-".into());
    let before = versions.last_good().map(|version| format!(" (before: {version})")).unwrap_or_default();
    let last = last.map_or_else(
        || "never asked".into(),
        |last| match last.failing {
            Some(why) => format!("{:.0}: {why}", last.at),
            None => format!("{:.0}: works, {} tools", last.at, last.tools.unwrap_or_default()),
        },
    );
    format!("{:<20} {kind:<7} {version}{before}  {last}", bridge.name)
}

/// What bridges print goes where errors go.
fn log() {
    let _ = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).with_target(false).try_init();
}
