use std::path::Path;
use std::time::UNIX_EPOCH;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use super::super::Client;
use super::*;
use crate::agent::AgentFile;

pub(in crate::state) fn agent(folder: &Path) -> Agent {
    let place = Place {
        name: "devbot".into(),
        agents: folder.join("agents"),
        home: folder.join("home"),
        workspace: folder.join("workspace"),
        bundle: folder.join("bundle.pem"),
        trust: folder.join("trust"),
        run: folder.join("run"),
    };
    let mut file = AgentFile::default();
    file.listen.0 = String::new();
    Agent { name: "devbot".into(), file, place }
}

/// What makes the agent ready: a client that is this very process.
pub(in crate::state) fn good(state: &State) {
    state.change(|facts| {
        facts.client = Client::Up { pid: std::process::id(), since: UNIX_EPOCH, restarts: 0 };
        facts.login_is_stub = true;
    });
}

/// A server on loopback.
struct Server {
    state: State,
    address: std::net::SocketAddr,
    _stop: tokio_util::sync::DropGuard,
    _folder: tempfile::TempDir,
}

async fn server() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let state = State::default();
    let source = Arc::new(Source::new(&agent(folder.path()), state.clone()));
    let sockets = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = sockets.local_addr().unwrap();
    let stop = CancellationToken::new();
    let heard = stop.clone();
    tokio::spawn(async move { serve_tcp(sockets, &source, &heard).await });
    Server { state, address, _stop: stop.drop_guard(), _folder: folder }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// What is answered to these bytes until the server closes.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect().await;
        // It may be closed before all is sent.
        let _ = stream.write_all(bytes.as_ref()).await;
        rest(&mut stream).await
    }

    async fn get(&self, path: &str) -> String {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: pod\r\n\r\n")).await
    }
}

async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // Longer than the server's own deadlines; a reset is an end as well.
    let _ = tokio::time::timeout(Duration::from_secs(60), read).await.expect("the server closes");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_supervisor_that_answers_is_alive_whatever_its_client_does() {
    assert_eq!(server().await.get("/healthz").await.lines().next(), Some("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn readyz_tells_each_reason_in_a_line_and_nothing_else() {
    let server = server().await;
    let answer = server.get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let words: Vec<&str> = body.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(words, ["client_waiting", "login_not_stub"]);
    good(&server.state);
    let answer = server.get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nready\n"), "{answer}");
}

#[tokio::test]
async fn a_pod_whose_agent_is_dead_is_not_ready_though_nobody_said_so() {
    let server = server().await;
    good(&server.state);
    let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let pid = child.id();
    server.state.change(|facts| facts.client = Client::Up { pid, since: UNIX_EPOCH, restarts: 0 });
    assert!(server.get("/readyz").await.starts_with("HTTP/1.1 200 "));
    child.kill().unwrap();
    child.wait().unwrap();
    let answer = server.get("/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\n\r\nclient_down: "), "{answer}");
    assert!(server.get("/metrics").await.contains("\nstubgate_agent_client_up 0\n"));
}

#[tokio::test]
async fn readyz_answers_with_json_where_that_is_asked_for() {
    let server = server().await;
    let ask = "GET /readyz HTTP/1.1\r\nHost: pod\r\nAccept: text/html, Application/JSON;q=0.9\r\n\r\n";
    let answer = server.send(ask).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("content-type: application/json"), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["ready"], &body["reasons"][0]["reason"]), (&json!(false), &json!("client_waiting")));
}

#[tokio::test]
async fn no_stub_is_told() {
    let server = server().await;
    server.state.change(|facts| facts.dialog = Some("Bearer access-token-stub, proxy-token-github".into()));
    for path in ["/readyz", "/metrics"] {
        let answer = server.get(path).await;
        assert!(!answer.contains("-stub") && !answer.contains("proxy-token"), "{answer}");
    }
}

