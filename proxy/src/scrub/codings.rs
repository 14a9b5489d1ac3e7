//! Content codings: which are asked for, and which one a response has (RFC 9110 sections 8.4 and 12.5.3). Charsets
//! likewise: a text whose letters are not those of ASCII is not searched, and so neither asked for nor let through.

use http::header::{ACCEPT_CHARSET, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};

use super::decode::{Coding, Fold};

/// More codings than one, or one that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// Takes out of a request's `Accept-Encoding` what can't be inspected; `identity` is what remains where nothing else does,
/// and all that a request with a credential asks for. A request without the header keeps it so: origins answer that
/// without a coding, and are not made to do otherwise.
pub(super) fn ask(headers: &mut HeaderMap, swaps: bool) {
    // Nobody needs it (RFC 9110 section 12.5.2), and an origin that heeds it could be told one that is not searched.
    headers.remove(ACCEPT_CHARSET);
    let identity = HeaderValue::from_static("identity");
    if swaps {
        headers.insert(ACCEPT_ENCODING, identity);
        return;
    }
    if !headers.contains_key(ACCEPT_ENCODING) {
        return;
    }
    let kept = {
        let items =
            headers.get_all(ACCEPT_ENCODING).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        items.map(<[u8]>::trim_ascii).filter(|item| may_be_asked_for(item)).collect::<Vec<_>>().join(&b", "[..])
    };
    let asked = if kept.is_empty() { identity } else { HeaderValue::from_bytes(&kept).unwrap_or(identity) };
    headers.insert(ACCEPT_ENCODING, asked);
}

/// One item of the header, with its weight. `*` is anything, and a demand for some coding can't be honoured. Zstandard is
/// decoded where it comes, but its decoder gives out nothing until a window is full, which would hold events back. So is Brotli,
/// whose window is up to five hundred times that of gzip, for each response at once.
fn may_be_asked_for(item: &[u8]) -> bool {
    let (coding, weight) = match item.iter().position(|byte| *byte == b';') {
        Some(at) => (item.get(..at).unwrap_or_default().trim_ascii(), item.get(at + 1..).unwrap_or_default()),
        None => (item, &b""[..]),
    };
    let is = |name: &[u8]| coding.eq_ignore_ascii_case(name);
    let weight = weight.trim_ascii();
    let is_weight = weight.is_empty()
        || matches!(weight, [b'q' | b'Q', b'=', b'0' | b'1', rest @ ..]
            if rest.is_empty() || matches!(rest, [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit)));
    let is_zero = weight
        .split(|byte| *byte == b'=')
        .next_back()
        .is_some_and(|number| !number.is_empty() && number.iter().all(|byte| matches!(byte, b'0' | b'.')));
    is_weight && (is(b"gzip") || is(b"x-gzip") || is(b"deflate") || is(b"identity") && !is_zero)
}

/// The coding of a response; `None` where it has none.
pub(super) fn of_response(headers: &HeaderMap) -> Result<Option<Coding>, Unknown> {
    let mut coding = None;
    for item in headers.get_all(CONTENT_ENCODING).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
    {
        let item = item.trim_ascii();
        let is = |name: &[u8]| item.eq_ignore_ascii_case(name);
        let this = if is(b"gzip") || is(b"x-gzip") {
            Coding::Gzip
        } else if is(b"deflate") {
            Coding::Deflate
        } else if is(b"br") {
            Coding::Brotli
        } else if is(b"zstd") {
            Coding::Zstandard
        } else if item.is_empty() || is(b"identity") {
            continue;
        } else {
            return Err(Unknown);
        };
        if coding.replace(this).is_some() {
            return Err(Unknown);
        }
    }
    Ok(coding)
}

/// How the names of charsets begin that write ASCII otherwise: with more bytes a letter, in base64, or as EBCDIC.
const FOREIGN: [&[u8]; 12] = [
    b"utf-16",
    b"utf16",
    b"utf-32",
    b"utf32",
    b"utf-7",
    b"utf7",
    b"ucs-",
    b"iso-10646-ucs",
    b"csunicode",
    b"unicode",
    b"cp037",
    b"ibm",
];

