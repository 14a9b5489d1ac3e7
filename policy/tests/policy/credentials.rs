//! Law 3 at the decision: a credential is swapped only where everything says so.

use stubgate_policy::{BasicField, Decision, Permit, Policy, Reason, Slot, SlotRef};

use crate::support::{ask_with, authority, errors, policy, reason, with_rules};

const USER: SlotRef<'static> = SlotRef::Basic(BasicField::User);
const PASSWORD: SlotRef<'static> = SlotRef::Basic(BasicField::Password);

const RULES: &str = "  - { name: read, agents: [a, b], hosts: [api.github.com], methods: [GET], credentials: [github] }
  - { name: push, agents: [a], hosts: [github.com], methods: [GET, POST], paths: ['/acme/**'], credentials: [github] }
  - { name: ask, agents: [a], hosts: ['api.model.example:8443'], methods: [POST], credentials: [model], credential_required: true }
  - { name: bare-model, agents: [a], hosts: [api.model.example], methods: [POST] }
  - { name: public, agents: ['*'], hosts: [files.example, 'http://plain.example', 'http://github.com'], methods: [any] }
  - { name: web, agents: [b], hosts: [github.com], methods: [GET], foreign_credentials: allow }
";

fn swapped(policy: &Policy, decision: &Decision<Permit>) -> Option<(String, usize, String)> {
    let permit = decision.granted()?;
    let swap = permit.swap()?;
    assert_eq!(policy.credential(swap.credential).name(), &*swap.name);
    assert_eq!(policy.credential(swap.credential).stub(), &*swap.stub);
    Some((swap.name.to_string(), swap.token_index, policy.rule(permit.rule()).name().to_owned()))
}

#[test]
fn a_stub_is_swapped_in_a_declared_slot_for_a_granted_agent_rule_and_host() {
    let policy = policy(&with_rules(RULES));
    for (agent, request, slot, stub, name, rule) in [
        ("a", "GET https://api.github.com/user", SlotRef::Bearer, "stub-github", "github", "read"),
        ("b", "GET https://api.github.com/user", SlotRef::Bearer, "stub-github", "github", "read"),
        ("a", "GET https://api.github.com/user", PASSWORD, "stub-github", "github", "read"),
        ("a", "GET https://api.github.com/user", USER, "stub-github", "github", "read"),
        ("a", "POST https://github.com/acme/x.git/git-receive-pack", PASSWORD, "stub-github", "github", "push"),
        ("a", "POST https://api.model.example:8443/v1", SlotRef::Header("x-api-key"), "stub-model", "model", "ask"),
        ("a", "POST https://api.model.example:8443/v1", SlotRef::Header("X-Api-Key"), "stub-model", "model", "ask"),
        ("a", "POST https://api.model.example:8443/v1", SlotRef::Query("key"), "stub-model", "model", "ask"),
    ] {
        let decision = ask_with(&policy, agent, request, &[(slot, stub)]);
        assert_eq!(swapped(&policy, &decision), Some((name.into(), 0, rule.into())), "{agent} {request} {slot:?}");
    }
}

#[test]
fn a_stub_anywhere_else_is_refused_with_the_reason() {
    let policy = policy(&with_rules(RULES));
    use Reason as R;
    for (agent, request, slot, stub, expected) in [
        ("a", "GET https://api.github.com/user", SlotRef::Bare, "stub-github", R::StubOutOfSlot),
        ("a", "GET https://api.github.com/user", SlotRef::Header("cookie"), "stub-github", R::StubOutOfSlot),
        ("a", "GET https://api.github.com/user", SlotRef::Query("token"), "stub-github", R::StubOutOfSlot),
        ("a", "GET https://api.github.com/user", SlotRef::Elsewhere, "stub-github", R::StubOutOfSlot),
        ("a", "GET https://files.example/x", SlotRef::Elsewhere, "stub-github", R::StubOutOfSlot),
        ("a", "POST https://api.model.example:8443/v1", SlotRef::Query("Key"), "stub-model", R::StubOutOfSlot),
        ("a", "POST https://api.model.example:8443/v1", SlotRef::Bearer, "stub-model", R::StubOutOfSlot),
        ("a", "GET https://files.example/x", SlotRef::Bearer, "stub-github", R::StubWrongHost),
        ("a", "GET https://files.example/x", SlotRef::Header("x-api-key"), "stub-model", R::StubWrongHost),
        ("a", "POST https://api.model.example/v1", SlotRef::Header("x-api-key"), "stub-model", R::StubWrongHost),
        ("a", "POST https://api.model.example:8443/v1", SlotRef::Header("x-api-key"), "stub-github", R::StubWrongHost),
        ("b", "GET https://github.com/acme/x", SlotRef::Bearer, "stub-github", R::StubNotGranted),
        ("a", "GET http://plain.example/", SlotRef::Bearer, "stub-github", R::StubOverPlain),
        ("a", "GET http://github.com/", SlotRef::Bearer, "stub-github", R::StubOverPlain),
        ("b", "GET https://api.github.com/", SlotRef::Header("x-api-key"), "stub-model", R::StubWrongHost),
        ("a", "GET https://github.com/other/x", PASSWORD, "stub-github", R::PathNotAllowed),
    ] {
        let decision = ask_with(&policy, agent, request, &[(slot, stub)]);
        assert_eq!(reason(&decision), Some(expected), "{agent} {request} {slot:?}");
    }
}

