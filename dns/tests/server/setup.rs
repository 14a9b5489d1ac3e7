//! A server on loopback with a policy, clients with addresses of their own, and name servers that answer as told.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query},
    rr::{Name, RecordType},
};
use stubgate_dns::{
    DnsConfig, DnsServer, ForwardZone, NameBudget, NameBudgets, QueryOutcome, QueryRecord, Surroundings, Transport,
};
use stubgate_policy::{AgentId, Name as PolicyName, Policy, Reason, SourceFile};
use tokio_util::sync::CancellationToken;

/// The longest that anything may take here; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) const DEVBOT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
pub(crate) const OTHERBOT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
pub(crate) const QUARANTINED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
pub(crate) const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 99);

/// An address of this host that the kernel would not choose to answer from.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 30);

const POLICY: &str = r#"
version: 1
agents:
  devbot: { sources: ["127.0.0.2/32"] }
  otherbot: { sources: ["127.0.0.3/32"] }
  badbot: { sources: ["127.0.0.4/32"], quarantined: true }
rules:
  - name: api
    agents: [devbot, badbot]
    hosts: [api.github.com, "**.wild.test", "http://plain.test"]
    methods: [GET]
  - name: other
    agents: [otherbot]
    hosts: [only-other.test]
    methods: [GET]
dns:
  - agents: [devbot]
    names: [db.ns.svc.cluster.local, "*.open.cluster.local"]
    types: [A, SRV]
  - agents: [devbot]
    names: [six.ns.svc.cluster.local]
    types: [AAAA]
"#;

pub(crate) fn policy(text: &str) -> Arc<Policy> {
    let files = [SourceFile { name: "policy.yaml".into(), text: text.into() }];
    match stubgate_policy::compile(&files) {
        Ok(compiled) => Arc::new(compiled.policy),
        Err(diagnostics) => panic!("{}", stubgate_policy::render(&diagnostics, &files, false)),
    }
}

/// A record that outlives its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) agent: Option<String>,
    pub(crate) peer: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) name: Option<String>,
    pub(crate) qtype: u16,
    pub(crate) outcome: QueryOutcome,
    pub(crate) reason: Option<Reason>,
}

/// What the server is surrounded by in a test.
pub(crate) struct Around {
    policy: Mutex<Arc<Policy>>,
    records: Mutex<Vec<Recorded>>,
    recorded: Condvar,
    pub(crate) keeps: AtomicBool,
    names: NameBudgets,
}

impl Around {
    pub(crate) fn reload(&self, policy: Arc<Policy>) {
        *self.policy.lock().unwrap() = policy;
    }

    /// Takes the records written so far.
    pub(crate) fn records(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.records.lock().unwrap())
    }

    /// Waits until so many records are written, and takes them.
    pub(crate) fn wait(&self, count: usize) -> Vec<Recorded> {
        let records = self.records.lock().unwrap();
        let (mut records, waited) =
            self.recorded.wait_timeout_while(records, PATIENCE, |records| records.len() < count).unwrap();
        assert!(!waited.timed_out(), "{} records instead of {count}", records.len());
        std::mem::take(&mut records)
    }

    /// Takes the records written so far, as name, type and outcome.
    pub(crate) fn outcomes(&self) -> Vec<(String, u16, QueryOutcome)> {
        let short = |record: Recorded| (record.name.unwrap_or_default(), record.qtype, record.outcome);
        self.records().into_iter().map(short).collect()
    }
}

impl Surroundings for Around {
    fn policy(&self) -> Arc<Policy> {
        self.policy.lock().unwrap().clone()
    }

