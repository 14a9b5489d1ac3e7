//! The one-line form of a question: what people write to `policy explain` and in policy tests.
//!
//! ```text
//! POST https://host[:port]/path     GET http://host/path     WEBSOCKET wss://host/path
//! DNS name TYPE                     CONNECT host:port
//! ```
//!
//! Every part goes through the parser that the wire goes through (law 2), so that a question that can be written is one
//! that an agent can ask. What no agent can get past the listeners (TRACE, a fragment, user information) is refused
//! here with a reason. Nothing is decided.

use std::fmt;

use thiserror::Error;

use crate::compile::record_types;
use crate::decide::QueryKind;
use crate::model::method::is_token;
use crate::model::{Authority, AuthorityError, Method, MethodError, Name, NameError, PathError, Scheme, Target};

/// What an agent might ask. `Display` writes the one line again, in its canonical spelling and without the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A request: `METHOD https://host[:port]/path`.
    Request(Request),
    /// A lookup: `DNS name TYPE`.
    Name {
        /// The name asked for.
        name: Name,
        /// The type of record.
        kind: QueryKind,
    },
    /// A connection: `CONNECT host:port`.
    Connect {
        /// Whom it is for.
        authority: Authority,
    },
}

/// The head of a request, without its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    authority: Authority,
    method: Method,
    target: Target,
    path: Box<str>,
    query: Option<Box<str>>,
}

