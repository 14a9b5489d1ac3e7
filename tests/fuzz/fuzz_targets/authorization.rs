//! `Authorization` values: a token is a whole part of the value or of what Basic decodes to, and holds nothing that
//! could end a header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stubgate_credentials::slots::{Parsed, parse_authorization};

fuzz_target!(|data: &[u8]| {
    let Ok(parsed) = parse_authorization(data) else { return };
    assert!(data.iter().all(|b| (0x20..0x7f).contains(b)));
    let is_token = |token: &[u8]| {
        assert!(!token.is_empty() && token.iter().all(|b| (0x21..0x7f).contains(b) && !b",\"'".contains(b)));
        assert!(data.ends_with(token), "a whole token ends where the value ends");
    };
    match parsed {
        Parsed::Bearer { scheme, token } => {
            is_token(token);
            let again = [scheme.as_str().as_bytes(), b" ", token].concat();
            assert!(parse_authorization(&again) == Ok(Parsed::Bearer { scheme, token }));
            assert_eq!(again.len(), data.len());
        }
        Parsed::Bare(token) => {
            is_token(token);
            assert_eq!(token, data);
        }
        Parsed::Basic(pair) => {
            assert!(!pair.user().contains(&b':'));
            let whole = [pair.user(), pair.password()].concat();
            assert!(!whole.iter().any(u8::is_ascii_control));
        }
        Parsed::Other { scheme } => {
            assert!(data.starts_with(scheme) && data.get(scheme.len()) == Some(&b' '));
        }
    }
});
