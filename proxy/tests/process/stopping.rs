//! How it stops and starts again without refusing anybody, and what its service manager hears of that.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::site::{Agent, HOST, Running, STUB, Site};

const SECRET: &str = "real-secret-of-api-0123456789";

/// What `/readyz` says.
fn readiness(admin: SocketAddr) -> String {
    let mut tcp = TcpStream::connect(admin).unwrap();
    tcp.write_all(b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    answer
}

fn with_delay(seconds: u32) -> Site {
    let site = Site::new(SECRET);
    let config = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    let config = config.replace("drain_delay_seconds: 0", &format!("drain_delay_seconds: {seconds}"));
    fs::write(site.path("etc/stubgate.yaml"), config).unwrap();
    site
}

/// The program, which is handed this listener under a name.
fn handed(site: &Site, listener: &TcpListener, name: &str) -> Command {
    let mut command = Command::new("sh");
    let script = "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run --config \"$1\" 3<&0 </dev/null";
    command.args(["-c", script, env!("CARGO_BIN_EXE_stubgate")]).arg(site.path("etc/stubgate.yaml"));
    command.env("LISTEN_FDNAMES", name).env_remove("STUBGATE_LOG");
    command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    command
}

#[test]
fn told_to_stop_it_is_not_ready_at_once_and_goes_on_to_serve_new_connections_until_the_delay_is_over() {
    let site = with_delay(2);
    let mut running = site.start();
    let (proxy, admin) = running.serving();
    let client = site.client();
    // Two that stand, of which one asks again.
    let mut busy = Agent::connect(proxy, &client).unwrap();
    assert_eq!(busy.get().unwrap(), 200);
    let fresh = TcpStream::connect(proxy).unwrap();
    assert!(readiness(admin).starts_with("HTTP/1.1 200 "));

    let told = Instant::now();
    running.signal(Signal::TERM);
    running.said("draining");
    let said = readiness(admin);
    assert!(said.starts_with("HTTP/1.1 503 ") && said.ends_with("draining\n"), "{said}");
    assert_eq!(busy.get().unwrap(), 200, "on a connection that stood");
    assert!(busy.get().is_err(), "and it was closed with that answer");
    assert_eq!(Agent::connect(proxy, &client).unwrap().get().unwrap(), 200, "on a new one");
    let mut metrics = TcpStream::connect(admin).unwrap();
    metrics.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    metrics.read_to_string(&mut text).unwrap();
    assert!(text.contains("\nstubgate_draining 1\n"));
    // It said nothing yet, so that nobody told it to go.
    let mut fresh = fresh;
    fresh.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    fresh.write_all(format!("CONNECT {HOST}:443 HTTP/1.1\r\nhost: {HOST}:443\r\n\r\n").as_bytes()).unwrap();
    let mut answer = [0; 12];
    fresh.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(fresh);

    assert!(told.elapsed() < Duration::from_secs(2), "all of that within the delay: {:?}", told.elapsed());
    let refused = loop {
        match TcpStream::connect(proxy) {
            Ok(_) => assert!(told.elapsed() < Duration::from_secs(10), "it goes on for ever"),
            Err(error) => break error,
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(told.elapsed() >= Duration::from_secs(2), "{:?}", told.elapsed());
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn a_person_at_the_terminal_waits_for_no_balancer() {
    let site = with_delay(60);
    let mut running = site.start();
    running.serving();
    let told = Instant::now();
    running.signal(Signal::INT);
    assert_eq!(running.ended().0, Some(0));
    assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
}

#[test]
fn restarted_under_load_on_a_socket_that_was_handed_over_it_refuses_no_connection() {
    let site = with_delay(60);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap();
    let mut first = Running::start(handed(&site, &listener, "proxy"));
    assert_eq!(first.serving().0, proxy);
    let client = site.client();
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let last = thread::scope(|scope| {
        let mut running = first;
        let agents: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let mut agent = Agent::connect(proxy, &client)?;
                        assert_eq!(agent.get()?, 200);
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<_, std::io::Error>(())
                })
            })
            .collect();
        for _ in 0..3 {
            let before = served.load(Ordering::Relaxed);
            let until = Instant::now() + Duration::from_secs(10);
            while served.load(Ordering::Relaxed) < before + 20 && agents.iter().all(|agent| !agent.is_finished()) {
                assert!(Instant::now() < until, "there is no load");
                thread::sleep(Duration::from_millis(5));
            }
            running.signal(Signal::TERM);
            assert_eq!(running.ended().0, Some(0));
            running = Running::start(handed(&site, &listener, "proxy"));
            running.serving();
        }
        stop.store(true, Ordering::Relaxed);
        for agent in agents {
            agent.join().unwrap().unwrap();
        }
        running
    });
    assert!(served.load(Ordering::Relaxed) > 60);
    last.stop();
    // It is kept by another, who waits.
    assert!(TcpStream::connect(proxy).is_ok());
}

