//! The suggestion as text: a policy file whose comments say how often and when, and what is not suggested and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use super::paths::{Paths, Seen, Values};
use super::seen::{Left, Sighting, harmless};
use super::{Place, Suggest, Suggestion};
use crate::model::path::Path;
use crate::model::paths::PathPattern;
use crate::model::{Authority, Host, Method, Scheme};

pub(super) fn suggestion(suggest: Suggest<'_>) -> Suggestion {
    let patterns = patterns(&suggest);
    let mut writer = Writer { names: BTreeSet::new(), rules: String::new(), suggest: &suggest };
    let mut allows = 0;
    for (place, methods) in &patterns {
        let mut of_path: BTreeMap<Box<str>, (BTreeSet<&Method>, Seen)> = BTreeMap::new();
        for (method, paths) in methods {
            let covered = Covered::new(&patterns, place, method);
            for (path, seen) in paths.iter().filter(|(path, _)| !covered.holds(path)) {
                let (methods, all) = of_path.entry(path.clone()).or_default();
                methods.insert(method);
                all.join(seen.clone());
            }
        }
        // A rule is a product: paths that were asked with the same methods share one.
        let mut rules: BTreeMap<BTreeSet<&Method>, Vec<(Box<str>, Seen)>> = BTreeMap::new();
        for (path, (methods, seen)) in of_path {
            rules.entry(methods).or_default().push((path, seen));
        }
        for (methods, paths) in rules {
            writer.allow(place, &methods, &paths);
            allows += 1;
        }
    }
    for ((agent, authority), seen) in &suggest.names {
        writer.observe(suggest.policy.agent(*agent).name(), authority, seen);
    }
    let rules = writer.rules;
    let mut yaml = head(&suggest, allows);
    if !rules.is_empty() {
        yaml.push_str("rules:\n");
        yaml.push_str(&rules);
    }
    not_suggested(&mut yaml, &suggest.left);
    Suggestion { yaml, allows, observes: suggest.names.len(), counts: suggest.counts }
}

/// The patterns of every place and method, found once.
type Patterns<'a> = BTreeMap<&'a Place, BTreeMap<&'a Method, BTreeMap<Box<str>, Seen>>>;

fn patterns<'a>(suggest: &'a Suggest<'_>) -> Patterns<'a> {
    let of = |methods: &'a BTreeMap<Method, Paths>| methods.iter().map(|(method, paths)| (method, paths.patterns()));
    suggest.requests.iter().map(|(place, methods)| (place, of(methods).collect())).collect()
}

/// What is suggested at a place with a credential. It need not be presented, so that the same without a stub needs no rule.
struct Covered<'a> {
    paths: Vec<&'a BTreeMap<Box<str>, Seen>>,
    patterns: Vec<PathPattern>,
}

impl<'a> Covered<'a> {
    fn new(patterns: &'a Patterns<'_>, place: &'a Place, method: &Method) -> Self {
        let same = |other: &Place| {
            let granting = place.credential.is_none() && other.credential.is_some();
            granting && other.agent == place.agent && other.authority == place.authority
        };
        // Places of one agent at one authority stand together, first that without a credential.
        let from = patterns.range::<&Place, _>(place..).take_while(|(other, _)| **other == place || same(other));
        let paths: Vec<_> = from.filter(|(other, _)| same(other)).filter_map(|(_, of)| of.get(method)).collect();
        let starred = paths.iter().flat_map(|paths| paths.keys()).filter(|path| path.contains('*'));
        let patterns = starred.filter_map(|path| PathPattern::parse(path).ok()).collect();
        Covered { paths, patterns }
    }

    fn holds(&self, path: &str) -> bool {
        if self.paths.iter().any(|paths| paths.contains_key(path)) {
            return true;
        }
        match Path::parse(path.as_bytes()) {
            Ok(literal) if !path.contains('*') => self.patterns.iter().any(|pattern| pattern.grants(&literal, false)),
            _ => false,
        }
    }
}

struct Writer<'a> {
    names: BTreeSet<String>,
    rules: String,
    suggest: &'a Suggest<'a>,
}

