//! `github_app:`: whose tokens are minted, and how narrow. What is not narrowed is said by leaving a key out, never by
//! leaving it empty.

use std::collections::BTreeMap;

use super::forms::{self, Tail};
use super::read_key;
use crate::compile::reader::{Found, Reader};
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::model::secret_source::GithubApp;
use crate::model::{Authority, Scheme, Source};
use crate::raw::sources::{self, Identifier, LEVELS};
use crate::raw::{Entries, Number};

/// Where GitHub's API is where nothing is written.
const API: &str = "api.github.com";

pub(super) fn read(found: &Found<'_, sources::GithubApp>, reader: &mut Reader<'_>) -> Option<Source> {
    let (raw, span) = (found.value, found.span);
    reader.unknown(&raw.unknown, sources::GithubApp::KEYS);
    let app_id = reader.required(&raw.app_id, "app_id", span).and_then(|found| app_id(&found, reader));
    let private_key = reader.required(&raw.private_key, "private_key", span).and_then(|from| read_key(&from, reader));
    let installation = reader.required(&raw.installation, "installation", span).and_then(|found| {
        let Number(number) = *found.value;
        if number == 0 {
            let help = "write the number at the end of the address of the installation's settings";
            forms::bad("no installation has the number 0".to_owned(), found.span, help, reader);
        }
        (number > 0).then_some(number)
    });
    let repositories = repositories(raw, reader);
    let permissions = match reader.optional(&raw.permissions) {
        Some(entries) => permissions(&entries, reader),
        None => Box::default(),
    };
    let (server, base_path) = match reader.optional(&raw.address) {
        Some(item) => forms::address(&item, Tail::Path, reader)?,
        None => (Authority::parse(Scheme::Https, API.as_bytes()).ok()?, "".into()),
    };
    Some(Source::GithubApp(Box::new(GithubApp {
        server,
        base_path,
        app_id: app_id?,
        private_key: Box::new(private_key?),
        installation: installation?,
        repositories,
        permissions,
    })))
}

fn app_id(found: &Found<'_, Identifier>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let Identifier(text) = found.value;
    let good = !matches!(text.as_str(), "" | "0")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !good {
        let help = "write the number of the app, or its client identifier, as its settings show them";
        forms::bad(format!("`{text}` identifies no app"), found.span, help, reader);
    }
    good.then(|| text.as_str().into())
}

fn repositories(raw: &sources::GithubApp, reader: &mut Reader<'_>) -> Box<[Box<str>]> {
    let list = reader.optional(&raw.repositories);
    let mut names: Vec<Box<str>> = Vec::new();
    for item in reader.texts(list).unwrap_or_default() {
        let name = item.value.as_str();
        let is_name = |name: &str| {
            !matches!(name, "" | "." | "..")
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if is_name(name) {
            names.push(name.into());
            continue;
        }
        let (message, help) = match name.rsplit_once('/') {
            Some((_, last)) if is_name(last) => {
                (format!("`{name}` names an owner: an installation has one already"), format!("write `{last}`"))
            }
            _ => (format!("`{name}` is not the name of a repository"), "letters, digits, `-`, `.` and `_`".to_owned()),
        };
        forms::bad(message, item.span, &help, reader);
    }
    names.into()
}

/// Sorted by name.
fn permissions(entries: &Found<'_, Entries<String>>, reader: &mut Reader<'_>) -> Box<[(Box<str>, Box<str>)]> {
    let Entries(all) = entries.value;
    if all.is_empty() {
        let empty = Diagnostic::error(codes::EMPTY_LIST, "no permission is written");
        let help = "write one, such as `contents: read`, or remove the key; nothing never means everything";
        reader.report(empty, entries.span, "", help);
    }
    let mut permissions: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();
    for (name, span, given) in all {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            let message = format!("`{name}` is not the name of a permission");
            forms::bad(message, span, "write it as GitHub's API does: `pull_requests`", reader);
        }
        let Some(level) = reader.value(given) else { continue };
        if !LEVELS.contains(&level.value.as_str()) {
            let bad =
                Diagnostic::error(codes::BAD_CHOICE, format!("`{}` is not the level of a permission", level.value));
            let help = match nearest(level.value, LEVELS.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "read, write or admin".to_owned(),
            };
            reader.report(bad, level.span, "", &help);
        }
        permissions.insert(name.as_str().into(), level.value.as_str().into());
    }
    permissions.into_iter().collect()
}
