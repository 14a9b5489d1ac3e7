//! `source:` of a credential: that it names exactly one place, and one that could be asked.
//!
//! Nothing is read, run or asked here; whether a file is there is not known.

mod forms;
mod github_app;
mod oauth;
mod servers;

pub use oauth::built_in_provider;

use std::time::Duration;

use super::reader::{Found, Item, Place, Reader};
use crate::diagnostic::{Diagnostic, codes};
use crate::model::secret_source::{Exec, Reading};
use crate::model::{Authority, Source};
use crate::raw::sources::{self, Command, KINDS, KeySource, READ_KINDS, SecretSource, TIMEOUT, TTL};
use crate::raw::{Given, Number, Span, Text};

/// How long a program may run where nothing is written.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A source, and what of it is compared with other credentials.
pub(super) struct Sourced {
    pub(super) reading: Reading,
    /// Where a refresh stub is written.
    pub(super) refresh_stub: Option<Place>,
    /// Where a login is named.
    pub(super) login: Option<Place>,
}

/// The source of a credential of that name.
pub(super) fn read(from: &Found<'_, SecretSource>, credential: &str, reader: &mut Reader<'_>) -> Option<Sourced> {
    let raw = from.value;
    reader.unknown(&raw.unknown, SecretSource::KEYS);
    let plain = Plain::from(raw);
    let mut kinds = plain.kinds();
    kinds.extend(raw.github_app.as_ref().map(|_| "github_app"));
    kinds.extend(raw.oauth.as_ref().map(|_| "oauth"));
    one(&kinds, KINDS, !raw.unknown.is_empty(), from.span, reader);
    let (json_key, ttl) = plain.beside(reader);
    let mut refresh_stub = None;
    let mut login = None;
    let mut source = plain.read(reader);
    if let Some(found) = reader.optional(&raw.github_app) {
        if let Some(key) = &raw.json_key {
            let message = "`json_key` is not for `github_app`, whose tokens have no keys".to_owned();
            forms::bad(message, &key.span, "remove it, or write it below `private_key`", reader);
        }
        let app = github_app::read(&found, reader);
        source = source.or(app);
    }
    if let Some(found) = reader.optional(&raw.oauth) {
        if let Some(key) = &raw.json_key {
            let message = "`json_key` is not for `oauth`, whose tokens have no keys".to_owned();
            forms::bad(message, &key.span, "remove it", reader);
        }
        let oauth = oauth::read(&found, credential, reader);
        refresh_stub = oauth.refresh_stub;
        login = oauth.login;
        source = source.or(oauth.source);
    }
    Some(Sourced { reading: Reading { source: source?, json_key, ttl }, refresh_stub, login })
}

/// Server, path and query of an https address that a credential is tried with.
pub(super) fn check_url(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<(Authority, Box<str>)> {
    forms::place(item, codes::BAD_CHECK, reader)
}

/// A source that gives what lies there: with its secret, others are minted.
fn read_key(from: &Found<'_, KeySource>, reader: &mut Reader<'_>) -> Option<Reading> {
    let raw = from.value;
    let (minting, unknown): (Vec<_>, Vec<_>) =
        raw.unknown.iter().cloned().partition(|key| KINDS.contains(&key.key.as_str()));
    reader.unknown(&unknown, KeySource::KEYS);
    for key in &minting {
        let minted = Diagnostic::error(codes::MINTED_KEY, format!("a private key can't come from `{}`", key.key));
        reader.report(minted, &key.span, "mints tokens, and has no key", &format!("one of {}", list(READ_KINDS)));
    }
    let plain = Plain::from(raw);
    one(&plain.kinds(), READ_KINDS, !raw.unknown.is_empty(), from.span, reader);
    let (json_key, ttl) = plain.beside(reader);
    Some(Reading { source: plain.read(reader)?, json_key, ttl })
}

/// That exactly one kind stands there. A key that nobody knows may have been meant as one.
fn one(kinds: &[&str], known: &[&str], is_unsure: bool, span: &Span, reader: &mut Reader<'_>) {
    let message = match kinds {
        [_] => return,
        [] if is_unsure => return,
        [] => "no source is named".to_owned(),
        several => format!("exactly one source is needed, and {} stand here", list(several)),
    };
    let help = match kinds {
        [] => format!("one of {}, such as `{{ file: /run/secrets/name }}`", list(known)),
        _ => "keep the one that is meant".to_owned(),
    };
    reader.report(Diagnostic::error(codes::BAD_SECRET_SOURCE, message), span, "", &help);
}

/// The kinds that stand in both maps, and what stands beside any of them.
struct Plain<'a> {
    file: &'a Option<Given<Text>>,
    env: &'a Option<Given<Text>>,
    exec: &'a Option<Given<Command>>,
    timeout: &'a Option<Given<Number>>,
    vault: &'a Option<Given<sources::Vault>>,
    infisical: &'a Option<Given<sources::Infisical>>,
    json_key: &'a Option<Given<Text>>,
    ttl: &'a Option<Given<Number>>,
}

