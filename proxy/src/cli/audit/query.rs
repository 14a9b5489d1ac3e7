//! `stubgate audit query`: what the audit files say of a credential, an agent, a time.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use stubgate_credentials::{Secret, Version, VersionKey};
use zeroize::Zeroizing;

use super::entry::{Entry, Row};
use super::files;
use super::join::{Filter, Join};
use crate::cli::check;
use crate::cli::moment::moment;
use crate::cli::records::Records;
use crate::cli::say::{count, put};
use crate::cli::{UNUSABLE, WRONG, fail};
use crate::config::Config;
use crate::{lockdown, start};

/// More than any value of a credential has, with its line break.
const LONGEST_VALUE: usize = 16 * 1024;

pub(super) const NOTES: &str = "\
A request is one line, when it began and how it ended; one without an end is `begun`. With --json each record is printed as it is.
The version tells one value of a credential from another; docs/audit.md says how to know which one a value has.

Exit status: 0 done, whether or not there was any; 1 the configuration is wrong, or lines of the files are no records and none is one; \
2 usage, or a path that can't be read";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Configuration of the appliance: the first file of its `audit`, and what was rotated beside it
    #[arg(long, value_name = "FILE", required_unless_present = "files", conflicts_with = "files")]
    config: Option<PathBuf>,
    /// Audit files, JSON lines, the oldest first; `-` is standard input
    #[arg(value_name = "AUDIT")]
    files: Vec<PathBuf>,
    /// What was done with this credential, refused to its stubs, or happened to its value
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// With this value of a credential: 16 hexadecimal digits, as records name it
    #[arg(long, value_name = "VERSION")]
    credential_version: Option<String>,
    /// With the value of a credential that stands in this file, `-` for standard input: one that leaked, say
    #[arg(long, value_name = "FILE", requires = "config", conflicts_with = "credential_version")]
    value_file: Option<PathBuf>,
    /// By this agent
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// By this rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// To this host, with or without its port
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// That ended so: complete, aborted, cut, unknown, begun, refused, answered, taken, …
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,
    /// Refused for this reason
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// With this id, as the agent was told it
    #[arg(long)]
    id: Option<String>,
    /// Not before: 2026-11-20, 2026-11-20T08:00:00Z (UTC), or an age: 30m, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Before; the same forms
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// Print the records that match as they are, one a line
    #[arg(long)]
    json: bool,
}

pub(super) fn main(args: &Args) -> ExitCode {
    match query(args) {
        Ok(code) | Err(code) => code,
    }
}

fn query(args: &Args) -> Result<ExitCode, ExitCode> {
    let config = args.config.as_deref().map(Config::read).transpose().map_err(|problem| check::refuse(&problem))?;
    let mut filter = filter(args);
    if let (Some(file), Some(config)) = (&args.value_file, &config) {
        filter.version = Some(version_of(file, config).map_err(|why| fail(UNUSABLE, why))?.to_string());
    }
    let mut printing = Printing::new(filter, args.json);
    let mut records = Records::default();
    match &config {
        Some(config) => {
            let path = named(config)?;
            for (path, file) in files::open(&path).map_err(|error| fail(UNUSABLE, error))? {
                let read = records.read_open(&path, file, |line| printing.take(line));
                read.map_err(|error| fail(UNUSABLE, format_args!("{}: {error}", path.display())))?;
            }
        }
        None => {
            for path in &args.files {
                let read = records.read(path, |line| printing.take(line));
                read.map_err(|error| fail(UNUSABLE, format_args!("{}: {error}", path.display())))?;
            }
        }
    }
    let all = printing.finish();
    let unreadable = records.unreadable();
    if unreadable.count > 0 {
        eprintln!("{unreadable}");
    }
    if all == 0 && unreadable.count > 0 {
        return Err(fail(WRONG, "no record at all: name audit files, one JSON record a line"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that a configuration has records written to.
fn named(config: &Config) -> Result<PathBuf, ExitCode> {
    let none = || fail(UNUSABLE, "records go to standard output alone; name the files that it is kept in, or -");
    files::first(&config.audit).map(Path::to_owned).ok_or_else(none)
}

/// Which value it is that stands in a file. Nothing of it is shown, whatever is wrong.
fn version_of(file: &Path, config: &Config) -> Result<Version, String> {
    let at = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    // It holds a real value from here on, which other processes of its user are not to read.
    lockdown::not_dumpable()?;
    let hint = "stubgate makes it at its first start; run this where that state_dir is";
    let key = VersionKey::load(&start::version_key_file(config)).map_err(|error| format!("{error}; {hint}"))?;
    // Nothing grows, which would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_VALUE + 1));
    let read = |from: &mut dyn Read, into: &mut Vec<u8>| from.take(LONGEST_VALUE as u64).read_to_end(into);
    // Not by way of std's buffer for standard input, which nobody wipes.
    let opened = if file == Path::new("-") {
        std::io::stdin().as_fd().try_clone_to_owned().map(File::from)
    } else {
        File::open(file)
    };
    let read = opened.and_then(|mut file| read(&mut file, &mut bytes));
    read.map_err(|error| at(&error))?;
    let secret = Secret::new(bytes).map_err(|error| at(&error))?;
    Ok(key.version(&secret))
}

fn filter(args: &Args) -> Filter {
    // What is missing at its end counts as zero.
    let time = |given: &Option<String>| given.as_ref().map(|time| time.trim_end_matches('Z').to_owned());
    Filter {
        agent: args.agent.clone(),
        credential: args.credential.clone(),
        version: args.credential_version.clone(),
        rule: args.rule.clone(),
        host: args.host.clone(),
        id: args.id.clone(),
        ended: args.outcome.clone(),
        reason: args.reason.clone(),
        since: time(&args.since),
        until: time(&args.until),
    }
}

/// Prints what matches, as it comes.
struct Printing {
    form: Form,
    records: u64,
    found: u64,
}

enum Form {
    Lines(Filter),
    Table(Join),
}

impl Printing {
    fn new(filter: Filter, json: bool) -> Self {
        let form = if json { Form::Lines(filter) } else { Form::Table(Join::new(filter)) };
        Printing { form, records: 0, found: 0 }
    }

    /// Takes a line, if it is a record.
    fn take(&mut self, line: &[u8]) -> bool {
        let Some(entry) = Entry::read(line) else { return false };
        self.records += 1;
        match &mut self.form {
            Form::Lines(filter) => {
                if filter.takes(&entry) {
                    self.found += 1;
                    put(format_args!("{}\n", String::from_utf8_lossy(line)));
                }
            }
            Form::Table(join) => {
                if let Some(row) = join.add(&entry) {
                    self.show(&row);
                }
            }
        }
        true
    }

    fn show(&mut self, row: &Row) {
        if self.found == 0 {
            put(format_args!("{}", Row::HEADING));
        }
        self.found += 1;
        put(format_args!("{row}"));
    }

    /// After the last line: what is left, and how many records there were.
    fn finish(mut self) -> u64 {
        let left = match std::mem::replace(&mut self.form, Form::Lines(Filter::default())) {
            Form::Lines(_) => Vec::new(),
            Form::Table(join) => join.finish(),
        };
        for row in &left {
            self.show(row);
        }
        eprintln!("found {} in {}", self.found, count(self.records, "record"));
        self.records
    }
}
