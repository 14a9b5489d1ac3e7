//! One record: typed fields in, one line of JSON out.
//!
//! Every string that an agent can choose goes through [`Wire`]: ASCII only, control bytes and all else escaped,
//! bounded. So a record is always one line and valid JSON, whatever was sent.

use std::fmt;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use stubgate_credentials::Version;
use stubgate_credentials::minted::StubId;
use stubgate_policy::{Authority, Reason};

use super::timestamp::write_time;

/// Longest text from the wire that a record shows; what is cut is marked.
const WIRE_BYTES: usize = 1024;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Allowed; written before the first byte goes out.
    Begin,
    /// How that ended.
    End,
    /// Refused.
    Refused,
    /// Answered by the appliance itself.
    Answered,
    /// Allowed, and over in one step (DNS, CONNECT, TLS).
    Allowed,
    /// Refusals of one agent that were counted instead of written.
    Suppressed,
    /// Records that were lost before this one.
    Gap,
    /// A reload of policy or credentials.
    Reload,
    /// An origin answered 401 to a credential.
    Rejected,
    /// A credential ends soon, and its source gives nothing that ends later.
    Expiring,
    /// What a policy that was taken allows more and less than the one before it.
    PolicyChanged,
    /// A file of that policy that is not what it was.
    PolicyFile,
    /// An agent set off one tripwire too many: all is denied to it from now on.
    Quarantined,
    /// A CA comes, signs, or leaves.
    Ca,
    /// The appliance started or stopped.
    Lifecycle,
}

/// Where a decision was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// A DNS question.
    Dns,
    /// A connection, before anything was read.
    Accept,
    /// A ClientHello.
    Tls,
    /// A CONNECT request.
    Connect,
    /// A request, and the tunnel that it may become.
    Http,
    /// The policy.
    Policy,
    /// A credential's value.
    Credential,
    /// The CA that agents trust.
    Ca,
    /// The audit log itself.
    Audit,
}

/// A record. Fields that do not apply stay `None` and are left out.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// What happened.
    pub event: Event,
    /// Where.
    pub layer: Layer,
    /// Joins `begin` and `end`, and is told to the agent with a refusal.
    pub id: Option<&'a str>,
    /// Who.
    pub agent: Option<&'a str>,
    /// From where.
    pub peer: Option<SocketAddr>,
    /// Whom a redirected connection was addressed to.
    pub original: Option<SocketAddr>,
    /// `udp` or `tcp`, `h1` or `h2`.
    pub protocol: Option<&'static str>,
    /// For whom, once it was parsed.
    pub authority: Option<&'a Authority>,
    /// DNS name as asked, or a name that could not be taken.
    pub name: Option<Wire<'a>>,
    /// DNS type.
    pub qtype: Option<u16>,
    /// HTTP method.
    pub method: Option<Wire<'a>>,
    /// Path without query.
    pub path: Option<Wire<'a>>,
    /// `allow`, `deny`, `observe` or `answer`.
    pub decision: Option<&'static str>,
    /// The rule that decided.
    pub rule: Option<&'a str>,
    /// Why it was refused.
    pub reason: Option<Reason>,
    /// The credential swapped in, or the one that a reload is about, by name.
    pub credential: Option<&'a str>,
    /// Which value of it, as a keyed hash.
    pub credential_version: Option<Version>,
    /// The credential, by name, whose stub a refused request presented.
    pub stub_of: Option<&'a str>,
    /// The agent, by name, that the stub was minted for.
    pub stub_agent: Option<&'a str>,
    /// Which minted stub it was, as `stubgate stub revoke` takes it.
    pub stub_id: Option<StubId>,
    /// A stub was where it has no business.
    pub tripwire: bool,
    /// Stubs seen in the body.
    pub stubs_in_body: u64,
    /// Credentials replaced by their stubs in the response.
    pub scrubbed: u64,
    /// Known kinds of credentials in the response that are none of ours.
    pub credentials_shown: u64,
    /// Status towards the agent.
    pub status: Option<u16>,
    /// Address that was dialled.
    pub upstream: Option<SocketAddr>,
    /// Body bytes from the agent.
    pub bytes_in: Option<u64>,
    /// Body bytes to the agent.
    pub bytes_out: Option<u64>,
    /// From the head's arrival to the response head.
    pub first_byte_us: Option<Duration>,
    /// From the head's arrival to the end.
    pub total_us: Option<Duration>,
    /// How it ended: `complete`, `aborted`, `cut`.
    pub outcome: Option<&'static str>,
    /// How many, for counted records.
    pub count: Option<u64>,
    /// Which policy is in force after a reload, counted from the first.
    pub generation: Option<u64>,
    /// Fingerprint of the policy that decided.
    pub policy: Option<&'a str>,
    /// Changes of the policy that widen.
    pub widens: Option<u64>,
    /// Changes of the policy that narrow.
    pub narrows: Option<u64>,
    /// Some of the changes, in words.
    pub changes: &'a [String],
    /// A policy file.
    pub file: Option<PolicyFile<'a>>,
    /// Text of our own, never from the wire.
    pub note: Option<&'a str>,
}

