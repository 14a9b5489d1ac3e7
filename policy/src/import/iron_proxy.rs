//! iron-proxy: its configuration file, the older shape of its secrets, and the short files of its CI action (`domains` at
//! the top).
//!
//! There a request passes if some entry of each allowlist matches it, and a secret is put in where one of its own rules
//! matches too. So the rules common to all lists are written as they are, and for each secret the part of them that its
//! rules meet.

mod grants;
mod matching;
mod secrets;
mod settings;
mod write;

use std::ops::Range;

use self::grants::Grant;
use self::secrets::Secret;
use self::settings::Settings;
use super::{Import, Kind, Notes};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::tree::{Entry, Node, Shape};
use crate::source::{SourceFile, read_tolerant};

/// Translates a configuration. `sources` are the networks that its clients are in, which the original does not say;
/// without any, an address of nobody stands in the policy.
///
/// # Errors
/// What keeps the file from being read at all.
pub fn iron_proxy(source: &SourceFile, sources: &[ipnet::IpNet]) -> Result<Import, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let root = read_tolerant(0, source, &mut found);
    let Some(root) = root.filter(|_| found.is_empty()) else {
        return Err(found);
    };
    if !matches!(root.shape, Shape::Map(_)) {
        let shape = Diagnostic::error(codes::WRONG_SHAPE, "the file is not a map");
        return Err(vec![shape.at(0, root.span, "")]);
    }
    let is_known = |key: &str| root.get(key).is_some();
    if !["transforms", "domains", "cidrs", "rules", "proxy", "tls"].iter().any(|key| is_known(key)) {
        let other = Diagnostic::error(codes::WRONG_SHAPE, "this is no configuration of iron-proxy");
        return Err(vec![
            other.at(0, root.span, "").help("it has `transforms:`, or `domains:`, `cidrs:` and `rules:`"),
        ]);
    }
    let mut original = Original { notes: Notes { text: &source.text, all: Vec::new() }, ..Original::new(&source.text) };
    original.read(&root);
    original.notes.general(
        Kind::Narrower,
        "a host there meant http and https on every port; here it means https on 443: add `http://host` or `host:port` where it is needed",
    );
    if sources.is_empty() {
        original.notes.general(
            Kind::Changed,
            "the original asks nobody who they are: write the networks of your agents under `agents`, or give them with --source",
        );
    }
    Ok(write::import(original, sources))
}

/// What was read.
struct Original<'a> {
    notes: Notes<'a>,
    /// What all allowlists have in common; none without any.
    grants: Option<Vec<Grant>>,
    secrets: Vec<Secret>,
    settings: Settings,
}

impl<'a> Original<'a> {
    fn new(text: &'a str) -> Self {
        Original {
            notes: Notes { text, all: Vec::new() },
            grants: None,
            secrets: Vec::new(),
            settings: Settings::default(),
        }
    }

    fn read(&mut self, root: &Node) {
        for entry in root.entries() {
            match entry.key.as_str() {
                "transforms" => entry.value.items().iter().for_each(|node| self.transform(node)),
                "domains" | "cidrs" | "rules" | "warn" => {}
                _ => settings::read(entry, &mut self.settings, &mut self.notes),
            }
        }
        // The short form of the CI action.
        if root.get("domains").is_some() || root.get("cidrs").is_some() || root.get("rules").is_some() {
            self.allowlist(root);
        }
        settings::finish(root, &mut self.settings, &mut self.notes);
    }

    fn transform(&mut self, node: &Node) {
        let name = node.text_of("name").unwrap_or_default();
        let empty = Node { span: node.span.clone(), shape: Shape::Null };
        let config = node.get("config").unwrap_or(&empty);
        let at = node.get("name").map_or(&node.span, |name| &name.span);
        match name {
            "allowlist" => {
                self.allowlist(config);
                unknown_limits(config, &["domains", "cidrs", "rules", "warn"], &mut self.notes);
            }
            "secrets" => secrets::read(config, &mut self.secrets, &mut self.notes),
            name => self.other(name, at),
        }
    }

    fn allowlist(&mut self, config: &Node) {
        let mut list = Vec::new();
        grants::read(config, &mut list, &mut self.notes);
        // All of them run, and the first that refuses ends it.
        self.grants = Some(match self.grants.take() {
            Some(before) => {
                let text = "there is more than one allowlist, and a request had to pass them all: what they have in common is allowed";
                self.notes.add(Kind::Changed, &config.span, text);
                grants::common(&before, &list, &mut self.notes)
            }
            None => list,
        });
        if config.is_true("warn") {
            let at = config.get("warn").map_or(&config.span, |warn| &warn.span);
            self.notes.add(
                Kind::Narrower,
                at,
                "`warn: true` let everything pass; here all else is denied: find what is missing with `stubgate policy suggest`",
            );
        }
    }

    fn other(&mut self, name: &str, at: &Range<usize>) {
        let (kind, why) = match name {
            "judge" => {
                (Kind::Wider, "a model that refuses requests has no equivalent: what it would have refused is allowed")
            }
            "grpc" => (
                Kind::Wider,
                "an external service that judges or changes requests has no equivalent: what it would have refused is allowed",
            ),
            "header_allowlist" => {
                (Kind::Wider, "headers are not filtered by name; credentials in them are refused all the same")
            }
            "body_capture" => (Kind::Missing, "bodies are never recorded"),
            "annotate" => (Kind::Missing, "headers are never recorded"),
            "aws_auth" | "hmac_sign" => (Kind::Missing, "requests are not signed; what needs this fails"),
            "gcp_auth" | "gcp_id_token" | "oauth_token" | "gcp_jwt" | "jwt" => {
                (Kind::Missing, "tokens are not minted; what needs this fails")
            }
            _ => (Kind::Wider, "this transform is not known here; if it refuses requests, they are allowed now"),
        };
        self.notes.add(kind, at, format!("transform `{name}`: {why}"));
    }
}

/// Notes keys that are not translated.
fn unknown(node: &Node, known: &[&str], notes: &mut Notes<'_>) {
    for entry in node.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        missing(entry, notes);
    }
}

/// Notes keys where limits stand that are not known here: leaving one out may allow more.
fn unknown_limits(node: &Node, known: &[&str], notes: &mut Notes<'_>) {
    for entry in node.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let text = format!("`{}` is not known here; if it limits what is allowed, more is allowed now", entry.key);
        notes.add(Kind::Wider, &entry.span, text);
    }
}

fn missing(entry: &Entry, notes: &mut Notes<'_>) {
    notes.add(Kind::Missing, &entry.span, format!("`{}` has no equivalent", entry.key));
}
