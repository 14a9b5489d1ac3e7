//! A noisy agent beside a quiet one: 10,000 connections tried, slow readers, heads of a gigabyte, a flood of DNS. Everything
//! has its default bound. The quiet agent's slowest requests to an origin ten milliseconds away, which is near, take at most
//! twice as long as before; memory stays small.
//!
//! The noise comes from the same cores that the appliance and the quiet agent run on, so its threads are nice. It opens tens
//! of thousands of connections a second, as fast as the system lets it. To an origin at no distance the slowest of a
//! hundred requests is then one of 0.2 ms that waits for some of those: that is printed, and bounded as a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use stubgate_tests::lab::{APPLIANCE, Lab, POD};
use stubgate_tests::wire::{Wire, tcp_from};
use stubgate_tests::world::POLICY;
use stubgate_tests::{Shared, World};
use tokio::net::TcpSocket;

const NOISY: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 3);
/// Another one, so that its heads find room beside all those connections.
const LOUD: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 4);
/// Connections that the noisy agent tries to have.
const CONNECTIONS: usize = 10_000;
/// Connections that ask for two gigabytes and read nothing.
const SLOW_READERS: usize = 40;
/// Bytes of each head that it tries to send.
const HEAD: u64 = 1 << 30;
/// What one of the quiet agent's hundred slowest requests and questions may take where nothing is far away; a tenth of what
/// RE-14 asks for.
const AT_MOST: Duration = Duration::from_millis(25);
/// What docs/configuration.md says that two agents at their limits make the appliance hold.
const MEMORY_KIB: u64 = 256 * 1024;

static WORLD: Shared<World> = Shared::new(|| {
    let policy = POLICY
        .replacen(
            "agents:\n",
            &format!("agents:\n  noisy: {{ sources: [\"{NOISY}/32\"] }}\n  loud: {{ sources: [\"{LOUD}/32\"] }}\n"),
            1,
        )
        .replace("agents: [pod]\n    hosts:\n", "agents: [pod, noisy, loud]\n    hosts:\n");
    let world = World::build(|lab| lab.policy(&policy).without_capture());
    world.lab.pod().plumb(&format!("ip addr add {NOISY}/29 dev eth0; ip addr add {LOUD}/29 dev eth0"));
    world
});

/// What the noisy agent did.
#[derive(Default)]
struct Noise {
    stop: AtomicBool,
    opened: AtomicU64,
    turned_away: AtomicU64,
    open: AtomicU64,
    heads: AtomicU64,
    head_bytes: AtomicU64,
    questions: AtomicU64,
}

impl Noise {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }
}

/// Runs on the agent's machine, behind everybody else.
fn noisily(lab: &Lab, noise: &Arc<Noise>, work: impl FnOnce(&Noise) + Send + 'static) -> JoinHandle<()> {
    let noise = Arc::clone(noise);
    lab.pod().start(move || {
        // Of this thread alone, on Linux.
        let _ = nice(15);
        work(&noise);
    })
}

/// Tries to have so many connections; those that are closed are opened again.
fn connections(noise: &Noise) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut held = Vec::new();
        let mut rounds = 0_u32;
        while noise.goes_on() {
            rounds = rounds.wrapping_add(1);
            for port in [443, 3128, 80] {
                if held.len() >= CONNECTIONS {
                    break;
                }
                let Ok(socket) = TcpSocket::new_v4() else { break };
                if socket.bind((NOISY, 0).into()).is_err() {
                    break;
                }
                let connecting = socket.connect((APPLIANCE, port).into());
                if let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_secs(1), connecting).await {
                    noise.opened.fetch_add(1, Ordering::Relaxed);
                    held.push(stream);
                }
            }
            if rounds.is_multiple_of(100) || held.len() >= CONNECTIONS {
                held.retain(|stream: &tokio::net::TcpStream| {
                    // What was turned away reads as its end, or as a reset.
                    let mut byte = [0];
                    let is_open =
                        stream.try_read(&mut byte).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
                    noise.turned_away.fetch_add(u64::from(!is_open), Ordering::Relaxed);
                    is_open
                });
                noise.open.store(held.len() as u64, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
}

fn connect_from(from: Ipv4Addr, to: SocketAddrV4) -> std::io::Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(from, 0))?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket.into())
}

/// Sends heads of a gigabyte, until each is refused.
fn heads(noise: &Noise) {
    let piece = format!("x: {}\r\n", "y".repeat(4000)).repeat(4);
    while noise.goes_on() {
        let Ok(mut stream) = connect_from(LOUD, SocketAddrV4::new(APPLIANCE, 3128)) else { continue };
        let _ = stream.set_write_timeout(Some(Duration::from_secs(5)));
        let mut sent = 0;
        let _ = stream.write_all(b"GET http://other.example/ HTTP/1.1\r\nHost: other.example\r\n");
        while sent < HEAD && noise.goes_on() && stream.write_all(piece.as_bytes()).is_ok() {
            sent += piece.len() as u64;
        }
        noise.heads.fetch_add(1, Ordering::Relaxed);
        noise.head_bytes.fetch_add(sent, Ordering::Relaxed);
        assert!(sent < 64 << 20, "RE-01: {sent} bytes of a head were taken");
    }
}

/// A question for an address, by number.
fn question(number: u64, name: &str) -> Vec<u8> {
    let [.., high, low] = number.to_be_bytes();
    let mut packet = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&[0, 0, 1, 0, 1]);
    packet
}

