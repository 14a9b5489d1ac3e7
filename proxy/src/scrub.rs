//! Phase *scrub*: no response brings a credential in (law 4).
//!
//! Every response to an agent is searched for every credential of the policy in force, whether or not its own request
//! carried one: what one request stored, another may fetch. Names and values of headers, of interim responses and of
//! trailers, and bodies are; what is found is overwritten with the stub, of equal length, counted, recorded, and told in
//! the log, since an origin that sends a credential back is news.
//!
//! A body that is compressed all the same is decoded, and sent on as it then is. What can't be decoded is refused, or cut
//! where its head was sent already; it is never passed unseen. Nothing else is altered (law 9), and where there is no
//! credential, nothing is looked at; what is coded is cut then once there is one.

mod alarm;
mod body;
mod codings;
mod decode;
mod shown;

use std::sync::Arc;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use stubgate_credentials::kinds::Sights;
use stubgate_policy::{OnCredential, Permit, Reason};
use stubgate_scrub::{Scrubber, Tally};

use crate::appliance::Appliance;
use crate::transaction::Transaction;

pub use alarm::Alarm;
pub(crate) use body::held;
pub use body::{Inspector, Withheld};
use decode::Coding;

/// Says that a body is a difference, or else not the thing itself (RFC 3229 section 10.5.2).
const INSTANCE_MANIPULATION: HeaderName = HeaderName::from_static("im");
/// Ask for codings of other things than the body as a whole.
const OTHER_CODINGS: [&str; 3] = ["grpc-accept-encoding", "connect-accept-encoding", "a-im"];

/// Has an origin asked for what can be inspected. A request with a credential asks for no coding at all, since its
/// response is the likeliest to hold one.
pub(crate) fn ask(appliance: &Appliance, permit: &Permit, headers: &mut HeaderMap) {
    if !is_needed(appliance, permit.on_credential()) {
        return;
    }
    // One look at the names that are there, instead of one for each that might be.
    if headers.keys().any(|name| OTHER_CODINGS.contains(&name.as_str())) {
        for name in OTHER_CODINGS {
            headers.remove(name);
        }
    }
    codings::ask(headers, permit.swap().is_some());
}

/// Whether there is something to look for, or will be: a credential without a value may get one while a body passes.
/// And a rule may say itself what is not to be shown.
fn is_needed(appliance: &Appliance, act: OnCredential) -> bool {
    act != OnCredential::Allow
        || !appliance.credentials.scrubber().is_empty()
        || !appliance.snapshot.load().policy.credentials().is_empty()
}

/// Scrubs the head of a response that has no body, or whose body is no message: an interim one, a 101.
pub(crate) fn head(appliance: &Appliance, headers: &mut HeaderMap, transaction: &mut Transaction) {
    let scrubber = appliance.credentials.scrubber();
    if !scrubber.is_empty() {
        let mut tally = Tally::default();
        fields(&scrubber, headers, &mut tally);
        transaction.scrubbed(&tally);
    }
}

/// Scrubs the head of a final response, and says who inspects its body; `None` where it has none. `act` is what is done
/// about a known kind of credential that is none of ours.
///
/// # Errors
/// `response_not_inspectable` where the body is encoded in a way that can't be undone; `credential_in_response` where the
/// head shows one that may not pass.
pub(crate) fn response(
    appliance: &Arc<Appliance>,
    status: StatusCode,
    headers: &mut HeaderMap,
    has_body: bool,
    act: OnCredential,
    transaction: &mut Transaction,
) -> Result<Option<Box<Inspector>>, Reason> {
    head(appliance, headers, transaction);
    if is_needed(appliance, act) {
        let mut seen = Sights::default();
        let is_refused = shown::fields(appliance, headers, act, &mut seen);
        transaction.shown(&seen, act);
        if is_refused {
            return Err(Reason::CredentialInResponse);
        }
    }
    let scrubber = Arc::clone(&appliance.credentials.scrubber());
    if !has_body {
        return Ok(None);
    }
    let (messages, coding) = (codings::of_messages(headers), codings::of_response(headers));
    let is_hidden = headers.contains_key(&INSTANCE_MANIPULATION) || codings::has_foreign_charset(headers);
    if !is_needed(appliance, act) {
        // It passes as it is; but the policy may get its first credential before it is over.
        let is_coded = is_hidden || messages != Ok(None) || coding != Ok(None);
        return Ok(Some(Box::new(Inspector::waiting(Arc::clone(appliance), scrubber, is_coded))));
    }
    let not_inspectable = |_| Reason::ResponseNotInspectable;
    let (messages, coding) = (messages.map_err(not_inspectable)?, coding.map_err(not_inspectable)?);
    let is_odd = messages.is_some() && (coding.is_some() || !codings::has_messages(headers));
    if is_odd || is_hidden {
        return Err(Reason::ResponseNotInspectable);
    }
    let coding = coding.or(messages.map(Coding::Messages));
    if coding.is_some() {
        for name in codings::OF_MESSAGES {
            headers.remove(name);
        }
        // A part of a coded body can't be decoded by itself (RFC 9110 section 14.1.2).
        if status == StatusCode::PARTIAL_CONTENT {
            return Err(Reason::ResponseNotInspectable);
        }
        headers.remove(header::CONTENT_ENCODING);
        // Other bytes than those that the tag was given for (RFC 9110 section 8.8.1).
        if let Some(tag) = headers.get_mut(header::ETAG)
            && tag.as_bytes().starts_with(b"\"")
            && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat())
        {
            *tag = weak;
        }
    }
    let agent = transaction.known.agent.as_ref();
    Ok(Some(Box::new(Inspector::new(Arc::clone(appliance), scrubber, coding, agent).watching(act))))
}

/// Whether messages inside of a body are compressed, each by itself: gRPC's, and those of the Connect protocol.
pub(crate) fn has_inner_coding(headers: &HeaderMap) -> bool {
    codings::of_messages(headers) != Ok(None)
}

/// Whether the messages of the answer can be inspected: a server takes the coding that its client uses itself for one that
/// the client understands, whatever it says to accept. To be asked before a call goes out and takes effect.
pub(crate) fn is_answerable(appliance: &Appliance, permit: &Permit, headers: &HeaderMap) -> bool {
    codings::of_messages(headers).is_ok() || !is_needed(appliance, permit.on_credential())
}

/// Scrubs headers or trailers.
pub(crate) fn fields(scrubber: &Scrubber, headers: &mut HeaderMap, tally: &mut Tally) {
    for value in headers.values_mut() {
        if value.len() < stubgate_scrub::SHORTEST {
            continue;
        }
        if let Some(scrubbed) = scrubber.scrubbed(value.as_bytes(), tally) {
            let is_sensitive = value.is_sensitive();
            *value = HeaderValue::from_bytes(&scrubbed).unwrap_or_else(|_| HeaderValue::from_static(""));
            value.set_sensitive(is_sensitive);
        }
    }
    let names = headers.keys().filter(|name| name.as_str().len() >= stubgate_scrub::SHORTEST);
    // Names are lower case whatever was sent.
    let found: Vec<_> = names
        .filter_map(|name| Some((name.clone(), scrubber.scrubbed_in_any_case(name.as_str().as_bytes(), tally)?)))
        .collect();
    for (name, scrubbed) in found {
        let values: Vec<HeaderValue> = headers.get_all(&name).iter().cloned().collect();
        headers.remove(&name);
        let Ok(name) = HeaderName::from_bytes(&scrubbed) else { continue };
        for value in values {
            headers.append(name.clone(), value);
        }
    }
}

#[cfg(test)]
mod tests;
