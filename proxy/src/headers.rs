//! Which headers travel.
//!
//! Hop-by-hop headers and what `Connection` names end here (RFC 9110 section 7.6.1), both ways. Headers that tell an
//! origin to route or act otherwise than was decided (`X-Forwarded-Host`, `X-HTTP-Method-Override`, …) are taken out of
//! requests, and `Alt-Svc` out of responses, since the way it names leads around us. No `Via` is added: a loop is
//! refused by address, and the header tells every origin that we are there.

use http::header::{self, HeaderMap, HeaderName};
use stubgate_policy::Reason;

use crate::request::Refusal;

const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::UPGRADE,
    header::TRAILER,
    header::PROXY_AUTHORIZATION,
    header::TE,
];

/// Would have an origin act on another authority, path, method or client than was decided.
const REROUTING: [&str; 14] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-for",
    "x-forwarded-server",
    "x-original-url",
    "x-rewrite-url",
    "x-original-host",
    "x-host",
    "x-http-host-override",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
];

/// Names that frame or route a message or carry a credential, which nothing may remove or imitate.
const LOAD_BEARING: [&str; 13] = [
    "authorization",
    "host",
    "content-length",
    "transfer-encoding",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "private-token",
    "expect",
    "range",
    "content-encoding",
    "content-type",
];

/// Refuses heads that another parser could take for more than they say: names that equal a load-bearing one, or one that
/// is taken out, once `_` is read as `-` (as CGI does), and a `Connection` header that would have us take a load-bearing
/// header out.
pub fn check(headers: &HeaderMap) -> Result<(), Refusal> {
    for name in headers.keys() {
        if is_imitation(name, |real| {
            LOAD_BEARING.contains(&real) || REROUTING.contains(&real) || HOP_BY_HOP.iter().any(|hop| hop == real)
        }) {
            return Err(Reason::BadRequest.into());
        }
    }
    for name in named_by_connection(headers) {
        if LOAD_BEARING.iter().any(|bearing| name.eq_ignore_ascii_case(bearing)) {
            return Err(Reason::BadRequest.into());
        }
    }
    Ok(())
}

/// The same for the headers that are slots of the host at hand.
pub fn check_slots(headers: &HeaderMap, is_slot: impl Fn(&str) -> bool) -> Result<(), Refusal> {
    let imitated = headers.keys().any(|name| is_imitation(name, &is_slot));
    if imitated || named_by_connection(headers).any(|name| is_slot(&name.to_ascii_lowercase())) {
        return Err(Reason::BadRequest.into());
    }
    Ok(())
}

/// Whether a name equals a real one once `_` is read as `-`.
fn is_imitation(name: &HeaderName, is_real: impl Fn(&str) -> bool) -> bool {
    name.as_str().contains('_') && !is_real(name.as_str()) && is_real(&name.as_str().replace('_', "-"))
}

/// Takes out of a request what must not travel.
pub fn strip_request(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    // One look at the names that are there, instead of one for each that might be.
    if headers.keys().any(|name| matches!(name.as_str().as_bytes().first(), Some(b'f' | b'x'))) {
        for name in REROUTING {
            headers.remove(name);
        }
    }
}

/// Takes out of a response what must not travel.
pub fn strip_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(header::ALT_SVC);
    headers.remove(header::PROXY_AUTHENTICATE);
    headers.remove(header::TRANSFER_ENCODING);
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            named_by_connection(headers).filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    if headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

/// Whether a message is gRPC over HTTP/2, which ends with trailers; not gRPC-Web, which does not.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let rest =
        kind.get(..16).filter(|kind| kind.eq_ignore_ascii_case(b"application/grpc")).and_then(|_| kind.get(16..));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// Whether `Connection` has this option.
pub fn connection_has(headers: &HeaderMap, option: &str) -> bool {
    named_by_connection(headers).any(|name| name.eq_ignore_ascii_case(option))
}

fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
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
    fn hop_by_hop_and_rerouting_headers_end_here() {
        let mut map = headers(&[
            ("connection", "close, X-Drop"),
            ("x-drop", "1"),
            ("keep-alive", "1"),
            ("te", "trailers"),
            ("proxy-authorization", "Basic eA=="),
            ("x-forwarded-host", "evil"),
            ("x-http-method-override", "DELETE"),
            ("accept", "*/*"),
        ]);
        strip_request(&mut map);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn connection_cannot_take_a_load_bearing_header_out() {
        for option in ["authorization", "Host", "close, content-length", "x-api-key", "content-type"] {
            assert!(check(&headers(&[("connection", option)])).is_err(), "{option}");
        }
        check(&headers(&[("connection", "keep-alive, x-other")])).unwrap();
    }

    #[test]
    fn underscores_cannot_imitate_a_header_that_matters() {
        for name in ["content_length", "x_api-key", "x_forwarded_host", "x_http_method-override", "proxy_authorization"]
        {
            assert!(check(&headers(&[(name, "1")])).is_err(), "{name}");
        }
        check(&headers(&[("my_header", "1")])).unwrap();
    }
}
