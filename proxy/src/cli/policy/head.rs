//! A request that nobody sent, taken through the code that reads the heads of those that were (law 1): its headers are
//! checked and its credential places found as for an agent's request, and then policy is asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use stubgate_policy::cases::{Content, Explain, Presented};
use stubgate_policy::question::Request;
use stubgate_policy::{AgentId, CredentialId, Explanation, Policy, Question, Reason, Seen, Slot};

use crate::decide::swapped_place;
use crate::headers;
use crate::inspect;
use crate::request::Refusal;
use crate::snapshot::StubScanner;
use crate::swap::Places;

/// Explains questions to one policy.
pub(super) struct Explainer<'a> {
    policy: &'a Policy,
    stubs: StubScanner,
}

impl<'a> Explainer<'a> {
    pub(super) fn new(policy: &'a Policy) -> Self {
        Explainer { policy, stubs: StubScanner::new(policy) }
    }

    /// What a question with these headers comes to; without a body, what its head does.
    pub(super) fn explain(
        &self,
        agent: Option<AgentId>,
        question: &Question,
        headers: &HeaderMap,
        body: Option<&[u8]>,
    ) -> Explanation {
        let query = question.request().and_then(Request::query);
        self.explain_with(agent, question, headers, query, body, None)
    }

    fn explain_with(
        &self,
        agent: Option<AgentId>,
        question: &Question,
        headers: &HeaderMap,
        query: Option<&str>,
        body: Option<&[u8]>,
        minted: Option<CredentialId>,
    ) -> Explanation {
        let Some(request) = question.request() else {
            return self.policy.explain(agent, question, Ok(&[]));
        };
        let mut places = match self.places(request, headers, query) {
            Ok(places) => places,
            Err(refusal) => return self.policy.explain(agent, question, Err(refusal.reason)),
        };
        if let (Some(agent), Some(credential)) = (agent, minted) {
            places.take_for_minted(self.policy, agent, credential);
        }
        let body = body.map(|bytes| inspect::body(headers, query.map(str::as_bytes), bytes));
        let seen = body.as_ref().map(Seen::Body);
        let explanation = self.policy.explain_body(agent, question, Ok(&places.tokens()), seen);
        let swap = explanation.swap.as_ref().map(|swap| swap.token);
        match swap.map(|token| swapped_place(&places, token)) {
            Some(Err(refusal)) => explanation.refused_later(refusal.reason),
            Some(Ok(_)) | None => explanation,
        }
    }

    /// What stands in the credential places of a head.
    fn places(&self, request: &Request, headers: &HeaderMap, query: Option<&str>) -> Result<Places, Refusal> {
        headers::check(headers)?;
        let method = match request.method().as_str() {
            "WEBSOCKET" => "GET",
            method => method,
        };
        Places::find(
            self.policy,
            request.authority(),
            &self.stubs,
            method,
            request.path().as_bytes(),
            query.map(str::as_bytes),
            headers,
        )
    }
}

impl Explain for Explainer<'_> {
    /// A stub is put into the head as a client would send it.
    fn explain(
        &self,
        _policy: &Policy,
        agent: AgentId,
        question: &Question,
        lines: &[String],
        body: Option<&Content>,
        presented: Option<Presented<'_>>,
    ) -> Explanation {
        let mut query = question.request().and_then(Request::query).map(str::to_owned);
        let minted = presented.map(|presented| presented.credential);
        let minted = minted.filter(|id| self.policy.credential(*id).minted_only());
        let stub_line = presented.and_then(|Presented { slot, stub, .. }| match slot {
            Slot::Bearer => Some(format!("authorization: Bearer {stub}")),
            Slot::Basic => Some(format!("authorization: Basic {}", STANDARD.encode(format!("{USER}:{stub}")))),
            Slot::Bare => Some(format!("authorization: {stub}")),
            Slot::Header(name) => Some(format!("{name}: {stub}")),
            Slot::Query(name) => {
                let before = query.take().map(|query| format!("{query}&")).unwrap_or_default();
                query = Some(format!("{before}{name}={stub}"));
                None
            }
        });
        let type_line = body.and_then(|body| body.kind.as_ref()).map(|kind| format!("content-type: {kind}"));
        let bytes = body.map_or(&b""[..], |body| body.text.as_bytes());
        match headers(lines.iter().chain(&stub_line).chain(&type_line).map(String::as_str)) {
            Ok(headers) => self.explain_with(Some(agent), question, &headers, query.as_deref(), Some(bytes), minted),
            // Cases are read with the same rules, so that none has such a header.
            Err(_) => self.policy.explain(Some(agent), question, Err(Reason::BadRequest)),
        }
    }
}

