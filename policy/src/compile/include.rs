//! `include:`: presets, by name and version, with agents, credentials and values of the policy's own.
//!
//! What comes out are rules as if they stood in the file, called `PRESET@VERSION/RULE`. A second include of the same
//! preset has a name, which goes between: `PRESET@VERSION/NAME/RULE`. Every error points at the include, because the
//! preset's own text is not the reader's to change.

use std::collections::BTreeMap;

use super::names::{CREDENTIAL, is_name};
use super::reader::{Found, Item, Place, Reader};
use super::{Draft, agents, hosts};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::model::hosts::Place as HostPlace;
use crate::preset::{Argument, Arguments, Kind, Parameter, Preset, ValueError, check, fill, find, released};
use crate::raw::{self, Shape};

/// The rules of one include.
pub(super) struct Expanded {
    /// Where the preset is named.
    pub(super) span: raw::Span,
    pub(super) rules: Vec<raw::Rule>,
}

/// Every include of all files so far, by what its rules' names begin with.
#[derive(Default)]
pub(super) struct Included(BTreeMap<String, Place>);

/// The rules of every include of a file that has no error.
pub(super) fn expand(
    file: usize,
    document: &raw::Document,
    included: &mut Included,
    draft: &mut Draft,
) -> Vec<Expanded> {
    let mut reader = Reader::new(file, &mut draft.found);
    let Some(list) = reader.optional(&document.include) else {
        return Vec::new();
    };
    if list.value.is_empty() {
        let empty = Diagnostic::error(codes::EMPTY_LIST, "the list is empty");
        reader.report(empty, list.span, "", "include a preset, or remove the key");
    }
    let entries: Vec<Found<'_, raw::Include>> = list.value.iter().filter_map(|given| reader.value(given)).collect();
    entries
        .iter()
        .filter_map(|entry| Include { file, raw: entry.value, span: entry.span, draft }.read(included))
        .collect()
}

/// Drops what several rules of one include found in the same words at the same place.
pub(super) fn once(found: &mut Vec<Diagnostic>, from: usize) {
    for diagnostic in found.split_off(from.min(found.len())) {
        let said = found.get(from..).is_some_and(|said| said.contains(&diagnostic));
        if !said {
            found.push(diagnostic);
        }
    }
}

struct Include<'a> {
    file: usize,
    raw: &'a raw::Include,
    span: &'a raw::Span,
    draft: &'a mut Draft,
}

impl<'a> Include<'a> {
    /// The rules, or what is wrong.
    fn read(mut self, included: &mut Included) -> Option<Expanded> {
        let (raw, span) = (self.raw, self.span);
        let before = self.draft.found.len();
        self.reader().unknown(&raw.unknown, raw::Include::KEYS);
        let name = self.name();
        let agents = self.reader().required_texts(&raw.agents, "agents", span).unwrap_or_default();
        agents::resolve(&agents, self.draft, self.file);
        let named = self.reader().required(&raw.preset, "preset", span)?;
        let preset = self.preset(&named)?;
        let prefix = match name {
            Some(name) => format!("{preset}/{name}/"),
            None => format!("{preset}/"),
        };
        self.admit(&prefix, named.span, included);
        let credentials = self.credentials(preset, named.span);
        let parameters = self.parameters(preset, named.span);
        if self.draft.found.len() > before {
            return None;
        }
        let agents = agents.iter().map(argument).collect();
        let with = Arguments { prefix, span: named.span.clone(), agents, credentials, parameters };
        let rules = preset.rules.iter().filter_map(|rule| match &rule.shape {
            Shape::Is(rule) => Some(fill(rule, &with)),
            Shape::Null | Shape::Other(_) => None,
        });
        Some(Expanded { span: named.span.clone(), rules: rules.collect() })
    }

