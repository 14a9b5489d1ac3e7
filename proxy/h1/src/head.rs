//! Heads: bytes to parts and parts to bytes.
//!
//! Refused rather than repaired: bare CR or LF, folded lines, space before a colon, anything but one space
//! between the parts of a request line, control bytes, non-ASCII or illegal bytes in a target, a fragment,
//! versions other than 1.0 and 1.1. Bytes 0x80 to 0xFF in a header value are kept as they are (RFC 9110
//! section 5.5 calls them opaque).

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use thiserror::Error;

use crate::framing::Framing;

/// Bounds on one head.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole head, its line ends included.
    pub head_bytes: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
    /// Header lines.
    pub headers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { head_bytes: 64 * 1024, target_bytes: 16 * 1024, headers: 100 }
    }
}

/// The two versions that this crate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, closes unless asked not to.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A request line and its headers.
#[derive(Debug)]
pub struct RequestHead {
    /// Any token of at most 32 bytes, in the case it was sent in.
    pub method: Method,
    /// As sent: visible ASCII, no fragment.
    pub target: Bytes,
    /// Of the message.
    pub version: Version,
    /// In order within one name; repeated names are kept.
    pub headers: HeaderMap,
}

/// A status line and its headers; the reason phrase is dropped (RFC 9112 section 4).
#[derive(Debug)]
pub struct ResponseHead {
    /// Status code.
    pub status: StatusCode,
    /// Of the message.
    pub version: Version,
    /// In order within one name; repeated names are kept.
    pub headers: HeaderMap,
}

/// Why a head was refused. The peer is at fault in every case.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HeadError {
    /// CR without LF, or LF without CR.
    #[error("a line does not end in CRLF")]
    BareLineEnd,
    /// Not `method SP target SP HTTP/1.x`.
    #[error("malformed request or status line")]
    StartLine,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("unsupported HTTP version")]
    Version,
    /// A byte that no URI holds, or a fragment.
    #[error("illegal byte in the request target")]
    Target,
    /// Not a token, or white space before the colon.
    #[error("malformed header name")]
    HeaderName,
    /// A control byte.
    #[error("illegal byte in a header value")]
    HeaderValue,
    /// A line that begins with white space (obs-fold).
    #[error("folded header line")]
    Folded,
    /// Over [`Limits::target_bytes`].
    #[error("request target too long")]
    TargetTooLong,
    /// Over [`Limits::head_bytes`] or [`Limits::headers`].
    #[error("request head too large")]
    TooLarge,
}

impl HeadError {
    /// The status to answer with (RFC 9110 section 15.5, RFC 6585 section 5).
    pub fn status(self) -> StatusCode {
        match self {
            HeadError::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            HeadError::TargetTooLong => StatusCode::URI_TOO_LONG,
            HeadError::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            HeadError::BareLineEnd
            | HeadError::StartLine
            | HeadError::Target
            | HeadError::HeaderName
            | HeadError::HeaderValue
            | HeadError::Folded => StatusCode::BAD_REQUEST,
        }
    }
}

/// Finds the end of a head as bytes arrive, without looking at a byte twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndFinder {
    seen: usize,
    line: usize,
}

impl EndFinder {
    /// The length of the head in `buf`, its empty line included, once it is there. `buf` must begin with the same
    /// bytes at every call.
    pub fn find(&mut self, buf: &[u8]) -> Result<Option<usize>, HeadError> {
        while let Some(at) = memchr::memchr(b'\n', buf.get(self.seen..).unwrap_or_default()) {
            let lf = self.seen + at;
            let line = buf.get(self.line..lf).unwrap_or_default();
            if line.last() != Some(&b'\r') {
                return Err(HeadError::BareLineEnd);
            }
            self.seen = lf + 1;
            let first = self.line == 0;
            self.line = self.seen;
            if line.len() == 1 {
                return if first { Err(HeadError::StartLine) } else { Ok(Some(self.seen)) };
            }
        }
        self.seen = buf.len();
        Ok(None)
    }
}

impl RequestHead {
    /// Reads a whole head (as [`EndFinder`] delimits it).
    pub fn parse(head: &Bytes, limits: &Limits) -> Result<RequestHead, HeadError> {
        let mut lines = Lines { rest: head };
        let line = lines.next_line()?;
        let (method, rest) = split_once(line, b' ').ok_or(HeadError::StartLine)?;
        let (target, version) = split_once(rest, b' ').ok_or(HeadError::StartLine)?;
        if method.is_empty() || method.len() > 32 || target.is_empty() || !version.starts_with(b"HTTP/") {
            return Err(HeadError::StartLine);
        }
        if target.len() > limits.target_bytes {
            return Err(HeadError::TargetTooLong);
        }
        let method = Method::from_bytes(method).map_err(|_| HeadError::StartLine)?;
        let version = parse_version(version)?;
        check_target(target)?;
        let target = head.slice_ref(target);
        let headers = parse_headers(head, lines, limits)?;
        Ok(RequestHead { method, target, version, headers })
    }
}

