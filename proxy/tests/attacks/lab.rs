//! One appliance with its policy, credentials, certificate authorities and origins, all in this process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::Value;
use stubgate_certs::{CertificateAuthority, Minter, MinterConfig, system_clock};
use stubgate_policy::SourceFile;
use stubgate_proxy::appliance::Appliance;
use stubgate_proxy::config;
use stubgate_proxy::start::{self, Addresses, Stop};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Conn};
use crate::origin::Origin;

/// What the agents hold, and what it stands for.
pub(crate) const STUB: &str = "proxy-token-api";
pub(crate) const REAL: &str = "real-secret-of-api-0123456789";
pub(crate) const KEYED_STUB: &str = "proxy-token-keyed";
pub(crate) const KEYED_REAL: &str = "real-secret-of-keyed-0123456789";
/// Of another agent.
pub(crate) const OTHER_STUB: &str = "proxy-token-other";
pub(crate) const OTHER_REAL: &str = "real-secret-of-other-0123456789";
/// Its source is not there.
pub(crate) const LOST_STUB: &str = "proxy-token-lost";

/// devbot, of whom most tests are.
pub(crate) const DEVBOT: &str = "127.0.0.1";
/// Another tenant.
pub(crate) const OTHERBOT: &str = "127.0.0.2";
/// No agent.
pub(crate) const STRANGER: &str = "127.0.0.9";

pub(crate) const POLICY: &str = r#"version: 1
agents:
  devbot: { sources: ["127.0.0.1/32"] }
  otherbot: { sources: ["127.0.0.2/32"] }
  lockedbot: { sources: ["127.0.0.3/32"], quarantined: true }
credentials:
  api:
    stub: proxy-token-api
    slots: [bearer, basic]
    hosts: [api.example.test]
    source: { file: FOLDER/secrets/api }
  keyed:
    stub: proxy-token-keyed
    slots: ["header:x-api-key", "header:x-corp-token"]
    hosts: [keyed.example.test]
    source: { file: FOLDER/secrets/keyed }
  other:
    stub: proxy-token-other
    slots: [bearer]
    hosts: [api.example.test]
    source: { file: FOLDER/secrets/other }
  lost:
    stub: proxy-token-lost
    slots: [bearer]
    hosts: [lost.example.test]
    source: { file: FOLDER/secrets/lost }
rules:
  - name: api
    agents: [devbot, otherbot]
    hosts: [api.example.test]
    methods: [any]
    credentials: [api]
  - name: others
    agents: [otherbot]
    hosts: [api.example.test]
    methods: [GET]
    credentials: [other]
  - name: keyed
    agents: [devbot]
    hosts: [keyed.example.test]
    methods: [GET, POST]
    credentials: [keyed]
  - name: lost
    agents: [devbot]
    hosts: [lost.example.test]
    methods: [GET]
    credentials: [lost]
  - name: open
    agents: [devbot, otherbot]
    hosts: [open.example.test, "*.wild.example.test"]
    methods: [GET, POST, PUT, HEAD, OPTIONS, WEBSOCKET]
  - name: scoped
    agents: [devbot]
    hosts: [paths.example.test]
    methods: [GET, POST]
    paths: ["/v1/**", "/api/v4/projects/42/issues/*", "/exact"]
  - name: plain
    agents: [devbot]
    hosts: ["http://plain.example.test"]
    methods: [GET, POST, PUT, HEAD, OPTIONS, WEBSOCKET]
"#;

/// Every host that policy names; all lead to the one origin, which tells them apart by SNI.
const HOSTS: [&str; 12] = [
    "api.example.test:443",
    "keyed.example.test:443",
    "lost.example.test:443",
    "open.example.test:443",
    "a.wild.example.test:443",
    "paths.example.test:443",
    "plain.example.test:80",
    "10.0.0.5:8006",
    "api.github.com:443",
    "api.anthropic.com:443",
    // No rule names it: whatever arrives there is a hole.
    "evil.example.test:443",
    "evil.example.test:80",
];

