//! A case as its file says it.

use serde::Deserialize;
use stubgate_policy::{SourceFile, source};

use super::bytes::Text;
use super::dns::Question;
use super::frames::Step;
use super::hello::Hello;
use super::ways::{By, Ways};

/// An attack, and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// What it is, in a sentence.
    pub(crate) attack: String,
    /// By which ways it is tried.
    ways: Ways,
    /// Who tries it; `devbot` where nothing is said.
    #[serde(default)]
    pub(crate) from: From,
    /// The host that `{host}` stands for, where it is not the one that the way has.
    pub(crate) host: Option<String>,
    /// What is asked of CONNECT or SOCKS, where it is not the host and its port.
    pub(crate) target: Option<String>,
    /// The server name of TLS, where it is not the host.
    pub(crate) sni: Option<String>,
    /// What `{each}` stands for, one after the other.
    #[serde(default)]
    pub(crate) each: Vec<Text>,
    /// What the origin answers, and whether it hangs up after that.
    pub(crate) origin: Option<Text>,
    #[serde(default)]
    pub(crate) origin_closes: bool,
    /// Bytes of HTTP/1.1, or of anything else where the way is a bare port.
    pub(crate) send: Option<Text>,
    /// Whether nothing more will come after them.
    #[serde(default)]
    pub(crate) half_close: bool,
    /// HTTP/2.
    pub(crate) frames: Option<Vec<Step>>,
    /// A ClientHello.
    pub(crate) hello: Option<Hello>,
    /// A DNS message.
    pub(crate) dns: Option<Question>,
    pub(crate) expect: Expect,
    /// Why it does not pass yet.
    pub(crate) known_gap: Option<String>,
}

/// Agents of the lab's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    #[default]
    Devbot,
    Otherbot,
    /// In quarantine.
    Lockedbot,
    /// No agent.
    Stranger,
}

/// What must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expect {
    /// The status of each answer, in their order; or of the one answer, any of these.
    pub(crate) status: Option<OneOrMany<u16>>,
    pub(crate) statuses: Option<Vec<u16>>,
    /// What SOCKS replies.
    pub(crate) socks: Option<OneOrMany<u8>>,
    /// The reason of each refusal that is recorded: exactly one, any of these.
    pub(crate) reason: Option<OneOrMany<String>>,
    /// The reasons of all refusals that are recorded, where there are several.
    pub(crate) reasons: Option<Vec<String>>,
    /// Whether the connection ends, after the answer or instead of one.
    pub(crate) closed: Option<bool>,
    /// HTTP/2: whether stream or connection are ended instead of answered.
    #[serde(default)]
    pub(crate) reset: bool,
    /// Whether the handshake goes on.
    #[serde(default)]
    pub(crate) server_hello: bool,
    /// What the origin gets, byte for byte.
    pub(crate) seen: Option<Text>,
    /// How many whole requests the origin gets; one where the only answer is a success, else none.
    pub(crate) requests: Option<usize>,
    /// Whether part of a request may have reached the origin before it turned out malformed.
    #[serde(default)]
    pub(crate) partial: bool,
    /// What the answer holds, and what not.
    pub(crate) answer: Option<Text>,
    pub(crate) answer_lacks: Option<Text>,
    /// Whether the answer comes whole.
    pub(crate) whole: Option<bool>,
    /// The code of a DNS answer; none where nothing is answered.
    pub(crate) rcode: Option<OneOrMany<String>>,
    /// How many records a DNS answer has.
    pub(crate) records: Option<u16>,
}

/// One value, or any of several.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: PartialEq> OneOrMany<T> {
    pub(crate) fn has<U: ?Sized>(&self, value: &U) -> bool
    where
        T: PartialEq<U>,
    {
        match self {
            OneOrMany::One(one) => one == value,
            OneOrMany::Many(many) => many.iter().any(|one| one == value),
        }
    }
}

impl Case {
    pub(crate) fn read(name: &str, text: String) -> Case {
        let file = SourceFile { name: name.to_owned(), text };
        let case: Case = source::read(0, &file).unwrap_or_else(|found| {
            panic!("{}", stubgate_policy::render(&found, std::slice::from_ref(&file), false));
        });
        let kinds = [case.send.is_some(), case.frames.is_some(), case.hello.is_some(), case.dns.is_some()];
        let count = kinds.iter().filter(|is_there| **is_there).count();
        assert!(count <= 1, "{name}: send, frames, hello or dns");
        assert!(count == 1 || case.target.is_some() || case.sni.is_some(), "{name}: nothing is tried");
        assert!(case.attack.len() > 3 && !case.attack.ends_with('.'), "{name}: `attack` is a sentence");
        let expect = &case.expect;
        let says = expect.status.is_some()
            || expect.statuses.is_some()
            || expect.socks.is_some()
            || expect.closed == Some(true)
            || expect.reset
            || expect.server_hello
            || case.dns.is_some();
        assert!(says, "{name}: nothing is expected");
        case
    }

    pub(crate) fn ways(&self) -> Vec<By> {
        self.ways.list(self)
    }
}
