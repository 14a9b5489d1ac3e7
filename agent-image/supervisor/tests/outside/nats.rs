//! A real `nats-server` with JetStream, that can be killed and started again on what it has stored.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream;
use tokio::runtime::Runtime;

use crate::home::wait_until;

pub(crate) struct Nats {
    folder: PathBuf,
    settings: String,
    /// Both stay the same when it starts again.
    ports: Option<(u16, u16)>,
    child: Child,
    runtime: Runtime,
}

/// How its WebSocket listens.
pub(crate) enum Listen<'a> {
    /// With this certificate and key.
    Tls(&'a Path, &'a Path),
    /// Plain, for a front.
    Plain,
}

impl Nats {
    pub(crate) fn start(folder: &Path, listen: &Listen) -> Nats {
        let folder = folder.join("nats");
        fs::create_dir_all(&folder).unwrap();
        let listen = match listen {
            Listen::Tls(certificate, key) => {
                format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", certificate.display(), key.display())
            }
            Listen::Plain => "no_tls: true".into(),
        };
        let settings = format!(
            "ports_file_dir: \"{0}\"\njetstream {{ store_dir: \"{0}/store\", max_mem: 16MB, max_file: 64MB }}\n\
             host: 127.0.0.1\nport: @PORT@\nwebsocket {{ host: 127.0.0.1, port: @SOCKET@, {listen} }}\n",
            folder.display(),
        );
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let child = run(&folder, &settings, None);
        let mut nats = Nats { folder, settings, ports: None, child, runtime };
        nats.ports = Some(nats.bound());
        nats
    }

    /// Kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, on the same ports and with what it has stored.
    pub(crate) fn again(&mut self) {
        self.child = run(&self.folder, &self.settings, self.ports);
        self.bound();
    }

    /// The port of its WebSockets.
    pub(crate) fn socket(&self) -> u16 {
        self.ports.unwrap().1
    }

    /// Makes the stream `EVENTS`.
    pub(crate) fn stream(&self, subjects: &str, max_message_size: i32) {
        let config = jetstream::stream::Config {
            name: "EVENTS".into(),
            subjects: vec![subjects.into()],
            storage: jetstream::stream::StorageType::File,
            duplicate_window: Duration::from_secs(600),
            max_message_size,
            ..Default::default()
        };
        self.runtime.block_on(async { self.context().await.create_stream(config).await.unwrap() });
    }

    pub(crate) fn delete_stream(&self) {
        self.runtime.block_on(async { self.context().await.delete_stream("EVENTS").await.unwrap() });
    }

    /// What the stream holds: subject, id and event.
    pub(crate) fn messages(&self) -> Vec<(String, String, serde_json::Value)> {
        self.runtime.block_on(async {
            let stream = self.context().await.get_stream("EVENTS").await.unwrap();
            let mut messages = Vec::new();
            let state = &stream.cached_info().state;
            if state.messages == 0 {
                return messages;
            }
            for sequence in state.first_sequence..=state.last_sequence {
                let message = stream.get_raw_message(sequence).await.unwrap();
                let id = message.headers.get("Nats-Msg-Id").unwrap().to_string();
                messages.push((message.subject.to_string(), id, serde_json::from_slice(&message.payload).unwrap()));
            }
            assert_eq!(messages.len() as u64, state.messages);
            messages
        })
    }

    async fn context(&self) -> jetstream::Context {
        let client = async_nats::connect(("127.0.0.1", self.ports.unwrap().0).address()).await.unwrap();
        jetstream::new(client)
    }

    /// What it wrote into its file of ports.
    fn bound(&self) -> (u16, u16) {
        let file = self.folder.join(format!("nats-server_{}.ports", self.child.id()));
        let read = || {
            let ports: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).ok()?).ok()?;
            let port = |of: &str| ports[of][0].as_str()?.rsplit(':').next()?.parse::<u16>().ok();
            Some((port("nats")?, port("websocket")?))
        };
        wait_until("nats-server listens", || read().is_some());
        read().unwrap()
    }
}

trait Address {
    fn address(&self) -> String;
}

impl Address for (&str, u16) {
    fn address(&self) -> String {
        format!("nats://{}:{}", self.0, self.1)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(folder: &Path, settings: &str, ports: Option<(u16, u16)>) -> Child {
    let number = |port: Option<u16>| port.map_or("-1".into(), |port| port.to_string());
    let settings = settings
        .replace("@PORT@", &number(ports.map(|ports| ports.0)))
        .replace("@SOCKET@", &number(ports.map(|ports| ports.1)));
    let file = folder.join("nats.conf");
    fs::write(&file, settings).unwrap();
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new("nats-server")
        .arg("-c")
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("nats-server (tests/setup has what the tests need)")
}
