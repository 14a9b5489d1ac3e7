//! What every part of the appliance shares: the policy in force, the credentials, the records, the connections.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use stubgate_certs::Minter;
use stubgate_credentials::minted::Minting;
use stubgate_credentials::{CredentialStore, Keeper};
use stubgate_dns::{Peer, QueryRecord, Stamp, Surroundings};
use stubgate_policy::{AgentId, Name, Policy};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::Budgets;
use crate::ca::Authorities;
use crate::config::{Limits, Timeouts};
use crate::forward::Pool;
use crate::forward::dial::Dialer;
use crate::forward::pool::h1_limits;
use crate::gateways::Gateways;
use crate::health::{Health, Report};
use crate::identify;
use crate::inspect::Budget;
use crate::listen::{Admissions, Handshakes};
use crate::live::Live;
use crate::lockdown::Confinement;
use crate::manager::Manager;
use crate::metrics::Metrics;
use crate::pods::Pods;
use crate::programs::Runner;
use crate::quarantine::Quarantine;
use crate::readiness;
use crate::record::{Audit, Event, Layer, Line, Wire};
use crate::request::Ids;
use crate::scrub;
use crate::snapshot::Snapshot;

/// One running appliance.
pub struct Appliance {
    /// The policy in force.
    pub snapshot: ArcSwap<Snapshot>,
    /// The credentials in force.
    pub credentials: Arc<CredentialStore>,
    /// What keeps them fresh; empty before anything is served.
    pub keeper: OnceLock<Keeper>,
    /// How they have been doing.
    pub health: Health,
    /// The logins in escrow; empty where none was configured or named at the start.
    pub escrow: OnceLock<Arc<stubgate_credentials::escrow::Escrow>>,
    /// What runs programs for them; empty before anything is served.
    pub programs: OnceLock<Arc<Runner>>,
    /// For minted stubs; none where their key could not be had, and none is taken then.
    pub minting: Option<Arc<Minting>>,
    /// Where decisions are recorded.
    pub audit: Audit,
    /// What Prometheus sees.
    pub metrics: Metrics,
    /// How much of everything.
    pub limits: Limits,
    /// How long for everything.
    pub timeouts: Timeouts,
    /// Certificates for agents.
    pub minter: Minter,
    /// Connections to origins, and to servers of secrets, to be made.
    pub dialer: Arc<Dialer>,
    /// Connections to origins, made.
    pub pool: Pool,
    /// Memory for bodies that policy looks into.
    pub held: Arc<Budget>,
    /// What is under way.
    pub live: Arc<Live>,
    /// Agents that have listeners of their own, by name; `Stamp::Listener` counts in it.
    pub stamped: Vec<Arc<str>>,
    /// Pods of the cluster; none where no cluster is configured.
    pub pods: Option<Pods>,
    /// Tells of source NAT on the way.
    pub gateways: Gateways,
    /// Connections of agents.
    pub admissions: Admissions,
    /// TLS handshakes of agents.
    pub handshakes: Handshakes,
    /// What agents may use of it.
    pub budgets: Budgets,
    /// Agents that all is denied to because of what they did.
    pub quarantine: Quarantine,
    /// The log's word of scrubbed credentials.
    pub scrub_alarm: scrub::Alarm,
    /// Tells of tripwires that tunnels and bodies set off.
    pub tripwire_alarm: scrub::Alarm,
    /// Tells the log of credentials in responses that are none of ours.
    pub shown_alarm: scrub::Alarm,
    /// Tells of peers that are nobody for an odd reason.
    pub nobody_alarm: scrub::Alarm,
    /// Names for requests.
    pub ids: Ids,
    /// The CAs that sign them, and what agents are told of those.
    pub authorities: Authorities,
    /// Cancelled when others are to take it out of service. Work is taken until it is draining.
    pub leaving: CancellationToken,
    /// Cancelled when no new work is taken.
    pub draining: CancellationToken,
    /// Cancelled when what is left is cut.
    pub closing: CancellationToken,
    /// Connections and what they started.
    pub tasks: TaskTracker,
    /// Of them, those that were there before it was leaving.
    pub earlier: TaskTracker,
    /// Whoever keeps this process and is told how it is; empty where nobody asked to be.
    pub manager: OnceLock<Manager>,
    /// What the process is locked down to; empty where it is not, as in a demonstration.
    pub confinement: OnceLock<Confinement>,
}

impl Appliance {
    /// The bounds on an HTTP/1.1 head.
    pub fn h1_limits(&self) -> stubgate_h1::Limits {
        h1_limits(&self.limits)
    }

