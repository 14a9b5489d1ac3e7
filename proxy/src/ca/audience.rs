//! Which agents are about, and which of them have been seen with the bundle that has the CA that comes.
//!
//! It is asked for each handshake, so it holds a lock for no longer than it takes to look a name up; agents are those of policy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use stubgate_certs::{Audience, Heard};

pub(super) struct Agents(Mutex<Inner>);

struct Inner {
    /// The CA that they are seen with.
    coming: Option<String>,
    all: HashMap<Arc<str>, Heard>,
    /// Who was awaited when the last one that came began to sign.
    left: Vec<String>,
}

impl Agents {
    /// With those of before a restart.
    pub(super) fn new(coming: Option<String>, audience: &Audience) -> Self {
        let all = audience.iter().map(|(name, heard)| (name.as_str().into(), *heard)).collect();
        Self(Mutex::new(Inner { coming, all, left: Vec::new() }))
    }

    pub(super) fn hear(&self, agent: &Arc<str>, now: SystemTime) {
        let now = seconds(now);
        let mut inner = self.lock();
        match inner.all.get_mut(agent) {
            Some(heard) => heard.heard = now,
            None => drop(inner.all.insert(Arc::clone(agent), Heard { heard: now, seen: None })),
        }
    }

    /// Whether that is news.
    pub(super) fn see(&self, agent: &Arc<str>, coming: Option<&str>, now: SystemTime) -> bool {
        let mut inner = self.lock();
        if coming.is_none() || inner.coming.as_deref() != coming {
            return false;
        }
        let Some(heard) = inner.all.get_mut(agent).filter(|heard| heard.seen.is_none()) else { return false };
        heard.seen = Some(seconds(now));
        true
    }

    /// Another CA comes, or none: nobody has been seen with it.
    pub(super) fn await_with(&self, coming: Option<String>) {
        let mut inner = self.lock();
        if inner.coming == coming {
            return;
        }
        let now = seconds(SystemTime::now());
        let awaited = inner.all.iter().filter(|(_, heard)| heard.is_awaited(now)).map(|(name, _)| name.to_string());
        let mut left: Vec<String> = awaited.collect();
        left.sort();
        inner.left = if inner.coming.is_some() { left } else { Vec::new() };
        inner.coming = coming;
        for heard in inner.all.values_mut() {
            heard.seen = None;
        }
    }

    /// Those that policy knows, as they were seen with this CA. Others are forgotten.
    pub(super) fn told(&self, coming: &str, is_known: impl Fn(&str) -> bool) -> Audience {
        let mut inner = self.lock();
        inner.all.retain(|name, _| is_known(name));
        let is_of = inner.coming.as_deref() == Some(coming);
        let told = |heard: &Heard| Heard { seen: heard.seen.filter(|_| is_of), ..*heard };
        inner.all.iter().map(|(name, heard)| (name.to_string(), told(heard))).collect()
    }

    /// How many are awaited.
    pub(super) fn unseen(&self, now: SystemTime) -> usize {
        let now = seconds(now);
        self.lock().all.values().filter(|heard| heard.is_awaited(now)).count()
    }

    /// Who was awaited in vain.
    pub(super) fn left(&self) -> Vec<String> {
        self.lock().left.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_seen_with_one_ca_and_not_with_the_next() {
        let agents = Agents::new(Some("b".into()), &Audience::new());
        let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        let now = SystemTime::now();
        agents.hear(&one, now);
        agents.hear(&two, now);
        assert!(!agents.see(&one, Some("a"), now) && !agents.see(&one, None, now), "of another bundle");
        assert!(agents.see(&one, Some("b"), now) && !agents.see(&one, Some("b"), now), "once");
        let told = agents.told("b", |_| true);
        assert_eq!((told["one"].seen.is_some(), told["two"].seen.is_some(), agents.unseen(now)), (true, false, 1));
        assert!(agents.told("c", |_| true).values().all(|heard| heard.seen.is_none()));
        agents.await_with(Some("c".into()));
        assert_eq!((agents.left(), agents.unseen(now)), (vec!["two".to_owned()], 2));
        assert_eq!(agents.told("c", |name| name == "one").len(), 1, "those of policy");
        agents.await_with(None);
        assert_eq!(agents.left(), ["one"]);
    }
}
