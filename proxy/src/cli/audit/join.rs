//! From records to rows: a request is one row, which its `end` completes.
//!
//! Bounded: of requests that have begun so many are kept until their end comes; beyond that the oldest is shown as it
//! began, as are those whose end is not there.

use std::collections::{BTreeMap, HashMap};

use super::entry::{Entry, Row};

/// Requests that are kept until their end comes: more than an appliance carries at once.
const MOST_OPEN: usize = 16_384;

/// What is asked for. What is empty asks for nothing.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) agent: Option<String>,
    pub(super) credential: Option<String>,
    pub(super) version: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) host: Option<String>,
    pub(super) id: Option<String>,
    pub(super) ended: Option<String>,
    pub(super) reason: Option<String>,
    /// As records write times, without what follows the seconds.
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
}

impl Filter {
    /// Whether it is a record of what is asked for.
    pub(super) fn takes(&self, entry: &Entry<'_>) -> bool {
        self.takes_place(entry) && self.takes_end(entry)
    }

    /// By what is known when it begins.
    fn takes_place(&self, entry: &Entry<'_>) -> bool {
        let is = |asked: &Option<String>, found: &str| asked.as_deref().is_none_or(|asked| asked == found);
        let names = |asked: &str| asked == entry.credential || asked == entry.stub_of;
        is(&self.agent, &entry.agent)
            && self.credential.as_deref().is_none_or(names)
            && is(&self.version, &entry.credential_version)
            && is(&self.rule, &entry.rule)
            && is(&self.id, &entry.id)
            && self.host.as_deref().is_none_or(|host| is_of_host(entry, host))
            && self.since.as_deref().is_none_or(|since| *entry.time >= *since)
            && self.until.as_deref().is_none_or(|until| *entry.time < *until)
    }

    /// By how it ended.
    fn takes_end(&self, entry: &Entry<'_>) -> bool {
        self.ended.as_deref().is_none_or(|ended| ended == entry.ended())
            && self.reason.as_deref().is_none_or(|reason| reason == entry.reason)
    }
}

/// With or without its port.
fn is_of_host(entry: &Entry<'_>, host: &str) -> bool {
    let at = entry.authority.split_once("://").map_or(&*entry.authority, |(_, rest)| rest);
    let alone = at.rsplit_once(':').map_or(at, |(alone, _)| alone);
    [at, alone, &entry.name].iter().any(|found| found.eq_ignore_ascii_case(host))
}

/// Makes rows.
pub(super) struct Join {
    filter: Filter,
    /// By when they began.
    open: BTreeMap<u64, Row>,
    numbers: HashMap<String, u64>,
    next: u64,
}

impl Join {
    pub(super) fn new(filter: Filter) -> Self {
        Join { filter, open: BTreeMap::new(), numbers: HashMap::new(), next: 0 }
    }

    /// Takes the next record; the row that is complete with it.
    pub(super) fn add(&mut self, entry: &Entry<'_>) -> Option<Row> {
        let has_id = !entry.id.is_empty();
        match &*entry.event {
            "begin" if has_id => {
                if !self.filter.takes_place(entry) {
                    return None;
                }
                self.next += 1;
                self.numbers.insert(entry.id.clone().into_owned(), self.next);
                self.open.insert(self.next, Row::of(entry));
                if self.open.len() > MOST_OPEN { self.oldest() } else { None }
            }
            "end" if has_id => {
                let begun = self.numbers.remove(&*entry.id).and_then(|number| self.open.remove(&number));
                match begun {
                    // What began as it is asked for counts, whenever it ended.
                    Some(begun) => self.filter.takes_end(entry).then(|| begun.ended_by(entry)),
                    None => self.filter.takes(entry).then(|| Row::of(entry)),
                }
            }
            _ => self.filter.takes(entry).then(|| Row::of(entry)),
        }
    }

    /// After the last record: those without an end.
    pub(super) fn finish(mut self) -> Vec<Row> {
        let rows = std::iter::from_fn(|| self.take_oldest());
        let rows: Vec<Row> = rows.collect();
        if self.asks_for_open() { rows } else { Vec::new() }
    }

    fn oldest(&mut self) -> Option<Row> {
        self.take_oldest().filter(|_| self.asks_for_open())
    }

    fn take_oldest(&mut self) -> Option<Row> {
        let (_, row) = self.open.pop_first()?;
        self.numbers.remove(&row.id);
        Some(row)
    }

