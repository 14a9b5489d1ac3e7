//! `audit`: where records go (law 8). There is always at least one place.

use std::path::PathBuf;

use stubgate_policy::source::tree::Node;

use super::codes;
use super::reader::{Map, Placed, Reader};

pub(super) const KEYS: &[&str] = &["path", "max_bytes", "keep", "durable"];
/// Old files kept where none is said.
const KEEP: usize = 5;

/// One place for records: JSON, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFile {
    /// Where.
    pub sink: AuditSink,
    /// The file is exchanged for a new one at this size. None: it grows until someone else moves it and sends SIGHUP.
    pub max_bytes: Option<u64>,
    /// Old files kept beside the current one. Default 5.
    pub keep: usize,
    /// Whether a record counts as written only after fdatasync. Default false.
    pub durable: bool,
}

/// Where records go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AuditSink {
    /// `-`
    Stdout,
    /// A file, made with mode 0600 if it is not there, in a folder made with mode 0700 if that is not there.
    File(PathBuf),
}

impl AuditFile {
    fn stdout() -> Self {
        Self { sink: AuditSink::Stdout, max_bytes: None, keep: KEEP, durable: false }
    }

    pub(super) fn read_all(reader: &mut Reader<'_>, section: Map<'_>) -> Vec<Self> {
        let Some(node) = section.get("files") else {
            return vec![Self::stdout()];
        };
        let items = reader.list(Some(node));
        if items.is_empty() {
            let help = "leave `files` out for standard output, or name a file: every decision is recorded somewhere";
            reader.refuse(codes::NO_AUDIT, "no place for audit records", &node.span, help);
        }
        let read: Vec<(Placed<AuditSink>, Self)> = items.iter().filter_map(|node| Self::read(reader, node)).collect();
        let sinks = read.iter().map(|(sink, _)| sink.clone()).collect();
        reader.once(sinks);
        read.into_iter().map(|(_, file)| file).collect()
    }

    fn read(reader: &mut Reader<'_>, node: &Node) -> Option<(Placed<AuditSink>, Self)> {
        let entry = reader.map(node, KEYS)?;
        let max_bytes = entry.get("max_bytes");
        let limit = max_bytes.and_then(|node| reader.number(node, "max_bytes", (65_536, 1 << 50)));
        let keep = entry.get("keep");
        let kept = keep.and_then(|node| reader.number(node, "keep", (1, 10_000)));
        let durable = entry.get("durable").and_then(|node| reader.flag(node));
        let path = reader.required(entry, "path", "write `path: \"-\"` for standard output, or the path of a file")?;
        let text = reader.text(path)?;

        let sink = if text == "-" { AuditSink::Stdout } else { AuditSink::File(reader.path(path)?) };
        let useless = match sink {
            AuditSink::Stdout => [("max_bytes", max_bytes), ("keep", keep), ("durable", entry.get("durable"))],
            AuditSink::File(_) if max_bytes.is_none() => [("keep", keep), ("", None), ("", None)],
            AuditSink::File(_) => [("", None); 3],
        };
        for (key, node) in useless {
            if let Some(node) = node {
                let help = if sink == AuditSink::Stdout {
                    "remove it, or write to a file"
                } else {
                    "add `max_bytes`, or remove it"
                };
                reader.refuse(codes::USELESS, format!("`{key}` has no effect here"), &node.span, help);
            }
        }
        let file = Self {
            sink: sink.clone(),
            max_bytes: limit,
            keep: kept.and_then(|kept| usize::try_from(kept).ok()).unwrap_or(KEEP),
            durable: durable.unwrap_or(false),
        };
        Some((Placed { value: sink, span: path.span.clone() }, file))
    }
}
