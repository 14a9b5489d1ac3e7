//! A small world of agents, hosts, rules and requests, and the files that say the same.

use std::num::NonZeroU16;

use proptest::prelude::*;
use stubgate_policy::{
    Authority, BasicField, Body, Host, Method, OnCredential, Reason, Scheme, SlotRef, SourceFile, Target,
};

pub(crate) const AGENTS: &[&str] = &["a", "b", "c", "locked"];
/// Names with a witness for every wildcard: `w…` stands in no rule.
pub(crate) const NAMES: &[&str] = &[
    "test",
    "other.test",
    "example",
    "w.example",
    "x.example",
    "w.w.example",
    "y.x.example",
    "w.x.example",
    "z.y.x.example",
    "w.w.x.example",
    "w.y.x.example",
];
pub(crate) const HOSTS: &[&str] = &[
    "test",
    "other.test",
    "example",
    "w.example",
    "x.example",
    "w.w.example",
    "y.x.example",
    "w.x.example",
    "z.y.x.example",
    "w.w.x.example",
    "w.y.x.example",
    "10.0.0.5",
];
pub(crate) const PORTS: &[u16] = &[80, 443, 8443];
pub(crate) const METHODS: &[&str] = &["GET", "HEAD", "POST", "PURGE", "websocket", "FRESH", "TRACE"];
pub(crate) const PATHS: &[&str] = &[
    "/",
    "/a",
    "/A",
    "/a/",
    "/a/b",
    "/a/b/",
    "/A/b",
    "/a/b/c",
    "/a%2F",
    "/a%2Fb",
    "/a%2Fb/",
    "/a/b%2Fc",
    "/x/z",
    "/x/y%2Fy/z",
    "/z",
    "/z/",
    "/a%2F%2Fb",
    "/a/../b",
    "/a//b",
];
const PATTERNS: &[&str] = &["/", "/a", "/a/*", "/a/**", "/**", "/a%2Fb", "/*%2F*", "/**/z", "/*"];
const GRANT_HOSTS: &[&str] = &[
    "x.example",
    "x.example:8443",
    "http://x.example",
    "y.x.example",
    "*.x.example",
    "**.x.example",
    "**.example",
    "*.x.example:8443",
    "10.0.0.5",
    "z.y.x.example",
];

/// What rules demand of bodies, each as in a policy.
pub(crate) const DEMANDS: &[&str] = &[
    "body: { json: { allow_keys: [a, b] } }",
    "body: { json: { allow_keys: [a] } }",
    "body: { json: { deny_pointers: ['/b'] } }",
    "body: { json: { allow_keys: [a, b], deny_values: { '/a': [x] } } }",
    "body: { json: { allow_keys: [a, b], allow_values: { '/a': [x, y] } }, max_bytes: 10 }",
    "graphql: { operations: [query] }",
    "graphql: { operations: [query, mutation], fields: [q], mutations: [m] }",
];
/// Bodies, and for each demand whether it is met: `y`, `n` for what is not allowed, `-` for what can't be looked at.
pub(crate) const BODIES: &[(&str, &str)] = &[
    ("", "-------"),
    ("{\"a\":\"x\"}", "yyyny--"),
    ("{\"a\":\"y\"}", "yyyyy--"),
    ("{\"a\":\"zzz\"}", "yyyy---"),
    ("{\"a\":1}", "yyyyn--"),
    ("{\"b\":1}", "ynnyy--"),
    ("{\"c\":1}", "nnynn--"),
    ("{\"a\":\"y\",\"b\":1}", "ynny---"),
    ("{\"a\":1,\"a\":1}", "-------"),
    ("{", "-------"),
    ("{\"query\":\"{q}\"}", "nnyn-yy"),
    ("{\"query\":\"{r}\"}", "nnyn-yn"),
    ("{\"query\":\"mutation{m}\"}", "nnyn-ny"),
    ("{\"query\":\"mutation{n}\"}", "nnyn-nn"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
    Observe,
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) effect: Effect,
    /// Empty: `"*"`.
    pub(crate) agents: Vec<&'static str>,
    pub(crate) hosts: Vec<&'static str>,
    /// Empty: `any`.
    pub(crate) methods: Vec<&'static str>,
    pub(crate) paths: Option<Vec<&'static str>>,
    pub(crate) credentials: Vec<&'static str>,
    pub(crate) flags: Flags,
    /// Of [`DEMANDS`].
    pub(crate) demand: Option<usize>,
}

