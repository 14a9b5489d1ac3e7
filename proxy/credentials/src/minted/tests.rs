use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use stubgate_policy::{SourceFile, compile};

use super::seal::OPERATIONS;
use super::*;

const POLICY: &str = "version: 1
agents:
  devbot: { sources: [\"10.0.0.1/32\"] }
  otherbot: { sources: [\"10.0.0.2/32\"] }
credentials:
  api: { stub: proxy-token-api, slots: [bearer], hosts: [a.example], source: { env: A } }
  model: { stub: proxy-token-model, slots: [bearer], hosts: [a.example], source: { env: B } }
";

fn policy() -> Policy {
    compile(&[SourceFile { name: "p".into(), text: POLICY.into() }]).unwrap().policy
}

fn key() -> StubKey {
    StubKey::new(&[7; 32])
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn tomorrow() -> Expiry {
    Expiry::at(now() + Duration::from_secs(86_400)).unwrap()
}

/// A verifier whose list of revocations was read and is empty, and the folder that it is in.
fn verifier() -> (Verifier, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let revoked = Revoked::new(folder.path().join("revoked"));
    revoked.reload().unwrap();
    (Verifier::new(Arc::new(Minting { key: key(), revoked }), &policy()), folder)
}

fn api(shape: Shape) -> String {
    mint(&key(), "devbot", "api", tomorrow(), [1, 2, 3], shape)
}

fn standing(verifier: &Verifier, text: &str) -> Result<Standing, Meaning> {
    match verifier.meaning(text.as_bytes(), now()) {
        Meaning::Minted(stub) => Ok(stub.standing),
        other => Err(other),
    }
}

#[test]
fn every_shape_says_whose_it_is_what_for_and_until_when() {
    let (verifier, _folder) = verifier();
    let policy = policy();
    for shape in Shape::ALL {
        let text = api(shape);
        assert_eq!(Shape::parse(shape.as_str()), Some(shape));
        assert_eq!(text.len(), shape.length(), "{text}");
        assert!(text.len() <= LONGEST);
        assert!(text.starts_with(shape.beginning()), "{text}");
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)), "{text}");
        assert_eq!(well_formed(format!("{text}, and more").as_bytes()), Some(text.len()));
        let said = verifier.said(text.as_bytes(), now()).unwrap();
        assert_eq!(policy.agent(said.stub.agent).name(), "devbot");
        assert_eq!(policy.credential(said.stub.credential).name(), "api");
        assert_eq!((said.expiry, said.shape, said.stub.standing), (tomorrow(), shape, Standing::Good));
        assert_eq!(said.id().to_string().parse(), Ok(said.id()));
    }
}

#[test]
fn the_shapes_are_those_that_clients_check() {
    let pattern = |text: &str, prefix: &str, lengths: &[usize]| {
        let rest = text.strip_prefix(prefix).unwrap();
        let parts: Vec<usize> = rest.split('_').map(str::len).collect();
        assert_eq!(parts, lengths, "{text}");
        assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{text}");
    };
    pattern(&api(Shape::Ghp), "ghp_", &[36]);
    pattern(&api(Shape::GithubPat), "github_pat_", &[22, 59]);
    pattern(&api(Shape::SkAntOat), "sk-ant-oat01-", &[95]);
    pattern(&api(Shape::SkAntApi), "sk-ant-api03-", &[95]);
    pattern(&api(Shape::Sk), "sk-", &[48]);
    for shape in [Shape::SkAntOat, Shape::SkAntApi] {
        assert!(api(shape).ends_with("AA"));
    }
    let ghp = api(Shape::Ghp);
    assert_eq!(base62::checksum(&ghp.as_bytes()[4..34]), ghp[34..]);
}

#[test]
fn a_jwt_has_three_parts_and_says_when_it_ends() {
    let text = api(Shape::Jwt);
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!(parts.len(), 3);
    let decoded = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert_eq!(decoded(parts[0]), r#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = decoded(parts[1]);
    let (_, exp) = claims.strip_suffix('}').unwrap().split_once(r#","exp":"#).unwrap();
    assert_eq!(exp.parse(), Ok(tomorrow().seconds()));
    assert_eq!(URL_SAFE_NO_PAD.decode(parts[2]).unwrap().len(), 32, "as HS256 has");
}

#[test]
fn what_a_stub_says_about_its_end_is_what_counts() {
    let (verifier, _folder) = verifier();
    let payload = shape::read(api(Shape::Jwt).as_bytes()).unwrap().payload;
    let later = Shape::Jwt.write(&payload, tomorrow().seconds() + 3_600);
    assert!(well_formed(later.as_bytes()).is_some());
    assert_eq!(standing(&verifier, &later), Err(Meaning::Forged));
}

#[test]
fn a_stub_ends_at_the_hour_that_it_says() {
    let (verifier, _folder) = verifier();
    let text = api(Shape::Ghp);
    let meaning = |time| match verifier.meaning(text.as_bytes(), time) {
        Meaning::Minted(stub) => stub.standing,
        other => panic!("{other:?}"),
    };
    assert_eq!(meaning(tomorrow().time() - Duration::from_millis(1)), Standing::Good);
    assert_eq!(meaning(tomorrow().time()), Standing::Expired);
    assert_eq!(Expiry::at(UNIX_EPOCH), None, "before they are counted");
    assert_eq!(Expiry::at(now()).unwrap().seconds() % HOUR_SECONDS, EPOCH_SECONDS % HOUR_SECONDS);
    assert!(Expiry::at(now()).unwrap().time() >= now());
    assert!(Expiry::at(now() + LONGEST_LIFE).is_some());
    assert_eq!(Expiry::at(now() + Duration::from_secs(300 * 365 * 86_400)), None);
}

#[test]
fn a_revoked_stub_is_revoked_also_once_it_has_expired() {
    let (verifier, folder) = verifier();
    let text = api(Shape::Sk);
    let id = verifier.said(text.as_bytes(), now()).unwrap().id();
    revoke(&folder.path().join("revoked"), id, tomorrow().time(), now()).unwrap();
    assert_eq!(standing(&verifier, &text), Ok(Standing::Good), "not read yet");
    assert!(verifier.minting.revoked.reload().unwrap());
    assert_eq!(standing(&verifier, &text), Ok(Standing::Revoked));
    let other = mint(&key(), "devbot", "api", tomorrow(), [1, 2, 4], Shape::Sk);
    assert_eq!(standing(&verifier, &other), Ok(Standing::Good), "another one of the same agent");
    let late = verifier.meaning(text.as_bytes(), tomorrow().time());
    assert!(matches!(late, Meaning::Minted(MintedStub { standing: Standing::Revoked, .. })));
}

#[test]
fn without_a_list_of_revocations_all_are_revoked() {
    let revoked = Revoked::new(PathBuf::from("/nowhere/revoked"));
    let verifier = Verifier::new(Arc::new(Minting { key: key(), revoked }), &policy());
    assert_eq!(standing(&verifier, &api(Shape::Plain)), Ok(Standing::Revoked));
}

#[test]
fn a_stub_of_another_key_agent_credential_or_shape_is_forged() {
    let (verifier, _folder) = verifier();
    let mint_with =
        |key: &StubKey, agent: &str, credential: &str| mint(key, agent, credential, tomorrow(), [0; 3], Shape::Ghp);
    for (text, case) in [
        (mint_with(&StubKey::new(&[8; 32]), "devbot", "api"), "another key"),
        (mint_with(&key(), "gonebot", "api"), "an agent that the policy does not name"),
        (mint_with(&key(), "devbot", "gone"), "a credential that the policy does not name"),
        (mint_with(&key(), "devbota", "pi"), "the border of the names moved"),
    ] {
        assert_eq!(standing(&verifier, &text), Err(Meaning::Forged), "{case}");
    }
    let payload = shape::read(api(Shape::Ghp).as_bytes()).unwrap().payload;
    for shape in Shape::ALL.into_iter().filter(|shape| *shape != Shape::Ghp) {
        let moved = shape.write(&payload, tomorrow().seconds());
        assert_eq!(standing(&verifier, &moved), Err(Meaning::Forged), "{shape:?}");
    }
}

#[test]
fn what_does_not_look_like_ours_is_nothing_of_ours() {
    let (verifier, _folder) = verifier();
    for text in ["", "proxy-token-api", "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", "sk-sgm", "xghp_SGM", "GHP_SGM"] {
        assert_eq!(verifier.meaning(text.as_bytes(), now()), Meaning::Literal, "{text}");
    }
    for text in ["ghp_SGM", "sk-SGM0", "stubgate-SGM", &format!("{}x", api(Shape::Ghp)), &api(Shape::Ghp)[..39]] {
        assert_eq!(verifier.meaning(text.as_bytes(), now()), Meaning::Forged, "{text}");
    }
}

#[test]
fn whatever_is_wrong_with_a_stub_costs_the_same_operations() {
    let (verifier, folder) = verifier();
    let revoked = mint(&key(), "devbot", "model", tomorrow(), [9; 3], Shape::Ghp);
    let id = verifier.said(revoked.as_bytes(), now()).unwrap().id();
    revoke(&folder.path().join("revoked"), id, tomorrow().time(), now()).unwrap();
    verifier.minting.revoked.reload().unwrap();
    let yesterday = Expiry::at(now() - Duration::from_secs(86_400)).unwrap();
    let mut altered = api(Shape::Ghp);
    altered.replace_range(10..11, if &altered[10..11] == "a" { "b" } else { "a" });
    for (text, case) in [
        (api(Shape::Ghp), "good"),
        (mint(&key(), "otherbot", "api", tomorrow(), [0; 3], Shape::Ghp), "of another agent"),
        (mint(&key(), "devbot", "api", yesterday, [0; 3], Shape::Ghp), "expired"),
        (revoked, "revoked"),
        (mint(&StubKey::new(&[8; 32]), "devbot", "api", tomorrow(), [0; 3], Shape::Ghp), "made up"),
        (mint(&key(), "gonebot", "api", tomorrow(), [0; 3], Shape::Ghp), "of nobody"),
        (altered, "altered"),
        ("ghp_SGM".to_owned(), "cut short"),
    ] {
        let before = OPERATIONS.with(std::cell::Cell::get);
        let _ = verifier.meaning(text.as_bytes(), now());
        assert_eq!(OPERATIONS.with(std::cell::Cell::get) - before, 2, "{case}");
    }
}

#[test]
fn stubs_look_like_chance() {
    // Nothing of names, end and serial shows: two that differ in the serial alone share the beginning and no more.
    let one = api(Shape::Plain);
    let two = mint(&key(), "devbot", "api", tomorrow(), [1, 2, 4], Shape::Plain);
    let same = one.bytes().zip(two.bytes()).skip(12).filter(|(a, b)| a == b).count();
    assert!(same < 10, "{one} {two}");
}

fn shapes() -> impl Strategy<Value = Shape> {
    proptest::sample::select(Shape::ALL.to_vec())
}

proptest! {
    #[test]
    fn what_is_written_is_read(payload in any::<[u8; 20]>(), exp in 1_704_067_200_u64..9_999_999_999, shape in shapes()) {
        let text = shape.write(&payload, exp);
        let read = shape::read(text.as_bytes()).unwrap();
        prop_assert_eq!((read.shape, read.payload), (shape, payload));
        prop_assert!(read.exp.is_none_or(|read| read == exp));
    }

    #[test]
    fn a_stub_with_any_bit_turned_is_none(at in any::<proptest::sample::Index>(), bit in 0..8_u8, shape in shapes()) {
        let (verifier, _folder) = verifier();
        let mut bytes = api(shape).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        // Where the beginning changed it does not even claim to be one.
        let expected = if at < shape.beginning().len() { Meaning::Literal } else { Meaning::Forged };
        prop_assert_eq!(verifier.meaning(&bytes, now()), expected);
        // A plain one has nothing to spare, and the end of a JWT can say any number.
        prop_assert!(well_formed(&bytes).is_none() || matches!(shape, Shape::Plain | Shape::Jwt));
    }

    #[test]
    fn a_payload_with_any_bit_turned_is_forged(bit in 0..160_usize, shape in shapes()) {
        let (verifier, _folder) = verifier();
        let mut payload = shape::read(api(shape).as_bytes()).unwrap().payload;
        payload[bit / 8] ^= 1 << (bit % 8);
        let text = shape.write(&payload, tomorrow().seconds());
        prop_assert!(well_formed(text.as_bytes()).is_some());
        prop_assert_eq!(verifier.meaning(text.as_bytes(), now()), Meaning::Forged);
    }

    #[test]
    fn no_text_makes_it_stumble(shape in shapes(), rest in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (verifier, _folder) = verifier();
        let bytes = [shape.beginning().as_bytes(), &rest].concat();
        prop_assert_eq!(verifier.meaning(&bytes, now()), Meaning::Forged);
    }
}
