//! The 20 bytes of a minted stub: an authentication tag of 8, and what the stub says, encrypted, in 12.
//!
//! The tag is HMAC-SHA-256 over the whole names of agent and credential, the end, the serial and the shape, cut short; the
//! key stream for the rest is made from the tag, as in RFC 5297 (SIV): nothing has to be unique but what is said. What is
//! said of the names are 24 bits of their hashes, enough to look them up; it is the tag that binds the names.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;

use super::Expiry;
use super::key::StubKey;
use super::shape::Shape;

/// What is left of a name in a stub.
pub(super) type Tag = [u8; 3];

/// A name, hashed: all are of one length, so that none takes longer.
pub(super) struct Name([u8; 32]);

/// The name of nobody.
pub(super) const NO_NAME: Name = Name([0; 32]);

impl Name {
    pub(super) fn new(name: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, name.as_bytes()).as_ref());
        Name(hash)
    }

    pub(super) fn tag(&self) -> Tag {
        let [a, b, c, ..] = self.0;
        [a, b, c]
    }
}

/// What a stub says, of which nothing is proven yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    pub(super) agent: Tag,
    pub(super) credential: Tag,
    pub(super) expiry: Expiry,
    serial: [u8; 3],
}

impl Content {
    pub(super) fn new(agent: &Name, credential: &Name, expiry: Expiry, serial: [u8; 3]) -> Self {
        Content { agent: agent.tag(), credential: credential.tag(), expiry, serial }
    }

    fn to_bytes(self) -> [u8; 12] {
        let [a, b, c] = self.agent;
        let [d, e, f] = self.credential;
        let [_, g, h, i] = self.expiry.0.to_be_bytes();
        let [j, k, l] = self.serial;
        [a, b, c, d, e, f, g, h, i, j, k, l]
    }

    fn from_bytes(bytes: [u8; 12]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        let expiry = Expiry(u32::from_be_bytes([0, g, h, i]));
        Content { agent: [a, b, c], credential: [d, e, f], expiry, serial: [j, k, l] }
    }
}

pub(super) fn seal(key: &StubKey, shape: Shape, agent: &Name, credential: &Name, content: Content) -> [u8; 20] {
    let tag = tag(key, shape, agent, credential, content);
    let mut payload = [0; 20];
    let (head, rest) = payload.split_at_mut(tag.len());
    head.copy_from_slice(&tag);
    let stream = stream(key, &tag);
    for ((out, plain), stream) in rest.iter_mut().zip(content.to_bytes()).zip(stream) {
        *out = plain ^ stream;
    }
    payload
}

/// What a payload says, if it is one; that is for [`is_authentic`] to find out.
pub(super) fn open(key: &StubKey, payload: &[u8; 20]) -> Content {
    let (tag, rest) = halves(payload);
    let mut plain = rest;
    for (byte, stream) in plain.iter_mut().zip(stream(key, &tag)) {
        *byte ^= stream;
    }
    Content::from_bytes(plain)
}

/// Whether a payload was made with this key for these names. In constant time.
pub(super) fn is_authentic(
    key: &StubKey,
    shape: Shape,
    agent: &Name,
    credential: &Name,
    content: Content,
    payload: &[u8; 20],
) -> bool {
    let expected = tag(key, shape, agent, credential, content);
    verify_slices_are_equal(&expected, &halves(payload).0).is_ok()
}

/// The tag is the stub's id.
pub(super) fn id(payload: &[u8; 20]) -> u64 {
    u64::from_be_bytes(halves(payload).0)
}

fn halves(payload: &[u8; 20]) -> ([u8; 8], [u8; 12]) {
    let mut tag = [0; 8];
    let mut rest = [0; 12];
    for (to, from) in tag.iter_mut().chain(&mut rest).zip(payload) {
        *to = *from;
    }
    (tag, rest)
}

fn tag(key: &StubKey, shape: Shape, agent: &Name, credential: &Name, content: Content) -> [u8; 8] {
    mac(&key.tags, &[&[1, shape.number()], &agent.0, &credential.0, &content.to_bytes()])
}

fn stream(key: &StubKey, tag: &[u8; 8]) -> [u8; 12] {
    mac(&key.streams, &[tag])
}

/// The first bytes of an HMAC-SHA-256 over parts of fixed lengths.
fn mac<const BYTES: usize>(key: &hmac::Key, parts: &[&[u8]]) -> [u8; BYTES] {
    #[cfg(test)]
    OPERATIONS.with(|count| count.set(count.get() + 1));
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; BYTES];
    for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    out
}

#[cfg(test)]
thread_local! {
    /// HMACs that this thread made.
    pub(super) static OPERATIONS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