/// What a rule may say of credentials in responses.
pub(crate) const ON_CREDENTIAL: [OnCredential; 3] = [OnCredential::Allow, OnCredential::Replace, OnCredential::Deny];

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) required: bool,
    pub(crate) foreign: bool,
    pub(crate) ranges: bool,
    pub(crate) body: bool,
    /// Of [`ON_CREDENTIAL`].
    pub(crate) response: Option<usize>,
    pub(crate) slash: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) agent: &'static str,
    pub(crate) scheme: &'static str,
    pub(crate) host: &'static str,
    pub(crate) port: u16,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) tokens: Vec<(SlotRef<'static>, &'static str)>,
    /// Of [`BODIES`].
    pub(crate) body: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow {
        rule: String,
        swap: Option<(String, usize)>,
        ranges: bool,
        deny_stub_in_body: bool,
        on_credential: OnCredential,
    },
    Deny(Reason),
}

impl Default for Request {
    fn default() -> Self {
        Request {
            agent: "a",
            scheme: "https",
            host: "x.example",
            port: 443,
            method: "GET",
            path: "/",
            tokens: Vec::new(),
            body: 0,
        }
    }
}

impl Request {
    pub(crate) fn authority(&self) -> Authority {
        let scheme = if self.scheme == "http" { Scheme::Http } else { Scheme::Https };
        Authority::new(scheme, Host::parse(self.host.as_bytes()).unwrap(), NonZeroU16::new(self.port).unwrap())
    }

    pub(crate) fn method(&self) -> Method {
        if self.method == "websocket" { Method::websocket() } else { Method::parse(self.method.as_bytes()).unwrap() }
    }

    pub(crate) fn sent(&self) -> Body<'static> {
        Body { content_types: vec![b"application/json"], bytes: BODIES[self.body].0.as_bytes(), ..Body::none() }
    }

    pub(crate) fn target(&self) -> Target {
        Target::parse(self.path.as_bytes()).unwrap()
    }
}

pub(super) struct Credential {
    pub(super) name: &'static str,
    pub(super) stub: &'static str,
    pub(super) slots: &'static [SlotRef<'static>],
    /// Covers of host and port.
    pub(super) hosts: &'static [(&'static str, u16)],
    text: &'static str,
}

