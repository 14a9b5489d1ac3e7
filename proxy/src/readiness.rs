//! What must be true for `/readyz`: that sending agents here, rather than to another replica, is right (ADR 22).
//!
//! It says no where this process can't do its main job and another one may: it is leaving, has no policy, can't write
//! records, or has no authority to sign with. What would be the same in every replica is no reason, or all would leave at
//! once and take with them what still works: a credential without a value, a resolver or an origin that does not answer, a
//! part of the lock-down that this kernel has not. Those are told in the body, by metrics and by `stubgate doctor`.

use std::fmt;
use std::time::SystemTime;

use crate::appliance::Appliance;

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
}

impl fmt::Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unready::Draining => "draining",
            Unready::NoPolicy => "no usable policy; see the log",
            Unready::AuditFailing => "audit records can't be written; see the log",
            Unready::Authority => "the certificate authority has ended; see stubgate ca show",
        })
    }
}

/// The first reason, if there is one.
pub fn unready(appliance: &Appliance, now: SystemTime) -> Option<Unready> {
    let reasons = [
        (appliance.leaving.is_cancelled(), Unready::Draining),
        (!appliance.snapshot.load().is_ready(), Unready::NoPolicy),
        (appliance.audit.is_failing(), Unready::AuditFailing),
        (appliance.minter.authority().not_after() <= now, Unready::Authority),
    ];
    reasons.into_iter().find_map(|(is_so, why)| is_so.then_some(why))
}
