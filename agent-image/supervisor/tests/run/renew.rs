//! Trust that follows the appliance's bundle under a client that runs.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use crate::supervisor::{DEADLINE, Home};

/// An appliance that has this bundle in force, and what it was told of the one that is trusted.
struct Appliance {
    address: SocketAddr,
    in_force: Arc<Mutex<(&'static str, String)>>,
    told: Receiver<String>,
}

impl Appliance {
    fn start(tag: &'static str, bundle: String) -> Self {
        let sockets = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = sockets.local_addr().unwrap();
        let in_force = Arc::new(Mutex::new((tag, bundle)));
        let (tell, told) = channel();
        let shared = Arc::clone(&in_force);
        std::thread::spawn(move || serve(&sockets, &shared, &tell));
        Appliance { address, in_force, told }
    }

    /// What it is told until it is told this.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let told = self.told.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no {wanted} after {before:?}"));
            if told == wanted {
                return before;
            }
            before.push(told);
        }
    }
}

fn serve(sockets: &TcpListener, in_force: &Mutex<(&'static str, String)>, tell: &Sender<String>) {
    for stream in sockets.incoming() {
        let mut stream = stream.unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let named = head.iter().find_map(|line| line.strip_prefix("if-none-match: ")).unwrap_or("nothing").to_owned();
        let (tag, bundle) = in_force.lock().unwrap().clone();
        let (status, body) = if named == tag { ("304 Not Modified", "") } else { ("200 OK", bundle.as_str()) };
        let length = body.len();
        let _ = write!(
            stream,
            "HTTP/1.1 {status}\r\netag: {tag}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        if tell.send(named).is_err() {
            return;
        }
    }
}

fn pem(name: &str) -> String {
    rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap().cert.pem()
}

#[test]
fn what_runs_later_trusts_a_new_bundle_at_once_and_the_appliance_hears_of_it_when_the_client_does() {
    let (old, new) = (pem("old"), pem("new"));
    let appliance = Appliance::start("\"a\"", old.clone());
    let home = Home::new("while :; do sleep 1; done");
    home.configure(&format!(
        "trust: {{ address: 'http://{}/bundle.pem', restart_idle_minutes: 10 }}\n",
        appliance.address
    ));
    let file = home.path("trust/ca-certificates.crt");
    std::fs::write(&file, &old).unwrap();
    let mut run = home.run("100", &["--headless"]);
    let first = run.client();
    assert!(appliance.until("\"a\"").iter().all(|told| told == "\"waiting\""), "it knows no name at first");

    *appliance.in_force.lock().unwrap() = ("\"b\"", format!("{new}{old}"));
    run.line("the bundle of the appliance is another one");
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(written.matches("BEGIN CERTIFICATE").count(), 2);
    run.line("so that it trusts the new bundle");
    let told: Vec<String> = appliance.told.try_iter().collect();
    assert!(!told.contains(&"\"b\"".to_owned()), "the client that runs does not trust it yet: {told:?}");
    let second = run.client();
    assert_ne!(first, second);
    appliance.until("\"b\"");

    // The one before it leaves: nothing has to be started again for that.
    *appliance.in_force.lock().unwrap() = ("\"c\"", new);
    appliance.until("\"c\"");
    assert_eq!(std::fs::read_to_string(&file).unwrap().matches("BEGIN CERTIFICATE").count(), 1);
    assert!(!run.log()[run.log().find("so that it trusts").unwrap() + 10..].contains("so that it trusts"));
}

#[test]
fn a_client_that_is_not_to_be_interrupted_is_not_and_the_appliance_is_not_told() {
    let (old, new) = (pem("old"), pem("new"));
    let appliance = Appliance::start("\"b\"", format!("{old}{new}"));
    let home = Home::new("while :; do sleep 1; done");
    home.configure(&format!(
        "trust: {{ address: 'http://{}/bundle.pem', restart_idle_minutes: 0 }}\n",
        appliance.address
    ));
    std::fs::write(home.path("trust/ca-certificates.crt"), &old).unwrap();
    let mut run = home.run("100", &["--headless"]);
    run.client();
    run.line("the bundle of the appliance is another one");
    for _ in 0..4 {
        assert_eq!(appliance.told.recv_timeout(DEADLINE).unwrap(), "\"waiting\"");
    }
    assert!(!run.log().contains("so that it trusts"));
}
