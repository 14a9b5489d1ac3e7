//! Keeps the bridges alive: each has a task that starts its server if that is ours, asks it on a schedule, starts it again when it
//! ended or answers no more, and says how it is. What runs is the version that `current` names, and is replaced when that changes.

use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use super::child::Child;
use super::file::{self, Http, Kind};
use super::one::{Bridge, probed};
use super::probe::{self, Failed, Found};
use super::versions::Versions;
use super::{all, history};
use crate::agent::Agent;
use crate::backoff::{Backoff, Limits, chance};
use crate::state::{self, State};

/// How fast all of it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between questions to a server that starts.
    pub(super) starting: Duration,
    /// How long it may take to start.
    pub(super) start: Duration,
    /// How long a probe of what runs may take.
    pub(super) probe: Duration,
    /// Until what failed is asked again.
    pub(super) again: Duration,
    /// So many failures in a row, and a server is started again.
    pub(super) failures: u32,
    /// The first and the longest wait between starts.
    pub(super) waits: (Duration, Duration),
    /// Between looks at which version is the current one.
    pub(super) look: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            starting: Duration::from_millis(250),
            start: Duration::from_secs(60),
            probe: Duration::from_secs(10),
            again: Duration::from_secs(5),
            failures: 3,
            waits: (Duration::from_secs(1), Duration::from_secs(60)),
            look: Duration::from_secs(1),
        }
    }
}

/// Keeps all bridges of an agent until it is told to stop; then none of them runs.
pub async fn keep(agent: Agent, state: State, stop: CancellationToken) {
    match all(&agent) {
        Ok(bridges) => keep_all(bridges, state, stop, Pace::default()).await,
        Err(error) => {
            tracing::error!(%error, "no bridge is started");
            let failing = Some(error.to_string());
            let bridge = state::Bridge { required: true, failing, ..state::Bridge::default() };
            state.change(|facts| drop(facts.bridges.insert(file::NAME.into(), bridge)));
        }
    }
}

/// Keeps these, at this pace.
pub(super) async fn keep_all(bridges: Vec<Bridge>, state: State, stop: CancellationToken, pace: Pace) {
    let mut tasks = JoinSet::new();
    for bridge in bridges {
        let kept = Kept { bridge, state: state.clone(), stop: stop.clone(), pace };
        tasks.spawn(kept.run());
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a bridge is no longer kept");
        }
    }
}

/// A bridge that is kept.
struct Kept {
    bridge: Bridge,
    state: State,
    stop: CancellationToken,
    pace: Pace,
}

/// How a server's time ended.
enum Ended {
    /// We stop.
    Stopped,
    /// Another version is the current one.
    Replaced,
    /// Another bundle is trusted than when it was started.
    Distrusts,
    /// It ended, or had to, after it had worked for so long.
    Failed(String, Duration),
}

impl Kept {
    async fn run(self) {
        let required = self.bridge.entry.required;
        let failing = Some("not asked yet".to_owned());
        let first = state::Bridge { required, failing, version: self.version(), ..state::Bridge::default() };
        self.state.change(|facts| drop(facts.bridges.insert(self.bridge.name.clone(), first)));
        let kept = async {
            match self.bridge.entry.kind() {
                Some(Kind::Http(http)) => self.keep_server(http).await,
                Some(Kind::Stdio(_) | Kind::Remote(_)) => self.keep_asking().await,
                None => {}
            }
        };
        tokio::join!(self.settle(), kept);
    }

    /// Puts the pinned version in place, where another or none is: again and again where none is.
    async fn settle(&self) {
        let mut backoff = self.backoff(10);
        while !self.versions().is_settled() {
            let versions = self.versions();
            let upgraded = tokio::select! {
                () = self.stop.cancelled() => return,
                upgraded = versions.upgrade(None, None) => upgraded,
            };
            let Err(error) = upgraded else {
                tracing::info!(
                    bridge = self.bridge.name,
                    version = self.version(),
                    "a bridge's pinned version is in place"
                );
                return;
            };
            tracing::warn!(bridge = self.bridge.name, %error, "a bridge's pinned version is not put in place");
            if self.versions().current().is_none() {
                self.failing(error.to_string());
            }
            if self.is_stopped_within(backoff.ended(Duration::ZERO, chance())).await {
                return;
            }
        }
    }

    /// Waits until there is something to run. Whether we stop instead.
    async fn is_never_there(&self) -> bool {
        while self.bridge.entry.package.is_some() && self.versions().current().is_none() {
            if self.is_stopped_within(self.pace.look).await {
                return true;
            }
        }
        false
    }

    async fn keep_asking(&self) {
        if self.is_never_there().await {
            return;
        }
        loop {
            let started = Instant::now();
            let installed = self.versions().current();
            let found = tokio::select! {
                () = self.stop.cancelled() => return,
                found = self.bridge.probe(installed.as_deref(), probe::DEADLINE) => found,
            };
            self.record(&found, started);
            let every = Duration::from_secs(self.bridge.entry.every_seconds());
            let wait = if found.is_ok() { every } else { every.min(self.pace.again * 3) };
            if self.is_stopped_within(wait).await {
                return;
            }
        }
    }