/// Asks for names that are not there, far above its rate.
fn questions(noise: &Noise) {
    let socket = UdpSocket::bind((NOISY, 0)).unwrap();
    socket.connect((APPLIANCE, 53)).unwrap();
    let mut number = 0;
    while noise.goes_on() {
        for _ in 0..200 {
            number += 1;
            let _ = socket.send(&question(number, &format!("n{number}.flood.example")));
        }
        noise.questions.store(number, Ordering::Relaxed);
        // Some ten thousand a second, twenty times its share.
        thread::sleep(Duration::from_millis(20));
    }
}

fn start(lab: &Lab, noise: &Arc<Noise>) -> (Vec<JoinHandle<()>>, Vec<Wire>) {
    // The test itself holds the other end of everything.
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let to = SocketAddrV4::new(APPLIANCE, 443);
    let slow = |_| {
        let mut wire = Wire::tls_over(lab, "zeros.example", tcp_from(lab, NOISY, to).ok()?).ok()?;
        wire.send("GET /2g HTTP/1.1\r\nHost: zeros.example\r\n\r\n");
        Some(wire)
    };
    let slow: Vec<Wire> = (0..SLOW_READERS).filter_map(slow).collect();
    assert_eq!(slow.len(), SLOW_READERS);
    let threads = vec![noisily(lab, noise, connections), noisily(lab, noise, heads), noisily(lab, noise, questions)];
    (threads, slow)
}

/// How long the quiet agent's requests took: on a kept connection and each on one of its own, to an origin that is ten
/// milliseconds away and to one that is near; and its questions.
#[derive(Debug)]
struct Took {
    far_kept: Duration,
    far_fresh: Duration,
    near_kept: Duration,
    near_fresh: Duration,
    names: Duration,
}

impl Took {
    /// Whether what goes far took at most twice as long as before, and nothing that stays near took long.
    fn is_fine(&self, before: &Took) -> bool {
        self.far_kept <= before.far_kept * 2
            && self.far_fresh <= before.far_fresh * 2
            && [self.near_kept, self.near_fresh, self.names].iter().all(|took| *took <= AT_MOST)
    }
}

fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[(took.len() * 99).div_ceil(100) - 1]
}

fn timed(count: usize, mut work: impl FnMut(usize)) -> Duration {
    let once = |at| {
        let begun = Instant::now();
        work(at);
        begun.elapsed()
    };
    p99((0..count).map(once).collect())
}

fn quiet(lab: &Lab) -> Took {
    let requests = |path, count| {
        let get = format!("GET {path} HTTP/1.1\r\nHost: other.example\r\n\r\n");
        let connect = || Wire::tls(lab, "other.example").expect("the quiet agent connects");
        let ask = |wire: &mut Wire| assert_eq!(wire.send(&get).reply().expect("an answer").status, 200);
        let mut wire = connect();
        (timed(count, |_| ask(&mut wire)), timed(100, |_| ask(&mut connect())))
    };
    let (far_kept, far_fresh) = requests("/afar", 100);
    let (near_kept, near_fresh) = requests("/", 400);
    let socket = lab.pod().enter(|| UdpSocket::bind((POD, 0)).unwrap());
    socket.connect(SocketAddr::from((APPLIANCE, 53))).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let names = timed(400, |at| {
        socket.send(&question(at as u64, "other.example")).unwrap();
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer).expect("an answer");
        assert!(length > 40 && answer[7] == 1, "our address");
    });
    Took { far_kept, far_fresh, near_kept, near_fresh, names }
}

#[test]
fn a_quiet_agent_does_not_notice_a_noisy_one() {
    WORLD.test(|world| {
        let lab = &world.lab;
        // Others share the machine: one round of three shows that nothing of ours stands in the way.
        let is_fine = (0..3).any(|_| {
            let before = quiet(lab);
            let noise = Arc::new(Noise::default());
            let (threads, slow) = start(lab, &noise);
            let has_tried = || {
                noise.opened.load(Ordering::Relaxed) >= CONNECTIONS as u64 && noise.open.load(Ordering::Relaxed) >= 900
            };
            let begun = Instant::now();
            while !has_tried() {
                assert!(begun.elapsed() < Duration::from_secs(90), "the noisy agent never had all that it may have");
                thread::sleep(Duration::from_millis(50));
            }
            let during = quiet(lab);
            let memory = lab.appliance().memory();
            noise.stop.store(true, Ordering::Relaxed);
            for thread in threads {
                thread.join().expect("the noise");
            }
            drop(slow);
            println!(
                "p99 before {before:?}\n    while {during:?}\nmemory {memory:?} KiB; {} connections opened, {} turned away, {} held; \
                 {} heads of 1 GiB, {} bytes of them sent; {} questions",
                noise.opened.load(Ordering::Relaxed),
                noise.turned_away.load(Ordering::Relaxed),
                noise.open.load(Ordering::Relaxed),
                noise.heads.load(Ordering::Relaxed),
                noise.head_bytes.load(Ordering::Relaxed),
                noise.questions.load(Ordering::Relaxed),
            );
            assert!(memory.1 < MEMORY_KIB, "{memory:?} KiB");
            during.is_fine(&before)
        });
        assert!(is_fine, "in none of three rounds did the quiet agent fare as it should");
        let limited = lab.appliance().metric("stubgate_limits_reached_total", &["limit=\"connections_per_agent\""]);
        assert!(limited > 1000.0, "RE-05: {limited} connections turned away");
        let shed = lab.appliance().metric("stubgate_dns_queries_total", &["outcome=\"rate_limited\""]);
        assert!(shed > 1000.0, "DN-17: {shed} questions dropped");
        let gone = || lab.appliance().metric("stubgate_connections_open", &[]) < 50.0;
        lab.appliance().until("the noisy agent's connections are gone", gone);
    });
}
