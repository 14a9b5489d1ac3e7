//! What the keeper of credentials does, as people see it: in the log, in records, and in what is under way.
//!
//! A problem is said once, not at every attempt; SIGHUP has it said anew. Neither a value nor a part of one ever comes here
//! (law 4).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use stubgate_credentials::{Keeper, Means, News, Outside, Terms, Witness, opener};
use stubgate_policy::Policy;
use stubgate_policy::secret_source::Exec;

use crate::appliance::{Appliance, refresh};
use crate::health::{Ahead, Due};
use crate::programs::{Helper, Runner};
use crate::record::{Event, Layer, Line, rfc3339};
use crate::secrets_client::SecretsClient;

/// Starts the keeper of an appliance, which follows no policy yet. Called in a runtime.
pub fn start(appliance: &Arc<Appliance>, helper: Option<Result<Helper, Vec<Exec>>>) -> Arc<Said> {
    let programs = Arc::new(runner(helper));
    let _ = appliance.programs.set(Arc::clone(&programs));
    let said = Arc::new(Said { appliance: Arc::downgrade(appliance), state: Mutex::default() });
    let terms = Terms { keep: appliance.timeouts.credential_keep, ..Terms::default() };
    let keeper = Keeper::new(
        Arc::clone(&appliance.credentials),
        opener(Means {
            http: Arc::new(SecretsClient::new(Arc::clone(&appliance.dialer))),
            programs,
            escrow: appliance.escrow.get().cloned(),
        }),
        Arc::clone(&said) as Arc<dyn Witness>,
        Outside { now: appliance.health.clock(), ..Outside::system() },
        terms,
        tokio::runtime::Handle::current(),
    );
    // It is served once.
    let _ = appliance.keeper.set(keeper);
    said
}

/// Says which values end soon that their sources do not renew, once for each notice, after asking for better ones.
pub fn look_ahead(appliance: &Appliance) {
    for ending in appliance.health.look() {
        match ending.due {
            Due::Nothing => {}
            Due::Ask => {
                if let Some(keeper) = appliance.keeper.get() {
                    keeper.ask(&ending.name);
                }
            }
            Due::Tell(ahead) => tell_ending(appliance, &ending.name, ahead, ending.end),
        }
    }
}

fn tell_ending(appliance: &Appliance, name: &str, ahead: Ahead, end: SystemTime) {
    let end = rfc3339(end);
    let note = format!("ends at {end}, in less than {}; its source gives nothing that ends later", ahead.as_str());
    let policy = Arc::clone(&appliance.snapshot.load().policy);
    let line = Line {
        credential: Some(name),
        note: Some(&note),
        policy: Some(policy.fingerprint()),
        ..Line::new(Event::Expiring, Layer::Credential)
    };
    // As for what comes from sources; a lost one is counted.
    let _ = appliance.audit.write(&line);
    tracing::warn!(
        credential = name,
        expires = end,
        "credential ends in less than {}; renew it where it comes from",
        ahead.as_str()
    );
    refresh(appliance);
}

fn runner(helper: Option<Result<Helper, Vec<Exec>>>) -> Runner {
    let helper = match helper {
        Some(Ok(helper)) => helper,
        Some(Err(programs)) => return Runner::without(programs),
        None => return Runner::without(Vec::new()),
    };
    let programs = helper.programs().to_vec();
    Runner::through(helper).unwrap_or_else(|error| {
        tracing::error!(%error, "programs for credentials can't be run");
        Runner::without(programs)
    })
}

/// What has been said about credentials.
pub struct Said {
    appliance: Weak<Appliance>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The policy that credentials are kept for.
    fingerprint: String,
    /// By name.
    problems: BTreeMap<Box<str>, String>,
}

impl Said {
    /// What follows is about credentials of this policy.
    fn under(&self, fingerprint: &str) {
        self.state().fingerprint = fingerprint.to_owned();
    }

    /// A policy is about to be followed, whose credentials are known to [`Health`](crate::health::Health) from now on.
    pub fn before(&self, policy: &Policy) {
        self.under(policy.fingerprint());
        if let Some(appliance) = self.appliance.upgrade() {
            appliance.health.follow(policy);
        }
    }

    /// Has everything said anew.
    pub fn forget(&self) {
        self.state().problems.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) {
        if let Some(appliance) = self.appliance.upgrade() {
            refresh(&appliance);
        }
    }

    fn record(&self, outcome: &'static str, name: &str, note: &str) {
        let Some(appliance) = self.appliance.upgrade() else { return };
        // Also where it can't be read: which one stays in use.
        let version = appliance.credentials.version(name);
        let fingerprint = self.state().fingerprint.clone();
        let line = Line {
            outcome: Some(outcome),
            credential: Some(name),
            credential_version: version,
            note: Some(note),
            policy: Some(&fingerprint),
            ..Line::new(Event::Reload, Layer::Credential)
        };
        // A credential does not wait for its record; a lost one is counted.
        let _ = appliance.audit.write(&line);
    }
}

impl Witness for Said {
    fn fetched(&self, name: &str, news: News, expires: Option<SystemTime>) {
        if let Some(appliance) = self.appliance.upgrade() {
            appliance.health.fetched(name, expires, appliance.escrow.get().map(AsRef::as_ref));
        }
        let had_problem = self.state().problems.remove(name).is_some();
        if news == News::Same && !had_problem {
            return;
        }
        match news {
            News::First | News::Changed => {
                self.record("taken", name, "a new value is in use");
                tracing::info!(credential = name, "credential has a new value");
            }
            News::Same => {
                tracing::info!(credential = name, "credential can be read again, with the value of before");
            }
        }
        self.count();
    }

    fn failed(&self, name: &str, kind: &'static str, text: &str, kept: bool) {
        if let Some(appliance) = self.appliance.upgrade() {
            appliance.health.failed(name, kind, text, kept);
        }
        if self.state().problems.insert(name.into(), text.to_owned()).as_deref() == Some(text) {
            return;
        }
        let note = if kept {
            "cannot be read; the last good value stays in use"
        } else {
            "cannot be read; requests that need it are refused"
        };
        // Records come first: who reads in the log that something happened finds it there.
        self.record("failed", name, note);
        tracing::error!(credential = name, kind, "{text}");
        self.count();
        if let Some(appliance) = self.appliance.upgrade().filter(|_| !kept) {
            appliance.decide_again();
        }
    }
}
