//! What a person asks first when something does not work: which runtime trusts what, which names resolve, that nothing but the
//! firewall is reached, and that nothing real is in the container.
//!
//! It runs inside, as the agent's user, and only looks: it writes nothing, prints no value that looks like a credential, and
//! ends within 30 seconds, whatever hangs. It is no proof against an agent that hides something from it; the firewall is.

mod confinement;
mod dns;
mod egress;
mod environ;
mod live;
mod names;
mod report;
mod shapes;
mod trust;
mod walk;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use rustls_pki_types::CertificateDer;

use crate::agent::{Agent, Place};
use crate::setup::{self, environment};
use crate::state::mask::Mask;
use report::{Finding, Findings};

/// All of it ends within this time.
const WHOLE: Duration = Duration::from_secs(28);

/// The command. It ends with 1 if something is bad.
#[derive(Args, Debug)]
pub struct Doctor {
    /// As JSON: `version`, `ok` and `checks`
    #[arg(long)]
    pub json: bool,
    /// Let each runtime that is installed make one request to this address; they may write below the folder for temporary files
    #[arg(long, value_name = "URL")]
    pub live: Option<String>,
}

impl Doctor {
    /// Runs it.
    pub fn run(&self, place: &Place) -> ExitCode {
        let findings = match examine(Setting::new(place), self.live.clone()) {
            Ok(findings) => findings,
            Err(error) => {
                eprintln!("can't look: {error}");
                return ExitCode::from(2);
            }
        };
        let text = if self.json { findings.json() } else { findings.lines() };
        // Whoever reads may stop early.
        let _ = io::stdout().write_all(text.as_bytes());
        ExitCode::from(u8::from(findings.is_bad()))
    }
}

/// What is looked at. Tests put folders and addresses of their own in.
struct Setting {
    place: Place,
    agent: Result<Agent, String>,
    /// What every process of the container gets.
    environment: BTreeMap<String, String>,
    /// The agent's stubs: no findings.
    mask: Mask,
    /// The root of the file system, for what is not in the agent's own folders.
    root: PathBuf,
    proc: PathBuf,
    names: names::Where,
    targets: Vec<egress::Target>,
}

impl Setting {
    fn new(place: &Place) -> Self {
        let agent = place.agent().map_err(|error| error.to_string());
        let mut variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        variables.extend(environment::read(place).unwrap_or_default());
        if let Ok(agent) = &agent {
            variables.extend(agent.file.client.environment.clone());
        }
        Setting {
            place: place.clone(),
            mask: agent.as_ref().map(Mask::of_stubs).unwrap_or_default(),
            agent,
            targets: egress::targets(&variables),
            environment: variables,
            root: "/".into(),
            proc: "/proc".into(),
            names: names::Where::default(),
        }
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The bundle as it was mounted, or else as setup has it.
    fn bundle(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let mounted = &self.place.bundle;
        let path = if mounted.exists() { mounted.clone() } else { setup::trust::bundle_file(&self.place) };
        trust::certificates(&path).map_err(|why| format!("{}: {why}", path.display()))
    }
}

/// Does all of it at once, and tells what was not finished in time.
fn examine(setting: Setting, live: Option<String>) -> io::Result<Findings> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let setting = Arc::new(setting);
    let end = Instant::now() + WHOLE;
    let told = runtime.block_on(async {
        let blocking = |look: fn(&Setting, Instant) -> Vec<Finding>| {
            let setting = Arc::clone(&setting);
            tokio::task::spawn_blocking(move || look(&setting, end))
        };
        let network = Arc::clone(&setting);
        let asking = Arc::clone(&setting);
        let parts = [
            ("agent", blocking(|setting, _| agent(setting))),
            ("trust", blocking(|setting, _| trust::look(setting))),
            ("live", tokio::spawn(async move { live::look(&asking, live).await })),
            ("network", tokio::spawn(async move { look_at_network(&network).await })),
            ("credentials.disk", blocking(walk::look)),
            ("credentials.processes", blocking(environ::look)),
            ("confinement", blocking(|setting, _| confinement::look(setting))),
        ];
        let mut told = Vec::new();
        for (name, part) in parts {
            match tokio::time::timeout_at(end.into(), part).await {
                Ok(Ok(findings)) => told.extend(findings),
                Ok(Err(_)) | Err(_) => {
                    let what = "this was not finished";
                    told.push(Finding::warn(name, what).advise("look at what hangs: a mount, a resolver"));
                }
            }
        }
        told
    });
    // What hangs is left behind.
    runtime.shutdown_background();
    Ok(Findings::new(told, &setting.mask))
}

async fn look_at_network(setting: &Setting) -> Vec<Finding> {
    let (mut findings, firewall) = names::look(setting).await;
    findings.extend(egress::look(setting, &firewall).await);
    findings
}

fn agent(setting: &Setting) -> Vec<Finding> {
    match &setting.agent {
        Ok(agent) => vec![Finding::ok("agent", format!("{}, its files are right", agent.name))],
        Err(why) => vec![Finding::bad("agent", why).advise("mend its files; its stubs are not known here until then")],
    }
}

#[cfg(test)]
mod tests;
