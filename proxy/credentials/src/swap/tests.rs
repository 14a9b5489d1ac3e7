use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

const STUB: &str = "proxy-token-github";
const REAL: &str = "ghp_R3al:Value+/=";

fn secret(value: &str) -> Secret {
    Secret::new(Zeroizing::new(value.as_bytes().to_vec())).ok().unwrap()
}

fn swap(slot: SlotRef<'_>, original: &[u8], value: &str) -> Result<String, SwapError> {
    header_value(slot, STUB.as_bytes(), &secret(value), original).map(|value| {
        assert!(value.is_sensitive());
        String::from_utf8(value.as_bytes().to_vec()).unwrap()
    })
}

fn basic(pair: &str) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

const PASSWORD: SlotRef<'static> = SlotRef::Basic(BasicField::Password);
const USER: SlotRef<'static> = SlotRef::Basic(BasicField::User);

#[test]
fn swaps_in_every_slot() {
    for (slot, original, expected) in [
        (SlotRef::Bearer, format!("Bearer {STUB}"), format!("Bearer {REAL}")),
        (SlotRef::Bearer, format!("bEARER {STUB}"), format!("Bearer {REAL}")),
        (SlotRef::Bearer, format!("Token {STUB}"), format!("token {REAL}")),
        (SlotRef::Bare, STUB.to_owned(), REAL.to_owned()),
        (SlotRef::Header("x-api-key"), STUB.to_owned(), REAL.to_owned()),
        (PASSWORD, basic(&format!("x-access-token:{STUB}")), basic(&format!("x-access-token:{REAL}"))),
        (PASSWORD, basic(&format!(":{STUB}")), basic(&format!(":{REAL}"))),
        (PASSWORD, basic(&format!("b\u{fc}cher:{STUB}")), basic(&format!("b\u{fc}cher:{REAL}"))),
    ] {
        assert_eq!(swap(slot, original.as_bytes(), REAL).as_ref(), Ok(&expected), "{original}");
    }
    for (original, expected) in
        [(format!("{STUB}:"), "ghp_realvalue:"), (format!("{STUB}:x-oauth-basic"), "ghp_realvalue:x-oauth-basic")]
    {
        assert_eq!(swap(USER, basic(&original).as_bytes(), "ghp_realvalue"), Ok(basic(expected)));
    }
}

#[test]
fn basic_is_read_leniently_and_written_canonically() {
    let canonical = STANDARD.encode(format!("u:{STUB}"));
    for written in [canonical.clone(), canonical.trim_end_matches('=').to_owned()] {
        let outcome = swap(PASSWORD, format!("bAsIc {written}").as_bytes(), REAL);
        assert_eq!(outcome, Ok(basic(&format!("u:{REAL}"))));
    }
}

#[test]
fn swaps_nothing_but_the_whole_stub_in_the_granted_place() {
    use SwapError::{Malformed as M, NotTheStub, Slot, Twice};
    let near = |text: &str| text.replace("STUB", STUB);
    for (slot, original, expected) in [
        (SlotRef::Bearer, near("Bearer STUB0"), NotTheStub),
        (SlotRef::Bearer, near("Bearer xSTUB"), NotTheStub),
        (SlotRef::Bearer, near("Bearer proxy-token-githu"), NotTheStub),
        (SlotRef::Bearer, near("Bearer Proxy-Token-GitHub"), NotTheStub),
        (SlotRef::Bearer, near("Bearer  STUB"), M(Malformed::Space)),
        (SlotRef::Bearer, near("Bearer STUB "), M(Malformed::Space)),
        (SlotRef::Bearer, near("Bearer STUB,x"), M(Malformed::Delimiter)),
        (SlotRef::Bearer, near("Bearer STUB\t"), M(Malformed::NotVisible)),
        (SlotRef::Bearer, near("STUB"), NotTheStub),
        (SlotRef::Bearer, near("Negotiate STUB"), NotTheStub),
        (SlotRef::Bearer, basic(&near("u:STUB")), NotTheStub),
        (SlotRef::Bare, near("Bearer STUB"), NotTheStub),
        (SlotRef::Header("x-api-key"), near("Bearer STUB"), NotTheStub),
        (SlotRef::Header("x-api-key"), near(" STUB"), NotTheStub),
        (SlotRef::Header("x-api-key"), near("STUB, STUB"), NotTheStub),
        (PASSWORD, basic(&near("STUB:p")), NotTheStub),
        (PASSWORD, basic(&near("u:STUB:b")), NotTheStub),
        (PASSWORD, basic(&near("a:x:STUB")), NotTheStub),
        (PASSWORD, basic(&near("u:STUB ")), NotTheStub),
        (PASSWORD, basic(&near("STUB:STUB")), Twice),
        (USER, basic(&near("STUB:STUB")), Twice),
        (USER, basic(&near("u:STUB")), NotTheStub),
        (PASSWORD, basic(&near("u:STUB\r\nX-Evil: 1")), M(Malformed::Control)),
        (PASSWORD, near("Bearer STUB"), NotTheStub),
        (SlotRef::Query("key"), near("STUB"), Slot),
        (SlotRef::Elsewhere, near("STUB"), Slot),
    ] {
        assert_eq!(swap(slot, original.as_bytes(), REAL), Err(expected), "{slot:?} {original}");
    }
}

