//! 10,000 random events: pods come, go, change, and use addresses again, while the watch is cut, slow, expired or down. Each
//! decision about who asks on a connection is checked against the model, on new connections and on those that stay open.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stubgate_kubernetes::{Access, At, Directory, Settings, Sighting};
use stubgate_policy::{SourceFile, compile};
use stubgate_proxy::appliance::Appliance;
use stubgate_proxy::client::{Peer, Stamp};
use stubgate_proxy::pods::Pods;
use stubgate_proxy::snapshot::Snapshot;
use stubgate_proxy::start;

use crate::cluster::{Cluster, Moment, Step, Told, is_fixed};
use crate::double::Double;
use crate::site::{PATIENCE, POLICY, Site};

/// Events of a run, where nothing else is said.
pub(crate) const EVENTS: usize = 10_000;
/// From what happens until the double tells it, when all goes well.
const LATENCY: Duration = Duration::from_millis(2);
/// Events between two times at which all is quiet and must be exactly as it is.
const QUIET: usize = 500;
/// Connections that are open at a time; most are of pods that went.
const OPEN: usize = 120;

/// An API server, or what stands for one.
pub(crate) trait Server {
    /// Tells it what happened.
    async fn tell(&mut self, told: Told);
    /// Something may go wrong with the watch, or well again.
    async fn trouble(&mut self, cluster: &mut Cluster);
    /// All goes well from now on, until there is trouble again.
    async fn quiet(&mut self, cluster: &Cluster);
    /// Whether the appliance hears of what happens, soon.
    fn is_heard(&self) -> bool;
    /// The time in the model.
    fn now(&self) -> Moment;
}

/// Asks the appliance who somebody is.
pub(crate) trait Asked {
    fn appliance(&self) -> &Arc<Appliance>;

    fn at(&self, address: IpAddr) -> At {
        self.appliance().pods.as_ref().unwrap().directory.at(address)
    }

    fn connect(&self, address: IpAddr) -> Peer {
        let stamp = stubgate_proxy::identify::stamp(self.appliance(), address);
        Peer { address: (address, 40_000).into(), stamp }
    }

    fn who(&self, peer: &Peer) -> Option<String> {
        let snapshot = self.appliance().snapshot.load();
        stubgate_proxy::identify::identify(self.appliance(), &snapshot, peer).ok().map(|(_, name)| name.to_string())
    }
}

impl Asked for Site {
    fn appliance(&self) -> &Arc<Appliance> {
        &self.appliance
    }
}

struct Connection {
    peer: Peer,
    owner: usize,
    stay: u32,
}

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) decisions: usize,
    pub(crate) allowed: usize,
    pub(crate) reused: usize,
    pub(crate) exact: usize,
}

/// Runs so many events. `lag` is how long something that was true may count.
pub(crate) async fn run(
    asked: &impl Asked,
    server: &mut impl Server,
    cluster: &mut Cluster,
    events: usize,
    lag: Duration,
) -> Tally {
    let mut open: Vec<Connection> = Vec::new();
    let mut reused: VecDeque<IpAddr> = VecDeque::new();
    let mut tally = Tally::default();
    for event in 1..=events {
        match cluster.step(server.now()) {
            Step::Told(all) => {
                for told in all {
                    server.tell(told).await;
                }
            }
            Step::Reuse(address) if server.is_heard() => {
                // Not before it is heard that it is free, by whoever had it last.
                hear(asked, server, cluster).await;
                until("an address is free", || matches!(asked.at(address), At::Nobody)).await;
                for told in cluster.begin(Some(address), server.now()) {
                    tally.reused += 1;
                    reused.truncate(9);
                    reused.push_front(address);
                    server.tell(told).await;
                }
            }
            Step::Reuse(_) => {}
        }
        let callers = cluster.callers();
        if !callers.is_empty() && cluster.random().below(2) == 0 {
            let owner = callers[cluster.random().below(callers.len())];
            let address = cluster.pods[owner].address.unwrap();
            let connection = Connection { peer: asked.connect(address), owner, stay: cluster.stay(owner) };
            if open.len() < OPEN {
                open.push(connection);
            } else {
                let place = cluster.random().below(OPEN);
                open[place] = connection;
            }
        }
        // Some, and everyone who had an address that was used again lately.
        let mut looked: Vec<usize> = (0..6.min(open.len())).map(|_| cluster.random().below(open.len())).collect();
        looked.extend((0..open.len()).filter(|at| reused.contains(&open[*at].peer.ip())));
        for place in looked {
            let Connection { peer, owner, .. } = &open[place];
            let before = server.now();
            tally.decisions += 1;
            let Some(agent) = asked.who(peer) else { continue };
            tally.allowed += 1;
            assert!(
                cluster.may_be(*owner, peer.ip(), &agent, before, lag),
                "event {event}: {peer:?} of pod {owner} was taken for {agent}: {}; known: {:?}",
                cluster.json(*owner),
                asked.at(peer.ip()),
            );
        }
        server.trouble(cluster).await;
        if event % QUIET == 0 {
            server.quiet(cluster).await;
            hear(asked, server, cluster).await;
            exactly(asked, cluster, &open).await;
            tally.exact += 1;
        }
    }
    tally
}

