//! `bridges.yaml`: which bridges an agent has. The agent's own file stands over the shared one, whole entries by their names.
//! Unknown keys are refused, versions are pinned, and a bridge is of exactly one kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::agent::{Agent, Place};
use crate::yaml::{self, Wrong};

/// The file.
pub const NAME: &str = "bridges.yaml";

/// Where the image has its ready-made bridges.
const IMAGE: &str = "/usr/share/stubgate-agent/bridges";

/// What stands for the folder of the file, for that of the image's ready-made bridges, and for the port.
const HERE: &str = "{here}";
const READY: &str = "{bridges}";
const PORT: &str = "{port}";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    bridges: BTreeMap<String, Entry>,
}

/// A bridge, as the file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// A child of the client's.
    #[serde(default)]
    stdio: Option<Stdio>,
    /// A child of the supervisor's.
    #[serde(default)]
    http: Option<Http>,
    /// A workload elsewhere.
    #[serde(default)]
    remote: Option<Remote>,
    /// What of it is installed, and in which version.
    #[serde(default)]
    pub package: Option<Package>,
    /// Whether the agent is not ready without it.
    #[serde(default)]
    pub required: bool,
    /// Whether it is left out: takes a shared one away from one agent.
    #[serde(default)]
    pub disabled: bool,
    /// Variables of its process: stubs, addresses.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// When it is found to work.
    #[serde(default)]
    pub probe: Probe,
}

/// Which kind a bridge is of.
#[derive(Clone, Copy, Debug)]
pub enum Kind<'e> {
    /// A child of the client's, over its standard input and output.
    Stdio(&'e Stdio),
    /// A child of the supervisor's, over HTTP on loopback.
    Http(&'e Http),
    /// A workload elsewhere, over HTTPS through the firewall.
    Remote(&'e Remote),
}

/// A child of the client's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stdio {
    /// Program and arguments.
    pub command: Vec<String>,
}

/// A child of the supervisor's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Program and arguments; `{port}` stands for the port, which it is also told as `BRIDGE_PORT`.
    pub command: Vec<String>,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Where it answers.
    #[serde(default = "mcp")]
    pub path: String,
}

/// A workload elsewhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// `https://nats-bridge.example.com/mcp`.
    pub url: String,
    /// In place of its token.
    pub stub: String,
    /// Where the stub stands.
    #[serde(default)]
    pub slot: Slot,
}

/// Where in a request the stub stands: `bearer`, `bare` or `header:NAME`, as policy calls them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Slot {
    /// `Authorization: Bearer STUB`.
    #[default]
    Bearer,
    /// `Authorization: STUB`.
    Bare,
    /// `NAME: STUB`.
    Header(String),
}

/// What of a bridge is installed: an environment of Python of its own, of pinned versions only.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// `name==1.2.3`: its version is the bridge's.
    pub python: String,
    /// More, as pinned.
    #[serde(default)]
    pub with: Vec<String>,
}

/// When a bridge is found to work.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// How often it is asked; by default 60, and 300 for what has to be started for it.
    #[serde(default)]
    pub every_seconds: Option<u64>,
    /// Tools that must be offered.
    #[serde(default)]
    pub tools: Vec<String>,
}

fn mcp() -> String {
    "/mcp".into()
}

impl TryFrom<String> for Slot {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            "bearer" => Ok(Slot::Bearer),
            "bare" => Ok(Slot::Bare),
            other => match other.strip_prefix("header:") {
                Some(name) if http::HeaderName::from_bytes(name.as_bytes()).is_ok() => Ok(Slot::Header(name.into())),
                _ => Err("a slot is bearer, bare or header:NAME"),
            },
        }
    }
}

impl Package {
    /// The pinned version.
    pub fn version(&self) -> &str {
        self.python.split_once("==").map_or("", |(_, version)| version)
    }

    /// What is installed for this version of it.
    pub fn pins(&self, version: &str) -> Vec<String> {
        let name = self.python.split_once("==").map_or(self.python.as_str(), |(name, _)| name);
        let mut pins = vec![format!("{name}=={version}")];
        pins.extend(self.with.iter().cloned());
        pins
    }
}

