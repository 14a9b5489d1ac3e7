//! A lab that stands: its machines, its origins, what was seen on its links, and what must hold after
//! whatever was done in it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::appliance::Appliance;
use crate::capture::Capture;
use crate::client::Client;
use crate::dns::NameServer;
use crate::leak::Search;
use crate::node::{Node, Reaper};
use crate::pki::Root;
use crate::program::Running;

/// The appliance's address towards the pod.
pub const APPLIANCE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The pod's address.
pub const POD: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
/// The appliance's address towards the internet.
pub const WAN: Ipv4Addr = Ipv4Addr::new(20, 0, 255, 2);
/// The internet's end of that link.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(20, 0, 255, 1);
/// The internet's name server. These addresses are public ones, because the guard dials no others;
/// inside the lab they lead nowhere else.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 53);

/// How a client reaches an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Past the appliance, in a lab without one: proves origins and clients against each other.
    Direct,
    /// By the appliance's DNS answer and TLS to its port 443.
    Dns,
    /// By CONNECT to its proxy port.
    Proxy,
    /// By SOCKS5 to its proxy port.
    Socks,
    /// To an address of the internet, from which the appliance's machine redirects it (REDIRECT).
    Redirect,
    /// Likewise, handed over as it is (TPROXY).
    Tproxy,
}

/// The ways through the appliance that every program knows.
pub const WAYS: [Way; 2] = [Way::Dns, Way::Proxy];
/// Every way through the appliance.
pub const EVERY_WAY: [Way; 5] = [Way::Dns, Way::Proxy, Way::Socks, Way::Redirect, Way::Tproxy];
/// The ways that name a target before TLS.
pub const TUNNELS: [Way; 2] = [Way::Proxy, Way::Socks];

/// An address whose ports 80 and 443 are redirected. Nobody is there: what arrives somewhere was not dialled by it.
pub const REDIRECTED: Ipv4Addr = Ipv4Addr::new(20, 2, 0, 9);
/// An address whose ports 80 and 443 are handed over by TPROXY. Nobody is there either.
pub const HANDED_OVER: Ipv4Addr = Ipv4Addr::new(20, 1, 0, 9);

impl Way {
    /// The address that a program connects to for any host, where it is told one.
    pub fn address(self) -> Ipv4Addr {
        match self {
            Way::Direct | Way::Dns | Way::Proxy | Way::Socks => APPLIANCE,
            Way::Redirect => REDIRECTED,
            Way::Tproxy => HANDED_OVER,
        }
    }

    /// Whether it names its target before TLS, so that another port is another target.
    pub fn is_tunnel(self) -> bool {
        TUNNELS.contains(&self)
    }
}

/// A running lab.
#[derive(Debug)]
pub struct Lab {
    pub(crate) pod: Node,
    pub(crate) internet: Node,
    pub(crate) names: NameServer,
    pub(crate) appliance: Option<Appliance>,
    pub(crate) link: Option<Capture>,
    pub(crate) wan: Option<Capture>,
    pub(crate) secrets: Vec<(String, String)>,
    pub(crate) bundle: PathBuf,
    pub(crate) root: Root,
    pub(crate) running: Mutex<Vec<Running>>,
    pub(crate) reaper: Arc<Reaper>,
}

impl Lab {
    /// The agent's machine.
    pub fn pod(&self) -> &Node {
        &self.pod
    }

    /// The machine of all origins.
    pub fn internet(&self) -> &Node {
        &self.internet
    }

    /// The internet's name server.
    pub fn names(&self) -> &NameServer {
        &self.names
    }

    /// The appliance under test.
    pub fn appliance(&self) -> &Appliance {
        self.appliance.as_ref().expect("a lab with an appliance")
    }

