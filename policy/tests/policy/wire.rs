//! What comes from a wire is parsed once, into one spelling, or refused.

use std::num::NonZeroU16;

use proptest::prelude::*;
use stubgate_policy::{
    Authority, AuthorityError, Host, Method, MethodError, Name, NameError, Path, PathError, Scheme, Target,
};

#[test]
fn names_have_one_spelling() {
    for (wire, canonical) in [
        ("api.github.com", "api.github.com"),
        ("API.GitHub.COM", "api.github.com"),
        ("api.github.com.", "api.github.com"),
        ("localhost", "localhost"),
        ("_acme-challenge.a_b.example", "_acme-challenge.a_b.example"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"),
        ("1.2.3.example", "1.2.3.example"),
        ("0xzz", "0xzz"),
        ("3com", "3com"),
    ] {
        assert_eq!(Name::parse(wire.as_bytes()).unwrap().as_str(), canonical, "{wire}");
    }
}

#[test]
fn odd_names_are_refused() {
    use NameError as E;
    let long_label = format!("{}.example", "a".repeat(64));
    let long = format!("{}example", "a.".repeat(124));
    for (wire, error) in [
        (&b""[..], E::Empty),
        (b".", E::Empty),
        (b"..", E::EmptyLabel),
        (b"a..b", E::EmptyLabel),
        (b".a", E::EmptyLabel),
        (b"a.b..", E::EmptyLabel),
        (b"-a.b", E::Hyphen),
        (b"a-.b", E::Hyphen),
        (b"a\0.b", E::BadByte),
        (b"allowed.test\0.evil", E::BadByte),
        (b"a b", E::BadByte),
        (b"a%2eb", E::BadByte),
        (b"u@h", E::BadByte),
        (b"a/b", E::BadByte),
        (b"a\\b", E::BadByte),
        (b"a:443", E::BadByte),
        (b"*.a", E::BadByte),
        (b"[::1]", E::BadByte),
        (b"a\r\nb", E::BadByte),
        (b"a?b", E::BadByte),
        (b"a#b", E::BadByte),
        (b"m\xc3\xbcnchen.example", E::NotAscii),
        (b"\xef\xbd\x81.example", E::NotAscii),
        (b"127.1", E::Numeric),
        (b"2130706433", E::Numeric),
        (b"0x7f.1", E::Numeric),
        (b"0x7f000001", E::Numeric),
        (b"127.0.0.0x1", E::Numeric),
        (b"1.2.3.4.5", E::Numeric),
        (b"127.0.0.01", E::Numeric),
        (b"a.0x", E::Numeric),
        (b"a.0XAB", E::Numeric),
        (long_label.as_bytes(), E::TooLong),
        (long.as_bytes(), E::TooLong),
    ] {
        assert_eq!(Name::parse(wire), Err(error), "{:?}", String::from_utf8_lossy(wire));
    }
}

#[test]
fn names_reach_to_their_limits() {
    let label = "a".repeat(63);
    assert!(Name::parse(label.as_bytes()).is_ok());
    let longest = format!("{}.{}.{}.{}", label, label, label, "b".repeat(61));
    assert_eq!(longest.len(), Name::MAX);
    assert!(Name::parse(longest.as_bytes()).is_ok());
    assert!(Name::parse(format!("{longest}.").as_bytes()).is_ok());
    assert_eq!(Name::parse(format!("{longest}b").as_bytes()), Err(NameError::TooLong));
}

#[test]
fn policy_names_may_be_u_labels_in_their_own_spelling_only() {
    assert_eq!(Name::parse_policy("münchen.example").unwrap().as_str(), "xn--mnchen-3ya.example");
    assert_eq!(Name::parse_policy("MÜNCHEN.example").unwrap().as_str(), "xn--mnchen-3ya.example");
    for mapped in ["ａpi.github.com", "api。github.com", "api\u{ad}.example", "ﬁ.example", "a\u{200d}b.example"] {
        assert_eq!(Name::parse_policy(mapped), Err(NameError::NotIdna), "{mapped}");
    }
}

#[test]
fn hosts_are_names_or_canonical_addresses() {
    for (wire, shown) in [
        ("10.0.0.5", "10.0.0.5"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:DB8:0:0::1]", "2001:db8::1"),
        ("A.example", "a.example"),
    ] {
        assert_eq!(Host::parse(wire.as_bytes()).unwrap().to_string(), shown, "{wire}");
    }
    for wire in [
        "[::1",
        "::1",
        "[::1]x",
        "[fe80::1%eth0]",
        "[fe80::1%25eth0]",
        "[::ffff:1.2.3.4]",
        "[::ffff:7f00:1]",
        "[1.2.3.4]",
        "[]",
        "01.2.3.4",
        "1.2.3",
        "0x7f.0.0.1",
        "1.2.3.4.",
        "256.1.1.1",
        "１.2.3.4",
    ] {
        assert!(Host::parse(wire.as_bytes()).is_err(), "{wire}");
    }
}

#[test]
fn authorities_have_host_and_port_and_nothing_else() {
    let port = |n| NonZeroU16::new(n).unwrap();
    let https = |host: &str, n| Authority::new(Scheme::Https, Host::parse(host.as_bytes()).unwrap(), port(n));
    for (wire, authority, header) in [
        ("h.example", https("h.example", 443), "h.example"),
        ("H.EXAMPLE.:443", https("h.example", 443), "h.example"),
        ("h.example:8443", https("h.example", 8443), "h.example:8443"),
        ("[::1]:8443", https("[::1]", 8443), "[::1]:8443"),
        ("[::1]", https("[::1]", 443), "[::1]"),
        ("10.0.0.5:80", https("10.0.0.5", 80), "10.0.0.5:80"),
    ] {
        let parsed = Authority::parse(Scheme::Https, wire.as_bytes()).unwrap();
        assert_eq!(parsed, authority, "{wire}");
        assert_eq!(parsed.host_header(), header, "{wire}");
    }
    assert_eq!(Authority::parse(Scheme::Http, b"h").unwrap().to_string(), "http://h:80");
    assert_eq!(https("[::1]", 443).to_string(), "https://[::1]:443");
}

#[test]
fn odd_authorities_are_refused() {
    use AuthorityError as E;
    for (wire, error) in [
        ("h:", E::Port),
        ("h:+80", E::Port),
        ("h:-1", E::Port),
        ("h:080", E::Port),
        ("h:0", E::Port),
        ("h:65536", E::Port),
        ("h:99999", E::Port),
        ("h:abc", E::Port),
        ("h:80:90", E::Port),
        ("h:80 ", E::Port),
        ("x@h", E::Userinfo),
        ("h:80@evil", E::Userinfo),
        ("", E::Host(NameError::Empty)),
        (":80", E::Host(NameError::Empty)),
        ("a, b", E::Host(NameError::BadByte)),
        ("a/evil", E::Host(NameError::BadByte)),
        ("a]:80", E::Host(NameError::BadByte)),
        ("[::1]80", E::Host(NameError::BadIpv6)),
        ("::1", E::Host(NameError::Empty)),
    ] {
        assert_eq!(Authority::parse(Scheme::Https, wire.as_bytes()), Err(error), "{wire}");
    }
}

#[test]
fn methods_are_tokens_in_exact_case() {
    assert_eq!(Method::parse(b"GET"), Ok(Method::GET));
    assert_ne!(Method::parse(b"get"), Ok(Method::GET));
    assert_eq!(Method::parse(b"PROPFIND").unwrap().as_str(), "PROPFIND");
    assert_eq!(Method::parse(b"WEBSOCKET"), Err(MethodError::Reserved));
    assert_eq!(Method::parse(b""), Err(MethodError::Empty));
    assert_eq!(Method::parse(&[b'A'; 33]), Err(MethodError::TooLong));
    assert!(Method::parse(&[b'A'; 32]).is_ok());
    for odd in [&b"GE T"[..], b"GET\0", b"G\xc3\xa9T", b"GET/", b"(x)"] {
        assert_eq!(Method::parse(odd), Err(MethodError::NotToken));
    }
}

#[test]
fn paths_have_one_spelling() {
    for (raw, canonical) in [
        ("/", "/"),
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/%61%2D%7e", "/a-~"),
        ("/a%2fb", "/a%2Fb"),
        ("/@scope%2fname", "/@scope%2Fname"),
        ("/a%3ab%20c", "/a%3Ab%20c"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/100%25", "/100%25"),
        ("/100%25zz", "/100%25zz"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
        ("/...", "/..."),
        ("/.well-known/x", "/.well-known/x"),
    ] {
        assert_eq!(Path::parse(raw.as_bytes()).unwrap().as_str(), canonical, "{raw}");
    }
}

#[test]
fn paths_that_servers_read_differently_have_no_canonical_form() {
    use PathError as E;
    for (raw, error) in [
        ("/v1/../admin", E::DotSegment),
        ("/v1/./x", E::DotSegment),
        ("/v1/..", E::DotSegment),
        ("/%2e%2e/x", E::DotSegment),
        ("/.%2E/x", E::DotSegment),
        ("/a%2F..%2Fb", E::DotSegment),
        ("/a%2f%2e%2e", E::DotSegment),
        ("/v1/..%3Bx/admin", E::DotSegment),
        ("//v1/x", E::EmptySegment),
        ("/v1//x", E::EmptySegment),
        ("/v1//", E::EmptySegment),
        ("/v1\\x", E::Backslash),
        ("/v1%5cx", E::Backslash),
        ("/v1/..;/admin", E::Semicolon),
        ("/v1;x=1", E::Semicolon),
        ("/%00", E::EncodedControl),
        ("/a%0ab", E::EncodedControl),
        ("/a%7f", E::EncodedControl),
        ("/%252e%252e", E::DoubleEncoding),
        ("/%25%32%65", E::DoubleEncoding),
        ("/%zz", E::BadPercent),
        ("/a%", E::BadPercent),
        ("/a%2", E::BadPercent),
        ("/%ff", E::NotUtf8),
        ("/%c0%ae", E::NotUtf8),
        ("/%c3", E::NotUtf8),
        ("/a|b", E::IllegalByte),
        ("/a{b}", E::IllegalByte),
        ("/a\"b", E::IllegalByte),
        ("/[x]", E::IllegalByte),
    ] {
        assert_eq!(Path::parse(raw.as_bytes()), Err(error), "{raw}");
        let target = Target::parse(raw.as_bytes()).unwrap();
        assert_eq!(target.as_str(), raw, "an odd path is kept as it came");
        assert!(matches!(target, Target::Odd { .. }));
    }
}

#[test]
fn targets_that_no_request_may_carry_are_refused() {
    use PathError as E;
    for (raw, error) in [
        (&b""[..], E::NotAbsolute),
        (b"*", E::NotAbsolute),
        (b"a", E::NotAbsolute),
        (b"http://h/", E::NotAbsolute),
        (b"/a b", E::Space),
        (b"/a\tb", E::ControlByte),
        (b"/a\r\nb", E::ControlByte),
        (b"/a\0", E::ControlByte),
        (b"/caf\xc3\xa9", E::NotAscii),
        (b"/a#b", E::Fragment),
        (b"/a?b", E::Query),
    ] {
        assert_eq!(Target::parse(raw), Err(error), "{:?}", String::from_utf8_lossy(raw));
    }
}

/// Bytes that look like what they are parsed as, so that parsers are not always refused at the first byte.
fn pieces(of: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(of).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..3),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

const HOST_PIECES: &[&str] = &[
    "a",
    "B",
    "1",
    "0x",
    "-",
    "_",
    ".",
    "..",
    "xn--",
    "127.0.0.1",
    "[",
    "]",
    "::1",
    ":",
    "443",
    "0",
    "@",
    "%",
    "com",
    "ffff:",
];
const PATH_PIECES: &[&str] = &[
    "/", "//", "a", "B", ".", "..", "%2e", "%2F", "%2f", "%25", "%61", "%", "%c3%a9", "%ff", "%00", ";", "\\", "*",
    "%3B", "~", "|", "?",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn reading_a_name_again_changes_nothing(bytes in pieces(HOST_PIECES)) {
        if let Ok(name) = Name::parse(&bytes) {
            prop_assert_eq!(Name::parse(name.as_str().as_bytes()), Ok(name.clone()));
            prop_assert_eq!(Name::parse_policy(name.as_str()), Ok(name.clone()));
            prop_assert!(!name.as_str().ends_with('.') && !name.as_str().bytes().any(|byte| byte.is_ascii_uppercase()));
        }
    }

    #[test]
    fn reading_a_host_again_changes_nothing(bytes in pieces(HOST_PIECES)) {
        if let Ok(host) = Host::parse(&bytes) {
            let shown = match &host {
                Host::Ip(ip) if ip.is_ipv6() => format!("[{ip}]"),
                host => host.to_string(),
            };
            prop_assert_eq!(Host::parse(shown.as_bytes()), Ok(host));
        }
    }

    #[test]
    fn reading_an_authority_again_changes_nothing(bytes in pieces(HOST_PIECES), plain in any::<bool>()) {
        let scheme = if plain { Scheme::Http } else { Scheme::Https };
        if let Ok(authority) = Authority::parse(scheme, &bytes) {
            prop_assert_eq!(Authority::parse(scheme, authority.host_header().as_bytes()), Ok(authority.clone()));
            let shown = authority.to_string();
            let rest = shown.split_once("://").unwrap().1;
            prop_assert_eq!(Authority::parse(scheme, rest.as_bytes()), Ok(authority));
        }
    }

    #[test]
    fn reading_a_path_again_changes_nothing(bytes in pieces(PATH_PIECES)) {
        let bytes = [b"/".to_vec(), bytes].concat();
        if let Ok(path) = Path::parse(&bytes) {
            prop_assert_eq!(Path::parse(path.as_str().as_bytes()), Ok(path.clone()));
            prop_assert!(path.segments().all(|segment| segment != "." && segment != ".."));
        }
        if let Ok(target) = Target::parse(&bytes) {
            prop_assert_eq!(Target::parse(target.as_str().as_bytes()), Ok(target));
        }
    }

    #[test]
    fn parsers_take_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Name::parse(&bytes);
        let _ = Host::parse(&bytes);
        let _ = Authority::parse(Scheme::Https, &bytes);
        let _ = Path::parse(&bytes);
        let _ = Target::parse(&bytes);
        if let Ok(method) = Method::parse(&bytes) {
            prop_assert_eq!(method.as_str().as_bytes(), &bytes[..]);
        }
        let _ = Name::parse_policy(&String::from_utf8_lossy(&bytes));
    }
}