impl Entry {
    /// Which kind it is of. A checked entry has exactly one; one that is disabled may have none.
    pub fn kind(&self) -> Option<Kind<'_>> {
        match (&self.stdio, &self.http, &self.remote) {
            (Some(stdio), None, None) => Some(Kind::Stdio(stdio)),
            (None, Some(http), None) => Some(Kind::Http(http)),
            (None, None, Some(remote)) => Some(Kind::Remote(remote)),
            _ => None,
        }
    }

    /// How often it is probed.
    pub fn every_seconds(&self) -> u64 {
        let default = if self.stdio.is_some() { 300 } else { 60 };
        self.probe.every_seconds.unwrap_or(default)
    }

    /// `{here}` is the folder of its file, wherever that is mounted, and `{bridges}` where the image has its own.
    fn settle(&mut self, folder: &Path, ready: &str) {
        let here = folder.to_string_lossy();
        let stdio = self.stdio.iter_mut().flat_map(|stdio| &mut stdio.command);
        let http = self.http.iter_mut().flat_map(|http| &mut http.command);
        for text in stdio.chain(http).chain(self.environment.values_mut()) {
            *text = text.replace(HERE, &here).replace(READY, ready);
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.disabled {
            return Ok(());
        }
        match self.kind().ok_or("exactly one of stdio, http and remote")? {
            Kind::Stdio(Stdio { command }) => is_command(command)?,
            Kind::Http(Http { command, port, path }) => {
                is_command(command)?;
                if *port < 1024 {
                    return Err(format!("port {port}: 1024 or more, since nobody is root here"));
                }
                if !is_path(path) {
                    return Err(format!("path {path:?}: it begins with /, and has no ?, # or blanks"));
                }
            }
            Kind::Remote(Remote { url, stub, .. }) => {
                is_remote(url)?;
                if stub.len() < 8 || !stub.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err("stub: 8 printable bytes or more, without blanks".into());
                }
                if self.package.is_some() || !self.environment.is_empty() {
                    return Err("nothing of a remote bridge runs here: no package, no environment".into());
                }
            }
        }
        if let Some(package) = &self.package {
            for pin in std::iter::once(&package.python).chain(&package.with) {
                if !is_pin(pin) {
                    return Err(format!("{pin:?} is not pinned: write name==1.2.3"));
                }
            }
        }
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!("environment: {name:?} is no name of a variable, or its value has a NUL"));
            }
        }
        match self.probe.every_seconds {
            Some(seconds) if !(5..=86_400).contains(&seconds) => Err("probe.every_seconds: 5 to 86400".into()),
            _ => Ok(()),
        }
    }
}

impl Http {
    /// Program and arguments for this port.
    pub fn command_at(&self, port: u16) -> Vec<String> {
        self.command.iter().map(|text| text.replace(PORT, &port.to_string())).collect()
    }
}

/// Every bridge of an agent, by its name, without those that are disabled.
///
/// # Errors
///
/// A file of it is wrong.
pub fn read(agent: &Agent) -> Result<BTreeMap<String, Entry>, Wrong> {
    let mut all = BTreeMap::new();
    let [own, shared] = agent.sources();
    for folder in [shared, own] {
        let path = folder.join(NAME);
        if path.is_file() {
            all.extend(read_one(&path)?);
        }
    }
    all.retain(|_, entry| !entry.disabled);
    Ok(all)
}

/// The bridges of one file.
///
/// # Errors
///
/// It is wrong.
pub fn read_one(path: &Path) -> Result<BTreeMap<String, Entry>, Wrong> {
    let mut file: File = yaml::read(path)?;
    let folder = here(path);
    let ready = image().display().to_string();
    for (name, entry) in &mut file.bridges {
        let wrong = |why| Wrong::Text { path: path.into(), why: format!("bridge {name}: {why}") };
        if !is_name(name) {
            return Err(wrong("a name is of lower-case letters, digits and -, 40 at most, a letter first".into()));
        }
        entry.check().map_err(wrong)?;
        entry.settle(&folder, &ready);
    }
    Ok(file.bridges)
}

/// `{here}`: the folder of a file, in full. What it stands for is run in another folder.
fn here(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where the image has its ready-made bridges; `STUBGATE_BRIDGES` wins.
pub fn image() -> PathBuf {
    std::env::var_os("STUBGATE_BRIDGES").unwrap_or_else(|| IMAGE.into()).into()
}

/// Whether a bridge may be called so.
pub fn is_name(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether this may be a version: it becomes the name of a folder, and a word of pip's.
pub fn is_version(version: &str) -> bool {
    version.len() <= 64
        && version.starts_with(|first: char| first.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".!+_".contains(&byte))
}

fn is_pin(pin: &str) -> bool {
    let is_package = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-[],".contains(&byte))
    };
    pin.split_once("==").is_some_and(|(name, version)| is_package(name) && is_version(version))
}

fn is_command(command: &[String]) -> Result<(), String> {
    match command.first() {
        Some(program) if !program.is_empty() && command.iter().all(|text| !text.contains('\0')) => Ok(()),
        _ => Err("command: [PROGRAM, ARGUMENT…]".into()),
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte))
}

/// A stub is worth nothing to whoever reads it, but what the bridge answers may be; and policy knows no plain HTTP with
/// credentials. On loopback it is for tests.
fn is_remote(url: &str) -> Result<(), String> {
    let uri: http::Uri = url.parse().map_err(|_| "url: https://HOST/PATH")?;
    let host = uri.host().unwrap_or_default();
    match uri.scheme_str() {
        Some("https") if !host.is_empty() => {}
        Some("http") if host == "127.0.0.1" || host == "[::1]" => {}
        _ => return Err("url: https://HOST/PATH".into()),
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("url: no login in it; its place is `stub`".into());
    }
    Ok(())
}

/// The folder of a bridge's versions.
pub fn versions(place: &Place, name: &str) -> PathBuf {
    place.kept().join("bridges").join(name)
}