    fn reader(&mut self) -> Reader<'_> {
        Reader::new(self.file, &mut self.draft.found)
    }

    fn name(&mut self) -> Option<&'a str> {
        let raw = self.raw;
        let mut reader = self.reader();
        let name = reader.optional(&raw.name)?;
        if !is_name(name.value) {
            let message = format!("`{}` can't be the name of an include", name.value);
            let help = "letters, digits, `-`, `_` and `.`, beginning with a letter or digit, at most 64";
            reader.report(Diagnostic::error(codes::BAD_NAME, message), name.span, "", help);
        }
        Some(name.value)
    }

    fn preset(&mut self, named: &Item<'_>) -> Option<&'static Preset> {
        let preset = find(named.value);
        if preset.is_none() {
            let text = named.value.as_str();
            let (name, version) = text.split_once('@').unwrap_or((text, ""));
            let versions: Vec<String> =
                released().iter().filter(|preset| preset.name == name).map(|preset| format!("`{preset}`")).collect();
            let (message, help) = match (versions.is_empty(), version.is_empty()) {
                (false, true) => {
                    (format!("the preset `{text}` has no version"), format!("write {}", versions.join(" or ")))
                }
                (false, false) => (
                    format!("there is no version `{version}` of the preset `{name}`"),
                    format!("there is {}", versions.join(", ")),
                ),
                (true, _) => (format!("there is no preset `{text}`"), suggestion(name)),
            };
            self.reader().report(Diagnostic::error(codes::UNKNOWN_PRESET, message), named.span, "", &help);
        }
        preset
    }

    /// Two includes whose rules would have the same names.
    fn admit(&mut self, prefix: &str, span: &raw::Span, included: &mut Included) {
        let place = self.reader().place(span);
        if let Some(first) = included.0.get(prefix) {
            let twice = Diagnostic::error(
                codes::DEFINED_TWICE,
                format!("`{}` is included twice", prefix.trim_end_matches('/')),
            )
            .at(place.file, place.span, "second include")
            .at(first.file, first.span.clone(), "first include");
            self.draft.found.push(twice.help("give the second a name, which its rules have then too: `name: other`"));
        } else {
            included.0.insert(prefix.to_owned(), place);
        }
    }

    fn credentials(&mut self, preset: &Preset, at: &raw::Span) -> BTreeMap<String, Argument> {
        let raw = self.raw;
        let mut given = BTreeMap::new();
        let written = self.reader().optional(&raw.credentials);
        for (name, span, value) in written.iter().flat_map(|entries| &entries.value.0) {
            let Some(credential) = self.reader().value(value) else { continue };
            let known = || preset.credentials.iter().map(|need| need.name.as_str());
            if !known().any(|known| known == name) {
                let message = format!("`{preset}` grants no credential `{name}`");
                self.unknown(message, span, &help_of(name, known(), "credentials"));
                continue;
            }
            let mut reader = Reader::new(self.file, &mut self.draft.found);
            let complete = self.draft.complete;
            self.draft.credentials.resolve(CREDENTIAL, credential.value, credential.span, complete, &mut reader);
            given.insert(name.clone(), argument(&credential));
        }
        for need in preset.credentials.iter().filter(|need| !need.optional) {
            let stands = written.iter().flat_map(|entries| &entries.value.0).any(|(name, ..)| *name == need.name);
            if !stands {
                let message = format!("`{preset}` needs the credential `{}`: {}", need.name, need.about);
                let help =
                    format!("write `credentials: {{ {}: … }}` with the name of a credential of this policy", need.name);
                self.reader().report(Diagnostic::error(codes::MISSING_PARAMETER, message), at, "", &help);
            }
        }
        given
    }

    fn parameters(&mut self, preset: &Preset, at: &raw::Span) -> BTreeMap<String, Vec<Argument>> {
        let raw = self.raw;
        let mut given = BTreeMap::new();
        let written = self.reader().optional(&raw.with);
        for (name, span, value) in written.iter().flat_map(|entries| &entries.value.0) {
            let Some(parameter) = preset.parameters.iter().find(|parameter| parameter.name == *name) else {
                let known = preset.parameters.iter().map(|parameter| parameter.name.as_str());
                self.unknown(
                    format!("`{preset}` has no parameter `{name}`"),
                    span,
                    &help_of(name, known, "parameters"),
                );
                continue;
            };
            let Some(value) = self.reader().value(value) else { continue };
            given.insert(name.clone(), self.values(parameter, &value));
        }
        for parameter in &preset.parameters {
            let stands = written.iter().flat_map(|entries| &entries.value.0).any(|(name, ..)| *name == parameter.name);
            if !stands {
                let message = format!("`{preset}` needs `{}`: {}", parameter.name, parameter.about);
                let help = format!("write `with: {{ {}: {} }}`", parameter.name, parameter.kind.example());
                self.reader().report(Diagnostic::error(codes::MISSING_PARAMETER, message), at, "", &help);
            }
        }
        given
    }

    fn unknown(&mut self, message: String, span: &raw::Span, help: &str) {
        self.reader().report(Diagnostic::error(codes::UNKNOWN_PARAMETER, message), span, "", help);
    }

    /// The texts of a value, each read as what the parameter is.
    fn values(&mut self, parameter: &Parameter, value: &Found<'_, raw::Argument>) -> Vec<Argument> {
        let kind = parameter.kind;
        let mut reader = Reader::new(self.file, &mut self.draft.found);
        let items = match value.value {
            raw::Argument::Many(items) if kind.is_list() => {
                reader.texts(Some(Found { value: items, span: value.span })).unwrap_or_default()
            }
            raw::Argument::One(text) if !kind.is_list() => vec![Found { value: text, span: value.span }],
            raw::Argument::Many(_) | raw::Argument::One(_) => {
                let (wanted, found) = if kind.is_list() { ("a list", "a text") } else { ("a text", "a list") };
                let message = format!("expected {wanted}, found {found}");
                let help = format!("write `{}: {}`", parameter.name, kind.example());
                reader.report(Diagnostic::error(codes::WRONG_SHAPE, message), value.span, "", &help);
                return Vec::new();
            }
        };
        let good: Vec<Item<'_>> = items.into_iter().filter(|item| fits(kind, item, &mut reader)).collect();
        if kind.is_host() {
            // Says what is wrong with a host in the words of a rule's, and finds one that stands twice.
            hosts::read(&good, HostPlace::Grant, &mut reader);
        }
        good.iter().map(argument).collect()
    }
}

