//! Builds a lab: machines, links, name server, origins, and the appliance last.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::appliance::Appliance;
use crate::capture::Capture;
use crate::dns::NameServer;
use crate::lab::{APPLIANCE, HANDED_OVER, INTERNET, Lab, NAME_SERVER, POD, REDIRECTED, WAN};
use crate::node::{self, Node, Reaper};
use crate::origin::{Origin, Place};
use crate::pki::Root;
use crate::program::Running;

/// The file of the internet's root, in the lab's folder.
pub const ROOT: &str = "root.pem";

/// A lab to be.
#[derive(Default)]
pub struct Builder {
    origins: Vec<Box<dyn Origin>>,
    addresses: Vec<IpAddr>,
    hosts: Vec<(String, IpAddr)>,
    secrets: Vec<(String, String)>,
    policy: String,
    extra: String,
    direct: bool,
    quiet: bool,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Lab {
    /// An empty lab: no origins, a policy that has still to be given.
    #[expect(clippy::new_ret_no_self, reason = "a lab begins as its builder")]
    pub fn new() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// One more origin, at the next address, under its names.
    pub fn origin(mut self, origin: impl Origin + 'static) -> Builder {
        self.origins.push(Box::new(origin));
        self
    }

    /// Addresses that the internet has besides those of its origins.
    pub fn addresses(mut self, addresses: &[IpAddr]) -> Builder {
        self.addresses.extend(addresses);
        self
    }

    /// A name that the internet's name server knows from the start, of no origin.
    pub fn host(mut self, name: &str, address: IpAddr) -> Builder {
        self.hosts.push((name.to_owned(), address));
        self
    }

    /// A credential: its file is `@SECRETS@/NAME` in policy, its stub by custom `proxy-token-NAME`.
    pub fn credential(mut self, name: &str, value: &str) -> Builder {
        self.secrets.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The policy to begin with.
    pub fn policy(mut self, text: &str) -> Builder {
        text.clone_into(&mut self.policy);
        self
    }

    /// More lines of `stubgate.yaml`.
    pub fn configuration(mut self, text: &str) -> Builder {
        text.clone_into(&mut self.extra);
        self
    }

    /// No appliance: the pod is joined to the internet and trusts its root.
    pub fn direct(mut self) -> Builder {
        self.direct = true;
        self
    }

    /// No captures, for suites that move gigabytes.
    pub fn without_capture(mut self) -> Builder {
        self.quiet = true;
        self
    }

    /// Builds and starts everything.
    pub fn start(self) -> Lab {
        let dir = fresh_folder();
        let reaper = Arc::new(Reaper::open(&dir));
        let pod = Node::boot("pod", &reaper);
        let internet = Node::boot("internet", &reaper);
        let root = Root::new();
        let root_file = dir.join(ROOT);
        fs::write(&root_file, root.pem()).expect("write root");

        internet.plumb(&format!("ip addr add {NAME_SERVER}/32 dev lo"));
        for address in &self.addresses {
            internet.plumb(&format!("ip addr add {address} dev lo"));
        }
        let names = NameServer::start(&internet, SocketAddr::from((NAME_SERVER, 53)));
        for (name, address) in &self.hosts {
            names.set(name, &[*address]);
        }
        let running = start_origins(&self.origins, &internet, &root, &names);

        let mut lab = Lab {
            pod,
            internet,
            names,
            appliance: None,
            link: None,
            wan: None,
            secrets: self.secrets,
            bundle: root_file.clone(),
            root,
            running: Mutex::new(running),
            reaper,
        };
        if self.direct {
            join_directly(&lab);
            return lab;
        }
        let machine = join_through_appliance(&lab);
        if !self.quiet {
            lab.link = Some(Capture::start(&lab.pod, APPLIANCE));
            lab.wan = Some(Capture::start(&lab.internet, WAN));
        }
        let appliance = Appliance::lay_out(&machine, &lab.secrets, &self.policy, &self.extra);
        appliance.start();
        lab.bundle = dir.join("bundle.pem");
        fs::write(&lab.bundle, appliance.bundle().success()).expect("write bundle");
        lab.appliance = Some(appliance);
        lab
    }
}

/// A value that nobody guesses and every encoding changes.
pub fn fresh_secret(name: &str) -> String {
    let mut bytes = [0_u8; 16];
    let mut source = fs::File::open("/dev/urandom").expect("urandom");
    source.read_exact(&mut bytes).expect("urandom");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("real+{name}/~{hex}=")
}

fn fresh_folder() -> PathBuf {
    let dir = tempfile::Builder::new().prefix("stubgate-lab-").tempdir().expect("a folder");
    dir.keep().canonicalize().expect("the folder")
}

fn start_origins(origins: &[Box<dyn Origin>], internet: &Node, root: &Root, names: &NameServer) -> Vec<Running> {
    let mut running = Vec::new();
    for (origin, last) in origins.iter().zip(100_u8..) {
        let address = Ipv4Addr::new(20, 0, 0, last);
        let dir = internet.dir().join("origins").join(&origin.names()[0]);
        fs::create_dir_all(&dir).expect("folder");
        internet.plumb(&format!("ip addr add {address}/32 dev lo"));
        let leaf = root.leaf(&origin.names(), &dir);
        let place = Place { node: internet.clone(), address, dir, leaf };
        running.extend(origin.start(&place));
        for name in origin.names() {
            names.set(&name, &[IpAddr::V4(address)]);
        }
        await_listener(internet, place.socket(443));
    }
    running
}

fn await_listener(node: &Node, socket: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while node.enter(move || TcpStream::connect(socket)).is_err() {
        assert!(Instant::now() < deadline, "no origin at {socket}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn join_directly(lab: &Lab) {
    let (pod, internet) = (format!("{POD}/29"), format!("{APPLIANCE}/29"));
    node::join((&lab.pod, "eth0", &pod), (&lab.internet, "wan0", &internet));
    lab.pod.plumb(&format!("ip route add default via {APPLIANCE}"));
    lab.pod.overlay("/etc/resolv.conf", &format!("nameserver {NAME_SERVER}\n"));
}

/// What docs/configuration.md tells an operator to do for `transparent` listeners.
fn redirect(machine: &Node) {
    let rules = format!(
        "table ip stubgate {{\n\
         chain redirected {{\n type nat hook prerouting priority dstnat\n\
         iifname link0 ip daddr {REDIRECTED} tcp dport {{ 80, 443 }} redirect to :15001\n }}\n\
         chain handed_over {{\n type filter hook prerouting priority mangle\n\
         iifname link0 ip daddr {HANDED_OVER} tcp dport {{ 80, 443 }} tproxy to :15002 meta mark set 1 accept\n }}\n\
         }}\n"
    );
    let file = machine.dir().join("redirect.nft");
    fs::write(&file, rules).expect("write rules");
    machine.plumb(&format!("nft -f {}", file.display()));
    machine.plumb("ip rule add fwmark 1 lookup 100 && ip route add local default dev lo table 100");
}

fn join_through_appliance(lab: &Lab) -> Node {
    let machine = Node::boot("appliance", &lab.reaper);
    let (pod, inner) = (format!("{POD}/29"), format!("{APPLIANCE}/29"));
    let (outer, internet) = (format!("{WAN}/30"), format!("{INTERNET}/30"));
    node::join((&lab.pod, "eth0", &pod), (&machine, "link0", &inner));
    node::join((&machine, "wan0", &outer), (&lab.internet, "wan0", &internet));
    // The pod may send anything anywhere; the appliance is what every packet meets, and it routes none.
    lab.pod.plumb(&format!("ip route add default via {APPLIANCE}"));
    machine.plumb(&format!("ip route add default via {INTERNET}"));
    redirect(&machine);
    lab.pod.overlay(
        "/etc/resolv.conf",
        &format!(
            "nameserver {APPLIANCE}\nsearch agents.svc.cluster.local svc.cluster.local cluster.local\n\
             options ndots:5\n"
        ),
    );
    lab.pod.overlay("/etc/hosts", &format!("127.0.0.1 localhost\n{APPLIANCE} appliance\n"));
    // A search list here must never be used to dial.
    machine.overlay("/etc/resolv.conf", &format!("nameserver {NAME_SERVER}\nsearch corp.example\n"));
    machine.overlay("/etc/hosts", "127.0.0.1 localhost\n");
    machine
}
