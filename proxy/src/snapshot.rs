//! The policy in force, with what is derived from it once: the scanner for stubs and the counters of its rules.
//!
//! A snapshot never changes. A reload puts another one in its place; a request is decided by one snapshot from its
//! first phase to its last.

use std::sync::Arc;
use std::time::SystemTime;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use prometheus::IntCounter;
use stubgate_credentials::minted::{self, Minting, Verifier};
use stubgate_policy::{AgentId, CredentialId, Meaning, Policy, RuleId};

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
    /// Derives what follows from `policy`. Every minted stub is forged to it.
    pub fn new(policy: Policy, generation: u64, metrics: &Metrics) -> Self {
        Snapshot::with_minting(policy, generation, metrics, None)
    }

    /// The same, for an appliance that takes minted stubs.
    pub fn with_minting(policy: Policy, generation: u64, metrics: &Metrics, minting: Option<&Arc<Minting>>) -> Self {
        for credential in policy.credentials() {
            // Announced at zero, so that the first find shows as an increase.
            metrics.scrubbed(credential.name());
            metrics.rejections(credential.name());
        }
        Snapshot {
            stubs: StubScanner::with_minting(&policy, minting),
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

/// Finds stubs in bytes: literal ones in any case of letters, so that a folded one is noticed too; minted ones by how they
/// begin, and then by their whole form.
#[derive(Clone, Debug)]
pub struct StubScanner {
    automaton: Option<Arc<AhoCorasick>>,
    /// The literal ones.
    texts: Arc<[Box<str>]>,
    longest: usize,
    /// Tells what minted ones stand for.
    verifier: Option<Verifier>,
}

impl StubScanner {
    /// Finds the stubs of a policy, and what looks minted.
    pub fn new(policy: &Policy) -> Self {
        StubScanner::with_minting(policy, None)
    }

    /// The same, and knows what minted ones stand for.
    pub fn with_minting(policy: &Policy, minting: Option<&Arc<Minting>>) -> Self {
        let texts: Vec<Box<str>> = policy.stubs().map(Box::from).collect();
        let longest = texts.iter().map(|t| t.len()).max().unwrap_or(0).max(minted::LONGEST);
        let built = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA).filter(|_| texts.len() <= DFA_MAXIMUM))
            .match_kind(MatchKind::LeftmostLongest)
            .ascii_case_insensitive(true)
            .build(
                texts.iter().map(|text| text.as_bytes()).chain(minted::BEGINNINGS.iter().map(|text| text.as_bytes())),
            );
        // Fails only above what 32 bits of states hold; policy caps its sizes far below.
        let automaton = built.ok().map(Arc::new);
        let verifier = minting.map(|minting| Verifier::new(Arc::clone(minting), policy));
        StubScanner { automaton, texts: texts.into(), longest, verifier }
    }

    /// Finds nothing.
    pub fn none() -> Self {
        StubScanner { automaton: None, texts: Arc::new([]), longest: 0, verifier: None }
    }

    /// The first stub in `bytes`: a literal one as policy has it, a minted one as it stands there.
    pub fn find<'a>(&'a self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        self.all(bytes).next().map(|(_, stub)| stub)
    }

    /// How many stubs end after the first `skip` bytes.
    pub fn count_after(&self, bytes: &[u8], skip: usize) -> u64 {
        self.all(bytes).filter(|(end, _)| *end > skip).count() as u64
    }

    /// Every stub, and where it ends.
    fn all<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (usize, &'a [u8])> {
        let found = self.automaton.as_deref().into_iter().flat_map(move |automaton| automaton.find_iter(bytes));
        found.filter_map(move |found| match self.texts.get(found.pattern().as_usize()) {
            Some(text) => Some((found.end(), text.as_bytes())),
            None => {
                let from = bytes.get(found.start()..)?;
                let stub = from.get(..minted::well_formed(from)?)?;
                Some((found.start() + stub.len(), stub))
            }
        })
    }

    /// Whether `bytes` is a stub as a whole, or says so.
    pub fn is_stub(&self, bytes: &[u8]) -> bool {
        self.is_literal(bytes) || minted::looks_minted(bytes)
    }

    /// What `bytes` stands for as a whole.
    pub fn meaning(&self, bytes: &[u8]) -> Meaning {
        match &self.verifier {
            _ if self.is_literal(bytes) || !minted::looks_minted(bytes) => Meaning::Literal,
            Some(verifier) => verifier.meaning(bytes, SystemTime::now()),
            // Nobody can tell: nobody may use it.
            None => Meaning::Forged,
        }
    }

    fn is_literal(&self, bytes: &[u8]) -> bool {
        self.texts.iter().any(|text| text.as_bytes() == bytes)
    }

    /// Bytes of the longest stub; 0 where there is none.
    pub fn longest(&self) -> usize {
        self.longest
    }
}
