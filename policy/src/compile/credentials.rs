//! `credentials:`: stub, slots, and the only places that each may go.

use std::collections::BTreeMap;

use super::Draft;
use super::names::CREDENTIAL;
use super::reader::{Item, Place, Reader};
use super::secret_sources::{self, Sourced};
use super::{checks, hosts, stubs};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::model::hosts::Place as HostPlace;
use crate::model::{Check, Credential, HostRule, Slot, Source, method, path};
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
            let checked = reader.value(given).map(|credential| read(name, credential.value, span, &mut reader));
            if first {
                defined.push((name, checked.unwrap_or_default()));
            }
        }
    }
    draft.credentials.sort();
    defined.sort_by_key(|(name, _)| *name);
    for (name, checked) in defined {
        let (reading, refresh_stub, login) = match checked.source {
            Some(Sourced { reading, refresh_stub, login }) => (reading, refresh_stub, login),
            None => (Source::Env("".into()).into(), None, None),
        };
        draft.stub_places.push(checked.stub_place);
        draft.refresh_stub_places.push(refresh_stub);
        draft.login_places.push(login);
        draft.parts.credentials.push(Credential {
            name: name.as_str().into(),
            stub: checked.stub.into(),
            minted_only: checked.minted_only,
            slots: checked.slots.into(),
            hosts: checked.hosts.into(),
            reading,
            check: checked.check,
        });
    }
    logins(draft);
}

/// A login is refreshed for one credential: two would each spend the refresh token that the other holds.
fn logins(draft: &mut Draft) {
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, credential) in draft.parts.credentials.iter().enumerate() {
        let Source::Oauth(oauth) = credential.source() else { continue };
        let Some(before) = first.insert(&oauth.login, at) else { continue };
        let name = |at: usize| draft.parts.credentials.get(at).map_or("", Credential::name);
        let message = format!("`{}` and `{}` have the same login, `{}`", name(before), name(at), oauth.login);
        let mut shared = Diagnostic::error(codes::LOGIN_SHARED, message);
        for at in [at, before] {
            if let Some(Some(place)) = draft.login_places.get(at) {
                shared = shared.at(place.file, place.span.clone(), format!("of `{}`", name(at)));
            }
        }
        draft.found.push(shared.help("grant one credential to all who need it, or put a login of its own in escrow"));
    }
}

#[derive(Default)]
struct Checked {
    stub: String,
    stub_place: Option<Place>,
    minted_only: bool,
    slots: Vec<Slot>,
    /// Empty if any was wrong, so that no further error is drawn from it.
    hosts: Vec<HostRule>,
    source: Option<Sourced>,
    check: Option<Check>,
}

fn read(name: &str, credential: &raw::Credential, span: &raw::Span, reader: &mut Reader<'_>) -> Checked {
    reader.unknown(&credential.unknown, raw::Credential::KEYS);
    let mut checked = Checked::default();
    if let Some(stub) = reader.required(&credential.stub, "stub", span)
        && stubs::check_shape(&stub, reader)
    {
        checked.stub.clone_from(stub.value);
        checked.stub_place = Some(reader.place(stub.span));
    }
    checked.minted_only = reader.optional(&credential.minted_only).is_some_and(|flag| flag.value.0);
    let slots = reader.required_texts(&credential.slots, "slots", span).unwrap_or_default();
    checked.slots = slots.iter().filter_map(|item| slot(item, reader)).collect();
    let items = reader.required_texts(&credential.hosts, "hosts", span).unwrap_or_default();
    let (hosts, whole) = hosts::read(&items, HostPlace::Credential, reader);
    if whole {
        checked.hosts = hosts;
    }
    if let Some(from) = reader.required(&credential.source, "source", span) {
        checked.source = secret_sources::read(&from, name, reader);
        if checked.minted_only && checked.source.as_ref().is_some_and(|source| source.refresh_stub.is_some()) {
            let both = Diagnostic::error(codes::BAD_SECRET_SOURCE, "a refresh stub beside `minted_only`");
            let help = "leave one of them out: whoever holds the refresh stub is given the literal stub, which is refused then";
            reader.report(both, from.span, "", help);
        }
    }
    if let Some(check) = reader.optional(&credential.check) {
        checked.check = checks::read(&check, whole.then_some(&*checked.hosts), reader);
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
