//! Which hosts npm, pip, cargo and apt fetch packages from, as their own files and variables say.
//!
//! Nothing is asked over a network and nothing is run. Only hosts come out: a user or token in a URL is left where it
//! is. What a tool uses when nothing is configured is its own affair, and named nowhere here.

mod formats;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use stubgate_policy::{Authority, Scheme};

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1024 * 1024;

/// Where to look; a test has one of its own.
pub(super) struct Machine {
    root: PathBuf,
    folder: PathBuf,
    variables: BTreeMap<String, String>,
}

impl Machine {
    pub(super) fn this() -> io::Result<Machine> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let variables = env::vars_os().filter_map(text).filter(|(_, value)| !value.is_empty()).collect();
        Ok(Machine { root: PathBuf::from("/"), folder: env::current_dir()?, variables })
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A file of the whole machine.
    fn system(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn at(&self, variable: &str, below: &str) -> Option<PathBuf> {
        self.variable(variable).map(|folder| Path::new(folder).join(below))
    }

    fn home(&self, below: &str) -> Option<PathBuf> {
        self.at("HOME", below)
    }
}

/// A tool whose packages are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tool {
    Npm,
    Pip,
    Cargo,
    Apt,
}

impl Tool {
    const ALL: [Tool; 4] = [Tool::Npm, Tool::Pip, Tool::Cargo, Tool::Apt];

    fn name(self) -> &'static str {
        match self {
            Tool::Npm => "npm",
            Tool::Pip => "pip",
            Tool::Cargo => "cargo",
            Tool::Apt => "apt",
        }
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// As `hosts` of a rule, with the tool and the place that say so.
    hosts: BTreeMap<String, Vec<(Tool, String)>>,
    /// Places whose value is no URL of a host.
    unread: Vec<(Tool, String)>,
}

/// Reads the configuration of every tool.
pub(super) fn detect(machine: &Machine) -> Found {
    let mut found = Found::default();
    npm(machine, &mut found);
    pip(machine, &mut found);
    cargo(machine, &mut found);
    apt(machine, &mut found);
    found
}

impl Found {
    /// YAML for a policy; none if there is nothing to include.
    pub(super) fn include(&self) -> Option<String> {
        if self.hosts.is_empty() {
            return None;
        }
        let mut out = String::from("include:\n  - preset: packages@1\n");
        out.push_str("    agents: [\"*\"]  # every agent; name them if not all need packages\n");
        out.push_str("    with:\n      hosts:\n");
        for (host, places) in &self.hosts {
            let said: Vec<String> = places.iter().map(|(tool, from)| format!("{} ({from})", tool.name())).collect();
            let _ = writeln!(out, "        - \"{host}\"  # {}", said.join(", "));
        }
        for (tool, from) in &self.unread {
            let _ = writeln!(out, "# {}: no host could be read from {from}", tool.name());
        }
        let has = |tool| self.hosts.values().flatten().any(|(by, _)| *by == tool);
        for tool in Tool::ALL.into_iter().filter(|tool| !has(*tool)) {
            let _ = writeln!(out, "# {}: nothing is configured; add the host if agents use it", tool.name());
        }
        if has(Tool::Cargo) {
            out.push_str(
                "# cargo: downloads come from `dl` in the index's config.json; add its host if it is another\n",
            );
        }
        Some(out)
    }

    fn url(&mut self, tool: Tool, from: &str, url: &str) {
        let from: String = from.escape_debug().collect();
        match host(url) {
            Host::Remote(host) => {
                let places = self.hosts.entry(host).or_default();
                if !places.contains(&(tool, from.clone())) {
                    places.push((tool, from));
                }
            }
            Host::Local => {}
            Host::Unclear => self.unread.push((tool, from)),
        }
    }

    fn file(&mut self, tool: Tool, path: &Path, urls: impl Fn(&str) -> Vec<String>) {
        let Some(text) = read(path) else { return };
        for url in urls(&text) {
            self.url(tool, &path.display().to_string(), &url);
        }
    }

    /// Variables that hold URLs, parted by spaces.
    fn variables(&mut self, tool: Tool, machine: &Machine, names: &[&str]) {
        for name in names {
            for url in machine.variable(name).into_iter().flat_map(str::split_whitespace) {
                self.url(tool, name, url);
            }
        }
    }
}

