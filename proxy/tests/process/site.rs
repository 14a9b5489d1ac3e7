//! The real program with a policy, a credential, and an origin that demands it.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use stubgate_certs::{CertificateAuthority, LeafName, Minter, MinterConfig, system_clock};
use tempfile::TempDir;

pub(crate) const HOST: &str = "api.example.test";
pub(crate) const STUB: &str = "proxy-token-api";

const POLICY: &str = r#"version: 1
agents:
  devbot: { sources: ["127.0.0.1/32"] }
credentials:
  api:
    stub: proxy-token-api
    slots: [bearer]
    hosts: [api.example.test]
    source: { file: SECRETS/api }
rules:
  - name: api
    agents: [devbot]
    hosts: [api.example.test]
    methods: [GET]
    credentials: [api]
"#;

/// A folder with a configuration and all that it names.
pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) origin: Origin,
}

impl Site {
    pub(crate) fn new(secret: &str) -> Self {
        Site::with(secret, "")
    }

    /// With more lines of `stubgate.yaml`.
    pub(crate) fn with(secret: &str, more: &str) -> Self {
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        let internet = CertificateAuthority::create("the internet", SystemTime::now()).unwrap();
        fs::write(folder.path().join("internet.pem"), internet.certificate_pem()).unwrap();
        let origin = Origin::start(internet);
        for name in ["etc/policy", "secrets", "elsewhere"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let text = format!(
            "listen: {{ proxy: [\"127.0.0.1:0\"], admin: [\"127.0.0.1:0\"] }}\npolicy: [policy]\nstate_dir: ../state\n\
             upstream:\n  ca_files: [../internet.pem]\n  nameservers: [\"127.0.0.1:9\"]\n  \
             connect_to: {{ \"{HOST}:443\": \"{}\" }}\ntimeouts: {{ drain_delay_seconds: 0, drain_seconds: 1 }}\n\
             audit: {{ files: [{{ path: ../log/audit.jsonl }}] }}\n{more}\n",
            origin.address,
        );
        fs::write(folder.path().join("etc/stubgate.yaml"), text).unwrap();
        let site = Site { folder, origin };
        site.write_policy("secrets");
        site.write_secret(secret);
        site
    }

    /// One more of `timeouts`.
    pub(crate) fn set_timeout(&self, line: &str) {
        let config = fs::read_to_string(self.path("etc/stubgate.yaml")).unwrap();
        let config = config.replace("drain_seconds: 1", &format!("drain_seconds: 1, {line}"));
        fs::write(self.path("etc/stubgate.yaml"), config).unwrap();
    }

    /// A CA of servers besides that of the internet, and where one of them is.
    pub(crate) fn trust(&self, authority: &str, server: &str, address: SocketAddr) {
        fs::write(self.path("servers.pem"), authority).unwrap();
        let config = fs::read_to_string(self.path("etc/stubgate.yaml")).unwrap();
        let config = config
            .replace("[../internet.pem]", "[../internet.pem, ../servers.pem]")
            .replace("connect_to: { ", &format!("connect_to: {{ \"{server}\": \"{address}\", "));
        fs::write(self.path("etc/stubgate.yaml"), config).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A policy whose credential is read from that folder.
    pub(crate) fn write_policy(&self, secrets: &str) {
        let text = POLICY.replace("SECRETS", &self.path(secrets).display().to_string());
        fs::write(self.path("etc/policy/.new"), text).unwrap();
        fs::rename(self.path("etc/policy/.new"), self.path("etc/policy/policy.yaml")).unwrap();
    }

    /// A policy whose credential is read from there.
    pub(crate) fn write_source(&self, source: &str) {
        let text = POLICY.replace("{ file: SECRETS/api }", source);
        fs::write(self.path("etc/policy/.new"), text).unwrap();
        fs::rename(self.path("etc/policy/.new"), self.path("etc/policy/policy.yaml")).unwrap();
    }

    /// A program that does this; where it is.
    pub(crate) fn write_program(&self, name: &str, script: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    pub(crate) fn write_secret(&self, value: &str) {
        fs::write(self.path("secrets/.new"), value).unwrap();
        fs::rename(self.path("secrets/.new"), self.path("secrets/api")).unwrap();
    }

    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stubgate"));
        command.args(["run", "--config"]).arg(self.path("etc/stubgate.yaml")).env_remove("STUBGATE_LOG");
        command
    }

    pub(crate) fn start(&self) -> Running {
        Running::start(self.program())
    }

    pub(crate) fn audit(&self) -> String {
        fs::read_to_string(self.path("log/audit.jsonl")).unwrap()
    }

    /// What an agent trusts.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let pem = fs::read(self.path("state/ca/certificate.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
        stubgate_certs::client_config(roots, &[b"http/1.1"]).unwrap()
    }
}

/// `stubgate run`, and its log as it comes.
pub(crate) struct Running {
    pub(crate) child: Child,
    log: Receiver<Value>,
    seen: Vec<Value>,
}

impl Running {
    pub(crate) fn start(mut program: Command) -> Self {
        let mut child = program.stderr(Stdio::piped()).spawn().unwrap();
        let (sender, log) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or(Value::String(line)));
            }
        });
        Running { child, log, seen: Vec::new() }
    }

    /// The fields of the next line whose message begins so.
    pub(crate) fn said(&mut self, message: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| {
                panic!("never said: {message}; only: {:#?}", self.seen);
            });
            self.seen.push(line.clone());
            if line["fields"]["message"].as_str().is_some_and(|text| text.starts_with(message)) {
                return line["fields"].clone();
            }
        }
    }

    /// The addresses that it says when it serves: for agents, and for operators.
    pub(crate) fn serving(&mut self) -> (SocketAddr, SocketAddr) {
        let said = self.said("serving");
        let address = |key: &str| said[key].as_str().unwrap().parse().unwrap();
        (address("proxy"), address("admin"))
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends it in order; all that it said.
    pub(crate) fn stop(self) -> Vec<Value> {
        self.signal(rustix::process::Signal::TERM);
        let (status, said) = self.wait();
        assert_eq!(status, Some(0));
        said
    }

    /// Waits for its end; the exit status and all that it said.
    pub(crate) fn ended(self) -> (Option<i32>, String) {
        let (status, said) = self.wait();
        (status, format!("{said:?}"))
    }

    fn wait(mut self) -> (Option<i32>, Vec<Value>) {
        let status = self.child.wait().unwrap();
        let rest: Vec<Value> = self.log.iter().collect();
        (status.code(), std::mem::take(&mut self.seen).into_iter().chain(rest).collect())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless a test failed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers every request, and remembers the credentials that it was shown.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) shown: Arc<Mutex<Vec<String>>>,
    /// Those that it answers 401 to.
    pub(crate) refused: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    fn start(internet: CertificateAuthority) -> Self {
        let sockets = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Origin { address: sockets.local_addr().unwrap(), shown: Arc::default(), refused: Arc::default() };
        let minter = Minter::new(Arc::new(internet), &MinterConfig::default(), system_clock()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let config = runtime.block_on(minter.server_config(&LeafName::Dns(HOST))).unwrap();
        let mut config: ServerConfig = (*config).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (config, shared) = (Arc::new(config), origin.clone());
        std::thread::spawn(move || {
            for tcp in sockets.incoming().map_while(Result::ok) {
                let (config, origin) = (Arc::clone(&config), shared.clone());
                // A connection that its client cuts is no failure.
                std::thread::spawn(move || serve(tcp, config, &origin));
            }
        });
        origin
    }
}

fn serve(tcp: TcpStream, config: Arc<ServerConfig>, origin: &Origin) -> io::Result<()> {
    let tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut io = StreamOwned::new(tls, tcp);
    loop {
        let head = head(&mut io)?;
        if head.starts_with("POST /v1/oauth/token ") {
            token(&mut io, &head, &origin.shown)?;
            continue;
        }
        if head.starts_with("POST /v1/oauth/device ") {
            offer(&mut io, &head)?;
            continue;
        }
        let value = head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization:"));
        let value = value.and_then(|line| line.split(' ').next_back()).unwrap_or_default();
        origin.shown.lock().unwrap().push(value.to_owned());
        let is_refused = origin.refused.lock().unwrap().iter().any(|refused| refused == value);
        // The status that is asked for, else 200.
        let asked = head.split(' ').nth(1).and_then(|path| path.strip_prefix("/status/"));
        let status = if is_refused { "401" } else { asked.unwrap_or("200") };
        let body = if status == "204" { "" } else { "hi" };
        let more = if status == "302" { "location: https://elsewhere.example/\r\n" } else { "" };
        write!(io, "HTTP/1.1 {status} X\r\n{more}content-length: {}\r\n\r\n{body}", body.len())?;
    }
}

/// Offers a login on another device (RFC 8628, 3.2).
fn offer(io: &mut (impl io::Read + io::Write), head: &str) -> io::Result<()> {
    io.read_exact(&mut vec![0; length(head)])?;
    let answer = r#"{"device_code":"device-code-0123","user_code":"ABCD-EFGH","verification_uri":"https://api.example.test/device",
        "expires_in":600,"interval":1}"#;
    write!(io, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())
}

