//! Every code is drawn once, and a run reports all there is.

use stubgate_policy::{SourceFile, compile, render};

fn drawn(text: &str) -> String {
    let files = [SourceFile { name: "policy.yaml".into(), text: text.into() }];
    match compile(&files) {
        Ok(compiled) => format!("ok\n{}", render(&compiled.warnings, &files, false)),
        Err(found) => render(&found, &files, false),
    }
}

#[test]
fn smoke() {
    println!(
        "{}",
        drawn(
            r#"
version: 2
agents:
  devbot: { sources: ["10.42.0.11/24", "nonsense"] }
  infra: { source: ["10.42.0.0/16"] }
  other: { sources: [] }
  dev: { sources: ["10.42.0.7/32"] }
credentials:
  github:
    stub: short
    slots: [bearer, bsic, "header:authorization"]
    hosts: [api.github.com, "http://x.example"]
    source: { file: run/secrets }
  g2: { stub: 12345678, slots: bearer, hosts: [a.example], source: { env: X, file: /x } }
  g3: { stub: "abcdefgh", slots: [bearer], hosts: [a.example], source: }
  g4: { stub: "abcdefgh-more", slots: [bearer], hosts: [a.example], source: { env: A } }
rules:
  - name: github-read
    agents: [devbt]
    hosts: [api.github.com, "*github.com", "*.co.uk", "127.1", "2001:db8::1", "x.example/path", "https://foo.example", "a.example:0"]
    methods: [GET, get, ANY, TRACE]
    paths: ["x", "/a/../b", "/a**", "/é"]
    credentials: [githb, g3]
    efect: deny
  - name: github-read
    effect: dney
    agents: ["*", dev]
    hosts: [any]
    methods: [any, GET]
    credentials: []
  - agents: null
    hosts: []
    quarantined: yes
dns:
  - { agents: ["*"], names: ["*.cluster.local", 10.0.0.1], types: [A, HTTPS, AAA] }
"#
        )
    );
    for text in [
        "",
        "version: 1\n",
        "a: &x 1\nb: *x\n",
        "a: !foo 1",
        "a: 1\na: 2\n",
        "---\na: 1\n---\nb: 1\n",
        "hosts: [*.example.com]\n",
        "a:\n\tb: 1",
        "a: {<<: {b: 1}}",
        "[1, 2]",
        "version: 1\nrules: 7\n",
        "\u{feff}version: 1\n",
        "a: \"\u{202e}x\"",
        "version: \"1\"",
        "version: 1\nagents:\n",
    ] {
        println!("=== {text:?}\n{}", drawn(text));
    }
}