enum Host {
    Remote(String),
    /// `file:` and the like: nothing leaves.
    Local,
    Unclear,
}

/// The host of a URL, as a rule names it.
fn host(url: &str) -> Host {
    // `sparse+https://`, `git+https://`; apt's `mirror+https://`; uv's `name=https://`.
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme.rsplit(['+', '=']).next().unwrap_or(scheme), rest),
        None if ["cdrom:", "file:", "copy:"].iter().any(|local| url.starts_with(local)) => return Host::Local,
        None => return Host::Unclear,
    };
    let (scheme, prefix) = match scheme.to_ascii_lowercase().as_str() {
        "https" => (Scheme::Https, ""),
        "http" => (Scheme::Http, "http://"),
        "file" | "cdrom" | "copy" => return Host::Local,
        _ => return Host::Unclear,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let authority = authority.rsplit('@').next().unwrap_or(authority);
    match Authority::parse(scheme, authority.as_bytes()) {
        Ok(authority) => Host::Remote(format!("{prefix}{}", authority.host_header())),
        Err(_) => Host::Unclear,
    }
}

fn npm(machine: &Machine, found: &mut Found) {
    for name in ["npm_config_registry", "NPM_CONFIG_REGISTRY"] {
        found.variables(Tool::Npm, machine, &[name]);
    }
    let own = |lower: &str, upper: &str| machine.variable(lower).or(machine.variable(upper)).map(PathBuf::from);
    let user = own("npm_config_userconfig", "NPM_CONFIG_USERCONFIG").or_else(|| machine.home(".npmrc"));
    let global = own("npm_config_globalconfig", "NPM_CONFIG_GLOBALCONFIG");
    let system = ["etc/npmrc", "usr/etc/npmrc", "usr/local/etc/npmrc"].map(|path| machine.system(path));
    let project = machine.folder.ancestors().map(|folder| folder.join(".npmrc")).find(|path| path.is_file());
    for path in once([project, user, global].into_iter().flatten().chain(system)) {
        found.file(Tool::Npm, &path, formats::npmrc);
    }
}

fn pip(machine: &Machine, found: &mut Found) {
    let names =
        ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"];
    found.variables(Tool::Pip, machine, &names);
    let config = machine.at("XDG_CONFIG_HOME", "pip/pip.conf").or_else(|| machine.home(".config/pip/pip.conf"));
    let places = [
        machine.variable("PIP_CONFIG_FILE").map(PathBuf::from),
        machine.at("VIRTUAL_ENV", "pip.conf"),
        config,
        machine.home(".pip/pip.conf"),
        Some(machine.system("etc/pip.conf")),
        Some(machine.system("etc/xdg/pip/pip.conf")),
    ];
    for path in once(places.into_iter().flatten()) {
        found.file(Tool::Pip, &path, formats::pip_conf);
    }
}

fn cargo(machine: &Machine, found: &mut Found) {
    let indexes = machine.variables.iter();
    for (name, url) in indexes.filter(|(name, _)| name.starts_with("CARGO_REGISTRIES_") && name.ends_with("_INDEX")) {
        found.url(Tool::Cargo, name, url);
    }
    let home = machine.at("CARGO_HOME", "").or_else(|| machine.home(".cargo"));
    let folders = machine.folder.ancestors().map(|folder| folder.join(".cargo")).chain(home);
    for folder in once(folders) {
        for file in ["config.toml", "config"] {
            found.file(Tool::Cargo, &folder.join(file), formats::cargo_config);
        }
    }
}

fn apt(machine: &Machine, found: &mut Found) {
    found.file(Tool::Apt, &machine.system("etc/apt/sources.list"), formats::sources_list);
    let Ok(entries) = fs::read_dir(machine.system("etc/apt/sources.list.d")) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => found.file(Tool::Apt, &path, formats::sources_list),
            Some("sources") => found.file(Tool::Apt, &path, formats::deb822),
            Some(_) | None => {}
        }
    }
}

fn once(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for path in paths {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    all
}

/// A regular file of modest size that is text.
fn read(path: &Path) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests;
