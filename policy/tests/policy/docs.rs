//! What the pages about policy show is what the code says.

use stubgate_policy::explain::render;
use stubgate_policy::{Question, SlotRef, Token, cases};

use crate::cases::Plain;
use crate::support::{file, policy_of};

const EXPLAIN: &str = include_str!("../../../docs/policy/explain.md");
const TESTING: &str = include_str!("../../../docs/policy/testing.md");

#[test]
fn the_explanations_shown_are_real() {
    let policy = policy_of(&[file(include_str!("example.yaml"))]);
    let stub = [Token::literal(SlotRef::Header("x-api-key"), b"proxy-token-github")];
    for (line, tokens) in [("POST https://api.github.com/gists", &[][..]), ("GET https://api.github.com/user", &stub)] {
        let explanation = policy.explain(policy.agent_named("devbot"), &Question::parse(line).unwrap(), Ok(tokens));
        let text = render(&explanation, false);
        assert!(EXPLAIN.contains(&format!("'{line}'")) && EXPLAIN.contains(&text), "{text}");
    }
}

#[test]
fn the_tests_and_results_shown_are_real() {
    let policy = policy_of(&[file(include_str!("example.yaml"))]);
    for (name, text, shown) in [
        ("policy/tests/site.yaml", include_str!("cases/good.yaml"), None),
        ("tests/failing.yaml", include_str!("cases/failing.yaml"), Some("FAIL tests/failing.yaml:8")),
    ] {
        let mut files = vec![file(text)];
        files[0].name = name.into();
        let cases = cases::read(&policy, &files).unwrap();
        let told = cases::render(&cases::run(&policy, &cases, &Plain), &cases, &files, false, false);
        let part = match shown {
            Some(start) => told.split("\n\nFAIL").find(|part| format!("FAIL{part}").starts_with(start)).unwrap(),
            None => {
                assert!(TESTING.contains(text));
                &told
            }
        };
        assert!(TESTING.contains(part), "{part}");
    }
}