impl Writer<'_> {
    fn allow(&mut self, place: &Place, methods: &BTreeSet<&Method>, paths: &[(Box<str>, Seen)]) {
        let policy = self.suggest.policy;
        let agent = policy.agent(place.agent).name();
        let credential = place.credential.map(|id| policy.credential(id).name());
        let mut all = Sighting::default();
        paths.iter().for_each(|(_, seen)| all.join(&seen.sighting));
        let words: Vec<String> = methods.iter().map(|method| method.as_str().to_ascii_lowercase()).collect();
        let mut what = if words.len() > 3 { "several".to_owned() } else { words.join("-") };
        if let Some(credential) = credential {
            let _ = write!(what, "-with-{credential}");
        }
        let name = self.name(agent, &place.authority, &what);
        let methods: Vec<String> = methods.iter().map(|method| plain(method.as_str())).collect();
        let _ = write!(
            self.rules,
            "  # {}{}\n  - name: {}\n    agents: [{}]\n    hosts: [{}]\n    methods: [{}]\n    paths:\n",
            seen(&all, "request"),
            private(&place.authority),
            plain(&name),
            plain(agent),
            quoted(&host(&place.authority)),
            methods.join(", "),
        );
        for (path, seen) in paths {
            let _ = write!(self.rules, "      - {} # {}", quoted(path), seen.sighting.count);
            if path.contains('*') {
                let _ = write!(self.rules, "; wider than what was seen, `*` was: {}", stars(seen));
            }
            self.rules.push('\n');
        }
        if let Some(credential) = credential {
            let _ = writeln!(self.rules, "    credentials: [{}] # its stub was presented", plain(credential));
        }
    }

    fn observe(&mut self, agent: &str, authority: &Authority, sighting: &Sighting) {
        let name = self.name(agent, authority, "observe");
        let _ = write!(
            self.rules,
            "  # {}; only the name was seen: observe what would be asked, then run this again{}\n  - name: {}\n    \
             effect: observe\n    agents: [{}]\n    hosts: [{}]\n    methods: [any]\n",
            seen(sighting, "attempt"),
            private(authority),
            plain(&name),
            plain(agent),
            quoted(&host(authority)),
        );
    }

    /// A name that no other rule has, neither here nor in the policy.
    fn name(&mut self, agent: &str, authority: &Authority, what: &str) -> String {
        let secure = if authority.scheme() == Scheme::Http { "-http" } else { "" };
        let name = format!("{agent}-{}{secure}-{what}", authority.host_header());
        let mut name: String = name
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() || ".-_".contains(char) { char } else { '-' })
            .collect();
        name.truncate(LONGEST_NAME);
        let mut unique = name.clone();
        for number in 2_u32.. {
            if self.suggest.policy.rule_named(&unique).is_none() && self.names.insert(unique.clone()) {
                break;
            }
            unique = format!("{name}-{number}");
        }
        unique
    }
}

fn head(suggest: &Suggest<'_>, allows: usize) -> String {
    let counts = &suggest.counts;
    let all = Sighting { count: counts.refusals, times: suggest.times.clone() };
    format!(
        "# Suggested by `stubgate policy suggest` for policy {}; review each rule, and delete what should stay denied.\n\
         # Seen: {}; with rules here: {}; allowed or observed by now: {}; not suggested: {}.\n\
         # Rules: {allows} allow, {} observe.\n\
         version: 1\n",
        suggest.policy.fingerprint(),
        seen(&all, "refusal"),
        counts.suggested,
        counts.allowed_now,
        counts.left_out,
        suggest.names.len(),
    )
}

fn not_suggested(yaml: &mut String, left: &Left) {
    if left.kinds.is_empty() {
        return;
    }
    yaml.push_str("\n# Not suggested:\n");
    for (kind, sighting) in &left.kinds {
        let reason = if kind.reason.is_empty() { "refused" } else { &kind.reason };
        let agent = if kind.agent.is_empty() { "no agent" } else { &kind.agent };
        let _ = write!(yaml, "# - {reason}, {agent}");
        if !kind.place.is_empty() {
            let _ = write!(yaml, ", {}", kind.place);
        }
        if !kind.stub_of.is_empty() {
            let _ = write!(yaml, ", stub of {}", kind.stub_of);
        }
        let _ = writeln!(yaml, " ({}): {}", seen(sighting, "time"), kind.because.0);
    }
    if left.more > 0 {
        let _ = writeln!(yaml, "# - {} more of other kinds", left.more);
    }
}

/// "12 requests, 2026-11-20T10:00:00Z to 2026-11-21T09:12:44Z".
fn seen(sighting: &Sighting, what: &str) -> String {
    let plural = if sighting.count == 1 { "" } else { "s" };
    let times = &sighting.times;
    if times.first.is_empty() {
        return format!("{} {what}{plural}", sighting.count);
    }
    let between =
        if times.first == times.last { times.last.to_string() } else { format!("{} to {}", times.first, times.last) };
    format!("{} {what}{plural}, {between}", sighting.count)
}

/// What each `*` of a pattern was, in its order.
fn stars(seen: &Seen) -> String {
    let one = |values: &Values| {
        let mut words: Vec<String> = values.some.iter().map(|value| harmless(value, SHOWN)).collect();
        if values.more {
            words.push("and others".to_owned());
        }
        words.join(" ")
    };
    seen.stars.values().map(one).collect::<Vec<_>>().join("; the next was: ")
}

/// What else an address needs that is not public.
fn private(authority: &Authority) -> &'static str {
    let private = match authority.host() {
        Host::Name(_) => false,
        Host::Ip(IpAddr::V4(ip)) => ip.is_private() || matches!(ip.octets(), [100, 64..=127, ..]),
        Host::Ip(IpAddr::V6(ip)) => ip.is_unique_local(),
    };
    if private { "; not a public address: `allow_private` of stubgate.yaml must name it too" } else { "" }
}

/// As a rule writes it.
fn host(authority: &Authority) -> String {
    match authority.scheme() {
        Scheme::Https => authority.host_header(),
        Scheme::Http => format!("http://{}", authority.host_header()),
    }
}

/// A word that YAML takes for a text, or in quotes.
fn plain(text: &str) -> String {
    let word = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if word && !other.contains(&text.to_ascii_lowercase().as_str()) { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Bytes of a name, with room for a number.
const LONGEST_NAME: usize = 56;
/// Characters of a value that are shown.
const SHOWN: usize = 40;
