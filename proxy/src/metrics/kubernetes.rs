//! Metrics of identity by pods.

use std::cell::RefCell;

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts};

use super::catalogue::Catalogue;
use super::register;
use crate::identify::Nobody;

/// How the watch of pods is, and whom it left nobody.
#[derive(Clone)]
pub struct Kubernetes {
    /// Pods that have an address.
    pub pods: IntGauge,
    /// Addresses of two pods.
    pub contested: IntGauge,
    /// Whether a cluster is watched.
    pub watched: IntGauge,
    /// Whether pods are known recently enough.
    pub fresh: IntGauge,
    /// Seconds since all that is known was surely true.
    pub age: Gauge,
    /// Pods told of.
    pub events: IntCounter,
    /// Complete lists.
    pub lists: IntCounter,
    /// Watches that began.
    pub watches: IntCounter,
    /// Lists and watches that failed.
    pub failures: IntCounter,
    /// Peers from the address of a node or gateway.
    pub from_gateways: IntCounter,
    refused: IntCounterVec,
}

impl Kubernetes {
    pub(super) fn new(registry: &RefCell<Catalogue>) -> Self {
        let counter = |name: &str, help: &str| register(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help));
        let metrics = Kubernetes {
            pods: gauge(
                "stubgate_kubernetes_pods",
                "Pods of the cluster that are known and have an address of their own.",
            ),
            contested: gauge(
                "stubgate_kubernetes_contested_addresses",
                "Addresses that two live pods claim, and that are nobody's for that.",
            ),
            watched: gauge("stubgate_kubernetes_watched", "1 where the configuration names a cluster to watch."),
            fresh: gauge(
                "stubgate_kubernetes_fresh",
                "1 while pods are known recently enough for agents to be known by them; 0 also where no cluster is watched.",
            ),
            age: register(
                registry,
                Gauge::new(
                    "stubgate_kubernetes_age_seconds",
                    "Seconds since all that is known of pods was surely true; -1 before that was ever so.",
                ),
            ),
            events: counter(
                "stubgate_kubernetes_events_total",
                "Pods that the API server told of, in lists and in events of watches.",
            ),
            lists: counter("stubgate_kubernetes_lists_total", "Complete lists of pods."),
            watches: counter("stubgate_kubernetes_watches_total", "Watches of pods that began."),
            failures: counter("stubgate_kubernetes_failures_total", "Lists and watches of pods that failed."),
            from_gateways: counter(
                "stubgate_peers_from_gateways_total",
                "Connections of agents from the address of a node or gateway: a sign of source NAT.",
            ),
            refused: register(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "stubgate_kubernetes_nobody_total",
                        "Times that a peer was nobody although pods or sources name its address, by why.",
                    ),
                    &["why"],
                ),
            ),
        };
        metrics.age.set(-1.0);
        for why in Nobody::ALL {
            metrics.refused(*why).inc_by(0);
        }
        metrics
    }

    /// Peers that were nobody.
    pub fn refused(&self, why: Nobody) -> IntCounter {
        self.refused.with_label_values(&[why.as_str()])
    }
}
