//! One record, as far as it can be asked for, and the row that shows it.
//!
//! A file may be anybody's: what is shown is plain ASCII, whatever stands in it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::Deserialize;

/// A line of an audit file, as `docs/audit.md` names its fields; what is not there is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) time: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) layer: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) agent: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) authority: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    pub(super) qtype: Option<u16>,
    #[serde(borrow)]
    pub(super) method: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) path: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) decision: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) rule: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) reason: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) credential: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) credential_version: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) stub_of: Cow<'a, str>,
    pub(super) status: Option<u16>,
    #[serde(borrow)]
    pub(super) outcome: Cow<'a, str>,
    pub(super) count: Option<u64>,
    #[serde(borrow)]
    pub(super) note: Cow<'a, str>,
}

impl<'a> Entry<'a> {
    /// `None` where a line is no record.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let entry: Entry<'a> = serde_json::from_slice(line).ok()?;
        (!entry.time.is_empty() && !entry.event.is_empty()).then_some(entry)
    }

    /// How it ended, in one word: the outcome where there is one.
    pub(super) fn ended(&self) -> &str {
        match &*self.event {
            _ if !self.outcome.is_empty() => &self.outcome,
            "begin" => "begun",
            _ if matches!(&*self.decision, "deny" | "observe") => "refused",
            other => other,
        }
    }

    /// The credential that it is about.
    fn credential(&self) -> &str {
        if self.credential.is_empty() { &self.stub_of } else { &self.credential }
    }

    /// What was done.
    fn action(&self) -> String {
        let place = place(&self.authority);
        match &*self.layer {
            _ if !self.method.is_empty() => format!("{} {place}{}", self.method, self.path),
            "dns" if !self.name.is_empty() => format!("DNS {} {}", self.name, kind(self.qtype)),
            "tls" => format!("TLS {}", if place.is_empty() { &self.name } else { place }),
            _ => match self.count {
                Some(count) => format!("{} {count} times", self.layer),
                None if self.note.is_empty() => self.layer.clone().into_owned(),
                None => format!("{}: {}", self.layer, self.note),
            },
        }
    }
}

/// An authority as people write it: without the port that goes without saying.
fn place(authority: &str) -> &str {
    let usual = match authority.split_once("://") {
        Some(("https", rest)) => rest.strip_suffix(":443"),
        Some(("http", rest)) => rest.strip_suffix(":80"),
        _ => None,
    };
    let cut = usual.and_then(|short| authority.find(short).map(|at| at + short.len()));
    cut.and_then(|end| authority.get(..end)).unwrap_or(authority)
}

fn kind(qtype: Option<u16>) -> String {
    match qtype {
        Some(1) => "A".into(),
        Some(28) => "AAAA".into(),
        Some(other) => format!("TYPE{other}"),
        None => String::new(),
    }
}

/// A line of the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: String,
    time: String,
    agent: String,
    credential: String,
    version: String,
    status: Option<u16>,
    ended: String,
    reason: String,
    action: String,
}

impl Row {
    pub(super) const HEADING: &'static str =
        "TIME                  AGENT         CREDENTIAL    VERSION           STATUS  ENDED       ACTION\n";

    pub(super) fn of(entry: &Entry<'_>) -> Self {
        Row {
            id: entry.id.clone().into_owned(),
            time: entry.time.clone().into_owned(),
            agent: entry.agent.clone().into_owned(),
            credential: entry.credential().into(),
            version: entry.credential_version.clone().into_owned(),
            status: entry.status,
            ended: entry.ended().into(),
            reason: entry.reason.clone().into_owned(),
            action: entry.action(),
        }
    }