#[test]
fn only_a_whole_stub_is_a_stub() {
    let policy = policy(&with_rules(RULES));
    for text in ["stub-githu", "stub-githubx", "xstub-github", "STUB-GITHUB", "stub-github ", " stub-github", ""] {
        let decision = ask_with(&policy, "a", "GET https://api.github.com/user", &[(SlotRef::Bearer, text)]);
        assert_eq!(reason(&decision), Some(Reason::ForeignCredential), "{text:?}");
    }
}

#[test]
fn a_foreign_credential_is_refused_on_every_bound_host_for_every_agent() {
    let policy = policy(&with_rules(RULES));
    for (agent, request, allowed) in [
        ("a", "GET https://api.github.com/user", false),
        ("b", "GET https://api.github.com/user", false),
        ("a", "GET https://github.com/acme/x", false),
        ("b", "GET https://github.com/acme/x", true),
        ("a", "POST https://api.model.example:8443/v1", false),
        ("a", "POST https://api.model.example/v1", true),
        ("a", "GET https://files.example/x", true),
        ("a", "GET http://plain.example/x", true),
        ("a", "GET http://github.com/x", false),
    ] {
        for slot in
            [SlotRef::Bearer, PASSWORD, SlotRef::Bare, SlotRef::Header("cookie"), SlotRef::Query("access_token")]
        {
            let decision = ask_with(&policy, agent, request, &[(slot, "somebody-elses")]);
            let expected = (!allowed).then_some(Reason::ForeignCredential);
            assert_eq!(reason(&decision), expected, "{agent} {request} {slot:?}");
        }
    }
    let two = [(SlotRef::Bearer, "session"), (SlotRef::Header("cookie"), "s=1")];
    assert!(ask_with(&policy, "b", "GET https://github.com/x", &two).granted().is_some());
    assert!(policy.is_bound(&authority("https://api.github.com")));
    assert!(policy.is_bound(&authority("http://github.com")));
    assert!(!policy.is_bound(&authority("https://api.model.example")));
    assert!(!policy.is_bound(&authority("https://files.example")));
    let slots: Vec<&Slot> = policy.bound_slots(&authority("https://api.model.example:8443")).collect();
    assert_eq!(slots, [&Slot::Header("x-api-key".into()), &Slot::Query("key".into())]);
}

#[test]
fn two_credentials_in_one_request_are_refused() {
    let policy = policy(&with_rules(RULES));
    let github = "GET https://api.github.com/user";
    for tokens in [
        &[(SlotRef::Bearer, "stub-github"), (SlotRef::Header("x-api-key"), "other")][..],
        &[(SlotRef::Header("x-api-key"), "other"), (SlotRef::Bearer, "stub-github")],
        &[(SlotRef::Bearer, "stub-github"), (SlotRef::Header("cookie"), "session=1")],
        &[(USER, "stub-github"), (PASSWORD, "stub-github")],
        &[(PASSWORD, "stub-github"), (PASSWORD, "other")],
        &[(USER, "x"), (PASSWORD, "stub-github"), (PASSWORD, "other")],
        &[(USER, "stub-github"), (PASSWORD, "a-long-token-of-somebody-else")],
    ] {
        assert_eq!(reason(&ask_with(&policy, "a", github, tokens)), Some(Reason::TwoCredentials), "{tokens:?}");
    }
    let model = [(SlotRef::Header("x-api-key"), "stub-model"), (SlotRef::Query("key"), "stub-model")];
    let decision = ask_with(&policy, "a", "POST https://api.model.example:8443/", &model);
    assert_eq!(reason(&decision), Some(Reason::TwoCredentials));
    let misused = [(SlotRef::Bearer, "stub-github"), (SlotRef::Header("x-api-key"), "stub-model")];
    assert_eq!(
        reason(&ask_with(&policy, "a", github, &misused)),
        Some(Reason::StubWrongHost),
        "the tripwire speaks first"
    );
}

