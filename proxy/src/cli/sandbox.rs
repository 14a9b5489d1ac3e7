//! `stubgate sandbox`.

use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context as _, bail};
use stubgate_policy::{AgentId, Policy, compile};
use stubgate_sandbox::environment::{Variables, Wanted};
use stubgate_sandbox::{Error, Listeners, Plan, Ready, run as run_inside, terminals};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{UNUSABLE, WRONG, check, fail, run};
use crate::ca::Form;
use crate::config::{AuditSink, Config, policy_files};
use crate::sandbox::{Asked, Guarded, configuration, credentials, homes, needs_proxy, stubs, withheld};
use crate::start::{self, Stop};

/// The status of a sandbox that could not be made, as of other programs that run programs.
const NOT_MADE: u8 = 125;
/// A start that was ended by a signal has this and its number, as the command would.
const BY_SIGNAL: i32 = 128;
/// Bytes of the log from which on a start begins a new one; the last one is kept beside it.
const LONG_LOG: u64 = 10 << 20;

pub(super) const NOTES: &str = "\
A policy for a start, in a folder of its own, policy/policy.yaml:
  version: 1
  agents:
    sandbox: { sources: [\"198.18.0.1/32\"] }
  rules:
    - { name: docs, agents: [sandbox], hosts: [docs.example.com], methods: [GET, HEAD] }
then: stubgate sandbox --policy policy -- bash

State (the CA, audit records, the log) is in $XDG_STATE_HOME/stubgate/sandbox unless --config says otherwise.

Exit status: the command's; 128 and its number where a signal ended it; 126 it could not be run, 127 it is not there; 125 the \
sandbox could not be made; 1 the policy or configuration is wrong; 2 usage, or a path that can't be read";

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Sandbox {
    /// The agent of the policy that the command is
    #[arg(long, value_name = "NAME", default_value = "sandbox")]
    agent: String,
    /// The appliance's configuration; its listeners are not opened
    #[arg(long, value_name = "FILE", conflicts_with_all = ["policy", "state_dir"])]
    config: Option<PathBuf>,
    /// Policy files, and folders of them, where there is no configuration
    #[arg(long, value_name = "PATH")]
    policy: Vec<PathBuf>,
    /// The folder for state, where there is no configuration
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// A variable to keep that would be left out
    #[arg(long, value_name = "NAME")]
    keep_env: Vec<String>,
    /// A file or folder that the command does not get to see
    #[arg(long, value_name = "PATH")]
    hide: Vec<PathBuf>,
    /// A file or folder that is hidden by custom, such as ~/.kube, to be seen (and not changed)
    #[arg(long, value_name = "PATH")]
    show: Vec<PathBuf>,
    /// For root: a folder that can be written, beside the one to start in, the home, /tmp and /var/tmp
    #[arg(long, value_name = "DIR")]
    writable: Vec<PathBuf>,
    /// Say nothing but errors
    #[arg(long, short)]
    quiet: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(super) fn main(asked: Sandbox) -> ExitCode {
    let (config, state, written) = match configured(&asked) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let (policy, agent) = match read_policy(&config, &asked.agent) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let plan = match plan(&asked, &config, (&policy, agent), &written) {
        Ok(plan) => plan,
        Err(error) => return fail(UNUSABLE, format!("{error:#}")),
    };
    // Nothing of it was read for a value, so that nothing secret is in this process.
    drop(policy);
    let log = state.join("log");
    let agent = asked.agent;
    let config_file = asked.config;
    let outcome = run_inside(&plan, move |listeners, ready| {
        match serve(config, config_file.as_deref(), &agent, &log, listeners, ready) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("stubgate: {error:#}");
                WRONG
            }
        }
    });
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error @ Error::Refused(_)) => fail(NOT_MADE, error),
        // It has said why.
        Err(Error::NotServed) => ExitCode::from(NOT_MADE),
        Err(Error::Ended(signal)) => ExitCode::from(u8::try_from(BY_SIGNAL + signal).unwrap_or(NOT_MADE)),
    }
}

