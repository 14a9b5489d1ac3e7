//! An appliance in this process that knows agents by the pods of a cluster, and the ways to ask it who somebody is.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stubgate_kubernetes::{At, PodEntry};
use stubgate_policy::SourceFile;
use stubgate_proxy::appliance::Appliance;
use stubgate_proxy::client::{Peer, Stamp};
use stubgate_proxy::identify;
use stubgate_proxy::start::{self, Addresses};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// The longest that anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Who is who, as the model of the tests knows too.
pub(crate) const POLICY: &str = r#"version: 1
agents:
  a0: { pods: [{ namespace: agents, labels: { app: a0 } }] }
  a1: { pods: [{ namespace: agents, labels: { app: a1 }, service_account: sa1 }] }
  a2: { pods: [{ namespace: other }] }
  fixed: { sources: ["127.9.0.0/16"] }
rules:
  - name: ca
    agents: ["*"]
    hosts: ["http://plain.example.test"]
    methods: [GET]
"#;

pub(crate) struct Site {
    pub(crate) appliance: Arc<Appliance>,
    pub(crate) addresses: Addresses,
    pub(crate) folder: TempDir,
    stop: CancellationToken,
}

impl Site {
    /// With a kubeconfig, and seconds that what is known of pods counts.
    pub(crate) async fn start(kubeconfig: impl FnOnce(&Path) -> std::path::PathBuf, stale_after: u64) -> Self {
        Site::with(kubeconfig, stale_after, POLICY, "").await
    }

    pub(crate) async fn with(
        kubeconfig: impl FnOnce(&Path) -> std::path::PathBuf,
        stale_after: u64,
        policy: &str,
        more: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        std::fs::create_dir(here.join("policy")).unwrap();
        std::fs::write(here.join("policy/policy.yaml"), policy).unwrap();
        let file = kubeconfig(here);
        let text = format!(
            "listen: {{ dns: [\"127.0.0.1:0\"], http: [\"127.0.0.1:0\"], https: [\"127.0.0.1:0\"], proxy: [\"127.0.0.1:0\"],\n\
             \x20 admin: [\"127.0.0.1:0\"] }}\nadvertise: [\"127.0.0.1\"]\n\
             policy: [\"{0}/policy\"]\nstate_dir: \"{0}\"\naudit: {{ files: [{{ path: \"{0}/audit.jsonl\" }}] }}\n\
             limits: {{ refusals_per_second: 100000 }}\ntimeouts: {{ drain_seconds: 1 }}\n\
             kubernetes: {{ kubeconfig: \"{1}\", stale_after_seconds: {stale_after}{more} }}\n",
            here.display(),
            file.display(),
        );
        let config = stubgate_proxy::config::compile(SourceFile { name: "site".into(), text }).unwrap();
        let started = start::start(config).unwrap();
        let (appliance, addresses) = (Arc::clone(&started.appliance), started.addresses());
        let stop = CancellationToken::new();
        let told = stop.clone();
        tokio::spawn(started.serve(async move {
            told.cancelled().await;
            start::Stop::AtOnce
        }));
        let site = Site { appliance, addresses, folder, stop };
        site.until("a policy", |site| site.appliance.snapshot.load().is_ready()).await;
        site
    }

    /// Waits for what another task does, with a deadline.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&Site) -> bool) {
        let waiting = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    pub(crate) async fn synced(&self) {
        self.until("the pods are known", |site| site.directory().is_fresh()).await;
    }

    pub(crate) fn directory(&self) -> &stubgate_kubernetes::Directory {
        &self.appliance.pods.as_ref().unwrap().directory
    }

    /// The pod that an address is now.
    pub(crate) fn pod_at(&self, address: IpAddr) -> Option<Arc<PodEntry>> {
        match self.directory().at(address) {
            At::Pod(entry) => Some(entry),
            At::Nobody | At::Contested | At::Stale(_) => None,
        }
    }

    /// A connection from an address, as it is stamped when it is accepted now.
    pub(crate) fn connect(&self, address: IpAddr) -> Peer {
        let stamp = identify::stamp(&self.appliance, address);
        Peer { address: SocketAddr::new(address, 40_000), stamp }
    }

    /// Who asks on a connection, as the phase *identify* says.
    pub(crate) fn who(&self, peer: &Peer) -> Option<String> {
        let snapshot = self.appliance.snapshot.load();
        identify::identify(&self.appliance, &snapshot, peer).ok().map(|(_, name)| name.to_string())
    }

    /// Who would ask on a connection that is opened now.
    pub(crate) fn who_at(&self, address: IpAddr) -> Option<String> {
        let peer = self.connect(address);
        assert!(matches!(peer.stamp, Stamp::Address | Stamp::Pod(_)));
        self.who(&peer)
    }

    /// A page of the admin endpoint: its status and text.
    pub(crate) async fn admin(&self, path: &str) -> (u16, String) {
        let text = exchange(
            self.addresses.admin[0],
            None,
            &format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"),
        )
        .await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A connection from an address of this machine.
pub(crate) async fn dial(to: SocketAddr, from: Option<IpAddr>) -> tokio::net::TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0)).unwrap();
    }
    socket.connect(to).await.unwrap()
}

/// One request, and all that comes back.
pub(crate) async fn exchange(to: SocketAddr, from: Option<IpAddr>, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = dial(to, from).await;
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, tcp.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

/// A pod as the API server shows one that runs.
pub(crate) fn pod(namespace: &str, name: &str, uid: &str, app: &str, address: &str) -> Value {
    json!({
        "metadata": { "namespace": namespace, "name": name, "uid": uid, "labels": { "app": app, "tier": "t" } },
        "spec": { "serviceAccountName": "default", "containers": [{ "name": "c", "image": "i" }] },
        "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }], "hostIP": "192.0.2.1" },
    })
}
