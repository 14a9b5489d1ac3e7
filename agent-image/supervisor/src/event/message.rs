//! One event, checked: it has an id, a type, who says it and when, and the fields of its type. What is wrong can't be built.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::kind::{KINDS, Kind};

/// Bytes of a whole event at most.
pub const LARGEST: usize = 32 * 1024;

/// An event.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    id: String,
    kind: &'static str,
    json: String,
}

/// Why something is no event.
#[derive(Debug, Error)]
pub enum Wrong {
    /// Not what a JSON object of an event looks like.
    #[error("{0}")]
    Form(String),
    /// No such type.
    #[error("{0:?} is no type of event; there are {names}", names = KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", "))]
    Kind(String),
    /// A field.
    #[error("{0}")]
    Field(String),
    /// Another agent's name.
    #[error("the event says that it is {0:?}'s; an agent speaks for itself only")]
    Agent(String),
    /// An identifier that can't be one.
    #[error("{0:?} is no id: letters, digits, . _ and -, 128 at most, a letter or digit first")]
    Id(String),
    /// Too long.
    #[error("the event has {0} bytes; {LARGEST} at most")]
    Large(usize),
}

impl Message {
    /// An event of these fields. Without an id it gets that of what it says: the same words by the same agent are the same event.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn new(
        agent: &str,
        kind: &str,
        fields: BTreeMap<String, Value>,
        id: Option<&str>,
        at: Timestamp,
    ) -> Result<Self, Wrong> {
        let kind = Kind::named(kind).ok_or_else(|| Wrong::Kind(kind.chars().take(64).collect()))?;
        kind.check(&fields).map_err(Wrong::Field)?;
        let id = match id {
            Some(id) if is_id(id) => id.to_owned(),
            Some(id) => return Err(Wrong::Id(id.chars().take(200).collect())),
            None => digest(agent, kind.name, &fields),
        };
        let mut all = fields;
        all.insert("id".into(), id.as_str().into());
        all.insert("type".into(), kind.name.into());
        all.insert("agent".into(), agent.into());
        all.insert("at".into(), rounded(at).to_string().into());
        let json = serde_json::to_string(&all).map_err(|error| Wrong::Form(error.to_string()))?;
        if json.len() > LARGEST {
            return Err(Wrong::Large(json.len()));
        }
        Ok(Message { id, kind: kind.name, json })
    }

    /// An event of JSON. `id`, `agent` and `at` may be missing; `type` may not.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &[u8], agent: &str, now: Timestamp) -> Result<Self, Wrong> {
        if text.len() > LARGEST {
            return Err(Wrong::Large(text.len()));
        }
        let mut all: BTreeMap<String, Value> = serde_json::from_slice(text)
            .map_err(|error| Wrong::Form(format!("an event is one JSON object: {error}")))?;
        let mut taken = |name: &str| match all.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Wrong::Form(format!("{name} is a text"))),
        };
        let kind = taken("type")?.ok_or_else(|| Wrong::Form("the event has no type".into()))?;
        let id = taken("id")?;
        let at = match taken("at")? {
            Some(at) => at.parse().map_err(|_| Wrong::Form(format!("at is a time as in RFC 3339, as {now}")))?,
            None => now,
        };
        match taken("agent")? {
            Some(other) if other != agent => return Err(Wrong::Agent(other.chars().take(64).collect())),
            _ => {}
        }
        Message::new(agent, &kind, all, id.as_deref(), at)
    }

    /// Its identity.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of its type.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// What is published.
    pub fn json(&self) -> &str {
        &self.json
    }
}