#[test]
fn a_secret_with_a_colon_cannot_be_a_user() {
    let original = basic(&format!("{STUB}:"));
    assert_eq!(swap(USER, original.as_bytes(), REAL), Err(SwapError::Unfit));
}

#[test]
fn an_empty_stub_matches_nothing() {
    for (slot, original) in [(SlotRef::Header("x-api-key"), String::new()), (PASSWORD, basic("u:"))] {
        let outcome = header_value(slot, b"", &secret(REAL), original.as_bytes());
        assert_eq!(outcome.err(), Some(SwapError::NotTheStub));
    }
}

#[test]
fn debug_of_the_value_hides_it() {
    let value = header_value(SlotRef::Bare, STUB.as_bytes(), &secret(REAL), STUB.as_bytes()).unwrap();
    assert!(!format!("{value:?}").contains("ghp_"));
}

fn token() -> impl Strategy<Value = String> {
    "[!#-&(-+\\--~]{8,60}"
}

proptest! {
    #[test]
    fn a_value_that_is_built_never_breaks_a_header(
        original in proptest::collection::vec(any::<u8>(), 0..120),
        real in "[!-~]{8,60}",
        shape in 0usize..6,
    ) {
        let text = String::from_utf8_lossy(&original).into_owned();
        let (slot, original) = match shape {
            0 => (SlotRef::Bearer, format!("{text} {STUB}").into_bytes()),
            1 => (SlotRef::Bare, original),
            2 => (SlotRef::Header("x-api-key"), STUB.as_bytes().to_vec()),
            3 => (PASSWORD, basic(&format!("{text}:{STUB}")).into_bytes()),
            4 => (USER, basic(&format!("{STUB}:{text}")).into_bytes()),
            _ => (SlotRef::Bearer, original),
        };
        if let Ok(value) = header_value(slot, STUB.as_bytes(), &secret(&real), &original) {
            prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            prop_assert!(value.is_sensitive());
        }
    }

    #[test]
    fn basic_decodes_to_the_pair_with_one_field_replaced(user in "[ -9;-~]{0,40}", real in "[!-~]{8,60}") {
        prop_assume!(user != STUB);
        let value = swap(PASSWORD, basic(&format!("{user}:{STUB}")).as_bytes(), &real).unwrap();
        let decoded = STANDARD.decode(value.strip_prefix("Basic ").unwrap()).unwrap();
        prop_assert_eq!(String::from_utf8(decoded).unwrap(), format!("{user}:{real}"));
    }

    #[test]
    fn only_the_whole_token_is_swapped(before in "[a-z0-9-]{0,4}", after in "[a-z0-9-]{0,4}", real in token()) {
        let original = format!("Bearer {before}{STUB}{after}");
        let outcome = swap(SlotRef::Bearer, original.as_bytes(), &real);
        if before.is_empty() && after.is_empty() {
            prop_assert_eq!(outcome, Ok(format!("Bearer {real}")));
        } else {
            prop_assert_eq!(outcome, Err(SwapError::NotTheStub));
        }
    }
}
