//! Several agents in pods of their own, and two replicas of the appliance behind one address.
//!
//! ```text
//!  pod    10.99.0.2 ──┐                ┌── replica 0, on the ports that agents know
//!  pod-2  10.99.1.2 ──┼── 10.99.0.1 ──┤
//!  pod-3  10.99.2.2 ──┘    service     └── replica 1, on ports of its own
//! ```
//!
//! The service is what a cluster's is: a rule of the kernel's that sends each agent's new connections to one of the
//! replicas that are in service, and knows nothing of what they do. Connections that stand go on with whom they have.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::appliance::Appliance;
use crate::capture::Capture;
use crate::client::Client;
use crate::lab::{APPLIANCE, Lab, Way};
use crate::leak::Search;
use crate::node::{self, Node};

/// The names of the pods.
pub const PODS: [&str; 3] = ["pod", "pod-2", "pod-3"];
/// Their addresses.
pub const ADDRESSES: [&str; 3] = ["10.99.0.2", "10.99.1.2", "10.99.2.2"];
/// How far the ports of replica 1 are from those that agents know.
const SHIFT: u16 = 20_000;

/// A lab with three pods and two replicas.
#[derive(Debug)]
pub struct Fleet {
    /// The lab of the first pod and of replica 0.
    pub lab: Lab,
    second: Appliance,
    more: Vec<(Node, Capture)>,
    service: Mutex<Service>,
}

#[derive(Debug)]
struct Service {
    is_up: [bool; 2],
    round: usize,
}

impl AsRef<Lab> for Fleet {
    fn as_ref(&self) -> &Lab {
        &self.lab
    }
}

impl Fleet {
    /// Adds two pods and a replica with this policy and these more lines of configuration, which is not started.
    pub fn around(lab: Lab, policy: &str, extra: &str) -> Fleet {
        let machine = lab.appliance().node();
        let mut more = Vec::new();
        for (at, name) in PODS.into_iter().enumerate().skip(1) {
            let pod = Node::boot(name, &lab.reaper);
            let (mine, theirs) = (format!("{}/29", ADDRESSES[at]), format!("10.99.{at}.1/29"));
            node::join((&pod, "eth0", &mine), (machine, &format!("link{at}"), &theirs));
            pod.plumb(&format!("ip route add default via 10.99.{at}.1"));
            pod.overlay("/etc/resolv.conf", &format!("nameserver {APPLIANCE}\n"));
            pod.overlay("/etc/hosts", &format!("127.0.0.1 localhost\n{APPLIANCE} appliance\n"));
            let capture = Capture::start(&pod, APPLIANCE);
            more.push((pod, capture));
        }
        let second = lab.appliance().lay_out_beside("replica", SHIFT, policy, extra);
        let service = Mutex::new(Service { is_up: [true, false], round: 0 });
        Fleet { lab, second, more, service }
    }

    /// A replica.
    pub fn replica(&self, number: usize) -> &Appliance {
        [self.lab.appliance(), &self.second][number]
    }

    /// A pod.
    pub fn pod(&self, number: usize) -> &Node {
        if number == 0 { self.lab.pod() } else { &self.more[number - 1].0 }
    }

    /// The tools of a pod.
    pub fn client(&self, pod: usize, way: Way) -> Client<'_> {
        Client::of(&self.lab, self.pod(pod), way)
    }

    /// A fresh folder in a pod's home.
    pub fn home(&self, pod: usize, name: &str) -> PathBuf {
        let folder = self.lab.pod().dir().join(format!("{}-home", PODS[pod])).join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("clear the home");
        }
        std::fs::create_dir_all(&folder).expect("folder");
        folder
    }

    /// Takes a replica into service, or out of it; the pods are dealt out anew among those that are in service.
    pub fn serve(&self, replica: usize, is_up: bool) {
        let mut service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        service.is_up[replica] = is_up;
        service.round += 1;
        let up: Vec<usize> = (0..2).filter(|number| service.is_up[*number]).collect();
        let mut rules = "table ip service\ndelete table ip service\ntable ip service {\n".to_owned();
        rules.push_str("chain agents {\ntype nat hook prerouting priority dstnat - 1\n");
        for (pod, address) in ADDRESSES.iter().enumerate() {
            let to = if up.is_empty() { 0 } else { up[(pod + service.round) % up.len()] };
            if to == 1 {
                for (protocol, port) in [("udp", 53), ("tcp", 53), ("tcp", 80), ("tcp", 443), ("tcp", 3128)] {
                    let there = port + SHIFT;
                    let rule = format!("ip saddr {address} {protocol} dport {port} redirect to :{there}");
                    writeln!(rules, "{rule}").expect("a string");
                }
            }
        }
        rules.push_str("}\n}\n");
        let file = self.lab.appliance().node().dir().join("service.nft");
        std::fs::write(&file, rules).expect("write rules");
        self.lab.appliance().node().plumb(&format!("nft -f {}", file.display()));
    }

    /// Where any of this is that no agent and no reader of logs may see: files and outputs of the pods, what crossed
    /// their links, and all that the replicas wrote.
    pub fn leaks(&self, search: &Search) -> Vec<String> {
        let dir = self.lab.pod().dir();
        let mut found = Vec::new();
        for pod in PODS {
            for place in [format!("seen/{pod}"), format!("{pod}-home")] {
                found.extend(search.path_if_there(&dir.join(place)));
            }
        }
        for place in ["seen/appliance", "appliance", "replica"] {
            found.extend(search.path_if_there(&dir.join(place)));
        }
        let links = self.more.iter().map(|(_, capture)| capture).chain([self.lab.link()]);
        for stream in links.flat_map(Capture::streams) {
            found.extend(search.bytes("a pod's link", &stream));
        }
        found
    }
}
