//! Everything that `run` keeps going, and its orderly end.

use std::fs::{DirBuilder, File};
use std::future::Future;
use std::os::unix::fs::DirBuilderExt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::fs::FlockOperation;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::agent::{Agent, Place};
use crate::screen::dialog::{Guard, Table};
use crate::setup;
use crate::state::{self, State};
use crate::{bridge, event};

use super::client::{self, Keeper};
use super::console::{Console, listen};
use super::renew::{Renewal, Trusted};
use super::tasks::{forever, why};
use super::times::Times;
use super::tmux::Tmux;
use super::{Run, command, disk, login, session};

/// What has not said farewell by then is dropped, and its processes are killed. The client has its own time: all is over within
/// 15 s.
const FAREWELL: Duration = Duration::from_secs(6);

/// Until it is told to stop.
pub(super) fn run(options: &Run, place: &Place) -> anyhow::Result<()> {
    let agent = place.agent()?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&place.run)
        .with_context(|| place.run.display().to_string())?;
    let _alone = alone(place)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
    let ended = runtime.block_on(supervise(agent, options));
    runtime.shutdown_background();
    ended
}

/// Two supervisors would fight over one home.
fn alone(place: &Place) -> anyhow::Result<File> {
    let path = place.run.join("run.lock");
    let file = File::create(&path).with_context(|| path.display().to_string())?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => bail!("{}: another `stubgate-agent run` is at work here", path.display()),
    }
}

async fn supervise(agent: Agent, options: &Run) -> anyhow::Result<()> {
    let times = Times::new(options.hurry);
    let (state, stop, again) = (State::default(), CancellationToken::new(), Arc::new(Notify::new()));
    let written = setup::environment::read(&agent.place).unwrap_or_default();
    let environment = command::environment(&agent, std::env::vars_os(), &written);
    let masked = command::masked(&agent, &environment);
    let path = listen::path(&agent.place);
    let listener = listen::bind(&path).with_context(|| path.display().to_string())?;
    let log = agent.file.log;
    let workspace = agent.place.workspace.canonicalize().unwrap_or_else(|_| agent.place.workspace.clone());
    let guard = Guard::new(dialogs(&agent)?, "").in_folder(&workspace, &command::folder(&agent));
    let (console, handle) = Console::new(state.clone(), guard, log, masked.clone(), listener);

    let trusted = Trusted::default();
    // The supervisor is nothing without these two: it ends with them, and the container is started again.
    let mut vital = JoinSet::new();
    vital.spawn(console.keep());
    let keeper = Keeper {
        agent: agent.clone(),
        state: state.clone(),
        console: handle.clone(),
        times,
        stop: stop.clone(),
        masked: masked.clone(),
        again: Arc::clone(&again),
        trusted: trusted.clone(),
    };
    let mut client = tokio::spawn(keeper.keep());

    let mut others = Others { stop: stop.clone(), pause: times.task, set: JoinSet::new() };
    {
        let (agent, handle) = (agent.clone(), handle.clone());
        others.set.spawn(async move {
            match client::version(&agent).await {
                Some(version) => {
                    info!(version, "the client's version");
                    handle.version(version).await;
                }
                None => warn!("the client does not tell its version: no dialog is known"),
            }
        });
    }
    {
        let (agent, state) = (agent.clone(), state.clone());
        others.keep("login", Duration::ZERO, move |_| Box::pin(login::guard(agent.clone(), state.clone(), times)));
    }
    {
        let renewal = Renewal {
            agent: agent.clone(),
            state: state.clone(),
            console: handle.clone(),
            times,
            trusted,
            again: Arc::clone(&again),
        };
        others.keep("trust", Duration::ZERO, move |_| Box::pin(renewal.clone().follow()));
    }
    {
        let (agent, state, masked, hurry) = (agent.clone(), state.clone(), masked, options.hurry);
        others.keep("session", Duration::ZERO, move |_| {
            Box::pin(session::follow(agent.clone(), state.clone(), handle.clone(), masked.clone(), hurry))
        });
    }
    {
        let (place, state) = (agent.place.clone(), state.clone());
        others.keep("disks", Duration::ZERO, move |_| Box::pin(disk::watch(place.clone(), state.clone(), times.disk)));
    }
    {
        let (agent, state) = (agent.clone(), state.clone());
        others.keep("bridges", FAREWELL, move |stop| Box::pin(bridge::keep(agent.clone(), state.clone(), stop)));
    }
    {
        let (agent, state) = (agent.clone(), state.clone());
        others.keep("events", FAREWELL, move |stop| Box::pin(event::drain(agent.clone(), state.clone(), stop)));
    }
    {
        let (agent, state) = (agent.clone(), state.clone());
        others.keep("state", FAREWELL, move |stop| Box::pin(state::serve(agent.clone(), state.clone(), stop)));
    }
    if !options.headless {
        let folder = command::folder(&agent);
        let tmux =
            Tmux { place: agent.place.clone(), state: state.clone(), times, environment, folder, stop: stop.clone() };
        others.keep("tmux", FAREWELL, move |_| Box::pin(tmux.clone().keep()));
    }

    let ended = until_told(&again, &mut vital, &mut client).await;
    stop.cancel();
    if !client.is_finished() && timeout(times.term + times.kill + Duration::from_secs(1), &mut client).await.is_err() {
        warn!("the client is left behind");
        client.abort();
    }
    let _ = timeout(FAREWELL + Duration::from_secs(1), async { while others.set.join_next().await.is_some() {} }).await;
    let _ = std::fs::remove_file(&path);
    info!("the supervisor ends");
    ended
}

