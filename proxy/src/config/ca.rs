//! `ca`: whose leaves agents are shown, how one CA follows another, and which names it may sign for.

use std::path::PathBuf;
use std::time::Duration;

use stubgate_certs::{Subtrees, Terms};

use super::codes;
use super::reader::{Map, Reader};

pub(super) const KEYS: &[&str] =
    &["certificate_file", "key_file", "name_constraints", "bundle_file", "overlap_seconds", "overlap_least_seconds"];
/// Seconds that an overlap may last: a month at most, so that a CA is never forgotten in it.
pub(super) const OVERLAP: (u64, u64) = (1, 31 * 24 * 60 * 60);

/// The CA.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ca {
    /// The operator's own; none means that one is made in `state_dir`.
    pub files: Option<CaFiles>,
    /// What one that is made may sign for.
    pub subtrees: Subtrees,
    /// Where the bundle is kept for others to mount.
    pub bundle_file: Option<PathBuf>,
    /// How long an overlap lasts.
    pub terms: Terms,
}

/// Certificate and key of the operator's CA, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaFiles {
    /// The issuing certificate first.
    pub certificate_file: PathBuf,
    /// Readable by nobody else.
    pub key_file: PathBuf,
}

impl Ca {
    pub(super) fn read(reader: &mut Reader<'_>, section: Map<'_>) -> Self {
        let files = files(reader, section);
        let seconds = |reader: &mut Reader<'_>, key: &str, default: Duration| {
            let read = section.get(key).and_then(|node| reader.number(node, key, OVERLAP));
            read.map_or(default, Duration::from_secs)
        };
        let default = Terms::default();
        let deadline = seconds(reader, "overlap_seconds", default.deadline);
        let least = seconds(reader, "overlap_least_seconds", default.least.min(deadline));
        if let Some(node) = section.get("overlap_least_seconds").filter(|_| least > deadline) {
            let help = format!("write at most {}, which is `overlap_seconds`", deadline.as_secs());
            reader.refuse(codes::OUT_OF_RANGE, "`overlap_least_seconds` is out of range", &node.span, help);
        }
        Self {
            files,
            subtrees: subtrees(reader, section).unwrap_or_default(),
            bundle_file: section.get("bundle_file").and_then(|node| reader.path(node)),
            terms: Terms { least, deadline },
        }
    }
}

fn files(reader: &mut Reader<'_>, section: Map<'_>) -> Option<CaFiles> {
    let certificate = section.get("certificate_file");
    let key = section.get("key_file");
    let one = match (certificate, key) {
        (Some(node), None) => Some((node, "key_file")),
        (None, Some(node)) => Some((node, "certificate_file")),
        (Some(_), Some(_)) | (None, None) => None,
    };
    if let Some((node, missing)) = one {
        let message = format!("`{missing}` is missing beside this");
        reader.refuse(
            codes::HALF_CA,
            message,
            &node.span,
            format!("add `{missing}`, or leave both out and let stubgate make a CA"),
        );
    }
    let certificate_file = certificate.and_then(|node| reader.path(node));
    let key_file = key.and_then(|node| reader.path(node));
    Some(CaFiles { certificate_file: certificate_file?, key_file: key_file? })
}

fn subtrees(reader: &mut Reader<'_>, section: Map<'_>) -> Option<Subtrees> {
    let node = section.get("name_constraints")?;
    let help = "write names such as `github.com`: each stands for itself and all below it";
    let items = reader.full_list(section, "name_constraints", help);
    let read: Vec<_> = items.iter().filter_map(|item| Some((item, reader.text(item)?))).collect();
    if section.get("certificate_file").is_some() {
        let help = "the certificate of your own CA says what it may sign for";
        reader.refuse(codes::USELESS, "`name_constraints` has no effect here", &node.span, help);
    }
    match Subtrees::new(read.iter().map(|(_, name)| *name)) {
        Ok(subtrees) => Some(subtrees),
        Err(bad) => {
            let at = read.iter().find(|(_, name)| *name == bad).map_or(&node.span, |(item, _)| &item.span);
            reader.refuse(codes::BAD_SUBTREE, format!("`{bad}` is no subtree of names, or one too many"), at, help);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, compile};

    fn read(text: &str) -> Result<Config, Vec<&'static str>> {
        let text = format!("listen: {{ proxy: [\"127.0.0.1:0\"] }}\npolicy: [p.yaml]\n{text}\n");
        let compiled = compile(stubgate_policy::SourceFile { name: "/etc/stubgate/stubgate.yaml".into(), text });
        compiled.map_err(|problem| problem.diagnostics.into_iter().map(|one| one.code).collect())
    }

    #[test]
    fn an_overlap_lasts_a_day_and_at_least_a_quarter_of_an_hour_unless_it_is_written() {
        assert_eq!(read("").unwrap().ca, Ca::default());
        let terms = |text: &str| read(text).map(|config| config.ca.terms);
        let of = |least, deadline| Terms { least: Duration::from_secs(least), deadline: Duration::from_secs(deadline) };
        assert_eq!(terms("ca: {}"), Ok(of(900, 86_400)));
        assert_eq!(terms("ca: { overlap_seconds: 60 }"), Ok(of(60, 60)));
        assert_eq!(terms("ca: { overlap_seconds: 60, overlap_least_seconds: 5 }"), Ok(of(5, 60)));
        assert_eq!(terms("ca: { overlap_seconds: 60, overlap_least_seconds: 61 }"), Err(vec![codes::OUT_OF_RANGE]));
        assert_eq!(terms("ca: { overlap_seconds: 0 }"), Err(vec![codes::OUT_OF_RANGE]));
    }

    #[test]
    fn constraints_are_names_of_an_own_ca() {
        let ca = read("ca: { name_constraints: [api.github.com, github.com], bundle_file: out/ca.pem }").unwrap().ca;
        assert_eq!(ca.subtrees.names(), ["github.com"]);
        assert_eq!(ca.bundle_file, Some("/etc/stubgate/out/ca.pem".into()));
        for (text, code) in [
            ("ca: { name_constraints: ['*.github.com'] }", codes::BAD_SUBTREE),
            ("ca: { name_constraints: [10.0.0.1] }", codes::BAD_SUBTREE),
            ("ca: { certificate_file: a, key_file: b, name_constraints: [x.example] }", codes::USELESS),
        ] {
            assert_eq!(read(text).unwrap_err(), [code], "{text}");
        }
        assert!(read("ca: { name_constraints: [] }").is_err());
    }
}