#[tokio::test]
async fn only_questions_are_answered() {
    let server = server().await;
    assert!(server.send("POST /readyz HTTP/1.1\r\nHost: pod\r\nContent-Length: 0\r\n\r\n").await.contains(" 405 "));
    // Anything about a session is told over the supervisor's own socket only.
    for path in ["/", "/status", "/metrics/x", "//readyz", "/%72eadyz"] {
        assert!(server.get(path).await.starts_with("HTTP/1.1 404 "), "{path}");
    }
    assert!(server.send("HEAD /healthz HTTP/1.0\r\n\r\n").await.ends_with("\r\n\r\n"), "without a body");
}

#[tokio::test]
async fn garbage_is_refused_and_the_next_one_served() {
    let server = server().await;
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"\x00\xff\xfe\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD_BYTES)).into_bytes(),
        format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(2 * HEAD_LINES)).into_bytes(),
    ] {
        let mut stream = server.connect().await;
        let _ = stream.write_all(&garbage).await;
        let _ = stream.shutdown().await;
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_connection_is_for_one_request() {
    let answer = server().await.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2)).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
}

#[tokio::test]
async fn one_who_sends_a_byte_now_and_then_is_cut_off() {
    let server = server().await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").await.unwrap();
    let begun = tokio::time::Instant::now();
    let (mut reading, mut writing) = stream.split();
    let drip = async {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // What is left of the answer is the reader's.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = rest(&mut reading) => assert!(answer.is_empty() || answer.contains(" 408 "), "{answer}"),
        () = drip => {}
    }
    assert!(begun.elapsed() < WHOLE + HEAD, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn one_who_holds_connections_open_shuts_out_nobody_else() {
    let server = server().await;
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_EACH {
        held.push(server.connect().await);
    }
    // All of one's share is taken: the next is closed without an answer.
    assert_eq!(server.get("/healthz").await, "");
    // Of the machine's other addresses, the same one.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = other.connect(server.address).await.unwrap();
    let _ = other.write_all(b"GET /healthz HTTP/1.1\r\nHost: pod\r\n\r\n").await;
    assert_eq!(rest(&mut other).await, "");
    // Once one of them ends, there is room; its end is seen by the closing that it gets.
    let mut first = held.remove(0);
    first.shutdown().await.unwrap();
    rest(&mut first).await;
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
}

#[test]
fn each_has_a_share_and_gives_it_back() {
    let open = Open::default();
    let of = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    let own: Vec<Slot> = (0..CONNECTIONS_EACH).map(|_| open.slot(of(1)).unwrap()).collect();
    assert!(open.slot(of(1)).is_none());
    assert!(open.slot("::ffff:10.0.0.1".parse().unwrap()).is_none(), "the same one");
    let others: Vec<Slot> = (0..CONNECTIONS - CONNECTIONS_EACH)
        .map(|number| open.slot(of(2 + u8::try_from(number / CONNECTIONS_EACH).unwrap())).unwrap())
        .collect();
    assert!(open.slot(of(200)).is_none(), "all are taken");
    drop((own, others));
    assert!(open.0.lock().unwrap().is_empty(), "nothing is kept of those who went");
}

#[tokio::test]
async fn the_socket_answers_its_owner_and_is_gone_after_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let agent = agent(folder.path());
    let path = socket(&agent.place);
    let stop = CancellationToken::new();
    // One that a supervisor left behind which was killed.
    std::fs::create_dir_all(&agent.place.run).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let state = State::default();
    let serving = tokio::spawn(serve(agent, state.clone(), stop.clone()));
    let mut stream = connected(&path).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let answer = rest(&mut stream).await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_str::<Report>(body).unwrap().agent, "devbot");
    stop.cancel();
    serving.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn the_socket_of_a_supervisor_that_runs_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.sock");
    let first = bind_unix(&path).await.unwrap();
    assert_eq!(bind_unix(&path).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    drop(first);
    bind_unix(&path).await.unwrap();
}

/// A connection to the socket, as soon as somebody listens.
async fn connected(path: &Path) -> UnixStream {
    let connecting = async {
        loop {
            match UnixStream::connect(path).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), connecting).await.expect("somebody listens")
}
