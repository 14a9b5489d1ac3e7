//! `kubernetes`: where the pods are asked for that agents are known by, and how long an answer counts.

use std::path::PathBuf;
use std::time::Duration;

use stubgate_kubernetes::{Access, Settings};
use stubgate_policy::pods::is_namespace;
use stubgate_policy::source::tree::Node;

use super::codes;
use super::reader::{Map, Placed, Reader};

pub(super) const KEYS: &[&str] = &["kubeconfig", "context", "namespaces", "stale_after_seconds"];
/// Least, default and most of `stale_after_seconds`.
pub(super) const STALE_AFTER: (u64, u64, u64) = (4, 60, 86_400);

/// Reads the section; none where it does not stand.
pub(super) fn read(reader: &mut Reader<'_>, root: Map<'_>) -> Option<Settings> {
    let section = reader.map(root.get("kubernetes")?, KEYS)?;
    let file = section.get("kubeconfig").and_then(|node| reader.path(node));
    let context = section.get("context");
    if let (None, Some(node)) = (&file, context) {
        let help = "name the file beside it: `kubeconfig: /etc/stubgate/kubeconfig`";
        reader.refuse(codes::USELESS, "`context` has no effect without `kubeconfig`", &node.span, help);
    }
    let context = context.and_then(|node| reader.text(node)).map(str::to_owned);
    let namespaces = match section.get("namespaces") {
        None => Vec::new(),
        Some(_) => {
            let items = reader.full_list(section, "namespaces", "name some, or leave it out for all namespaces");
            let named = items.iter().filter_map(|node| namespace(reader, node)).collect();
            // Two watches of one would tell of the same pods, each in its own time.
            reader.once(named).into_iter().map(|placed| placed.value).collect()
        }
    };
    let (least, default, most) = STALE_AFTER;
    let seconds = section.get("stale_after_seconds");
    let seconds = seconds.and_then(|node| reader.number(node, "stale_after_seconds", (least, most)));
    Some(Settings {
        access: file.map_or(Access::ServiceAccount, |file: PathBuf| Access::Kubeconfig { file, context }),
        namespaces,
        stale_after: Duration::from_secs(seconds.unwrap_or(default)),
    })
}

/// As the API has it: it stands in a path.
fn namespace(reader: &mut Reader<'_>, node: &Node) -> Option<Placed<String>> {
    let text = reader.text(node)?;
    if !is_namespace(text) {
        let help = "write the name of one namespace, such as `agents`";
        reader.refuse(codes::NAMESPACE, format!("`{text}` is no namespace"), &node.span, help);
        return None;
    }
    Some(Placed { value: text.to_owned(), span: node.span.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::compile;

    fn read(text: &str) -> Result<Option<Settings>, Vec<&'static str>> {
        let text = format!("listen: {{ proxy: [\"127.0.0.1:0\"] }}\npolicy: [p.yaml]\n{text}\n");
        let compiled = compile(stubgate_policy::SourceFile { name: "/etc/stubgate/stubgate.yaml".into(), text });
        compiled
            .map(|config| config.kubernetes)
            .map_err(|problem| problem.diagnostics.iter().map(|one| one.code).collect())
    }

    #[test]
    fn without_the_key_no_pods_are_asked_for_and_an_empty_one_uses_the_service_account() {
        assert_eq!(read("").unwrap(), None);
        let given = read("kubernetes: {}").unwrap().unwrap();
        assert_eq!((given.access, given.stale_after), (Access::ServiceAccount, Duration::from_secs(60)));
        assert!(given.namespaces.is_empty());
        let given =
            read("kubernetes: { kubeconfig: k, context: c, namespaces: [agents, b-2], stale_after_seconds: 4 }");
        let given = given.unwrap().unwrap();
        let expected = Access::Kubeconfig { file: "/etc/stubgate/k".into(), context: Some("c".into()) };
        assert_eq!((given.access, given.namespaces), (expected, vec!["agents".to_owned(), "b-2".to_owned()]));
    }

    #[test]
    fn what_can_not_work_is_refused() {
        for (text, code) in [
            ("kubernetes: { context: c }", codes::USELESS),
            ("kubernetes: { namespaces: [\"../nodes\"] }", codes::NAMESPACE),
            ("kubernetes: { namespaces: [-a] }", codes::NAMESPACE),
            ("kubernetes: { namespaces: [a, b, a] }", codes::REPEATED),
        ] {
            assert_eq!(read(text).unwrap_err(), [code], "{text}");
        }
        for text in ["namespaces: []", "stale_after_seconds: 3", "stale_after: 60"] {
            assert!(read(&format!("kubernetes: {{ {text} }}")).is_err(), "{text}");
        }
    }
}