#[test]
fn the_other_half_of_basic_is_no_credential_of_its_own() {
    let policy = policy(&with_rules(RULES));
    for (tokens, index) in [
        (&[(USER, "x-access-token"), (PASSWORD, "stub-github")][..], 1),
        (&[(PASSWORD, "stub-github"), (USER, "a-rather-long-user-name@example.com")], 0),
        (&[(USER, "stub-github"), (PASSWORD, "x-oauth-basic")], 0),
        (&[(USER, "stub-github"), (PASSWORD, "")], 0),
    ] {
        let decision = ask_with(&policy, "a", "GET https://github.com/acme/x", tokens);
        assert_eq!(swapped(&policy, &decision).map(|swap| swap.1), Some(index), "{tokens:?}");
    }
    let foreign = [(USER, "me"), (PASSWORD, "mine")];
    assert_eq!(
        reason(&ask_with(&policy, "a", "GET https://github.com/acme/x", &foreign)),
        Some(Reason::ForeignCredential)
    );
}

#[test]
fn a_request_without_a_credential_goes_on_unless_every_rule_demands_one() {
    let text = with_rules(RULES);
    let demanding = policy(&text);
    assert!(
        ask_with(&demanding, "a", "GET https://github.com/acme/x", &[]).granted().is_some(),
        "git's first request needs its 401"
    );
    let model = "POST https://api.model.example:8443/v1";
    assert_eq!(reason(&ask_with(&demanding, "a", model, &[])), Some(Reason::CredentialRequired));
    let more = "  - { name: zz, agents: [a], hosts: ['api.model.example:8443'], methods: [any] }\n";
    let relaxed = policy(&(text + more));
    assert!(ask_with(&relaxed, "a", model, &[]).granted().is_some());
}

#[test]
fn agent_and_stub_select_one_credential() {
    let text = "version: 1
agents:
  a: { sources: [10.0.0.1/32] }
  b: { sources: [10.0.0.2/32] }
  c: { sources: [10.0.0.3/32] }
credentials:
  of-a: { stub: stub-shared, slots: [bearer], hosts: [x.example], source: { env: A } }
  of-b: { stub: stub-shared, slots: [bearer], hosts: [x.example, y.example], source: { env: B } }
rules:
  - { name: ra, agents: [a], hosts: [x.example], methods: [GET], credentials: [of-a] }
  - { name: rb, agents: [b], hosts: [x.example, y.example], methods: [GET], credentials: [of-b] }
  - { name: rc, agents: [c, a], hosts: [x.example, y.example, z.example], methods: [GET] }
";
    let policy = policy(text);
    let bearer = [(SlotRef::Bearer, "stub-shared")];
    let at = |agent, host: &str| ask_with(&policy, agent, &format!("GET https://{host}/"), &bearer);
    assert_eq!(swapped(&policy, &at("a", "x.example")).unwrap().0, "of-a");
    assert_eq!(swapped(&policy, &at("b", "x.example")).unwrap().0, "of-b");
    assert_eq!(swapped(&policy, &at("b", "y.example")).unwrap().0, "of-b");
    assert_eq!(reason(&at("c", "x.example")), Some(Reason::StubNotGranted));
    assert_eq!(reason(&at("a", "y.example")), Some(Reason::StubNotGranted));
    assert_eq!(reason(&at("a", "z.example")), Some(Reason::StubWrongHost));
    assert_eq!(policy.stubs().collect::<Vec<_>>(), ["stub-shared"]);
    let both = text.replace("name: rb, agents: [b]", "name: rb, agents: ['*']");
    assert_eq!(errors(&both), ["SG0122"]);
}

#[test]
fn the_permit_carries_what_later_phases_ask() {
    let policy = policy(&with_rules(
        "  - { name: b-plain, agents: [a], hosts: [api.github.com], methods: [GET] }
  - { name: c-swap, agents: [a], hosts: [api.github.com], methods: [GET], credentials: [github], ranges: allow }
  - { name: d-swap, agents: [a], hosts: [api.github.com], methods: [GET], paths: [/strict], credentials: [github], stub_in_body: deny }
  - { name: a-other, agents: [a], hosts: [api.github.com], methods: [POST], ranges: allow, stub_in_body: deny }",
    ));
    let stub = [(SlotRef::Bearer, "stub-github")];
    let granted = |request: &str, tokens: &[(SlotRef<'_>, &str)]| {
        ask_with(&policy, "a", request, tokens).granted().unwrap().clone()
    };
    let plain = granted("GET https://api.github.com/x", &[]);
    assert_eq!(policy.rule(plain.rule()).name(), "b-plain");
    assert_eq!(plain.authority(), &authority("https://api.github.com"));
    assert_eq!(policy.agent(plain.agent()).name(), "a");
    assert!(!plain.stub_in_body_denied());
    let swap = granted("GET https://api.github.com/x", &stub);
    assert_eq!(policy.rule(swap.rule()).name(), "c-swap");
    assert!(swap.ranges_allowed() && !swap.stub_in_body_denied());
    let strict = granted("GET https://api.github.com/strict", &stub);
    assert!(strict.stub_in_body_denied(), "one rule that matches is enough");
    assert_eq!(policy.rule(strict.rule()).name(), "c-swap");
}
