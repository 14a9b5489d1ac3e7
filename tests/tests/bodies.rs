//! Rules that look into bodies, with the clients that they were made for: what `gh` and Claude Code do by the presets
//! passes, and what the provider would do for them does not leave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stubgate_tests::builder::fresh_secret;
use stubgate_tests::lab::WAYS;
use stubgate_tests::origin::Double;
use stubgate_tests::{Lab, Shared, Way};

const POLICY: &str = r#"version: 1
agents:
  pod: { sources: ["10.99.0.2/32"] }
credentials:
  github:
    stub: proxy-token-github
    slots: [bearer]
    hosts: [api.github.com]
    source: { file: "@SECRETS@/github" }
  claude:
    stub: proxy-token-claude
    slots: [bearer]
    hosts: [api.anthropic.com]
    source: { file: "@SECRETS@/claude" }
include:
  - { preset: github-graphql-write@1, agents: [pod], credentials: { github: github } }
  - { preset: claude-code@1, agents: [pod], credentials: { anthropic: claude } }
"#;

static BODIES: Shared<Bodies> = Shared::new(Bodies::start);

struct Bodies {
    lab: Lab,
    api: Double,
    model: Double,
}

impl AsRef<Lab> for Bodies {
    fn as_ref(&self) -> &Lab {
        &self.lab
    }
}

impl Bodies {
    fn start() -> Bodies {
        let (github, claude) = (fresh_secret("github"), fresh_secret("claude"));
        let api = Double::demanding("api.github.com", &github);
        let model = Double::open("api.anthropic.com");
        let builder = Lab::new().origin(api.clone()).origin(model.clone()).policy(POLICY);
        let lab = builder.credential("github", &github).credential("claude", &claude).start();
        Bodies { lab, api, model }
    }

    /// Requests for a path that arrived at a double since it last forgot.
    fn arrived(double: &Double, path: &str) -> usize {
        double.memory.recall().requests.iter().filter(|request| request.target.starts_with(path)).count()
    }
}

#[test]
fn gh_works_on_issues_and_pull_requests() {
    BODIES.test(|bodies| {
        for way in WAYS {
            let client = bodies.lab.client(way);
            let gh = |args: &[&str]| client.gh().args(args).args(["-R", "acme/site"]).run().success();
            assert!(gh(&["pr", "list"]).contains("topic"));
            assert!(gh(&["issue", "list"]).contains("topic"));
            assert!(gh(&["issue", "create", "-t", "x", "-b", "y"]).contains("/acme/site/issues/7"));
            assert!(gh(&["pr", "comment", "7", "-b", "y"]).contains("/acme/site/pull/7#c"));
        }
    });
}

#[test]
fn gh_is_told_what_it_may_not_ask() {
    BODIES.test(|bodies| {
        let client = bodies.lab.client(Way::Dns);
        bodies.api.memory.forget();
        for (query, field) in [
            (
                "query=mutation { deleteRepository(input: {repositoryId: \"R_1\"}) { clientMutationId } }",
                "deleteRepository",
            ),
            ("query=mutation { addComment: mergePullRequest(input: {}) { clientMutationId } }", "mergePullRequest"),
            ("query={ enterprise(slug: \"x\") { id } }", "enterprise"),
        ] {
            let told = client.gh().args(["api", "graphql", "-f", query]).run().failure();
            assert!(told.contains(field), "{told}");
        }
        assert_eq!(Bodies::arrived(&bodies.api, "/graphql"), 0);
    });
}

#[test]
fn claude_code_is_answered_and_asks_for_nothing_that_the_preset_closes() {
    BODIES.test(|bodies| {
        for way in WAYS {
            bodies.model.memory.forget();
            let home = bodies.lab.scratch("claude");
            std::fs::create_dir_all(&home).unwrap();
            let answer = bodies.lab.client(way).claude(&home).args(["-p", "say pong"]).run().success();
            assert_eq!(answer.trim(), "pong");
            assert!(Bodies::arrived(&bodies.model, "/v1/messages") > 0);
        }
    });
}

#[test]
fn the_model_is_asked_to_fetch_nothing() {
    BODIES.test(|bodies| {
        let client = bodies.lab.client(Way::Dns);
        bodies.model.memory.forget();
        for (body, told) in [
            (r#"{"model":"m","mcp_servers":[{"type":"url","url":"https://forbidden.example"}]}"#, "mcp_servers"),
            (r#"{"model":"m","tools":[{"type":"web_fetch_20250910","name":"web_fetch"}]}"#, "web_fetch_20250910"),
        ] {
            let curl = client.curl().args(["-H", "Content-Type: application/json", "-d", body]);
            let curl = curl.args(["-H", "Authorization: Bearer proxy-token-claude"]);
            let answer = curl.arg("https://api.anthropic.com/v1/messages").run().success();
            assert!(answer.contains("body_not_allowed") && answer.contains(told), "{answer}");
        }
        assert_eq!(Bodies::arrived(&bodies.model, "/v1/messages"), 0);
    });
}
