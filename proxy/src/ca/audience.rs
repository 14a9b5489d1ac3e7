//! Which agents are about, and which of them have been seen with the bundle that has the CA that comes: each at every address
//! that it comes from, so that one container does not speak for another of the same agent.
//!
//! It is asked for each handshake, so it holds a lock for no longer than it takes to look a name up, and who may still come is
//! judged without it; agents are those of policy, and each has so many places and no more.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use stubgate_certs::{ACTIVE, Audience, Heard};

/// Addresses of one agent that are waited for, at most: the latest. Who comes from more within a day is an agent with a network
/// of its own to play with.
const MOST_PLACES: usize = 1024;

pub(super) struct Agents(Mutex<Inner>);

struct Inner {
    /// The CA that they are seen with.
    coming: Option<String>,
    all: HashMap<Arc<str>, HashMap<IpAddr, Heard>>,
    /// Who was awaited when the last one that came began to sign.
    left: Vec<String>,
}

impl Agents {
    /// With those of before a restart.
    pub(super) fn new(coming: Option<String>, audience: &Audience) -> Self {
        let places = |places: &BTreeMap<IpAddr, Heard>| places.iter().map(|(at, heard)| (*at, *heard)).collect();
        let all = audience.iter().map(|(name, all)| (name.as_str().into(), places(all))).collect();
        Self(Mutex::new(Inner { coming, all, left: Vec::new() }))
    }

    pub(super) fn hear(&self, agent: &Arc<str>, address: IpAddr, now: SystemTime) {
        let now = seconds(now);
        let mut inner = self.lock();
        if !inner.all.contains_key(agent) {
            inner.all.insert(Arc::clone(agent), HashMap::new());
        }
        let Some(places) = inner.all.get_mut(agent) else { return };
        if places.len() >= MOST_PLACES && !places.contains_key(&address) {
            // Who is here now must be waited for: who is not awaited goes, or else who was silent the longest.
            let least = places.iter().min_by_key(|(_, heard)| (heard.is_awaited(now), heard.heard));
            if let Some(least) = least.map(|(address, _)| *address) {
                places.remove(&least);
            }
        }
        places.entry(address).or_insert(Heard { heard: now, seen: None }).heard = now;
    }

    /// Whether that is news.
    pub(super) fn see(&self, agent: &Arc<str>, address: IpAddr, coming: Option<&str>, now: SystemTime) -> bool {
        let mut inner = self.lock();
        if coming.is_none() || inner.coming.as_deref() != coming {
            return false;
        }
        let place = inner.all.get_mut(agent).and_then(|places| places.get_mut(&address));
        let Some(heard) = place.filter(|heard| heard.seen.is_none()) else { return false };
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
        let mut left: Vec<String> = inner.awaited(now).map(Arc::to_string).collect();
        left.sort();
        inner.left = if inner.coming.is_some() { left } else { Vec::new() };
        inner.coming = coming;
        for heard in inner.all.values_mut().flat_map(HashMap::values_mut) {
            heard.seen = None;
        }
    }

    /// Forgets who was silent for as long as nobody is waited for, and who may not come any more.
    pub(super) fn prune(&self, now: SystemTime, may_come: impl Fn(&str, IpAddr) -> bool) {
        let known: Vec<(Arc<str>, Vec<IpAddr>)> = {
            let inner = self.lock();
            inner.all.iter().map(|(name, places)| (Arc::clone(name), places.keys().copied().collect())).collect()
        };
        let gone = |(name, mut places): (Arc<str>, Vec<IpAddr>)| {
            places.retain(|address| !may_come(&name, *address));
            (name, places)
        };
        let gone: Vec<(Arc<str>, Vec<IpAddr>)> = known.into_iter().map(gone).collect();
        let now = seconds(now);
        let mut inner = self.lock();
        for (name, gone) in gone {
            let Some(places) = inner.all.get_mut(&name) else { continue };
            for address in gone {
                places.remove(&address);
            }
        }
        inner.all.retain(|_, places| {
            places.retain(|_, heard| now.saturating_sub(heard.heard) < ACTIVE);
            !places.is_empty()
        });
    }

    /// Those that may still come, as they were seen with this CA. Others are forgotten.
    pub(super) fn told(&self, coming: &str, now: SystemTime, may_come: impl Fn(&str, IpAddr) -> bool) -> Audience {
        self.prune(now, may_come);
        let inner = self.lock();
        let is_of = inner.coming.as_deref() == Some(coming);
        let told = |heard: &Heard| Heard { seen: heard.seen.filter(|_| is_of), ..*heard };
        let places = |all: &HashMap<IpAddr, Heard>| all.iter().map(|(at, heard)| (*at, told(heard))).collect();
        inner.all.iter().map(|(name, all)| (name.to_string(), places(all))).collect()
    }

    /// How many are awaited.
    pub(super) fn unseen(&self, now: SystemTime) -> usize {
        let now = seconds(now);
        self.lock().awaited(now).count()
    }

