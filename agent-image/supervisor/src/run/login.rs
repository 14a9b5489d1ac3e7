//! The client's login is kept at its stubs: the client rewrites the file when it likes (a new file in its place, or the same one
//! where it is mounted), and empties its tokens when it believes them to be refused. What is in the file is told to nobody.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use crate::agent::{Agent, Place};
use crate::files;
use crate::setup;
use crate::state::State;

use super::times::Times;

/// Bytes of the file at most.
const LARGEST: u64 = 1024 * 1024;

/// Watches it. Ends only with its task.
pub(crate) async fn guard(agent: Agent, state: State, times: Times) {
    let (sender, mut changes) = mpsc::channel(1);
    let name = agent.place.credentials().file_name().map(ToOwned::to_owned).unwrap_or_default();
    let changed = move |event: notify::Result<notify::Event>| {
        let is_of_login = event.is_ok_and(|event| {
            !matches!(event.kind, EventKind::Access(_))
                && (event.paths.is_empty() || event.paths.iter().any(|path| path.file_name() == Some(&name)))
        });
        if is_of_login {
            // One that waits is as good as two.
            let _ = sender.try_send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(changed) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            warn!(%error, seconds = times.login.as_secs(), "the login can't be watched, only looked at");
            None
        }
    };
    let mut is_right = true;
    let mut next = Instant::now();
    loop {
        watch(&mut watcher, &agent.place);
        sleep_until(next).await;
        is_right = look(&agent, &state, is_right);
        next = Instant::now() + times.restore;
        // Not before `next`: a client that fights has to wait.
        wait(&mut changes, if is_right { times.login } else { times.restore }).await;
    }
}

/// The folder, where the file is replaced, and the file, of which its folder hears nothing where it is mounted by itself. Again
/// each time: both may have been made anew.
fn watch(watcher: &mut Option<RecommendedWatcher>, place: &Place) {
    if let Some(watcher) = watcher {
        for path in [place.claude(), place.credentials()] {
            let _ = watcher.unwatch(&path);
            let _ = watcher.watch(&path, RecursiveMode::NonRecursive);
        }
    }
}

async fn wait(changes: &mut mpsc::Receiver<()>, most: Duration) {
    if matches!(timeout(most, changes.recv()).await, Ok(None)) {
        // Nothing watches.
        tokio::time::sleep(most).await;
    }
}

/// Whether it is right now, after it was put right if it was not.
fn look(agent: &Agent, state: &State, was_right: bool) -> bool {
    if is_stub(agent) {
        state.change(|facts| facts.login_is_stub = true);
        return true;
    }
    state.change(|facts| facts.login_is_stub = false);
    match restore(agent) {
        Ok(()) if is_stub(agent) => {
            warn!("the client's login was not its stubs: it was put right");
            state.change(|facts| {
                facts.login_is_stub = true;
                facts.logins_restored += 1;
            });
            if !was_right {
                info!("the client's login is right again");
            }
            true
        }
        Ok(()) => {
            tell(was_right, "it is wrong again at once");
            false
        }
        Err(error) => {
            tell(was_right, &error.to_string());
            false
        }
    }
}

/// Once, not each second.
fn tell(was_right: bool, why: &str) {
    if was_right {
        warn!(why, "the client's login is not its stubs, and can't be put right");
    }
}

fn is_stub(agent: &Agent) -> bool {
    files::read_bounded(&agent.place.credentials(), LARGEST).is_ok_and(|bytes| setup::login::is_stub(agent, &bytes))
}

/// Puts it right. A file that is mounted by itself can't be replaced, only written.
pub(crate) fn restore(agent: &Agent) -> io::Result<()> {
    match setup::login::restore(agent) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            let mut file = files::open(&agent.place.credentials(), OpenOptions::new().write(true).truncate(true))?;
            file.write_all(setup::login::text(agent).as_bytes())?;
            file.sync_all()
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "login/tests.rs"]
mod tests;
