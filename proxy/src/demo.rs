//! `stubgate demo`: the main job, on loopback, with nothing to configure.
//!
//! Two origins, the appliance and an agent run in this process and speak real DNS, TLS and HTTP to each other over
//! loopback. Each line of the table is a request as an agent makes it, with what was expected of it; the program fails if
//! one is not what it should be.

mod agent;
mod origin;
mod table;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, ensure};
use stubgate_certs::{CertificateAuthority, Minter, MinterConfig, system_clock};
use stubgate_policy::SourceFile;
use tokio_util::sync::CancellationToken;

use crate::cli::say::say;
use crate::config;
use crate::start::{self, Addresses, Stop};
use agent::Agent;
use table::Table;

/// What only the appliance and the origin know.
const REAL: &str = "ghp_demo_the_real_credential";
/// What the agent holds.
const STUB: &str = "proxy-token-github";

const POLICY: &str = r#"version: 1
agents:
  devbot: { sources: ["127.0.0.1/32"] }
credentials:
  github:
    stub: proxy-token-github
    slots: [bearer, basic]
    hosts: [api.github.com, github.com]
    source: { file: SECRET }
rules:
  - name: github-api
    agents: [devbot]
    hosts: [api.github.com]
    methods: [GET]
    credentials: [github]
  - name: github-git
    agents: [devbot]
    hosts: [github.com]
    methods: [GET, POST]
    paths: ["/acme/**"]
    credentials: [github]
  - name: packages
    agents: ["*"]
    hosts: [packages.example.com]
    methods: [GET]
  - name: no-gists
    effect: deny
    agents: ["*"]
    hosts: [api.github.com]
    methods: [any]
    paths: ["/gists", "/gists/**"]
"#;

/// Runs the demonstration; whether every line was what it should be.
///
/// # Errors
/// Where it could not be set up.
pub async fn run() -> anyhow::Result<bool> {
    let folder = Folder::new()?;
    let internet = Arc::new(CertificateAuthority::create("the demo's internet", SystemTime::now())?);
    let minter = Arc::new(Minter::new(Arc::clone(&internet), &MinterConfig::default(), system_clock())?);
    let origin = origin::start(minter, REAL).await?;
    let config = configure(&folder.0, origin.address, &internet.certificate_pem())?;
    let started = start::start(config)?;
    let addresses = started.addresses();
    let ca = started.appliance.minter.authority().certificate_pem();
    let audit = folder.0.join("audit.jsonl");
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let appliance = tokio::spawn(started.serve(async move {
        stopped.await;
        Stop::AtOnce
    }));
    let is_good = show(&addresses, &ca, &origin, &audit).await;
    stop.cancel();
    appliance.await??;
    is_good
}

