//! The lines of a watch, from bytes that come cut as they like. No I/O, so that any bytes can be tried on it.
//!
//! What is not surely an event is an error, and an error ends the watch: nothing of a line is guessed (law 5), and no line
//! is waited for without end (law 7).

use bytes::{Buf, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::access::Error;
use crate::pod::{Pod, Sighting};
use crate::wire::Status;

/// Bytes of one line: more than one object has.
const LINE_BYTES: usize = 16 << 20;

/// What a watch has brought so far and nobody has taken yet. After an error no more is to be taken.
#[derive(Debug, Default)]
pub struct Lines {
    unread: BytesMut,
    /// How much of `unread` has no end of a line in it.
    looked: usize,
}

/// One line of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// How far the watch has come with it; never empty, as a watch from an empty version begins somewhere.
    pub version: Box<str>,
    /// What happened.
    pub what: What,
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A pod is there, or changed.
    Seen(Box<Sighting>),
    /// The pod with this uid is gone.
    Gone(Box<str>),
    /// Nothing more than that it has come this far.
    Nothing,
}

impl Lines {
    /// These bytes came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next event; `None` where more must come first.
    ///
    /// # Errors
    /// The line is too long, is no event, or says what went wrong. It holds nothing of the line.
    pub fn event(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let ends = self.unread.get(self.looked..).unwrap_or_default().iter().position(|byte| *byte == b'\n');
            let length = ends.map_or(self.unread.len(), |at| self.looked + at);
            if length > LINE_BYTES {
                return Err(Error::TooLong);
            }
            if ends.is_none() {
                self.looked = length;
                return Ok(None);
            }
            let line = self.unread.split_to(length);
            self.unread.advance(1);
            self.looked = 0;
            if !line.trim_ascii().is_empty() {
                return event(&line).map(Some);
            }
        }
    }

    /// Whether nothing is left: no event, nor a part of one.
    pub fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Bookmark {
    metadata: BookmarkMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BookmarkMetadata {
    resource_version: Box<str>,
}

fn event(line: &[u8]) -> Result<Event, Error> {
    let Line { kind, object } = serde_json::from_slice(line).map_err(|_| Error::Malformed("an event"))?;
    let pod = || serde_json::from_str::<Pod>(object.get()).map_err(|_| Error::Malformed("a pod of an event"));
    let (version, what) = match &*kind {
        "ADDED" | "MODIFIED" => {
            let pod = pod()?;
            (pod.version().into(), What::Seen(Box::new(pod.sighting())))
        }
        "DELETED" => {
            let pod = pod()?;
            (pod.version().into(), What::Gone(pod.uid().into()))
        }
        "BOOKMARK" => {
            let bookmark =
                serde_json::from_str::<Bookmark>(object.get()).map_err(|_| Error::Malformed("a bookmark"))?;
            (bookmark.metadata.resource_version, What::Nothing)
        }
        "ERROR" => return Err(serde_json::from_str::<Status>(object.get()).unwrap_or_default().into()),
        _ => return Err(Error::Malformed("an event of a kind that is not known")),
    };
    if version.is_empty() {
        return Err(Error::Malformed("an event without its version"));
    }
    Ok(Event { version, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str =
        r#"{"metadata":{"uid":"u","resourceVersion":"7"},"spec":{"containers":[{"env":[{"name":"S","value":"x"}]}]}}"#;

    fn line(kind: &str, object: &str) -> Result<Event, Error> {
        event(format!("{{\"type\":\"{kind}\",\"object\":{object}}}").as_bytes())
    }

    #[test]
    fn an_event_says_what_became_of_a_pod() {
        let seen = |event: Event| &*event.version == "7" && matches!(event.what, What::Seen(pod) if &*pod.uid == "u");
        assert!(line("ADDED", POD).is_ok_and(seen) && line("MODIFIED", POD).is_ok_and(seen));
        assert_eq!(line("DELETED", POD).unwrap(), Event { version: "7".into(), what: What::Gone("u".into()) });
        let bookmark = r#"{"kind":"Pod","metadata":{"resourceVersion":"12","creationTimestamp":null}}"#;
        assert_eq!(line("BOOKMARK", bookmark).unwrap(), Event { version: "12".into(), what: What::Nothing });
        let gone = r#"{"kind":"Status","code":410,"reason":"Expired"}"#;
        assert!(matches!(line("ERROR", gone), Err(Error::Expired)));
        assert!(matches!(line("ERROR", r#"{"code":500}"#), Err(Error::Refused { code: 500, .. })));
        assert!(matches!(line("RENAMED", POD), Err(Error::Malformed(_))));
        assert!(matches!(event(b"{}"), Err(Error::Malformed(_))));
    }

    #[test]
    fn an_event_without_a_version_is_none() {
        // A watch from an empty version begins "at most recent": what was deleted in between would never be told.
        for (kind, object) in [
            ("ADDED", r#"{"metadata":{"uid":"u"}}"#),
            ("MODIFIED", r#"{"metadata":{"uid":"u","resourceVersion":""}}"#),
            ("DELETED", r#"{"metadata":{"uid":"u"}}"#),
            ("BOOKMARK", r#"{"metadata":{}}"#),
            ("BOOKMARK", r#"{"metadata":{"resourceVersion":""}}"#),
        ] {
            assert!(matches!(line(kind, object), Err(Error::Malformed(_))), "{kind} {object}");
        }
    }

    #[test]
    fn lines_come_out_the_same_however_they_are_cut() {
        let text =
            format!("\n{{\"type\":\"ADDED\",\"object\":{POD}}}\n \r\n{{\"type\":\"DELETED\",\"object\":{POD}}}\nrest");
        let read = |step: usize| {
            let (mut lines, mut events) = (Lines::default(), Vec::new());
            for piece in text.as_bytes().chunks(step) {
                lines.push(piece);
                while let Some(event) = lines.event().unwrap() {
                    events.push(event);
                }
            }
            assert!(!lines.is_empty());
            events
        };
        let whole = read(text.len());
        assert_eq!(whole.len(), 2);
        for step in 1..80 {
            assert_eq!(read(step), whole, "{step}");
        }
    }

    #[test]
    fn a_line_has_a_bound_with_its_end_and_without() {
        for end in ["", "\n"] {
            let mut lines = Lines::default();
            lines.push(&vec![b' '; LINE_BYTES]);
            assert!(matches!(lines.event(), Ok(None)));
            lines.push(format!(" {end}").as_bytes());
            assert!(matches!(lines.event(), Err(Error::TooLong)));
        }
    }
}
