//! The shape of `pods:` of an agent, as structs: every value with its place, nothing judged.

use serde_json::{Value, json};

use super::given::{Entries, Given, Lenient, Span, Text, Unknown, lenient};
use crate::schema::{Describe, Limit};
use crate::source::tree;

lenient! {
    /// An entry of `pods` of an agent.
    pub(crate) struct PodSelector {
        /// The namespace that the pods are in.
        namespace: Text = Limit::required().pattern("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"),
        /// Labels that the pods have, among others, each with its value.
        labels: Labels,
        /// The service account that the pods run under.
        service_account: Text = Limit::NONE.pattern("^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"),
    }
}

/// A map from keys of labels to values.
#[derive(Clone, Debug)]
pub(crate) struct Labels(pub(crate) Vec<(String, Span, Given<Text>)>);

impl Lenient for Labels {
    fn take(written: tree::Shape) -> Option<Self> {
        Entries::take(written).map(|Entries(all)| Labels(all))
    }
}

impl Describe for Labels {
    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": { "type": "string", "pattern": "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$" },
            "propertyNames": { "pattern": "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" },
            "minProperties": 1,
        })
    }
}