    /// The end of what began as `self` says: when it began, and how it ended. The end of what a killed process had begun
    /// says no more than that.
    pub(super) fn ended_by(self, end: &Entry<'_>) -> Self {
        Row { status: end.status, ended: end.ended().into(), reason: end.reason.clone().into_owned(), ..self }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // To the second: the record has the rest.
        let time = match self.time.split_once('.') {
            Some((seconds, _)) => &format!("{seconds}Z"),
            None => &self.time,
        };
        let status = self.status.map_or_else(|| "-".into(), |status| status.to_string());
        let ended =
            if self.reason.is_empty() { self.ended.clone() } else { format!("{} ({})", self.ended, self.reason) };
        let cells =
            [(time, 20), (&self.agent, 12), (&self.credential, 12), (&self.version, 16), (&status, 6), (&ended, 10)];
        let mut line = String::new();
        for (text, width) in cells {
            let text = plain(if text.is_empty() { "-" } else { text });
            write!(line, "{text:width$}  ")?;
        }
        writeln!(f, "{line}{}", plain(&self.action))
    }
}

/// In printable ASCII.
fn plain(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(char::escape_default).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        Row::of(&Entry::read(line.as_bytes()).unwrap()).to_string()
    }

    #[test]
    fn each_kind_of_record_is_one_plain_line() {
        for (line, expected) in [
            (
                r#"{"time":"2026-11-21T09:00:00.000001Z","event":"end","layer":"http","agent":"devbot","authority":"https://api.github.com:443","method":"GET","path":"/user","decision":"allow","credential":"github","credential_version":"00000000000000ff","status":200,"outcome":"complete"}"#,
                "2026-11-21T09:00:00Z  devbot        github        00000000000000ff  200     complete    GET https://api.github.com/user\n",
            ),
            (
                r#"{"time":"2026-11-21T09:00:00.000001Z","event":"refused","layer":"http","agent":"a","authority":"https://x.example:8443","method":"GET","path":"/","decision":"deny","reason":"stub_revoked","stub_of":"github","status":403}"#,
                "2026-11-21T09:00:00Z  a             github        -                 403     refused (stub_revoked)  GET https://x.example:8443/\n",
            ),
            (
                r#"{"time":"2026-11-21T09:00:00.000001Z","event":"allowed","layer":"dns","agent":"a","name":"x.example","qtype":28,"outcome":"advertised"}"#,
                "2026-11-21T09:00:00Z  a             -             -                 -       advertised  DNS x.example AAAA\n",
            ),
            (
                r#"{"time":"2026-11-21T09:00:00.000001Z","event":"reload","layer":"credential","credential":"github","credential_version":"00000000000000ff","outcome":"taken","note":"a new value is in use"}"#,
                "2026-11-21T09:00:00Z  -             github        00000000000000ff  -       taken       credential: a new value is in use\n",
            ),
            (
                r#"{"time":"2026-11-21T09:00:00.000001Z","event":"suppressed","layer":"dns","agent":"a","reason":"name_not_allowed","count":7}"#,
                "2026-11-21T09:00:00Z  a             -             -                 -       suppressed (name_not_allowed)  dns 7 times\n",
            ),
            (
                r#"{"time":"2026-11-21T09:00:00Z","event":"x","agent":"\u001b[2J\u202e\n"}"#,
                "2026-11-21T09:00:00Z  \\u{1b}[2J\\u{202e}\\n  -             -                 -       x           \n",
            ),
        ] {
            assert_eq!(shown(line), expected);
        }
        assert_eq!(Row::HEADING.find("ACTION"), shown(r#"{"time":"t","event":"x","layer":"l"}"#).find('l'));
    }

    #[test]
    fn what_is_no_record_is_none() {
        for line in ["", "{", "[]", "{}", r#"{"time":"t"}"#, r#"{"time":"t","event":"e","status":"x"}"#, "null"] {
            assert!(Entry::read(line.as_bytes()).is_none(), "{line}");
        }
    }

    #[test]
    fn ports_that_go_without_saying_are_left_out() {
        for (authority, expected) in [
            ("https://a.example:443", "https://a.example"),
            ("http://a.example:80", "http://a.example"),
            ("https://a.example:80", "https://a.example:80"),
            ("https://[2001:db8::443]:443", "https://[2001:db8::443]"),
            ("", ""),
        ] {
            assert_eq!(place(authority), expected);
        }
    }
}
