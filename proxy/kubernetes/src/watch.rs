//! Keeps a [`Directory`] as the API server says: a list, then watches that go on from it, one after the other.
//!
//! What is known counts for a bounded time after it was surely true, so it must be clear when that was. A list is true when
//! it is asked for. A watch that the server itself ends, after the time it was told, has brought everything that was so by
//! then; that is why watches are short, and why one that breaks, or is slower than its deadline, says nothing of the kind.
//! Events of a watch are taken at once in any case.
//!
//! A watch is served from the API server's cache: one that has lost its etcd, and has not noticed, is believed until it does.
//!
//! Nothing here gives up: what fails is tried again, after times that grow up to a few seconds, with what the files of the
//! service account say by then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch::Receiver;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Error, Programs};
use crate::directory::{Directory, Keys};
use crate::lines::{Event, What};
use crate::list::{all, places};
use crate::pod::Sighting;
use crate::wire::{Place, events};

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

/// Keeps a directory until `stop`, and never ends before. One with fewer parts than the settings stays without the others,
/// and is never fresh.
pub async fn watch(settings: Settings, directory: Arc<Directory>, stop: CancellationToken) {
    let mut keepers = tokio::task::JoinSet::new();
    let mut parts = HashMap::new();
    for (part, place) in places(&settings.namespaces).into_iter().enumerate() {
        let (settings, of, keys) = (settings.clone(), Arc::clone(&directory), directory.keys());
        let keeper = Keeper { settings, directory: of, keys, place, part, pause: FIRST_PAUSE, said: None };
        parts.insert(keepers.spawn(keeper.run()).id(), part);
    }
    let kept = async {
        // They never end by themselves. If one does, what it knew becomes too old: whoever looks at that must go on to.
        while let Some(ended) = keepers.join_next_with_id().await {
            let id = match ended {
                Ok((id, ())) => id,
                Err(error) => error.id(),
            };
            tracing::error!("a watch of pods ended by a fault of its own; what it knew counts for a while");
            if let Some(part) = parts.get(&id) {
                directory.set_problem(*part, Some("a watch ended by a fault of its own; restart".into()));
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = kept => {}
    }
}

struct Keeper {
    settings: Settings,
    directory: Arc<Directory>,
    keys: Receiver<Keys>,
    place: Place,
    part: usize,
    pause: Duration,
    /// What was said to be wrong last, while it has not gone well since.
    said: Option<String>,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let error = match self.settings.access.client(Programs::Refuse).await {
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
                        self.rest().await;
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

    async fn list(&mut self, client: &Client) -> Result<Box<str>, Error> {
        let keys = Arc::clone(&self.keys.borrow_and_update());
        let as_of = self.directory.now();
        let most = self.settings.stale_after.max(Duration::from_secs(10));
        let (pods, version) = all(client, &self.place, most, |pod| pared(pod.sighting(), &keys)).await?;
        self.directory.replace(self.part, &pods, &keys, as_of);
        // That is not yet going well: watches may be refused, or break at once, and a list a moment is too many.
        Ok(version)
    }

    /// One watch, from its beginning to its end.
    async fn watch_once(&mut self, client: &Client, version: &mut Box<str>) -> Result<Next, Error> {
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
            let Some(Event { version: reached, what }) = event else {
                // The server counts from when it got the request: its end is no earlier than this.
                if began.elapsed() >= length {
                    directory.surely_true(self.part, as_of + length);
                    self.recovered();
                    return Ok(Next::Go);
                }
                // It ended the watch before: as it may, but not at once and for ever.
                return Err(Error::Unreachable("it ended the watch early".into()));
            };
            self.recovered();
            *version = reached;
            match what {
                What::Seen(pod) => directory.see(self.part, &pod),
                What::Gone(uid) => directory.forget(&uid),
                What::Nothing => {}
            }
        }
    }

    fn recovered(&mut self) {
        self.pause = FIRST_PAUSE;
        if self.said.take().is_some() {
            self.directory.set_problem(self.part, None);
            tracing::info!(of = %self.place, pods = self.directory.pods(), "pods can be watched again");
        }
    }

    /// Says it, once until it goes well again, and rests.
    async fn failed(&mut self, error: &Error) {
        self.directory.counts().failures.fetch_add(1, Ordering::Relaxed);
        let text = match self.place.namespace() {
            Some(namespace) => format!("namespace {namespace}: {error}"),
            None => error.to_string(),
        };
        if self.said.as_ref() != Some(&text) {
            tracing::warn!(of = %self.place, %error, "pods can't be watched; what was known counts for a while");
            self.directory.set_problem(self.part, Some(text.clone()));
            self.said = Some(text);
        }
        self.rest().await;
    }

    /// Longer each time, until it goes well.
    async fn rest(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.settings.longest_pause());
    }
}

/// Leaves of a pod what a directory takes.
fn pared(mut pod: Sighting, keys: &Keys) -> Sighting {
    pod.labels.retain(|key, _| keys.contains(key));
    pod.name = Box::default();
    pod
}

enum Next {
    /// From where it ended.
    Go,
    /// All again.
    List,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_listed_pod_nothing_is_held_that_no_policy_asks_for() {
        let text = r#"{"metadata":{"uid":"u","name":"p","namespace":"n","labels":{"app":"a","note":"long"}},
            "status":{"podIP":"10.0.0.1"}}"#;
        let pod = pared(Sighting::read(text).unwrap(), &Arc::new(["app".into(), "tier".into()].into()));
        assert_eq!(pod.labels, [("app".into(), "a".into())].into());
        assert_eq!((&*pod.uid, &*pod.namespace, &*pod.name, pod.addresses.len()), ("u", "n", "", 1));
    }
}