/// Whether a text is of that kind; hosts that are none are left to the reader of hosts.
fn fits(kind: Kind, item: &Item<'_>, reader: &mut Reader<'_>) -> bool {
    let Err(error) = check(kind, item.value) else {
        return true;
    };
    let help = match error {
        ValueError::Host(_) => return true,
        ValueError::Wildcard => "name each host; write a rule of your own for a wildcard".to_owned(),
        ValueError::Segment => "letters, digits, `-`, `.`, `_` and `~`; no `/`, no `*`".to_owned(),
        ValueError::Repository => "write `acme/site`: one owner and one name, without wildcards".to_owned(),
        ValueError::Git => format!("write `{}`", item.value.get(..item.value.len() - 4).unwrap_or_default()),
    };
    let message = format!("`{}` does not fit here: {error}", item.value);
    reader.report(Diagnostic::error(codes::BAD_PARAMETER, message), item.span, "", &help);
    false
}

fn argument(item: &Item<'_>) -> Argument {
    Argument { text: item.value.clone(), span: item.span.clone() }
}

fn suggestion(name: &str) -> String {
    let meant = nearest(name, released().iter().map(Preset::name));
    let newest = released().iter().filter(|preset| meant == Some(preset.name())).max_by_key(|preset| preset.version);
    match newest {
        Some(preset) => format!("did you mean `{preset}`?"),
        None => {
            let all: Vec<String> = released().iter().map(ToString::to_string).collect();
            format!("there are {}", all.join(", "))
        }
    }
}

fn help_of<'a>(written: &str, known: impl Iterator<Item = &'a str>, what: &str) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(written, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => format!("remove it: this preset has no {what}"),
        None => format!("known here: {}", known.join(", ")),
    }
}
