//! What real credentials look like: the prefixes that their makers gave them so that they can be found. It finds where one
//! stands and of which kind it is, and refuses to say more: a value is never copied.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

/// A text of one kind in some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// Whose it is.
    pub(super) kind: &'static str,
    /// Where it begins, and how long it is.
    pub(super) at: usize,
    pub(super) length: usize,
}

/// A kind of credential that is known by how it begins.
struct Shape {
    kind: &'static str,
    prefix: &'static [u8],
    /// Bytes after the prefix at least, and at most if it is of one length.
    shortest: usize,
    longest: usize,
    is_part: fn(u8) -> bool,
}

/// Bytes that are looked at to decide: many that begin with a prefix make no search long.
const ANY: usize = 512;

const fn shape(kind: &'static str, prefix: &'static str, shortest: usize, is_part: fn(u8) -> bool) -> Shape {
    Shape { kind, prefix: prefix.as_bytes(), shortest, longest: ANY, is_part }
}

const fn exactly(kind: &'static str, prefix: &'static str, length: usize, is_part: fn(u8) -> bool) -> Shape {
    Shape { kind, prefix: prefix.as_bytes(), shortest: length, longest: length, is_part }
}

const SHAPES: &[Shape] = &[
    shape("a token of GitHub", "ghp_", 30, is_word),
    shape("a token of GitHub", "gho_", 30, is_word),
    shape("a token of GitHub", "ghu_", 30, is_word),
    shape("a token of GitHub", "ghs_", 30, is_token),
    shape("a token of GitHub", "ghr_", 30, is_word),
    shape("a token of GitHub", "github_pat_", 40, is_word),
    shape("a key or token of Anthropic", "sk-ant-", 32, is_token),
    shape("a key of OpenAI", "sk-proj-", 40, is_token),
    exactly("a key of OpenAI", "sk-", 48, is_alphanumeric),
    shape("a token of npm", "npm_", 30, is_alphanumeric),
    shape("a token of PyPI", "pypi-", 60, is_token),
    shape("a token of GitLab", "glpat-", 20, is_token),
    shape("a token of Slack", "xoxa-", 20, is_token),
    shape("a token of Slack", "xoxb-", 20, is_token),
    shape("a token of Slack", "xoxe-", 20, is_token),
    shape("a token of Slack", "xoxp-", 20, is_token),
    shape("a token of Slack", "xoxr-", 20, is_token),
    shape("a token of Slack", "xoxs-", 20, is_token),
    exactly("a key of AWS", "AKIA", 16, is_upper),
    exactly("a key of AWS", "ASIA", 16, is_upper),
    shape("a token of Vault", "hvs.", 24, is_token),
    exactly("a key of Google", "AIza", 35, is_token),
];

/// Distinct bytes of a real one at least: what has fewer is an example, as `ghp_xxxx…`.
const DISTINCT: usize = 8;

/// Base64 of a private key at least, and bytes of one at most.
const KEY: usize = 64;
const LONGEST_KEY: usize = 16 * 1024;

/// Everything in these bytes that looks like a credential and is none of the stubs. JSON Web Tokens are looked for only where
/// credentials are kept: elsewhere they are mostly examples and what was fetched.
pub(super) fn find(bytes: &[u8], stubs: &[String], with_tokens: bool) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match hit(bytes, at, with_tokens) {
            Some(hit) => {
                if !is_stub(bytes.get(at..at + hit.length).unwrap_or_default(), stubs) {
                    hits.push(hit);
                }
                at += hit.length.max(1);
            }
            None => at += 1,
        }
    }
    hits
}

/// The text with everything that looks like a credential replaced by its kind.
pub(super) fn redacted(text: &str, stubs: &[String]) -> String {
    let mut plain = String::new();
    let mut from = 0;
    for hit in find(text.as_bytes(), stubs, true) {
        plain.push_str(text.get(from..hit.at).unwrap_or_default());
        plain.push_str(&format!("[{}]", hit.kind));
        from = hit.at + hit.length;
    }
    plain.push_str(text.get(from..).unwrap_or_default());
    plain
}

fn is_stub(value: &[u8], stubs: &[String]) -> bool {
    // A full stop may end a sentence.
    let value = value.strip_suffix(b".").unwrap_or(value);
    stubs.iter().any(|stub| stub.as_bytes() == value)
}

