//! Restarted and upgraded under load, nobody is refused: two replicas behind a balancer that follows their readiness, and
//! one host whose service manager keeps the sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use stubgate_tests::appliance::{Appliance, binary};
use stubgate_tests::client::{python, source};
use stubgate_tests::harness::alone;
use stubgate_tests::lab::Lab;
use stubgate_tests::program::Running;
use stubgate_tests::world::POLICY;
use stubgate_tests::{Way, World};

/// How far the ports of the second replica are from those that agents know.
const SHIFT: u16 = 20_000;
/// How long after a replica says that it leaves the balancer goes on to send connections there: a kube-proxy's worth of lag.
const LAG: Duration = Duration::from_secs(1);
/// How often it asks.
const PERIOD: Duration = Duration::from_millis(150);
const TIMEOUTS: &str = "timeouts: { drain_delay_seconds: 3, drain_seconds: 2 }";

/// What a cluster's service is: rules of the kernel's that deal new connections and datagrams out among the replicas that were
/// ready a while ago. Connections that stand stay with whom they have.
struct Balancer<'a> {
    replicas: [&'a Appliance; 2],
    in_service: Mutex<[bool; 2]>,
}

impl<'a> Balancer<'a> {
    fn new(replicas: [&'a Appliance; 2]) -> Self {
        let balancer = Balancer { replicas, in_service: Mutex::new([true; 2]) };
        balancer.deal([true; 2]);
        balancer
    }

    fn in_service(&self) -> [bool; 2] {
        *self.in_service.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows readiness until told to stop.
    fn follow(&self, stop: &AtomicBool) {
        let mut seen = vec![(Instant::now(), [true; 2])];
        while !stop.load(Ordering::Relaxed) {
            let ready = self.replicas.map(|replica| replica.get("/readyz").is_ok_and(|(status, _)| status == 200));
            if seen.last().is_none_or(|(_, last)| *last != ready) {
                seen.push((Instant::now(), ready));
            }
            // What it knows is what was so a while ago.
            let known = seen.iter().rev().find(|(at, _)| at.elapsed() >= LAG).map(|(_, ready)| *ready);
            if let Some(known) = known
                && known != self.in_service()
            {
                self.deal(known);
            }
            thread::sleep(PERIOD);
        }
    }

    fn deal(&self, up: [bool; 2]) {
        let mut rules = "table ip service\ndelete table ip service\ntable ip service {\nchain agents {\n\
                         type nat hook prerouting priority dstnat - 1\n"
            .to_owned();
        for (protocol, port) in [("udp", 53), ("tcp", 53), ("tcp", 80), ("tcp", 443), ("tcp", 3128)] {
            let other = port + SHIFT;
            let to = match up {
                [true, true] => format!("numgen inc mod 2 map {{ 0 : {port}, 1 : {other} }}"),
                [false, true] => other.to_string(),
                [true, false] => port.to_string(),
                [false, false] => panic!("no replica is in service"),
            };
            rules.push_str(&format!("iifname link0 {protocol} dport {port} redirect to :{to}\n"));
        }
        rules.push_str("}\n}\n");
        let node = self.replicas[0].node();
        let file = node.dir().join("balancer.nft");
        std::fs::write(&file, rules).expect("write rules");
        node.plumb(&format!("nft -f {}", file.display()));
        *self.in_service.lock().unwrap_or_else(PoisonError::into_inner) = up;
    }

    fn until(&self, wanted: [bool; 2]) {
        self.replicas[0].until("the balancer to follow", || self.in_service() == wanted);
    }
}

/// Agents at work, until they are told to stop; what failed for them.
struct Load<'a> {
    lab: &'a Lab,
    stop: AtomicBool,
    done: AtomicUsize,
    failed: Mutex<Vec<String>>,
}

impl<'a> Load<'a> {
    fn new(lab: &'a Lab) -> Self {
        Load { lab, stop: AtomicBool::new(false), done: AtomicUsize::new(0), failed: Mutex::default() }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn fail(&self, what: String) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// curl, one request on a connection of its own, and then a few on one that is kept.
    fn curl(&self, way: Way, version: &str) {
        while !self.is_over() {
            for (url, answers) in [("https://other.example/x", 1), ("https://other.example/[1-12]", 12)] {
                let curl =
                    self.lab.client(way).curl_status().args([version, "-w", "%{http_code} ", "--rate", "10/s", url]);
                let ran = curl.run();
                if ran.status.success() && ran.text() == "200 ".repeat(answers) {
                    self.done.fetch_add(answers, Ordering::Relaxed);
                } else {
                    self.fail(format!("curl {way:?} {version}: {} {:?} {}", ran.status, ran.text(), ran.errors()));
                }
            }
        }
    }

    /// git: a clone, and a fetch into it.
    fn git(&self) {
        let folder = self.lab.scratch("rolling");
        let mut number = 0;
        while !self.is_over() {
            number += 1;
            let to = folder.join(number.to_string());
            let cloned = self
                .lab
                .client(Way::Dns)
                .git()
                .args(["clone", "-q", "https://github.com/acme/site.git"])
                .arg(&to)
                .run();
            let fetched = self.lab.client(Way::Dns).git().arg("-C").arg(&to).args(["fetch", "-q", "--force"]).run();
            for ran in [cloned, fetched] {
                if ran.status.success() {
                    self.done.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.fail(format!("git: {} {}", ran.status, ran.errors()));
                }
            }
        }
    }

    /// Questions of the system's resolver, whose answer must come at once: one that is lost is asked again after seconds.
    fn names(&self) {
        while !self.is_over() {
            let ran = self.lab.pod().program("getent").args(["ahostsv4", "other.example."]).run();
            if !ran.status.success() || ran.took > Duration::from_secs(4) {
                self.fail(format!("a name: {} after {:?}", ran.status, ran.took));
            }
            self.done.fetch_add(1, Ordering::Relaxed);
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// One that stays and comes back when it is cut off; how often it was connected.
    fn stays(&self, kind: &str, url: &str, credential: &str) -> usize {
        let client = self.lab.client(Way::Dns);
        let program = client.python("reconnect.py", "SSL_CERT_FILE").args([kind, url, &client.token(credential)]);
        let stream: Running = program.spawn();
        let (mut opened, mut events) = (0, 0);
        while !self.is_over() {
            match stream.line(Duration::from_millis(100)) {
                Some(line) if line == "open" => opened += 1,
                Some(line) if line.starts_with("event ") => events += 1,
                Some(line) if line.starts_with("failed ") => self.fail(format!("{kind}: {line}")),
                Some(_) | None => {}
            }
        }
        if events == 0 {
            self.fail(format!("{kind}: no event came: {}", stream.errors()));
        }
        opened
    }

    #[track_caller]
    fn check(&self, at_least: usize) {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
        let done = self.done.load(Ordering::Relaxed);
        println!("{done} requests, clones, fetches and questions; none failed");
        assert!(done >= at_least, "there was no load: {done}");
    }
}

/// Lets others end, also when a test fails.
struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Under this load, `work`; how often each of those that stay was connected.
fn under_load(world: &World, at_least: usize, work: impl FnOnce()) -> usize {
    let load = Load::new(&world.lab);
    let load = &load;
    let (sse, websocket) = thread::scope(|scope| {
        for (way, version) in [(Way::Dns, "--http1.1"), (Way::Dns, "--http2"), (Way::Proxy, "--http1.1")] {
            scope.spawn(move || load.curl(way, version));
        }
        scope.spawn(|| load.git());
        scope.spawn(|| load.names());
        scope.spawn(|| {
            while !load.is_over() {
                world.live.event("tick");
                thread::sleep(Duration::from_millis(100));
            }
        });
        let sse = scope.spawn(|| load.stays("sse", "https://live.example/events", "live"));
        let websocket = scope.spawn(|| load.stays("websocket", "wss://socket.example/", "socket"));
        let over = SetOnDrop(&load.stop);
        let until = Instant::now() + Duration::from_secs(30);
        while load.done.load(Ordering::Relaxed) < 10 || world.live.listeners() == 0 {
            assert!(Instant::now() < until, "the load does not begin");
            thread::sleep(Duration::from_millis(50));
        }
        work();
        drop(over);
        (sse.join().unwrap(), websocket.join().unwrap())
    });
    load.check(at_least);
    println!("connections of the event stream: {sse}, of the WebSocket: {websocket}");
    sse.min(websocket)
}

/// Asks a replica to end, and waits until it has.
fn end(replica: &Appliance) {
    replica.with_process(|process| {
        process.terminate();
        let status = process.ended(Duration::from_secs(15)).expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", process.errors());
    });
}

#[test]
fn a_rolling_restart_and_an_exchange_of_the_program_of_two_replicas_fail_no_request() {
    alone(|| {
        let world = World::build(|builder| builder.configuration(TIMEOUTS).without_capture());
        let first = world.lab.appliance();
        let second = first.lay_out_beside("replica", SHIFT, POLICY, TIMEOUTS);
        second.start();
        let next = upgrade(first);
        let balancer = Balancer::new([first, &second]);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _over = SetOnDrop(&stop);
            scope.spawn(|| balancer.follow(&stop));
            let connections = under_load(&world, 100, || {
                for (number, others) in [(0, [false, true]), (1, [true, false])] {
                    let replica = balancer.replicas[number];
                    end(replica);
                    balancer.until(others);
                    if number == 0 {
                        replica.start();
                    } else {
                        // Another file of the program, with another configuration.
                        configure_anew(replica);
                        replica.start_by(replica.program(&next).args(["run", "--config", "stubgate.yaml"]));
                    }
                    balancer.until([true, true]);
                }
            });
            assert!(connections >= 2, "whoever stayed was cut off and came back: {connections}");
        });
        end(&second);
        world.lab.oracles();
    });
}

/// Another file of the program, as an upgrade brings. It is the same version: what is tried is the exchange.
fn upgrade(appliance: &Appliance) -> PathBuf {
    let next = appliance.node().dir().join("stubgate-next");
    std::fs::copy(binary(), &next).expect("copy the program");
    next
}

fn configure_anew(appliance: &Appliance) {
    let file = appliance.dir().join("stubgate.yaml");
    let text = std::fs::read_to_string(&file).expect("stubgate.yaml");
    std::fs::write(&file, format!("{text}limits: {{ connections_per_agent: 512 }}\n")).expect("stubgate.yaml");
}

#[test]
fn one_host_that_is_restarted_on_sockets_that_were_handed_over_refuses_nobody() {
    alone(|| {
        let world = World::build(|builder| builder.configuration(TIMEOUTS).without_capture());
        let appliance = world.lab.appliance();
        end(appliance);
        let doors = [
            "dns=udp:0.0.0.0:53",
            "dns=tcp:0.0.0.0:53",
            "http=tcp:0.0.0.0:80",
            "https=tcp:0.0.0.0:443",
            "proxy=tcp:0.0.0.0:3128",
            "transparent=tcp:0.0.0.0:15001",
            "transparent=tproxy:0.0.0.0:15002",
            "admin=tcp:127.0.0.1:9090",
        ];
        let keeper = appliance.program(python()).arg(source("clients/keeper.py")).args(doors).arg("--");
        appliance.start_by(keeper.arg(binary()).args(["run", "--config", "stubgate.yaml"]));
        let connections = under_load(&world, 60, || {
            for number in 0..2 {
                let restarted = "\"message\":\"serving\"";
                let before = appliance.with_process(|process| process.errors().matches(restarted).count());
                if number == 1 {
                    configure_anew(appliance);
                }
                appliance.with_process(|process| process.signal(rustix::process::Signal::HUP));
                appliance.until("the next process", || {
                    appliance.with_process(|process| process.errors().matches(restarted).count()) > before
                });
                thread::sleep(Duration::from_millis(500));
            }
        });
        assert!(connections >= 3, "whoever stayed was cut off twice and came back: {connections}");
        end(appliance);
        world.lab.oracles();
    });
}
