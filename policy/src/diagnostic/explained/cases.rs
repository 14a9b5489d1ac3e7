//! Codes of policy tests. Their examples are files of tests, and so none stands here; see `docs/policy/testing.md`.

use super::Explained;
use crate::diagnostic::codes::*;

const fn e(code: &'static str, why: &'static str, instead: &'static str) -> Explained {
    Explained { code, why, example: "", instead }
}

pub(super) const ALL: &[Explained] = &[
    e(
        NO_TESTS,
        "A run without any test would pass, and somebody would take it for a proof.",
        "Write tests in `tests/*.yaml` beside the policy, or name them with `--tests`.",
    ),
    e(
        BAD_QUESTION,
        "No agent could send what the test asks: stubgate refuses it before any rule is looked at.",
        "Write `METHOD https://host/path`, `WEBSOCKET wss://host/path`, `DNS name TYPE` or `CONNECT host:port`.",
    ),
    e(
        BAD_HEADER,
        "No request could carry this header, or it is one that stubgate writes itself.",
        "Write `Name: value`; the host stands in the request's line.",
    ),
    e(
        UNKNOWN_RULE,
        "The policy has no rule of this name, so the test could never pass.",
        "Correct the name; rules of a preset are called `preset@version/rule`.",
    ),
    e(UNKNOWN_REASON, "Reasons are a closed list of words.", "Write one of the words in the table of `docs/audit.md`."),
    e(
        BAD_EXPECTATION,
        "What the test expects contradicts itself, as an allow with a reason of refusal.",
        "Expect a reason of a denial, and a rule and credentials of what they can stand for.",
    ),
    e(TEST_TWICE, "A failure would not say which of the two it was.", "Give each test of a file a name of its own."),
];