impl ResponseHead {
    /// Reads a whole head (as [`EndFinder`] delimits it).
    pub fn parse(head: &Bytes, limits: &Limits) -> Result<ResponseHead, HeadError> {
        let mut lines = Lines { rest: head };
        let line = lines.next_line()?;
        let (version, rest) = split_once(line, b' ').ok_or(HeadError::StartLine)?;
        let version = parse_version(version)?;
        let (code, reason) = rest.split_at_checked(3).ok_or(HeadError::StartLine)?;
        if !(reason.is_empty() || reason.starts_with(b" ")) || reason.iter().any(|&b| !is_field_byte(b)) {
            return Err(HeadError::StartLine);
        }
        let status = StatusCode::from_bytes(code).map_err(|_| HeadError::StartLine)?;
        if status.as_u16() > 599 {
            return Err(HeadError::StartLine);
        }
        let headers = parse_headers(head, lines, limits)?;
        Ok(ResponseHead { status, version, headers })
    }
}

/// Reads header lines alone, as in the trailer section of a chunked body; `block` ends with an empty line.
pub fn parse_trailers(block: &Bytes, limits: &Limits) -> Result<HeaderMap, HeadError> {
    parse_headers(block, Lines { rest: block }, limits)
}

/// Writes a request head. `headers` holds neither Host nor framing: both are given apart, so that they are
/// written once and agree.
pub fn write_request(
    out: &mut BytesMut,
    method: &Method,
    target: &str,
    host: &str,
    headers: &HeaderMap,
    framing: Framing,
) {
    out.reserve(64 + target.len() + host.len() + headers.len() * 48);
    out.put_slice(method.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(target.as_bytes());
    out.put_slice(b" HTTP/1.1\r\nhost: ");
    out.put_slice(host.as_bytes());
    out.put_slice(b"\r\n");
    write_headers(out, headers);
    match framing {
        Framing::Length(0) | Framing::Close if !expects_body(method) => {}
        _ => write_framing(out, framing),
    }
    out.put_slice(b"\r\n");
}

/// Writes a response head. `headers` holds no framing and no Connection.
pub fn write_response(
    out: &mut BytesMut,
    status: StatusCode,
    headers: &HeaderMap,
    framing: Option<Framing>,
    close: bool,
) {
    out.reserve(64 + headers.len() * 48);
    out.put_slice(b"HTTP/1.1 ");
    out.put_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.put_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.put_slice(b"\r\n");
    write_headers(out, headers);
    if let Some(framing) = framing {
        write_framing(out, framing);
    }
    if close {
        out.put_slice(b"connection: close\r\n");
    }
    out.put_slice(b"\r\n");
}

fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

fn write_headers(out: &mut BytesMut, headers: &HeaderMap) {
    for (name, value) in headers {
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
}

fn write_framing(out: &mut BytesMut, framing: Framing) {
    match framing {
        Framing::Length(n) => {
            out.put_slice(b"content-length: ");
            out.put_slice(itoa::Buffer::new().format(n).as_bytes());
            out.put_slice(b"\r\n");
        }
        Framing::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Close => {}
    }
}

struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// The next line without its CRLF; a CR elsewhere is an error.
    fn next_line(&mut self) -> Result<&'a [u8], HeadError> {
        let lf = memchr::memchr(b'\n', self.rest).ok_or(HeadError::BareLineEnd)?;
        let (line, rest) = self.rest.split_at_checked(lf + 1).ok_or(HeadError::BareLineEnd)?;
        self.rest = rest;
        let line = line.strip_suffix(b"\r\n").ok_or(HeadError::BareLineEnd)?;
        if memchr::memchr(b'\r', line).is_some() {
            return Err(HeadError::BareLineEnd);
        }
        Ok(line)
    }
}

fn parse_headers(head: &Bytes, mut lines: Lines<'_>, limits: &Limits) -> Result<HeaderMap, HeadError> {
    let mut headers = HeaderMap::with_capacity(12);
    let mut count = 0;
    loop {
        let line = lines.next_line()?;
        if line.is_empty() {
            return if lines.rest.is_empty() { Ok(headers) } else { Err(HeadError::HeaderName) };
        }
        count += 1;
        if count > limits.headers {
            return Err(HeadError::TooLarge);
        }
        if line.first().is_some_and(|&b| b == b' ' || b == b'\t') {
            return Err(HeadError::Folded);
        }
        let (name, value) = split_once(line, b':').ok_or(HeadError::HeaderName)?;
        let value = trim_ows(value);
        if value.iter().any(|&b| !is_field_byte(b)) {
            return Err(HeadError::HeaderValue);
        }
        let name = HeaderName::from_bytes(name).map_err(|_| HeadError::HeaderName)?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(value)).map_err(|_| HeadError::HeaderValue)?;
        headers.try_append(name, value).map_err(|_| HeadError::TooLarge)?;
    }
}

fn parse_version(text: &[u8]) -> Result<Version, HeadError> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        _ => Err(HeadError::Version),
    }
}

/// Bytes that clients really send unencoded (the WHATWG URL rules let `|`, `[`, `]` and in queries more pass), less
/// the ones that RFC 3986 forbids and parsers disagree about.
fn check_target(target: &[u8]) -> Result<(), HeadError> {
    let mut in_query = false;
    for &b in target {
        let fine = match b {
            b'#' | b'"' | b'<' | b'>' => false,
            b'\\' | b'^' | b'`' | b'{' | b'}' => in_query,
            b'?' => {
                in_query = true;
                true
            }
            _ => (0x21..=0x7e).contains(&b),
        };
        if !fine {
            return Err(HeadError::Target);
        }
    }
    Ok(())
}

fn is_field_byte(b: u8) -> bool {
    b == b'\t' || (b >= 0x20 && b != 0x7f)
}

fn split_once(text: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let i = memchr::memchr(at, text)?;
    Some((text.get(..i)?, text.get(i + 1..)?))
}

fn trim_ows(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests;
