//! A preset's file, read and checked as a policy file is: the same shapes, the same reader.
//!
//! Its rules are checked where they are included, because only then their hosts and agents are known. Here is checked
//! what an include relies on: that every gap has a parameter of a kind that fits there.

use super::names;
use super::reader::{Found, Item, Reader};
use crate::diagnostic::{Diagnostic, codes};
use crate::preset::{Kind, Need, Parameter, Placeholder, Preset};
use crate::raw;
use crate::source::{SourceFile, read_tolerant};

/// Reads the file of a preset.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn read(text: &'static str) -> Result<Preset, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let file = SourceFile { name: String::new(), text: text.to_owned() };
    let node = read_tolerant(0, &file, &mut found);
    let mut reader = Reader::new(0, &mut found);
    let preset = node.and_then(|node| reader.shape(node.into())).and_then(|file| preset(&file, text, &mut reader));
    preset.filter(|_| found.is_empty()).ok_or(found)
}

fn preset(file: &raw::PresetFile, text: &'static str, reader: &mut Reader<'_>) -> Option<Preset> {
    let whole = 0..0;
    reader.unknown(&file.unknown, raw::PresetFile::KEYS);
    let name = reader.required(&file.preset, "preset", &whole)?;
    if !names::is_name(name.value) {
        reader.report(Diagnostic::error(codes::BAD_NAME, "this can't be a preset's name"), name.span, "", "");
    }
    let version = reader.required(&file.version, "version", &whole)?.value.0;
    let about = reader.required(&file.about, "about", &whole)?.value.trim().to_owned();
    let credentials = entries(&file.credentials, reader, |name, entry, reader| {
        reader.unknown(&entry.value.unknown, raw::PresetCredential::KEYS);
        let about = reader.required(&entry.value.about, "about", entry.span)?.value.clone();
        let optional = reader.optional(&entry.value.optional).is_some_and(|flag| flag.value.0);
        Some(Need { name: name.to_owned(), about, optional })
    });
    let parameters = entries(&file.parameters, reader, |name, entry, reader| {
        reader.unknown(&entry.value.unknown, raw::PresetParameter::KEYS);
        let about = reader.required(&entry.value.about, "about", entry.span)?.value.clone();
        let written = reader.required(&entry.value.kind, "kind", entry.span)?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == written.value);
        if kind.is_none() {
            reader.report(Diagnostic::error(codes::BAD_CHOICE, "not a kind of parameter"), written.span, "", "");
        }
        Some(Parameter { name: name.to_owned(), kind: kind?, about })
    });
    let rules = reader.required(&file.rules, "rules", &whole)?.value.clone();
    let preset = Preset { name: name.value.clone(), version, about, credentials, parameters, rules, text };
    for given in &preset.rules {
        if let Some(rule) = reader.value(given) {
            rule_of(&rule, &preset, reader);
        }
    }
    Some(preset)
}

fn entries<T, U>(
    given: &Option<raw::Given<raw::Entries<T>>>,
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&str, &Found<'_, T>, &mut Reader<'_>) -> Option<U>,
) -> Vec<U>
where
    T: super::reader::Named,
{
    let Some(entries) = reader.optional(given) else {
        return Vec::new();
    };
    let entries = &entries.value.0;
    let read = entries.iter().filter_map(|(name, _, given)| {
        let entry = reader.value(given)?;
        read(name, &entry, reader)
    });
    read.collect()
}

fn rule_of(rule: &Found<'_, raw::Rule>, preset: &Preset, reader: &mut Reader<'_>) {
    reader.unknown(&rule.value.unknown, raw::Rule::KEYS);
    if let Some(name) = reader.required(&rule.value.name, "name", rule.span)
        && !names::is_name(name.value)
    {
        reader.report(Diagnostic::error(codes::BAD_NAME, "this can't be a rule's name"), name.span, "", "");
    }
    if rule.value.agents.is_some() {
        let own = Diagnostic::error(codes::UNKNOWN_KEY, "a preset's rule takes its agents from the include");
        reader.report(own, rule.span, "", "remove `agents`");
    }
    for (list, hosts) in [(&rule.value.hosts, true), (&rule.value.paths, false)] {
        let list = reader.optional(list);
        for item in reader.texts(list).unwrap_or_default() {
            if !gap_fits(&item, hosts, preset) {
                let gap = Diagnostic::error(codes::BAD_PARAMETER, "nothing can be put in here");
                reader.report(gap, item.span, "", "name a parameter of a kind that fits, once");
            }
        }
    }
    let credentials = reader.optional(&rule.value.credentials);
    for item in reader.texts(credentials).unwrap_or_default() {
        if !preset.credentials.iter().any(|need| need.name == *item.value) {
            let unknown = Diagnostic::error(codes::UNKNOWN_CREDENTIAL, "the preset declares no such credential");
            reader.report(unknown, item.span, "", "");
        }
    }
}

/// Whether a text has no gap, or one that a parameter of the right kind fills: all of a host, or within a path.
fn gap_fits(item: &Item<'_>, hosts: bool, preset: &Preset) -> bool {
    let Some(gap) = Placeholder::find(item.value) else {
        return !item.value.contains(['{', '}']);
    };
    let alone = !gap.before.contains('}') && !gap.after.contains(['{', '}']);
    let whole = gap.before.is_empty() && gap.after.is_empty();
    let kind = preset.parameters.iter().find(|parameter| parameter.name == gap.name).map(|parameter| parameter.kind);
    kind.is_some_and(|kind| alone && kind.is_host() == hosts && (whole || !hosts))
}
