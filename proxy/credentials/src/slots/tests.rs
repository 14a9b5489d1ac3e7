use proptest::prelude::*;

use super::*;

const STUB: &[u8] = b"proxy-token-github";

/// A readable form of the outcome, for tables.
fn shape(value: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match parse_authorization(value) {
        Ok(Parsed::Bearer { scheme, token }) => format!("{} {}", scheme.as_str(), text(token)),
        Ok(Parsed::Basic(pair)) => format!("Basic {}|{}", text(pair.user()), text(pair.password())),
        Ok(Parsed::Bare(token)) => format!("bare {}", text(token)),
        Ok(Parsed::Other { scheme }) => format!("other {}", text(scheme)),
        Err(why) => format!("{why:?}"),
    }
}

#[test]
fn reads_bearer_in_any_case_and_keeps_which_scheme_it_was() {
    for (value, expected) in [
        ("Bearer stub-1", "Bearer stub-1"),
        ("bearer stub-1", "Bearer stub-1"),
        ("BEARER stub-1", "Bearer stub-1"),
        ("token stub-1", "token stub-1"),
        ("Token stub-1", "token stub-1"),
        ("Bearer a.b-c_d~e+f/g==", "Bearer a.b-c_d~e+f/g=="),
        ("Bearer 1|laravel", "Bearer 1|laravel"),
    ] {
        assert_eq!(shape(value.as_bytes()), expected, "{value:?}");
    }
}

#[test]
fn refuses_every_near_miss_of_the_grammar() {
    for (value, expected) in [
        ("", "Empty"),
        (" ", "Space"),
        ("Bearer", "NoToken"),
        ("token", "NoToken"),
        ("basic", "NoToken"),
        ("Bearer ", "NoToken"),
        (" Bearer stub-1", "Space"),
        ("Bearer  stub-1", "Space"),
        ("Bearer stub-1 ", "Space"),
        ("Bearer stub-1 x", "Space"),
        ("Bearer\tstub-1", "NotVisible"),
        ("Bearer stub-1\t", "NotVisible"),
        ("Bearer stub-1\r\nX: y", "NotVisible"),
        ("Bearer stub-1\0", "NotVisible"),
        ("Bearer st\u{fc}b", "NotVisible"),
        ("Bearer stub-1,foo", "Delimiter"),
        ("Bearer \"stub-1\"", "Delimiter"),
        ("Bearer 'stub-1'", "Delimiter"),
        ("Bear\"er stub-1", "Scheme"),
        ("Bearer: stub-1", "Scheme"),
        ("Bearer=stub-1 x", "Scheme"),
        ("stub-1,stub-2", "Delimiter"),
    ] {
        assert_eq!(shape(value.as_bytes()), expected, "{value:?}");
    }
    assert_eq!(shape(&[b'a'; VALUE_MAXIMUM_BYTES + 1]), "TooLong");
}

#[test]
fn a_stub_with_anything_around_it_is_another_token() {
    for value in ["Bearer xstub-1", "Bearer stub-1y", "Bearer stub-10", "Bearer stub-1;", "Bearer <stub-1>"] {
        let Ok(Parsed::Bearer { token, .. }) = parse_authorization(value.as_bytes()) else {
            panic!("{value}");
        };
        assert_ne!(token, b"stub-1");
    }
}

#[test]
fn reads_bare_tokens_and_other_schemes() {
    for (value, expected) in [
        ("cio-stub", "bare cio-stub"),
        ("Bearerstub", "bare Bearerstub"),
        ("Negotiate YII=", "other Negotiate"),
        ("AWS4-HMAC-SHA256 Credential=x/y, SignedHeaders=host", "other AWS4-HMAC-SHA256"),
        ("Digest username=\"a\", realm=\"b\"", "other Digest"),
    ] {
        assert_eq!(shape(value.as_bytes()), expected, "{value:?}");
    }
}