pub(super) fn is_id(id: &str) -> bool {
    (1..=128).contains(&id.len())
        && id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Half a SHA-256 of what an event says; when it was said is not part of it.
fn digest(agent: &str, kind: &str, fields: &BTreeMap<String, Value>) -> String {
    // A sorted map, and values that have one form only: the same event has the same text.
    let text = serde_json::json!([agent, kind, fields.iter().collect::<Vec<_>>()]).to_string();
    Sha256::digest(text).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A time to the millisecond.
fn rounded(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-03-01T10:00:00.123456Z".parse().unwrap()
    }

    fn parse(value: &Value) -> Result<Message, Wrong> {
        Message::parse(value.to_string().as_bytes(), "devbot", now())
    }

    fn opened() -> Value {
        json!({ "type": "pr_opened", "repository": "acme/site", "number": 7, "title": "Fix it" })
    }

    #[test]
    fn an_event_has_an_id_a_type_an_agent_and_a_time() {
        let message = parse(&opened()).unwrap();
        let value: Value = serde_json::from_str(message.json()).unwrap();
        assert_eq!(
            value,
            json!({
                "type": "pr_opened", "repository": "acme/site", "number": 7, "title": "Fix it",
                "agent": "devbot", "at": "2026-03-01T10:00:00.123Z", "id": message.id(),
            })
        );
        assert_eq!(message.id().len(), 32);
    }

    #[test]
    fn what_says_the_same_is_the_same_event_whenever_it_is_said() {
        let first = parse(&opened()).unwrap();
        let later =
            Message::parse(opened().to_string().as_bytes(), "devbot", now() + jiff::SignedDuration::from_hours(1));
        assert_eq!(later.unwrap().id(), first.id());
        let mut other = opened();
        other["title"] = "Fix that".into();
        assert_ne!(parse(&other).unwrap().id(), first.id());
        let of_another = Message::parse(opened().to_string().as_bytes(), "infrabot", now()).unwrap();
        assert_ne!(of_another.id(), first.id());
    }

    #[test]
    fn what_is_no_event_is_refused_and_why_is_said() {
        let with = |key: &str, value: Value| {
            let mut event = opened();
            event[key] = value;
            event
        };
        let long = "x".repeat(257);
        for (event, why) in [
            (json!([]), "one JSON object"),
            (json!({}), "no type"),
            (json!({ "type": "party" }), "no type of event"),
            (json!({ "type": "pr_opened", "repository": "acme/site", "number": 7 }), "needs title"),
            (with("colour", "red".into()), "no field \"colour\""),
            (with("agent", "infrabot".into()), "speaks for itself"),
            (with("number", "7".into()), "a number"),
            (with("number", json!(0)), "a number"),
            (with("number", json!(7.5)), "a number"),
            (with("repository", "site".into()), "owner/name"),
            (with("repository", "acme/si te".into()), "owner/name"),
            (with("title", "".into()), "1 to 256"),
            (with("title", long.into()), "1 to 256"),
            (with("title", "two\nlines".into()), "one line"),
            (with("title", "\u{1b}[2J".into()), "one line"),
            (with("title", json!(null)), "a text"),
            (with("url", "http://a.example".into()), "https://"),
            (with("id", "a b".into()), "no id"),
            (with("id", "../x".into()), "no id"),
            (with("id", json!(1)), "id is a text"),
            (with("at", "yesterday".into()), "RFC 3339"),
            (json!({ "type": "incident", "severity": "bad", "summary": "x" }), "one of info, warning, critical"),
            (
                json!({ "type": "pr_merged", "repository": "a/b", "number": 1, "title": "x", "commit": "xyz" }),
                "a commit",
            ),
        ] {
            let error = parse(&event).expect_err(&event.to_string()).to_string();
            assert!(error.contains(why), "{event}: {error}");
        }
        let twice = br#"{"type":"task_done","task":"a","summary":"b","detail":"c"}"#;
        assert!(Message::parse(twice, "devbot", now()).is_err());
        assert!(matches!(Message::parse(&[b' '; LARGEST + 1], "devbot", now()), Err(Wrong::Large(_))));
        // Within its characters, and still too many bytes.
        let wide =
            json!({ "type": "incident", "severity": "info", "summary": "x", "detail": "\u{1f600}".repeat(16000) });
        assert!(matches!(parse(&wide), Err(Wrong::Large(_))));
    }

    #[test]
    fn the_schema_in_deploy_is_the_one_that_the_program_has() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/schema/event.json");
        let text = std::fs::read_to_string(path).unwrap();
        let committed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            committed,
            super::super::kind::schema(),
            "run: stubgate-agent event schema >deploy/schema/event.json"
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_in_is_refused_or_small_and_of_one_line(text in any::<Vec<u8>>()) {
            if let Ok(message) = Message::parse(&text, "devbot", now()) {
                prop_assert!(message.json().len() <= LARGEST);
            }
        }

        #[test]
        fn titles_come_out_as_they_went_in(title in "\\PC{1,256}") {
            let mut event = opened();
            event["title"] = title.clone().into();
            if let Ok(message) = parse(&event) {
                let value: Value = serde_json::from_str(message.json()).unwrap();
                prop_assert_eq!(value["title"].as_str(), Some(title.as_str()));
                prop_assert!(!message.json().contains('\n'));
            }
        }
    }
}
