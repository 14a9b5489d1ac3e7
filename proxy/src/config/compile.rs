//! From text to a checked configuration. Pure: no file, clock or environment is looked at.

use std::path::{Path, PathBuf};

use stubgate_policy::source::tree::Node;
use stubgate_policy::source::{self, SourceFile};

use super::reader::{FILE, Reader};
use super::upstream::Own;
use super::{
    Advertise, AuditFile, Ca, Config, ConfigProblem, Escrow, Forward, Limits, Listen, Process, Stubs, Timeouts,
    Upstream,
};
use super::{kubernetes, process, stubs, upstream};

pub(super) const KEYS: &[&str] = &[
    "listen",
    "advertise",
    "policy",
    "state_dir",
    "ca",
    "dns",
    "limits",
    "timeouts",
    "upstream",
    "audit",
    "stubs",
    "process",
    "escrow",
    "kubernetes",
];
pub(super) const DNS_KEYS: &[&str] = &["forward"];
pub(super) const AUDIT_KEYS: &[&str] = &["files"];
const STATE_DIR: &str = "/var/lib/stubgate";

/// Checks the text of a configuration file. Relative paths in it start at the folder of `source.name`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn compile(source: SourceFile) -> Result<Config, ConfigProblem> {
    let read = source::read::<Node>(FILE, &source);
    let base = Path::new(&source.name).parent().unwrap_or(Path::new("")).to_owned();
    let result = read.and_then(|node| {
        let mut reader = Reader::new(&base);
        let config = config(&mut reader, &node);
        let mut found = reader.found;
        found.sort_by_key(|diagnostic| diagnostic.labels.first().map(|label| label.span.start));
        match config {
            Some(config) if found.is_empty() => Ok(config),
            _ => Err(found),
        }
    });
    result.map_err(|diagnostics| ConfigProblem { diagnostics, files: vec![source] })
}

fn config(reader: &mut Reader<'_>, node: &Node) -> Option<Config> {
    let root = reader.map(node, KEYS)?;
    let listen = Listen::read(reader, root);
    let advertise = Advertise::read(reader, root, !listen.dns.is_empty());
    let own = Own { listen: &listen, advertise: &advertise };
    let dns = reader.section(root, "dns", DNS_KEYS);
    let forward = Forward::read_all(reader, dns, &own);
    let section = reader.section(root, "upstream", upstream::KEYS);
    let upstream = Upstream::read(reader, section, &own);
    let policy =
        reader.full_list(root, "policy", "name files or folders, such as `policy: [\"/etc/stubgate/policy\"]`");
    let policy = policy.iter().filter_map(|node| reader.path(node)).collect();
    let state_dir = root.get("state_dir");
    let state_dir = state_dir.map_or_else(|| Some(PathBuf::from(STATE_DIR)), |node| reader.path(node));
    let section = reader.section(root, "ca", super::ca::KEYS);
    let ca = Ca::read(reader, section);
    let limits = reader.section(root, "limits", Limits::KEYS);
    let limits = Limits::read(reader, limits);
    let timeouts = reader.section(root, "timeouts", Timeouts::KEYS);
    let timeouts = Timeouts::read(reader, timeouts);
    let audit = reader.section(root, "audit", AUDIT_KEYS);
    let audit = AuditFile::read_all(reader, audit);
    let section = reader.section(root, "process", process::KEYS);
    let process = Process::read(reader, section);
    let escrow = Escrow::read(reader, root);
    let kubernetes = kubernetes::read(reader, root);
    let section = reader.section(root, "stubs", stubs::KEYS);
    let state_dir = state_dir?;
    let stubs = Stubs::read(reader, section, &state_dir);
    Some(Config {
        listen,
        advertise,
        policy,
        state_dir,
        ca,
        forward,
        limits,
        timeouts,
        upstream,
        audit,
        stubs,
        process,
        escrow,
        kubernetes,
    })
}
