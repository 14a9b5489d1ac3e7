//! `limits:`: how much an agent may do. Nothing here is a limit by default, and none can be 0: who is to do nothing has
//! no rule, or is quarantined.

use super::reader::{Found, Reader};
use crate::diagnostic::{Diagnostic, codes};
use crate::model::AgentLimits;
use crate::raw::{self, Given, Number};

/// The largest number of each: what is above is a slip of the finger, or meant as "no limit".
const MOST_REQUESTS: u64 = 10_000_000;
const MOST_BYTES: u64 = 1 << 50;
const MOST_TRIPWIRES: u64 = 1_000_000;

/// The limits of every agent. They stand in one file, as a definition does.
pub(super) fn common(documents: &[(usize, raw::Document)], found: &mut Vec<Diagnostic>) -> AgentLimits {
    let mut first: Option<(usize, raw::Span, AgentLimits)> = None;
    for (file, document) in documents {
        let mut reader = Reader::new(*file, found);
        let Some(Found { value, span }) = reader.optional(&document.limits) else { continue };
        let limits = read(value, &mut reader);
        match &first {
            None => first = Some((*file, span.clone(), limits)),
            Some((other, place, _)) => {
                let twice = Diagnostic::error(codes::DEFINED_TWICE, "`limits` stands in two files")
                    .at(*file, span.clone(), "second")
                    .at(*other, place.clone(), "first");
                found.push(twice.help("keep one; limits of one agent stand under that agent"));
            }
        }
    }
    first.map(|(_, _, limits)| limits).unwrap_or_default()
}

/// The limits of one map.
pub(super) fn read(limits: &raw::Limits, reader: &mut Reader<'_>) -> AgentLimits {
    reader.unknown(&limits.unknown, raw::Limits::KEYS);
    AgentLimits {
        requests_per_minute: number(&limits.requests_per_minute, MOST_REQUESTS, reader),
        bytes_out_per_day: number(&limits.bytes_out_per_day, MOST_BYTES, reader),
        quarantine_after_tripwires: number(&limits.quarantine_after_tripwires, MOST_TRIPWIRES, reader),
    }
}

fn number(given: &Option<Given<Number>>, most: u64, reader: &mut Reader<'_>) -> Option<u64> {
    let Found { value: Number(number), span } = reader.optional(given)?;
    if (1..=most).contains(number) {
        return Some(*number);
    }
    let (what, help) = if *number == 0 {
        ("a limit of 0 would deny everything", "write `quarantined: true` for an agent that is to do nothing")
    } else {
        ("a limit that nothing could reach", "remove it: without it there is no limit")
    };
    reader.report(Diagnostic::error(codes::BAD_LIMIT, what), span, &format!("1 to {most}"), help);
    None
}