    fn asks_for_open(&self) -> bool {
        self.filter.reason.is_none() && self.filter.ended.as_deref().is_none_or(|ended| ended == "begun")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(event: &str, id: &str, time: &str, more: &str) -> String {
        format!(
            r#"{{"time":"2026-11-21T{time}.000001Z","event":"{event}","layer":"http","id":"{id}","agent":"a","authority":"https://h.example:443","method":"GET","path":"/{id}","credential":"c","credential_version":"{id}"{more}}}"#
        )
    }

    fn rows(filter: Filter, lines: &[String]) -> Vec<String> {
        let mut join = Join::new(filter);
        let mut rows: Vec<Row> =
            lines.iter().filter_map(|line| join.add(&Entry::read(line.as_bytes()).unwrap())).collect();
        rows.extend(join.finish());
        rows.iter()
            .map(|row| {
                let text = row.to_string();
                let words: Vec<&str> = text.split_whitespace().collect();
                let [time, _, _, version, status, ended, ..] = &words[..] else { panic!("{text}") };
                format!("{version} {} {status} {ended}", &time[11..19])
            })
            .collect()
    }

    fn some() -> Vec<String> {
        vec![
            line("begin", "1", "09:00:00", ""),
            line("begin", "2", "09:00:01", ""),
            line("begin", "3", "09:00:02", ""),
            line("end", "2", "09:00:03", r#","status":200,"outcome":"complete""#),
            line("end", "1", "09:00:04", r#","status":502,"decision":"deny","reason":"upstream_tls""#),
            line("refused", "4", "09:00:05", r#","status":403,"decision":"deny","reason":"stub_revoked""#),
        ]
    }

    #[test]
    fn a_request_is_one_row_with_the_time_it_began_at_and_the_end_it_had() {
        let expected =
            ["2 09:00:01 200 complete", "1 09:00:00 502 refused", "4 09:00:05 403 refused", "3 09:00:02 - begun"];
        assert_eq!(rows(Filter::default(), &some()), expected);
    }

    #[test]
    fn an_end_that_says_no_more_than_that_keeps_what_it_began_with() {
        let end = r#"{"time":"2026-11-21T10:00:00.000001Z","event":"end","layer":"http","id":"1","agent":"a","credential":"c","credential_version":"1","outcome":"unknown"}"#;
        let lines = [line("begin", "1", "09:00:00", ""), end.to_owned()];
        assert_eq!(rows(Filter::default(), &lines), ["1 09:00:00 - unknown"]);
        let of_host = || Filter { host: Some("h.example".into()), ..Filter::default() };
        assert_eq!(rows(of_host(), &lines), ["1 09:00:00 - unknown"]);
        assert_eq!(rows(of_host(), &lines[1..]), [""; 0], "nobody knows where it went");
        assert_eq!(rows(Filter::default(), &lines[1..]).len(), 1);
    }

    #[test]
    fn each_filter_takes_what_it_says() {
        let with = |set: &dyn Fn(&mut Filter)| {
            let mut filter = Filter::default();
            set(&mut filter);
            let mut found: Vec<String> = rows(filter, &some()).iter().map(|row| row[..1].to_owned()).collect();
            found.sort();
            found.concat()
        };
        let text = |text: &str| Some(text.to_owned());
        for (expected, set) in [
            ("1234", &(|f: &mut Filter| f.agent = text("a")) as &dyn Fn(&mut Filter)),
            ("", &|f| f.agent = text("b")),
            ("1234", &|f| f.credential = text("c")),
            ("", &|f| f.credential = text("d")),
            ("3", &|f| f.version = text("3")),
            ("", &|f| f.rule = text("r")),
            ("1234", &|f| f.host = text("H.example")),
            ("1234", &|f| f.host = text("h.example:443")),
            ("", &|f| f.host = text("h.example:80")),
            ("4", &|f| f.id = text("4")),
            ("14", &|f| f.ended = text("refused")),
            ("2", &|f| f.ended = text("complete")),
            ("3", &|f| f.ended = text("begun")),
            ("1", &|f| f.reason = text("upstream_tls")),
            ("1234", &|f| f.since = text("2026-11-21")),
            // Also with the end of what began before.
            ("1234", &|f| f.since = text("2026-11-21T09:00:02")),
            ("4", &|f| f.since = text("2026-11-21T09:00:05")),
            ("12", &|f| f.until = text("2026-11-21T09:00:02")),
            ("", &|f| f.until = text("2026-11-21")),
        ] {
            assert_eq!(with(set), expected);
        }
    }

    #[test]
    fn what_is_open_is_bounded_and_what_is_dropped_is_shown() {
        let mut join = Join::new(Filter::default());
        let mut shown = 0;
        for number in 0..MOST_OPEN + 10 {
            let line = line("begin", &number.to_string(), "09:00:00", "");
            shown += usize::from(join.add(&Entry::read(line.as_bytes()).unwrap()).is_some());
        }
        assert_eq!((shown, join.open.len(), join.numbers.len()), (10, MOST_OPEN, MOST_OPEN));
    }
}