    fn record(&self, policy: &Policy, queries: &[QueryRecord<'_>]) -> bool {
        assert!(!queries.is_empty());
        // Before anybody can see the record: whoever waits for it may change this next.
        let keeps = self.keeps.load(Ordering::SeqCst);
        self.records.lock().unwrap().extend(queries.iter().map(|query| Recorded {
            agent: query.agent.map(|agent| policy.agent(agent).name().to_owned()),
            peer: query.peer.ip(),
            transport: query.transport,
            name: query.name.map(str::to_owned),
            qtype: query.qtype,
            outcome: query.outcome,
            reason: query.reason,
        }));
        self.recorded.notify_all();
        keeps
    }

    fn admits(&self, policy: &Policy, agent: AgentId, name: &PolicyName) -> bool {
        let Some(wild) = policy.wild_part(agent, name) else { return true };
        self.names.spend(policy.agent(agent).name(), name.as_str(), wild, Instant::now()).is_ok()
    }
}

/// Surroundings without a policy that take no record.
pub(crate) struct Nowhere;

impl Surroundings for Nowhere {
    fn policy(&self) -> Arc<Policy> {
        Arc::new(Policy::empty())
    }

    fn record(&self, _: &Policy, _: &[QueryRecord<'_>]) -> bool {
        false
    }

    fn admits(&self, _: &Policy, _: AgentId, _: &PolicyName) -> bool {
        false
    }
}

/// A running server; stops and drains when dropped.
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    pub(crate) around: Arc<Around>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// A config with one loopback address, two advertised ones, and no limit in a test's way.
pub(crate) fn config() -> DnsConfig {
    DnsConfig {
        udp_and_tcp: vec!["127.0.0.1:0".parse().unwrap()],
        advertise: vec!["192.0.2.53".parse().unwrap(), "2001:db8::53".parse().unwrap()],
        queries_per_second: 1_000_000,
        burst: 1_000_000,
        ..DnsConfig::default()
    }
}

pub(crate) fn forwarding(to: &[SocketAddr]) -> DnsConfig {
    let zones = vec![stubgate_policy::Name::parse(b"cluster.local").unwrap()];
    DnsConfig { forward: vec![ForwardZone { zones, to: to.to_vec() }], ..config() }
}

impl Server {
    pub(crate) fn start(config: DnsConfig) -> Server {
        Server::start_with(config, NameBudget { names: 1_000_000, label_bytes: 1 << 30, label_bits: 1 << 30 })
    }

    /// With a budget for names under wildcards.
    pub(crate) fn start_with(config: DnsConfig, names: NameBudget) -> Server {
        let around = Arc::new(Around {
            policy: Mutex::new(policy(POLICY)),
            records: Mutex::default(),
            recorded: Condvar::new(),
            keeps: AtomicBool::new(true),
            names: NameBudgets::new(names),
        });
        let stop = CancellationToken::new();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn({
            let (around, stop) = (around.clone(), stop.clone());
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let bound = DnsServer::bind(config).unwrap();
                    tell.send(bound.local_addrs()[0]).unwrap();
                    bound.serve(around, stop).await.unwrap();
                });
            }
        });
        let mut at: SocketAddr = told.recv_timeout(PATIENCE).unwrap();
        if at.ip().is_unspecified() {
            at.set_ip(ELSEWHERE.into());
        }
        Server { at, around, stop, thread: Some(thread) }
    }

    pub(crate) fn client(&self, from: Ipv4Addr) -> Client {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.connect(self.at).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { socket }
    }

    pub(crate) fn connect(&self, from: Ipv4Addr) -> Connection {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
        socket.connect(&self.at.into()).unwrap();
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Connection { stream }
    }

    /// Stops and waits until everything is drained.
    pub(crate) fn stop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().unwrap();
        }
    }
}

/// A question as most clients send it.
pub(crate) fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(rand_id(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let mut edns = Edns::new();
    edns.set_max_payload(1232);
    message.set_edns(edns);
    message
}

fn rand_id() -> u16 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    u16::try_from(RandomState::new().build_hasher().finish() & 0xffff).unwrap()
}

/// A UDP client.
pub(crate) struct Client {
    pub(crate) socket: UdpSocket,
}

impl Client {
    pub(crate) fn send(&self, packet: &[u8]) {
        self.socket.send(packet).unwrap();
    }

