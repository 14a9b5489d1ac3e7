//! What other encoders make of a secret and of what stands around it.

use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use stubgate_scrub::{Scrubber, Tally};

use super::*;

/// With everything that encoders treat specially.
const SECRET: &str = "gh+p/0123=\"x\\y%z~AZaz?&>";
const STUB: &str = "proxy-token-github";

fn scrubber(secrets: &[(&str, &str)]) -> Scrubber {
    let mut builder = Builder::default();
    for (secret, stub) in secrets {
        let secret = Secret::new(Zeroizing::new(secret.as_bytes().to_vec())).ok().unwrap();
        let owner = builder.owner((*stub).into());
        add(&mut builder, owner, &secret, stub);
    }
    builder.build()
}

fn scrubbed(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    assert_eq!(scrubber(&[(SECRET, STUB)]).scrub(&mut bytes), 1, "{text}");
    assert_eq!(bytes.len(), text.len());
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_plain_secret_becomes_its_stub_cut_or_filled_to_the_same_length() {
    assert_eq!(scrubbed(&format!("token {SECRET}, seen")), format!("token {STUB}******, seen"));
    let mut text = *b"12345678";
    assert_eq!(scrubber(&[("12345678", STUB)]).scrub(&mut text), 1);
    assert_eq!(&text, b"proxy-to");
}

#[test]
fn base64_is_found_at_every_alignment_and_decodes_to_the_stub() {
    for engine in [&STANDARD, &URL_SAFE] {
        for before in 0..7 {
            for behind in 0..4 {
                let pair = format!("{}{SECRET}{}", &"prefix:"[7 - before..], &"tail"[..behind]);
                let shown = scrubbed(&format!("Basic {}", engine.encode(&pair)));
                let decoded = engine.decode(&shown["Basic ".len()..]).unwrap();
                let secret = &decoded[before..before + SECRET.len()];
                // The bytes at both ends may keep bits of what they shared a character with.
                assert_eq!(&secret[1..STUB.len()], &STUB.as_bytes()[1..], "{pair}");
                assert!(decoded.starts_with(&pair.as_bytes()[..before]));
                assert!(decoded.ends_with(&pair.as_bytes()[pair.len() - behind..]));
            }
        }
    }
}

#[test]
fn the_pair_of_basic_is_found_for_any_user_and_with_the_secret_as_the_user() {
    for user in ["", "x", "git", "oauth2", "x-access-token", "\u{e9}t\u{e9}", "user@example.com"] {
        for pair in [format!("{user}:{SECRET}"), format!("{SECRET}:{user}")] {
            let shown = scrubbed(&format!("{{\"auth\": \"{}\"}}", STANDARD.encode(&pair)));
            assert!(!shown.contains(&STANDARD.encode(&pair)[user.len() * 2..][..8]) || user.len() > 5, "{shown}");
        }
    }
}

#[test]
fn hexadecimal_is_found_in_either_case() {
    let lower: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    let filled = format!("{STUB}******");
    let shown: String = filled.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(scrubbed(&lower), shown);
    assert_eq!(scrubbed(&lower.to_uppercase()), shown.to_uppercase());
    let mixed: String =
        lower.chars().enumerate().map(|(n, c)| if n % 3 == 0 { c.to_ascii_uppercase() } else { c }).collect();
    assert_eq!(scrubbed(&mixed), shown.to_uppercase());
}

#[test]
fn percent_escapes_are_found_however_much_is_escaped() {
    let all = |byte: u8| format!("%{byte:02X}");
    let lower = |byte: u8| format!("%{byte:02x}");
    let raw = |byte: u8| char::from(byte).to_string();
    // RFC 3986 reserved and unsafe; what encodeURIComponent leaves; what a form leaves; everything; every other one.
    let minimal = |byte: u8| if b"%\"\\<>^`{|} ".contains(&byte) { all(byte) } else { raw(byte) };
    let component =
        |byte: u8| if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) { raw(byte) } else { lower(byte) };
    let odd = |byte: u8| if byte % 2 == 1 { all(byte) } else { raw(byte) };
    for encode in [&minimal as &dyn Fn(u8) -> String, &component, &odd, &all, &lower] {
        let encoded: String = SECRET.bytes().map(encode).collect();
        let shown = scrubbed(&format!("/callback?token={encoded}&x=1"));
        assert!(!shown.contains(&encoded[..12]), "{shown}");
        assert!(shown.starts_with("/callback?token=") && shown.ends_with("&x=1"), "{shown}");
    }
}

