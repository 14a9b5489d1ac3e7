//! Metrics in Prometheus' text format.
//!
//! Label values come from closed enums and from policy, never from the wire (law 7), and call sites pass typed values,
//! so that they can't do otherwise. What each is, [`catalogue`] says.

mod ca;
pub mod catalogue;
mod kubernetes;

use std::cell::RefCell;
use std::time::SystemTime;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, TextEncoder};
use stubgate_credentials::kinds::Kind;
use stubgate_policy::{OnCredential, Reason};

pub use kubernetes::Kubernetes;

use crate::authority::is_tripwire;
use crate::budget::Limit;
use crate::lockdown::Part;
use catalogue::Catalogue;

pub use ca::Ca;

/// Every metric of the appliance. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    catalogue: Catalogue,
    /// 1 while `/readyz` says so.
    pub ready: IntGauge,
    requests: IntCounterVec,
    dns_queries: IntCounterVec,
    connections: IntGaugeVec,
    swaps: IntCounterVec,
    rejections: IntCounterVec,
    scrubbed: IntCounterVec,
    shown: IntCounterVec,
    credential_expiry: IntGaugeVec,
    credential_success: IntGaugeVec,
    credential_refreshes: IntCounterVec,
    credential_failures: IntCounterVec,
    tripwires: IntCounterVec,
    reloads: IntCounterVec,
    lockdown: IntGaugeVec,
    limits: IntCounterVec,
    /// Of the CA.
    pub ca: Ca,
    /// Requests under way.
    pub requests_open: IntGauge,
    /// Agents that all is denied to.
    pub agents_quarantined: IntGauge,
    /// TLS handshakes with agents under way.
    pub handshakes_open: IntGauge,
    /// Connections that could not be accepted, or were let go, for want of file descriptors.
    pub accept_errors: IntCounter,
    /// From a request's head to the end of its response.
    pub request_seconds: Histogram,
    /// Grows with every policy that was taken.
    pub policy_generation: IntGauge,
    /// When the last good policy was taken, in seconds since 1970.
    pub policy_last_success: IntGauge,
    /// 1 while the last reload was good.
    pub policy_last_ok: IntGauge,
    /// Credentials without a value.
    pub credentials_missing: IntGauge,
    /// Credentials whose last good value stays in use, because their source gives none.
    pub credentials_stale: IntGauge,
    /// Credentials whose value in use an origin answered 401 to.
    pub credentials_rejected: IntGauge,
    /// Credentials whose end is near, and whose source gives nothing that ends later.
    pub credentials_ending: IntGauge,
    /// Records that could not be written.
    pub audit_dropped: IntCounter,
    /// Refusals that were counted instead of written.
    pub audit_suppressed: IntCounter,
    /// Leaf certificates signed.
    pub certificates_minted: IntGauge,
    /// Bytes of bodies that are held because policy looks into them.
    pub inspected_bytes: IntGauge,
    /// Stubs seen in request bodies.
    pub stubs_in_bodies: IntCounter,
    /// Requests and tunnels cut because policy changed.
    pub cuts: IntCounter,
    /// 1 from when the appliance was told to stop.
    pub draining: IntGauge,
    /// How agents are known by pods.
    pub kubernetes: Kubernetes,
}

/// Listeners, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Plain HTTP.
    Http,
    /// TLS by SNI.
    Https,
    /// CONNECT, absolute-form and SOCKS5.
    Proxy,
    /// TLS and plain HTTP that the system redirected.
    Transparent,
}

impl Listener {
    /// All of them.
    pub const ALL: [Listener; 4] = [Listener::Http, Listener::Https, Listener::Proxy, Listener::Transparent];

    /// The word in labels and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Listener::Http => "http",
            Listener::Https => "https",
            Listener::Proxy => "proxy",
            Listener::Transparent => "transparent",
        }
    }
}

/// Outcome of a reload, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new one is in force.
    Taken,
    /// It is broken; the last good one stays.
    Failed,
}

impl Reload {
    /// Both.
    pub const ALL: [Reload; 2] = [Reload::Taken, Reload::Failed];

    /// The word in labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reload::Taken => "taken",
            Reload::Failed => "failed",
        }
    }
}

