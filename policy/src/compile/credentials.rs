//! `credentials:`: stub, slots, the only places that each may go, and where its secret is read from.

use std::path::Path as FilePath;

use super::Draft;
use super::names::CREDENTIAL;
use super::reader::{Found, Item, Place, Reader};
use super::{hosts, stubs};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::model::hosts::Place as HostPlace;
use crate::model::{Credential, HostRule, Slot, Source, method, path};
use crate::raw;

pub(super) fn check(documents: &[(usize, raw::Document)], draft: &mut Draft) {
    let mut defined = Vec::new();
    for (file, document) in documents {
        let mut reader = Reader::new(*file, &mut draft.found);
        let Some(entries) = reader.optional(&document.credentials) else {
            continue;
        };
        for (name, span, given) in &entries.value.0 {
            let first = draft.credentials.define(CREDENTIAL, name, reader.place(span), reader.found);
            let checked = reader.value(given).map(|credential| read(credential.value, span, &mut reader));
            if first {
                defined.push((name, checked.unwrap_or_default()));
            }
        }
    }
    draft.credentials.sort();
    defined.sort_by_key(|(name, _)| *name);
    for (name, checked) in defined {
        draft.stub_places.push(checked.stub_place);
        draft.parts.credentials.push(Credential {
            name: name.as_str().into(),
            stub: checked.stub.into(),
            slots: checked.slots.into(),
            hosts: checked.hosts.into(),
            reading: checked.source.unwrap_or_else(|| Source::Env("".into())).into(),
        });
    }
}

#[derive(Default)]
struct Checked {
    stub: String,
    stub_place: Option<Place>,
    slots: Vec<Slot>,
    /// Empty if any was wrong, so that no further error is drawn from it.
    hosts: Vec<HostRule>,
    source: Option<Source>,
}

fn read(credential: &raw::Credential, span: &raw::Span, reader: &mut Reader<'_>) -> Checked {
    reader.unknown(&credential.unknown, raw::Credential::KEYS);
    let mut checked = Checked::default();
    if let Some(stub) = reader.required(&credential.stub, "stub", span)
        && stubs::check_shape(&stub, reader)
    {
        checked.stub.clone_from(stub.value);
        checked.stub_place = Some(reader.place(stub.span));
    }
    let slots = reader.required_texts(&credential.slots, "slots", span).unwrap_or_default();
    checked.slots = slots.iter().filter_map(|item| slot(item, reader)).collect();
    let items = reader.required_texts(&credential.hosts, "hosts", span).unwrap_or_default();
    let (hosts, whole) = hosts::read(&items, HostPlace::Credential, reader);
    if whole {
        checked.hosts = hosts;
    }
    if let Some(from) = reader.required(&credential.source, "source", span) {
        checked.source = source(&from, reader);
    }
    checked
}

fn slot(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Slot> {
    let bad = |reader: &mut Reader<'_>, message: String, help: &str| {
        reader.report(Diagnostic::error(codes::BAD_SLOT, message), item.span, "", help);
        None
    };
    let text = item.value.as_str();
    match text.split_once(':') {
        None => match text {
            "bearer" => Some(Slot::Bearer),
            "basic" => Some(Slot::Basic),
            "bare" => Some(Slot::Bare),
            other => {
                let help = match nearest(other, ["bearer", "basic", "bare"]) {
                    _ if matches!(other, "header" | "query") => format!(
                        "write `{other}:` and its name: `{other}:{}`",
                        if other == "header" { "x-api-key" } else { "key" }
                    ),
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None if other.contains('-') && other.bytes().all(method::is_token) => {
                        format!("for a header, write `header:{other}`")
                    }
                    None => "bearer, basic, bare, header:NAME or query:NAME".into(),
                };
                bad(reader, format!("`{other}` is not a slot"), &help)
            }
        },
        Some(("header", name)) if !name.is_empty() && name.bytes().all(method::is_token) => {
            let name = name.to_ascii_lowercase();
            match forbidden_header(&name) {
                Some(help) => bad(reader, format!("the header `{name}` can't be a slot"), help),
                None => Some(Slot::Header(name.into())),
            }
        }
        Some(("query", name)) if !name.is_empty() && name.bytes().all(path::is_unreserved) => {
            Some(Slot::Query(name.into()))
        }
        Some(("header", _)) => bad(reader, format!("`{text}` does not name a header"), "write `header:x-api-key`"),
        Some(("query", _)) => bad(
            reader,
            format!("`{text}` does not name a query parameter"),
            "write `query:key`: letters, digits, `-`, `.`, `_`, `~`",
        ),
        Some(_) => bad(reader, format!("`{text}` is not a slot"), "bearer, basic, bare, header:NAME or query:NAME"),
    }
}

/// Whether a credential may declare this slot.
pub(crate) fn is_slot(text: &str) -> bool {
    let mut found = Vec::new();
    let item = Item { value: &text.to_owned(), span: &(0..0) };
    slot(&item, &mut Reader::new(0, &mut found)).is_some()
}

/// Headers that frame or route a message, or that hold more than a token.
fn forbidden_header(name: &str) -> Option<&'static str> {
    const FRAMING: &[&str] = &[
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-connection",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ];
    match name {
        "authorization" => Some("write `bearer`, `basic` or `bare`"),
        "proxy-authorization" => Some("it is always stripped"),
        "cookie" | "set-cookie" => Some("it holds more than one token"),
        name if FRAMING.contains(&name) || name.starts_with("x-forwarded-") || name.starts_with("sec-websocket-") => {
            Some("use a header of the service's own: this one frames or routes the message")
        }
        _ => None,
    }
}

fn source(from: &Found<'_, raw::SecretSource>, reader: &mut Reader<'_>) -> Option<Source> {
    let raw::SecretSource { file, env, unknown } = from.value;
    reader.unknown(unknown, raw::SecretSource::KEYS);
    if unknown.is_empty() && file.is_some() == env.is_some() {
        let one = Diagnostic::error(codes::BAD_SECRET_SOURCE, "exactly one source is needed");
        reader.report(one, from.span, "", "write `{ file: /run/secrets/name }` or `{ env: NAME }`");
    }
    if let Some(file) = reader.optional(file) {
        if !FilePath::new(file.value).is_absolute() || file.value.ends_with('/') {
            let relative = Diagnostic::error(
                codes::BAD_SECRET_SOURCE,
                format!("`{}` is not the absolute path of a file", file.value),
            );
            reader.report(relative, file.span, "", "begin it with `/`");
            return None;
        }
        return Some(Source::File(FilePath::new(file.value).into()));
    }
    let env = reader.optional(env)?;
    let good = env.value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && env.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !good {
        let bad =
            Diagnostic::error(codes::BAD_SECRET_SOURCE, format!("`{}` can't be the name of a variable", env.value));
        reader.report(bad, env.span, "", "letters, digits and `_`");
        return None;
    }
    Some(Source::Env(env.value.as_str().into()))
}