/// Why a line is no question.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuestionError {
    /// Not one of the forms at all.
    #[error(
        "write `GET https://host/path`, `WEBSOCKET wss://host/path`, `DNS name TYPE` or `CONNECT host:port`, as one argument in quotes"
    )]
    Form,
    /// No method.
    #[error("{0}")]
    Method(#[from] MethodError),
    /// TRACE: it echoes credentials.
    #[error("TRACE is refused for every host, whatever policy says")]
    Trace,
    /// A request without `https://` or `http://`.
    #[error("a request is for `https://host/path` or `http://host/path`")]
    Scheme,
    /// `wss://` is the scheme of a WebSocket, and of nothing else.
    #[error("a WebSocket is `WEBSOCKET wss://host/path`, or `ws://` without TLS")]
    WebSocket,
    /// CONNECT has a host and a port.
    #[error(
        "CONNECT is for `host:port`, without scheme or path; for what goes through it write `GET https://host/path`"
    )]
    Connect,
    /// No host or port.
    #[error("{0}")]
    Authority(#[from] AuthorityError),
    /// No path.
    #[error("{0}")]
    Path(#[from] PathError),
    /// DNS has a name and a type.
    #[error("a lookup is `DNS name TYPE`, with a type such as A, AAAA, SRV, TXT or TYPE65")]
    Lookup,
    /// A type about transactions and transfers, not about data (RFC 6895 §3.1).
    #[error("types 0, OPT, and 128 to 254 are refused for every name, whatever policy says")]
    Transfer,
    /// No name.
    #[error("{0}")]
    Name(#[from] NameError),
}

impl Question {
    /// Reads one line.
    ///
    /// # Errors
    /// See [`QuestionError`]; each says what to write.
    pub fn parse(line: &str) -> Result<Question, QuestionError> {
        let (word, rest) = line.trim().split_once([' ', '\t']).ok_or(QuestionError::Form)?;
        let rest = rest.trim_start();
        match word {
            "DNS" => lookup(rest),
            "CONNECT" => connect(rest),
            "TRACE" => Err(QuestionError::Trace),
            "WEBSOCKET" => {
                let (scheme, rest) = match rest.split_once("://") {
                    Some(("wss", rest)) => (Scheme::Https, rest),
                    Some(("ws", rest)) => (Scheme::Http, rest),
                    _ => return Err(QuestionError::WebSocket),
                };
                Request::parse(Method::websocket(), scheme, rest).map(Question::Request)
            }
            word => {
                let (scheme, rest) = match rest.split_once("://") {
                    Some(("https", rest)) => (Scheme::Https, rest),
                    Some(("http", rest)) => (Scheme::Http, rest),
                    Some(("wss" | "ws", _)) => return Err(QuestionError::WebSocket),
                    _ => return Err(QuestionError::Scheme),
                };
                Request::parse(Method::parse(word.as_bytes())?, scheme, rest).map(Question::Request)
            }
        }
    }

    /// The request, if it is one.
    pub fn request(&self) -> Option<&Request> {
        match self {
            Question::Request(request) => Some(request),
            Question::Name { .. } | Question::Connect { .. } => None,
        }
    }
}

impl Request {
    fn parse(method: Method, scheme: Scheme, rest: &str) -> Result<Request, QuestionError> {
        if rest.contains('#') {
            return Err(PathError::Fragment.into());
        }
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        if let Some(query) = query {
            sendable(query)?;
        }
        Ok(Request {
            authority: Authority::parse(scheme, host.as_bytes())?,
            method,
            target: Target::parse(path.as_bytes())?,
            path: path.into(),
            query: query.map(Box::from),
        })
    }

    /// Whom it is for.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Its method; [`Method::websocket`] for an upgrade.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// What policy compares.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The path as it was written.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stood behind `?`. No rule matches it, but it has credential places.
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

/// Why a line is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// No colon, no name, or a name or value with bytes that headers don't hold (RFC 9110 §5).
    #[error("a header is `Name: value`, in visible ASCII")]
    Form,
    /// Host and the headers that frame a message.
    #[error("this header comes from the request itself: leave it out")]
    Framing,
}

/// Splits `Name: value`, for headers beside a question.
///
/// # Errors
/// See [`HeaderError`].
pub fn header(line: &str) -> Result<(&str, &str), HeaderError> {
    let (name, value) = line.split_once(':').ok_or(HeaderError::Form)?;
    let value = value.trim_matches([' ', '\t']);
    let visible = value.bytes().all(|byte| matches!(byte, b'\t' | 0x20..=0x7e));
    if name.is_empty() || !name.bytes().all(is_token) || !visible {
        return Err(HeaderError::Form);
    }
    let framing = ["host", "content-length", "transfer-encoding", "upgrade", "expect"];
    if framing.iter().any(|framing| name.eq_ignore_ascii_case(framing)) {
        return Err(HeaderError::Framing);
    }
    Ok((name, value))
}

/// What a query can't hold on a wire.
fn sendable(query: &str) -> Result<(), PathError> {
    query.bytes().try_for_each(|byte| match byte {
        b' ' => Err(PathError::Space),
        0..0x20 | 0x7f => Err(PathError::ControlByte),
        0x80.. => Err(PathError::NotAscii),
        _ => Ok(()),
    })
}

fn lookup(rest: &str) -> Result<Question, QuestionError> {
    let (name, kind) = rest.split_once([' ', '\t']).ok_or(QuestionError::Lookup)?;
    let number = record_types::number(kind.trim_start()).ok_or(QuestionError::Lookup)?;
    if matches!(number, 0 | 41 | 128..=254) {
        return Err(QuestionError::Transfer);
    }
    Ok(Question::Name { name: Name::parse(name.as_bytes())?, kind: number.into() })
}

fn connect(target: &str) -> Result<Question, QuestionError> {
    let port = target.rsplit_once(':').map(|(_, port)| port);
    let has_port = port.is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    if target.contains('/') || !has_port {
        return Err(QuestionError::Connect);
    }
    Ok(Question::Connect { authority: Authority::parse(Scheme::Https, target.as_bytes())? })
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Request(request) => request.fmt(f),
            Question::Name { name, kind } => write!(f, "DNS {name} {}", record_types::text((*kind).into())),
            Question::Connect { authority } => {
                let text = authority.to_string();
                write!(f, "CONNECT {}", text.strip_prefix("https://").unwrap_or(&text))
            }
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match (self.method == Method::websocket(), self.authority.scheme()) {
            (true, Scheme::Https) => "wss",
            (true, Scheme::Http) => "ws",
            (false, scheme) => scheme.as_str(),
        };
        write!(f, "{} {scheme}://{}{}", self.method, self.authority.host_header(), self.target.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_read_and_written_in_one_spelling() {
        for (line, canonical) in [
            ("POST https://github.com/acme/x", "POST https://github.com/acme/x"),
            ("GET https://GitHub.com:443", "GET https://github.com/"),
            ("GET http://a.example:8080/%7Ex?token=1", "GET http://a.example:8080/~x"),
            ("  HEAD   https://[2001:db8::1]:8443/  ", "HEAD https://[2001:db8::1]:8443/"),
            ("GET https://a.example/a/../b", "GET https://a.example/a/../b"),
            ("GET https://a.example?x=/y", "GET https://a.example/"),
            ("PURGE https://10.0.0.5/", "PURGE https://10.0.0.5/"),
            ("WEBSOCKET wss://a.example/chat", "WEBSOCKET wss://a.example/chat"),
            ("WEBSOCKET ws://a.example", "WEBSOCKET ws://a.example/"),
            ("DNS Evil.Example.org. A", "DNS evil.example.org A"),
            ("DNS _nats._tcp.x.example SRV", "DNS _nats._tcp.x.example SRV"),
            ("DNS a.example TYPE65", "DNS a.example HTTPS"),
            ("DNS a.example TYPE4711", "DNS a.example TYPE4711"),
            ("CONNECT Host.example:22", "CONNECT host.example:22"),
            ("CONNECT [2001:db8::1]:443", "CONNECT [2001:db8::1]:443"),
        ] {
            let question = Question::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(question.to_string(), canonical, "{line}");
            assert_eq!(Question::parse(canonical).unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn the_query_is_kept_aside() {
        let question = Question::parse("GET https://a.example/x?a=b?c").unwrap();
        assert_eq!(question.request().unwrap().query(), Some("a=b?c"));
        assert_eq!(question.request().unwrap().target().as_str(), "/x");
    }

    #[test]
    fn what_no_agent_can_ask_is_refused_with_what_to_write() {
        use QuestionError as E;
        for (line, error) in [
            ("", E::Form),
            ("https://a.example/", E::Form),
            ("GET a.example/", E::Scheme),
            ("GET ftp://a.example/", E::Scheme),
            ("GET wss://a.example/", E::WebSocket),
            ("WEBSOCKET https://a.example/", E::WebSocket),
            ("TRACE https://a.example/", E::Trace),
            ("G(T https://a.example/", E::Method(MethodError::NotToken)),
            ("GET https:///x", E::Authority(AuthorityError::Host(NameError::Empty))),
            ("GET https://u:p@a.example/", E::Authority(AuthorityError::Userinfo)),
            ("GET https://a.example:0/", E::Authority(AuthorityError::Port)),
            ("GET https://0x7f.1/", E::Authority(AuthorityError::Host(NameError::Numeric))),
            ("GET https://a.example/x#y", E::Path(PathError::Fragment)),
            ("GET https://a.example/x y", E::Path(PathError::Space)),
            ("GET https://a.example/x?y z", E::Path(PathError::Space)),
            ("GET https://a.example/é", E::Path(PathError::NotAscii)),
            ("CONNECT a.example", E::Connect),
            ("CONNECT a.example:", E::Connect),
            ("CONNECT https://a.example:443/", E::Connect),
            ("CONNECT a.example:70000", E::Authority(AuthorityError::Port)),
            ("DNS a.example", E::Lookup),
            ("DNS a.example B", E::Lookup),
            ("DNS a.example AXFR", E::Transfer),
            ("DNS a..example A", E::Name(NameError::EmptyLabel)),
        ] {
            assert_eq!(Question::parse(line), Err(error.clone()), "{line}");
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        assert_eq!(header("X-Key:  a b\t"), Ok(("X-Key", "a b")));
        assert_eq!(header("x-empty:"), Ok(("x-empty", "")));
        for line in ["", "x", ": y", "x y: z", "x\r\ny: z", "x: y\r\nz: 1", "x: \u{e9}"] {
            assert_eq!(header(line), Err(HeaderError::Form), "{line:?}");
        }
        assert_eq!(header("HOST: a.example"), Err(HeaderError::Framing));
    }

    proptest! {
        #[test]
        fn any_line_is_refused_or_read_back_from_what_it_displays(line in "(GET|DNS|CONNECT|WEBSOCKET|[A-Z]{1,6}) (https?://|wss?://)?[a-z0-9.:/%?@\\[\\]-]{0,30}( [A-Z0-9]{1,8})?") {
            if let Ok(question) = Question::parse(&line) {
                let text = question.to_string();
                prop_assert_eq!(Question::parse(&text).map(|again| again.to_string()), Ok(text));
            }
        }
    }
}
