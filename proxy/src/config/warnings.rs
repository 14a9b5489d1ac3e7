//! What a person should look at in a configuration that can be used: files that are not there, and an admin endpoint
//! that agents can reach.
//!
//! Nothing here refuses a file: what is missing may come later, and who can reach an address is the network's matter.
//! Besides reading files this is the only part of checking that looks at the disk.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use stubgate_policy::diagnostic::Diagnostic;
use stubgate_policy::source::tree::{Node, Shape};
use stubgate_policy::source::{self, SourceFile};

use super::reader::{FILE, Map, Reader};
use super::{Config, codes, open_to_all, policy_files};

/// Warnings about a file from which `config` was compiled, in its order.
pub(super) fn warnings(source: &SourceFile, config: &Config) -> Vec<Diagnostic> {
    // It compiled, so it is read again without an error.
    let Ok(root) = source::read::<Node>(FILE, source) else { return Vec::new() };
    let mut reader = Reader::new(Path::new(&source.name).parent().unwrap_or(Path::new("")));
    let Some(root) = reader.open_map(&root) else { return Vec::new() };
    let mut found = Vec::new();
    admin(&mut reader, root, config, &mut found);
    for node in items(root.get("policy")) {
        let help = "make it, or correct the path; everything is refused until there is a policy";
        missing(&mut reader, node, "policy", help, &mut found);
        exposed(&mut reader, node, &mut found);
    }
    for key in ["certificate_file", "key_file"] {
        if let Some(node) = key_of(&mut reader, root, "ca", key) {
            missing(&mut reader, node, key, "stubgate does not start without it", &mut found);
        }
    }
    for node in items(key_of(&mut reader, root, "upstream", "ca_files")) {
        missing(&mut reader, node, "ca_files", "stubgate does not start without it", &mut found);
    }
    for entry in items(key_of(&mut reader, root, "audit", "files")) {
        if let Some(path) = reader.open_map(entry).and_then(|entry| entry.get("path")) {
            audit(&mut reader, path, &mut found);
        }
    }
    found.sort_by_key(|diagnostic| diagnostic.labels.first().map(|label| label.span.start));
    found
}

fn admin(reader: &mut Reader<'_>, root: Map<'_>, config: &Config, found: &mut Vec<Diagnostic>) {
    for node in items(key_of(reader, root, "listen", "admin")) {
        let Some(address) = reader.address(node, 9090) else { continue };
        if is_reachable(address.ip(), config) {
            let message = format!("agents can reach the admin endpoint at `{address}`");
            let help = "listen on an address that agents have no route to, such as `127.0.0.1:9090` where no agent runs on this machine; metrics name rules and credentials";
            found.push(Diagnostic::warning(codes::ADMIN_EXPOSED, message).at(FILE, node.span.clone(), "").help(help));
        }
    }
}

/// Every address, one that is advertised, or one that another listener has for agents.
fn is_reachable(address: IpAddr, config: &Config) -> bool {
    let listen = &config.listen;
    let mut others = [&listen.dns, &listen.http, &listen.https, &listen.proxy, &listen.transparent, &listen.tproxy]
        .into_iter()
        .flatten();
    address.is_unspecified()
        || config.advertise.contains(address)
        || (!address.is_loopback() && others.any(|other| other.ip() == address))
}

fn missing(reader: &mut Reader<'_>, node: &Node, what: &str, help: &str, found: &mut Vec<Diagnostic>) {
    let Some(path) = reader.path(node) else { return };
    if let Err(error) = fs::metadata(&path) {
        let message = format!("`{what}` names {}: {error}", path.display());
        found.push(Diagnostic::warning(codes::NOT_THERE, message).at(FILE, node.span.clone(), "").help(help));
    }
}

/// `run` takes no such policy.
fn exposed(reader: &mut Reader<'_>, node: &Node, found: &mut Vec<Diagnostic>) {
    let Some(path) = reader.path(node) else { return };
    let paths = [path];
    let files = policy_files(&paths).unwrap_or_default();
    if let Some(open) = open_to_all(&paths, &files) {
        let message = format!("every user can write to {}", open.display());
        let help = "run chmod o-w on it; no policy is taken from there";
        found.push(Diagnostic::warning(codes::POLICY_EXPOSED, message).at(FILE, node.span.clone(), "").help(help));
    }
}

/// `run` makes the folders above an audit file, where it can.
fn audit(reader: &mut Reader<'_>, node: &Node, found: &mut Vec<Diagnostic>) {
    if matches!(&node.shape, Shape::Text(text) if text == "-") {
        return;
    }
    let Some(path) = reader.path(node) else { return };
    let above = path.ancestors().skip(1).find(|above| above.exists());
    if path.is_dir() || above.is_some_and(|above| !above.is_dir()) {
        let message = format!("no file can be made at {}", path.display());
        let help = "write the path of a file; the folders above it are made where they are missing";
        found.push(Diagnostic::warning(codes::NOT_THERE, message).at(FILE, node.span.clone(), "").help(help));
    }
}

fn key_of<'n>(reader: &mut Reader<'_>, root: Map<'n>, section: &str, key: &str) -> Option<&'n Node> {
    root.get(section).and_then(|node| reader.open_map(node)).and_then(|map| map.get(key))
}

fn items(node: Option<&Node>) -> &[Node] {
    match node.map(|node| &node.shape) {
        Some(Shape::List(items)) => items,
        _ => &[],
    }
}