    pub(crate) fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65535];
        let length = self.socket.recv(&mut buffer).unwrap();
        buffer.truncate(length);
        buffer
    }

    pub(crate) fn exchange(&self, packet: &[u8]) -> Vec<u8> {
        self.send(packet);
        self.receive()
    }

    pub(crate) fn ask(&self, name: &str, kind: RecordType) -> Message {
        let asked = question(name, kind);
        let answer = Message::from_vec(&self.exchange(&asked.to_vec().unwrap())).unwrap();
        assert_eq!(answer.metadata.id, asked.metadata.id);
        assert_eq!(answer.metadata.message_type, MessageType::Response);
        assert_eq!(answer.queries, asked.queries);
        answer
    }
}

/// A TCP client.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
}

impl Connection {
    pub(crate) fn send(&mut self, packet: &[u8]) {
        let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
        self.stream.write_all(&[&length, packet].concat()).unwrap();
    }

    /// The next answer; `None` if the connection was closed.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 2];
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("no answer in time"),
            Err(_) => return None,
        }
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        self.stream.read_exact(&mut answer).unwrap();
        Some(answer)
    }

    pub(crate) fn ask(&mut self, name: &str, kind: RecordType) -> Message {
        self.send(&question(name, kind).to_vec().unwrap());
        Message::from_vec(&self.receive().unwrap()).unwrap()
    }
}

/// What a name server was asked, and how.
pub(crate) type Asked = Vec<(Transport, Vec<u8>)>;

/// A name server of a zone: answers each message with what `reply` says, over UDP and TCP, and keeps what it was asked.
pub(crate) struct Origin {
    pub(crate) at: SocketAddr,
    asked: Arc<Mutex<Asked>>,
}

impl Origin {
    pub(crate) fn start(reply: impl Fn(Transport, &Message) -> Vec<Vec<u8>> + Clone + Send + 'static) -> Origin {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let at = udp.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        std::thread::spawn({
            let (asked, reply) = (asked.clone(), reply.clone());
            move || {
                let mut buffer = vec![0; 65535];
                while let Ok((length, peer)) = udp.recv_from(&mut buffer) {
                    asked.lock().unwrap().push((Transport::Udp, buffer[..length].to_vec()));
                    for answer in reply(Transport::Udp, &Message::from_vec(&buffer[..length]).unwrap()) {
                        udp.send_to(&answer, peer).unwrap();
                    }
                }
            }
        });
        std::thread::spawn({
            let asked = asked.clone();
            move || {
                while let Ok((stream, _)) = tcp.accept() {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let mut connection = Connection { stream };
                    while let Some(packet) = connection.receive() {
                        asked.lock().unwrap().push((Transport::Tcp, packet.clone()));
                        for answer in reply(Transport::Tcp, &Message::from_vec(&packet).unwrap()) {
                            connection.send(&answer);
                        }
                    }
                }
            }
        });
        Origin { at, asked }
    }

    /// Takes what it was asked so far.
    pub(crate) fn asked(&self) -> Asked {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// An answer to `asked` with these records, `NAME TTL ADDRESS`-like: only A and AAAA.
pub(crate) fn answer(asked: &Message, addresses: &[&str], ttl: u32) -> Message {
    use hickory_proto::rr::{RData, Record};
    let mut message = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_available = true;
    message.metadata.recursion_desired = true;
    message.add_query(asked.queries[0].clone());
    for address in addresses {
        let data = match address.parse::<IpAddr>().unwrap() {
            IpAddr::V4(address) => RData::A(address.into()),
            IpAddr::V6(address) => RData::AAAA(address.into()),
        };
        if data.record_type() == asked.queries[0].query_type() {
            message.add_answer(Record::from_rdata(asked.queries[0].name().clone(), ttl, data));
        }
    }
    if asked.edns.is_some() {
        message.set_edns(Edns::new());
    }
    message
}