#[test]
fn reads_basic_leniently_and_splits_at_the_first_colon() {
    for (value, expected) in [
        ("Basic dXNlcjpzdHVi", "Basic user|stub"),
        ("basic dXNlcjpzdHVi", "Basic user|stub"),
        ("BASIC dXNlcjpzdHVi", "Basic user|stub"),
        // "u:p": padded, without padding, and with trailing bits that are not zero
        ("Basic dTpw", "Basic u|p"),
        ("Basic dTpwcA==", "Basic u|pp"),
        ("Basic dTpwcA=", "Basic u|pp"),
        ("Basic dTpwcA", "Basic u|pp"),
        ("Basic dTpwcB==", "Basic u|pp"),
        // "u:~~~?" needs both odd letters, here in the URL-safe alphabet
        ("Basic dTp-fn4_", "Basic u|~~~?"),
        ("Basic dTp+fn4/", "Basic u|~~~?"),
        ("Basic OnN0dWI=", "Basic |stub"),
        ("Basic c3R1Yjo=", "Basic stub|"),
        ("Basic Og==", "Basic |"),
        ("Basic YTpzdHViOmI=", "Basic a|stub:b"),
    ] {
        assert_eq!(shape(value.as_bytes()), expected, "{value:?}");
    }
}

#[test]
fn refuses_basic_that_hides_something() {
    for (value, expected) in [
        ("Basic dXNlcjpz dHVi", "Space"),
        ("Basic dXNlcjpz\tdHVi", "NotVisible"),
        ("Basic dXNlcjpzdHVi,", "Delimiter"),
        ("Basic dXNlcjpzdHVi!", "Base64"),
        ("Basic d", "Base64"),
        ("Basic dTpwcA===", "Base64"),
        ("Basic dTpw=cA", "Base64"),
        ("Basic dXNlcg==", "NoColon"),
        // "u:p\r\nX: y", "u:\0", "u\n:p"
        ("Basic dTpwDQpYOiB5", "Control"),
        ("Basic dToA", "Control"),
        ("Basic dQo6cA==", "Control"),
    ] {
        assert_eq!(shape(value.as_bytes()), expected, "{value:?}");
    }
}

#[test]
fn keeps_users_that_are_not_utf8() {
    let value = encode_basic(b"b\xfccher", STUB);
    let Ok(Parsed::Basic(pair)) = parse_authorization(&value) else { panic!() };
    assert_eq!(pair.user(), b"b\xfccher");
    assert_eq!(pair.password(), STUB);
}

proptest! {
    #[test]
    fn never_panics_and_never_yields_a_token_with_a_space(value in proptest::collection::vec(any::<u8>(), 0..200)) {
        match parse_authorization(&value) {
            Ok(Parsed::Bearer { token, .. } | Parsed::Bare(token)) => {
                prop_assert!(!token.is_empty());
                prop_assert!(token.iter().all(u8::is_ascii_graphic));
            }
            Ok(Parsed::Basic(pair)) => {
                prop_assert!(!pair.user().contains(&b':'));
                prop_assert!(!pair.user().iter().chain(pair.password()).any(u8::is_ascii_control));
            }
            Ok(Parsed::Other { .. }) | Err(_) => {}
        }
    }

    #[test]
    fn what_is_encoded_is_read_back(
        user in proptest::collection::vec(0x20u8..0x7f, 0..40).prop_map(without_colon),
        password in proptest::collection::vec(0x20u8..0x7f, 0..40),
    ) {
        let value = encode_basic(&user, &password);
        match parse_authorization(&value) {
            Ok(Parsed::Basic(pair)) => {
                prop_assert_eq!(pair.user(), &user[..]);
                prop_assert_eq!(pair.password(), &password[..]);
            }
            _ => prop_assert!(false, "not read as Basic"),
        }
        let standard = STANDARD.encode([&user[..], b":", &password[..]].concat());
        prop_assert_eq!(&value[..], [b"Basic ", standard.as_bytes()].concat());
    }
}

fn without_colon(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().filter(|byte| *byte != b':').collect()
}
