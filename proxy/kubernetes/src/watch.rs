//! Keeps a [`Directory`] as the API server says: a list, then watches that go on from it, one after the other.
//!
//! What is known counts for a bounded time after it was surely true, so it must be clear when that was. A list is true when
//! it is asked for. A watch that the server itself ends, after the time it was told, has brought everything that was so by
//! then; that is why watches are short, and why one that breaks, or is slower than its deadline, says nothing of the kind.
//! Events of a watch are taken at once in any case.
//!
//! Nothing here gives up: what fails is tried again, after times that grow up to a few seconds, with what the files of the
//! service account say by then.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Error};
use crate::directory::{Directory, Keys};
use crate::list::{all, places};
use crate::wire::{Event, Place, events};

/// The first pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is watched, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Who it is towards the API server.
    pub access: Access,
    /// Where pods are watched; none means in all namespaces.
    pub namespaces: Vec<String>,
    /// How long what was surely true counts.
    pub stale_after: Duration,
}

impl Settings {
    /// Parts of a [`Directory`] for these.
    pub fn parts(&self) -> usize {
        self.namespaces.len().max(1)
    }

    /// How long the server is to keep a watch open: three in a row may go wrong before what is known is too old.
    fn watch_seconds(&self) -> u64 {
        (self.stale_after.as_secs() / 4).clamp(1, 60)
    }

    /// How much later its end may come.
    fn grace(&self) -> Duration {
        (self.stale_after / 8).clamp(Duration::from_millis(500), Duration::from_secs(5))
    }

    fn longest_pause(&self) -> Duration {
        (self.stale_after / 8).clamp(FIRST_PAUSE, LONGEST_PAUSE)
    }
}

/// Keeps a directory until `stop`. One with fewer parts than the settings stays without the others, and is never fresh.
pub async fn watch(settings: Settings, directory: Arc<Directory>, stop: CancellationToken) {
    let mut keepers = tokio::task::JoinSet::new();
    for (part, place) in places(&settings.namespaces).into_iter().enumerate() {
        let (settings, directory, keys) = (settings.clone(), Arc::clone(&directory), directory.keys());
        keepers.spawn(Keeper { settings, directory, keys, place, part, pause: FIRST_PAUSE, is_broken: false }.run());
    }
    tokio::select! {
        () = stop.cancelled() => {}
        // They never end by themselves.
        () = async { while keepers.join_next().await.is_some() {} } => {}
    }
}

struct Keeper {
    settings: Settings,
    directory: Arc<Directory>,
    keys: Receiver<Keys>,
    place: Place,
    part: usize,
    pause: Duration,
    is_broken: bool,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let error = match self.settings.access.client().await {
                Ok(client) => self.follow(&client).await,
                Err(error) => error,
            };
            self.failed(&error).await;
        }
    }

    /// Lists, and watches on from there for as long as it goes well. What ends it needs another client.
    async fn follow(&mut self, client: &Client) -> Error {
        loop {
            let mut version = match self.list(client).await {
                Ok(version) => version,
                Err(error) => return error,
            };
            loop {
                match self.watch_once(client, &mut version).await {
                    Ok(Next::Go) => {}
                    Ok(Next::List) => break,
                    Err(Error::Expired) => {
                        tracing::info!(
                            "the API server no longer knows where the watch of pods was; all are listed again"
                        );
                        tokio::time::sleep(FIRST_PAUSE).await;
                        break;
                    }
                    // It goes on from the last event that came, for a while; a list would cost the server more.
                    Err(error) if error.is_passing() && self.pause < self.settings.longest_pause() => {
                        self.failed(&error).await;
                    }
                    Err(error) => return error,
                }
            }
        }
    }

    async fn list(&mut self, client: &Client) -> Result<String, Error> {
        let keys = Arc::clone(&self.keys.borrow_and_update());
        let as_of = self.directory.now();
        let (pods, version) = all(client, &self.place, self.settings.stale_after.max(Duration::from_secs(10))).await?;
        self.directory.replace(self.part, &pods, &keys, as_of);
        self.recovered();
        Ok(version)
    }

    /// One watch, from its beginning to its end.
    async fn watch_once(&mut self, client: &Client, version: &mut String) -> Result<Next, Error> {
        let directory = Arc::clone(&self.directory);
        let seconds = self.settings.watch_seconds();
        let (began, as_of) = (Instant::now(), directory.now());
        let length = Duration::from_secs(seconds);
        let deadline = began + length + self.settings.grace();
        let mut stream = events(client, &self.place, version, seconds, deadline).await?;
        directory.counts().watches.fetch_add(1, Ordering::Relaxed);
        loop {
            let event = tokio::select! {
                biased;
                event = stream.next() => event?,
                Ok(()) = self.keys.changed() => return Ok(Next::List),
            };
            if event.is_some() {
                self.recovered();
            }
            match event {
                Some(Event::Seen(pod)) => {
                    version.clear();
                    version.push_str(pod.version());
                    directory.see(self.part, &pod.sighting());
                }
                Some(Event::Gone(pod)) => {
                    version.clear();
                    version.push_str(pod.version());
                    directory.forget(pod.uid());
                }
                Some(Event::Bookmark(now)) => *version = now,
                None => {
                    // The server counts from when it got the request: its end is no earlier than this.
                    if began.elapsed() >= length {
                        directory.surely_true(self.part, as_of + length);
                        self.recovered();
                        return Ok(Next::Go);
                    }
                    // It ended the watch before: as it may, but not at once and for ever.
                    return Err(Error::Unreachable("it ended the watch early".into()));
                }
            }
        }
    }

    fn recovered(&mut self) {
        self.pause = FIRST_PAUSE;
        if self.is_broken {
            self.is_broken = false;
            self.directory.set_problem(None);
            tracing::info!(pods = self.directory.len(), "pods can be watched again");
        }
    }

    /// Says it, once until it goes well again, and rests.
    async fn failed(&mut self, error: &Error) {
        self.directory.counts().failures.fetch_add(1, Ordering::Relaxed);
        let text = error.to_string();
        if self.directory.problem().as_deref() != Some(&text) {
            tracing::warn!(%error, "pods can't be watched; what was known counts for a while");
        }
        self.is_broken = true;
        self.directory.set_problem(Some(text));
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.settings.longest_pause());
    }
}

enum Next {
    /// From where it ended.
    Go,
    /// All again.
    List,
}