/// Tasks that are started again when they end.
struct Others {
    stop: CancellationToken,
    pause: Duration,
    set: JoinSet<()>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Others {
    /// The token lets a task say farewell, for which it has so long.
    fn keep(
        &mut self,
        name: &'static str,
        farewell: Duration,
        mut task: impl FnMut(CancellationToken) -> Task + Send + 'static,
    ) {
        let stop = self.stop.clone();
        let pause = self.pause;
        self.set.spawn(async move {
            let given = stop.clone();
            let all = forever(name, pause, stop.clone(), move || task(given.clone()));
            tokio::select! {
                () = all => {}
                () = async { stop.cancelled().await; tokio::time::sleep(farewell).await } => {}
            }
        });
    }
}

/// The signal to end, or the end of what the supervisor can't be without.
async fn until_told(
    again: &Notify,
    vital: &mut JoinSet<()>,
    client: &mut tokio::task::JoinHandle<()>,
) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut one = signal(SignalKind::user_defined1())?;
    let mut two = signal(SignalKind::user_defined2())?;
    loop {
        let name = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
            _ = quit.recv() => "SIGQUIT",
            _ = hangup.recv() => "SIGHUP",
            _ = one.recv() => {
                again.notify_one();
                continue;
            }
            _ = two.recv() => continue,
            Some(ended) = vital.join_next() => return died("console", ended),
            ended = &mut *client => return died("client", ended),
        };
        info!(signal = name, "the supervisor was told to end");
        return Ok(());
    }
}

fn died(task: &'static str, ended: Result<(), tokio::task::JoinError>) -> anyhow::Result<()> {
    let why = match ended {
        Ok(()) => "it ended".to_owned(),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => why(&*panic).to_owned(),
            Err(error) => error.to_string(),
        },
    };
    error!(task, why, "a task died that the supervisor can't be without");
    bail!("the task {task} died: {why}")
}

/// The table that is mounted beside the agent's files, or the one of this build.
fn dialogs(agent: &Agent) -> anyhow::Result<Table> {
    match agent.source("dialogs.yaml") {
        Some(path) => Ok(Table::read(&path)?),
        None => Ok(Table::built_in()),
    }
}
