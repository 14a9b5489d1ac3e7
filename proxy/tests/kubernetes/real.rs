//! The same model against a real API server: kube-apiserver and etcd, where they are installed (`tests/setup`, or the folder in
//! `STUBGATE_LAB_CLUSTER`) and `STUBGATE_REAL_CLUSTER=1` asks for it. It takes minutes, and is no part of `make test`.
//!
//! stubgate is a user with the role of `docs/kubernetes.md` and no other right. Between it and the server stands a relay that
//! can be cut.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::cluster::{Cluster, Moment, Told};
use crate::double::kubeconfig;
use crate::model::{EVENTS, Server, run};
use crate::site::Site;

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn programs() -> Option<PathBuf> {
    std::env::var_os("STUBGATE_REAL_CLUSTER")?;
    let folder = std::env::var_os("STUBGATE_LAB_CLUSTER")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/lab-cluster/bin"), PathBuf::from);
    assert!(folder.join("kube-apiserver").exists() && folder.join("etcd").exists(), "not in {}", folder.display());
    Some(folder)
}

fn start(program: &Path, log: &Path, arguments: &[String]) -> Running {
    let log = std::fs::File::create(log).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Running(command.spawn().unwrap())
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An administrator of the cluster.
struct Admin {
    address: SocketAddr,
    ca: PathBuf,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Admin {
    async fn connect(&mut self) -> Option<()> {
        let pem = std::fs::read(&self.ca).ok()?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            roots.add(certificate.ok()?).ok()?;
        }
        let config = stubgate_certs::client_config(roots, &[b"http/1.1"]).ok()?;
        let tcp = TcpStream::connect(self.address).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        let name = rustls_pki_types::ServerName::IpAddress(self.address.ip().into());
        let tls = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await.ok()?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.ok()?;
        tokio::spawn(connection);
        self.sender = Some(sender);
        Some(())
    }

    async fn try_ask(&mut self, method: Method, path: &str, body: &Value) -> Option<(u16, Value)> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            self.connect().await?;
        }
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "cluster")
            .header("authorization", "Bearer admin-token")
            .header("content-type", kind)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let sender = self.sender.as_mut()?;
        sender.ready().await.ok()?;
        let answer = sender.send_request(request).await.ok()?;
        let status = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&bytes).unwrap_or_default()))
    }

    async fn ask(&mut self, method: Method, path: &str, body: &Value) {
        let (status, said) = self.try_ask(method.clone(), path, body).await.unwrap();
        assert!((200..300).contains(&status), "{method} {path} {body}: {status} {said}");
    }
}

/// A relay to the server, that cuts what it carries when it is told, and takes nothing while it is shut.
struct Relay {
    address: SocketAddr,
    shut: Arc<watch::Sender<bool>>,
}

impl Relay {
    async fn start(to: SocketAddr) -> Self {
        let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = sockets.local_addr().unwrap();
        let shut = Arc::new(watch::Sender::new(false));
        let state = Arc::clone(&shut);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = sockets.accept().await {
                let mut changes = state.subscribe();
                if *changes.borrow_and_update() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = changes.changed() => {}
                    }
                });
            }
        });
        Relay { address, shut }
    }
}

/// The real one, told by its administrator.
struct Real {
    admin: Admin,
    relay: Relay,
    /// What was told of each pod last.
    told: HashMap<(String, String), Value>,
    start: Instant,
    shut_until: Option<Instant>,
}

impl Real {
    async fn put(&mut self, pod: Value) {
        let text = |name: &str| pod["metadata"][name].as_str().unwrap().to_owned();
        let key = (text("namespace"), text("name"));
        let path = format!("/api/v1/namespaces/{}/pods", key.0);
        let one = format!("{path}/{}", key.1);
        let before = self.told.get(&key).cloned();
        if before.is_none() {
            let mut spec = pod["spec"].clone();
            spec["nodeName"] = json!("n1");
            let metadata = json!({ "name": key.1, "labels": pod["metadata"]["labels"] });
            self.admin.ask(Method::POST, &path, &json!({ "metadata": metadata, "spec": spec })).await;
        }
        let has_changed =
            |part: &dyn Fn(&Value) -> Value| before.as_ref().is_none_or(|before| part(before) != part(&pod));
        if before.is_some() && has_changed(&|pod| pod["metadata"]["labels"].clone()) {
            let change = json!({ "metadata": { "labels": pod["metadata"]["labels"] } });
            self.admin.ask(Method::PATCH, &one, &change).await;
        }
        if has_changed(&|pod| pod["status"].clone()) {
            let mut status = pod["status"].clone();
            status["hostIPs"] = json!([{ "ip": status["hostIP"] }]);
            for name in ["podIP", "podIPs"] {
                status[name] = status[name].clone();
            }
            self.admin.ask(Method::PATCH, &format!("{one}/status"), &json!({ "status": status })).await;
        }
        let ends = |pod: &Value| pod["metadata"]["deletionTimestamp"].clone();
        if !ends(&pod).is_null() && has_changed(&ends) {
            self.admin.ask(Method::DELETE, &format!("{one}?gracePeriodSeconds=600"), &Value::Null).await;
        }
        self.told.insert(key, pod);
    }
}

