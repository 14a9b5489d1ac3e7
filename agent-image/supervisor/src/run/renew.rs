//! Trust that follows the appliance's CA while the client runs.
//!
//! The files are replaced as soon as the bundle is another one; whatever is started from then on reads them. A client that runs
//! does not: Node and Bun read theirs at their start. In an overlap of two CAs that does no harm, since what the appliance signs
//! with is the one that such a client trusts already; it is started again at an idle moment, and when the overlap is about to end,
//! in any case. The appliance is told which bundle is in force here by the name in `If-None-Match`: that of the new one only once the
//! *running* client trusts all of it. That is a help for the appliance, and no promise: the agent could say the same.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::console::Handle;
use super::times::Times;
use crate::agent::Agent;
use crate::backoff::chance;
use crate::setup::trust;
use crate::state::{Client, State};

/// The overlap is about to end.
const NEAR: Duration = Duration::from_secs(15 * 60);
/// What a client is told to be that does not trust the bundle yet.
const WAITING: &str = "\"waiting\"";

/// Certificates, as a set.
type Set = BTreeSet<[u8; 32]>;

/// What the client that was started last trusts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trusted(Arc<Mutex<Option<Set>>>);

impl Trusted {
    /// A client is about to be started: it reads what is written now.
    pub(crate) fn starts(&self, agent: &Agent) {
        let written = trust::written(&agent.place).ok().map(|certificates| set(&certificates));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = written;
    }

    fn last(&self) -> Option<Set> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What it takes to follow.
#[derive(Clone, Debug)]
pub(crate) struct Renewal {
    pub(crate) agent: Agent,
    pub(crate) state: State,
    pub(crate) console: Handle,
    pub(crate) times: Times,
    pub(crate) trusted: Trusted,
    /// Asks for a new start of the client.
    pub(crate) again: Arc<Notify>,
}

/// The bundle that the appliance has in force.
#[derive(Debug)]
struct Served {
    tag: String,
    set: Set,
}

impl Renewal {
    /// Follows it. Ends only with its task.
    pub(crate) async fn follow(self) {
        let mut look = interval(self.times.trust_look);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut served: Option<Served> = None;
        let (mut next, mut ends) = (Instant::now(), None);
        let (mut said, mut asked_again) = (None, None);
        loop {
            look.tick().await;
            self.follow_mount();
            let in_force = self.in_force();
            let trusts = |served: &Served| in_force.as_ref().is_some_and(|set| served.set.is_subset(set));
            // Whoever waits to hear it hears it at once.
            let is_news =
                served.as_ref().is_some_and(|served| trusts(served) && asked_again.as_ref() != Some(&served.tag));
            if Instant::now() >= next || is_news {
                let known = served.as_ref().filter(|served| trusts(served)).map(|served| served.tag.clone());
                match self.ask(known.as_deref()).await {
                    Ok((answer, left)) => {
                        ends = left.map(|left| Instant::now() + left);
                        if let Some(fresh) = answer {
                            served = Some(fresh);
                        }
                        said = None;
                    }
                    Err(why) => {
                        if said.as_ref() != Some(&why) {
                            warn!(why, "the bundle of the appliance can't be asked for; what is trusted stays");
                        }
                        said = Some(why);
                    }
                }
                asked_again = known;
                next = Instant::now() + self.times.trust.mul_f64(0.8 + 0.4 * chance());
            }
            self.start_again(ends);
        }
    }

    /// A bundle that was mounted anew is written in every form.
    fn follow_mount(&self) {
        if let Some(mounted) = trust::mounted(&self.agent.place) {
            match mounted.and_then(|mounted| trust::put(&self.agent.place, &mounted)) {
                Ok(true) => {
                    info!(bundle = %self.agent.place.bundle.display(), "the mounted bundle is another one: it is trusted by what starts from now on")
                }
                Ok(false) => {}
                Err(why) => tracing::debug!(why, "the mounted bundle can't be followed"),
            }
        }
    }

