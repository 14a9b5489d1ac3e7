//! What is told of the CA: its phase, the ends of those in the bundle, and who is awaited.

use std::cell::RefCell;
use std::time::SystemTime;

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts};
use stubgate_certs::{Phase, Role};

use super::catalogue::Catalogue;
use super::{register, seconds};

/// Of the CA. Cloning shares them.
#[derive(Clone)]
pub struct Ca {
    phase: IntGaugeVec,
    expiry: IntGaugeVec,
    deadline: IntGauge,
    agents_not_seen: IntGauge,
    /// 1 while the CA can be looked after.
    pub last_ok: IntGauge,
    /// Handshakes that agents ended because they do not trust who signed.
    pub distrusted: IntCounter,
}

impl Ca {
    pub(super) fn new(registry: &RefCell<Catalogue>) -> Self {
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help));
        let gauges =
            |name: &str, help: &str, label: &str| register(registry, IntGaugeVec::new(Opts::new(name, help), &[label]));
        let ca = Self {
            phase: gauges("stubgate_ca_phase", "1 for the phase that the CA is in.", "phase"),
            expiry: gauges(
                "stubgate_ca_expiry_timestamp_seconds",
                "When the CA of that part in the bundle ends, in seconds since 1970.",
                "role",
            ),
            deadline: gauge(
                "stubgate_ca_deadline_timestamp_seconds",
                "When the CA that comes signs, whoever was not seen, in seconds since 1970; 0 while none comes.",
            ),
            agents_not_seen: gauge(
                "stubgate_ca_agents_not_seen",
                "Active agents that were not seen with the bundle that has the CA that comes.",
            ),
            last_ok: gauge(
                "stubgate_ca_last_reload_ok",
                "1 if the CA, its state and the operator's files could be read and written the last time.",
            ),
            distrusted: register(
                registry,
                IntCounter::new(
                    "stubgate_ca_distrusted_total",
                    "TLS handshakes that agents ended because they do not trust the CA.",
                ),
            ),
        };
        for phase in Phase::ALL {
            ca.phase.with_label_values(&[phase.as_str()]).set(0);
        }
        ca
    }

    /// As it is now.
    pub fn set(
        &self,
        phase: Phase,
        ends: impl Fn(&str) -> Option<SystemTime>,
        deadline: Option<SystemTime>,
        unseen: usize,
    ) {
        for one in Phase::ALL {
            self.phase.with_label_values(&[one.as_str()]).set(i64::from(one == phase));
        }
        for role in [Role::Signing, Role::Next, Role::Past(SystemTime::UNIX_EPOCH)] {
            match ends(role.as_str()) {
                Some(end) => self.expiry.with_label_values(&[role.as_str()]).set(seconds(end)),
                // There may have been none.
                None => drop(self.expiry.remove_label_values(&[role.as_str()])),
            }
        }
        self.deadline.set(deadline.map_or(0, seconds));
        self.agents_not_seen.set(i64::try_from(unseen).unwrap_or(i64::MAX));
    }
}