/// What was decided of a request, as a label.
const DECISIONS: [&str; 3] = [ALLOW, ANSWER, DENY];
const ALLOW: &str = "allow";
const ANSWER: &str = "answer";
const DENY: &str = "deny";

/// Types of DNS questions that have a word of their own, by their numbers.
const QTYPES: [(u16, &str); 8] =
    [(1, "A"), (28, "AAAA"), (65, "HTTPS"), (64, "SVCB"), (16, "TXT"), (33, "SRV"), (12, "PTR"), (255, "ANY")];

impl Metrics {
    /// Fresh metrics, all announced at zero.
    pub fn new() -> Self {
        // Static names can only fail to register if two are the same, which the test below would show.
        let registry = RefCell::new(Catalogue::default());
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help));
        let times =
            |name: &str, help: &str| register(&registry, IntGaugeVec::new(Opts::new(name, help), &["credential"]));
        let build = register(
            &registry,
            IntGaugeVec::new(Opts::new("stubgate_build_info", "Version of the appliance."), &["version"]),
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Metrics {
            ready: gauge("stubgate_ready", "1 while `/readyz` answers 200: agents may be sent here."),
            requests: counters(
                "stubgate_requests_total",
                "Requests decided, by decision, rule that decided and reason of refusal.",
                &["decision", "rule", "reason"],
            ),
            dns_queries: counters(
                "stubgate_dns_queries_total",
                "DNS questions answered, by type and outcome.",
                &["qtype", "outcome"],
            ),
            connections: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new("stubgate_connections_open", "Connections of agents that are open, by listener."),
                    &["listener"],
                ),
            ),
            swaps: counters(
                "stubgate_credential_swaps_total",
                "Requests in which a stub was swapped for the credential of that name.",
                &["credential"],
            ),
            rejections: counters(
                "stubgate_credential_rejections_total",
                "Times that an origin's 401 to the credential of that name had its source asked for another value: once an hour at most for one value.",
                &["credential"],
            ),
            scrubbed: counters(
                "stubgate_scrubbed_total",
                "Times that the credential of that name was found in a response, and replaced by its stub: an origin that sends one is worth a look.",
                &["credential"],
            ),
            shown: counters(
                "stubgate_credentials_shown_total",
                "Times that a response showed a known kind of credential that is none of the policy's, by kind and by what was done.",
                &["kind", "done"],
            ),
            credential_expiry: times(
                "stubgate_credential_expiry_timestamp_seconds",
                "When the value in use ends, or the refresh token behind it; no series where its source tells no end. Tokens that are renewed end soon all the time.",
            ),
            credential_success: times(
                "stubgate_credential_last_success_timestamp_seconds",
                "When the credential's source gave a value last, the same or another.",
            ),
            credential_refreshes: counters(
                "stubgate_credential_refreshes_total",
                "Times that the credential's source gave a value.",
                &["credential"],
            ),
            credential_failures: counters(
                "stubgate_credential_failures_total",
                "Times that the credential's source gave none, or its value ended, by kind.",
                &["credential", "kind"],
            ),
            tripwires: counters(
                "stubgate_tripwires_total",
                "Stubs seen where they have no business, and responses that minted a credential, by reason of refusal.",
                &["reason"],
            ),
            reloads: counters("stubgate_policy_reloads_total", "Reloads of policy, by outcome.", &["outcome"]),
            lockdown: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new("stubgate_lockdown", "1 where that part of the process's lock-down is in force."),
                    &["part"],
                ),
            ),
            limits: counters(
                "stubgate_limits_reached_total",
                "What was refused or ended because a limit was reached, by the limit's key in configuration or policy.",
                &["limit"],
            ),
            ca: Ca::new(&registry),
            requests_open: gauge("stubgate_requests_open", "Requests and tunnels of agents that are under way."),
            agents_quarantined: gauge(
                "stubgate_agents_quarantined",
                "Agents that all is denied to, by policy or because of their tripwires.",
            ),
            handshakes_open: gauge("stubgate_handshakes_open", "TLS handshakes with agents that are under way."),
            accept_errors: counter(
                "stubgate_accept_errors_total",
                "Times that a connection could not be accepted, for want of file descriptors most likely.",
            ),
            request_seconds: register(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "stubgate_request_duration_seconds",
                        "Time from a forwarded request's head to the end of its response.",
                    )
                    .buckets(vec![0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0]),
                ),
            ),
            policy_generation: gauge("stubgate_policy_generation", "Grows with every policy that was taken."),
            policy_last_success: gauge(
                "stubgate_policy_last_success_timestamp_seconds",
                "When the last good policy was taken.",
            ),
            policy_last_ok: gauge("stubgate_policy_last_reload_ok", "1 if the last reload of policy was good."),
            credentials_missing: gauge(
                "stubgate_credentials_missing",
                "Credentials that have no value: requests that need them are refused.",
            ),
            credentials_stale: gauge(
                "stubgate_credentials_stale",
                "Credentials that can no longer be read and whose last good value stays in use.",
            ),
            credentials_rejected: gauge(
                "stubgate_credentials_rejected",
                "Credentials whose value in use an origin answered 401 to, and whose source gave no other one since.",
            ),
            credentials_ending: gauge(
                "stubgate_credentials_ending",
                "Credentials whose end is near, and whose source gives nothing that ends later.",
            ),
            audit_dropped: counter("stubgate_audit_dropped_total", "Audit records that could not be written."),
            audit_suppressed: counter(
                "stubgate_audit_suppressed_total",
                "Refusals counted in suppressed records instead of written one by one.",
            ),
            certificates_minted: gauge(
                "stubgate_certificates_minted",
                "Leaf certificates signed since the process started.",
            ),
            inspected_bytes: gauge(
                "stubgate_inspected_bytes",
                "Bytes of request bodies that are held because policy looks into them.",
            ),
            stubs_in_bodies: counter("stubgate_stubs_in_bodies_total", "Stubs seen in request bodies."),
            cuts: counter(
                "stubgate_cuts_total",
                "Requests, streams and tunnels cut because policy no longer allowed them.",
            ),
            draining: gauge("stubgate_draining", "1 from when the appliance was told to stop until it has stopped."),
            kubernetes: Kubernetes::new(&registry),
            catalogue: registry.into_inner(),
        };
        for listener in Listener::ALL {
            metrics.connections(listener).set(0);
        }
        for part in Part::ALL {
            metrics.lockdown(part).set(0);
        }
        for outcome in Reload::ALL {
            metrics.reload(outcome).inc_by(0);
        }
        // Prometheus sees no growth in a counter that begins at one.
        for &reason in Reason::ALL.iter().filter(|reason| is_tripwire(**reason)) {
            metrics.tripwire(reason).inc_by(0);
        }
        for &limit in Limit::ALL {
            metrics.limit_reached(limit).inc_by(0);
        }
        for kind in Kind::ALL {
            for act in [OnCredential::Allow, OnCredential::Replace, OnCredential::Deny] {
                metrics.shown(kind, act).inc_by(0);
            }
        }
        metrics
    }

    /// Refusals by a limit.
    pub fn limit_reached(&self, limit: Limit) -> IntCounter {
        self.limits.with_label_values(&[limit.as_str()])
    }

    /// Allowed requests of a rule.
    pub fn allowed(&self, rule: &str) -> IntCounter {
        self.requests.with_label_values(&[ALLOW, rule, ""])
    }

    /// Answered requests.
    pub fn answered(&self) -> IntCounter {
        self.requests.with_label_values(&[ANSWER, "", ""])
    }

    /// Refused requests.
    pub fn refused(&self, reason: Reason, rule: &str) -> IntCounter {
        self.requests.with_label_values(&[DENY, rule, reason.as_str()])
    }

    /// DNS questions; types that are not named by the closed set are `other`.
    pub fn dns_query(&self, qtype: u16, outcome: &'static str) -> IntCounter {
        let known = QTYPES.iter().find(|(number, _)| *number == qtype);
        let qtype = known.map_or("other", |(_, word)| *word);
        self.dns_queries.with_label_values(&[qtype, outcome])
    }

    /// Open connections of a listener.
    pub fn connections(&self, listener: Listener) -> IntGauge {
        self.connections.with_label_values(&[listener.as_str()])
    }

    /// Swaps of a credential, by its name in policy.
    pub fn swaps(&self, credential: &str) -> IntCounter {
        self.swaps.with_label_values(&[credential])
    }

    /// Values of a credential that an origin answered 401 to, by its name in policy.
    pub fn rejections(&self, credential: &str) -> IntCounter {
        self.rejections.with_label_values(&[credential])
    }

    /// Finds of a credential in responses, by its name in policy.
    pub fn scrubbed(&self, credential: &str) -> IntCounter {
        self.scrubbed.with_label_values(&[credential])
    }

    /// Credentials of others in responses.
    pub fn shown(&self, kind: Kind, act: OnCredential) -> IntCounter {
        self.shown.with_label_values(&[kind.as_str(), act.as_str()])
    }

    /// Values that the source of a credential gave, by its name in policy.
    pub fn credential_refreshes(&self, credential: &str) -> IntCounter {
        self.credential_refreshes.with_label_values(&[credential])
    }

    /// Times that the source of a credential gave none, by its name in policy.
    pub fn credential_failures(&self, credential: &str, kind: &'static str) -> IntCounter {
        self.credential_failures.with_label_values(&[credential, kind])
    }

    /// Notes when a credential's source gave a value last.
    pub fn set_credential_success(&self, credential: &str, at: SystemTime) {
        self.credential_success.with_label_values(&[credential]).set(seconds(at));
    }

    /// Notes when a credential's value ends; there is no series where nobody knows.
    pub fn set_credential_expiry(&self, credential: &str, at: Option<SystemTime>) {
        match at {
            Some(at) => self.credential_expiry.with_label_values(&[credential]).set(seconds(at)),
            // There may have been none.
            None => drop(self.credential_expiry.remove_label_values(&[credential])),
        }
    }

    /// Removes what is told of a credential that policy no longer names, and of its failures of these kinds.
    pub fn forget_credential(&self, credential: &str, kinds: impl Iterator<Item = &'static str>) {
        // What was never there need not go.
        let _ = self.credential_expiry.remove_label_values(&[credential]);
        let _ = self.credential_success.remove_label_values(&[credential]);
        let _ = self.credential_refreshes.remove_label_values(&[credential]);
        let _ = self.rejections.remove_label_values(&[credential]);
        for kind in kinds {
            let _ = self.credential_failures.remove_label_values(&[credential, kind]);
        }
    }

    /// A stub where it has no business.
    pub fn tripwire(&self, reason: Reason) -> IntCounter {
        self.tripwires.with_label_values(&[reason.as_str()])
    }

    /// Reloads of policy.
    pub fn reload(&self, outcome: Reload) -> IntCounter {
        self.reloads.with_label_values(&[outcome.as_str()])
    }

    /// Whether a part of the lock-down is in force.
    pub fn lockdown(&self, part: Part) -> IntGauge {
        self.lockdown.with_label_values(&[part.as_str()])
    }

    /// Every metric with its type, labels and meaning, by name.
    pub fn catalogue(&self) -> Vec<catalogue::Entry> {
        self.catalogue.entries()
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.catalogue.registry.gather()).unwrap_or_default()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[expect(clippy::expect_used, reason = "names and help texts are constants of this file; a test builds them all")]
fn register<M: prometheus::core::Collector + Clone + 'static>(
    catalogue: &RefCell<Catalogue>,
    metric: prometheus::Result<M>,
) -> M {
    let metric = metric.expect("a metric's name is valid");
    let mut catalogue = catalogue.borrow_mut();
    catalogue.note(&metric);
    catalogue.registry.register(Box::new(metric.clone())).expect("a metric's name is its own");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_announced_with_help() {
        let metrics = Metrics::new();
        metrics.allowed("r").inc();
        metrics.refused(Reason::PathNotAllowed, "").inc();
        metrics.dns_query(9999, "denied").inc();
        let text = metrics.render();
        assert!(text.contains("stubgate_requests_total{decision=\"allow\",reason=\"\",rule=\"r\"} 1"));
        assert!(text.contains("stubgate_dns_queries_total{outcome=\"denied\",qtype=\"other\"} 1"));
        assert!(text.contains("stubgate_connections_open{listener=\"proxy\"} 0"));
        let typed = text.lines().filter(|l| l.starts_with("# TYPE")).count();
        assert_eq!(text.lines().filter(|l| l.starts_with("# HELP")).count(), typed);
    }
}
