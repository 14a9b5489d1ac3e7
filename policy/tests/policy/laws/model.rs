//! A small world of rules and requests, and the plainest decision about them that can be written.
//!
//! Nothing here uses the crate's matchers: hosts are lists of labels, paths lists of segments, and every rule is
//! looked at for every request.

use std::num::NonZeroU16;

use proptest::prelude::*;
use stubgate_policy::{
    Authority, BasicField, Host, Method, Reason, Scheme, SlotRef, SourceFile, Target,
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
pub(crate) const METHODS: &[&str] = &[
    "GET",
    "HEAD",
    "POST",
    "PURGE",
    "websocket",
    "FRESH",
    "TRACE",
];
pub(crate) const PATHS: &[&str] = &[
    "/",
    "/a",
    "/A",
    "/a/",
    "/a/b",
    "/A/b",
    "/a/b/c",
    "/a%2Fb",
    "/a/b%2Fc",
    "/x/z",
    "/x/y%2Fy/z",
    "/z",
    "/a%2F%2Fb",
    "/a/../b",
    "/a//b",
];
const PATTERNS: &[&str] = &[
    "/", "/a", "/a/*", "/a/**", "/**", "/a%2Fb", "/*%2F*", "/**/z", "/*",
];
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
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) required: bool,
    pub(crate) foreign: bool,
    pub(crate) ranges: bool,
    pub(crate) body: bool,
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allow {
        rule: String,
        swap: Option<(String, usize)>,
        ranges: bool,
        deny_stub_in_body: bool,
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
        }
    }
}

impl Request {
    pub(crate) fn authority(&self) -> Authority {
        let scheme = if self.scheme == "http" {
            Scheme::Http
        } else {
            Scheme::Https
        };
        Authority::new(
            scheme,
            Host::parse(self.host.as_bytes()).unwrap(),
            NonZeroU16::new(self.port).unwrap(),
        )
    }

    pub(crate) fn method(&self) -> Method {
        if self.method == "websocket" {
            Method::websocket()
        } else {
            Method::parse(self.method.as_bytes()).unwrap()
        }
    }

    pub(crate) fn target(&self) -> Target {
        Target::parse(self.path.as_bytes()).unwrap()
    }
}

struct Credential {
    name: &'static str,
    stub: &'static str,
    slots: &'static [SlotRef<'static>],
    /// Covers of host and port.
    hosts: &'static [(&'static str, u16)],
    text: &'static str,
}

const BASIC: [SlotRef<'static>; 2] = [
    SlotRef::Basic(BasicField::User),
    SlotRef::Basic(BasicField::Password),
];

