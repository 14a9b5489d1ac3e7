//! The forms of what stands in a source: files, variables, addresses of servers, paths below a mount.

use std::path::Path as FilePath;

use crate::compile::reader::{Item, Reader};
use crate::diagnostic::{Diagnostic, codes};
use crate::model::secret_source::Endpoint;
use crate::model::{Authority, Path, Scheme};
use crate::raw::Span;

/// Reports a source that nothing could be read from.
pub(super) fn bad(message: String, span: &Span, help: &str, reader: &mut Reader<'_>) {
    reader.report(Diagnostic::error(codes::BAD_SECRET_SOURCE, message), span, "", help);
}

/// The absolute path of a file.
pub(super) fn file(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Box<FilePath>> {
    let path = FilePath::new(item.value);
    if !path.is_absolute() || item.value.ends_with('/') {
        let help = if path.is_absolute() { "name the file in it" } else { "begin it with `/`" };
        bad(format!("`{}` is not the absolute path of a file", item.value), item.span, help, reader);
        return None;
    }
    Some(path.into())
}

/// The absolute path of a program.
pub(super) fn program(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Box<FilePath>> {
    let path = FilePath::new(item.value);
    if !path.is_absolute() || item.value.ends_with('/') {
        let help = if path.is_absolute() {
            "name the program in it"
        } else if item.value.contains(char::is_whitespace) {
            "write each argument by itself: `[/usr/local/bin/get-token, prod]`; no shell takes a line apart"
        } else {
            "begin it with `/`: no search path is used, and no shell"
        };
        bad(format!("`{}` is not the absolute path of a program", item.value), item.span, help, reader);
        return None;
    }
    Some(path.into())
}

/// The name of a variable of the environment.
pub(super) fn variable(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let good = item.value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && item.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !good {
        bad(format!("`{}` can't be the name of a variable", item.value), item.span, "letters, digits and `_`", reader);
    }
    good.then(|| item.value.as_str().into())
}

/// A text in which something stands.
pub(super) fn some(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let good = !item.value.trim().is_empty();
    if !good {
        bad("nothing stands here".to_owned(), item.span, "write what is meant", reader);
    }
    good.then(|| item.value.as_str().into())
}

/// What stands below something in the path of a URL: `team/agents`.
pub(super) fn below(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    let text = item.value.as_str();
    let good = text.split('/').all(|part| !matches!(part, "" | "." | ".."))
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\\;".contains(&byte));
    if !good {
        let help = "write `team/agents`: no `/` at either end, no `..`, nothing but ASCII, and nothing encoded";
        bad(format!("`{text}` is not a path below something"), item.span, help, reader);
    }
    good.then(|| text.into())
}

/// What may stand behind the host of a URL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing, but for one slash.
    Nothing,
    /// A path.
    Path,
    /// A path and a query.
    Query,
}

/// The server of an https address, and what stands behind it: nothing, or a path without a slash at the end.
pub(super) fn address(item: &Item<'_>, tail: Tail, reader: &mut Reader<'_>) -> Option<(Authority, Box<str>)> {
    let (server, rest) = https(item, tail, codes::BAD_ADDRESS, reader)?;
    Some((server, rest.trim_end_matches('/').into()))
}

/// A place of an https server.
pub(super) fn endpoint(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Endpoint> {
    let (server, path) = https(item, Tail::Path, codes::BAD_ADDRESS, reader)?;
    Some(Endpoint { server, path: if path.is_empty() { "/".into() } else { path } })
}

/// An https address, as it stands there.
pub(super) fn url(item: &Item<'_>, reader: &mut Reader<'_>) -> Option<Box<str>> {
    https(item, Tail::Query, codes::BAD_ADDRESS, reader).map(|_| item.value.as_str().into())
}

/// The server of an https address, and what is asked of it: a path that begins with a slash, and maybe a query.
pub(super) fn place(item: &Item<'_>, code: &'static str, reader: &mut Reader<'_>) -> Option<(Authority, Box<str>)> {
    let (server, rest) = https(item, Tail::Query, code, reader)?;
    Some((server, if rest.starts_with('/') { rest } else { format!("/{rest}").into() }))
}

fn https(item: &Item<'_>, tail: Tail, code: &'static str, reader: &mut Reader<'_>) -> Option<(Authority, Box<str>)> {
    let text = item.value.as_str();
    let mut refuse = |message: String, help: &str| {
        reader.report(Diagnostic::error(code, message), item.span, "", help);
        None
    };
    let Some(rest) = text.strip_prefix("https://") else {
        return match text.strip_prefix("http://") {
            Some(rest) => refuse(
                format!("`{text}` is plain HTTP, which anybody on the way can read"),
                &format!("write `https://{rest}`"),
            ),
            None => refuse(format!("`{text}` is not the https address of a server"), "begin it with `https://`"),
        };
    };
    let (host, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let server = match Authority::parse(Scheme::Https, host.as_bytes()) {
        Ok(server) => server,
        Err(error) => {
            return refuse(format!("`{text}` names no server: {error}"), "write `https://HOST` or `https://HOST:PORT`");
        }
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    if rest.contains('#') || (query.is_some() && tail != Tail::Query) {
        return refuse(format!("`{text}` holds more than a server and a path"), "end it before the `?` or `#`");
    }
    if query.is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic())) {
        return refuse(format!("`{text}` is not an address"), "encode what is not ASCII in its query");
    }
    if tail == Tail::Nothing && !matches!(path, "" | "/") {
        return refuse(format!("`{text}` holds more than a server"), &format!("write `https://{host}`"));
    }
    if !path.is_empty() {
        // An agent's request for it must be found to be for it.
        match Path::parse(path.as_bytes()) {
            Ok(canonical) if canonical.as_str() == path => {}
            Ok(canonical) => {
                return refuse(
                    format!("the path of `{text}` has another spelling"),
                    &format!("write `https://{host}{}`", canonical.as_str()),
                );
            }
            Err(error) => {
                return refuse(format!("`{text}` is not an address: {error}"), "write the path as servers read it");
            }
        }
    }
    Some((server, rest.into()))
}