pub(super) const BASIC: [SlotRef<'static>; 2] =
    [SlotRef::Basic(BasicField::User), SlotRef::Basic(BasicField::Password)];

pub(super) const CREDENTIALS: &[Credential] = &[
    Credential {
        name: "k1",
        stub: "stub-one",
        slots: &[SlotRef::Bearer, BASIC[0], BASIC[1]],
        hosts: &[("x.example", 443), ("*.x.example", 443)],
        text: "{ stub: stub-one, slots: [bearer, basic], hosts: [x.example, '*.x.example'], source: { env: A } }",
    },
    Credential {
        name: "k2",
        stub: "stub-two",
        slots: &[SlotRef::Header("x-key"), SlotRef::Query("key")],
        hosts: &[("x.example", 8443), ("y.x.example", 443)],
        text: "{ stub: stub-two, slots: ['header:x-key', 'query:key'], hosts: ['x.example:8443', y.x.example], source: { env: B } }",
    },
];

fn some(of: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(of, 1..=most)
}

fn common(hosts: impl Strategy<Value = Vec<&'static str>>) -> impl Strategy<Value = Rule> {
    let agents = prop_oneof![Just(Vec::new()), some(AGENTS, 3)];
    let methods = prop_oneof![Just(Vec::new()), some(&["GET", "POST", "PURGE", "WEBSOCKET"], 3)];
    let paths = prop::option::of(some(PATTERNS, 3));
    ("[a-z]{8}", agents, hosts, methods, paths).prop_map(|(name, agents, hosts, methods, paths)| Rule {
        name,
        effect: Effect::Deny,
        agents,
        hosts,
        methods,
        paths,
        credentials: Vec::new(),
        flags: Flags::default(),
        demand: None,
    })
}

pub(crate) fn deny_rule() -> impl Strategy<Value = Rule> {
    common(prop_oneof![1 => Just(vec!["any"]), 4 => some(GRANT_HOSTS, 3)]).prop_map(|mut rule| {
        rule.name.insert_str(0, "deny-");
        rule
    })
}

fn grant_rule() -> impl Strategy<Value = Rule> {
    let credentials = prop_oneof![2 => Just(Vec::new()), 3 => some(&["k1", "k2"], 2)];
    let response = prop::option::weighted(0.3, 0..ON_CREDENTIAL.len());
    let flags = (any::<[bool; 5]>(), response).prop_map(|([required, foreign, ranges, body, slash], response)| Flags {
        required,
        foreign,
        ranges,
        body,
        response,
        slash,
    });
    let demand = prop::option::weighted(0.4, 0..DEMANDS.len());
    let parts = (common(some(GRANT_HOSTS, 4)), credentials, flags, 0..6, demand);
    parts.prop_map(|(mut rule, credentials, flags, observe, demand)| {
        rule.demand = demand;
        rule.effect = if observe == 0 { Effect::Observe } else { Effect::Allow };
        if !credentials.is_empty() {
            rule.hosts.retain(|host| !host.starts_with("http:"));
            for host in ["x.example", "x.example:8443"] {
                if !rule.hosts.contains(&host) {
                    rule.hosts.push(host);
                }
            }
        }
        rule.flags = Flags { required: flags.required && !credentials.is_empty(), ..flags };
        rule.credentials = credentials;
        rule
    })
}

pub(crate) fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop::collection::vec(prop_oneof![3 => grant_rule(), 1 => deny_rule()], 1..8).prop_filter(
        "rules have names of their own",
        |rules| {
            let mut names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
            names.sort_unstable();
            names.windows(2).all(|pair| pair[0] != pair[1])
        },
    )
}

/// Rules among which some add nothing: narrow copies, and copies that deny.
pub(crate) fn rules_with_needless_ones() -> impl Strategy<Value = Vec<Rule>> {
    let twist = (any::<prop::sample::Index>(), any::<[bool; 6]>());
    (rules(), prop::collection::vec(twist, 1..4)).prop_map(|(mut rules, twists)| {
        for (at, (index, [agent, host, method, path, deny, loosen])) in twists.into_iter().enumerate() {
            let mut copy = index.get(&rules).clone();
            copy.name = format!("copy-{at}");
            if deny && copy.effect != Effect::Deny {
                copy.effect = Effect::Deny;
                copy.credentials.clear();
                copy.flags = Flags::default();
                copy.demand = None;
            }
            if agent && copy.agents.is_empty() {
                copy.agents = vec!["a"];
            }
            if host && copy.credentials.is_empty() {
                copy.hosts.truncate(1);
            }
            if method {
                copy.methods = if copy.methods.is_empty() { vec!["GET"] } else { copy.methods[..1].to_vec() };
            }
            if path {
                copy.paths = match copy.paths {
                    Some(paths) => Some(paths[..1].to_vec()),
                    None => Some(vec!["/a/**"]),
                };
            }
            if loosen && copy.effect != Effect::Deny {
                copy.flags = Flags { foreign: false, ranges: false, ..copy.flags };
            }
            rules.push(copy);
        }
        rules
    })
}

