//! A real CoreDNS, set up as a cluster's: it serves the cluster's zone, asks the world's name server for all else, and
//! says what it was asked. What is not in that list did not leave the appliance towards the cluster (law 6).

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::lab::NAME_SERVER;
use crate::node::Node;
use crate::program::Running;

/// CoreDNS; made by `tests/setup`.
pub fn program() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    let program = workspace.join(target).join("lab-cluster/bin/coredns");
    program.canonicalize().unwrap_or_else(|_| panic!("no {}: run tests/setup", program.display()))
}

/// The server.
#[derive(Debug)]
pub struct CoreDns {
    node: Node,
    address: IpAddr,
    dir: PathBuf,
    running: Mutex<Option<Running>>,
    asked: Mutex<Vec<String>>,
    number: AtomicU32,
}

impl CoreDns {
    /// Starts it at an address of the node, with the records of the zone `cluster.local`, all below that name.
    pub fn start(node: &Node, address: IpAddr, records: &str) -> CoreDns {
        let dir = node.dir().join("coredns");
        fs::create_dir_all(&dir).expect("folder");
        let zone = dir.join("cluster.local").display().to_string();
        let all = format!("bind {address}\n    log . \"asked {{type}} {{name}}\"\n    errors");
        let corefile = format!(
            "cluster.local:53 {{\n    {all}\n    file {zone} cluster.local {{\n        reload 1s\n    }}\n}}\n\
             .:53 {{\n    {all}\n    forward . {NAME_SERVER}\n}}\n"
        );
        fs::write(dir.join("Corefile"), corefile).expect("Corefile");
        let server = CoreDns {
            node: node.clone(),
            address,
            dir,
            running: Mutex::default(),
            asked: Mutex::default(),
            number: AtomicU32::new(1),
        };
        server.zone(records);
        server.resume();
        server
    }

    /// Replaces the records; it reads them within a second or so.
    pub fn zone(&self, records: &str) {
        let serial = self.number.fetch_add(1, Ordering::Relaxed);
        let text = format!(
            "$ORIGIN cluster.local.\n$TTL 5\n\
             @ SOA ns.dns hostmaster {serial} 7200 1800 86400 5\n@ NS ns.dns\nns.dns A {}\n{records}",
            self.address
        );
        let fresh = self.dir.join("fresh");
        fs::write(&fresh, text).expect("write zone");
        fs::rename(&fresh, self.dir.join("cluster.local")).expect("rename zone");
    }

    /// Ends it, as a cluster whose DNS is down.
    pub fn stop(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Starts it again, and waits until it answers.
    pub fn resume(&self) {
        let running = self.node.program(program()).dir(&self.dir).args(["-conf", "Corefile"]).spawn();
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.answers("ns.dns.cluster.local") {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            let errors = running.as_ref().map(Running::errors).unwrap_or_default();
            assert!(Instant::now() < deadline, "CoreDNS does not answer: {errors}");
        }
    }

    fn answers(&self, name: &str) -> bool {
        let dig = self.node.program("dig").args(["+tries=1", "+time=1", &format!("@{}", self.address), name]);
        dig.run().text().contains("status: ")
    }

    /// Every question that it was asked so far, as `TYPE name`, without the final dot, but for those of the lab's own.
    pub fn questions(&self) -> Vec<String> {
        // What was asked before the mark is in the log before it.
        let mark = format!("mark-{}.lab.cluster.local", self.number.fetch_add(1, Ordering::Relaxed));
        assert!(self.answers(&mark), "CoreDNS is gone");
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let line = running.as_ref().and_then(|running| running.line(Duration::from_secs(10)));
            let line = line.expect("the log of CoreDNS");
            let Some((_, question)) = line.split_once("asked ") else { continue };
            let question = question.trim_end_matches('.');
            if question.ends_with(&mark) {
                return asked.clone();
            }
            if !question.ends_with("A ns.dns.cluster.local") && !question.ends_with(".lab.cluster.local") {
                asked.push(question.to_owned());
            }
        }
    }

    /// Forgets the questions, before the part of a test that counts.
    pub fn forget(&self) {
        self.questions();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