macro_rules! plain {
    ($($raw:ty)*) => {
        $(impl<'a> From<&'a $raw> for Plain<'a> {
            fn from(raw: &'a $raw) -> Self {
                Plain {
                    file: &raw.file,
                    env: &raw.env,
                    exec: &raw.exec,
                    timeout: &raw.timeout_seconds,
                    vault: &raw.vault,
                    infisical: &raw.infisical,
                    json_key: &raw.json_key,
                    ttl: &raw.ttl_seconds,
                }
            }
        })*
    };
}

plain!(SecretSource KeySource);

impl Plain<'_> {
    fn kinds(&self) -> Vec<&'static str> {
        let there = [
            self.file.is_some(),
            self.env.is_some(),
            self.exec.is_some(),
            self.vault.is_some(),
            self.infisical.is_some(),
        ];
        READ_KINDS.iter().zip(there).filter(|(_, there)| *there).map(|(kind, _)| *kind).collect()
    }

    /// `json_key` and `ttl_seconds`.
    fn beside(&self, reader: &mut Reader<'_>) -> (Option<Box<str>>, Option<Duration>) {
        let json_key = reader.optional(self.json_key).and_then(|key| {
            let is_key = key.value.split('.').all(|part| !part.trim().is_empty());
            if !is_key {
                let message = format!("`{}` is not the key of a text in a JSON object", key.value);
                forms::bad(message, key.span, "write `token`, or `data.token` for a key inside of another", reader);
            }
            is_key.then(|| key.value.as_str().into())
        });
        (json_key, seconds(self.ttl, "ttl_seconds", TTL, reader))
    }

    fn read(&self, reader: &mut Reader<'_>) -> Option<Source> {
        let file = reader.optional(self.file).and_then(|file| forms::file(&file, reader)).map(Source::File);
        let env = reader.optional(self.env).and_then(|env| forms::variable(&env, reader)).map(Source::Env);
        let timeout = seconds(self.timeout, "timeout_seconds", TIMEOUT, reader);
        if let (None, Some(timeout)) = (self.exec, self.timeout) {
            let message = "`timeout_seconds` is for `exec` alone".to_owned();
            forms::bad(message, &timeout.span, "remove it: stubgate bounds how long it waits for a server", reader);
        }
        let exec = reader.optional(self.exec).and_then(|exec| command(&exec, timeout, reader));
        let vault = reader.optional(self.vault).and_then(|vault| servers::vault(&vault, reader));
        let infisical = reader.optional(self.infisical).and_then(|secret| servers::infisical(&secret, reader));
        file.or(env).or(exec).or(vault).or(infisical)
    }
}

fn command(exec: &Found<'_, Command>, timeout: Option<Duration>, reader: &mut Reader<'_>) -> Option<Source> {
    let Command(words) = exec.value;
    let words: Vec<_> = words.iter().map(|word| reader.value(word)).collect::<Vec<_>>();
    let Some((program, arguments)) = words.split_first() else {
        let empty = Diagnostic::error(codes::EMPTY_LIST, "`exec` names no program");
        reader.report(empty, exec.span, "", "write the program and its arguments: `[/usr/local/bin/get-token, prod]`");
        return None;
    };
    let program = forms::program(program.as_ref()?, reader)?;
    let arguments: Option<Box<[Box<str>]>> =
        arguments.iter().map(|word| word.as_ref().map(|word| word.value.as_str().into())).collect();
    let exec = Exec { program, arguments: arguments?, timeout: timeout.unwrap_or(DEFAULT_TIMEOUT) };
    Some(Source::Exec(Box::new(exec)))
}

fn seconds(
    given: &Option<Given<Number>>,
    key: &str,
    (least, most): (u64, u64),
    reader: &mut Reader<'_>,
) -> Option<Duration> {
    let Found { value: Number(number), span } = reader.optional(given)?;
    if (least..=most).contains(number) {
        return Some(Duration::from_secs(*number));
    }
    let how = if *number < least { "short" } else { "long" };
    let bad = Diagnostic::error(codes::BAD_TIME, format!("`{key}: {number}` is too {how}"));
    reader.report(bad, span, "", &format!("write a number from {least} to {most}"));
    None
}

/// `a`, `b` and `c`.
fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => String::new(),
    }
}
