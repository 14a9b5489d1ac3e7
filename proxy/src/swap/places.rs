//! The credential places of a head, and what stands in them.

use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use stubgate_credentials::slots::{Pair, Parsed, parse_authorization};
use stubgate_policy::model::{CUSTOMARY_HEADERS, CUSTOMARY_QUERY_KEYS};
use stubgate_policy::{
    AgentId, BasicField, CredentialId, Meaning, MintedStub, Policy, Reason, Slot, SlotRef, Standing, Token,
};

use crate::request::Refusal;
use crate::snapshot::StubScanner;

/// One place, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `Authorization: Bearer` or `token`.
    Bearer,
    /// A field of `Authorization: Basic`.
    Basic(BasicField),
    /// `Authorization` in any other form.
    Bare,
    /// A header.
    Header(HeaderName),
    /// A query parameter.
    Query(Box<str>),
    /// No place at all.
    Elsewhere,
}

impl Place {
    /// As policy asks for it.
    pub fn slot(&self) -> SlotRef<'_> {
        match self {
            Place::Bearer => SlotRef::Bearer,
            Place::Basic(field) => SlotRef::Basic(*field),
            Place::Bare => SlotRef::Bare,
            Place::Header(name) => SlotRef::Header(name.as_str()),
            Place::Query(name) => SlotRef::Query(name),
            Place::Elsewhere => SlotRef::Elsewhere,
        }
    }

    /// The header that it is in.
    pub fn header(&self) -> Option<HeaderName> {
        match self {
            Place::Bearer | Place::Basic(_) | Place::Bare => Some(AUTHORIZATION),
            Place::Header(name) => Some(name.clone()),
            Place::Query(_) | Place::Elsewhere => None,
        }
    }
}

/// What was found in a head.
#[derive(Default)]
pub struct Places {
    found: Vec<Found>,
}

struct Found {
    place: Place,
    text: Box<[u8]>,
    meaning: Meaning,
}

impl Places {
    /// Searches a head. `declared` are the slots of credentials that are bound to its authority.
    ///
    /// # Errors
    /// `bad_request` for an `Authorization: Basic` that holds control bytes, and for headers that imitate a declared slot
    /// or have it taken out.
    pub fn find(
        policy: &Policy,
        authority: &stubgate_policy::Authority,
        stubs: &StubScanner,
        method: &str,
        path: &[u8],
        query: Option<&[u8]>,
        headers: &HeaderMap,
    ) -> Result<Self, Refusal> {
        let mut places = Places::default();
        let declared: Vec<&Slot> = policy.bound_slots(authority).collect();
        let is_declared = |name: &str| declared.iter().any(|slot| matches!(slot, Slot::Header(own) if **own == *name));
        crate::headers::check_slots(headers, is_declared)?;
        for (name, value) in headers {
            let value = value.as_bytes();
            if name == AUTHORIZATION {
                places.authorization(stubs, value)?;
            } else if CUSTOMARY_HEADERS.contains(&name.as_str()) || is_declared(name.as_str()) {
                places.token(stubs, Place::Header(name.clone()), value);
            } else {
                places.elsewhere(stubs, value);
            }
            places.elsewhere(stubs, name.as_str().as_bytes());
        }
        places.elsewhere(stubs, method.as_bytes());
        places.elsewhere_encoded(stubs, path);
        if let Some(query) = query {
            places.query(&declared, stubs, query);
        }
        Ok(places)
    }