/// Whether a response says that its text is in a charset that is not searched.
pub(super) fn has_foreign_charset(headers: &HeaderMap) -> bool {
    let mut parameters =
        headers.get_all(CONTENT_TYPE).iter().flat_map(|kind| kind.as_bytes().split(|byte| *byte == b';').skip(1));
    parameters.any(|parameter| {
        let Some(equals) = parameter.iter().position(|byte| *byte == b'=') else { return false };
        let (name, value) = parameter.split_at(equals);
        // Quotes, and what they escape.
        let value: Vec<u8> = value
            .iter()
            .filter(|byte| !matches!(byte, b'=' | b'"' | b'\'' | b'\\' | b' ' | b'\t'))
            .map(u8::to_ascii_lowercase)
            .collect();
        name.trim_ascii().eq_ignore_ascii_case(b"charset") && FOREIGN.iter().any(|foreign| value.starts_with(foreign))
    })
}

/// Where a coding of single messages is named: gRPC's, and the Connect protocol's.
pub(super) const OF_MESSAGES: [&str; 2] = ["grpc-encoding", "connect-content-encoding"];

/// The coding of the messages inside of a body, of a request or a response; `None` where they have none.
pub(super) fn of_messages(headers: &HeaderMap) -> Result<Option<Fold>, Unknown> {
    let mut fold = None;
    // One look at the names that are there, instead of one for each that might be.
    let named = headers.iter().filter(|(name, _)| OF_MESSAGES.contains(&name.as_str()));
    for (_, value) in named {
        let is = |name: &[u8]| value.as_bytes().eq_ignore_ascii_case(name);
        let this = if is(b"identity") {
            continue;
        } else if is(b"gzip") {
            Fold::Gzip
        } else if is(b"deflate") {
            Fold::Deflate
        } else {
            return Err(Unknown);
        };
        if fold.replace(this).is_some() {
            return Err(Unknown);
        }
    }
    Ok(fold)
}

/// Whether a body is a row of messages with heads, as its type says.
pub(super) fn has_messages(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default().to_ascii_lowercase();
    // gRPC-Web's text is base64 around them.
    let is_grpc = kind.starts_with(b"application/grpc") && !kind.starts_with(b"application/grpc-web-text");
    is_grpc || kind.starts_with(b"application/connect+")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &'static str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        ask(&mut headers, false);
        headers[ACCEPT_ENCODING].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_origin_is_asked_for_nothing_that_is_not_decoded() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", "gzip, deflate"),
            ("gzip", "gzip"),
            ("gzip;q=0.8,deflate ; q=1.0", "gzip;q=0.8, deflate ; q=1.0"),
            ("br", "identity"),
            ("deflate;q=0", "deflate;q=0"),
            ("*", "identity"),
            ("*;q=0", "identity"),
            ("identity;q=0, *", "identity"),
            ("identity;q=0.000, gzip", "gzip"),
            ("identity;q=0.5, gzip;q=0", "identity;q=0.5, gzip;q=0"),
            ("compress, sdch", "identity"),
            ("gzip;q=zzz", "identity"),
            ("gzip;level=9", "identity"),
            ("GZip, DCB", "GZip"),
            ("", "identity"),
        ] {
            assert_eq!(asked(value), expected, "{value}");
        }
    }

    #[test]
    fn several_headers_are_one_and_no_header_stays_none() {
        let mut headers = HeaderMap::new();
        ask(&mut headers, false);
        assert!(headers.is_empty());
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("zstd"));
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        ask(&mut headers, false);
        assert_eq!(headers.get_all(ACCEPT_ENCODING).iter().collect::<Vec<_>>(), ["gzip"]);
        ask(&mut headers, true);
        assert_eq!(headers.get_all(ACCEPT_ENCODING).iter().collect::<Vec<_>>(), ["identity"]);
    }

    #[test]
    fn a_response_has_one_known_coding_or_none_or_is_not_understood() {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["identity"], Ok(None)),
            (&["gzip"], Ok(Some(Coding::Gzip))),
            (&["X-GZIP"], Ok(Some(Coding::Gzip))),
            (&["identity, br"], Ok(Some(Coding::Brotli))),
            (&["deflate"], Ok(Some(Coding::Deflate))),
            (&["zstd"], Ok(Some(Coding::Zstandard))),
            (&["gzip, gzip"], Err(Unknown)),
            (&["gzip", "br"], Err(Unknown)),
            (&["compress"], Err(Unknown)),
            (&["dcz"], Err(Unknown)),
            (&["gzip;q=1"], Err(Unknown)),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(of_response(&headers), expected, "{values:?}");
        }
    }
}
