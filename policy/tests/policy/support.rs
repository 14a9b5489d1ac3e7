//! Short ways to write a policy and to ask it.

use stubgate_policy::{
    Ask, Authority, ConnectStage, Decision, Method, Name, NameGrant, NameStage, Permit, Policy, QueryKind, Reach,
    Reason, RequestStage, Scheme, SlotRef, SourceFile, Target, Token, compile, render,
};

pub(crate) fn file(text: &str) -> SourceFile {
    SourceFile { name: "policy.yaml".into(), text: text.into() }
}

/// A policy that must be right.
pub(crate) fn policy(text: &str) -> Policy {
    policy_of(&[file(text)])
}

pub(crate) fn policy_of(files: &[SourceFile]) -> Policy {
    match compile(files) {
        Ok(compiled) => compiled.policy,
        Err(found) => panic!("{}", render(&found, files, false)),
    }
}

/// The codes of a policy that must be wrong.
pub(crate) fn errors(text: &str) -> Vec<&'static str> {
    let files = [file(text)];
    let found = compile(&files).err().unwrap_or_default();
    found.iter().map(|diagnostic| diagnostic.code).collect()
}

/// Agents `a` and `b`, credentials `github` and `model`, and the rules given.
pub(crate) fn with_rules(rules: &str) -> String {
    format!(
        "version: 1
agents:
  a: {{ sources: [\"10.0.0.1/32\"] }}
  b: {{ sources: [\"10.0.0.2/32\"] }}
credentials:
  github: {{ stub: stub-github, slots: [bearer, basic], hosts: [api.github.com, github.com], source: {{ env: GITHUB }} }}
  model: {{ stub: stub-model, slots: [\"header:x-api-key\", \"query:key\"], hosts: [\"api.model.example:8443\"], source: {{ file: /run/model }} }}
rules:
{rules}
"
    )
}

/// `https://host[:port]` or `http://host[:port]`.
pub(crate) fn authority(text: &str) -> Authority {
    match text.split_once("://") {
        Some(("http", rest)) => Authority::parse(Scheme::Http, rest.as_bytes()).unwrap(),
        Some((_, rest)) => Authority::parse(Scheme::Https, rest.as_bytes()).unwrap(),
        None => Authority::parse(Scheme::Https, text.as_bytes()).unwrap(),
    }
}

/// `METHOD https://host/path`, with the tokens of its head.
pub(crate) fn ask_with(
    policy: &Policy,
    agent: &str,
    request: &str,
    tokens: &[(SlotRef<'_>, &str)],
) -> Decision<Permit> {
    let (method, url) = request.split_once(' ').unwrap();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (plain, websocket) = (matches!(scheme, "http" | "ws"), scheme.starts_with("ws"));
    let method = if websocket { Method::websocket() } else { Method::parse(method.as_bytes()).unwrap() };
    let scheme = if plain { Scheme::Http } else { Scheme::Https };
    let authority = Authority::parse(scheme, host.as_bytes()).unwrap();
    let target = Target::parse(path.as_bytes()).unwrap();
    let tokens: Vec<Token<'_>> = tokens.iter().map(|(slot, text)| Token::literal(*slot, text.as_bytes())).collect();
    let at = RequestStage { authority: &authority, method: &method, target: &target, tokens: &tokens };
    policy.decide(&Ask::new(policy.agent_named(agent).unwrap(), at))
}

pub(crate) fn ask(policy: &Policy, agent: &str, request: &str) -> Decision<Permit> {
    ask_with(policy, agent, request, &[])
}

pub(crate) fn connect(policy: &Policy, agent: &str, to: &str) -> Decision<Reach> {
    let authority = authority(to);
    policy.decide(&Ask::new(policy.agent_named(agent).unwrap(), ConnectStage { authority: &authority }))
}

pub(crate) fn name(policy: &Policy, agent: &str, name: &str, kind: QueryKind) -> Decision<NameGrant> {
    let name = Name::parse(name.as_bytes()).unwrap();
    policy.decide(&Ask::new(policy.agent_named(agent).unwrap(), NameStage { name: &name, kind }))
}

/// "allow RULE", "deny REASON" or "answer".
pub(crate) fn said(policy: &Policy, decision: &Decision<Permit>) -> String {
    match decision {
        Decision::Allow(permit) => format!("allow {}", policy.rule(permit.rule()).name()),
        Decision::Deny(denial) => format!("deny {}", denial.reason),
        Decision::Answer(_) => "answer".into(),
    }
}

pub(crate) fn reason<G: std::fmt::Debug>(decision: &Decision<G>) -> Option<Reason> {
    decision.denial().map(|denial| denial.reason)
}
