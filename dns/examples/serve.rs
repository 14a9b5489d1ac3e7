//! Serves an allow-list, for measuring: every name in the file `$NAMES` (one a line) is allowed to every client, on the
//! address `$LISTEN`, by a compiled policy; every question is recorded as a line of JSON in `$RUN/dns.jsonl`.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use stubgate_dns::{DnsConfig, DnsServer, QueryRecord, Surroundings};
use stubgate_policy::{AgentId, Name, Policy, SourceFile};
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn Error>> {
    let policy = policy(&fs::read_to_string(env::var("NAMES")?)?)?;
    let sink = File::options().create(true).append(true).open(format!("{}/dns.jsonl", env::var("RUN")?))?;
    let surroundings = Arc::new(Bench { policy: Arc::new(policy), sink: Mutex::new((sink, Vec::new())) });
    let config = DnsConfig {
        udp_and_tcp: vec![env::var("LISTEN")?.parse()?],
        advertise: vec!["10.9.8.7".parse()?],
        ttl_seconds: 300,
        queries_per_second: u32::MAX,
        burst: u32::MAX,
        tcp_connections_per_agent: 1000,
        ..DnsConfig::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let bound = DnsServer::bind(config)?;
        println!("listening on {:?}", bound.local_addrs());
        Ok(bound.serve(surroundings, CancellationToken::new()).await?)
    })
}

fn policy(names: &str) -> Result<Policy, Box<dyn Error>> {
    let hosts: Vec<&str> = names.lines().collect();
    let text = format!(
        "version: 1\nagents:\n  bench: {{ sources: [\"127.0.0.0/8\"] }}\nrules:\n  - name: bench\n    agents: [bench]\n    hosts: [{}]\n    methods: [GET]\n",
        hosts.join(", ")
    );
    let files = [SourceFile { name: "bench.yaml".into(), text }];
    match stubgate_policy::compile(&files) {
        Ok(compiled) => Ok(compiled.policy),
        Err(diagnostics) => Err(stubgate_policy::render(&diagnostics, &files, false).into()),
    }
}

struct Bench {
    policy: Arc<Policy>,
    sink: Mutex<(File, Vec<u8>)>,
}

impl Surroundings for Bench {
    fn policy(&self) -> Arc<Policy> {
        self.policy.clone()
    }

    fn admits(&self, _: &Policy, _: AgentId, _: &Name) -> bool {
        true
    }

    fn record(&self, policy: &Policy, queries: &[QueryRecord<'_>]) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, lines) = &mut *sink;
        lines.clear();
        queries.iter().all(|query| line(lines, now, policy, query).is_ok()) && file.write_all(lines).is_ok()
    }
}

fn line(out: &mut Vec<u8>, now: u128, policy: &Policy, query: &QueryRecord<'_>) -> io::Result<()> {
    let agent = query.agent.map(|agent| policy.agent(agent).name());
    write!(
        out,
        r#"{{"time_us":{now},"layer":"dns","agent":"{}","peer":"{}","transport":"{}","name":""#,
        agent.unwrap_or_default(),
        query.peer,
        query.transport.as_str(),
    )?;
    for byte in query.name.unwrap_or_default().bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    writeln!(
        out,
        r#"","qtype":{},"outcome":"{}","reason":"{}","micros":{}}}"#,
        query.qtype,
        query.outcome.as_str(),
        query.reason.map(|reason| reason.as_str()).unwrap_or_default(),
        query.micros,
    )
}