    /// How the credentials in force have been doing.
    pub fn report(&self) -> Report {
        self.health.report(self.snapshot.load().is_ready(), &self.credentials, self.escrow.get().map(AsRef::as_ref))
    }

    /// Decides everything under way again, after policy or credentials changed.
    pub fn decide_again(&self) {
        let snapshot = self.snapshot.load();
        let who = |peer: &Peer| identify::agent_of(self, &snapshot.policy, peer);
        let cut = self.live.decide_again(&snapshot, &self.credentials, who);
        if cut > 0 {
            tracing::info!(cut, "requests and tunnels under way are no longer allowed and were cut");
        }
    }

    /// Cuts what is under way of those who are no longer who they were.
    pub fn identify_again(&self) {
        let policy = &self.snapshot.load().policy;
        let cut = self.live.identify_again(|peer, name| identify::still(self, policy, peer, name).is_some());
        if cut > 0 {
            tracing::info!(cut, "requests and tunnels under way are nobody's any more and were cut");
        }
    }
}

impl Surroundings for Appliance {
    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.snapshot.load().policy)
    }

    fn stamp(&self, address: SocketAddr) -> Stamp {
        identify::stamp(self, address.ip())
    }

    fn identify(&self, policy: &Policy, peer: &Peer) -> Option<AgentId> {
        identify::asked(self, policy, peer)
    }

    fn record(&self, policy: &Policy, queries: &[QueryRecord<'_>]) -> bool {
        let mut lines = Vec::with_capacity(queries.len());
        let now = std::time::Instant::now();
        for query in queries {
            self.metrics.dns_query(query.qtype, query.outcome.as_str()).inc();
            let granted = query.outcome.granted();
            let line = Line {
                agent: query.agent.map(|agent| policy.agent(agent).name()),
                peer: Some(query.peer),
                protocol: Some(query.transport.as_str()),
                name: query.name.map(Wire),
                qtype: Some(query.qtype),
                decision: Some(if granted { "allow" } else { "deny" }),
                rule: query.rule.map(|rule| policy.rule(rule).name()),
                reason: query.reason,
                outcome: Some(query.outcome.as_str()),
                policy: Some(policy.fingerprint()),
                ..Line::new(if granted { Event::Allowed } else { Event::Refused }, Layer::Dns)
            };
            if granted || self.audit.admit(&line, now) == crate::record::suppress::Admission::Write {
                lines.push(line);
            } else {
                self.metrics.audit_suppressed.inc();
            }
        }
        // No credential goes out by DNS, so a sink that is full stops no answer; the loss is counted and told.
        let _ = lines.is_empty() || self.audit.write_all(&lines).is_ok();
        true
    }

    fn admits(&self, policy: &Policy, agent: AgentId, name: &Name) -> bool {
        self.budgets.name(policy, agent, name).is_ok()
    }
}

/// Counts what the minter signed and how credentials are, for a scrape.
pub fn refresh(appliance: &Appliance) {
    let Appliance { metrics, credentials, .. } = appliance;
    let minted = i64::try_from(appliance.minter.minted_total()).unwrap_or(i64::MAX);
    metrics.certificates_minted.set(minted);
    metrics.inspected_bytes.set(i64::try_from(appliance.held.bytes()).unwrap_or(i64::MAX));
    metrics.ready.set(i64::from(readiness::unready(appliance, SystemTime::now()).is_none()));
    let policy = Arc::clone(&appliance.snapshot.load().policy);
    let count = |is_so: &dyn Fn(&str) -> bool| {
        let found = policy.credentials().iter().filter(|credential| is_so(credential.name())).count();
        i64::try_from(found).unwrap_or(i64::MAX)
    };
    metrics.agents_quarantined.set(i64::try_from(appliance.quarantine.len(&policy)).unwrap_or(i64::MAX));
    metrics.credentials_missing.set(count(&|name| !credentials.available(name)));
    metrics.credentials_ending.set(i64::try_from(appliance.health.ending()).unwrap_or(i64::MAX));
    metrics.credentials_stale.set(count(&|name| credentials.is_stale(name)));
    let is_rejected = |name: &str| appliance.keeper.get().is_some_and(|keeper| keeper.is_suspect(name));
    metrics.credentials_rejected.set(count(&is_rejected));
    if let Some(pods) = &appliance.pods {
        pods.refresh(metrics);
    }
    for part in crate::lockdown::Part::ALL {
        let confinement = appliance.confinement.get();
        let is_in_force = confinement.is_some_and(|confinement| confinement.state(part).is_in_force());
        metrics.lockdown(part).set(i64::from(is_in_force));
    }
}