/// What a test may want otherwise.
pub(crate) struct Setup {
    pub(crate) policy: String,
    /// More keys of `stubgate.yaml`, whole lines.
    pub(crate) limits: String,
    pub(crate) timeouts: String,
    pub(crate) audit: Option<String>,
    /// Whether the origin speaks HTTP/2 and nothing else behind TLS, instead of HTTP/1.1.
    pub(crate) origin_h2: bool,
    /// Hosts that lead elsewhere than to the origin.
    pub(crate) elsewhere: HashMap<String, SocketAddr>,
    /// Where secrets are, before the appliance starts.
    pub(crate) secrets: Vec<(&'static str, String)>,
    /// Whom it asks for addresses of hosts; nobody listens there by default.
    pub(crate) nameserver: SocketAddr,
    /// More CAs that are trusted for servers, PEM.
    pub(crate) trusted: String,
    /// The CA that signs origins' certificates but is trusted by nobody.
    pub(crate) distrusted: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            policy: POLICY.into(),
            limits: "refusals_per_second: 100000".into(),
            timeouts: "drain_seconds: 1".into(),
            audit: None,
            origin_h2: false,
            elsewhere: HashMap::new(),
            secrets: vec![("api", REAL.into()), ("keyed", KEYED_REAL.into()), ("other", OTHER_REAL.into())],
            nameserver: SocketAddr::from(([127, 0, 0, 1], 9)),
            trusted: String::new(),
            distrusted: false,
        }
    }
}

