//! Stubs that were minted for one agent and one credential, at the decision.

use stubgate_policy::diff::{Diff, Direction};
use stubgate_policy::{
    Ask, Authority, BasicField, Decision, Meaning, Method, MintedStub, Permit, Policy, Reason, RequestStage, Scheme,
    SlotRef, Standing, Target, Token,
};

use crate::support::{ask_with, errors, policy, reason};

const POLICY: &str = "version: 1
agents:
  a: { sources: [\"10.0.0.1/32\"] }
  b: { sources: [\"10.0.0.2/32\"] }
credentials:
  read: { stub: stub-read, slots: [bearer, basic], hosts: [git.example], source: { env: R } }
  write: { stub: stub-write, minted_only: true, slots: [bearer], hosts: [git.example], source: { env: W } }
  other: { stub: stub-other, slots: [bearer], hosts: [other.example], source: { env: O } }
rules:
  - { name: both, agents: [a, b], hosts: [git.example], methods: [GET], credentials: [read, write] }
  - { name: own, agents: [a], hosts: [git.example], methods: [POST], credentials: [write] }
  - { name: open, agents: [a], hosts: [open.example, 'http://git.example'], methods: [GET] }
  - { name: watched, agents: [a], hosts: [watched.example], methods: [GET], effect: observe }
";

fn minted(policy: &Policy, agent: &str, credential: &str, standing: Standing) -> Meaning {
    Meaning::Minted(MintedStub {
        agent: policy.agent_named(agent).unwrap(),
        credential: policy.credential_named(credential).unwrap(),
        id: 7,
        standing,
    })
}

fn ask(policy: &Policy, agent: &str, request: &str, tokens: &[(SlotRef<'_>, Meaning)]) -> Decision<Permit> {
    let (method, url) = request.split_once(' ').unwrap();
    let (scheme, host) = url.split_once("://").unwrap();
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    let authority = Authority::parse(scheme, host.as_bytes()).unwrap();
    let method = Method::parse(method.as_bytes()).unwrap();
    let target = Target::parse(b"/x").unwrap();
    let tokens: Vec<Token<'_>> =
        tokens.iter().map(|(slot, meaning)| Token { slot: *slot, text: b"ghp_x", meaning: *meaning }).collect();
    let at = RequestStage { authority: &authority, method: &method, target: &target, tokens: &tokens };
    policy.decide(&Ask::new(policy.agent_named(agent).unwrap(), at))
}

#[test]
fn of_several_credentials_of_a_host_the_minted_stub_selects_one() {
    let policy = policy(POLICY);
    for credential in ["read", "write"] {
        for agent in ["a", "b"] {
            let stub = minted(&policy, agent, credential, Standing::Good);
            let decision = ask(&policy, agent, "GET https://git.example", &[(SlotRef::Bearer, stub)]);
            let swap = decision.granted().unwrap().swap().unwrap();
            assert_eq!((&*swap.name, &*swap.stub, swap.is_minted), (credential, "ghp_x", true));
        }
    }
}

#[test]
fn a_minted_stub_is_held_to_agent_time_slot_host_and_rule() {
    let policy = policy(POLICY);
    use Reason as R;
    let good = |agent, credential| minted(&policy, agent, credential, Standing::Good);
    let bearer = SlotRef::Bearer;
    for (agent, request, slot, meaning, expected) in [
        ("b", "GET https://git.example", bearer, good("a", "read"), R::StubOfOtherAgent),
        ("b", "GET https://git.example", bearer, minted(&policy, "a", "read", Standing::Expired), R::StubOfOtherAgent),
        ("b", "GET https://git.example", bearer, minted(&policy, "a", "read", Standing::Revoked), R::StubOfOtherAgent),
        ("a", "GET https://git.example", bearer, minted(&policy, "a", "read", Standing::Expired), R::StubExpired),
        ("a", "GET https://git.example", bearer, minted(&policy, "a", "read", Standing::Revoked), R::StubRevoked),
        ("a", "GET https://git.example", bearer, Meaning::Forged, R::StubForged),
        ("a", "GET https://open.example", bearer, Meaning::Forged, R::StubForged),
        ("a", "GET https://watched.example", bearer, Meaning::Forged, R::StubForged),
        ("a", "GET https://watched.example", bearer, good("b", "read"), R::StubOfOtherAgent),
        ("a", "GET https://watched.example", bearer, minted(&policy, "a", "read", Standing::Expired), R::Observed),
        ("a", "GET https://open.example", bearer, good("a", "read"), R::StubWrongHost),
        ("a", "GET https://git.example", bearer, good("a", "other"), R::StubWrongHost),
        ("a", "GET http://git.example", bearer, good("a", "read"), R::StubOverPlain),
        ("a", "GET http://git.example", bearer, good("b", "read"), R::StubOfOtherAgent),
        ("a", "POST https://git.example", bearer, good("a", "read"), R::StubNotGranted),
        ("b", "POST https://git.example", bearer, good("b", "write"), R::MethodNotAllowed),
        ("a", "GET https://git.example", SlotRef::Header("x-api-key"), good("a", "read"), R::StubOutOfSlot),
        ("a", "GET https://git.example", SlotRef::Basic(BasicField::Password), good("a", "write"), R::StubOutOfSlot),
        ("a", "GET https://git.example", SlotRef::Elsewhere, good("a", "read"), R::StubOutOfSlot),
        ("a", "GET https://git.example", SlotRef::Elsewhere, good("b", "read"), R::StubOutOfSlot),
        ("a", "GET http://stubgate.internal", bearer, good("a", "read"), R::PathNotAllowed),
    ] {
        let decision = ask(&policy, agent, request, &[(slot, meaning)]);
        assert_eq!(reason(&decision), Some(expected), "{agent} {request} {slot:?} {meaning:?}");
    }
}

#[test]
fn a_minted_stub_is_one_credential_among_those_of_a_request() {
    let policy = policy(POLICY);
    let stub = minted(&policy, "a", "read", Standing::Good);
    let user = SlotRef::Basic(BasicField::User);
    let password = SlotRef::Basic(BasicField::Password);
    let decision = ask(&policy, "a", "GET https://git.example", &[(user, Meaning::Literal), (password, stub)]);
    assert_eq!(decision.granted().unwrap().swap().unwrap().token_index, 1);
    let two = [(SlotRef::Bearer, stub), (SlotRef::Header("x-api-key"), Meaning::Literal)];
    assert_eq!(reason(&ask(&policy, "a", "GET https://git.example", &two)), Some(Reason::TwoCredentials));
    let twice = [(SlotRef::Bearer, stub), (SlotRef::Bearer, stub)];
    assert_eq!(reason(&ask(&policy, "a", "GET https://git.example", &twice)), Some(Reason::TwoCredentials));
}

#[test]
fn where_only_minted_stubs_count_the_written_one_is_refused_and_still_a_stub() {
    let policy = policy(POLICY);
    let literal = |request| ask_with(&policy, "a", request, &[(SlotRef::Bearer, "stub-write")]);
    assert_eq!(reason(&literal("GET https://git.example/x")), Some(Reason::StubNotGranted));
    assert_eq!(reason(&literal("GET https://open.example/x")), Some(Reason::StubWrongHost));
    let open = ask_with(&policy, "a", "GET https://git.example/x", &[(SlotRef::Bearer, "stub-read")]);
    assert!(!open.granted().unwrap().swap().unwrap().is_minted);
    assert_eq!(errors(&POLICY.replace("minted_only: true", "minted_only: maybe")).len(), 1);
}

#[test]
fn the_record_can_name_whose_stub_it_was() {
    let policy = policy(POLICY);
    let authority = Authority::parse(Scheme::Https, b"other.example").unwrap();
    let (a, write) = (policy.agent_named("a").unwrap(), policy.credential_named("write"));
    let named = |meaning| {
        let token = Token { slot: SlotRef::Bearer, text: b"ghp_x", meaning };
        policy.credential_of_stub(a, &authority, &token)
    };
    assert_eq!(named(minted(&policy, "b", "write", Standing::Good)), write);
    assert_eq!(named(Meaning::Forged), None);
    assert_eq!(named(Meaning::Literal), None);
}

#[test]
fn a_diff_sees_what_only_minted_stubs_open_and_that_the_written_one_goes() {
    let open = POLICY.replace(" minted_only: true,", "");
    let without = POLICY.replace("credentials: [read, write]", "credentials: [read]");
    let widens = |old: &str, new: &str| {
        let (old, new) = (policy(old), policy(new));
        Diff::between(&old, &new).count(Direction::Widens)
    };
    assert!(widens(&without, POLICY) > 0, "a credential is granted");
    assert_eq!(widens(POLICY, &without), 0);
    assert!(widens(POLICY, &open) > 0, "a stub that everybody may know stands for it now");
    assert_eq!(widens(&open, POLICY), 0);
    assert_eq!(widens(POLICY, POLICY), 0);
}