/// The user beside a stub as password, as git's helpers for tokens name it.
const USER: &str = "x-access-token";

/// Reads `Name: value` lines.
///
/// # Errors
/// In words, where one is no header, or one that the request line stands for.
pub(super) fn headers<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = stubgate_policy::question::header(line).map_err(|error| error.to_string())?;
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
            return Err("a header that can't be sent".to_owned());
        };
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use stubgate_policy::explain::Outcome;
    use stubgate_policy::{SourceFile, cases, compile};

    use super::*;

    const POLICY: &str = r#"version: 1
agents:
  a: { sources: ["10.0.0.1/32"] }
credentials:
  github: { stub: stub-github, slots: [bearer, basic, "header:x-key", "query:key"], hosts: [g.example], source: { env: A } }
rules:
  - { name: git, agents: [a], hosts: [g.example, o.example], methods: [GET, WEBSOCKET], credentials: [github] }
"#;

    fn explain(line: &str, lines: &[&str]) -> (Outcome, Option<Reason>) {
        let files = [SourceFile { name: "p.yaml".into(), text: POLICY.into() }];
        let policy = compile(&files).unwrap().policy;
        let question = Question::parse(line).unwrap();
        let headers = headers(lines.iter().copied()).unwrap();
        let explanation = Explainer::new(&policy).explain(policy.agent_named("a"), &question, &headers, None);
        (explanation.decision, explanation.reason)
    }

    #[test]
    fn headers_are_read_as_those_of_a_request() {
        let allow = (Outcome::Allow, None);
        let deny = |reason| (Outcome::Deny, Some(reason));
        let get = "GET https://g.example/x";
        for (line, lines, expected) in [
            (get, &[][..], allow),
            (get, &["Authorization: Bearer stub-github"], allow),
            (get, &["authorization: token stub-github"], allow),
            (get, &["Authorization: Basic eDpzdHViLWdpdGh1Yg=="], allow),
            (get, &["X-Key: stub-github"], allow),
            ("WEBSOCKET wss://g.example/x", &["X-Key: stub-github"], allow),
            (get, &["Authorization: Bearer  stub-github"], deny(Reason::StubOutOfSlot)),
            (get, &["X-Other: stub-github"], deny(Reason::StubOutOfSlot)),
            (get, &["Authorization: Bearer own"], deny(Reason::ForeignCredential)),
            (get, &["X-Key: stub-github", "Authorization: Bearer stub-github"], deny(Reason::TwoCredentials)),
            (get, &["X_Key: stub-github"], deny(Reason::BadRequest)),
            (get, &["Connection: x-key"], deny(Reason::BadRequest)),
            (get, &["Connection: authorization"], deny(Reason::BadRequest)),
            ("GET https://g.example/stub-github", &[], deny(Reason::StubOutOfSlot)),
            ("GET https://g.example/%73tub-github", &[], deny(Reason::StubOutOfSlot)),
            ("GET https://g.example/?a=stub-github", &[], deny(Reason::StubOutOfSlot)),
            ("GET https://g.example/?token=own", &[], deny(Reason::ForeignCredential)),
            // Granted by policy, and not swapped yet.
            ("GET https://g.example/?key=stub-github", &[], deny(Reason::StubOutOfSlot)),
            ("GET https://o.example/", &["Authorization: Bearer stub-github"], deny(Reason::StubWrongHost)),
        ] {
            assert_eq!(explain(line, lines), expected, "{line} {lines:?}");
        }
    }

    #[test]
    fn a_body_is_looked_at_as_that_of_a_request() {
        let rule = "  - { name: looks, agents: [a], hosts: [b.example], methods: [POST], body: { json: { allow_keys: [x] } } }\n";
        let files = [SourceFile { name: "p.yaml".into(), text: format!("{POLICY}{rule}") }];
        let policy = compile(&files).unwrap().policy;
        let question = Question::parse("POST https://b.example/").unwrap();
        let asked = |lines: &[&str], body: Option<&str>| {
            let headers = headers(lines.iter().copied()).unwrap();
            let body = body.map(str::as_bytes);
            let explanation = Explainer::new(&policy).explain(policy.agent_named("a"), &question, &headers, body);
            (explanation.decision, explanation.reason)
        };
        let json = &["Content-Type: application/json"][..];
        assert_eq!(asked(&[], None), (Outcome::Allow, None), "of the head alone");
        assert_eq!(asked(json, Some("{\"x\":1}")), (Outcome::Allow, None));
        assert_eq!(asked(json, Some("{\"y\":1}")), (Outcome::Deny, Some(Reason::BodyNotAllowed)));
        for (lines, body) in [
            (json, ""),
            (json, "{"),
            (&[][..], "{\"x\":1}"),
            (&["Content-Type: application/json", "Content-Encoding: br"][..], "{\"x\":1}"),
        ] {
            assert_eq!(asked(lines, Some(body)), (Outcome::Deny, Some(Reason::BodyNotInspectable)), "{lines:?} {body}");
        }
    }

    #[test]
    fn a_stub_is_presented_as_clients_send_it() {
        let files = [SourceFile { name: "p.yaml".into(), text: POLICY.into() }];
        let policy = compile(&files).unwrap().policy;
        let explainer = Explainer::new(&policy);
        let credential = policy.credential_named("github").unwrap();
        let github = policy.credential(credential);
        let question = Question::parse("GET https://g.example/x?a=b").unwrap();
        let agent = policy.agent_named("a").unwrap();
        let came = github.slots().iter().map(|slot| {
            let presented = Some(Presented { slot, stub: github.stub(), credential });
            let explanation = Explain::explain(&explainer, &policy, agent, &question, &[], None, presented);
            (slot.to_string(), explanation.swap.map(|swap| swap.place))
        });
        let place = |slot: &str, place: &str| (slot.to_owned(), Some(place.to_owned()));
        // A query slot can be declared but is not swapped yet.
        let unswapped = ("query:key".to_owned(), None);
        let swapped =
            [place("bearer", "bearer"), place("basic", "basic (password)"), place("header:x-key", "header:x-key")];
        assert_eq!(came.collect::<Vec<_>>(), swapped.into_iter().chain([unswapped]).collect::<Vec<_>>());
    }

    #[test]
    fn headers_of_cases_are_read_as_those_of_a_request() {
        let files = [SourceFile { name: "p.yaml".into(), text: POLICY.into() }];
        let policy = compile(&files).unwrap().policy;
        let text = "tests:
  - { name: t, agent: a, request: GET https://g.example/, headers: [\"X-Key: stub-github\"], expect: allow, credentials: [github] }
  - { name: u, agent: a, request: GET https://g.example/, headers: [\"X-Other: stub-github\"], expect: deny, reason: stub_out_of_slot }
  - { name: v, agent: a, request: GET https://g.example/stub-github, expect: deny, reason: stub_out_of_slot }
";
        let files = [SourceFile { name: "t.yaml".into(), text: text.into() }];
        let cases = cases::read(&policy, &files).unwrap();
        let report = cases::run(&policy, &cases, &Explainer::new(&policy));
        assert_eq!(report.failed(), 0, "{}", cases::render(&report, &cases, &files, true, false));
    }
}