const CREDENTIALS: &[Credential] = &[
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
    let methods = prop_oneof![
        Just(Vec::new()),
        some(&["GET", "POST", "PURGE", "WEBSOCKET"], 3)
    ];
    let paths = prop::option::of(some(PATTERNS, 3));
    ("[a-z]{8}", agents, hosts, methods, paths).prop_map(|(name, agents, hosts, methods, paths)| {
        Rule {
            name,
            effect: Effect::Deny,
            agents,
            hosts,
            methods,
            paths,
            credentials: Vec::new(),
            flags: Flags::default(),
        }
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
    let flags = any::<[bool; 5]>().prop_map(|[required, foreign, ranges, body, slash]| Flags {
        required,
        foreign,
        ranges,
        body,
        slash,
    });
    (common(some(GRANT_HOSTS, 4)), credentials, flags, 0..6).prop_map(
        |(mut rule, credentials, flags, observe)| {
            rule.effect = if observe == 0 {
                Effect::Observe
            } else {
                Effect::Allow
            };
            if !credentials.is_empty() {
                rule.hosts.retain(|host| !host.starts_with("http:"));
                for host in ["x.example", "x.example:8443"] {
                    if !rule.hosts.contains(&host) {
                        rule.hosts.push(host);
                    }
                }
            }
            rule.flags = Flags {
                required: flags.required && !credentials.is_empty(),
                ..flags
            };
            rule.credentials = credentials;
            rule
        },
    )
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

pub(crate) fn token_sets() -> impl Strategy<Value = Vec<(SlotRef<'static>, &'static str)>> {
    const SLOTS: &[SlotRef<'static>] = &[
        SlotRef::Bearer,
        BASIC[0],
        BASIC[1],
        SlotRef::Bare,
        SlotRef::Header("x-key"),
        SlotRef::Header("cookie"),
        SlotRef::Query("key"),
    ];
    let token = (
        prop::sample::select(SLOTS),
        prop::sample::select(
            &[
                "stub-one",
                "stub-two",
                "foreign",
                "stub-one-more-than-short",
            ][..],
        ),
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
    (
        prop::sample::select(AGENTS),
        at,
        prop::sample::select(METHODS),
        prop::sample::select(PATHS),
        token_sets(),
    )
        .prop_map(
            |(agent, (scheme, host, port), method, path, tokens)| Request {
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
        head += &format!(
            "  {agent}: {{ sources: ['10.0.0.{at}/32'], quarantined: {} }}\n",
            *agent == "locked"
        );
    }
    head += "credentials:\n";
    for Credential { name, text, .. } in CREDENTIALS {
        head += &format!("  {name}: {text}\n");
    }
    let file = |(at, text): (usize, String)| {
        let head = if at == 0 { head.as_str() } else { "" };
        let rules = if text.is_empty() {
            String::new()
        } else {
            format!("rules:\n{text}")
        };
        SourceFile {
            name: format!("{at}.yaml"),
            text: format!("version: 1\n{head}{rules}"),
        }
    };
    texts.into_iter().enumerate().map(file).collect()
}

impl Rule {
    fn yaml(&self) -> String {
        let list = |items: &[&str]| {
            items
                .iter()
                .map(|item| format!("'{item}'"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let effect = match self.effect {
            Effect::Allow => "allow",
            Effect::Deny => "deny",
            Effect::Observe => "observe",
        };
        let agents = if self.agents.is_empty() {
            "'*'".into()
        } else {
            list(&self.agents)
        };
        let methods = if self.methods.is_empty() {
            "any".into()
        } else {
            list(&self.methods)
        };
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
        let Flags {
            required,
            foreign,
            ranges,
            body,
            slash,
        } = self.flags;
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
        format!("  - {{ {text} }}\n")
    }

    fn covers(&self, request: &Request) -> bool {
        let agent = self.agents.is_empty() || self.agents.contains(&request.agent);
        agent
            && self
                .hosts
                .iter()
                .any(|host| host_covers(host, request, self.effect == Effect::Deny))
    }

    /// Whether a `**` of this rule holds the name, for this agent.
    pub(crate) fn is_hole(&self, name: &str, agent: &str) -> bool {
        let agent = self.agents.is_empty() || self.agents.contains(&agent);
        agent
            && self.effect != Effect::Deny
            && self
                .hosts
                .iter()
                .any(|host| host.starts_with("**") && name_covers(host, name))
    }

    fn has_method(&self, request: &Request) -> bool {
        request.method != "TRACE"
            && (self.methods.is_empty()
                || self
                    .methods
                    .iter()
                    .any(|method| method.eq_ignore_ascii_case(request.method)))
    }
}

fn host_covers(text: &str, request: &Request, deny: bool) -> bool {
    if text == "any" {
        return true;
    }
    let (scheme, rest) = text
        .split_once("://")
        .map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| {
        (host, Some(port.parse::<u16>().unwrap()))
    });
    let ends = if deny {
        scheme.is_none_or(|scheme| scheme == request.scheme)
            && port.is_none_or(|port| port == request.port)
    } else {
        let scheme = scheme.unwrap_or("https");
        scheme == request.scheme
            && port.unwrap_or(if scheme == "http" { 80 } else { 443 }) == request.port
    };
    ends && name_covers(host, request.host)
}

fn name_covers(pattern: &str, host: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let host: Vec<&str> = host.split('.').collect();
    match pattern[0] {
        "*" => host.len() == pattern.len() && host[1..] == pattern[1..],
        "**" => {
            host.len() >= pattern.len() && host[host.len() - pattern.len() + 1..] == pattern[1..]
        }
        _ => host == pattern,
    }
}

/// Whether some host of the rule covers the name, whatever the rest of the request.
fn touches(rule: &Rule, request: &Request) -> bool {
    rule.hosts.iter().any(|text| {
        let rest = text.split_once("://").map_or(*text, |(_, rest)| rest);
        *text == "any" || name_covers(rest.split(':').next().unwrap(), request.host)
    })
}

fn is_odd(path: &str) -> bool {
    path.contains("..") || path.contains("//")
}

fn segments_match(pattern: &[&str], path: &[&str], slash: bool, deny: bool) -> bool {
    match pattern {
        [] => path.is_empty(),
        ["**", after @ ..] => {
            let least = usize::from(!deny || after.is_empty());
            (least..=path.len()).any(|taken| {
                path[..taken]
                    .iter()
                    .all(|segment| slash || !segment.contains("%2F"))
                    && segments_match(after, &path[taken..], slash, deny)
            })
        }
        [first, after @ ..] => path.first().is_some_and(|segment| {
            segment_matches(first, segment, deny) && segments_match(after, &path[1..], slash, deny)
        }),
    }
}

fn segment_matches(pattern: &str, segment: &str, deny: bool) -> bool {
    if pattern == "*" && segment.is_empty() {
        return deny;
    }
    if !pattern.contains('*') {
        return pattern == segment || (deny && pattern.eq_ignore_ascii_case(segment));
    }
    // The world's globs are `*` and `*%2F*`.
    let slashes = segment.matches("%2F").count();
    match pattern {
        "*" => deny || slashes == 0,
        "*%2F*" => slashes == 1 || (deny && slashes >= 1),
        other => panic!("{other}"),
    }
}

fn path_matches(rule: &Rule, path: &str, deny: bool) -> bool {
    let split = |text: &'static str| text[1..].split('/').collect::<Vec<_>>();
    let path: Vec<&str> = path[1..].split('/').collect();
    let slash = deny || rule.flags.slash;
    rule.paths.as_ref().is_none_or(|paths| {
        paths
            .iter()
            .any(|pattern| segments_match(&split(pattern), &path, slash, deny))
    })
}

/// The plainest decision.
pub(crate) fn decide(rules: &[Rule], request: &Request) -> Verdict {
    match judge(rules, request) {
        Ok(verdict) => verdict,
        Err(reason) => Verdict::Deny(reason),
    }
}

fn judge(rules: &[Rule], request: &Request) -> Result<Verdict, Reason> {
    if request.agent == "locked" {
        return Err(Reason::Quarantined);
    }
    let denies: Vec<&Rule> = rules
        .iter()
        .filter(|rule| {
            rule.effect == Effect::Deny && rule.covers(request) && rule.has_method(request)
        })
        .collect();
    let everything = |rule: &&&Rule| {
        rule.paths
            .as_ref()
            .is_none_or(|paths| paths.contains(&"/**"))
    };
    let odd = is_odd(request.path);
    let slashed = request.path.replace("%2F", "/");
    let hit = |rule: &&&Rule| {
        path_matches(rule, request.path, true)
            || (!slashed.contains("//") && path_matches(rule, &slashed, true))
    };
    if denies
        .iter()
        .any(|rule| everything(&rule) || (!odd && hit(&rule)))
    {
        return Err(Reason::DeniedByRule);
    }
    if !denies.is_empty() && (odd || slashed.contains("//")) {
        return Err(Reason::PathAmbiguous);
    }
    let here: Vec<&Rule> = rules
        .iter()
        .filter(|rule| rule.effect != Effect::Deny && rule.covers(request))
        .collect();
    if here.is_empty() {
        return Err(Reason::HostNotAllowed);
    }
    let with_method: Vec<&Rule> = here
        .into_iter()
        .filter(|rule| rule.has_method(request))
        .collect();
    if with_method.is_empty() {
        return Err(Reason::MethodNotAllowed);
    }
    // `/**` in a deny rule is every path there is, and so no path.
    let has_paths =
        |rule: &&Rule| rule.paths.is_some() && (rule.effect != Effect::Deny || !everything(&rule));
    if odd
        && rules
            .iter()
            .filter(|rule| touches(rule, request))
            .any(|rule| has_paths(&rule))
    {
        return Err(Reason::PathAmbiguous);
    }
    let matched: Vec<&Rule> = with_method
        .into_iter()
        .filter(|rule| odd || path_matches(rule, request.path, false))
        .collect();
    let allowed: Vec<&Rule> = matched
        .iter()
        .copied()
        .filter(|rule| rule.effect == Effect::Allow)
        .collect();
    match (allowed.is_empty(), matched.is_empty()) {
        (true, true) => Err(Reason::PathNotAllowed),
        (true, false) => Err(Reason::Observed),
        _ => tokens(&allowed, request),
    }
}

fn tokens(allowed: &[&Rule], request: &Request) -> Result<Verdict, Reason> {
    let is_stub = |text: &str| {
        CREDENTIALS
            .iter()
            .find(|credential| credential.stub == text)
    };
    if request
        .tokens
        .iter()
        .any(|(slot, _)| *slot == SlotRef::Elsewhere)
    {
        return Err(Reason::StubOutOfSlot);
    }
    let mut swap = None;
    for (at, (slot, text)) in request.tokens.iter().enumerate() {
        let Some(credential) = is_stub(text) else {
            continue;
        };
        if request.scheme == "http" {
            return Err(Reason::StubOverPlain);
        }
        if !credential
            .hosts
            .iter()
            .any(|(host, port)| name_covers(host, request.host) && *port == request.port)
        {
            return Err(Reason::StubWrongHost);
        }
        if !allowed
            .iter()
            .any(|rule| rule.credentials.contains(&credential.name))
        {
            return Err(Reason::StubNotGranted);
        }
        if !credential.slots.contains(slot) {
            return Err(Reason::StubOutOfSlot);
        }
        if swap.is_some() {
            return Err(Reason::TwoCredentials);
        }
        swap = Some((credential.name.to_owned(), at));
    }
    if swap.is_some() && foreign(request) {
        return Err(Reason::TwoCredentials);
    }
    let bound = CREDENTIALS
        .iter()
        .flat_map(|credential| credential.hosts)
        .any(|(host, port)| {
            name_covers(host, request.host) && (request.scheme == "http" || *port == request.port)
        });
    if foreign(request) && bound && !allowed.iter().any(|rule| rule.flags.foreign) {
        return Err(Reason::ForeignCredential);
    }
    if swap.is_none() && allowed.iter().all(|rule| rule.flags.required) {
        return Err(Reason::CredentialRequired);
    }
    let granting: Vec<&&Rule> = allowed
        .iter()
        .filter(|rule| {
            swap.as_ref()
                .is_none_or(|(name, _)| rule.credentials.iter().any(|own| own == name))
        })
        .collect();
    Ok(Verdict::Allow {
        rule: granting.iter().map(|rule| rule.name.clone()).min().unwrap(),
        ranges: granting.iter().any(|rule| rule.flags.ranges),
        deny_stub_in_body: allowed.iter().any(|rule| rule.flags.body),
        swap,
    })
}

/// Whether some token is neither a stub nor the harmless half of a Basic pair.
fn foreign(request: &Request) -> bool {
    let stub = |text: &str| CREDENTIALS.iter().any(|credential| credential.stub == text);
    let basic: Vec<_> = request
        .tokens
        .iter()
        .filter(|(slot, _)| BASIC.contains(slot))
        .collect();
    let pair = basic.len() == 2 && basic[0].0 != basic[1].0;
    request
        .tokens
        .iter()
        .filter(|(_, text)| !stub(text))
        .any(|(slot, text)| {
            let other_is_stub = pair
                && basic
                    .iter()
                    .any(|(other, text)| other != slot && stub(text));
            let harmless =
                BASIC.contains(slot) && other_is_stub && (*slot == BASIC[0] || text.len() < 16);
            !harmless
        })
}
