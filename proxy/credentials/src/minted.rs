//! Stubs as capabilities: minted for one agent and one credential, authenticated, expiring, revocable.
//!
//! A minted stub says by itself what it is for, so that no list of stubs is needed; without the key nobody can make one, and
//! nobody but us can read one. Where clients insist on the shape of a token it has that [`Shape`]. This says what a
//! text is; whether it may be used, and by whom, is policy's decision (law 1).
//!
//! A text costs the same work whatever is wrong with it: one that was made up, one of another agent, one that expired and
//! one that was revoked can't be told apart by the time they take (CR-20, CR-22).
//!
//! ADR 0015 says how and why.

mod base62;
mod key;
mod revoked;
mod seal;
mod shape;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stubgate_policy::{AgentId, CredentialId, Meaning, MintedStub, Policy, Standing};

pub use key::StubKey;
pub use revoked::{Revoked, RevokedError, revoke};
pub use seal::Content;
pub use shape::{BEGINNINGS, LONGEST, Shape, looks_minted, well_formed};

pub use crate::key_file::{KeyError, make_folder};
pub(crate) use crate::key_file::{give_to_owner_of_folder, open_or_make};
use seal::{NO_NAME, Name, Tag};

/// Longest life of a minted stub.
pub const LONGEST_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// 2024-01-01, from which hours are counted.
const EPOCH_SECONDS: u64 = 1_704_067_200;
const HOUR_SECONDS: u64 = 3_600;

/// Names one minted stub, in records and for revocation. Not the stub: nobody can make one of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StubId(u64);

impl fmt::Display for StubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<u64> for StubId {
    fn from(id: u64) -> Self {
        StubId(id)
    }
}

/// Not 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the id of a stub is 16 hexadecimal digits")]
pub struct NoStubId;

impl FromStr for StubId {
    type Err = NoStubId;

    fn from_str(text: &str) -> Result<Self, NoStubId> {
        let digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let id = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(StubId).ok_or(NoStubId)
    }
}

/// When a minted stub ends: a whole hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(u32);

impl Expiry {
    /// The first whole hour that is no earlier. `None` before 2024 and beyond what a stub can say.
    pub fn at(time: SystemTime) -> Option<Self> {
        let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs().checked_sub(EPOCH_SECONDS)?;
        let hours = u32::try_from(seconds.div_ceil(HOUR_SECONDS)).ok()?;
        // What a JWT says has ten digits.
        (hours < 1 << 21).then_some(Expiry(hours))
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> u64 {
        EPOCH_SECONDS + u64::from(self.0) * HOUR_SECONDS
    }

    /// The same, as a time.
    pub fn time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.seconds())
    }
}

/// Makes a stub.
///
/// `serial` tells stubs apart that are otherwise the same, and is random.
pub fn mint(key: &StubKey, agent: &str, credential: &str, expiry: Expiry, serial: [u8; 3], shape: Shape) -> String {
    let (agent, credential) = (Name::new(agent), Name::new(credential));
    let payload = seal::seal(key, shape, &agent, &credential, Content::new(&agent, &credential, expiry, serial));
    shape.write(&payload, expiry.seconds())
}

/// Three random bytes, for [`mint`].
///
/// # Errors
/// Where the system has no randomness.
pub fn serial() -> Result<[u8; 3], KeyError> {
    let mut serial = [0; 3];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| KeyError::NoRandomness)?;
    Ok(serial)
}

/// What an appliance has for minted stubs, whatever its policy is.
pub struct Minting {
    /// The key that all are made with.
    pub key: StubKey,
    /// Those that were called back.
    pub revoked: Revoked,
}

/// Tells what texts are, for one policy.
#[derive(Clone)]
pub struct Verifier {
    minting: Arc<Minting>,
    names: Arc<Names>,
}

/// The agents and credentials of a policy, by the tags that stubs say. Names may share a tag.
struct Names {
    agents: HashMap<Tag, Vec<(AgentId, Name)>>,
    credentials: HashMap<Tag, Vec<(CredentialId, Name)>>,
}

/// What a minted stub says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Whom and what it is for, and how it stands.
    pub stub: MintedStub,
    /// When it ends.
    pub expiry: Expiry,
    /// The shape that it has.
    pub shape: Shape,
}

impl Said {
    /// Its id.
    pub fn id(&self) -> StubId {
        StubId(self.stub.id)
    }
}

impl Verifier {
    /// For a policy.
    pub fn new(minting: Arc<Minting>, policy: &Policy) -> Self {
        let mut agents: HashMap<Tag, Vec<(AgentId, Name)>> = HashMap::new();
        for agent in policy.agents() {
            if let Some(id) = policy.agent_named(agent.name()) {
                let name = Name::new(agent.name());
                agents.entry(name.tag()).or_default().push((id, name));
            }
        }
        let mut credentials: HashMap<Tag, Vec<(CredentialId, Name)>> = HashMap::new();
        for credential in policy.credentials() {
            if let Some(id) = policy.credential_named(credential.name()) {
                let name = Name::new(credential.name());
                credentials.entry(name.tag()).or_default().push((id, name));
            }
        }
        Verifier { minting, names: Arc::new(Names { agents, credentials }) }
    }

    /// What a text stands for. Of what does not look like ours nothing is known: it is a literal stub, or no stub.
    pub fn meaning(&self, text: &[u8], now: SystemTime) -> Meaning {
        if !looks_minted(text) {
            return Meaning::Literal;
        }
        self.said(text, now).map_or(Meaning::Forged, |said| Meaning::Minted(said.stub))
    }

    /// What a text says, if it is a stub of ours for an agent and a credential of this policy.
    pub fn said(&self, text: &[u8], now: SystemTime) -> Option<Said> {
        // What is malformed costs as much as what is not.
        let read = shape::read(text);
        let (shape, payload, exp) = match &read {
            Some(read) => (read.shape, read.payload, read.exp),
            None => (Shape::Plain, [0; 20], None),
        };
        let key = &self.minting.key;
        let content = seal::open(key, &payload);
        let mut found = None;
        let mut tried = false;
        let agents = self.names.agents.get(&content.agent).map(Vec::as_slice).unwrap_or_default();
        let credentials = self.names.credentials.get(&content.credential).map(Vec::as_slice).unwrap_or_default();
        for (agent, agent_name) in agents {
            for (credential, credential_name) in credentials {
                tried = true;
                if seal::is_authentic(key, shape, agent_name, credential_name, content, &payload) {
                    found = Some((*agent, *credential));
                }
            }
        }
        if !tried {
            // Of no agent or credential here: nobody's names, so that it takes as long.
            let _ = seal::is_authentic(key, shape, &NO_NAME, &NO_NAME, content, &payload);
        }
        let id = seal::id(&payload);
        let is_revoked = self.minting.revoked.holds(StubId(id));
        let is_expired = now >= content.expiry.time();
        let (agent, credential) = found.filter(|_| read.is_some())?;
        if exp.is_some_and(|exp| exp != content.expiry.seconds()) {
            return None;
        }
        let standing = match (is_revoked, is_expired) {
            (true, _) => Standing::Revoked,
            (false, true) => Standing::Expired,
            (false, false) => Standing::Good,
        };
        Some(Said { stub: MintedStub { agent, credential, id, standing }, expiry: content.expiry, shape })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
