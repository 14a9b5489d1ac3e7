//! A bridge of this agent, with everything that it takes to start it and to ask it. Whoever keeps it, upgrades it or serves it does
//! both in this one way.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use jiff::Timestamp;
use tokio::time::sleep;

use super::child::{Child, Output};
use super::file::{self, Entry, Kind};
use super::history::Probed;
use super::probe::{self, Failed, Found, Over};
use super::servers::{header, within};
use super::voice::Voice;
use crate::web;

/// Between two questions to a server that starts.
const STARTING: Duration = Duration::from_millis(100);

/// A bridge.
#[derive(Clone)]
pub struct Bridge {
    /// Its name.
    pub name: String,
    /// What its file says.
    pub entry: Entry,
    environment: BTreeMap<String, String>,
    kept: PathBuf,
    voice: Arc<Voice>,
    web: Option<web::Client>,
}

impl Bridge {
    /// One of this name, that keeps its versions there, with the variables of every process and stubs that nobody is shown.
    pub fn new(
        name: &str,
        entry: Entry,
        kept: PathBuf,
        variables: &[(String, String)],
        mut hidden: Vec<String>,
    ) -> Self {
        let mut environment: BTreeMap<String, String> = variables.iter().cloned().collect();
        environment.extend(entry.environment.clone());
        if let Some(Kind::Remote(remote)) = entry.kind() {
            hidden.push(remote.stub.clone());
        }
        let voice = Arc::new(Voice::new(name, hidden));
        Bridge { name: name.into(), entry, environment, kept, voice, web: None }
    }

    /// What tells whether the file changed that its processes read their trust from.
    pub(super) fn trust_mark(&self) -> Option<(u64, SystemTime)> {
        let found = std::fs::metadata(self.environment.get("SSL_CERT_FILE")?).ok()?;
        Some((found.ino(), found.modified().ok()?))
    }

    /// With a client for what is elsewhere.
    pub fn with_web(mut self, web: Option<web::Client>) -> Self {
        self.web = web;
        self
    }

    /// Where its versions are.
    pub fn kept(&self) -> &Path {
        &self.kept
    }

    /// Variables of its processes.
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Who says what its processes print.
    pub fn voice(&self) -> Arc<Voice> {
        Arc::clone(&self.voice)
    }

    /// Starts its server on a port, out of this environment of Python if it has a package.
    ///
    /// # Errors
    ///
    /// There is no such program.
    pub fn serve(&self, http: &file::Http, port: u16, installed: Option<&Path>) -> io::Result<Child> {
        let command = self.command(&http.command_at(port), installed);
        let mut environment = self.environment.clone();
        environment.insert("BRIDGE_PORT".into(), port.to_string());
        Child::start(&command, &environment, Output::Logged, self.voice())
    }

    /// Asks it as it is: the server that runs, the workload elsewhere, an instance of its own where the client has the other.
    pub async fn probe(&self, installed: Option<&Path>, deadline: Duration) -> Result<Found, Failed> {
        match self.entry.kind().ok_or_else(|| Failed::Connection("of no kind".into()))? {
            Kind::Stdio(stdio) => self.probe_instance(&self.command(&stdio.command, installed), deadline).await,
            Kind::Http(http) => self.probe_loopback(http, http.port, deadline).await,
            Kind::Remote(remote) => {
                let web = self.web.clone().ok_or_else(|| Failed::Connection("no certificates are trusted".into()))?;
                let mut headers = HeaderMap::new();
                let (name, value) = header(&remote.slot, &remote.stub);
                if let (Ok(name), Ok(mut value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                self.probe_http(Over::Web(Box::new(web)), &remote.url, headers, deadline).await
            }
        }
    }

    /// Asks a version of it that does not run yet: a server on a port of its own, while the other goes on.
    pub async fn probe_installed(&self, installed: &Path, deadline: Duration) -> Result<Found, Failed> {
        let Some(Kind::Http(http)) = self.entry.kind() else { return self.probe(Some(installed), deadline).await };
        let port = free_port().map_err(Failed::Start)?;
        let mut child = self.serve(http, port, Some(installed)).map_err(Failed::Start)?;
        let asked = async {
            loop {
                match self.probe_loopback(http, port, deadline).await {
                    Err(Failed::Connection(_)) => sleep(STARTING).await,
                    found => return found,
                }
            }
        };
        let found = tokio::select! {
            _ = child.ended() => Err(Failed::Ended),
            found = tokio::time::timeout(deadline, asked) => found.unwrap_or(Err(Failed::Slow(deadline))),
        };
        child.stop().await;
        found
    }

    fn command(&self, command: &[String], installed: Option<&Path>) -> Vec<String> {
        match installed {
            Some(installed) => within(command, installed),
            None => command.to_vec(),
        }
    }

    async fn probe_instance(&self, command: &[String], deadline: Duration) -> Result<Found, Failed> {
        let mut child =
            Child::start(command, &self.environment, Output::Spoken, self.voice()).map_err(Failed::Start)?;
        let (input, output) = child.spoken().ok_or(Failed::Ended)?;
        let mut wire = probe::Stdio::new(input, output);
        let found = probe::probe(&mut wire, &self.entry.probe.tools, deadline).await;
        // Its input ends, and so does it.
        drop(wire);
        child.stop().await;
        found
    }

    async fn probe_loopback(&self, http: &file::Http, port: u16, deadline: Duration) -> Result<Found, Failed> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let url = format!("http://{address}{}", http.path);
        self.probe_http(Over::Loopback(address), &url, HeaderMap::new(), deadline).await
    }

    async fn probe_http(&self, over: Over, url: &str, headers: HeaderMap, deadline: Duration) -> Result<Found, Failed> {
        let url: Uri = url.parse().map_err(|_| Failed::Connection("no address".into()))?;
        let mut wire = probe::Http::new(over, url, headers);
        let found = probe::probe(&mut wire, &self.entry.probe.tools, deadline).await;
        wire.end().await;
        found
    }
}

/// A probe as it is kept.
pub fn probed(found: &Result<Found, Failed>, version: Option<String>, started: Instant) -> Probed {
    let said = found.as_ref().ok().map(|found| found.version.clone()).filter(|version| !version.is_empty());
    Probed {
        at: Timestamp::now(),
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        version: version.or(said),
        tools: found.as_ref().ok().map(|found| found.tools.len()),
        failing: found.as_ref().err().map(ToString::to_string),
    }
}

/// A port that nobody has at this moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
