//! The shape of a file of policy tests, as serde structs: every value with its place, nothing judged.

use super::given::{Given, Text, Unknown, lenient};

lenient! {
    /// A file of policy tests.
    pub(crate) struct Document {
        tests: Vec<Given<Test>>,
    }
}

lenient! {
    /// An entry of `tests`.
    pub(crate) struct Test {
        name: Text,
        agent: Text,
        request: Text,
        headers: Vec<Given<Text>>,
        expect: Text,
        rule: Text,
        credentials: Vec<Given<Text>>,
        reason: Text,
    }
}
