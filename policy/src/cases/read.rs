//! From a file of policy tests to cases, with every error at its place. What no decision could fulfil is an error too,
//! so that a test can't be red, or green, for nothing.

use std::collections::HashMap;
use std::ops::Range;

use super::{Case, Content};
use crate::compile::reader::{Item, Named, Reader};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::explain::Outcome;
use crate::model::{AgentId, CredentialId, Effect, Policy, Reason};
use crate::question::{Question, header};
use crate::raw::cases::{Document, Test};
use crate::raw::{Given, Span};
use crate::source::{SourceFile, read_tolerant};

impl Named for Document {
    const WHAT: &'static str = "a map";
}

impl Named for Test {
    const WHAT: &'static str = "a map";
}

/// Reads files of policy tests for a policy.
///
/// # Errors
/// Every error of every file, in the order of files and lines.
pub fn read(policy: &Policy, files: &[SourceFile]) -> Result<Vec<Case>, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let mut cases = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let node = read_tolerant(at, file, &mut found);
        let mut reader = Reader::new(at, &mut found);
        if let Some(document) = node.and_then(|node| reader.shape::<Document>(node.into())) {
            cases.extend(read_document(policy, &document, &mut reader));
        }
    }
    if cases.is_empty() && found.is_empty() {
        let none = Diagnostic::error(codes::NO_TESTS, "no policy tests");
        found.push(none.help("write them in tests/*.yaml beside the policy, or name files with --tests"));
    }
    if found.is_empty() {
        return Ok(cases);
    }
    found.sort_by_key(|found| found.labels.first().map(|label| (label.file, label.span.start)));
    Err(found)
}

fn read_document(policy: &Policy, document: &Document, reader: &mut Reader<'_>) -> Vec<Case> {
    reader.unknown(&document.unknown, Document::KEYS);
    let Some(tests) = reader.required(&document.tests, "tests", &(0..0)) else {
        return Vec::new();
    };
    if tests.value.is_empty() {
        let empty = Diagnostic::error(codes::EMPTY_LIST, "the list is empty");
        reader.report(empty, tests.span, "", "write a test, or remove the file");
    }
    let mut names: HashMap<&str, &Span> = HashMap::new();
    let mut cases = Vec::new();
    for given in tests.value {
        let Some(test) = reader.value(given) else {
            continue;
        };
        if let Some(Given { span, shape: crate::raw::Shape::Is(name) }) = &test.value.name
            && let Some(first) = names.insert(name, span)
        {
            let twice = Diagnostic::error(codes::TEST_TWICE, format!("two tests of this file are called `{name}`"))
                .at(reader.file, span.clone(), "second")
                .at(reader.file, first.clone(), "first");
            reader.found.push(twice.help("say in each name what it shows"));
        }
        cases.extend(Checker { policy, test: test.value, reader }.case(test.span));
    }
    cases
}

struct Checker<'a, 'r> {
    policy: &'a Policy,
    test: &'a Test,
    reader: &'a mut Reader<'r>,
}

impl Checker<'_, '_> {
    /// The case, if it can be read whole.
    fn case(&mut self, map: &Span) -> Option<Case> {
        let test = self.test;
        self.reader.unknown(&test.unknown, Test::KEYS);
        let name = self.reader.required(&test.name, "name", map);
        let at = name.as_ref().map_or(map, |name| name.span);
        let agent = self.reader.required(&test.agent, "agent", at).and_then(|name| self.agent(&name));
        let request = self.reader.required(&test.request, "request", at);
        let question = request.and_then(|line| self.question(&line));
        let expect = self.reader.required(&test.expect, "expect", at).and_then(|word| self.expect(&word));
        let rule = self.reader.optional(&test.rule).and_then(|name| self.rule(&name));
        let reason = self.reader.optional(&test.reason).and_then(|word| self.reason(&word));
        let headers = self.headers();
        let body = self.body(&headers);
        let credentials = self.credentials();
        let (question, expect) = (question?, expect?);
        self.possible(&question, expect, rule, reason);
        Some(Case {
            name: name?.value.clone(),
            file: self.reader.file,
            span: Range::clone(at),
            agent: agent?,
            question,
            headers,
            body,
            expect,
            rule: rule.map(str::to_owned),
            credentials,
            reason,
        })
    }

