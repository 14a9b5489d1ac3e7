//! `stubgate policy suggest`: reads audit files line by line, and prints what the policy crate makes of them.
//!
//! Bounded: a line is as long as a record can be, and of the files nothing is kept here. What is printed was compiled
//! together with the policy first.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stubgate_policy::suggest::{Record, Suggest};
use stubgate_policy::{Policy, SourceFile, compile};

use crate::cli::check::report;
use crate::cli::say::{count, put};
use crate::cli::{UNUSABLE, WRONG, fail};
use crate::config::policy_files;

/// Longest line that can be a record: 1024 characters of the wire in each of three fields, escaped twice.
const LONGEST_LINE: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Files, or folders of which every *.yaml is read; checked together, as one policy
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// An audit file, JSON lines; `-` is standard input; may be given more than once
    #[arg(long, required = true, value_name = "AUDIT")]
    from: Vec<PathBuf>,
    /// Leave out records of before: 2026-11-20, 2026-11-20T08:00:00Z (UTC), or an age: 30m, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<String>,
    /// Leave out all agents but this one
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

pub(super) fn main(args: &Args) -> ExitCode {
    let mut files = match policy_files(&args.paths) {
        Ok(files) => files,
        Err(error) => return fail(UNUSABLE, error),
    };
    let policy = match compile(&files) {
        Ok(compiled) => compiled.policy,
        Err(diagnostics) => {
            report(&diagnostics, &files);
            return ExitCode::from(WRONG);
        }
    };
    let suggest = match filtered(&policy, args) {
        Ok(suggest) => suggest,
        Err(unknown) => return fail(UNUSABLE, unknown),
    };
    let mut reading = Reading { suggest, at: PathBuf::new(), number: 0, unreadable: Unreadable::default() };
    for path in &args.from {
        if let Err(error) = reading.read(path) {
            return fail(UNUSABLE, format_args!("{}: {error}", path.display()));
        }
    }
    let unreadable = reading.unreadable;
    let suggestion = reading.suggest.finish();
    files.push(SourceFile { name: "the suggestion".into(), text: suggestion.yaml.clone() });
    if let Err(diagnostics) = compile(&files) {
        report(&diagnostics, &files);
        return fail(WRONG, "the suggestion does not fit the policy; this is an error of stubgate");
    }
    put(format_args!("{}", suggestion.yaml));
    let counts = suggestion.counts;
    eprintln!(
        "{}, {}: {} and {} for {}; {} allowed or observed by now; {} not suggested",
        count(counts.records, "record"),
        count(counts.refusals, "refusal"),
        count(suggestion.allows, "allow rule"),
        count(suggestion.observes, "observe rule"),
        counts.suggested,
        counts.allowed_now,
        counts.left_out
    );
    if let Some((at, line)) = &unreadable.first {
        let lines = count(unreadable.count, "line");
        eprintln!("left out {lines} that can't be read as records, first {}:{line}", at.display());
    }
    if counts.records == 0 && unreadable.count > 0 {
        return fail(WRONG, "no record at all: name audit files, one JSON record a line");
    }
    ExitCode::SUCCESS
}

fn filtered<'p>(policy: &'p Policy, args: &Args) -> Result<Suggest<'p>, String> {
    let mut suggest = Suggest::new(policy);
    if let Some(since) = &args.since {
        suggest = suggest.since(since);
    }
    if let Some(name) = &args.agent {
        let agent = policy.agent_named(name).ok_or_else(|| format!("the policy defines no agent `{name}`"))?;
        suggest = suggest.only(agent);
    }
    Ok(suggest)
}

struct Reading<'p> {
    suggest: Suggest<'p>,
    at: PathBuf,
    /// Of the line that is read, from 1.
    number: u64,
    unreadable: Unreadable,
}

/// Lines that are no records.
#[derive(Default)]
struct Unreadable {
    count: u64,
    /// The first, by file and number.
    first: Option<(PathBuf, u64)>,
}