    async fn keep_server(&self, http: &Http) {
        let mut backoff = self.backoff(1);
        if self.is_never_there().await {
            return;
        }
        loop {
            let installed = self.versions().current();
            let ended = match self.bridge.serve(http, http.port, installed.as_deref()) {
                Err(error) => Ended::Failed(Failed::Start(error).to_string(), Duration::ZERO),
                Ok(mut child) => {
                    let ended = self.watch(&mut child).await;
                    child.stop().await;
                    ended
                }
            };
            match ended {
                Ended::Stopped => return,
                Ended::Replaced => tracing::info!(bridge = self.bridge.name, "a bridge goes on in another version"),
                Ended::Distrusts => tracing::info!(
                    bridge = self.bridge.name,
                    "a bridge is started again, so that it trusts the new bundle"
                ),
                Ended::Failed(why, worked) => {
                    let wait = backoff.ended(worked, chance());
                    let milliseconds = wait.as_millis();
                    tracing::warn!(bridge = self.bridge.name, why, milliseconds, "a bridge is started again");
                    self.failing(why);
                    if self.is_stopped_within(wait).await {
                        return;
                    }
                }
            }
            self.change(|bridge| bridge.restarts += 1);
        }
    }

    /// Asks a server on its schedule until its time ends.
    async fn watch(&self, child: &mut Child) -> Ended {
        let begun = Instant::now();
        let runs = self.versions().current();
        let trusts = self.bridge.trust_mark();
        let mut look = interval(self.pace.look);
        let mut wait = Duration::ZERO;
        let mut failures = 0;
        let mut works_since = None::<Instant>;
        loop {
            let mut asked = std::pin::pin!(self.ask_after(wait));
            let (found, started) = loop {
                tokio::select! {
                    () = self.stop.cancelled() => return Ended::Stopped,
                    status = child.ended() => {
                        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                        let worked = works_since.map_or(Duration::ZERO, |since| since.elapsed());
                        return Ended::Failed(format!("it ended: {how}"), worked);
                    }
                    found = &mut asked => break found,
                    _ = look.tick() => {
                        if self.versions().current() != runs {
                            return Ended::Replaced;
                        }
                        if self.bridge.trust_mark() != trusts {
                            return Ended::Distrusts;
                        }
                    }
                }
            };
            let is_starting = works_since.is_none() && begun.elapsed() < self.pace.start;
            match &found {
                Ok(_) => {
                    failures = 0;
                    works_since.get_or_insert_with(Instant::now);
                    wait = Duration::from_secs(self.bridge.entry.every_seconds());
                }
                Err(Failed::Connection(_)) if is_starting => {
                    wait = self.pace.starting;
                    continue;
                }
                Err(why) => {
                    failures += 1;
                    if failures >= self.pace.failures {
                        let why = why.to_string();
                        self.record(&found, started);
                        let worked = works_since.map_or(Duration::ZERO, |since| since.elapsed());
                        return Ended::Failed(why, worked);
                    }
                    wait = self.pace.again;
                }
            }
            self.record(&found, started);
        }
    }

    async fn ask_after(&self, wait: Duration) -> (Result<Found, Failed>, Instant) {
        sleep(wait).await;
        let started = Instant::now();
        (self.bridge.probe(None, self.pace.probe).await, started)
    }

    /// Says what a probe found: to the state, to the history, and to the log if it is news.
    fn record(&self, found: &Result<Found, Failed>, started: Instant) {
        let probed = probed(found, self.version(), started);
        let name = &self.bridge.name;
        let mut before = None;
        self.change(|bridge| {
            before = bridge.failing.take();
            bridge.version.clone_from(&probed.version);
            bridge.failing.clone_from(&probed.failing);
            if let Ok(found) = found {
                bridge.last_good = Some(SystemTime::now());
                bridge.tools = found.tools.len() as u64;
            }
        });
        match (&before, &probed.failing) {
            (Some(_), None) => {
                tracing::info!(bridge = name, version = probed.version, tools = probed.tools, "a bridge works");
            }
            (before, Some(why)) if before.as_ref() != Some(why) => {
                tracing::warn!(bridge = name, why, "a bridge does not work");
            }
            _ => {}
        }
        let path = self.bridge.kept().with_extension("jsonl");
        if let Err(error) = history::add(&path, &probed) {
            tracing::warn!(bridge = name, %error, "a probe is not kept");
        }
    }

    /// So many times as slow as the pace is; from the first wait again after it has worked for as long as the longest.
    fn backoff(&self, times: u32) -> Backoff {
        let (first, most) = (self.pace.waits.0 * times, self.pace.waits.1 * times);
        Backoff::new(Limits { first, most, healthy: most })
    }

    fn failing(&self, why: String) {
        self.change(|bridge| bridge.failing = Some(why));
    }

    fn change(&self, change: impl FnOnce(&mut state::Bridge)) {
        self.state.change(|facts| {
            if let Some(bridge) = facts.bridges.get_mut(&self.bridge.name) {
                change(bridge);
            }
        });
    }

    fn versions(&self) -> Versions<'_> {
        Versions::of(&self.bridge)
    }

    fn version(&self) -> Option<String> {
        self.versions().version()
    }

    async fn is_stopped_within(&self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.stop.cancelled()).await.is_ok()
    }
}

#[cfg(test)]
mod tests;