/// A policy file that changed: its name, its content, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct PolicyFile<'a> {
    /// Path as configured.
    pub name: &'a str,
    /// Of its content, hexadecimal; `None` where it is gone.
    pub sha256: Option<&'a str>,
    /// When it was written, as the file system says.
    pub modified: Option<SystemTime>,
    /// User id of its owner.
    pub owner: Option<u32>,
}

impl Line<'_> {
    /// An empty record.
    pub fn new(event: Event, layer: Layer) -> Self {
        Line {
            event,
            layer,
            id: None,
            agent: None,
            peer: None,
            original: None,
            protocol: None,
            authority: None,
            name: None,
            qtype: None,
            method: None,
            path: None,
            decision: None,
            rule: None,
            reason: None,
            credential: None,
            credential_version: None,
            stub_of: None,
            stub_agent: None,
            stub_id: None,
            tripwire: false,
            stubs_in_body: 0,
            scrubbed: 0,
            credentials_shown: 0,
            status: None,
            upstream: None,
            bytes_in: None,
            bytes_out: None,
            first_byte_us: None,
            total_us: None,
            outcome: None,
            count: None,
            generation: None,
            policy: None,
            widens: None,
            narrows: None,
            changes: &[],
            file: None,
            note: None,
        }
    }

    /// Appends the record, with its time and number, and a line end.
    pub(super) fn write_to(&self, out: &mut Vec<u8>, sequence: u64) {
        out.extend_from_slice(b"{\"time\":\"");
        write_time(out, SystemTime::now());
        out.push(b'"');
        let mut object = Object { out };
        object.number("seq", sequence);
        object.word("event", self.event.as_str());
        object.word("layer", self.layer.as_str());
        object.text("id", self.id);
        object.text("agent", self.agent);
        object.display("peer", self.peer);
        object.display("original_destination", self.original);
        object.word_if("protocol", self.protocol);
        object.display("authority", self.authority);
        object.wire("name", self.name);
        object.number_if("qtype", self.qtype.map(u64::from));
        object.wire("method", self.method);
        object.wire("path", self.path);
        object.word_if("decision", self.decision);
        object.text("rule", self.rule);
        object.word_if("reason", self.reason.map(Reason::as_str));
        object.text("credential", self.credential);
        object.display("credential_version", self.credential_version);
        object.text("stub_of", self.stub_of);
        object.text("stub_agent", self.stub_agent);
        object.display("stub_id", self.stub_id);
        if self.tripwire {
            object.key("tripwire");
            object.out.extend_from_slice(b"true");
        }
        object.number_if("stubs_in_body", Some(self.stubs_in_body).filter(|&n| n > 0));
        object.number_if("scrubbed", Some(self.scrubbed).filter(|&n| n > 0));
        object.number_if("credentials_shown", Some(self.credentials_shown).filter(|&n| n > 0));
        object.number_if("status", self.status.map(u64::from));
        object.display("upstream", self.upstream);
        object.number_if("bytes_in", self.bytes_in);
        object.number_if("bytes_out", self.bytes_out);
        object.number_if("first_byte_us", self.first_byte_us.map(micros));
        object.number_if("total_us", self.total_us.map(micros));
        object.word_if("outcome", self.outcome);
        object.number_if("count", self.count);
        object.number_if("generation", self.generation);
        object.text("policy", self.policy);
        object.number_if("widens", self.widens);
        object.number_if("narrows", self.narrows);
        if !self.changes.is_empty() {
            object.texts("changes", self.changes);
        }
        if let Some(file) = &self.file {
            object.text("file", Some(file.name));
            object.text("sha256", file.sha256);
            object.time("modified", file.modified);
            object.number_if("owner", file.owner.map(u64::from));
        }
        object.text("note", self.note);
        out.extend_from_slice(b"}\n");
    }
}

impl Event {
    /// Every event, for the documents.
    #[cfg(test)]
    pub(super) const ALL: [Event; 15] = [
        Event::Begin,
        Event::End,
        Event::Refused,
        Event::Answered,
        Event::Allowed,
        Event::Suppressed,
        Event::Gap,
        Event::Reload,
        Event::Rejected,
        Event::Expiring,
        Event::PolicyChanged,
        Event::PolicyFile,
        Event::Quarantined,
        Event::Ca,
        Event::Lifecycle,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Event::Begin => "begin",
            Event::End => "end",
            Event::Refused => "refused",
            Event::Answered => "answered",
            Event::Allowed => "allowed",
            Event::Suppressed => "suppressed",
            Event::Gap => "gap",
            Event::Reload => "reload",
            Event::Rejected => "rejected",
            Event::Expiring => "expiring",
            Event::PolicyChanged => "policy_changed",
            Event::PolicyFile => "policy_file",
            Event::Quarantined => "quarantined",
            Event::Ca => "ca",
            Event::Lifecycle => "lifecycle",
        }
    }
}

