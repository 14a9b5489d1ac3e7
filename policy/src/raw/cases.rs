//! The shape of a file of policy tests, as structs: every value with its place, nothing judged.

use super::given::{Given, Text, Unknown, lenient};
use crate::schema::Limit;

lenient! {
    /// A file of policy tests.
    pub(crate) struct Document {
        /// What the policy must decide.
        tests: Vec<Given<Test>> = Limit::required(),
    }
}

lenient! {
    /// An entry of `tests`.
    pub(crate) struct Test {
        /// A sentence; no two tests of a file share one.
        name: Text = Limit::required(),
        /// Who asks.
        agent: Text = Limit::required(),
        /// What is asked: `METHOD https://host/path`, `WEBSOCKET wss://host/path`, `CONNECT host:port`, or
        /// `DNS name TYPE`.
        request: Text = Limit::required().pattern("^[A-Za-z0-9!#$%&'*+.^_`|~-]+ .+$"),
        /// Headers of the request, each `Name: value`.
        headers: Vec<Given<Text>> = Limit::NONE.each("^[^:]+:"),
        /// Body of the request, as it is sent. Default: none.
        body: Text,
        /// Its Content-Type. Default: `application/json`, unless `headers` has one.
        content_type: Text,
        /// What is decided: `observe` is denied and recorded, `answer` is answered by stubgate itself.
        expect: Text = Limit::required().choice(&["allow", "deny", "observe", "answer"]),
        /// The rule that decides it.
        rule: Text,
        /// The credentials whose stubs the agent presents; what is allowed must swap them in.
        credentials: Vec<Given<Text>>,
        /// Why it is refused, in the word of records.
        reason: Text,
    }
}