/// Waits until all that happened so far was heard.
async fn hear(asked: &impl Asked, server: &mut impl Server, cluster: &mut Cluster) {
    let (address, [comes, goes]) = cluster.marker();
    server.tell(comes).await;
    until("all is heard", || matches!(asked.at(address), At::Pod(_))).await;
    server.tell(goes).await;
}

/// Everyone is who they are, and nobody is anybody else.
async fn exactly(asked: &impl Asked, cluster: &Cluster, open: &[Connection]) {
    for at in cluster.callers() {
        let address = cluster.pods[at].address.unwrap();
        let is_known = || {
            let who = asked.who(&asked.connect(address));
            who.as_deref() == cluster.is(at) && matches!(asked.at(address), At::Pod(_))
        };
        until(&format!("{address} is {:?}: {}", cluster.is(at), cluster.json(at)), is_known).await;
    }
    for Connection { peer, owner, stay } in open {
        let who = asked.who(peer);
        let is_own_stay = cluster.has_network(*owner) && cluster.stay(*owner) == *stay;
        let current = match asked.at(peer.ip()) {
            At::Pod(entry) => Some(entry.number),
            At::Nobody | At::Contested | At::Stale(_) => None,
        };
        match peer.stamp {
            Stamp::Pod(number) if Some(number) == current => {
                assert!(is_own_stay, "{peer:?} of pod {owner} goes on as another's");
                assert_eq!(who.as_deref(), cluster.is(*owner), "{peer:?}");
            }
            Stamp::Pod(_) => assert_eq!(who, None, "{peer:?} of pod {owner}, whose stay is over"),
            // Opened before its pod was known.
            Stamp::Address if is_fixed(peer.ip()) => assert!(who.as_deref().is_none_or(|who| who == "fixed")),
            Stamp::Address | Stamp::Listener(_) => assert_eq!(who, None, "{peer:?}"),
        }
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// The directory told directly, in a time of its own.
struct Direct {
    appliance: Arc<Appliance>,
    time: Arc<Mutex<Instant>>,
    start: Instant,
}

impl Asked for Direct {
    fn appliance(&self) -> &Arc<Appliance> {
        &self.appliance
    }
}

impl Direct {
    fn new(folder: &std::path::Path, bound: Duration) -> Self {
        let text = format!(
            "listen: {{ http: [\"127.0.0.1:0\"], admin: [] }}\npolicy: [\"{0}\"]\nstate_dir: \"{0}\"\naudit: {{ files: [{{ path: \"{0}/audit\" }}] }}\n",
            folder.display()
        );
        let config = stubgate_proxy::config::compile(SourceFile { name: "direct".into(), text }).unwrap();
        let mut appliance = start::start(config).unwrap().appliance;
        let start = Instant::now();
        let time = Arc::new(Mutex::new(start));
        let clock = Arc::clone(&time);
        let settings = Settings { access: Access::ServiceAccount, namespaces: Vec::new(), stale_after: bound };
        let pods = Pods::with_clock(settings, Arc::new(move || *clock.lock().unwrap()));
        let policy = compile(&[SourceFile { name: "p".into(), text: POLICY.into() }]).unwrap().policy;
        pods.directory.keep_labels(policy.label_keys());
        pods.directory.replace_all(&[]);
        Arc::get_mut(&mut appliance).unwrap().pods = Some(pods);
        appliance.snapshot.store(Arc::new(Snapshot::new(policy, 1, &appliance.metrics)));
        Direct { appliance, time, start }
    }
}

/// Tells it, at once or later, or all again.
struct Teller<'a> {
    direct: &'a Direct,
    unheard: Vec<Told>,
    is_cut: bool,
    uids: HashMap<(String, String), String>,
}

impl Teller<'_> {
    fn directory(&self) -> &Directory {
        &self.direct.appliance.pods.as_ref().unwrap().directory
    }

    fn deliver(&mut self, told: &Told) {
        match told {
            Told::Put(pod) => {
                let sighting = Sighting::read(&pod.to_string()).unwrap();
                let key = (sighting.namespace.to_string(), sighting.name.to_string());
                self.uids.insert(key, sighting.uid.to_string());
                self.directory().see(0, &sighting);
            }
            Told::Delete(namespace, name) => {
                let uid = self.uids.remove(&(namespace.clone(), name.clone())).unwrap();
                self.directory().forget(&uid);
            }
        }
    }

    fn is_well(&mut self) {
        self.is_cut = false;
        for told in std::mem::take(&mut self.unheard) {
            self.deliver(&told);
        }
        self.directory().surely_true(0, *self.direct.time.lock().unwrap());
    }

    /// What happened meanwhile is not told one by one.
    fn list(&mut self, cluster: &Cluster) {
        self.is_cut = false;
        self.unheard.clear();
        let all: Vec<Sighting> =
            cluster.there().map(|at| Sighting::read(&cluster.json(at).to_string()).unwrap()).collect();
        let key = |pod: &Sighting| (pod.namespace.to_string(), pod.name.to_string());
        self.uids = all.iter().map(|pod| (key(pod), pod.uid.to_string())).collect();
        self.directory().replace_all(&all);
    }
}