impl Layer {
    /// Every layer, for the documents.
    #[cfg(test)]
    pub(super) const ALL: [Layer; 9] = [
        Layer::Dns,
        Layer::Accept,
        Layer::Tls,
        Layer::Connect,
        Layer::Http,
        Layer::Policy,
        Layer::Credential,
        Layer::Ca,
        Layer::Audit,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Layer::Dns => "dns",
            Layer::Accept => "accept",
            Layer::Tls => "tls",
            Layer::Connect => "connect",
            Layer::Http => "http",
            Layer::Policy => "policy",
            Layer::Credential => "credential",
            Layer::Ca => "ca",
            Layer::Audit => "audit",
        }
    }
}

/// A JSON object in the making. Strings that are not plain are escaped by serde_json.
struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl Object<'_> {
    fn key(&mut self, key: &'static str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    /// A word of our own: letters, digits and underscores.
    fn word(&mut self, key: &'static str, word: &'static str) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(word.as_bytes());
        self.out.push(b'"');
    }

    fn word_if(&mut self, key: &'static str, word: Option<&'static str>) {
        if let Some(word) = word {
            self.word(key, word);
        }
    }

    fn number(&mut self, key: &'static str, number: u64) {
        self.key(key);
        self.out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    fn number_if(&mut self, key: &'static str, number: Option<u64>) {
        if let Some(number) = number {
            self.number(key, number);
        }
    }

    /// Text of policy or of our own.
    fn text(&mut self, key: &'static str, text: Option<&str>) {
        let Some(text) = text else { return };
        self.key(key);
        if is_plain(text) {
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
        } else if serde_json::to_writer(&mut *self.out, text).is_err() {
            // Writing text to memory can't fail; keep the record valid all the same.
            self.out.extend_from_slice(b"null");
        }
    }

    fn texts(&mut self, key: &'static str, texts: &[String]) {
        self.key(key);
        if serde_json::to_writer(&mut *self.out, texts).is_err() {
            // Writing text to memory can't fail; keep the record valid all the same.
            self.out.extend_from_slice(b"null");
        }
    }

    fn time(&mut self, key: &'static str, time: Option<SystemTime>) {
        let Some(time) = time else { return };
        self.key(key);
        self.out.push(b'"');
        write_time(self.out, time);
        self.out.push(b'"');
    }

    /// What is shown in ASCII without quotes and backslashes: addresses and authorities.
    fn display(&mut self, key: &'static str, value: Option<impl fmt::Display>) {
        let Some(value) = value else { return };
        self.key(key);
        self.out.push(b'"');
        // Writing to memory can't fail.
        let _ = write!(self.out, "{value}");
        self.out.push(b'"');
    }

    fn wire(&mut self, key: &'static str, text: Option<Wire<'_>>) {
        match text {
            Some(Wire(plain)) if plain.len() <= WIRE_BYTES && is_plain(plain) => self.text(key, Some(plain)),
            Some(odd) => self.text(key, Some(&odd.to_string())),
            None => {}
        }
    }
}

/// Printable ASCII that neither JSON nor [`Wire`] escapes.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| (0x20..0x7f).contains(&b) && !matches!(b, b'\\' | b'"' | b'\''))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Text from the wire: shown in ASCII, escaped and bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wire<'a>(pub &'a str);

impl fmt::Display for Wire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.char_indices().map(|(at, _)| at).find(|&at| at >= WIRE_BYTES);
        let text = cut.and_then(|at| self.0.get(..at)).unwrap_or(self.0);
        write!(f, "{}", text.escape_default())?;
        if cut.is_some() { f.write_str("[cut]") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_the_wire_stays_one_line_and_valid() {
        let odd = "a\"b\\c\nd\r\0\u{1b}[31m\u{2028}\u{202e}é','decision':'allow";
        let line = Line { path: Some(Wire(odd)), ..Line::new(Event::Refused, Layer::Http) };
        let mut out = Vec::new();
        line.write_to(&mut out, 7);
        assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 1);
        assert!(out.is_ascii());
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["seq"], 7);
        assert_eq!(value["event"], "refused");
        assert!(value.get("decision").is_none());
        assert_eq!(value["path"], odd.escape_default().to_string());
    }

    #[test]
    fn long_text_from_the_wire_is_cut_and_marked() {
        let long = "é".repeat(5000);
        let line = Line { name: Some(Wire(&long)), ..Line::new(Event::Refused, Layer::Dns) };
        let mut out = Vec::new();
        line.write_to(&mut out, 0);
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert!(value["name"].as_str().unwrap().ends_with("[cut]"));
        assert!(out.len() < 8 * WIRE_BYTES);
    }
}
