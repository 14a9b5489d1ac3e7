//! A session of tmux that people can attach to: a viewer of the client's terminal, and a shell beside it. It is a view and no
//! more: when it is gone it is made again, and the client does not notice. Nobody's dotfiles are read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::agent::Place;
use crate::files;
use crate::program;
use crate::state::State;

use super::times::Times;

/// What the session is called, and its window.
const SESSION: &str = "main";
const WINDOW: &str = "main:claude";
/// A command of tmux takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How a pane of the viewer is told from others.
const VIEWER: &str = "attach --stay";

const SETTINGS: &str = "\
set -s exit-empty off
set -s escape-time 10
set -s focus-events on
set -s default-terminal tmux-256color
set -g history-limit 2000
set -g window-size latest
set -g remain-on-exit off
set -g status-right ''
";

/// The socket that `tmux attach` finds by itself where `TMUX_TMPDIR` is the folder of [`Place::run`].
pub(crate) fn socket(place: &Place) -> PathBuf {
    place.run.join(format!("tmux-{}", rustix::process::getuid().as_raw())).join("default")
}

/// What keeps the session.
#[derive(Clone, Debug)]
pub(crate) struct Tmux {
    pub(crate) place: Place,
    pub(crate) state: State,
    pub(crate) times: Times,
    pub(crate) environment: BTreeMap<OsString, OsString>,
    pub(crate) folder: PathBuf,
    pub(crate) stop: CancellationToken,
}

impl Tmux {
    /// Until all stops; tmux is gone then.
    pub(crate) async fn keep(self) {
        self.state.change(|facts| facts.tmux = Some(false));
        let mut has_told = false;
        while !self.stop.is_cancelled() {
            match self.once().await {
                Ok(()) => has_told = false,
                Err(error) if !has_told => {
                    warn!(%error, "there is no tmux; the client is not touched by that");
                    has_told = true;
                }
                Err(_) => {}
            }
            self.state.change(|facts| facts.tmux = Some(false));
            self.pause(self.times.task).await;
        }
    }

    /// One server of tmux, from its start to its end.
    async fn once(&self) -> io::Result<()> {
        let mut server = self.serve().await?;
        let mut look = interval(self.times.tmux);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = server.wait() => {
                    warn!("tmux is gone; it is started again");
                    return Ok(());
                }
                () = self.stop.cancelled() => {
                    let _ = self.tell(&["kill-server"]).await;
                    if timeout(Duration::from_secs(2), server.wait()).await.is_err() {
                        let _ = server.start_kill();
                    }
                    return Ok(());
                }
                _ = look.tick() => {}
            }
            if let Err(error) = self.arrange().await {
                let _ = server.start_kill();
                let _ = server.wait().await;
                return Err(error);
            }
            if self.state.facts().tmux != Some(true) {
                info!(socket = %socket(&self.place).display(), "tmux is ready: stubgate-agent attach --tmux");
                self.state.change(|facts| facts.tmux = Some(true));
            }
        }
    }

    /// In the foreground, so that its end is heard of.
    async fn serve(&self) -> io::Result<Child> {
        let socket = socket(&self.place);
        if let Some(folder) = socket.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        // Of a supervisor that was killed.
        let _ = self.tell(&["kill-server"]).await;
        let _ = fs::remove_file(&socket);
        let settings = self.place.run.join("tmux.conf");
        files::replace(&settings, SETTINGS.as_bytes(), 0o600)?;
        let mut command = self.command();
        command.arg("-f").arg(&settings).arg("-D").kill_on_drop(true);
        let mut server = command.spawn()?;
        let deadline = Instant::now() + PATIENCE;
        while !is_served(&socket).await {
            if Instant::now() > deadline || server.try_wait()?.is_some() {
                let _ = server.start_kill();
                return Err(io::Error::other("tmux does not come up"));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    /// The session, its window and both panes are there afterwards.
    async fn arrange(&self) -> io::Result<()> {
        let panes = ["list-panes", "-t", WINDOW, "-F", "#{pane_dead} #{pane_start_command}"];
        let folder = self.folder.to_string_lossy();
        let viewer = format!("exec {} {VIEWER}", quoted(&std::env::current_exe()?));
        let found = match self.tell(&panes).await {
            Ok(found) => found,
            Err(_) => {
                let session = [
                    "new-session",
                    "-d",
                    "-s",
                    SESSION,
                    "-n",
                    "claude",
                    "-x",
                    "220",
                    "-y",
                    "50",
                    "-c",
                    &folder,
                    &viewer,
                ];
                if self.tell(&session).await.is_err() {
                    self.tell(&["new-window", "-d", "-t", "main:", "-n", "claude", "-c", &folder, &viewer]).await?;
                }
                self.tell(&panes).await?
            }
        };
        let viewers = found.lines().filter(|pane| pane.contains(VIEWER)).count();
        if viewers == 0 {
            self.tell(&["split-window", "-d", "-b", "-t", WINDOW, "-c", &folder, &viewer]).await?;
        }
        if found.lines().count() == viewers {
            self.tell(&["split-window", "-d", "-l", "25%", "-t", WINDOW, "-c", &folder]).await?;
        }
        Ok(())
    }

    /// What it says to a command.
    async fn tell(&self, arguments: &[&str]) -> io::Result<String> {
        let mut command = self.command();
        command.args(arguments);
        let ended = program::run(command, PATIENCE).await?;
        if ended.status.success() { Ok(ended.output) } else { Err(io::Error::other(ended.why())) }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-u").arg("-S").arg(socket(&self.place)).env_clear().envs(&self.environment);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    async fn pause(&self, duration: Duration) {
        tokio::select! {
            () = sleep(duration) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// Without waiting: a listener of somebody else's that takes nobody would hold up everything.
async fn is_served(socket: &Path) -> bool {
    tokio::net::UnixStream::connect(socket).await.is_ok()
}

/// As one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_takes_nobody_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("default");
        let _deaf = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut waiting = Vec::new();
                while let Ok(stream) = tokio::net::UnixStream::connect(&path).await {
                    waiting.push(stream);
                }
                let _ = done.send(is_served(&path).await);
            });
        });
        assert_eq!(is_done.recv_timeout(Duration::from_secs(10)), Ok(false));
    }
}
