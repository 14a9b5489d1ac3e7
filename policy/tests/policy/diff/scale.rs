//! Two large policies with one change between them.

use std::fmt::Write as _;
use std::time::Instant;

use stubgate_policy::diff::{Diff, Direction};
use stubgate_policy::{SourceFile, compile};

/// Rules over many hosts and a hundred agents, with wildcards, deny rules and one crowded host among them.
fn files(rules: usize, files: usize, changed: Option<usize>) -> Vec<SourceFile> {
    const AGENTS: usize = 100;
    let mut texts = vec![String::from("version: 1\n"); files];
    texts[0].push_str("agents:\n");
    for n in 0..AGENTS {
        writeln!(texts[0], "  a{n}: {{ sources: [10.0.{}.{}/32] }}", n / 256, n % 256).unwrap();
    }
    texts[0].push_str("credentials:\n  k: { stub: stub-of-the-bench, slots: [bearer], hosts: ['**.corp.example'], source: { env: K } }\n");
    texts.iter_mut().for_each(|text| text.push_str("rules:\n"));
    for n in 0..rules {
        let host = match n % 10 {
            6 => "busy.example".into(),
            7 => "'**.corp.example'".into(),
            8 => format!("'*.w{n}.example'"),
            9 => format!("'**.d{n}.corp.example'"),
            _ => format!("h{n}.example"),
        };
        let more = match n % 10 {
            3 => ", paths: ['/v1/**', '/v2/*/items']".into(),
            5 => ", effect: deny".into(),
            6 | 7 => format!(", paths: ['/p{n}/**']"),
            _ => String::new(),
        };
        let methods = if changed == Some(n) { "GET, POST, DELETE" } else { "GET, POST" };
        let (agent, next) = (n % AGENTS, (n + 1) % AGENTS);
        writeln!(
            texts[n % files],
            "  - {{ name: r{n}, agents: [a{agent}, a{next}], hosts: [{host}], methods: [{methods}]{more} }}"
        )
        .unwrap();
    }
    let name = |(at, text)| SourceFile { name: format!("{at}.yaml"), text };
    texts.into_iter().enumerate().map(name).collect()
}

/// `STUBGATE_RULES` for more or fewer.
fn rules() -> usize {
    std::env::var("STUBGATE_RULES").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000)
}

#[test]
fn one_change_in_a_large_policy_is_found() {
    let read = |files: &[SourceFile]| compile(files).unwrap().policy;
    let old = read(&files(rules(), 200, None));
    for changed in [1, 6, 7, 8] {
        let new = read(&files(rules(), 200, Some(changed)));
        let start = Instant::now();
        let diff = Diff::between(&old, &new);
        println!("{} rules, rule {changed} changed: {:?}", rules(), start.elapsed());
        assert_eq!((diff.count(Direction::Widens), diff.changes().len()), (1, 1), "{}", diff.human(false));
        assert_eq!(diff.changes()[0].rule.as_ref().unwrap().name, format!("r{changed}"));
        assert_eq!(diff.changes()[0].methods, ["DELETE"]);
    }
    let start = Instant::now();
    assert!(Diff::between(&old, &old).changes().is_empty());
    println!("the same: {:?}", start.elapsed());
}