fn hit(bytes: &[u8], at: usize, with_tokens: bool) -> Option<Hit> {
    let rest = bytes.get(at..)?;
    let hit = |kind, length| Some(Hit { kind, at, length });
    match rest.first()? {
        b'-' => private_key(rest).and_then(|length| hit("a private key", length)),
        _ if !begins(bytes, at) => None,
        b'e' if with_tokens => json_web_token(rest).and_then(|length| hit("a JSON Web Token", length)),
        b'b' | b'B' => basic(rest).and_then(|(kind, length)| hit(kind, length)),
        b'g' | b's' | b'n' | b'p' | b'x' | b'A' | b'h' => SHAPES.iter().find_map(|shape| {
            let body = rest.strip_prefix(shape.prefix)?;
            let part = |most| body.iter().take(most).take_while(|byte| (shape.is_part)(**byte)).count();
            let length = part(ANY);
            let fits = (shape.shortest..=shape.longest).contains(&length) && is_random(body.get(..length)?);
            // What is a hit is passed over whole, so this is read once.
            fits.then(|| hit(shape.kind, shape.prefix.len() + part(usize::MAX))).flatten()
        }),
        _ => None,
    }
}

/// Whether something may begin here: after a letter or digit nothing does, unless they are of a `%20` or an `\n`.
fn begins(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| bytes.get(at)).copied();
    match before(1) {
        Some(byte) if byte.is_ascii_alphanumeric() => {
            before(2) == Some(b'\\') || (byte.is_ascii_hexdigit() && before(3) == Some(b'%'))
        }
        _ => true,
    }
}

/// Bytes of a private key's block that has a body.
fn private_key(rest: &[u8]) -> Option<usize> {
    let after = rest.strip_prefix(b"-----BEGIN ")?;
    let line = after.iter().take(48).position(|byte| *byte == b'-')?;
    if !after.get(..line)?.ends_with(b"PRIVATE KEY") {
        return None;
    }
    let body = after.get(line..)?.strip_prefix(b"-----")?;
    // Line ends may be written as `\n` (or as a name of a file has them), and headers stand before an encrypted one.
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=\r\n\\ \t:,-_".contains(*byte);
    let reach = body.get(..body.len().min(LONGEST_KEY)).unwrap_or_default();
    let end = reach.windows(5).position(|part| part == b"-----").unwrap_or(reach.len());
    let length = reach.iter().take(end).take_while(is_part).count();
    let key = body.get(..length)?;
    let solid = key.iter().filter(|byte| byte.is_ascii_alphanumeric()).count();
    (solid >= KEY && is_random(key)).then_some(rest.len() - body.len() + length)
}

/// Bytes of a signed JSON Web Token: header, claims, signature.
fn json_web_token(rest: &[u8]) -> Option<usize> {
    if !rest.starts_with(b"eyJ") {
        return None;
    }
    let part = |rest: &[u8]| rest.iter().take(16 * ANY).take_while(|byte| is_url_safe(**byte)).count();
    let header = part(rest);
    let claims = rest.get(header..)?.strip_prefix(b".")?;
    let claims_length = part(claims);
    let signature = claims.get(claims_length..)?.strip_prefix(b".")?;
    let signature_length = part(signature);
    (claims.starts_with(b"eyJ") && signature_length >= 16).then_some(header + claims_length + signature_length + 2)
}

/// What `Basic` credentials hold once they are read.
fn basic(rest: &[u8]) -> Option<(&'static str, usize)> {
    if !rest.get(..6)?.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let encoded = rest.get(6..)?;
    let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/=".contains(*byte);
    let length = encoded.iter().take(8 * ANY).take_while(is_part).count();
    let encoded = encoded.get(..length)?;
    let decoded = STANDARD.decode(encoded).or_else(|_| STANDARD_NO_PAD.decode(encoded)).ok()?;
    Some((find_one(&decoded)?, 6 + length))
}

/// The kind of the first that stands in there.
fn find_one(bytes: &[u8]) -> Option<&'static str> {
    // `Basic` inside of it is not read: nobody nests it, and a peer could.
    (0..bytes.len())
        .filter(|at| !matches!(bytes.get(*at), Some(b'b' | b'B')))
        .find_map(|at| hit(bytes, at, false))
        .map(|hit| hit.kind)
}