    /// As policy asks for them.
    pub fn tokens(&self) -> Vec<Token<'_>> {
        self.found
            .iter()
            .map(|Found { place, text, meaning }| Token { slot: place.slot(), text, meaning: *meaning })
            .collect()
    }

    /// The place that a token of [`Places::tokens`] stands in.
    pub fn place(&self, index: usize) -> Option<&Place> {
        self.found.get(index).map(|found| &found.place)
    }

    /// Takes the literal stub of a credential for one that was minted for an agent; for tests of policies, which have no
    /// key to mint with.
    pub fn take_for_minted(&mut self, policy: &Policy, agent: AgentId, credential: CredentialId) {
        let stub = policy.credential(credential).stub().as_bytes();
        for found in self.found.iter_mut().filter(|found| *found.text == *stub) {
            found.meaning = Meaning::Minted(MintedStub { agent, credential, id: 0, standing: Standing::Good });
        }
    }

    /// The places and texts, for asking again after a reload. What is no stub may be an agent's own credential and is not
    /// kept: `-` stands for it.
    pub fn into_remembered(self, stubs: &StubScanner) -> Vec<(Place, Box<[u8]>)> {
        let kept = |text: Box<[u8]>| if stubs.is_stub(&text) { text } else { b"-".as_slice().into() };
        self.found.into_iter().map(|found| (found.place, kept(found.text))).collect()
    }

    fn authorization(&mut self, stubs: &StubScanner, value: &[u8]) -> Result<(), Refusal> {
        match parse_authorization(value) {
            Ok(Parsed::Bearer { token, .. }) => self.token(stubs, Place::Bearer, token),
            Ok(Parsed::Bare(token)) => self.token(stubs, Place::Bare, token),
            Ok(Parsed::Basic(pair)) => self.basic(stubs, &pair),
            Ok(Parsed::Other { .. }) => {
                self.elsewhere(stubs, value);
                self.push(stubs, Place::Bare, value);
            }
            Err(malformed) => {
                use stubgate_credentials::slots::Malformed;
                if matches!(malformed, Malformed::Control) {
                    return Err(Reason::BadRequest.into());
                }
                self.elsewhere(stubs, value);
                self.push(stubs, Place::Bare, value);
            }
        }
        Ok(())
    }

    fn basic(&mut self, stubs: &StubScanner, pair: &Pair) {
        self.token(stubs, Place::Basic(BasicField::User), pair.user());
        self.token(stubs, Place::Basic(BasicField::Password), pair.password());
    }

    fn query(&mut self, declared: &[&Slot], stubs: &StubScanner, query: &[u8]) {
        for pair in query.split(|&b| b == b'&') {
            let mut halves = pair.splitn(2, |&b| b == b'=');
            let name = percent_decoded(halves.next().unwrap_or_default());
            let value = percent_decoded(halves.next().unwrap_or_default());
            let name_text = String::from_utf8_lossy(&name);
            // Some origins read keys in any case; a stub is swapped in the declared one alone.
            let is = |own: &str| own.eq_ignore_ascii_case(&name_text);
            let is_declared = declared.iter().any(|slot| matches!(slot, Slot::Query(own) if is(own)));
            if CUSTOMARY_QUERY_KEYS.iter().any(|own| is(own)) || is_declared {
                self.token(stubs, Place::Query((*name_text).into()), &value);
            } else {
                self.elsewhere(stubs, &value);
            }
            self.elsewhere(stubs, &name);
        }
        // Across what looks like pairs.
        if !self.has_stub_elsewhere() && self.found.iter().all(|found| !matches!(found.place, Place::Query(_))) {
            self.elsewhere_encoded(stubs, query);
        }
    }

    fn has_stub_elsewhere(&self) -> bool {
        self.found.iter().any(|found| found.place == Place::Elsewhere)
    }

    /// A whole token in its place; a stub inside a longer token is elsewhere.
    fn token(&mut self, stubs: &StubScanner, place: Place, text: &[u8]) {
        if text.is_empty() && matches!(place, Place::Basic(_)) {
            return;
        }
        let meaning = stubs.meaning(text);
        // A good stub with more behind it is no stub, but begins as one.
        if !stubs.is_stub(text) || meaning == Meaning::Forged && stubs.find(text).is_some_and(|stub| stub != text) {
            self.elsewhere(stubs, text);
        }
        self.found.push(Found { place, text: text.into(), meaning });
    }

    fn push(&mut self, stubs: &StubScanner, place: Place, text: &[u8]) {
        self.found.push(Found { place, text: text.into(), meaning: stubs.meaning(text) });
    }

    fn elsewhere(&mut self, stubs: &StubScanner, bytes: &[u8]) {
        if let Some(stub) = stubs.find(bytes) {
            self.push(stubs, Place::Elsewhere, stub);
        }
    }

    fn elsewhere_encoded(&mut self, stubs: &StubScanner, bytes: &[u8]) {
        self.elsewhere(stubs, bytes);
        if bytes.contains(&b'%') {
            self.elsewhere(stubs, &percent_decoded(bytes));
        }
    }
}

/// Percent-decodes what can be decoded, `+` as a space; for recognising, never for sending.
pub(crate) fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
        {
            out.push(u8::try_from(high * 16 + low).unwrap_or(b'%'));
            rest = after;
        } else {
            out.push(if first == b'+' { b' ' } else { first });
        }
    }
    out
}
