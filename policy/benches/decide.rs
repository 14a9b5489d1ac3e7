//! What a decision costs with ten, a thousand and a hundred thousand rules: the same.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use stubgate_policy::{
    Ask, Authority, ConnectStage, Method, Name, NameStage, Policy, QueryKind, RequestStage, Scheme, SlotRef,
    SourceFile, Target, Token, compile,
};

const SIZES: [usize; 3] = [10, 1_000, 100_000];
const AGENTS: usize = 100;

/// Rules spread over hosts and agents, with wildcards and deny rules among them.
fn spread(rules: usize) -> Policy {
    let mut text = head();
    for n in 0..rules {
        let agent = n % AGENTS;
        let host = match n % 10 {
            8 => format!("'*.w{n}.example'"),
            9 => format!("'**.d{n}.example'"),
            _ => format!("h{n}.example"),
        };
        let more = match n % 10 {
            3 => ", paths: ['/v1/**', '/v2/*/items']",
            5 => ", effect: deny",
            _ => "",
        };
        writeln!(
            text,
            "  - {{ name: r{n}, agents: [a{agent}, a{}], hosts: [{host}], methods: [GET, POST]{more} }}",
            (agent + 1) % AGENTS
        )
        .unwrap();
    }
    finish(text)
}

/// All rules at one host: a hundred agents, each with rules for paths of its own.
fn crowded(rules: usize) -> Policy {
    let mut text = head();
    for n in 0..rules {
        let agent = n % AGENTS;
        writeln!(
            text,
            "  - {{ name: r{n}, agents: [a{agent}], hosts: [busy.example], methods: [GET], paths: ['/p{n}/**'] }}"
        )
        .unwrap();
    }
    finish(text)
}

fn head() -> String {
    let mut text = String::from("version: 1\nagents:\n");
    for n in 0..AGENTS {
        writeln!(text, "  a{n}: {{ sources: [10.0.{}.{}/32] }}", n / 256, n % 256).unwrap();
    }
    text + "credentials:
  k: { stub: stub-of-the-bench, slots: [bearer], hosts: [api.github.com], source: { env: K } }
rules:
  - { name: api, agents: ['*'], hosts: [api.github.com], methods: [GET, POST], paths: ['/repos/**'], credentials: [k] }
  - { name: no-gists, effect: deny, agents: ['*'], hosts: [api.github.com], methods: [any], paths: [/gists, '/gists/**'] }
"
}

fn finish(text: String) -> Policy {
    compile(&[SourceFile { name: "bench.yaml".into(), text }]).expect("a right policy").policy
}

fn authority(host: &str) -> Authority {
    Authority::parse(Scheme::Https, host.as_bytes()).unwrap()
}

fn decide(c: &mut Criterion) {
    let api = authority("api.github.com");
    let evil = authority("a.b.c.evil.example");
    let busy = authority("busy.example");
    let path = Target::parse(b"/repos/acme/site/pulls/17").unwrap();
    let last = Target::parse(b"/p7/x").unwrap();
    let token = [Token::literal(SlotRef::Bearer, b"stub-of-the-bench")];
    for rules in SIZES {
        let policy = spread(rules);
        let agent = policy.agent_named("a7").unwrap();
        let mut group = c.benchmark_group("decide");
        let mut run = |name: &str, authority: &Authority, tokens: &[Token<'_>]| {
            let at = RequestStage { authority, method: &Method::GET, target: &path, tokens };
            let ask = Ask::new(agent, at);
            group.bench_function(BenchmarkId::new(name, rules), |b| b.iter(|| policy.decide(black_box(&ask))));
        };
        run("request permitted", &api, &[]);
        run("request with a swap", &api, &token);
        run("request denied", &evil, &[]);
        let connect = Ask::new(agent, ConnectStage { authority: &api });
        group.bench_function(BenchmarkId::new("connect", rules), |b| b.iter(|| policy.decide(black_box(&connect))));
        let name = Name::parse(b"a.b.c.evil.example").unwrap();
        let name = Ask::new(agent, NameStage { name: &name, kind: QueryKind::A });
        group.bench_function(BenchmarkId::new("name denied", rules), |b| b.iter(|| policy.decide(black_box(&name))));
        group.finish();

        let policy = crowded(rules);
        let agent = policy.agent_named("a7").unwrap();
        let at = RequestStage { authority: &busy, method: &Method::GET, target: &last, tokens: &[] };
        let ask = Ask::new(agent, at);
        let mut group = c.benchmark_group("one host");
        group.bench_function(BenchmarkId::new("request permitted", rules), |b| {
            b.iter(|| policy.decide(black_box(&ask)))
        });
        group.finish();
    }
}

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.bench_function("authority", |b| b.iter(|| Authority::parse(Scheme::Https, black_box(b"api.github.com"))));
    group.bench_function("path", |b| b.iter(|| Target::parse(black_box(b"/repos/acme/site/pulls/17"))));
    group.bench_function("path with %", |b| b.iter(|| Target::parse(black_box(b"/%40scope%2fname/-/name-1.0.tgz"))));
    group.finish();
}

criterion_group!(benches, decide, parse);
criterion_main!(benches);