/// Whether it has the variety of something that was drawn.
fn is_random(body: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in body.iter().take(256) {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    let is_example = body.windows(7).any(|part| part.eq_ignore_ascii_case(b"example"));
    !is_example && seen.iter().filter(|seen| **seen).count() >= DISTINCT
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_url_safe(byte: u8) -> bool {
    is_word(byte) || byte == b'-'
}

fn is_token(byte: u8) -> bool {
    is_url_safe(byte) || byte == b'.'
}

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One of each kind, made up from parts so that nobody takes this file for a leak; and its body.
    pub(in crate::doctor) fn examples(body: &str) -> Vec<(&'static str, String)> {
        let long = body.repeat(6);
        let upper = body.to_uppercase();
        let claims = ["ey", "JhbGciOiJIUzI1NiJ9.ey", "JzdWIiOiIx", &long, ".", &long].concat();
        let pem = ["-----BEGIN ", "PRIVATE KEY-----\n", &long, "\n-----END PRIVATE KEY-----\n"].concat();
        let of = |prefix: &str, length: usize| format!("{prefix}{}", &long[..length]);
        let basic = STANDARD.encode(format!("x-access-token:{}", of("ghp_", 36)));
        vec![
            ("a token of GitHub", of("ghp_", 36)),
            ("a token of GitHub", of("gho_", 36)),
            ("a token of GitHub", of("ghs_", 36)),
            ("a token of GitHub", of("github_pat_", 82)),
            ("a key or token of Anthropic", of("sk-ant-api03-", 60)),
            ("a token of npm", of("npm_", 36)),
            ("a token of PyPI", of("pypi-", 80)),
            ("a token of GitLab", of("glpat-", 20)),
            ("a token of Slack", of("xoxb-", 40)),
            ("a key of AWS", format!("AKIA{}", &upper[..16])),
            ("a private key", pem),
            ("a JSON Web Token", claims),
            ("a token of GitHub", format!("Basic {basic}")),
        ]
    }

    pub(in crate::doctor) const BODY: &str = "Ab3dEf7hIj1LmN0pQr5t";

    fn kinds(text: &str) -> Vec<&'static str> {
        find(text.as_bytes(), &["proxy-token-github".into()], true).iter().map(|hit| hit.kind).collect()
    }

    #[test]
    fn each_kind_is_found_wherever_it_stands() {
        for (kind, value) in examples(BODY) {
            for text in [
                value.clone(),
                format!("TOKEN={value}"),
                format!("{{\"token\": \"{value}\"}}"),
                format!("https://x:{value}@example.com/"),
                format!("Authorization: Bearer {value}\r\n"),
                format!("a%20{value}%20b"),
                format!("text\\n{value}\\n"),
            ] {
                assert_eq!(kinds(&text), [kind], "{text}");
            }
        }
    }

    #[test]
    fn a_hit_is_where_the_value_stands() {
        let text = format!("one two {} three", examples(BODY)[0].1);
        assert_eq!(find(text.as_bytes(), &[], true), [Hit { kind: "a token of GitHub", at: 8, length: 40 }]);
    }

    #[test]
    fn examples_words_and_stubs_are_none() {
        for text in [
            "proxy-token-github access-token-stub refresh-token-stub stubgate-Ab3dEf7hIj1LmN0pQr5tAb3dEf7hIj",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "ghp_short sk-ant-… npm_config_cafile pypi-project xoxb-123",
            "AKIAIOSFODNN7EXAMPLE",
            "AKIAAb3dEf7hIj1LmN0p",
            "-----BEGIN PRIVATE KEY-----",
            "\"-----BEGIN RSA PRIVATE KEY-----\" + key",
            "-----BEGIN CERTIFICATE-----\nAb3dEf7hIj1LmN0pQr5tAb3dEf7hIj1LmN0pQr5tAb3dEf7hIj1LmN0pQr5tAb3dEf7hIj1LmN0pQr5t",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.",
            "Basic eC1hY2Nlc3MtdG9rZW46cHJveHktdG9rZW4tZ2l0aHVi basic usage",
            "",
        ] {
            assert_eq!(kinds(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_stub_that_looks_real_is_none_and_one_more_letter_makes_it_one() {
        let (kind, stub) = examples(BODY).remove(0);
        let find = |text: &str| find(text.as_bytes(), std::slice::from_ref(&stub), true);
        assert!(find(&format!("token: {stub}\n")).is_empty());
        assert_eq!(find(&format!("token: {stub}A\n"))[0].kind, kind);
    }

    #[test]
    fn json_web_tokens_are_looked_for_where_they_are_asked_for() {
        let (_, value) = examples(BODY).into_iter().find(|(kind, _)| kind.contains("Web")).unwrap();
        assert!(find(value.as_bytes(), &[], false).is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it_and_hits_lie_within(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            for hit in find(&bytes, &[], true) {
                prop_assert!(hit.length > 0 && hit.at + hit.length <= bytes.len());
            }
        }

        #[test]
        fn nothing_of_a_value_is_left_in_what_is_redacted(
            which in 0usize..13, before in "[ -~]{0,20}[ /:=]", after in "[ /:@\"]?", body in "[A-Za-z0-9]{12}Ab3dEf7h",
        ) {
            let (_, value) = examples(&body).remove(which);
            let told = redacted(&format!("{before}{value}{after}"), &[]);
            prop_assert!(!told.contains(&body[..12]), "{told}");
        }
    }
}
