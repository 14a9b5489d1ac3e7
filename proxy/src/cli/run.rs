//! `stubgate run` and `stubgate demo`.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{WRONG, check, fail};
use crate::config::Config;
use crate::start::{Handed, Stop};
use crate::{demo, start};

pub(super) fn run(path: &Path) -> ExitCode {
    log();
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(problem) => return check::refuse(&problem),
    };
    match serve(path, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(WRONG, format!("{error:#}")),
    }
}

fn serve(path: &Path, config: Config) -> anyhow::Result<()> {
    // What a container may use of the machine stands in files that are out of reach later.
    let cores = cores();
    crate::listen::take_descriptors(config.limits.connections);
    let started = start::start_with(config, Handed::from_environment()?)?.read_from(path).lock_down()?;
    // Only now are there threads: each of them is locked down from its first instruction.
    runtime(cores)?.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut interrupted = signal(SignalKind::interrupt())?;
        started
            .serve(async move {
                tokio::select! {
                    _ = terminated.recv() => Stop::Announced,
                    // A person waits.
                    _ = interrupted.recv() => Stop::AtOnce,
                }
            })
            .await
    })
}

pub(super) fn demo() -> ExitCode {
    match runtime(cores()) {
        Ok(runtime) => match runtime.block_on(demo::run()) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(WRONG),
            Err(error) => fail(WRONG, format!("{error:#}")),
        },
        Err(error) => fail(WRONG, error),
    }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A single core gains nothing from handing tasks between threads.
pub(super) fn runtime(cores: usize) -> std::io::Result<Runtime> {
    let mut builder = if cores == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    builder.worker_threads(cores).enable_all().build()
}

/// Logs for people go to standard error; records of decisions go where `audit` says. `STUBGATE_LOG` chooses the level.
pub(super) fn log() {
    let filter = EnvFilter::try_from_env("STUBGATE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Only one subscriber is ever set, here.
    if is_terminal {
        let _ = subscriber.with_ansi(true).try_init();
    } else {
        let _ = subscriber.with_ansi(false).json().try_init();
    }
}
