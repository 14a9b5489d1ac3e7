//! What is read of a pod. All else that the API server sends about it is skipped while it is parsed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

/// Labels, sorted by key.
pub type Labels = BTreeMap<Box<str>, Box<str>>;

/// A pod as the API server last told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Its own for all time, also where another pod has its name later.
    pub uid: Box<str>,
    /// The namespace that it is in.
    pub namespace: Box<str>,
    /// Its name there.
    pub name: Box<str>,
    /// Under which service account it runs; empty where nothing was said.
    pub service_account: Box<str>,
    /// All of its labels.
    pub labels: Labels,
    /// The addresses that are its own: none where it is on its node's network, has ended or is ending.
    pub addresses: Vec<IpAddr>,
    /// The addresses of its node.
    pub nodes: Vec<IpAddr>,
}

impl Sighting {
    /// A pod in the API's JSON; `None` where it is none.
    pub fn read(json: &str) -> Option<Self> {
        serde_json::from_str::<Pod>(json).ok().map(Pod::sighting)
    }
}

/// A pod as a person would look it up, also one that is nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPod {
    /// The namespace that it is in.
    pub namespace: Box<str>,
    /// Its name there.
    pub name: Box<str>,
    /// Under which service account it runs.
    pub service_account: Box<str>,
    /// All of its labels.
    pub labels: Labels,
    /// The addresses that are its own: none where it is on its node's network, has ended, is ending, or has none yet.
    pub addresses: Vec<IpAddr>,
    /// Whether it is on its node's network.
    pub host_network: bool,
    /// Whether it has ended, or is ending.
    pub ended: bool,
}

/// A pod in the API's JSON.
#[derive(Deserialize)]
pub(crate) struct Pod {
    /// Not said of the pods of a list.
    #[serde(default)]
    kind: Option<Box<str>>,
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    uid: Box<str>,
    #[serde(default)]
    namespace: Box<str>,
    #[serde(default)]
    name: Box<str>,
    #[serde(default)]
    resource_version: Box<str>,
    #[serde(default)]
    deletion_timestamp: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    labels: Option<Labels>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    host_network: bool,
    #[serde(default)]
    service_account_name: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    phase: Box<str>,
    #[serde(default, rename = "podIP")]
    pod_ip: Box<str>,
    #[serde(default, rename = "podIPs")]
    pod_ips: Option<Vec<Address>>,
    #[serde(default, rename = "hostIP")]
    host_ip: Box<str>,
    #[serde(default, rename = "hostIPs")]
    host_ips: Option<Vec<Address>>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    ip: Box<str>,
}

impl Pod {
    /// The version of it that this is.
    pub(crate) fn version(&self) -> &str {
        &self.metadata.resource_version
    }

    pub(crate) fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// Whether it says that it is something else, or lacks what a pod has.
    pub(crate) fn is_other(&self) -> bool {
        let Metadata { name, namespace, .. } = &self.metadata;
        self.kind.as_deref().is_some_and(|kind| kind != "Pod") || name.is_empty() || namespace.is_empty()
    }

    /// What counts of it.
    pub(crate) fn sighting(self) -> Sighting {
        let (nodes, addresses) = (self.nodes(), self.addresses());
        Sighting {
            uid: self.metadata.uid,
            namespace: self.metadata.namespace,
            name: self.metadata.name,
            service_account: self.spec.service_account_name,
            labels: self.metadata.labels.unwrap_or_default(),
            addresses,
            nodes,
        }
    }

    /// What a person would look up.
    pub(crate) fn listed(self) -> ListedPod {
        let (addresses, ended) = (self.addresses(), self.is_over());
        ListedPod {
            namespace: self.metadata.namespace,
            name: self.metadata.name,
            service_account: self.spec.service_account_name,
            labels: self.metadata.labels.unwrap_or_default(),
            addresses,
            host_network: self.spec.host_network,
            ended,
        }
    }

    /// Whether it has ended, or is ending.
    fn is_over(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed") || self.metadata.deletion_timestamp.is_some()
    }

    fn nodes(&self) -> Vec<IpAddr> {
        addresses(&self.status.host_ip, self.status.host_ips.as_deref())
    }

    /// Those that are its own.
    fn addresses(&self) -> Vec<IpAddr> {
        if self.spec.host_network || self.is_over() {
            return Vec::new();
        }
        let nodes = self.nodes();
        let mut own = addresses(&self.status.pod_ip, self.status.pod_ips.as_deref());
        // Also where nothing is said of the host network: an address that it shares with its node says nothing.
        own.retain(|address| !nodes.contains(address));
        own
    }
}

/// Sorted, each once, IPv4 as IPv4. What is no address is left out.
fn addresses(first: &str, all: Option<&[Address]>) -> Vec<IpAddr> {
    let texts = std::iter::once(first).chain(all.unwrap_or_default().iter().map(|address| &*address.ip));
    let mut found: Vec<IpAddr> =
        texts.filter_map(|text| text.parse().ok()).map(|ip: IpAddr| ip.to_canonical()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Sighting {
        serde_json::from_str::<Pod>(text).unwrap().sighting()
    }

    fn pod(metadata: &str, spec: &str, status: &str) -> Sighting {
        let status = format!(
            "{{ \"podIP\": \"10.0.0.5\", \"podIPs\": [{{\"ip\":\"10.0.0.5\"}},{{\"ip\":\"fd00::5\"}}], \"hostIP\": \"192.0.2.1\" {status} }}"
        );
        read(&format!(
            "{{\"metadata\":{{\"uid\":\"u\",\"namespace\":\"n\" {metadata}}},\"spec\":{{\"serviceAccountName\":\"s\" {spec}}},\"status\":{status}}}"
        ))
    }

    #[test]
    fn a_pod_has_all_of_its_addresses_once_while_it_lives() {
        for status in ["", ", \"phase\": \"Running\"", ", \"phase\": \"Pending\""] {
            let found = pod(", \"labels\": {\"b\":\"2\",\"a\":\"1\"}", "", status);
            assert_eq!(found.addresses, ["10.0.0.5", "fd00::5"].map(|text| text.parse::<IpAddr>().unwrap()));
            assert_eq!((&*found.namespace, &*found.service_account), ("n", "s"));
            assert_eq!(found.labels.keys().map(|key| &**key).collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(found.nodes, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        }
    }

    #[test]
    fn pods_that_ended_are_ending_or_are_on_the_host_network_have_none() {
        for (metadata, spec, status) in [
            ("", "", ", \"phase\": \"Succeeded\""),
            ("", "", ", \"phase\": \"Failed\""),
            (", \"deletionTimestamp\": \"2026-11-21T00:00:00Z\"", "", ", \"phase\": \"Running\""),
            ("", ", \"hostNetwork\": true", ", \"phase\": \"Running\""),
        ] {
            assert!(pod(metadata, spec, status).addresses.is_empty(), "{metadata}{spec}{status}");
        }
        let shared = read(
            r#"{"metadata":{"uid":"u"},"status":{"phase":"Running","podIP":"192.0.2.1","hostIP":"::ffff:192.0.2.1"}}"#,
        );
        assert!(shared.addresses.is_empty());
        assert!(
            read(r#"{"metadata":{"uid":"u","labels":null},"status":{"podIP":"","podIPs":null}}"#).addresses.is_empty()
        );
    }
}