    /// What the running client trusts; what the next one will where none runs.
    fn in_force(&self) -> Option<Set> {
        let runs = matches!(self.state.facts().client, Client::Up { .. } | Client::Hung { .. });
        match self.trusted.last() {
            Some(set) if runs => Some(set),
            _ => trust::written(&self.agent.place).ok().map(|certificates| set(&certificates)),
        }
    }

    /// Asks the appliance, and writes what it answers unless a bundle is mounted.
    async fn ask(&self, known: Option<&str>) -> Result<(Option<Served>, Option<Duration>), String> {
        let address = &self.agent.file.trust.address;
        if address.is_empty() {
            return Ok((None, None));
        }
        let answer = trust::ask(address, known.unwrap_or(WAITING)).await?;
        let Some(certificates) = answer.certificates else { return Ok((None, answer.left)) };
        let place = &self.agent.place;
        let fresh = set(&certificates);
        if trust::mounted(place).is_none() {
            // More than it signs with may have been put there.
            let has_all = trust::written(place).is_ok_and(|written| set(&written) == fresh);
            if !has_all && trust::put(place, &certificates)? {
                info!(
                    certificates = certificates.len(),
                    "the bundle of the appliance is another one: it is trusted by what starts from now on"
                );
            }
        } else if !trust::written(place).is_ok_and(|written| fresh.is_subset(&set(&written))) {
            warn!("the mounted bundle has not every CA that the appliance has: mount the one of `stubgate ca bundle`");
        }
        Ok((answer.tag.map(|tag| Served { tag, set: fresh }), answer.left))
    }

    /// Starts a client again that does not trust what is written.
    fn start_again(&self, ends: Option<Instant>) {
        let Client::Up { pid, .. } = self.state.facts().client else { return };
        let (Some(last), Ok(written)) = (self.trusted.last(), trust::written(&self.agent.place)) else { return };
        let missing = !set(&written).is_subset(&last);
        let left = ends.map(|ends| ends.saturating_duration_since(Instant::now()));
        if missing && is_due(self.console.idle(), self.times.trust_idle(&self.agent), left, self.times.trust_near(NEAR))
        {
            info!(pid, "the client is started again, so that it trusts the new bundle");
            self.again.notify_one();
        }
    }
}

/// Whether a client may be interrupted that has been idle for so long; `within` is how long it must have been, if it is asked at
/// all, and `left` how long what it trusts is still signed with.
fn is_due(idle: Duration, within: Option<Duration>, left: Option<Duration>, near: Duration) -> bool {
    within.is_some_and(|within| idle >= within || left.is_some_and(|left| left <= near))
}

fn set(certificates: &[rustls_pki_types::CertificateDer<'_>]) -> Set {
    certificates.iter().map(|certificate| Sha256::digest(certificate).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_interrupted_when_it_is_idle_or_when_it_would_be_cut_off() {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let within = Some(minutes(10));
        for (idle, within, left, expected) in [
            (minutes(9), within, None, false),
            (minutes(10), within, None, true),
            (minutes(9), within, Some(minutes(600)), false),
            (minutes(0), within, Some(minutes(15)), true),
            (minutes(0), within, Some(minutes(0)), true),
            (minutes(600), None, Some(minutes(0)), false),
        ] {
            assert_eq!(is_due(idle, within, left, NEAR), expected, "{idle:?} {within:?} {left:?}");
        }
    }

    #[test]
    fn a_client_trusts_what_was_written_when_it_was_started() {
        let root = tempfile::tempdir().unwrap();
        let agent = crate::run::tests::agent(root.path(), "");
        let pem = |name: &str| rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap().cert.pem();
        let (old, new) = (pem("old"), pem("new"));
        let put = |text: &str| trust::put(&agent.place, &trust::certificates(text.as_bytes()).unwrap()).unwrap();
        assert!(put(&old) && !put(&old));
        let trusted = Trusted::default();
        trusted.starts(&agent);
        assert!(put(&format!("{old}{new}")));
        assert_eq!(trusted.last().unwrap().len(), 1, "it reads its trust once");
        trusted.starts(&agent);
        assert_eq!(trusted.last().unwrap().len(), 2);
    }
}
