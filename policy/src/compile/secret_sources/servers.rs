//! `vault:` and `infisical:`: servers of secrets, asked over https alone. What is secret in a login to them stands in files.

use super::forms::{self, Tail};
use super::list;
use crate::compile::reader::{Found, Item, Reader};
use crate::model::secret_source::{Infisical, Vault, VaultAuth};
use crate::model::{Authority, Path, Scheme, Source};
use crate::raw::sources::{self, LOGINS};
use crate::raw::{Given, Span, Text};

/// Where Infisical is where nothing is written.
const INFISICAL: &str = "app.infisical.com";

pub(super) fn vault(found: &Found<'_, sources::Vault>, reader: &mut Reader<'_>) -> Option<Source> {
    let (raw, span) = (found.value, found.span);
    reader.unknown(&raw.unknown, sources::Vault::KEYS);
    let server =
        required(&raw.address, "address", span, reader, |item, reader| forms::address(item, Tail::Nothing, reader));
    let namespace = optional(&raw.namespace, reader);
    let mount = mount(&raw.mount, "secret", reader);
    let path = required(&raw.path, "path", span, reader, forms::below);
    let key = required(&raw.key, "key", span, reader, forms::some);
    let auth = reader.required(&raw.auth, "auth", span).and_then(|found| auth(&found, reader));
    Some(Source::Vault(Box::new(Vault {
        server: server?.0,
        namespace: namespace?,
        mount: mount?,
        path: path?,
        key: key?,
        auth: auth?,
    })))
}

fn auth(found: &Found<'_, sources::VaultAuth>, reader: &mut Reader<'_>) -> Option<VaultAuth> {
    let (raw, span) = (found.value, found.span);
    reader.unknown(&raw.unknown, sources::VaultAuth::KEYS);
    let there = [raw.token_file.is_some(), raw.approle.is_some(), raw.kubernetes.is_some()];
    let ways: Vec<&str> = LOGINS.iter().zip(there).filter(|(_, there)| *there).map(|(way, _)| *way).collect();
    match ways.as_slice() {
        [_] => {}
        [] if !raw.unknown.is_empty() => {}
        [] => forms::bad("no way to log in is named".to_owned(), span, &format!("one of {}", list(LOGINS)), reader),
        several => {
            let message = format!("exactly one way to log in is needed, and {} stand here", list(several));
            forms::bad(message, span, "keep the one that is meant", reader);
        }
    }
    let token = reader.optional(&raw.token_file).and_then(|item| forms::file(&item, reader));
    let approle = reader.optional(&raw.approle).and_then(|Found { value, span }| {
        reader.unknown(&value.unknown, sources::AppRole::KEYS);
        let mount = mount(&value.mount, "approle", reader);
        let role_id_file = required(&value.role_id_file, "role_id_file", span, reader, forms::file);
        let secret_id_file = required(&value.secret_id_file, "secret_id_file", span, reader, forms::file);
        Some(VaultAuth::AppRole { mount: mount?, role_id_file: role_id_file?, secret_id_file: secret_id_file? })
    });
    let kubernetes = reader.optional(&raw.kubernetes).and_then(|Found { value, span }| {
        reader.unknown(&value.unknown, sources::Kubernetes::KEYS);
        let mount = mount(&value.mount, "kubernetes", reader);
        let role = required(&value.role, "role", span, reader, forms::some);
        let token_file = required(&value.token_file, "token_file", span, reader, forms::file);
        Some(VaultAuth::Kubernetes { mount: mount?, role: role?, token_file: token_file? })
    });
    token.map(|file| VaultAuth::Token { file }).or(approle).or(kubernetes)
}

pub(super) fn infisical(found: &Found<'_, sources::Infisical>, reader: &mut Reader<'_>) -> Option<Source> {
    let (raw, span) = (found.value, found.span);
    reader.unknown(&raw.unknown, sources::Infisical::KEYS);
    let server = match reader.optional(&raw.address) {
        Some(item) => forms::address(&item, Tail::Nothing, reader).map(|(server, _)| server),
        None => Authority::parse(Scheme::Https, INFISICAL.as_bytes()).ok(),
    };
    let project = required(&raw.project, "project", span, reader, forms::some);
    let environment = required(&raw.environment, "environment", span, reader, forms::some);
    let path = match reader.optional(&raw.path) {
        Some(item) => folder(&item, reader),
        None => Some("/".into()),
    };
    let name = required(&raw.name, "name", span, reader, forms::some);
    let client_id_file = required(&raw.client_id_file, "client_id_file", span, reader, forms::file);
    let client_secret_file = required(&raw.client_secret_file, "client_secret_file", span, reader, forms::file);
    Some(Source::Infisical(Box::new(Infisical {
        server: server?,
        project: project?,
        environment: environment?,
        path: path?,
        name: name?,
        client_id_file: client_id_file?,
        client_secret_file: client_secret_file?,
    })))
}

/// A folder of Infisical.
fn folder(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let good = Path::parse(item.value.as_bytes()).is_ok_and(|path| path.as_str() == item.value);
    if !good {
        forms::bad(format!("`{}` is not a folder", item.value), item.span, "write `/`, or `/team/agents`", reader);
    }
    good.then(|| item.value.as_str().into())
}

/// A key that must stand, of that form.
pub(super) fn required<T>(
    given: &Option<Given<Text>>,
    key: &str,
    map: &Span,
    reader: &mut Reader<'_>,
    form: impl FnOnce(&Item<'_>, &mut Reader<'_>) -> Option<T>,
) -> Option<T> {
    let item = reader.required(given, key, map)?;
    form(&item, reader)
}

/// A path that need not stand; `None` where what stands is wrong.
fn optional(given: &Option<Given<Text>>, reader: &mut Reader<'_>) -> Option<Option<Box<str>>> {
    match given {
        None => Some(None),
        Some(given) => reader.value(given).and_then(|item| forms::below(&item, reader)).map(Some),
    }
}

fn mount(given: &Option<Given<Text>>, default: &str, reader: &mut Reader<'_>) -> Option<Box<str>> {
    optional(given, reader).map(|mount| mount.unwrap_or_else(|| default.into()))
}
