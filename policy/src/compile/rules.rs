//! `rules:`: who may do what, where, with which credentials.

use super::names::{CREDENTIAL, Names, RULE};
use super::reader::{Item, Reader};
use super::{Draft, agents, bodies, hosts, include};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::model::hosts::{HostRule, Place as HostPlace};
use crate::model::methods::MethodSet;
use crate::model::paths::{PathPattern, Paths, PatternError};
use crate::model::policy::{AgentSet, Options};
use crate::model::{CredentialId, Effect, Method, MethodError, OnCredential, PathError, Rule, Scheme};
use crate::raw;

/// Most entries_in_all of agent and host in all rules: what the index holds.
const MAX_ENTRIES: usize = 8_000_000;

pub(super) fn check(documents: &[(usize, raw::Document)], draft: &mut Draft) {
    let mut names = Names::default();
    let mut included = include::Included::default();
    let mut all = 0_usize;
    for (file, document) in documents {
        let mut reader = Reader::new(*file, &mut draft.found);
        let Some(rules) = reader.optional(&document.rules) else {
            continue;
        };
        if rules.value.is_empty() {
            let empty = Diagnostic::error(codes::EMPTY_LIST, "the list is empty");
            reader.report(empty, rules.span, "", "write a rule, or remove the key");
        }
        for given in rules.value {
            let mut reader = Reader::new(*file, &mut draft.found);
            let Some(raw) = reader.value(given) else {
                continue;
            };
            let checker = Checker { file: *file, raw: raw.value, span: raw.span, expanded: false, draft };
            all = all.saturating_add(checker.add(&mut names));
        }
    }
    for (file, document) in documents {
        for include in include::expand(*file, document, &mut included, draft) {
            let before = draft.found.len();
            for rule in &include.rules {
                let checker = Checker { file: *file, raw: rule, span: &include.span, expanded: true, draft };
                all = all.saturating_add(checker.add(&mut names));
            }
            include::once(&mut draft.found, before);
        }
    }
    draft.parts.rules.sort_by(|a, b| a.name.cmp(&b.name));
    if all > MAX_ENTRIES {
        let many = Diagnostic::error(
            codes::TOO_MANY,
            format!("the rules combine agents, hosts and paths more than {MAX_ENTRIES} times"),
        );
        draft.found.push(many.help("use `*` for all agents, or wildcards for hosts"));
    }
}

struct Checker<'a> {
    file: usize,
    raw: &'a raw::Rule,
    span: &'a raw::Span,
    /// Whether it comes from a preset, with a name that its reader has made.
    expanded: bool,
    draft: &'a mut Draft,
}