#[test]
fn a_socket_that_nobody_configured_stops_the_start_with_what_to_write() {
    let site = Site::new(SECRET);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    for (name, expected) in [
        ("https", format!("`listen.https` has no such address: write \"{at}\" there")),
        ("web", "FileDescriptorName=".into()),
    ] {
        let (status, said) = Running::start(handed(&site, &listener, name)).ended();
        assert_eq!(status, Some(1), "{said}");
        assert!(said.replace("\\\"", "\"").contains(&expected), "{said}");
    }
}

#[test]
fn the_service_manager_hears_that_it_serves_reloads_stops_and_is_alive() {
    let site = Site::new(SECRET);
    let manager = UnixDatagram::bind(site.path("notify")).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut program = site.program();
    program.env("NOTIFY_SOCKET", site.path("notify")).env("WATCHDOG_USEC", "400000");
    let mut running = Running::start(program);
    let heard = |wanted: &str| loop {
        let mut room = [0; 512];
        let length = manager.recv(&mut room).unwrap_or_else(|error| panic!("{wanted}: {error}"));
        let said = String::from_utf8_lossy(&room[..length]).into_owned();
        if said.starts_with(wanted) {
            return said;
        }
    };
    assert_eq!(heard("READY=1"), "READY=1\nSTATUS=serving");
    running.serving();
    for _ in 0..2 {
        heard("WATCHDOG=1");
    }
    running.signal(Signal::HUP);
    assert!(heard("RELOADING=1").contains("\nMONOTONIC_USEC="));
    heard("READY=1");
    fs::write(site.path("etc/policy/policy.yaml"), "version: 1\nrulez: []\n").unwrap();
    running.signal(Signal::HUP);
    // The last good policy stays.
    assert_eq!(heard("READY=1"), "READY=1\nSTATUS=serving");
    running.signal(Signal::TERM);
    assert!(heard("STOPPING=1").contains("\nEXTEND_TIMEOUT_USEC="));
    assert_eq!(running.ended().0, Some(0));
}

#[test]
fn without_records_it_is_not_ready_until_they_can_be_written_again() {
    // A pipe that nobody reads is full at some time.
    let site = Site::with(SECRET, "limits: { refusals_per_second: 100000 }");
    let pipe = site.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut reader = fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let config = fs::read_to_string(site.path("etc/stubgate.yaml")).unwrap();
    fs::write(site.path("etc/stubgate.yaml"), config.replace("../log/audit.jsonl", "../pipe")).unwrap();
    let mut running = site.start();
    let (proxy, admin) = running.serving();
    assert!(readiness(admin).starts_with("HTTP/1.1 200 "));
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        // Recorded, and refused or served.
        let _ = TcpStream::connect(proxy).unwrap().write_all(format!("GET http://{STUB}/ HTTP/1.1\r\n\r\n").as_bytes());
        let said = readiness(admin);
        if said.starts_with("HTTP/1.1 503 ") {
            assert!(said.ends_with("audit records can't be written; see the log\n"), "{said}");
            break;
        }
        assert!(Instant::now() < until, "still ready");
    }
    let emptying = thread::spawn(move || {
        let mut room = [0; 65536];
        while reader
            .read(&mut room)
            .is_ok_and(|length| !String::from_utf8_lossy(&room[..length]).contains("\"stopped\""))
        {}
    });
    let until = Instant::now() + Duration::from_secs(30);
    while !readiness(admin).starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < until, "never ready again");
        thread::sleep(Duration::from_millis(20));
    }
    running.stop();
    emptying.join().unwrap();
}
