//! What must be true for `/readyz`: that sending agents here, rather than to another replica, is right (ADR 22).
//!
//! It says no where this process can't do its main job and another one may: it is leaving, has no policy, can't write
//! records, has no authority to sign with, or knows no pods (yet) where its agents are known by them alone. What would be the same
//! in every replica is no reason, or all would leave at once and take with them what still works: an API server that is away, a credential without a value, a resolver or an origin that does not answer, a
//! part of the lock-down that this kernel has not. Those are told in the body, by metrics and by `stubgate doctor`.

use std::fmt;
use std::time::SystemTime;

use crate::appliance::Appliance;
use crate::pods;

/// Why no agent should be sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unready {
    /// It was told to stop.
    Draining,
    /// Everything is refused.
    NoPolicy,
    /// Records are lost, so that requests with a credential are refused (law 5).
    AuditFailing,
    /// The authority that signs for agents has ended or can't be used.
    Authority,
    /// Agents that are known by their pods are nobody; [`pods::unready`] says why.
    Pods,
}

impl Unready {
    /// All of them, the first first.
    pub const ALL: [Unready; 5] =
        [Unready::Draining, Unready::NoPolicy, Unready::AuditFailing, Unready::Authority, Unready::Pods];
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unready::Draining => "draining",
            Unready::NoPolicy => "no usable policy; see the log",
            Unready::AuditFailing => "audit records can't be written; see the log",
            Unready::Authority => "the certificate authority has ended; see stubgate ca show",
            Unready::Pods => "agents can't be known by their pods",
        })
    }
}

/// The first reason, if there is one.
pub fn unready(appliance: &Appliance, now: SystemTime) -> Option<Unready> {
    let is_so = |reason: &Unready| match reason {
        Unready::Draining => appliance.leaving.is_cancelled(),
        Unready::NoPolicy => !appliance.snapshot.load().is_ready(),
        Unready::AuditFailing => appliance.audit.is_failing(),
        Unready::Authority => appliance.minter.authority().not_after() <= now,
        Unready::Pods => pods::keeps_away(appliance),
    };
    Unready::ALL.into_iter().find(is_so)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use stubgate_policy::{Policy, SourceFile};

    use super::*;
    use crate::{config, start};

    #[test]
    fn the_first_reason_is_told_and_a_credential_without_a_value_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "listen: {{ proxy: [\"127.0.0.1:0\"], admin: [] }}\npolicy: [policy.yaml]\nstate_dir: \"{0}\"\naudit: {{ files: [{{ path: \
             \"{0}/audit\" }}] }}\n",
            folder.path().display()
        );
        let config = config::compile(SourceFile { name: "stubgate.yaml".into(), text }).unwrap();
        let appliance = start::start(config).unwrap().appliance;
        let now = SystemTime::now();
        assert_eq!(unready(&appliance, now), Some(Unready::NoPolicy));
        let text = "version: 1\nagents: { a: { sources: [\"192.0.2.1/32\"] } }\ncredentials: { c: { stub: proxy-token-c, slots: [bearer], \
                    hosts: [c.example], source: { file: /nowhere/at/all } } }\n";
        let file = SourceFile { name: "p.yaml".into(), text: text.into() };
        let policy: Policy = stubgate_policy::compile(&[file]).unwrap().policy;
        appliance.snapshot.store(std::sync::Arc::new(crate::snapshot::Snapshot::new(policy, 1, &appliance.metrics)));
        assert_eq!(unready(&appliance, now), None);
        let century = Duration::from_secs(100 * 366 * 86_400);
        assert_eq!(unready(&appliance, now + century), Some(Unready::Authority));
        appliance.leaving.cancel();
        assert_eq!(unready(&appliance, now + century), Some(Unready::Draining));
    }
}