impl Checker<'_> {
    /// Adds the rule, and says how many entries the index needs for it.
    fn add(mut self, names: &mut Names) -> usize {
        let Some(rule) = self.rule(names) else {
            return 0;
        };
        let agents = match &rule.agents {
            AgentSet::Every => 1,
            AgentSet::Some(ids) => ids.len(),
        };
        let entries = agents.saturating_mul(rule.hosts.len()).saturating_mul(rule.paths.prefixes().len());
        self.draft.parts.rules.push(rule);
        entries
    }

    /// The rule as far as it can be read; `None` without a usable name.
    fn rule(&mut self, names: &mut Names) -> Option<Rule> {
        let raw = self.raw;
        let span = self.span;
        self.reader().unknown(&raw.unknown, raw::Rule::KEYS);
        let name = self.reader().required(&raw.name, "name", span);
        let at = name.as_ref().map_or(span, |name| name.span);
        let first = name.as_ref().is_some_and(|name| {
            let place = self.reader().place(name.span);
            let found = &mut self.draft.found;
            if self.expanded {
                names.admit(RULE, name.value, place, found)
            } else {
                names.define(RULE, name.value, place, found)
            }
        });
        let (effect, known) = self.effect();
        let agents = self.reader().required_texts(&raw.agents, "agents", at).unwrap_or_default();
        let agents = agents::resolve(&agents, self.draft, self.file);
        let place = if effect == Effect::Deny || !known { HostPlace::Deny } else { HostPlace::Grant };
        let items = self.reader().required_texts(&raw.hosts, "hosts", at).unwrap_or_default();
        let (hosts, whole) = hosts::read(&items, place, &mut self.reader());
        let methods = self.reader().required_texts(&raw.methods, "methods", at).unwrap_or_default();
        let methods = methods_of(&methods, &mut self.reader());
        let options = self.options(effect, at);
        let body = bodies::check(raw, effect, at, &mut self.reader());
        let paths = self.paths(effect);
        let credentials = self.credentials(effect, &items, &hosts, whole);
        if options.credential_required && raw.credentials.is_none() {
            let none = Diagnostic::error(codes::CONTRADICTION, "a credential is required, and none is granted");
            self.reader().report(none, at, "", "add `credentials:`, or remove `credential_required`");
        }
        first.then(|| Rule {
            name: name.map_or("", |name| name.value.as_str()).into(),
            effect,
            agents,
            hosts: hosts.into(),
            methods,
            paths,
            credentials: credentials.into(),
            options,
            body,
        })
    }

    fn reader(&mut self) -> Reader<'_> {
        Reader::new(self.file, &mut self.draft.found)
    }

    /// The effect, and whether it could be read.
    fn effect(&mut self) -> (Effect, bool) {
        match self.choice(&self.raw.effect, &["allow", "deny", "observe"]) {
            Some("deny") => (Effect::Deny, true),
            Some("observe") => (Effect::Observe, true),
            chosen => (Effect::Allow, chosen.is_some() || self.raw.effect.is_none()),
        }
    }

    /// One of the words that may stand here.
    fn choice(&mut self, given: &Option<raw::Given<String>>, words: &[&'static str]) -> Option<&'static str> {
        let mut reader = self.reader();
        let found = reader.optional(given)?;
        let word = words.iter().copied().find(|word| word == found.value);
        if word.is_none() {
            let bad =
                Diagnostic::error(codes::BAD_CHOICE, format!("`{}` is not one of {}", found.value, words.join(", ")));
            let meant = nearest(found.value, words.iter().copied()).or_else(|| same_meaning(found.value, words));
            let help = meant.map(|meant| format!("did you mean `{meant}`?"));
            reader.report(bad, found.span, "", &help.unwrap_or_default());
        }
        word
    }

    fn options(&mut self, effect: Effect, at: &raw::Span) -> Options {
        const CHOICE: &[&str] = &["allow", "deny"];
        let raw = self.raw;
        let options = Options {
            credential_required: self.reader().optional(&raw.credential_required).is_some_and(|flag| flag.value.0),
            foreign_credentials: self.choice(&raw.foreign_credentials, CHOICE) == Some("allow"),
            deny_stub_in_body: self.choice(&raw.stub_in_body, CHOICE) == Some("deny"),
            credential_in_response: self
                .choice(&raw.credential_in_response, OnCredential::WORDS)
                .and_then(OnCredential::parse),
            ranges: self.choice(&raw.ranges, CHOICE) == Some("allow"),
        };
        let given = [
            ("credential_required", raw.credential_required.is_some()),
            ("foreign_credentials", raw.foreign_credentials.is_some()),
            ("stub_in_body", raw.stub_in_body.is_some()),
            ("credential_in_response", raw.credential_in_response.is_some()),
            ("ranges", raw.ranges.is_some()),
            ("encoded_slash", raw.encoded_slash.is_some()),
        ];
        for (key, _) in given.iter().filter(|(_, given)| *given && effect == Effect::Deny) {
            let useless = Diagnostic::error(codes::GRANT_ON_DENY, format!("`{key}` means nothing in a deny rule"));
            self.reader().report(useless, at, "in this rule", "remove it");
        }
        options
    }

    fn paths(&mut self, effect: Effect) -> Paths {
        let raw = self.raw;
        let encoded_slash = self.choice(&raw.encoded_slash, &["allow", "deny"]) == Some("allow");
        let mut reader = Reader::new(self.file, &mut self.draft.found);
        let list = reader.optional(&raw.paths);
        let Some(items) = reader.texts(list) else {
            return Paths::All;
        };
        let patterns: Vec<PathPattern> = items.iter().filter_map(|item| pattern(item, &mut reader)).collect();
        if effect == Effect::Deny && patterns.iter().any(PathPattern::is_everything) {
            return Paths::All;
        }
        Paths::Some { patterns: patterns.into(), encoded_slash }
    }

    fn credentials(
        &mut self,
        effect: Effect,
        items: &[Item<'_>],
        hosts: &[HostRule],
        whole: bool,
    ) -> Vec<CredentialId> {
        let raw = self.raw;
        let mut reader = Reader::new(self.file, &mut self.draft.found);
        let list = reader.optional(&raw.credentials);
        let Some(list) = list else { return Vec::new() };
        if effect == Effect::Deny {
            let grant = Diagnostic::error(codes::GRANT_ON_DENY, "a deny rule grants no credentials");
            reader.report(grant, list.span, "", "remove them");
        }
        for item in items.iter().filter(|item| item.value.starts_with("http://")) {
            let plain = Diagnostic::error(codes::PLAIN_CREDENTIAL, "a rule with credentials names a plain http host");
            reader.report(
                plain,
                item.span,
                "",
                "a credential goes out over https only: make a rule of its own for this host",
            );
        }
        let names = reader.texts(Some(list)).unwrap_or_default();
        let mut ids = Vec::new();
        for name in names {
            let mut reader = Reader::new(self.file, &mut self.draft.found);
            let at =
                self.draft.credentials.resolve(CREDENTIAL, name.value, name.span, self.draft.complete, &mut reader);
            let Some(at) = at else { continue };
            let bound = self.draft.parts.credentials.get(at).map(|credential| &*credential.hosts).unwrap_or_default();
            useful(&name, bound, hosts, whole, &mut reader);
            ids.extend(CredentialId::at(at));
        }
        ids.sort_unstable();
        ids
    }
}

/// A credential that is bound to none of the rule's hosts is never swapped: a slip, or a wrong idea of the rule.
fn useful(name: &Item<'_>, bound: &[HostRule], hosts: &[HostRule], whole: bool, reader: &mut Reader<'_>) {
    let secure = || hosts.iter().filter(|host| host.ends.scheme != Some(Scheme::Http));
    let judged = whole && !bound.is_empty() && secure().next().is_some();
    if judged && !secure().any(|host| bound.iter().any(|bound| bound.meets(host))) {
        let message = format!("the credential `{}` is bound to none of the hosts of this rule", name.value);
        let bound: Vec<String> = bound.iter().take(5).map(ToString::to_string).collect();
        let help = format!("it may go to {} only; add the host there, or remove the credential here", bound.join(", "));
        reader.report(Diagnostic::error(codes::USELESS_GRANT, message), name.span, "", &help);
    }
}

/// What other programs call it.
fn same_meaning(written: &str, words: &[&'static str]) -> Option<&'static str> {
    let meant = match written.to_ascii_lowercase().as_str() {
        "mask" | "redact" | "overwrite" | "scrub" | "stub" => "replace",
        "block" | "drop" | "forbid" | "refuse" | "reject" | "disallow" | "no" | "off" | "never" => "deny",
        "accept" | "grant" | "pass" | "permit" | "yes" | "on" | "always" => "allow",
        "audit" | "dry-run" | "dry_run" | "log" | "monitor" | "report" | "warn" => "observe",
        _ => return None,
    };
    words.iter().copied().find(|word| *word == meant)
}

fn methods_of(items: &[Item<'_>], reader: &mut Reader<'_>) -> MethodSet {
    if let Some(any) = items.iter().find(|item| item.value == "any") {
        if items.len() > 1 {
            let more = Diagnostic::error(codes::REPEATED, "`any` is every method, and others stand beside it");
            reader.report(more, any.span, "", "keep `any` alone, or name the methods");
        }
        return MethodSet::any();
    }
    let mut set = MethodSet::default();
    for item in items {
        if let Some(method) = method(item, reader) {
            set.insert(method);
        }
    }
    set
}

fn method(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Method> {
    let text = item.value.as_str();
    let upper = text.to_ascii_uppercase();
    let known = || Method::KNOWN.iter().map(Method::as_str);
    let parsed = match Method::parse(text.as_bytes()) {
        Err(MethodError::Reserved) => Ok(Method::websocket()),
        parsed => parsed,
    };
    match parsed {
        Ok(method) if method.never_matches() => {
            let dead = Diagnostic::error(codes::DEAD_METHOD, format!("no rule ever matches {text}"));
            reader.report(dead, item.span, "", "remove it");
            None
        }
        Ok(method) if upper == text && nearest_slip(text).is_none() => Some(method),
        _ => {
            let bad = Diagnostic::error(codes::BAD_METHOD, format!("`{text}` is not a method"));
            let help = match (text, nearest(&upper, known())) {
                ("*" | "ANY" | "Any" | "ALL" | "All" | "all", _) => "write `any` for every method".into(),
                (_, Some(meant)) => {
                    format!("did you mean `{meant}`? methods are compared in exact case")
                }
                (_, None) => "write a method in upper case, or `any`".into(),
            };
            reader.report(bad, item.span, "", &help);
            None
        }
    }
}

/// `ANY` would be a method that nobody sends.
fn nearest_slip(text: &str) -> Option<&str> {
    matches!(text, "ANY" | "*" | "ALL").then_some("any")
}

fn pattern(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<PathPattern> {
    let (why, help) = match PathPattern::parse(item.value) {
        Ok(pattern) => return Some(pattern),
        Err(PatternError::Deep) => (
            "`**` stands beside other characters in a segment".to_owned(),
            "write `**` alone between slashes, or `*` within a segment",
        ),
        Err(PatternError::Path(PathError::NotAbsolute)) => {
            (PathError::NotAbsolute.to_string(), "begin it with `/`; `/**` is every path")
        }
        Err(PatternError::Path(error)) => (error.to_string(), hosts::path_help(error)),
    };
    let bad = Diagnostic::error(codes::BAD_PATH, format!("`{}` is not a path pattern: {why}", item.value));
    reader.report(bad, item.span, "", help);
    None
}
