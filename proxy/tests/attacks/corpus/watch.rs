//! What is looked at after every run: all that the agent received, all that the origin received, and the records.

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::lab::{KEYED_REAL, OTHER_REAL, REAL};
use crate::origin::Seen;

/// Every real credential: its name, its value, and the one host that it is for.
pub(crate) const REALS: [(&str, &str, &str); 5] = [
    ("api", REAL, "api.example.test"),
    ("keyed", KEYED_REAL, "keyed.example.test"),
    ("other", OTHER_REAL, "api.example.test"),
    ("github", "real-secret-of-github-0123456789", "api.github.com"),
    ("anthropic", "real-secret-of-anthropic-0123456789", "api.anthropic.com"),
];

/// How every stub begins, and nothing else.
const STUB_MARK: &str = "proxy-token-";

/// A search for real credentials in each of their spellings.
pub(crate) struct Search(AhoCorasick);

impl Search {
    pub(crate) fn new() -> Self {
        let spellings: Vec<Vec<u8>> = REALS.iter().flat_map(|(_, real, _)| spellings(real)).collect();
        Search(AhoCorasick::new(spellings).unwrap())
    }

    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        self.0.is_match(bytes)
    }
}

fn spellings(real: &str) -> Vec<Vec<u8>> {
    let hex = |upper: bool| -> String {
        real.bytes().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect()
    };
    let percent: String = real.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let mut all = vec![real.to_owned(), real.chars().rev().collect(), hex(false), hex(true), percent];
    for skip in 0..3_usize {
        let shifted = [vec![0; skip], real.as_bytes().to_vec()].concat();
        // The characters at either end hold bits of the neighbours too.
        let (from, to) = ((skip * 8).div_ceil(6), shifted.len() * 8 / 6);
        all.extend([&STANDARD_NO_PAD, &URL_SAFE_NO_PAD].map(|engine| engine.encode(&shifted)[from..to].to_owned()));
    }
    all.into_iter().map(String::into_bytes).collect()
}

/// Whether a request that an origin received can be read in one way only, and holds nothing that it must not (laws 2 and 3).
pub(crate) fn well_formed(seen: &Seen) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("the origin saw {what}: {:?}", seen.head));
    let Some(lines) = seen.head.strip_suffix("\r\n\r\n") else { return wrong("no end") };
    let lines: Vec<&str> = lines.split("\r\n").collect();
    if lines.iter().any(|line| line.chars().any(|letter| letter.is_ascii_control() && letter != '\t')) {
        return wrong("a control character");
    }
    let words: Vec<&str> = seen.line().split(' ').collect();
    let [method, target, "HTTP/1.1"] = words[..] else { return wrong("an odd request line") };
    if method.is_empty() || !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("an odd request line");
    }
    for line in &lines[1..] {
        let name = line.split(':').next().unwrap_or_default();
        if name.is_empty()
            || !line.contains(':')
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return wrong("an odd line");
        }
    }
    let hosts = seen.headers("host");
    if hosts.len() != 1 || !(seen.sni == hosts[0] || seen.sni.is_empty() && hosts[0] == "plain.example.test") {
        return wrong("another host than it was dialled for");
    }
    let (lengths, codings) = (seen.headers("content-length"), seen.headers("transfer-encoding"));
    if lengths.len() + codings.len() > 1 || codings.iter().any(|coding| coding != "chunked") {
        return wrong("a body with two readings");
    }
    for name in ["proxy-authorization", "proxy-connection", "keep-alive", "te", "trailer"] {
        if !seen.headers(name).is_empty() {
            return wrong("what ends at a hop");
        }
    }
    let head = seen.head.to_ascii_lowercase();
    if head.contains(STUB_MARK) {
        return wrong("a stub");
    }
    for (_, real, host) in REALS {
        if seen.head.contains(real) && (seen.sni != host || seen.head.matches(real).count() > 1) {
            return wrong("a credential where it does not belong");
        }
    }
    if REALS.iter().any(|(_, real, _)| seen.body.windows(real.len()).any(|window| window == real.as_bytes())) {
        return wrong("a credential in a body");
    }
    Ok(())
}

/// The reason of a record of a refusal, if it is one.
pub(crate) fn refusal(record: &Value) -> Option<String> {
    let is_one = record["decision"] == "deny" || record["decision"] == "observe" || record["event"] == "refused";
    is_one.then(|| record["reason"].as_str().unwrap_or("none").to_owned())
}

#[test]
fn each_spelling_of_a_credential_is_found() {
    use base64::engine::general_purpose::STANDARD;
    let search = Search::new();
    for before in ["", "a", "ab", "user:"] {
        for after in ["", "z", "zz"] {
            let text = STANDARD.encode(format!("{before}{REAL}{after}"));
            assert!(search.is_in(text.as_bytes()), "{text}");
        }
    }
    assert!(search.is_in(format!("x{REAL}").as_bytes()) && !search.is_in(crate::lab::STUB.as_bytes()));
}

#[test]
fn a_request_with_two_readings_is_seen_as_such() {
    let seen = |head: &str| Seen {
        connection: 0,
        sni: "api.example.test".into(),
        head: head.into(),
        body: Vec::new(),
        size: 0,
    };
    let fine = format!("GET /x HTTP/1.1\r\nhost: api.example.test\r\nauthorization: Bearer {REAL}\r\n\r\n");
    assert_eq!(well_formed(&seen(&fine)), Ok(()));
    for (from, to) in [
        ("host: api", "host: evil"),
        ("\r\n\r\n", "\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("\r\nhost", "\nhost"),
        ("GET /x", "GET x"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("authorization: Bearer ", "authorization : Bearer "),
        (REAL, crate::lab::STUB),
        ("authorization", "te"),
        (REAL, KEYED_REAL),
    ] {
        assert!(well_formed(&seen(&fine.replacen(from, to, 1))).is_err(), "{from} {to}");
    }
}