/// The configuration, the folder for the log, and the paths of configuration, policy and state as they were written. Made where none
/// was given.
fn configured(asked: &Sandbox) -> Result<(Config, PathBuf, Vec<PathBuf>), ExitCode> {
    if let Some(path) = &asked.config {
        let config = Config::read(path).map_err(|problem| check::refuse(&problem))?;
        let written = config.policy.iter().chain([path, &config.state_dir]).cloned().collect();
        return at_home(config).map(|(config, folder)| (config, folder, written));
    }
    if asked.policy.is_empty() {
        let message = "there is no policy, and without one nothing is allowed: name one with --policy PATH (or a configuration \
                       with --config FILE). `stubgate sandbox --help` shows one to begin with, `docs/policy/tutorial.md` how to \
                       write one";
        return Err(fail(UNUSABLE, message));
    }
    let real =
        |path: &PathBuf| path.canonicalize().map_err(|error| fail(UNUSABLE, format!("{}: {error}", path.display())));
    let policy = asked.policy.iter().map(real).collect::<Result<Vec<_>, _>>()?;
    let folder = asked.state_dir.clone().or_else(state_folder);
    let Some(folder) = folder else {
        return Err(fail(UNUSABLE, "neither XDG_STATE_HOME nor HOME is set: name a folder with --state-dir DIR"));
    };
    let written = asked.policy.iter().chain([&folder]).cloned().collect();
    let folder = made(&folder)?;
    let config = configuration(&policy, &folder).map_err(|problem| check::refuse(&problem))?;
    Ok((config, folder, written))
}

/// With the paths that symlinks lead to, so that no link can be exchanged for another by the command.
fn at_home(mut config: Config) -> Result<(Config, PathBuf), ExitCode> {
    for path in &mut config.policy {
        if let Ok(real) = path.canonicalize() {
            *path = real;
        }
    }
    let folder = made(&config.state_dir)?;
    config.state_dir.clone_from(&folder);
    config.listen.admin.clear();
    for file in &mut config.audit {
        if matches!(file.sink, AuditSink::Stdout) {
            // That is the command's.
            file.sink = AuditSink::File(folder.join("audit.jsonl"));
        }
    }
    Ok((config, folder))
}

fn state_folder() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(base.join("stubgate/sandbox"))
}

fn made(folder: &Path) -> Result<PathBuf, ExitCode> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder).and_then(|()| folder.canonicalize());
    made.map_err(|error| fail(UNUSABLE, format!("the folder for state {}: {error}", folder.display())))
}

fn read_policy(config: &Config, agent: &str) -> Result<(Policy, AgentId), ExitCode> {
    let files = policy_files(&config.policy).map_err(|error| fail(UNUSABLE, error))?;
    let compiled = compile(&files).map_err(|diagnostics| {
        check::report(&diagnostics, &files);
        ExitCode::from(WRONG)
    })?;
    let Some(id) = compiled.policy.agent_named(agent) else {
        let names: Vec<&str> = compiled.policy.agents().iter().map(|known| known.name()).collect();
        let message = format!(
            "the policy has no agent `{agent}`, so that nothing would be allowed. It has: {}. Choose one with --agent NAME, or \
             write `{agent}: {{ sources: [\"198.18.0.1/32\"] }}` under `agents`",
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        );
        return Err(fail(WRONG, message));
    };
    Ok((compiled.policy, id))
}

/// What a person named, as links lead to it: what is not there can be neither hidden nor shown.
fn there(option: &str, paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let real = |path: &PathBuf| path.canonicalize().with_context(|| format!("{option} {}", path.display()));
    paths.iter().map(real).collect()
}