    /// Who was awaited in vain.
    pub(super) fn left(&self) -> Vec<String> {
        self.lock().left.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Agents that are awaited, at any of their addresses.
    fn awaited(&self, now: u64) -> impl Iterator<Item = &Arc<str>> {
        self.all.iter().filter(move |(_, all)| all.values().any(|heard| heard.is_awaited(now))).map(|(name, _)| name)
    }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn an_agent_is_seen_with_one_ca_and_not_with_the_next() {
        let agents = Agents::new(Some("b".into()), &Audience::new());
        let (one, two): (Arc<str>, Arc<str>) = ("one".into(), "two".into());
        let now = SystemTime::now();
        agents.hear(&one, HERE, now);
        agents.hear(&two, THERE, now);
        assert!(!agents.see(&one, HERE, Some("a"), now) && !agents.see(&one, HERE, None, now), "of another bundle");
        assert!(agents.see(&one, HERE, Some("b"), now) && !agents.see(&one, HERE, Some("b"), now), "once");
        let told = agents.told("b", now, |_, _| true);
        let seen = |name: &str, at| told[name][&at].seen.is_some();
        assert_eq!((seen("one", HERE), seen("two", THERE), agents.unseen(now)), (true, false, 1));
        assert!(agents.told("c", now, |_, _| true).values().flatten().all(|(_, heard)| heard.seen.is_none()));
        agents.await_with(Some("c".into()));
        assert_eq!((agents.left(), agents.unseen(now)), (vec!["two".to_owned()], 2));
        assert_eq!(agents.told("c", now, |name, _| name == "one").len(), 1, "those of policy");
        agents.await_with(None);
        assert_eq!(agents.left(), ["one"]);
    }

    #[test]
    fn one_place_of_an_agent_does_not_speak_for_another() {
        let agents = Agents::new(Some("b".into()), &Audience::new());
        let (one, now): (Arc<str>, _) = ("one".into(), SystemTime::now());
        agents.hear(&one, HERE, now);
        agents.hear(&one, THERE, now);
        assert!(agents.see(&one, HERE, Some("b"), now));
        assert_eq!(agents.unseen(now), 1, "it is awaited at the other");
        let told = agents.told("b", now, |_, _| true);
        assert_eq!(Agents::new(Some("b".into()), &told).unseen(now), 1, "and after a restart");
        agents.told("b", now, |_, address| address == HERE);
        assert_eq!(agents.unseen(now), 0, "who can't come any more is not awaited");
    }

    #[test]
    fn an_agent_has_so_many_places_and_no_more() {
        let agents = Agents::new(Some("b".into()), &Audience::new());
        let (one, now): (Arc<str>, _) = ("one".into(), SystemTime::now());
        for place in 0..2 * MOST_PLACES {
            agents.hear(&one, place_of(place), now);
        }
        assert_eq!(agents.told("b", now, |_, _| true)["one"].len(), MOST_PLACES);
    }

    fn place_of(number: usize) -> IpAddr {
        std::net::Ipv4Addr::from(u32::try_from(number).unwrap()).into()
    }

    #[test]
    fn who_is_here_now_is_awaited_however_many_were_before() {
        let agents = Agents::new(Some("b".into()), &Audience::new());
        let one: Arc<str> = "one".into();
        let start = SystemTime::now();
        let at = |second: usize| start + Duration::from_secs(second as u64);
        for place in 0..MOST_PLACES {
            agents.hear(&one, place_of(place), at(place));
        }
        let now = at(MOST_PLACES);
        // The second is awaited no more, and the first is the one that was silent the longest.
        assert!(agents.see(&one, place_of(1), Some("b"), now));
        for (number, gone) in [(MOST_PLACES, 1), (MOST_PLACES + 1, 0)] {
            agents.hear(&one, place_of(number), now);
            let told = agents.told("b", now, |_, _| true);
            assert!(told["one"][&place_of(number)].is_awaited(seconds(now)), "who came last");
            assert_eq!((told["one"].len(), told["one"].contains_key(&place_of(gone))), (MOST_PLACES, false));
        }
    }

    #[test]
    fn who_is_silent_for_a_day_is_forgotten_also_while_no_ca_comes() {
        let agents = Agents::new(None, &Audience::new());
        let (one, now): (Arc<str>, _) = ("one".into(), SystemTime::now());
        agents.hear(&one, HERE, now);
        agents.hear(&one, THERE, now + Duration::from_secs(1));
        agents.prune(now + Duration::from_secs(ACTIVE), |_, _| true);
        let left: Vec<IpAddr> = agents.lock().all["one"].keys().copied().collect();
        assert_eq!(left, [THERE]);
        agents.prune(now + Duration::from_secs(ACTIVE), |_, _| false);
        assert!(agents.lock().all.is_empty());
    }

    #[test]
    fn nobody_waits_while_it_is_judged_who_may_come() {
        let agents = Agents::new(Some("b".into()), &Audience::new());
        let (one, now): (Arc<str>, _) = ("one".into(), SystemTime::now());
        agents.hear(&one, HERE, now);
        let told = agents.told("b", now, |_, _| {
            agents.hear(&one, THERE, now);
            true
        });
        assert_eq!(told["one"].len(), 2);
    }
}
