//! `dns:`: who may ask which names of forwarded zones, for which types of record.

use super::reader::{Item, Reader};
use super::{Draft, agents, hosts, record_types};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::model::hosts::Place as HostPlace;
use crate::model::policy::Forward;
use crate::raw;

/// SVCB and HTTPS (RFC 9460) carry other targets, ports and ECH keys; OPT, TKEY, TSIG, transfers and ANY are no data.
const NEVER: &[u16] = &[0, 41, 64, 65, 249, 250, 251, 252, 253, 254, 255];

pub(super) fn check(documents: &[(usize, raw::Document)], draft: &mut Draft) {
    for (file, document) in documents {
        let mut reader = Reader::new(*file, &mut draft.found);
        let Some(entries) = reader.optional(&document.dns) else {
            continue;
        };
        if entries.value.is_empty() {
            let empty = Diagnostic::error(codes::EMPTY_LIST, "the list is empty");
            reader.report(empty, entries.span, "", "write an entry, or remove the key");
        }
        for given in entries.value {
            let mut reader = Reader::new(*file, &mut draft.found);
            let Some(entry) = reader.value(given) else {
                continue;
            };
            reader.unknown(&entry.value.unknown, raw::Dns::KEYS);
            let names = reader.required_texts(&entry.value.names, "names", entry.span).unwrap_or_default();
            let (names, _) = hosts::read(&names, HostPlace::Dns, &mut reader);
            let types = reader.required_texts(&entry.value.types, "types", entry.span).unwrap_or_default();
            let mut types: Vec<u16> = types.iter().filter_map(|item| kind(item, &mut reader)).collect();
            types.sort_unstable();
            types.dedup();
            let agents = reader.required_texts(&entry.value.agents, "agents", entry.span).unwrap_or_default();
            let agents = agents::resolve(&agents, draft, *file);
            draft.parts.forwards.push(Forward { agents, names: names.into(), types: types.into() });
        }
    }
}

fn kind(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<u16> {
    let text = item.value.as_str();
    match record_types::number(text) {
        Some(number) if NEVER.contains(&number) => {
            let never = Diagnostic::error(codes::BAD_TYPE, format!("{text} is never forwarded"));
            reader.report(never, item.span, "", "remove it");
            None
        }
        Some(number) => Some(number),
        None => {
            let bad = Diagnostic::error(codes::BAD_TYPE, format!("`{text}` is not a type of record"));
            let help = match nearest(text, record_types::TYPES.iter().map(|(name, _)| *name)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "A, AAAA, SRV, TXT and so on, or TYPE and its number".into(),
            };
            reader.report(bad, item.span, "", &help);
            None
        }
    }
}