fn plan(
    asked: &Sandbox,
    config: &Config,
    (policy, agent): (&Policy, AgentId),
    written: &[PathBuf],
) -> anyhow::Result<Plan> {
    let folder = std::env::current_dir()?.canonicalize()?;
    let user = rustix::process::getuid();
    // Where the list can't be read, HOME is all that is known.
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let homes = homes(std::env::var_os("HOME").map(PathBuf::from), &passwd, user.as_raw());
    let Some(home) = homes.first() else {
        bail!("there is no home whose credentials could be hidden: set HOME to a folder");
    };
    let hide = there("--hide", &asked.hide)?;
    let show = there("--show", &asked.show)?;
    let writable = there("--writable", &asked.writable)?;
    let wanted = Asked { hide: &hide, show: &show, homes: &homes, folder: &folder, writable: &writable };
    // As they were written: in the configuration they are where links lead to.
    for path in written {
        wanted.straight(path).map_err(anyhow::Error::msg)?;
    }
    for file in &config.audit {
        if let AuditSink::File(path) = &file.sink {
            wanted.straight(path).map_err(anyhow::Error::msg)?;
            if path.is_file() || !path.exists() {
                wanted.records(path, &config.state_dir).map_err(anyhow::Error::msg)?;
            }
            // What is made only later can't be hidden.
            if let Some(folder) = path.parent() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)
                    .with_context(|| folder.display().to_string())?;
            }
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .with_context(|| path.display().to_string())?;
        }
    }
    let guarded = Guarded::new(config, asked.config.as_deref(), policy, wanted).map_err(anyhow::Error::msg)?;
    let stubs = stubs(policy, agent, |name| std::env::var_os(name).is_some());
    let wanted =
        Wanted { stubs: &stubs, withheld: &withheld(policy), kept: &asked.keep_env, proxy: needs_proxy(policy, agent) };
    let variables = Variables::new(std::env::vars_os(), wanted);
    for credential in credentials(policy, agent) {
        let variables = credential.source().variables();
        if let Some(name) = variables.into_iter().find(|name| std::env::var_os(name).is_none()) {
            eprintln!("stubgate: the credential {} has no value: {name} is not set", credential.name());
        }
    }
    if !asked.quiet {
        for line in variables.told() {
            eprintln!("stubgate: {line}");
        }
        if !guarded.hidden.is_empty() {
            let hidden: Vec<String> = guarded.hidden.iter().map(|path| path.display().to_string()).collect();
            eprintln!("stubgate: hidden: {}", hidden.join(", "));
        }
    }
    let system_is_read_only_but = user.is_root().then(|| {
        let customary = [Path::new("/tmp"), Path::new("/var/tmp")].map(Path::to_owned);
        writable.iter().cloned().chain(customary).chain([home.clone(), folder.clone()]).collect()
    });
    Ok(Plan {
        command: asked.command.clone(),
        environment: variables.all,
        folder,
        hidden: guarded.hidden,
        read_only: guarded.read_only,
        fixed: guarded.fixed,
        system_is_read_only_but,
        terminals: terminals(),
    })
}

/// The process beside the command: the appliance, until it is told to stop.
fn serve(
    config: Config,
    config_file: Option<&Path>,
    agent: &str,
    log: &Path,
    listeners: Listeners,
    ready: Ready,
) -> anyhow::Result<()> {
    // The terminal is the command's.
    if log.metadata().is_ok_and(|found| found.len() > LONG_LOG) {
        std::fs::rename(log, log.with_extension("1"))?;
    }
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(log)?;
    let filter = EnvFilter::try_from_env("STUBGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_ansi(false).json();
    // There is no other.
    let _ = subscriber.with_writer(Mutex::new(file)).try_init();
    let cores = run::cores();
    crate::listen::take_descriptors(config.limits.connections);
    let mut started = start::start_for(config, agent, listeners)?;
    if let Some(path) = config_file {
        started = started.read_from(path);
    }
    let started = started.lock_down()?;
    let bundle = started.appliance.authorities.bundle(Form::WithSystem);
    run::runtime(cores)?.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        ready.trusting(&bundle)?;
        started
            .serve(async move {
                terminated.recv().await;
                Stop::AtOnce
            })
            .await
    })
}