/// A running appliance and what is around it.
pub(crate) struct Lab {
    pub(crate) folder: TempDir,
    pub(crate) addresses: Addresses,
    pub(crate) appliance: Arc<Appliance>,
    pub(crate) origin: Origin,
    pub(crate) stop: CancellationToken,
    pub(crate) h1: Arc<ClientConfig>,
    pub(crate) h2: Arc<ClientConfig>,
    running: Mutex<Option<tokio::task::JoinHandle<anyhow::Result<()>>>>,
    read: AtomicUsize,
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Lab::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().display().to_string();
        std::fs::create_dir(folder.path().join("secrets")).unwrap();
        for (name, value) in &setup.secrets {
            std::fs::write(folder.path().join("secrets").join(name), value).unwrap();
        }
        std::fs::create_dir(folder.path().join("policy")).unwrap();
        write_policy(folder.path(), &setup.policy);
        let internet = Arc::new(CertificateAuthority::create("the internet", SystemTime::now()).unwrap());
        let unknown = Arc::new(CertificateAuthority::create("nobody", SystemTime::now()).unwrap());
        let signer = if setup.distrusted { unknown } else { Arc::clone(&internet) };
        let minter = Minter::new(signer, &MinterConfig::default(), system_clock()).unwrap();
        let origin = Origin::start(Arc::new(minter), setup.origin_h2).await;
        std::fs::write(folder.path().join("internet.pem"), format!("{}{}", internet.certificate_pem(), setup.trusted))
            .unwrap();
        let more = setup.elsewhere.keys().map(String::as_str).filter(|host| !HOSTS.contains(host));
        let connect_to: String = HOSTS
            .iter()
            .copied()
            .chain(more)
            .map(|host| {
                let to = setup.elsewhere.get(host).copied().unwrap_or(origin.address);
                format!("    \"{host}\": \"{to}\"\n")
            })
            .collect();
        let is_readable = setup.audit.is_none();
        let audit = setup.audit.unwrap_or_else(|| format!("[{{ path: \"{here}/audit.jsonl\" }}]"));
        let text = format!(
            "listen:\n  dns: [\"127.0.0.1:0\"]\n  http: [\"127.0.0.1:0\"]\n  https: [\"127.0.0.1:0\"]\n  \
             proxy: [\"127.0.0.1:0\"]\n  transparent: [\"127.0.0.1:0\"]\n  admin: [\"127.0.0.1:0\"]\nadvertise: [\"127.0.0.1\"]\n\
             policy: [\"{here}/policy\"]\nstate_dir: \"{here}\"\nupstream:\n  ca_files: [\"{here}/internet.pem\"]\n  \
             nameservers: [\"{}\"]\n  connect_to:\n{connect_to}limits: {{ {} }}\ntimeouts: {{ {} }}\n\
             audit:\n  files: {audit}\n",
            setup.nameserver, setup.limits, setup.timeouts,
        );
        let config = config::compile(SourceFile { name: "lab".into(), text }).unwrap();
        let started = start::start(config).unwrap();
        let addresses = started.addresses();
        let appliance = Arc::clone(&started.appliance);
        let mut roots = RootCertStore::empty();
        let ca = appliance.minter.authority().certificate_pem();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
        let tls = |alpn: &[&[u8]]| stubgate_certs::client_config(roots.clone(), alpn).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let running = tokio::spawn(started.serve(async move {
            stopped.await;
            Stop::AtOnce
        }));
        let lab = Lab {
            h1: tls(&[b"http/1.1"]),
            h2: tls(&[b"h2"]),
            folder,
            addresses,
            appliance,
            origin,
            stop,
            running: Mutex::new(Some(running)),
            read: AtomicUsize::new(0),
        };
        // By then it has read its policy, for good or ill.
        let is_recorded = || !is_readable || lab.records().iter().any(is_a_policy_reload);
        lab.until("the first reload", || lab.metrics().lines().any(is_a_reload) && is_recorded()).await;
        lab
    }

    /// Waits for what another task does, with a deadline; for tests that have no event to wait on.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(15), waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
    }

    pub(crate) fn audit_path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    /// All records so far.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.audit_path()).unwrap_or_default();
        // A line that is being written at this moment is not there yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"))).collect()
    }

    /// The reasons of refusals since this was asked last.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let records = self.records();
        let from = self.read.swap(records.len(), Ordering::SeqCst);
        records[from..]
            .iter()
            .filter(|record| record["decision"] == "deny" || record["decision"] == "observe")
            .map(|record| record["reason"].as_str().unwrap_or("none").to_owned())
            .collect()
    }

    /// One honest request with a stub, which the origin gets with the real secret.
    pub(crate) async fn is_well(&self, after: &str) {
        let before = self.origin.requests().len();
        let answer = self.get("api.example.test", "/control", &[("authorization", &format!("Bearer {STUB}"))]).await;
        assert_eq!(answer.status, 200, "the honest request after {after}: {answer:?}");
        let seen = self.origin.requests();
        assert_eq!(seen.len(), before + 1, "after {after}");
        let value = seen.last().unwrap().header("authorization");
        assert_eq!(value, Some(format!("Bearer {REAL}")), "after {after}");
    }

    /// One request of devbot by TLS, as a client does whose DNS sent it here.
    pub(crate) async fn get(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut conn = Conn::sni(self, host, DEVBOT).await;
        let lines: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        conn.ask(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}\r\n")).await
    }

    /// Replaces the policy, and waits until the reload is recorded; its outcome.
    pub(crate) async fn reload(&self, policy: &str) -> String {
        let outcomes = || -> Vec<String> {
            let records = self.records();
            let reloads = records.iter().filter(|record| is_a_policy_reload(record));
            reloads.map(|record| record["outcome"].as_str().unwrap().to_owned()).collect()
        };
        let before = outcomes().len();
        write_policy(self.folder.path(), policy);
        self.until("the reload is recorded", || outcomes().len() > before).await;
        outcomes().pop().unwrap()
    }

    /// Replaces a secret as Kubernetes does: another file takes its name.
    pub(crate) fn write_secret(&self, name: &str, value: &str) {
        let folder = self.folder.path().join("secrets");
        std::fs::write(folder.join(".new"), value).unwrap();
        std::fs::rename(folder.join(".new"), folder.join(name)).unwrap();
    }

    pub(crate) fn metrics(&self) -> String {
        self.appliance.metrics.render()
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stopped(&self) {
        self.stop.cancel();
        let running = self.running.lock().unwrap().take().unwrap();
        tokio::time::timeout(Duration::from_secs(20), running).await.unwrap().unwrap().unwrap();
    }
}

fn is_a_policy_reload(record: &Value) -> bool {
    record["event"] == "reload" && record["layer"] == "policy"
}

/// Whether a line of the metrics counts at least one reload.
fn is_a_reload(line: &str) -> bool {
    !line.starts_with('#') && line.contains("policy_reloads") && !line.ends_with(" 0")
}

fn write_policy(folder: &Path, policy: &str) {
    let text = policy.replace("FOLDER", &folder.display().to_string());
    std::fs::write(folder.join("policy/.new"), text).unwrap();
    std::fs::rename(folder.join("policy/.new"), folder.join("policy/policy.yaml")).unwrap();
}