async fn show(addresses: &Addresses, ca: &str, origin: &origin::Origin, audit: &Path) -> anyhow::Result<bool> {
    let first = |list: &[SocketAddr]| list.first().copied().context("a listener is missing");
    let agent = Agent::new(ca, first(&addresses.https)?, first(&addresses.proxy)?, first(&addresses.dns)?)?;
    let basic = agent::basic("x-access-token", STUB);
    let bearer = format!("Bearer {STUB}");
    let mut table = Table::begin();

    let found = agent.resolve("api.github.com").await?;
    table.line(
        "DNS  api.github.com",
        "an allowed name is answered with stubgate's address",
        &found,
        found == "127.0.0.1",
    );
    let found = agent.resolve("evil.example.org").await?;
    table.line(
        "DNS  evil.example.org",
        "any other name does not exist, and is asked nowhere",
        &found,
        found == "NXDOMAIN",
    );

    let got = agent.get("api.github.com", "/user", &[("authorization", &bearer)]).await?;
    table.request("GET  https://api.github.com/user", "Bearer stub: the origin got the real token", &got, |got| {
        got.status == 200 && origin.last_was_authorised() && !got.body.contains(REAL)
    });
    let got = agent.get("github.com", "/acme/site.git/info/refs?service=git-upload-pack", &[]).await?;
    table.request("git  https://github.com/acme/site.git", "git's first request, without a credential", &got, |got| {
        got.status == 401
    });
    let got = agent
        .get("github.com", "/acme/site.git/info/refs?service=git-upload-pack", &[("authorization", &basic)])
        .await?;
    table.request("git  https://github.com/acme/site.git", "Basic stub: the origin got the real token", &got, |got| {
        got.status == 200 && origin.last_was_authorised()
    });
    let got = agent.connect("evil.example.org:443").await?;
    table.request("CONNECT  evil.example.org:443", "a host that policy does not name", &got, |got| {
        got.status == 403 && got.reason == "connect_not_allowed"
    });
    let got = agent.get("github.com", "/other/site.git/info/refs", &[("authorization", &basic)]).await?;
    table.request("git  https://github.com/other/site.git", "a path that no rule grants", &got, |got| {
        got.status == 403 && got.reason == "path_not_allowed"
    });
    let got = agent.get("api.github.com", "/gists", &[("authorization", &bearer)]).await?;
    table.request("GET  https://api.github.com/gists", "a deny rule wins over every allow", &got, |got| {
        got.status == 403 && got.reason == "denied_by_rule"
    });
    let before = origin.requests();
    let got = agent.get("packages.example.com", "/simple/", &[("authorization", &bearer)]).await?;
    table.request(
        "GET  https://packages.example.com/",
        "a stub sent to the wrong host: caught, never sent",
        &got,
        |got| got.status == 403 && got.reason == "stub_wrong_host" && origin.requests() == before,
    );
    let got = agent.get("packages.example.com", "/simple/", &[]).await?;
    table
        .request("GET  https://packages.example.com/", "the same host without the stub", &got, |got| got.status == 200);
    let got = agent.get("api.github.com", "/echo", &[("authorization", &bearer)]).await?;
    table.request(
        "GET  https://api.github.com/echo",
        "an origin that echoes the credential: the stub comes back",
        &got,
        |got| got.status == 200 && got.body.contains(STUB) && !got.body.contains(REAL),
    );
    let is_good = table.end();

    let records = std::fs::read_to_string(audit)?;
    ensure!(!records.contains(REAL), "the real credential is in the audit log");
    say(format_args!(
        "\nOne of the {} audit records of this demonstration, all of which go when it ends:\n",
        records.lines().count()
    ));
    if let Some(record) = records.lines().find(|line| line.contains("\"begin\"")) {
        say(format_args!("  {record}\n"));
    }
    say(format_args!("Next: README.md for a five-minute start, ARCHITECTURE.md for how it works."));
    Ok(is_good)
}

fn configure(folder: &Path, origin: SocketAddr, internet: &str) -> anyhow::Result<config::Config> {
    let secret = folder.join("github");
    std::fs::write(&secret, REAL)?;
    std::fs::write(folder.join("internet.pem"), internet)?;
    std::fs::write(folder.join("policy.yaml"), POLICY.replace("SECRET", &secret.display().to_string()))?;
    let here = folder.display();
    let text = format!(
        r#"listen:
  dns: ["127.0.0.1:0"]
  https: ["127.0.0.1:0"]
  proxy: ["127.0.0.1:0"]
  admin: ["127.0.0.1:0"]
advertise: ["127.0.0.1"]
policy: ["{here}/policy.yaml"]
state_dir: "{here}"
upstream:
  ca_files: ["{here}/internet.pem"]
  nameservers: ["127.0.0.1:9"]
  connect_to:
    "api.github.com:443": "{origin}"
    "github.com:443": "{origin}"
    "packages.example.com:443": "{origin}"
timeouts: {{ drain_seconds: 1 }}
audit:
  files: [{{ path: "{here}/audit.jsonl" }}]
"#
    );
    Ok(config::compile(SourceFile { name: "demo".into(), text })?)
}

/// A folder that goes when the demonstration ends.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        use std::hash::{BuildHasher, RandomState};
        use std::os::unix::fs::DirBuilderExt;
        let unique = RandomState::new().hash_one(SystemTime::now());
        let path = std::env::temp_dir().join(format!("stubgate-demo-{unique:016x}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left-overs in a temporary folder are no failure of the demonstration.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn every_line_is_what_it_should_be() {
        assert!(super::run().await.unwrap());
    }
}