impl Server for Teller<'_> {
    async fn tell(&mut self, told: Told) {
        if self.is_cut { self.unheard.push(told) } else { self.deliver(&told) }
    }

    async fn trouble(&mut self, cluster: &mut Cluster) {
        let some = u64::try_from(cluster.random().below(400)).unwrap();
        *self.direct.time.lock().unwrap() += Duration::from_millis(some);
        match cluster.random().below(150) {
            0 => self.is_cut = true,
            1 if self.is_cut => self.is_well(),
            2 => self.list(cluster),
            3..50 if !self.is_cut => self.is_well(),
            _ => {}
        }
    }

    async fn quiet(&mut self, _: &Cluster) {
        self.is_well();
    }

    fn is_heard(&self) -> bool {
        !self.is_cut
    }

    fn now(&self) -> Moment {
        self.direct.time.lock().unwrap().duration_since(self.direct.start)
    }
}

#[tokio::test]
async fn in_ten_thousand_events_nobody_is_taken_for_another_whatever_is_heard_late() {
    // Cuts last three quarters of a minute on average, and some much longer than what was known counts.
    let bound = Duration::from_secs(20);
    for seed in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let direct = Direct::new(folder.path(), bound);
        let mut teller = Teller { direct: &direct, unheard: Vec::new(), is_cut: false, uids: HashMap::new() };
        let mut cluster = Cluster::new(seed, bound, 120);
        let tally = run(&direct, &mut teller, &mut cluster, EVENTS, bound).await;
        println!("seed {seed}: {tally:?}");
        assert!(tally.allowed > 4_000 && tally.reused > 100 && tally.exact == EVENTS / QUIET, "{tally:?}");
    }
}

/// The double over TLS, in real time.
struct Distant<'a> {
    double: &'a Double,
    start: Instant,
    down_until: Option<Instant>,
}

impl Distant<'_> {
    fn heal(&mut self) {
        self.down_until = None;
        self.double.set_down(false);
        self.double.set_slow(LATENCY);
    }
}

impl Server for Distant<'_> {
    async fn tell(&mut self, told: Told) {
        match told {
            Told::Put(pod) => self.double.put(*pod),
            Told::Delete(namespace, name) => self.double.delete(&namespace, &name),
        }
    }

    async fn trouble(&mut self, cluster: &mut Cluster) {
        if self.down_until.is_some_and(|until| until <= Instant::now()) {
            self.heal();
        }
        match cluster.random().below(1_000) {
            0..4 => self.double.cut(),
            4..7 => self.double.compact(),
            7 | 8 if self.down_until.is_none() => {
                self.double.set_down(true);
                self.down_until = Some(Instant::now() + Duration::from_millis(300));
            }
            9 | 10 => {
                self.double.set_slow(Duration::from_millis(20));
                self.down_until = Some(Instant::now() + Duration::from_millis(300));
            }
            // Others have their turn.
            _ => tokio::task::yield_now().await,
        }
    }

    async fn quiet(&mut self, _: &Cluster) {
        self.heal();
    }

    fn is_heard(&self) -> bool {
        self.down_until.is_none()
    }

    fn now(&self) -> Moment {
        self.start.elapsed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_ten_thousand_events_of_a_watch_over_tls_that_is_cut_nobody_is_taken_for_another() {
    let bound = Duration::from_secs(4);
    let double = Double::start().await;
    let site = Site::start(|folder| double.kubeconfig(folder), bound.as_secs()).await;
    site.synced().await;
    let mut server = Distant { double: &double, start: Instant::now(), down_until: None };
    server.heal();
    // The server hears of what happens a moment after it happened.
    let lag = bound + Duration::from_millis(100);
    let mut cluster = Cluster::new(7, lag, 2_000);
    let tally = run(&site, &mut server, &mut cluster, EVENTS, lag).await;
    let (took, lists) = (server.start.elapsed(), double.lists());
    println!("{tally:?} in {took:?}; {lists} lists, {} watches, {} times gone", double.watches(), double.gone());
    assert!(tally.allowed > 4_000 && tally.reused > 100, "{tally:?}");
    assert!(double.gone() > 3 && lists > 3 && double.watches() > lists);
}