impl Server for Real {
    async fn tell(&mut self, told: Told) {
        match told {
            Told::Put(pod) => self.put(*pod).await,
            Told::Delete(namespace, name) => {
                let path = format!("/api/v1/namespaces/{namespace}/pods/{name}?gracePeriodSeconds=0");
                let (status, said) = self.admin.try_ask(Method::DELETE, &path, &Value::Null).await.unwrap();
                assert!(status == 200 || status == 404, "{status} {said}");
                self.told.remove(&(namespace, name));
            }
        }
    }

    async fn trouble(&mut self, cluster: &mut Cluster) {
        if self.shut_until.is_some_and(|until| until <= Instant::now()) {
            self.quiet(cluster).await;
        }
        match cluster.random().below(1_000) {
            // Cut, and there again at once.
            0..4 => {
                self.relay.shut.send_replace(true);
                self.relay.shut.send_replace(false);
            }
            4 if self.shut_until.is_none() => {
                self.relay.shut.send_replace(true);
                let millis = u64::try_from(cluster.random().below(8_000)).unwrap();
                self.shut_until = Some(Instant::now() + Duration::from_millis(millis));
            }
            _ => {}
        }
    }

    async fn quiet(&mut self, _: &Cluster) {
        self.shut_until = None;
        self.relay.shut.send_if_modified(std::mem::take);
    }

    fn is_heard(&self) -> bool {
        self.shut_until.is_none()
    }

    fn now(&self) -> Moment {
        self.start.elapsed()
    }
}

/// The cluster, with the role of `docs/kubernetes.md` bound to the user `stubgate`.
async fn cluster(programs: &Path, folder: &Path) -> (Running, Running, Admin) {
    let [client, peer, secure] = [free_port(), free_port(), free_port()];
    let at = |name: &str| folder.join(name).display().to_string();
    std::fs::write(
        folder.join("tokens.csv"),
        "admin-token,admin,admin,\"system:masters\"\ntoken-1,stubgate,stubgate\n",
    )
    .unwrap();
    let made = Command::new("openssl").args(["genrsa", "-out", &at("account.key"), "2048"]).output().unwrap();
    assert!(made.status.success(), "openssl: {made:?}");
    let etcd = start(
        &programs.join("etcd"),
        &folder.join("etcd.log"),
        &[
            format!("--data-dir={}", at("etcd")),
            format!("--listen-client-urls=http://127.0.0.1:{client}"),
            format!("--advertise-client-urls=http://127.0.0.1:{client}"),
            format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            "--unsafe-no-fsync".into(),
        ],
    );
    let server = start(
        &programs.join("kube-apiserver"),
        &folder.join("apiserver.log"),
        &[
            format!("--etcd-servers=http://127.0.0.1:{client}"),
            format!("--secure-port={secure}"),
            "--bind-address=127.0.0.1".into(),
            format!("--cert-dir={}", at("certs")),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--disable-admission-plugins=ServiceAccount".into(),
            "--service-account-issuer=https://cluster.test".into(),
            format!("--service-account-key-file={}", at("account.key")),
            format!("--service-account-signing-key-file={}", at("account.key")),
            "--service-cluster-ip-range=10.200.0.0/24".into(),
        ],
    );
    let ca = folder.join("certs/apiserver.crt");
    let mut admin = Admin { address: SocketAddr::from(([127, 0, 0, 1], secure)), ca, sender: None };
    let ready = async {
        while admin.try_ask(Method::GET, "/readyz", &Value::Null).await.is_none_or(|(status, _)| status != 200) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let is_ready = tokio::time::timeout(Duration::from_secs(120), ready).await.is_ok();
    assert!(is_ready, "{}", std::fs::read_to_string(folder.join("apiserver.log")).unwrap());
    for name in ["agents", "other", "third"] {
        admin.ask(Method::POST, "/api/v1/namespaces", &json!({ "metadata": { "name": name } })).await;
    }
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let rules = json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"] }]);
    let role = json!({ "metadata": { "name": "stubgate" }, "rules": rules });
    admin.ask(Method::POST, &format!("{group}/clusterroles"), &role).await;
    let binding = json!({
        "metadata": { "name": "stubgate" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "stubgate" },
        "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "stubgate" }],
    });
    admin.ask(Method::POST, &format!("{group}/clusterrolebindings"), &binding).await;
    (etcd, server, admin)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_ten_thousand_events_of_a_real_api_server_nobody_is_taken_for_another() {
    let Some(programs) = programs() else {
        println!("left out: STUBGATE_REAL_CLUSTER is not set");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (_etcd, _server, admin) = cluster(&programs, folder.path()).await;
    let relay = Relay::start(admin.address).await;
    let write = |folder: &Path| {
        std::fs::copy(&admin.ca, folder.join("cluster.pem")).unwrap();
        std::fs::write(folder.join("token"), "token-1").unwrap();
        let file = folder.join("kubeconfig");
        std::fs::write(&file, kubeconfig(&format!("https://{}", relay.address), "cluster.pem")).unwrap();
        file
    };
    let bound = Duration::from_secs(6);
    let site = Site::start(write, bound.as_secs()).await;
    site.synced().await;
    let mut server = Real { admin, relay, told: HashMap::new(), start: Instant::now(), shut_until: None };
    // The server hears of what happens a moment after it happened.
    let lag = bound + Duration::from_secs(1);
    let mut cluster = Cluster::new(11, lag, 2_000);
    let tally = run(&site, &mut server, &mut cluster, EVENTS, lag).await;
    println!("{tally:?} in {:?}; {:?}", server.start.elapsed(), site.directory().counts());
    assert!(tally.allowed > 4_000 && tally.reused > 100, "{tally:?}");
}
