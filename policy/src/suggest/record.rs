//! One record, as far as it matters here, and what was asked in it.

use std::borrow::Cow;

use serde::Deserialize;

use super::because::Because;
use crate::decide::QueryKind;
use crate::model::{Authority, Method, Name, Reason, Scheme, Target};

/// A line of an audit file, as `docs/audit.md` names its fields; what is not there is empty, what else is there is not
/// looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Record<'a> {
    /// RFC 3339, UTC.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// `refused`, `suppressed`, …
    #[serde(borrow)]
    pub event: Cow<'a, str>,
    /// `dns`, `tls`, `connect`, `http`, …
    #[serde(borrow)]
    pub layer: Cow<'a, str>,
    /// Name of the agent.
    #[serde(borrow)]
    pub agent: Cow<'a, str>,
    /// `https://host:port`.
    #[serde(borrow)]
    pub authority: Cow<'a, str>,
    /// DNS name, or the name that a connection was for.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// DNS type.
    pub qtype: Option<u16>,
    /// HTTP method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Path without query.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// `allow`, `deny`, `observe` or `answer`.
    #[serde(borrow)]
    pub decision: Cow<'a, str>,
    /// Why it was refused.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// The credential whose stub was presented, by name.
    #[serde(borrow)]
    pub stub_of: Cow<'a, str>,
    /// How many, in `suppressed`.
    pub count: Option<u64>,
}

/// What was asked.
pub(super) enum Asked {
    Name { name: Name, kind: QueryKind },
    Connect { authority: Authority },
    Request { authority: Authority, method: Method, target: Target },
}

impl Record<'_> {
    pub(super) fn reason(&self) -> Option<Reason> {
        Reason::ALL.iter().copied().find(|reason| reason.as_str() == self.reason)
    }

    /// What was asked, parsed as the appliance parses it.
    pub(super) fn asked(&self) -> Result<Asked, Because> {
        match &*self.layer {
            "dns" => self.question(),
            "tls" | "connect" => Ok(Asked::Connect { authority: self.authority()? }),
            "http" | "tunnel" => {
                let (method, path) = (unescaped(&self.method), unescaped(&self.path));
                let target = Target::parse(path.as_bytes()).map_err(|_| Because::NO_REQUEST)?;
                Ok(Asked::Request { authority: self.authority()?, method: method_of(&method)?, target })
            }
            _ => Err(Because::NO_HOST),
        }
    }

    fn question(&self) -> Result<Asked, Because> {
        let name = Name::parse(self.name.as_bytes()).map_err(|_| Because::NO_HOST)?;
        if name.labels().next_back() == Some("arpa") {
            return Err(Because::REVERSE);
        }
        match self.qtype.map(QueryKind::from) {
            Some(kind @ (QueryKind::A | QueryKind::Aaaa)) => Ok(Asked::Name { name, kind }),
            Some(QueryKind::Other(_)) | None => Err(Because::RECORD_TYPE),
        }
    }

    fn authority(&self) -> Result<Authority, Because> {
        let parsed = match self.authority.split_once("://") {
            Some(("https", rest)) => Authority::parse(Scheme::Https, rest.as_bytes()),
            Some(("http", rest)) => Authority::parse(Scheme::Http, rest.as_bytes()),
            _ => return Err(Because::NO_HOST),
        };
        parsed.map_err(|_| Because::NO_HOST)
    }
}

/// A method that a rule can name: see `methods` in compile.
fn method_of(text: &str) -> Result<Method, Because> {
    if text == Method::websocket().as_str() {
        return Ok(Method::websocket());
    }
    let method = Method::parse(text.as_bytes()).map_err(|_| Because::NO_REQUEST)?;
    let is_slip = matches!(text, "ANY" | "ALL" | "*");
    if method.never_matches() || is_slip || text.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(Because::METHOD);
    }
    Ok(method)
}

/// Records escape what isn't plain; of that only quotes stand in paths and methods that can be allowed. All else keeps
/// its backslash, which no canonical path and no method has.
fn unescaped(text: &str) -> Cow<'_, str> {
    if text.contains('\\') { Cow::Owned(text.replace("\\'", "'").replace("\\\"", "\"")) } else { Cow::Borrowed(text) }
}