    /// The agent's tools.
    pub fn client(&self, way: Way) -> Client<'_> {
        Client::new(self, way)
    }

    /// What crossed between pod and appliance.
    pub fn link(&self) -> &Capture {
        self.link.as_ref().expect("a lab with captures")
    }

    /// What crossed between appliance and internet.
    pub fn wan(&self) -> &Capture {
        self.wan.as_ref().expect("a lab with captures")
    }

    /// The CA bundle that the pod trusts.
    pub fn bundle(&self) -> &Path {
        &self.bundle
    }

    /// The real value of a credential.
    pub fn secret(&self, credential: &str) -> String {
        let found = self.secrets.iter().find(|(name, _)| name == credential);
        found.expect("a credential of the lab").1.clone()
    }

    /// Gives a credential of the policy its real value, which an origin made only now, and waits until the appliance has it.
    pub fn learn(&mut self, credential: &str, value: &str) {
        let folder = self.pod.dir().join("secrets");
        let fresh = self.pod.dir().join(".secret.new");
        std::fs::write(&fresh, format!("{value}\n")).expect("credential file");
        std::fs::rename(&fresh, folder.join(credential)).expect("credential file");
        self.secrets.push((credential.to_owned(), value.to_owned()));
        let missing = format!("credential {credential}: no value");
        let appliance = self.appliance();
        appliance.until("the value of a credential", || {
            appliance.get("/readyz").is_ok_and(|(status, text)| status == 200 && !text.contains(&missing))
        });
    }

    /// A fresh folder in the pod's home.
    pub fn scratch(&self, name: &str) -> PathBuf {
        let folder = self.pod.dir().join("pod-home").join(name);
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("clear the scratch folder");
        }
        std::fs::create_dir_all(&folder).expect("folder");
        folder
    }

    /// Where real credentials were found that should not be there: in anything that the appliance
    /// wrote, that the pod's programs printed or stored, or that crossed the pod's link.
    pub fn leaks(&self) -> Vec<String> {
        self.leaks_of(&self.secrets)
    }

    /// The same for secrets, by name and value, that the lab's files do not hold.
    pub fn leaks_of(&self, secrets: &[(String, String)]) -> Vec<String> {
        let search = Search::new(secrets);
        let dir = self.pod.dir();
        let mut found = Vec::new();
        for part in ["seen/pod", "seen/appliance", "appliance", "pod-home", "containers"] {
            found.extend(search.path_if_there(&dir.join(part)));
        }
        if let Some(link) = &self.link {
            for stream in link.streams() {
                found.extend(search.bytes("the pod's link", &stream));
            }
        }
        found
    }

    /// Runs an attack; nothing at all may cross the link to the internet meanwhile.
    #[track_caller]
    pub fn nothing_leaves(&self, attack: impl FnOnce()) {
        let before = self.wan().settle();
        attack();
        let crossed = self.wan().since(before);
        let heads: Vec<_> = crossed.iter().map(|packet| (packet.from, packet.to)).collect();
        assert!(heads.is_empty(), "crossed the link: {heads:?}");
    }

    /// Runs an attack in which an allowed name may be resolved; no connection may be opened.
    #[track_caller]
    pub fn nobody_is_called(&self, attack: impl FnOnce()) {
        let before = self.wan().settle();
        attack();
        let crossed = self.wan().since(before);
        let opens = crossed.iter().filter(|packet| packet.tcp.is_some_and(|(_, opens)| opens));
        let called: Vec<_> = opens.map(|packet| packet.to).collect();
        assert!(called.is_empty(), "called: {called:?}");
    }

    /// What must hold after every test: the appliance lives, every line of its audit is JSON, and no
    /// real credential is where an agent or a reader of logs could see it.
    #[track_caller]
    pub fn oracles(&self) {
        let Some(appliance) = &self.appliance else {
            return;
        };
        if appliance.is_running() {
            appliance.keep_metrics();
        }
        appliance.audit();
        let leaks = self.leaks();
        assert!(leaks.is_empty(), "real credentials found:\n{}", leaks.join("\n"));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