#[test]
fn json_escapes_are_found_however_much_is_escaped_and_what_comes_is_json() {
    let short = |byte: u8, also: &[u8]| {
        let is_escaped = b"\"\\".contains(&byte) || also.contains(&byte);
        if is_escaped { format!("\\{}", char::from(byte)) } else { char::from(byte).to_string() }
    };
    let minimal = |byte: u8| short(byte, b"");
    let slashes = |byte: u8| short(byte, b"/");
    let html = |byte: u8| if b"<>&'+".contains(&byte) { format!("\\u00{byte:02X}") } else { short(byte, b"") };
    let all = |byte: u8| format!("\\u00{byte:02x}");
    for encode in [&minimal as &dyn Fn(u8) -> String, &slashes, &html, &all] {
        let encoded: String = SECRET.bytes().map(encode).collect();
        let shown = scrubbed(&format!("{{\"token\":\"{encoded}\"}}"));
        let value = shown.strip_prefix("{\"token\":\"").and_then(|v| v.strip_suffix("\"}")).unwrap();
        let mut rest = value;
        while let Some(at) = rest.find(['"', '\\']) {
            assert!(rest[at..].starts_with("\\u00") || rest[at..].starts_with("\\/"), "{shown}");
            rest = &rest[at + 2..];
        }
    }
}

#[test]
fn encoded_forms_are_found_escaped_too() {
    let base64 = STANDARD.encode(format!("u:{SECRET}"));
    scrubbed(&base64.replace('/', "\\/").replace('+', "\\u002b"));
    scrubbed(&base64.replace('/', "%2f").replace('+', "%2B").replace('=', "%3D"));
}

#[test]
fn the_longest_credential_wins_and_of_equal_ones_the_first() {
    let mut tally = Tally::default();
    let nested =
        scrubber(&[("abcdefgh", "stub-inner"), ("xxabcdefghyy", "stub-outer"), ("xxabcdefghyy", "stub-later")]);
    let shown = nested.scrubbed(b"xxabcdefghyy xxabcdefghzz abcdefgh", &mut tally).unwrap();
    assert_eq!(shown.escape_ascii().to_string(), "stub-outer** xxstub-innzz stub-inn");
    let counts: Vec<_> = tally.iter().map(|(name, count)| (&**name, count)).collect();
    assert_eq!(counts, [("stub-outer", 1), ("stub-inner", 2)]);
}

#[test]
fn overlapping_credentials_are_taken_from_the_left() {
    let mut text = b"<abcdefghijkl>".to_vec();
    assert_eq!(scrubber(&[("abcdefgh", "stub-one"), ("efghijkl", "stub-two")]).scrub(&mut text), 1);
    assert_eq!(text, b"<stub-oneijkl>");
}

#[test]
fn a_stub_that_holds_a_credential_is_not_shown_for_one() {
    // A placeholder that someone put where a credential should be.
    let mut text = b"proxy-token-github!".to_vec();
    assert_eq!(scrubber(&[("proxy-token", STUB), ("proxy-token-github", STUB)]).scrub(&mut text), 1);
    assert_eq!(text, b"******************!");
}

#[test]
fn what_only_resembles_a_credential_stays() {
    for text in [&SECRET[1..], &SECRET[..SECRET.len() - 1], STUB, &SECRET.to_uppercase(), &SECRET.replace('+', " ")] {
        let mut bytes = text.as_bytes().to_vec();
        assert_eq!(scrubber(&[(SECRET, STUB)]).scrub(&mut bytes), 0);
        assert_eq!(bytes, text.as_bytes());
    }
}

proptest::proptest! {
    #[test]
    fn no_secret_survives_in_any_of_its_forms(
        secret in "[!-~]{8,60}",
        before in "[ -~]{0,20}",
        behind in "[ -~]{0,20}",
    ) {
        let scrubber = scrubber(&[(&secret, STUB)]);
        let texts = [
            format!("{before}{secret}{behind}"),
            STANDARD.encode(format!("{before}{secret}{behind}")),
            URL_SAFE.encode(format!("{before}{secret}{behind}")),
            format!("{before}{}{behind}", secret.bytes().map(|b| format!("{b:02x}")).collect::<String>()),
            format!("{before}{}{behind}", secret.bytes().map(|b| format!("%{b:02X}")).collect::<String>()),
            format!("{before}{}{behind}", secret.replace('\\', "\\\\").replace('"', "\\\"")),
        ];
        for text in texts {
            let mut bytes = text.clone().into_bytes();
            proptest::prop_assert!(scrubber.scrub(&mut bytes) >= 1, "{}", text);
            proptest::prop_assert_eq!(bytes.len(), text.len());
        }
    }
}
