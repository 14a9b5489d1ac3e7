//! The pods of the cluster beside the appliance: watched while it runs, counted, and felt by what is under way.
//!
//! Who a pod is, is for *identify* to ask; here is what keeps that true. A pod that goes has what it had under way cut, and so
//! have all pods once nothing is known of them that is recent enough.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stubgate_kubernetes::{Clock, Directory, Settings};
use stubgate_policy::Policy;
use tokio_util::sync::CancellationToken;

use crate::appliance::Appliance;
use crate::metrics::Metrics;

/// How often it is looked at whether what is known has become too old.
const LOOK: Duration = Duration::from_millis(500);
/// How long the first list is waited for before agents come that need none.
const FIRST_LIST: Duration = Duration::from_secs(60);
/// Between two looks at what is under way: pods of the whole cluster come and go.
const REST: Duration = Duration::from_millis(100);
/// How long a new policy waits for the labels that it names.
const LABELS: Duration = Duration::from_secs(3);

/// What is known of pods, and from where.
pub struct Pods {
    /// Who has which address.
    pub directory: Arc<Directory>,
    settings: Settings,
    /// Two scrapes at once must not count the same.
    counting: Mutex<()>,
}

impl Pods {
    /// Knows nothing before [`watch`] runs.
    pub fn new(settings: Settings) -> Self {
        Pods::with_clock(settings, Arc::new(Instant::now))
    }

    /// The same, by another clock.
    pub fn with_clock(settings: Settings, clock: Clock) -> Self {
        let directory = Arc::new(Directory::new(settings.parts(), settings.stale_after, clock));
        Pods { directory, settings, counting: Mutex::default() }
    }

    /// Has known what this policy names, before it is in force: where pods are known already, those that it knows by other
    /// labels are listed once more. Blocks; for a thread that may.
    pub fn ready_for(&self, policy: &Policy) {
        let (directory, keys) = (&self.directory, policy.label_keys());
        directory.keep_labels(keys);
        if !directory.is_fresh() || directory.knows_labels(keys) {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let listed = async {
            while !directory.knows_labels(keys) {
                directory.listed().await;
            }
        };
        if runtime.block_on(async { tokio::time::timeout(LABELS, listed).await }).is_err() {
            tracing::warn!(
                "policy names labels that are not known yet; agents that are known by their pods are refused until then"
            );
        }
    }

    /// Why agents that are known by their pods are nobody at this time; `None` where they are not.
    pub fn trouble(&self) -> Option<String> {
        if self.directory.is_fresh() {
            return None;
        }
        let problem = self.directory.problem();
        let why = problem.map(|problem| format!(" ({problem})")).unwrap_or_default();
        Some(match self.directory.age() {
            None => format!("the pods of the cluster are not known yet{why}"),
            Some(age) => format!(
                "the pods of the cluster were last known {} s ago, which is more than kubernetes.stale_after_seconds allows{why}",
                age.as_secs()
            ),
        })
    }

    /// Lines for people about how the watch is.
    pub fn standing(&self) -> String {
        let directory = &self.directory;
        let mut text = match (directory.age(), directory.problem()) {
            (Some(age), None) => format!("kubernetes: {} pods, as of {} s ago\n", directory.pods(), age.as_secs()),
            (Some(age), Some(problem)) => {
                format!("kubernetes: {} pods, as of {} s ago; {problem}\n", directory.pods(), age.as_secs())
            }
            (None, problem) => {
                let why = problem.map(|problem| format!("; {problem}")).unwrap_or_default();
                format!("kubernetes: pods are not known yet{why}\n")
            }
        };
        let contested = directory.contested();
        if contested > 0 {
            text.push_str(&format!(
                "kubernetes: {contested} addresses are claimed by two pods each, and are nobody's\n"
            ));
        }
        text
    }

    /// Counts how the watch is, for a scrape.
    pub fn refresh(&self, metrics: &Metrics) {
        let directory = &self.directory;
        let of = &metrics.kubernetes;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        of.pods.set(number(directory.pods()));
        of.contested.set(number(directory.contested()));
        of.watched.set(1);
        of.fresh.set(i64::from(directory.is_fresh()));
        // Before the first list there is no time to tell, and `fresh` says so.
        of.age.set(directory.age().map_or(-1.0, |age| age.as_secs_f64()));
        let _counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = directory.counts();
        for (counter, count) in [
            (&of.events, &counts.events),
            (&of.lists, &counts.lists),
            (&of.watches, &counts.watches),
            (&of.failures, &counts.failures),
        ] {
            counter.inc_by(count.load(Ordering::Relaxed).saturating_sub(counter.get()));
        }
    }
}

/// Why agents that are known by their pods can't be served, where policy has such agents.
pub fn unready(appliance: &Appliance) -> Option<String> {
    if !appliance.snapshot.load().policy.has_pods() {
        return None;
    }
    match &appliance.pods {
        Some(pods) => pods.trouble().map(|why| format!("{why}\n")),
        None => {
            Some("policy knows agents by their pods, and the configuration names no cluster (`kubernetes`)\n".into())
        }
    }
}

/// Whether agents should not be sent here for want of pods: it can serve nobody, or has only just begun to ask. An API server
/// that is away is away for every replica, and must not take from agents by `sources` what still works (ADR 22).
pub fn keeps_away(appliance: &Appliance) -> bool {
    let is_new = |pods: &Pods| pods.directory.age().is_none() && pods.directory.lasted() < FIRST_LIST;
    unready(appliance).is_some()
        && (!appliance.snapshot.load().policy.has_sources() || appliance.pods.as_ref().is_some_and(is_new))
}

/// Watches the pods until the appliance closes, and decides what is under way again when somebody went. Agents that are still
/// served while it drains go on to be known.
pub async fn watch(appliance: Arc<Appliance>) {
    let Some(pods) = &appliance.pods else { return };
    let directory = Arc::clone(&pods.directory);
    directory.keep_labels(appliance.snapshot.load().policy.label_keys());
    let stop = CancellationToken::new();
    let watching = stubgate_kubernetes::watch(pods.settings.clone(), Arc::clone(&directory), stop.clone());
    let closing = appliance.closing.clone();
    tokio::select! {
        () = watching => {}
        () = feel(&appliance, &directory) => {}
        () = closing.cancelled() => {}
    }
    stop.cancel();
}

/// Asks again whose all is that is under way when a pod went, and when all that is known becomes too old.
pub async fn feel(appliance: &Arc<Appliance>, directory: &Directory) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_fresh = directory.is_fresh();
    loop {
        let is_loss = tokio::select! {
            () = directory.changed() => true,
            _ = looks.tick() => false,
        };
        let is_fresh = directory.is_fresh();
        if was_fresh && !is_fresh {
            tracing::error!("pods were last known too long ago; agents that are known by their pods are refused");
        } else if !was_fresh && is_fresh {
            tracing::info!(pods = directory.pods(), "agents are known by their pods");
        }
        if is_loss || was_fresh && !is_fresh {
            let appliance = Arc::clone(appliance);
            // There may be thousands under way.
            let _ = tokio::task::spawn_blocking(move || appliance.identify_again()).await;
            // What happens meanwhile is told to the next look.
            tokio::time::sleep(REST).await;
        }
        was_fresh = is_fresh;
    }
}