    fn report(&mut self, code: &'static str, message: String, span: &Span, help: &str) {
        self.reader.report(Diagnostic::error(code, message), span, "", help);
    }

    /// A name that is not defined.
    fn unknown<'n>(&mut self, code: &'static str, kind: &str, name: &Item<'_>, known: impl Iterator<Item = &'n str>) {
        let meant = nearest(name.value, known).map(|meant| format!("did you mean `{meant}`?"));
        let help = meant.unwrap_or_else(|| format!("name {kind} of the policy under test"));
        self.report(code, format!("the policy has no {} `{}`", last_word(kind), name.value), name.span, &help);
    }

    fn agent(&mut self, name: &Item<'_>) -> Option<AgentId> {
        let policy = self.policy;
        let agent = policy.agent_named(name.value);
        if agent.is_none() {
            self.unknown(codes::UNKNOWN_AGENT, "an agent", name, policy.agents().iter().map(|agent| agent.name()));
        }
        agent
    }

    fn rule<'n>(&mut self, name: &Item<'n>) -> Option<&'n str> {
        let policy = self.policy;
        let rule = policy.rule_named(name.value);
        if rule.is_none() {
            self.unknown(codes::UNKNOWN_RULE, "a rule", name, policy.rules().iter().map(|rule| rule.name()));
        }
        rule.map(|_| name.value.as_str())
    }

    fn credentials(&mut self) -> Vec<CredentialId> {
        let policy = self.policy;
        let list = self.reader.optional(&self.test.credentials);
        let names = self.reader.texts(list).unwrap_or_default();
        let mut ids = Vec::new();
        for name in names {
            let id = policy.credential_named(name.value);
            if id.is_none() {
                let known = policy.credentials().iter().map(|credential| credential.name());
                self.unknown(codes::UNKNOWN_CREDENTIAL, "a credential", &name, known);
            }
            ids.extend(id);
        }
        ids
    }

    fn question(&mut self, line: &Item<'_>) -> Option<Question> {
        match Question::parse(line.value) {
            Ok(question) => Some(question),
            Err(error) => {
                let help = "for example `GET https://host/path`, `DNS name A` or `CONNECT host:443`";
                self.report(codes::BAD_QUESTION, error.to_string(), line.span, help);
                None
            }
        }
    }

    fn headers(&mut self) -> Vec<String> {
        let list = self.reader.optional(&self.test.headers);
        let Some(list) = list else { return Vec::new() };
        if list.value.is_empty() {
            self.report(codes::EMPTY_LIST, "the list is empty".into(), list.span, "remove the key");
        }
        let mut headers = Vec::new();
        for item in list.value.iter().filter_map(|given| self.reader.value(given)).collect::<Vec<_>>() {
            match header(item.value) {
                Ok(_) => headers.push(item.value.clone()),
                Err(error) => {
                    self.report(codes::BAD_HEADER, error.to_string(), item.span, "write \"X-Name: value\"");
                }
            }
        }
        headers
    }

    fn body(&mut self, headers: &[String]) -> Option<Content> {
        let typed =
            headers.iter().filter_map(|line| header(line).ok()).any(|(name, _)| name.eq_ignore_ascii_case(TYPE));
        let test = self.test;
        let kind = self.reader.optional(&test.content_type);
        let text = self.reader.optional(&test.body);
        if let Some(kind) = &kind {
            if text.is_none() {
                self.report(codes::BAD_EXPECTATION, "a type, and there is no body".into(), kind.span, "remove it");
            }
            if let Err(error) = header(&format!("{TYPE}: {}", kind.value)) {
                self.report(codes::BAD_HEADER, error.to_string(), kind.span, "write `application/json`, for example");
            }
        }
        let kind = match kind {
            Some(kind) => Some(kind.value.clone()),
            None => (!typed).then(|| Content::JSON.to_owned()),
        };
        text.map(|text| Content { text: text.value.clone(), kind })
    }

    fn expect(&mut self, word: &Item<'_>) -> Option<Outcome> {
        const ALL: [Outcome; 4] = [Outcome::Allow, Outcome::Deny, Outcome::Observe, Outcome::Answer];
        let found = ALL.into_iter().find(|outcome| outcome.as_str() == word.value);
        if found.is_none() {
            let words = ALL.map(Outcome::as_str);
            let help = nearest(word.value, words).map(|meant| format!("did you mean `{meant}`?")).unwrap_or_default();
            let message = format!("`{}` is not one of {}", word.value, words.join(", "));
            self.report(codes::BAD_CHOICE, message, word.span, &help);
        }
        found
    }

    fn reason(&mut self, word: &Item<'_>) -> Option<Reason> {
        let found = Reason::parse(word.value);
        if found.is_none() {
            let words = Reason::ALL.iter().map(|reason| reason.as_str());
            let help = match nearest(word.value, words) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "the words are those of audit records, as `policy explain` shows them".into(),
            };
            let message = format!("`{}` is no reason", word.value);
            self.report(codes::UNKNOWN_REASON, message, word.span, &help);
        }
        found
    }

    /// Reports expectations that contradict each other, or the stage that is asked.
    fn possible(&mut self, question: &Question, expect: Outcome, rule: Option<&str>, reason: Option<Reason>) {
        let test = self.test;
        let is_request = question.request().is_some();
        let at = |key: &Option<Given<String>>| key.as_ref().map(|given| given.span.clone()).unwrap_or_default();
        let mut say = |span: Span, message: &str, help: &str| {
            self.reader.report(Diagnostic::error(codes::BAD_EXPECTATION, message), &span, "", help);
        };
        if !is_request {
            let lists = [
                test.headers.as_ref().map(|g| &g.span),
                test.credentials.as_ref().map(|g| &g.span),
                test.body.as_ref().map(|g| &g.span),
            ];
            for span in lists.into_iter().flatten() {
                say(span.clone(), "only a request has headers, credentials and a body", "remove them");
            }
        }
        match (expect, reason) {
            (Outcome::Allow | Outcome::Answer, Some(_)) => {
                say(at(&test.reason), "a reason, and nothing is refused", "remove it, or expect `deny`");
            }
            (Outcome::Deny, Some(Reason::Observed)) => {
                say(at(&test.reason), "what is observed has a word of its own", "write `expect: observe`");
            }
            (Outcome::Observe, Some(other)) if other != Reason::Observed => {
                say(at(&test.reason), "what is observed has no other reason", "remove it, or expect `deny`");
            }
            _ => {}
        }
        let Some(rule) = rule.and_then(|rule| self.policy.rule_named(rule)).map(|id| self.policy.rule(id)) else {
            return;
        };
        let effect = rule.effect();
        match (expect, effect) {
            (Outcome::Allow, Effect::Allow) if !is_request => {
                let help = "remove it; rules are told apart once there is a request";
                say(at(&test.rule), "a name or connection that is allowed has no rule of its own", help);
            }
            (Outcome::Allow, Effect::Allow) | (Outcome::Deny, Effect::Deny) | (Outcome::Observe, Effect::Observe) => {}
            // What it refuses for its body.
            (Outcome::Deny, Effect::Allow) if rule.body().is_some() => {}
            (Outcome::Deny, Effect::Allow) => say(
                at(&test.rule),
                "an allow rule denies nothing",
                "remove it: what is denied has a rule only where a deny rule matches",
            ),
            (Outcome::Answer, _) => say(at(&test.rule), "what stubgate answers by itself has no rule", "remove it"),
            _ => say(at(&test.rule), "this rule has another effect than is expected", "name another rule, or none"),
        }
    }
}

const TYPE: &str = "content-type";

fn last_word(kind: &str) -> &str {
    kind.rsplit(' ').next().unwrap_or(kind)
}
