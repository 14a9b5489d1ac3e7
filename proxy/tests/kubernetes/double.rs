//! A double of the API server: lists and watches pods over TLS as the real one does, with pages, bookmarks, time limits and
//! 410 Gone; and does what a bad day brings, when it is told: cuts watches in the middle of a line, refuses, is slow, forgets.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use stubgate_certs::{CertificateAuthority, LeafName, Minter, MinterConfig, system_clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What the double is told to do, and what it has seen.
pub(crate) struct Double {
    pub(crate) address: SocketAddr,
    ca: String,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    store: Mutex<Store>,
    /// The version that was reached.
    version: watch::Sender<u64>,
    /// Every watch ends without its end when this grows.
    cuts: watch::Sender<u64>,
    is_down: AtomicBool,
    /// Milliseconds before each piece of an answer.
    slow: AtomicU64,
    /// The status of every watch's refusal; 0 while they are served.
    watches_refused: AtomicU16,
    /// The namespace that nobody may read.
    closed: Mutex<Option<String>>,
    token: Mutex<String>,
    lists: AtomicUsize,
    watches: AtomicUsize,
    gone: AtomicUsize,
    refused: AtomicUsize,
}

#[derive(Default)]
struct Store {
    version: u64,
    pods: BTreeMap<(String, String), Value>,
    /// What watches are told: version, namespace, line.
    log: VecDeque<(u64, String, String)>,
    /// Versions up to this are no longer known.
    forgotten: u64,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let authority = Arc::new(CertificateAuthority::create("the cluster", SystemTime::now()).unwrap());
        let ca = authority.certificate_pem();
        let minter = Minter::new(authority, &MinterConfig::default(), system_clock()).unwrap();
        let config = minter.server_config(&LeafName::Ip([127, 0, 0, 1].into())).await.unwrap();
        let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = sockets.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.store.lock().unwrap().version = 1;
        let serving = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = sockets.accept().await {
                if serving.is_down.load(Ordering::SeqCst) {
                    continue;
                }
                tcp.set_nodelay(true).unwrap();
                let (acceptor, shared) = (TlsAcceptor::from(Arc::clone(&config)), Arc::clone(&serving));
                tokio::spawn(async move {
                    let mut cuts = shared.cuts.subscribe();
                    cuts.mark_unchanged();
                    let serve = async {
                        if let Ok(tls) = acceptor.accept(tcp).await {
                            // Clients go away as they like.
                            let _ = connection(&shared, tls).await;
                        }
                    };
                    tokio::select! {
                        () = serve => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Double { address, ca, shared }
    }

    /// A kubeconfig for it, with its CA and a token file beside it.
    pub(crate) fn kubeconfig(&self, folder: &Path) -> PathBuf {
        std::fs::write(folder.join("cluster.pem"), &self.ca).unwrap();
        self.set_token(folder, "token-1");
        let file = folder.join("kubeconfig");
        std::fs::write(&file, kubeconfig(&format!("https://{}", self.address), "cluster.pem")).unwrap();
        file
    }

    /// Takes another token and no other, and puts it where clients read it.
    pub(crate) fn set_token(&self, folder: &Path, token: &str) {
        *self.shared.token.lock().unwrap() = token.to_owned();
        std::fs::write(folder.join(".token"), token).unwrap();
        std::fs::rename(folder.join(".token"), folder.join("token")).unwrap();
    }

    /// A pod is there as this says.
    pub(crate) fn put(&self, mut pod: Value) {
        let mut store = self.shared.store.lock().unwrap();
        store.version += 1;
        pod["metadata"]["resourceVersion"] = json!(store.version.to_string());
        let key = key(&pod);
        let kind = if store.pods.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        store.tell(kind, &key.0, &pod);
        store.pods.insert(key, pod);
        self.shared.version.send_replace(store.version);
    }

    /// A pod is gone.
    pub(crate) fn delete(&self, namespace: &str, name: &str) {
        let mut store = self.shared.store.lock().unwrap();
        let Some(mut pod) = store.pods.remove(&(namespace.to_owned(), name.to_owned())) else { return };
        store.version += 1;
        pod["metadata"]["resourceVersion"] = json!(store.version.to_string());
        store.tell("DELETED", namespace, &pod);
        self.shared.version.send_replace(store.version);
    }

    /// Cuts all connections, without an end.
    pub(crate) fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Forgets what was: who watches on from there is told 410.
    pub(crate) fn compact(&self) {
        let mut store = self.shared.store.lock().unwrap();
        // A version that nobody can have come as far as.
        store.version += 1;
        store.forgotten = store.version;
        store.log.clear();
    }

    /// Takes no connection, or does again.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::SeqCst);
        if is_down {
            self.cut();
        }
    }

    pub(crate) fn set_slow(&self, slow: Duration) {
        self.shared.slow.store(u64::try_from(slow.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Answers every watch with this status, and lists as before; 0 serves them again.
    pub(crate) fn refuse_watches(&self, code: u16) {
        self.shared.watches_refused.store(code, Ordering::SeqCst);
    }

    /// Refuses all that is asked of this namespace.
    pub(crate) fn close(&self, namespace: Option<&str>) {
        *self.shared.closed.lock().unwrap() = namespace.map(str::to_owned);
    }

    pub(crate) fn lists(&self) -> usize {
        self.shared.lists.load(Ordering::SeqCst)
    }

    pub(crate) fn watches(&self) -> usize {
        self.shared.watches.load(Ordering::SeqCst)
    }

    pub(crate) fn gone(&self) -> usize {
        self.shared.gone.load(Ordering::SeqCst)
    }

    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }
}

/// A kubeconfig with a token in the file `token` beside it.
pub(crate) fn kubeconfig(server: &str, ca: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{ name: c, cluster: {{ server: \"{server}\", certificate-authority: {ca} }} }}]\n\
         users: [{{ name: u, user: {{ tokenFile: token }} }}]\ncontexts: [{{ name: x, context: {{ cluster: c, user: u }} }}]\n\
         current-context: x\n"
    )
}

impl Store {
    fn tell(&mut self, kind: &str, namespace: &str, pod: &Value) {
        let line = format!("{}\n", json!({ "type": kind, "object": pod }));
        self.log.push_back((self.version, namespace.to_owned(), line));
    }
}

fn key(pod: &Value) -> (String, String) {
    let text = |name: &str| pod["metadata"][name].as_str().unwrap().to_owned();
    (text("namespace"), text("name"))
}

type Tls = TlsStream<TcpStream>;

/// Requests of one connection, until a watch or the client ends it.
async fn connection(shared: &Arc<Shared>, mut tls: Tls) -> std::io::Result<()> {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at;
            }
            if tls.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8(read.drain(..end + 4).take(end).collect()).unwrap();
        let target = head.split(' ').nth(1).unwrap().to_owned();
        let expected = format!("bearer {}", shared.token.lock().unwrap()).to_lowercase();
        let given =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("authorization: ").map(str::to_owned));
        if given != Some(expected) {
            shared.refused.fetch_add(1, Ordering::SeqCst);
            answer(shared, &mut tls, 401, &status(401, "Unauthorized")).await?;
            continue;
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let namespace = path.strip_prefix("/api/v1/namespaces/").and_then(|rest| rest.strip_suffix("/pods"));
        assert!(namespace.is_some() || path == "/api/v1/pods", "asked for {path}, which no role allows");
        let is_closed = namespace.is_some() && shared.closed.lock().unwrap().as_deref() == namespace;
        let query: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
        let code = if is_closed { 403 } else { shared.watches_refused.load(Ordering::SeqCst) };
        if is_closed || code > 0 && query.contains_key("watch") {
            answer(shared, &mut tls, code, &status(code, if code == 410 { "Expired" } else { "Forbidden" })).await?;
            continue;
        }
        if query.contains_key("watch") {
            return watched(shared, tls, namespace, &query).await;
        }
        let page = listed(shared, namespace, &query);
        answer(shared, &mut tls, 200, &page).await?;
    }
}

/// A page; pages of one list are of one version only as far as nothing changes in between, which these tests don't lean on.
fn listed(shared: &Shared, namespace: Option<&str>, query: &BTreeMap<&str, &str>) -> Value {
    let store = shared.store.lock().unwrap();
    let limit: usize = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    // Where it goes on: the version of the list, and how many were sent.
    let (version, from) = query.get("continue").map_or((store.version, 0), |text| {
        let (version, from) = text.split_once('.').unwrap();
        (version.parse().unwrap(), from.parse().unwrap())
    });
    if version < store.forgotten {
        return status(410, "Expired");
    }
    let of = |pod: &&Value| namespace.is_none_or(|namespace| pod["metadata"]["namespace"] == namespace);
    let items: Vec<&Value> = store.pods.values().filter(of).skip(from).take(limit.saturating_add(1)).collect();
    let next = if items.len() > limit { format!("{version}.{}", from + limit) } else { String::new() };
    if next.is_empty() {
        shared.lists.fetch_add(1, Ordering::SeqCst);
    }
    let items = &items[..items.len().min(limit)];
    json!({ "kind": "PodList", "metadata": { "resourceVersion": version.to_string(), "continue": next }, "items": items })
}

fn status(code: u16, reason: &str) -> Value {
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code })
}

async fn answer(shared: &Shared, tls: &mut Tls, code: u16, body: &Value) -> std::io::Result<()> {
    slow(shared).await;
    let code = body["code"].as_u64().map_or(code, |code| u16::try_from(code).unwrap());
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 {code} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    tls.write_all(head.as_bytes()).await?;
    tls.write_all(body.as_bytes()).await?;
    tls.flush().await
}

async fn slow(shared: &Shared) {
    let slow = shared.slow.load(Ordering::SeqCst);
    if slow > 0 {
        tokio::time::sleep(Duration::from_millis(slow)).await;
    }
}

/// A watch from a version on, to its time limit.
async fn watched(
    shared: &Arc<Shared>,
    mut tls: Tls,
    namespace: Option<&str>,
    query: &BTreeMap<&str, &str>,
) -> std::io::Result<()> {
    let mut from: u64 = query["resourceVersion"].parse().unwrap();
    let seconds: u64 = query["timeoutSeconds"].parse().unwrap();
    assert_eq!(query.get("allowWatchBookmarks"), Some(&"true"));
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    let mut version = shared.version.subscribe();
    if from < shared.store.lock().unwrap().forgotten {
        shared.gone.fetch_add(1, Ordering::SeqCst);
        // As the real one does by turns: a status, or an event of a watch that was taken.
        if from.is_multiple_of(2) {
            answer(shared, &mut tls, 410, &status(410, "Expired")).await?;
            return tls.shutdown().await;
        }
        let line = format!("{}\n", json!({ "type": "ERROR", "object": status(410, "Expired") }));
        begin(&mut tls).await?;
        chunk(&mut tls, line.as_bytes()).await?;
        tls.write_all(b"0\r\n\r\n").await?;
        return tls.shutdown().await;
    }
    shared.watches.fetch_add(1, Ordering::SeqCst);
    begin(&mut tls).await?;
    loop {
        version.mark_unchanged();
        let (lines, reached, is_lost) = {
            let store = shared.store.lock().unwrap();
            let at = store.log.partition_point(|(version, ..)| *version <= from);
            let of = |line: &&(u64, String, String)| namespace.is_none_or(|namespace| line.1 == namespace);
            let lines: String = store.log.iter().skip(at).filter(of).map(|(_, _, line)| line.as_str()).collect();
            (lines, store.version, from < store.forgotten)
        };
        if is_lost {
            let line = format!("{}\n", json!({ "type": "ERROR", "object": status(410, "Expired") }));
            shared.gone.fetch_add(1, Ordering::SeqCst);
            return chunk(&mut tls, line.as_bytes()).await;
        }
        from = reached;
        if !lines.is_empty() {
            // In pieces that end where they like.
            for piece in lines.as_bytes().chunks(3001) {
                slow(shared).await;
                chunk(&mut tls, piece).await?;
            }
        }
        tokio::select! {
            _ = version.changed() => {}
            () = tokio::time::sleep_until(end) => break,
        }
    }
    let bookmark = json!({ "type": "BOOKMARK", "object": { "kind": "Pod", "apiVersion": "v1", "metadata": { "resourceVersion": from.to_string() } } });
    chunk(&mut tls, format!("{bookmark}\n").as_bytes()).await?;
    tls.write_all(b"0\r\n\r\n").await?;
    tls.shutdown().await
}

async fn begin(tls: &mut Tls) -> std::io::Result<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    tls.write_all(head.as_bytes()).await?;
    tls.flush().await
}

async fn chunk(tls: &mut Tls, bytes: &[u8]) -> std::io::Result<()> {
    tls.write_all(format!("{:x}\r\n", bytes.len()).as_bytes()).await?;
    tls.write_all(bytes).await?;
    tls.write_all(b"\r\n").await?;
    tls.flush().await
}
