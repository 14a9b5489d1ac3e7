//! A request that nobody sent, taken through the code that reads the heads of those that were (law 1): its headers are
//! checked and its credential places found as for an agent's request, and then policy is asked.

use http::{HeaderMap, HeaderName, HeaderValue};
use stubgate_policy::question::Request;
use stubgate_policy::{AgentId, Explanation, Policy, Question};

use crate::decide::swapped_place;
use crate::headers;
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

    /// What a question with these headers comes to.
    pub(super) fn explain(&self, agent: Option<AgentId>, question: &Question, headers: &HeaderMap) -> Explanation {
        let Some(request) = question.request() else {
            return self.policy.explain(agent, question, Ok(&[]));
        };
        let places = match self.places(request, headers) {
            Ok(places) => places,
            Err(refusal) => return self.policy.explain(agent, question, Err(refusal.reason)),
        };
        let explanation = self.policy.explain(agent, question, Ok(&places.tokens()));
        let swap = explanation.swap.as_ref().map(|swap| swap.token);
        match swap.map(|token| swapped_place(&places, token)) {
            Some(Err(refusal)) => explanation.refused_later(refusal.reason),
            Some(Ok(_)) | None => explanation,
        }
    }

    /// What stands in the credential places of a head.
    pub(super) fn places(&self, request: &Request, headers: &HeaderMap) -> Result<Places, Refusal> {
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
            request.query().map(str::as_bytes),
            headers,
        )
    }
}

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
    use stubgate_policy::{Reason, SourceFile, compile};

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
        let explanation = Explainer::new(&policy).explain(policy.agent_named("a"), &question, &headers);
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
}
