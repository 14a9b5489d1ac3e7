//! The shape of a file of policy tests.

use super::{Describe, Field, Limit, object};
use crate::raw::{Given, Text};

/// `tests: […]`
pub(super) struct Cases;

/// One of them.
struct Case;

impl Describe for Cases {
    fn schema() -> serde_json::Value {
        object(&[Field {
            key: "tests",
            about: "What the policy must decide.",
            schema: Vec::<Given<Case>>::schema,
            limit: Limit::required(),
        }])
    }
}

impl Describe for Case {
    fn schema() -> serde_json::Value {
        let text = Text::schema;
        object(&[
            Field {
                key: "name",
                about: "A sentence; no two tests of a file share one.",
                schema: text,
                limit: Limit::required(),
            },
            Field { key: "agent", about: "Who asks.", schema: text, limit: Limit::required() },
            Field {
                key: "request",
                about: "What is asked: `METHOD https://host/path`, `WEBSOCKET wss://host/path`, `CONNECT host:port`, \
                        or `DNS name TYPE`.",
                schema: text,
                limit: Limit::required().pattern("^[A-Za-z0-9!#$%&'*+.^_`|~-]+ .+$"),
            },
            Field {
                key: "headers",
                about: "Headers of the request, each `Name: value`.",
                schema: Vec::<Given<Text>>::schema,
                limit: Limit::NONE.each("^[^:]+:"),
            },
            Field {
                key: "expect",
                about: "What is decided: `observe` is denied and recorded, `answer` is answered by stubgate itself.",
                schema: text,
                limit: Limit::required().choice(&["allow", "deny", "observe", "answer"]),
            },
            Field { key: "rule", about: "The rule that decides it.", schema: text, limit: Limit::NONE },
            Field {
                key: "credentials",
                about: "The credentials whose stubs the agent presents; what is allowed must swap them in.",
                schema: Vec::<Given<Text>>::schema,
                limit: Limit::NONE,
            },
            Field {
                key: "reason",
                about: "Why it is refused, in the word of records.",
                schema: text,
                limit: Limit::NONE,
            },
        ])
    }
}