impl Reading<'_> {
    fn read(&mut self, path: &Path) -> io::Result<()> {
        (self.at, self.number) = (path.to_owned(), 0);
        if path == Path::new("-") {
            self.lines(io::stdin().lock())
        } else {
            self.lines(BufReader::with_capacity(256 * 1024, File::open(path)?))
        }
    }

    fn lines(&mut self, mut from: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        let mut is_too_long = false;
        loop {
            let read = from.fill_buf()?;
            if read.is_empty() {
                if !line.is_empty() || is_too_long {
                    self.line(&line, is_too_long);
                }
                return Ok(());
            }
            let end = memchr::memchr(b'\n', read);
            let piece = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
            is_too_long |= line.len() + piece.len() > LONGEST_LINE;
            if !is_too_long {
                line.extend_from_slice(piece);
            }
            let used = piece.len() + usize::from(end.is_some());
            from.consume(used);
            if end.is_some() {
                self.line(&line, is_too_long);
                line.clear();
                is_too_long = false;
            }
        }
    }

    fn line(&mut self, line: &[u8], is_too_long: bool) {
        self.number += 1;
        if line.trim_ascii().is_empty() && !is_too_long {
            return;
        }
        match serde_json::from_slice::<Record<'_>>(line) {
            Ok(record) if !is_too_long && !record.time.is_empty() && !record.event.is_empty() => {
                self.suggest.add(&record);
            }
            Ok(_) | Err(_) => {
                self.unreadable.count += 1;
                self.unreadable.first.get_or_insert_with(|| (self.at.clone(), self.number));
            }
        }
    }
}

/// A time as records have it, as far as it is given.
fn since(text: &str) -> Result<String, String> {
    let bad = || format!("`{text}` is no time: write 2026-11-20, 2026-11-20T08:00:00Z, or an age such as 30m, 24h, 7d");
    let unit = match text.as_bytes().last() {
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return if is_time(text) { Ok(text.to_owned()) } else { Err(bad()) },
    };
    let number: i64 = text.get(..text.len() - 1).and_then(|number| number.parse().ok()).ok_or_else(bad)?;
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds >= 0).ok_or_else(bad)?;
    let then = time::OffsetDateTime::now_utc().checked_sub(time::Duration::seconds(seconds)).ok_or_else(bad)?;
    let (hour, minute, second) = then.to_hms();
    let (year, month, day) = (then.year(), u8::from(then.month()), then.day());
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// `YYYY-MM-DD`, or that and `THH:MM:SSZ`: what sorts as the times of records do.
fn is_time(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let shape = SHAPE.get(..text.len()).unwrap_or_default();
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape };
    matches!(text.len(), 10 | 20) && text.bytes().zip(shape).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "version: 1\nagents: { devbot: { sources: [10.0.0.1/32] } }\n";

    fn read(bytes: &[u8]) -> (u64, stubgate_policy::suggest::Suggestion) {
        let policy = compile(&[SourceFile { name: "p".into(), text: POLICY.into() }]).unwrap().policy;
        let mut reading =
            Reading { suggest: Suggest::new(&policy), at: "a".into(), number: 0, unreadable: Unreadable::default() };
        // As small as a buffer can be: lines lie across its borders.
        reading.lines(BufReader::with_capacity(7, bytes)).unwrap();
        if let Some((at, line)) = &reading.unreadable.first {
            assert_eq!((at.as_path(), *line > 0), (Path::new("a"), true));
        }
        (reading.unreadable.count, reading.suggest.finish())
    }

    #[test]
    fn lines_that_are_no_records_are_counted_and_the_rest_is_read() {
        let good = r#"{"time":"2026-11-20T10:00:00.000001Z","seq":1,"event":"refused","layer":"http","agent":"devbot","authority":"https://x.example:443","method":"GET","path":"/a","decision":"deny","reason":"host_not_allowed","status":403}"#;
        let long = format!("{{\"time\":\"{}\"}}", "x".repeat(LONGEST_LINE));
        let half = &good[..good.len() / 2];
        let text = [good, "", "nonsense", "[1]", "{}", &long, "\u{0}", r#"{"time":5}"#, good, half].join("\n");
        let (unreadable, suggestion) = read(text.as_bytes());
        assert_eq!((unreadable, suggestion.counts.records, suggestion.allows), (7, 2, 1));
        assert_eq!(read(b"\xff\xfe\n").0, 1);
    }

    #[test]
    fn times_are_taken_in_three_forms() {
        assert_eq!(since("2026-11-20").unwrap(), "2026-11-20");
        assert_eq!(since("2026-11-20T08:00:00Z").unwrap(), "2026-11-20T08:00:00Z");
        assert!(is_time(&since("36h").unwrap()) && since("1d").unwrap() < since("1h").unwrap());
        for bad in
            ["", "yesterday", "2026-11-20T08:00", "2026-11-20T08:00:00+01:00", "-5m", "h", "99999999999999999d", "5é"]
        {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
