//! The program itself, locked down: it still reads the files of the cluster's client, also when they are exchanged.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::double::Double;
use crate::site::{PATIENCE, POLICY, pod};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn readyz(admin: SocketAddr) -> String {
    let mut tcp = TcpStream::connect(admin).unwrap();
    tcp.write_all(b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    text
}

fn until(admin: SocketAddr, what: &str) -> String {
    let began = Instant::now();
    loop {
        let text = readyz(admin);
        if text.contains(what) {
            return text;
        }
        assert!(began.elapsed() < PATIENCE, "never {what}: {text}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_down_appliance_watches_pods_and_reads_an_exchanged_token() {
    let double = Double::start().await;
    double.put(pod("agents", "one", "u1", "a0", "10.0.0.1"));
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    for name in ["etc", "etc/policy", "cluster", "state"] {
        std::fs::create_dir(here.join(name)).unwrap();
    }
    std::fs::write(here.join("etc/policy/policy.yaml"), POLICY).unwrap();
    let kubeconfig = double.kubeconfig(&here.join("cluster"));
    let text = format!(
        "listen: {{ http: [\"127.0.0.1:0\"], admin: [\"127.0.0.1:0\"] }}\npolicy: [policy]\nstate_dir: {}\nprocess: {{ require_lockdown: true }}\n\
         kubernetes: {{ kubeconfig: {}, stale_after_seconds: 4 }}\n",
        here.join("state").display(),
        kubeconfig.display(),
    );
    std::fs::write(here.join("etc/stubgate.yaml"), text).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_stubgate"));
    program.args(["run", "--config"]).arg(here.join("etc/stubgate.yaml")).env_remove("STUBGATE_LOG");
    let mut running = Running(program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(running.0.stderr.take().unwrap()).lines();
    let serving = loop {
        let line = log.next().expect("the program ended").unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_default();
        if said["fields"]["message"] == "serving" {
            break said;
        }
    };
    std::thread::spawn(move || log.for_each(drop));
    let admin: SocketAddr = serving["fields"]["admin"].as_str().unwrap().parse().unwrap();
    let text = until(admin, "kubernetes: 1 pods");
    assert!(text.contains("seccomp: in force") && text.contains("landlock: in force"), "{text}");
    double.set_token(&here.join("cluster"), "token-2");
    double.cut();
    double.put(pod("agents", "two", "u2", "a0", "10.0.0.2"));
    until(admin, "kubernetes: 2 pods");
    assert!(double.refused() > 0);
}