/// Answers a refresh: the next pair is named after the one before. The first pair is for the code of a device, and ends soon.
fn token(io: &mut (impl io::Read + io::Write), head: &str, shown: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut body = vec![0; length(head)];
    io.read_exact(&mut body)?;
    let asked: Value = serde_json::from_slice(&body).map_err(io::Error::other)?;
    let answer = if asked["device_code"] == "device-code-0123" {
        r#"{"access_token":"access-one-0123","refresh_token":"real-refresh-access-one-0123","expires_in":1,"scope":"a"}"#.to_owned()
    } else {
        let token = asked["refresh_token"].as_str().unwrap_or_default();
        shown.lock().unwrap().push(token.to_owned());
        format!(
            r#"{{"access_token":"access-after-{token}","refresh_token":"next-{token}","expires_in":36000,"scope":"a"}}"#
        )
    };
    write!(io, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())
}

fn length(head: &str) -> usize {
    let found =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    found.and_then(|length| length.trim().parse().ok()).unwrap_or(0)
}

/// A connection of an agent through CONNECT.
pub(crate) struct Agent {
    io: StreamOwned<ClientConnection, TcpStream>,
}

impl Agent {
    pub(crate) fn connect(proxy: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut tcp = TcpStream::connect(proxy)?;
        tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
        tcp.write_all(format!("CONNECT {HOST}:443 HTTP/1.1\r\nhost: {HOST}:443\r\n\r\n").as_bytes())?;
        let answer = head(&mut tcp)?;
        if !answer.contains(" 200 ") {
            return Err(io::Error::other(answer));
        }
        let name = ServerName::try_from(HOST).unwrap();
        let tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Agent { io: StreamOwned::new(tls, tcp) })
    }

    /// One request with the stub; the status.
    pub(crate) fn get(&mut self) -> io::Result<u16> {
        let request = format!("GET /x HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {STUB}\r\n\r\n");
        self.io.write_all(request.as_bytes())?;
        let head = head(&mut self.io)?;
        let mut body = vec![0; length(&head)];
        self.io.read_exact(&mut body)?;
        Ok(head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0))
    }
}

fn head(io: &mut impl io::Read) -> io::Result<String> {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        io.read_exact(&mut byte)?;
        read.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// Asks the admin endpoint; status and body.
pub(crate) fn admin(address: SocketAddr, path: &str) -> (u16, String) {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(tcp, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
