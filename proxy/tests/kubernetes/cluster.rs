//! A model of a cluster: what is true in it, what it tells its API server, and who may therefore be taken for whom.
//!
//! It knows nothing of how the appliance finds out. An address is given to another pod only some time after its last holder
//! went, as network plugins do it, or once the appliance is known to have heard; see `docs/kubernetes.md`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};

/// Time in the model.
pub(crate) type Moment = Duration;

/// What the API server is told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Put(Box<Value>),
    Delete(String, String),
}

/// Pods by number, the dead ones too.
pub(crate) struct Cluster {
    pub(crate) pods: Vec<Pod>,
    /// When an address was given up last, if by anybody.
    freed: HashMap<IpAddr, Moment>,
    /// How long an address rests before another pod has it.
    rest: Duration,
    addresses: Vec<IpAddr>,
    markers: u32,
    random: Random,
}

#[derive(Clone, Debug)]
pub(crate) struct Pod {
    namespace: &'static str,
    name: String,
    app: &'static str,
    account: &'static str,
    is_on_host: bool,
    phase: &'static str,
    is_ending: bool,
    is_there: bool,
    pub(crate) address: Option<IpAddr>,
    /// Since when it is not what it was, and who it was until then; `None` stands for no agent.
    was: Vec<(Moment, Option<&'static str>)>,
    stays: u32,
}

/// What happened.
pub(crate) enum Step {
    /// The API server is told this.
    Told(Vec<Told>),
    /// A pod wants an address that another one had a moment ago: it may once the appliance has heard that it is free.
    Reuse(IpAddr),
}

impl Cluster {
    pub(crate) fn new(seed: u64, rest: Duration, addresses: usize) -> Self {
        let address =
            |n: usize| IpAddr::from([10, 1, u8::try_from(n / 250).unwrap(), u8::try_from(n % 250 + 1).unwrap()]);
        Cluster {
            pods: Vec::new(),
            freed: HashMap::new(),
            rest,
            // Some lie in a range that policy gives to an agent of its own.
            addresses: (0..addresses)
                .map(|n| {
                    if n % 16 == 0 {
                        IpAddr::from([127, 9, 1, u8::try_from(n / 16 % 250).unwrap()])
                    } else {
                        address(n)
                    }
                })
                .collect(),
            markers: 0,
            random: Random::new(seed),
        }
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Something happens.
    pub(crate) fn step(&mut self, now: Moment) -> Step {
        let there: Vec<usize> = (0..self.pods.len()).filter(|at| self.pods[*at].is_there).collect();
        let room = 40;
        let kind = if there.len() < room / 2 { 0 } else { self.random.below(if there.len() > room { 7 } else { 10 }) };
        if kind >= 7 || kind == 0 {
            return self.create(now);
        }
        let at = there[self.random.below(there.len())];
        let (before, had_network) = (self.pods[at].agent(), self.pods[at].has_network());
        match kind {
            // What has ended only goes.
            _ if !had_network => self.pods[at].is_there = false,
            // It goes by degrees, or at once.
            1 => self.pods[at].is_ending = true,
            2 => self.pods[at].is_there = false,
            4 => self.pods[at].phase = ["Succeeded", "Failed"][self.random.below(2)],
            5 => self.pods[at].app = ["a0", "a1", "none"][self.random.below(3)],
            // It gets its address late, or its sandbox is made anew, elsewhere.
            3 | 6 if !self.pods[at].is_on_host => {
                self.free(at, now);
                self.pods[at].stays += 1;
                self.pods[at].address = self.rested(now);
            }
            _ => self.pods[at].phase = "Running",
        }
        if had_network && !self.pods[at].has_network() {
            self.free(at, now);
        }
        let after = self.pods[at].agent();
        if before != after {
            self.pods[at].was.push((now, after));
        }
        Step::Told(vec![self.telling(at)])
    }

    /// A new pod, often with the name of one that went.
    fn create(&mut self, now: Moment) -> Step {
        if self.random.below(3) == 0
            && let Some(address) = self.just_freed(now)
        {
            return Step::Reuse(address);
        }
        let address = (self.random.below(12) > 0).then(|| self.rested(now)).flatten();
        Step::Told(self.begin(address, now))
    }

    /// A pod that has this address from now on.
    pub(crate) fn begin(&mut self, address: Option<IpAddr>, now: Moment) -> Vec<Told> {
        let namespace = ["agents", "agents", "agents", "other", "third"][self.random.below(5)];
        let name = format!("p{}", self.random.below(60));
        if self.pods.iter().any(|pod| pod.is_there && pod.namespace == namespace && pod.name == name) {
            return Vec::new();
        }
        let is_on_host = self.random.below(15) == 0;
        self.pods.push(Pod {
            namespace,
            name,
            app: ["a0", "a1", "a0", "none"][self.random.below(4)],
            account: ["sa1", "default"][self.random.below(2)],
            is_on_host,
            phase: if self.random.below(4) == 0 { "Pending" } else { "Running" },
            is_ending: false,
            is_there: true,
            address: if is_on_host { Some(IpAddr::from([192, 0, 2, 1])) } else { address },
            was: Vec::new(),
            stays: 0,
        });
        let at = self.pods.len() - 1;
        let agent = self.pods[at].agent();
        self.pods[at].was.push((now, agent));
        vec![self.telling(at)]
    }

    /// The address of one that went less than the rest ago.
    fn just_freed(&mut self, now: Moment) -> Option<IpAddr> {
        let of: Vec<IpAddr> = self
            .freed
            .iter()
            .filter(|(address, at)| now < **at + self.rest && !self.is_held(**address))
            .map(|(address, _)| *address)
            .collect();
        if of.is_empty() { None } else { Some(of[self.random.below(of.len())]) }
    }

    fn is_held(&self, address: IpAddr) -> bool {
        self.pods.iter().any(|pod| pod.has_network() && pod.address == Some(address))
    }

    fn rested(&mut self, now: Moment) -> Option<IpAddr> {
        for _ in 0..40 {
            let address = self.addresses[self.random.below(self.addresses.len())];
            let has_rested = self.freed.get(&address).is_none_or(|at| now >= *at + self.rest);
            if has_rested && !self.is_held(address) {
                return Some(address);
            }
        }
        None
    }

    fn free(&mut self, at: usize, now: Moment) {
        if let Some(address) = self.pods[at].address.filter(|_| !self.pods[at].is_on_host) {
            self.freed.insert(address, now);
        }
    }

    fn telling(&self, at: usize) -> Told {
        let pod = &self.pods[at];
        if pod.is_there {
            Told::Put(Box::new(self.json(at)))
        } else {
            Told::Delete(pod.namespace.into(), pod.name.clone())
        }
    }

    /// As the API server shows it.
    pub(crate) fn json(&self, at: usize) -> Value {
        let pod = &self.pods[at];
        let mut shown = json!({
            "metadata": { "namespace": pod.namespace, "name": pod.name, "uid": format!("uid-{at}"), "labels": { "app": pod.app, "noise": "n" } },
            "spec": { "serviceAccountName": pod.account, "hostNetwork": pod.is_on_host, "containers": [{ "name": "c", "image": "i" }] },
            "status": { "phase": pod.phase, "hostIP": "192.0.2.1" },
        });
        if let Some(address) = pod.address {
            shown["status"]["podIP"] = json!(address.to_string());
            shown["status"]["podIPs"] = json!([{ "ip": address.to_string() }]);
        }
        if pod.is_ending {
            shown["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        shown
    }

    /// A pod that comes after all that happened until now: once it is known at its address, all of that was heard. No pod of
    /// the model has that address, and nobody is taken for it.
    pub(crate) fn marker(&mut self) -> (IpAddr, [Told; 2]) {
        self.markers += 1;
        let [.., high, low] = self.markers.to_be_bytes();
        let (address, name) = (IpAddr::from([10, 2, high, low]), format!("marker-{}", self.markers));
        let shown = json!({
            "metadata": { "namespace": "third", "name": name, "uid": format!("uid-{name}"), "labels": {} },
            "spec": { "serviceAccountName": "default", "containers": [{ "name": "c", "image": "i" }] },
            "status": { "phase": "Running", "hostIP": "192.0.2.1", "podIP": address, "podIPs": [{ "ip": address }] },
        });
        (address, [Told::Put(Box::new(shown)), Told::Delete("third".into(), name)])
    }

    /// Those that the API server shows.
    pub(crate) fn there(&self) -> impl Iterator<Item = usize> {
        (0..self.pods.len()).filter(|at| self.pods[*at].is_there)
    }

    /// Everyone who can open a connection now, from their address.
    pub(crate) fn callers(&self) -> Vec<usize> {
        (0..self.pods.len())
            .filter(|at| self.pods[*at].has_network() && self.pods[*at].address.is_some() && !self.pods[*at].is_on_host)
            .collect()
    }

    /// Who a pod may be taken for, at an address that it had: what it was at some time within `lag`.
    pub(crate) fn may_be(&self, at: usize, address: IpAddr, agent: &str, now: Moment, lag: Duration) -> bool {
        if is_fixed(address) {
            // What stands in `sources` holds for whoever has the address; only another agent's pod must not be it.
            return agent == "fixed";
        }
        let pod = &self.pods[at];
        let since = now.saturating_sub(lag);
        let ends = pod.was.iter().skip(1).map(|(from, _)| *from).chain([Moment::MAX]);
        pod.was.iter().zip(ends).any(|((_, who), end)| *who == Some(agent) && end >= since)
    }

    /// Who a pod is, by all that is true.
    pub(crate) fn is(&self, at: usize) -> Option<&'static str> {
        let (pod, agent) = (&self.pods[at], self.pods[at].agent());
        let address = pod.address?;
        match (is_fixed(address), agent) {
            (true, None) => Some("fixed"),
            // Claimed by two.
            (true, Some(_)) => None,
            (false, agent) => agent,
        }
    }

    pub(crate) fn stay(&self, at: usize) -> u32 {
        self.pods[at].stays
    }

    pub(crate) fn has_network(&self, at: usize) -> bool {
        self.pods[at].has_network()
    }
}

/// Whether `sources` of policy name it.
pub(crate) fn is_fixed(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.octets()[..2] == [127, 9])
}

impl Pod {
    /// Whether its processes can send anything.
    fn has_network(&self) -> bool {
        self.is_there && !self.is_ending && !matches!(self.phase, "Succeeded" | "Failed")
    }

    /// As policy has it; written here once more, on purpose.
    fn agent(&self) -> Option<&'static str> {
        if !self.has_network() || self.is_on_host || self.address.is_none() {
            return None;
        }
        match (self.namespace, self.app, self.account) {
            ("agents", "a0", _) => Some("a0"),
            ("agents", "a1", "sa1") => Some("a1"),
            ("other", ..) => Some("a2"),
            _ => None,
        }
    }
}

/// Numbers that look random and are the same every time (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(2 * seed + 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % end
    }
}
