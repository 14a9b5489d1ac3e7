//! Where a body ends (RFC 9112 section 6.3): exactly one answer, or an error.
//!
//! Refused on both sides: Content-Length beside Transfer-Encoding, more than one of either, a list, a sign, a leading
//! zero, any coding but `chunked`, chunked in HTTP/1.0.

use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Method, StatusCode};
use thiserror::Error;

use crate::head::Version;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes; 0 is no body.
    Length(u64),
    /// Chunked coding.
    Chunked,
    /// Until the connection closes; responses only.
    Close,
}

/// Why no single end could be told.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FramingError {
    /// Content-Length and Transfer-Encoding in one message.
    #[error("both Content-Length and Transfer-Encoding")]
    Both,
    /// Repeated, a list, or not a plain decimal number.
    #[error("malformed Content-Length")]
    Length,
    /// Repeated, or in HTTP/1.0.
    #[error("malformed Transfer-Encoding")]
    Coding,
    /// A coding other than chunked.
    #[error("unsupported transfer coding")]
    UnknownCoding,
}

impl FramingError {
    /// The status to answer a request with.
    pub fn status(self) -> StatusCode {
        match self {
            FramingError::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            FramingError::Both | FramingError::Length | FramingError::Coding => StatusCode::BAD_REQUEST,
        }
    }
}

/// Framing of a request: no header means no body.
pub fn of_request(version: Version, headers: &HeaderMap) -> Result<Framing, FramingError> {
    Ok(declared(version, headers)?.unwrap_or(Framing::Length(0)))
}

/// Framing of a final response to a request of `method`.
pub fn of_response(
    method: &Method,
    status: StatusCode,
    version: Version,
    headers: &HeaderMap,
) -> Result<Framing, FramingError> {
    let declared = declared(version, headers)?;
    let bodiless = *method == Method::HEAD || status.is_informational() || matches!(status.as_u16(), 204 | 304);
    Ok(if bodiless { Framing::Length(0) } else { declared.unwrap_or(Framing::Close) })
}

/// What the headers declare, whatever the message is.
pub fn declared(version: Version, headers: &HeaderMap) -> Result<Option<Framing>, FramingError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    match (codings.next(), lengths.next()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(FramingError::Both),
        (Some(coding), None) => {
            if codings.next().is_some() || version == Version::Http10 {
                Err(FramingError::Coding)
            } else if coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
                Ok(Some(Framing::Chunked))
            } else {
                Err(FramingError::UnknownCoding)
            }
        }
        (None, Some(length)) => {
            if lengths.next().is_some() {
                return Err(FramingError::Length);
            }
            parse_length(length.as_bytes()).map(|n| Some(Framing::Length(n)))
        }
    }
}

/// Digits only, no leading zero, at most 2^63 - 1.
pub fn parse_length(text: &[u8]) -> Result<u64, FramingError> {
    if text.is_empty() || text.len() > 19 || (text.len() > 1 && text.first() == Some(&b'0')) {
        return Err(FramingError::Length);
    }
    let mut n: u64 = 0;
    for &b in text {
        if !b.is_ascii_digit() {
            return Err(FramingError::Length);
        }
        n = n.checked_mul(10).and_then(|n| n.checked_add(u64::from(b - b'0'))).ok_or(FramingError::Length)?;
    }
    if n > i64::MAX.unsigned_abs() { Err(FramingError::Length) } else { Ok(n) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().fold(HeaderMap::new(), |mut map, (n, v)| {
            map.append(*n, v.parse().unwrap());
            map
        })
    }

    #[test]
    fn one_answer_or_an_error() {
        use FramingError as E;
        let te = "transfer-encoding";
        let cl = "content-length";
        for (lines, expected) in [
            (vec![], Ok(Framing::Length(0))),
            (vec![(cl, "0")], Ok(Framing::Length(0))),
            (vec![(cl, "42")], Ok(Framing::Length(42))),
            (vec![(te, "chunked")], Ok(Framing::Chunked)),
            (vec![(te, "Chunked")], Ok(Framing::Chunked)),
            (vec![(cl, "1"), (te, "chunked")], Err(E::Both)),
            (vec![(te, "chunked"), (cl, "1")], Err(E::Both)),
            (vec![(cl, "1"), (cl, "2")], Err(E::Length)),
            (vec![(cl, "1"), (cl, "1")], Err(E::Length)),
            (vec![(cl, "1, 1")], Err(E::Length)),
            (vec![(cl, "01")], Err(E::Length)),
            (vec![(cl, "+1")], Err(E::Length)),
            (vec![(cl, "-1")], Err(E::Length)),
            (vec![(cl, "0x1")], Err(E::Length)),
            (vec![(cl, "1_0")], Err(E::Length)),
            (vec![(cl, "")], Err(E::Length)),
            (vec![(cl, "18446744073709551617")], Err(E::Length)),
            (vec![(cl, "9223372036854775808")], Err(E::Length)),
            (vec![(te, "xchunked")], Err(E::UnknownCoding)),
            (vec![(te, "chunked, identity")], Err(E::UnknownCoding)),
            (vec![(te, "gzip, chunked")], Err(E::UnknownCoding)),
            (vec![(te, "chunked;x")], Err(E::UnknownCoding)),
            (vec![(te, "identity")], Err(E::UnknownCoding)),
            (vec![(te, "")], Err(E::UnknownCoding)),
            (vec![(te, "chunked"), (te, "identity")], Err(E::Coding)),
            (vec![(te, "chunked"), (te, "chunked")], Err(E::Coding)),
        ] {
            assert_eq!(of_request(Version::Http11, &headers(&lines)), expected, "{lines:?}");
        }
        assert_eq!(of_request(Version::Http10, &headers(&[(te, "chunked")])), Err(E::Coding));
    }

    #[test]
    fn some_responses_have_no_body_whatever_they_declare() {
        let ten = headers(&[("content-length", "10")]);
        for (method, status, expected) in [
            (Method::GET, 200, Framing::Length(10)),
            (Method::HEAD, 200, Framing::Length(0)),
            (Method::GET, 204, Framing::Length(0)),
            (Method::GET, 304, Framing::Length(0)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(of_response(&method, status, Version::Http11, &ten), Ok(expected));
        }
        let close = of_response(&Method::GET, StatusCode::OK, Version::Http11, &HeaderMap::new());
        assert_eq!(close, Ok(Framing::Close));
    }
}
