//! The policy in force, with what is derived from it once: the scanner for stubs and the counters of its rules.
//!
//! A snapshot never changes. A reload puts another one in its place; a request is decided by one snapshot from its
//! first phase to its last.

use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use prometheus::IntCounter;
use stubgate_policy::{AgentId, CredentialId, Policy, RuleId};

use crate::metrics::Metrics;

/// Stubs up to which the faster and larger kind of automaton is built.
const DFA_MAXIMUM: usize = 500;

/// A policy and what follows from it.
pub struct Snapshot {
    /// The policy.
    pub policy: Arc<Policy>,
    /// Grows with every policy that was taken; 0 is the one that refuses all before the first.
    pub generation: u64,
    /// Finds stubs of any agent.
    pub stubs: StubScanner,
    agents: Vec<Arc<str>>,
    allowed: Vec<IntCounter>,
    swapped: Vec<IntCounter>,
}

impl Snapshot {
    /// Derives what follows from `policy`.
    pub fn new(policy: Policy, generation: u64, metrics: &Metrics) -> Self {
        for credential in policy.credentials() {
            // Announced at zero, so that the first find shows as an increase.
            metrics.scrubbed(credential.name());
        }
        Snapshot {
            stubs: StubScanner::new(&policy),
            agents: policy.agents().iter().map(|agent| Arc::from(agent.name())).collect(),
            swapped: policy.credentials().iter().map(|credential| metrics.swaps(credential.name())).collect(),
            allowed: policy.rules().iter().map(|rule| metrics.allowed(rule.name())).collect(),
            policy: Arc::new(policy),
            generation,
        }
    }

    /// What there is before a first good policy: all is refused.
    pub fn refusing(metrics: &Metrics) -> Self {
        Snapshot::new(Policy::empty(), 0, metrics)
    }

    /// Whether a policy was ever taken.
    pub fn is_ready(&self) -> bool {
        self.generation > 0
    }

    /// The name of an agent, to keep beyond this snapshot.
    pub fn agent_name(&self, agent: AgentId) -> Arc<str> {
        self.agents.get(agent.index()).cloned().unwrap_or_default()
    }

    /// Counts a swap of a credential.
    pub fn count_swap(&self, credential: CredentialId) {
        if let Some(counter) = self.swapped.get(credential.index()) {
            counter.inc();
        }
    }

    /// Counts an allowed request of a rule.
    pub fn count_allowed(&self, rule: RuleId) {
        if let Some(counter) = self.allowed.get(rule.index()) {
            counter.inc();
        }
    }
}

/// Finds stubs in bytes, in any case of letters, so that a folded one is noticed too.
#[derive(Clone, Debug)]
pub struct StubScanner {
    automaton: Option<Arc<AhoCorasick>>,
    texts: Arc<[Box<str>]>,
    longest: usize,
}

impl StubScanner {
    /// Finds the stubs of a policy.
    pub fn new(policy: &Policy) -> Self {
        let texts: Vec<Box<str>> = policy.stubs().map(Box::from).collect();
        let longest = texts.iter().map(|t| t.len()).max().unwrap_or(0);
        let automaton = if texts.is_empty() {
            None
        } else {
            let built = AhoCorasick::builder()
                .kind(Some(AhoCorasickKind::DFA).filter(|_| texts.len() <= DFA_MAXIMUM))
                .match_kind(MatchKind::LeftmostLongest)
                .ascii_case_insensitive(true)
                .build(texts.iter().map(|t| t.as_bytes()));
            // Fails only above what 32 bits of states hold; policy caps its sizes far below.
            built.ok().map(Arc::new)
        };
        StubScanner { automaton, texts: texts.into(), longest }
    }

    /// Finds nothing.
    pub fn none() -> Self {
        StubScanner { automaton: None, texts: Arc::new([]), longest: 0 }
    }

    /// The first stub in `bytes`.
    pub fn find(&self, bytes: &[u8]) -> Option<&str> {
        let found = self.automaton.as_deref()?.find(bytes)?;
        self.texts.get(found.pattern().as_usize()).map(|text| &**text)
    }

    /// How many stubs end after the first `skip` bytes.
    pub fn count_after(&self, bytes: &[u8], skip: usize) -> u64 {
        let Some(automaton) = self.automaton.as_deref() else { return 0 };
        automaton.find_iter(bytes).filter(|found| found.end() > skip).count() as u64
    }

    /// Whether `bytes` is a stub as a whole.
    pub fn is_stub(&self, bytes: &[u8]) -> bool {
        self.texts.iter().any(|text| text.as_bytes() == bytes)
    }

    /// Bytes of the longest stub; 0 where there is none.
    pub fn longest(&self) -> usize {
        self.longest
    }
}
