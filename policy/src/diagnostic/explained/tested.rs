//! Codes of policy tests, which are files of their own.

use super::Explained;
use crate::diagnostic::codes::*;

const fn e(code: &'static str, why: &'static str, example: &'static str, instead: &'static str) -> Explained {
    Explained { code, why, example, instead }
}

pub(super) const ALL: &[Explained] = &[
    e(
        NO_TESTS,
        "`policy test` was asked to run and found nothing: a wrong path rather than a policy without tests.",
        "",
        "Put cases under `tests:` into `tests/*.yaml` beside the policy.",
    ),
    e(
        BAD_QUESTION,
        "The request of a case is read as it would be from an agent. One that no agent could send tests nothing.",
        "",
        "Write `METHOD https://host/path`, `DNS name TYPE`, `CONNECT host:port` or `WEBSOCKET wss://host/path`.",
    ),
    e(
        BAD_HEADER,
        "A header that no request could have would make a case pass that says nothing.",
        "",
        "Write a header name and a value as they stand in a request.",
    ),
    e(
        UNKNOWN_RULE,
        "A case expects a rule that no file defines, so that it could never pass.",
        "",
        "Use the name as it is under `rules:`.",
    ),
    e(
        UNKNOWN_REASON,
        "A case expects a refusal for a reason that there is not.",
        "",
        "Use one of the words that the message names.",
    ),
    e(
        BAD_EXPECTATION,
        "What the case expects can't happen together, whatever the policy says.",
        "",
        "Keep what is meant; a refusal swaps no credential.",
    ),
    e(TEST_TWICE, "Two cases of one name can't be told apart in a report.", "", "Rename one."),
];