pub(crate) fn token_sets() -> impl Strategy<Value = Vec<(SlotRef<'static>, &'static str)>> {
    const SLOTS: &[SlotRef<'static>] = &[
        SlotRef::Bearer,
        BASIC[0],
        BASIC[1],
        SlotRef::Bare,
        SlotRef::Header("x-key"),
        SlotRef::Header("cookie"),
        SlotRef::Header("x-own"),
        SlotRef::Query("key"),
        SlotRef::Query("sig"),
    ];
    let token = (
        prop::sample::select(SLOTS),
        prop::sample::select(&["stub-one", "stub-two", "foreign", "stub-one-more-than-short"][..]),
    );
    prop_oneof![
        3 => Just(Vec::new()),
        6 => prop::collection::vec(token, 1..3),
        1 => Just(vec![(SlotRef::Elsewhere, "stub-one")]),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    let at = (
        prop::sample::select(&["https", "https", "https", "http"][..]),
        prop::sample::select(HOSTS),
        prop::sample::select(PORTS),
    );
    let agents = prop::sample::select(AGENTS);
    (agents, at, prop::sample::select(METHODS), prop::sample::select(PATHS), token_sets(), 0..BODIES.len()).prop_map(
        |(agent, (scheme, host, port), method, path, tokens, body)| Request {
            body,
            agent,
            scheme,
            host,
            port,
            method,
            path,
            tokens,
        },
    )
}

/// The rules as files, dealt out in turn; the first also has agents and credentials.
pub(crate) fn files(rules: &[Rule], count: usize) -> Vec<SourceFile> {
    let mut texts = vec![String::new(); count];
    for (at, rule) in rules.iter().enumerate() {
        texts[at % count].push_str(&rule.yaml());
    }
    let mut head = String::from("agents:\n");
    for (at, agent) in AGENTS.iter().enumerate() {
        head += &format!("  {agent}: {{ sources: ['10.0.0.{at}/32'], quarantined: {} }}\n", *agent == "locked");
    }
    head += "credentials:\n";
    for Credential { name, text, .. } in CREDENTIALS {
        head += &format!("  {name}: {text}\n");
    }
    let file = |(at, text): (usize, String)| {
        let head = if at == 0 { head.as_str() } else { "" };
        let rules = if text.is_empty() { String::new() } else { format!("rules:\n{text}") };
        SourceFile { name: format!("{at}.yaml"), text: format!("version: 1\n{head}{rules}") }
    };
    texts.into_iter().enumerate().map(file).collect()
}

impl Rule {
    fn yaml(&self) -> String {
        let list = |items: &[&str]| items.iter().map(|item| format!("'{item}'")).collect::<Vec<_>>().join(", ");
        let effect = match self.effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
            Effect::Observe => "observe",
        };
        let agents = if self.agents.is_empty() { "'*'".into() } else { list(&self.agents) };
        let methods = if self.methods.is_empty() { "any".into() } else { list(&self.methods) };
        let mut text = format!(
            "name: {}, effect: {effect}, agents: [{agents}], hosts: [{}], methods: [{methods}]",
            self.name,
            list(&self.hosts)
        );
        if let Some(paths) = &self.paths {
            text += &format!(", paths: [{}]", list(paths));
        }
        if !self.credentials.is_empty() {
            text += &format!(", credentials: [{}]", list(&self.credentials));
        }
        let Flags { required, foreign, ranges, body, response, slash } = self.flags;
        if let (Some(response), true) = (response, self.effect != Effect::Deny) {
            text += &format!(", credential_in_response: {}", ON_CREDENTIAL[response].as_str());
        }
        for (set, option) in [
            (required, "credential_required: true"),
            (foreign, "foreign_credentials: allow"),
            (ranges, "ranges: allow"),
            (body, "stub_in_body: deny"),
            (slash, "encoded_slash: allow"),
        ] {
            if set && self.effect != Effect::Deny {
                text += &format!(", {option}");
            }
        }
        if let Some(demand) = self.demand {
            text += &format!(", {}", DEMANDS[demand]);
        }
        format!("  - {{ {text} }}\n")
    }
}
