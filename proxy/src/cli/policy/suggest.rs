//! `stubgate policy suggest`: reads audit files line by line, and prints what the policy crate makes of them.
//!
//! What is printed was compiled together with the policy first.

use std::path::PathBuf;
use std::process::ExitCode;

use stubgate_policy::suggest::{Record, Suggest};
use stubgate_policy::{Policy, SourceFile, compile};

use crate::cli::check::report;
use crate::cli::moment::moment;
use crate::cli::records::Records;
use crate::cli::say::{count, put};
use crate::cli::{UNUSABLE, WRONG, fail};
use crate::config::policy_files;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Files, or folders of which every *.yaml is read; checked together, as one policy
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// An audit file, JSON lines; `-` is standard input; may be given more than once
    #[arg(long, required = true, value_name = "AUDIT")]
    from: Vec<PathBuf>,
    /// Leave out records of before: 2026-11-20, 2026-11-20T08:00:00Z (UTC), or an age: 30m, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = moment)]
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
    let mut suggest = match filtered(&policy, args) {
        Ok(suggest) => suggest,
        Err(unknown) => return fail(UNUSABLE, unknown),
    };
    let mut records = Records::default();
    for path in &args.from {
        if let Err(error) = records.read(path, |line| take(&mut suggest, line)) {
            return fail(UNUSABLE, format_args!("{}: {error}", path.display()));
        }
    }
    let unreadable = records.unreadable();
    let suggestion = suggest.finish();
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
    if unreadable.count > 0 {
        eprintln!("{unreadable}");
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

/// Takes a line, if it is a record.
fn take(suggest: &mut Suggest<'_>, line: &[u8]) -> bool {
    match serde_json::from_slice::<Record<'_>>(line) {
        Ok(record) if !record.time.is_empty() && !record.event.is_empty() => {
            suggest.add(&record);
            true
        }
        Ok(_) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "version: 1\nagents: { devbot: { sources: [10.0.0.1/32] } }\n";

    #[test]
    fn lines_that_are_no_records_are_left_out() {
        let policy = compile(&[SourceFile { name: "p".into(), text: POLICY.into() }]).unwrap().policy;
        let mut suggest = Suggest::new(&policy);
        let good = r#"{"time":"2026-11-20T10:00:00.000001Z","seq":1,"event":"refused","layer":"http","agent":"devbot","authority":"https://x.example:443","method":"GET","path":"/a","decision":"deny","reason":"host_not_allowed","status":403}"#;
        for bad in [b"nonsense".as_slice(), b"[1]", b"{}", b"\0", b"\xff\xfe", br#"{"time":5}"#, &good.as_bytes()[..99]]
        {
            assert!(!take(&mut suggest, bad), "{bad:?}");
        }
        assert!(take(&mut suggest, good.as_bytes()));
        let suggestion = suggest.finish();
        assert_eq!((suggestion.counts.records, suggestion.allows), (1, 1));
    }
}
