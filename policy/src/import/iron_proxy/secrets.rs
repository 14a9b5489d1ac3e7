//! Its secrets: a placeholder that is replaced, or a header that is put in. Here both are a stub in a declared slot.

use std::ops::Range;

use super::super::{Kind, Notes};
use super::grants::{self, Grant, place};
use super::unknown;
use crate::model::path;
use crate::source::tree::Node;

/// One secret.
#[derive(Clone, Debug)]
pub(super) struct Secret {
    /// Name of the credential.
    pub(super) name: String,
    pub(super) stub: String,
    pub(super) slots: Vec<String>,
    pub(super) source: Source,
    pub(super) rules: Vec<Grant>,
    /// A request without it was refused.
    pub(super) required: bool,
    pub(super) span: Range<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Env(String),
    File(String),
}

/// Reads the configuration of the `secrets` transform.
pub(super) fn read(config: &Node, into: &mut Vec<Secret>, notes: &mut Notes<'_>) {
    unknown(config, &["secrets", "source"], notes);
    // The older shape says the source once, for all of them.
    let source = config.text_of("source");
    for node in config.get("secrets").map(Node::items).unwrap_or_default() {
        if let Some(secret) = secret(node, source, into, notes) {
            into.push(secret);
        }
    }
}

fn secret(node: &Node, older: Option<&str>, all: &[Secret], notes: &mut Notes<'_>) -> Option<Secret> {
    const KNOWN: &[&str] = &[
        "source",
        "rules",
        "inject",
        "replace",
        "var",
        "hosts",
        "id",
        "name",
        "proxy_value",
        "match_headers",
        "match_body",
        "match_path",
        "match_query",
        "require",
    ];
    unknown(node, KNOWN, notes);
    let name = name(node, all);
    let source = source(node, older, &name, notes);
    let written = node.get("rules").or_else(|| node.get("hosts"));
    let rules = grants::rules(written, notes);
    let written_out = |key: &str| node.get(key).filter(|form| !form.is_empty());
    let (inject, replace) = (written_out("inject"), written_out("replace"));
    let required = [Some(node), inject, replace].into_iter().flatten().any(|node| node.is_true("require"));
    if inject.is_some() && replace.is_some() {
        let why = "a secret is either put in or replaced: `inject` is translated, and `replace` is left out";
        notes.add(Kind::Missing, place(node, "replace"), why);
    }
    let form = match inject {
        Some(inject) => inject_slot(inject, &name, notes),
        None => replace_slots(replace.unwrap_or(node), &name, notes),
    };
    if required && form.is_none() {
        let why = "`require`: a request without this secret was refused; as the secret is left out, it goes on without a credential";
        notes.add(Kind::Wider, &node.span, why);
    } else if required && written.map_or(0, |rules| rules.items().len()) > rules.len() {
        let why = "`require`: a request without this secret was refused; where a rule of it is left out, it goes on without a credential";
        notes.add(Kind::Wider, &node.span, why);
    }
    let (stub, slots) = form?;
    Some(Secret { name, stub, slots, source, rules, required, span: node.span.clone() })
}

/// A header that is put in whatever the client sends: here the client sends a stub in the same place.
fn inject_slot(inject: &Node, name: &str, notes: &mut Notes<'_>) -> Option<(String, Vec<String>)> {
    unknown(inject, &["header", "query_param", "formatter", "require"], notes);
    let at = place(inject, "formatter");
    let Some(header) = inject.text_of("header") else {
        let why = "a secret that is put into the query has no equivalent: it would stand in the logs of the origin";
        notes.add(Kind::Missing, place(inject, "query_param"), why);
        return None;
    };
    let format = inject.text_of("formatter").unwrap_or("{{.Value}}");
    let squeezed: String = format.chars().filter(|char| !char.is_whitespace()).collect();
    let is_authorization = header.eq_ignore_ascii_case("authorization");
    let slot = match squeezed.as_str() {
        "Bearer{{.Value}}" | "bearer{{.Value}}" | "token{{.Value}}" if is_authorization => "bearer".to_owned(),
        "{{.Value}}" if is_authorization => "bare".to_owned(),
        text if is_authorization && text.starts_with("Basic{{base64") && text.ends_with(".Value}}") => {
            "basic".to_owned()
        }
        "{{.Value}}" => header_slot(header, place(inject, "header"), notes)?,
        _ => {
            notes.add(
                Kind::Missing,
                at,
                format!("the form `{format}` of header {header} has no equivalent: a slot holds the credential alone"),
            );
            return None;
        }
    };
    let stub = format!("proxy-token-{name}");
    let sent = match slot.as_str() {
        "basic" => format!("`{stub}` as the password of Basic, with the user of `{format}`"),
        slot => format!("`{stub}` as {slot}"),
    };
    let text = format!("{header} was put in by the proxy; here the agent must send {sent}");
    notes.add(Kind::Changed, place(inject, "header"), text);
    Some((stub, vec![slot]))
}

fn replace_slots(replace: &Node, name: &str, notes: &mut Notes<'_>) -> Option<(String, Vec<String>)> {
    const KNOWN: &[&str] = &["proxy_value", "match_headers", "match_body", "match_path", "match_query", "require"];
    if replace.get("source").is_none() && replace.get("var").is_none() {
        unknown(replace, KNOWN, notes);
    }
    let Some(value) = replace.text_of("proxy_value").filter(|value| !value.is_empty()) else {
        notes.add(Kind::Missing, &replace.span, "a secret without `proxy_value` is left out");
        return None;
    };
    for (key, why) in [
        ("match_body", "no credential is ever put into a body; a stub there passes as it is, and is counted"),
        ("match_path", "a stub in a path is refused: paths stand in logs"),
        ("match_query", "a stub in a query is refused: queries stand in logs"),
    ] {
        if replace.is_true(key) {
            notes.add(Kind::Missing, place(replace, key), format!("`{key}`: {why}"));
        }
    }
    let slots = slots(replace, notes);
    if slots.is_empty() {
        let text = format!("`{name}` is left out: no place is left that its stub may stand in");
        notes.add(Kind::Missing, place(replace, "proxy_value"), text);
        return None;
    }
    let good = (8..=512).contains(&value.len()) && value.bytes().all(path::is_unreserved);
    let stub = if good {
        value.to_owned()
    } else {
        let stub = format!("proxy-token-{name}");
        let text =
            format!("a stub has 8 to 512 letters, digits, `-`, `.`, `_` and `~`: give the agents `{stub}` instead");
        notes.add(Kind::Changed, place(replace, "proxy_value"), text);
        stub
    };
    Some((stub, slots))
}

/// Whole tokens in declared places, where the original searches and replaces in the headers that it is told.
fn slots(replace: &Node, notes: &mut Notes<'_>) -> Vec<String> {
    let mut slots: Vec<String> = Vec::new();
    let headers = replace.get("match_headers").filter(|headers| !headers.is_empty());
    let only_elsewhere =
        replace.is_true("match_path") || replace.is_true("match_query") || replace.is_true("match_body");
    let Some(headers) = headers else {
        if !only_elsewhere {
            let text = "every header was searched; here the stub may stand in Authorization and x-api-key: add `header:NAME` to `slots` for others";
            notes.add(Kind::Narrower, place(replace, "match_headers"), text);
            slots.extend(["bearer", "basic", "header:x-api-key"].map(str::to_owned));
        }
        return slots;
    };
    for item in headers.items() {
        let header = item.text().unwrap_or_default();
        if header.len() > 1 && header.starts_with('/') && header.ends_with('/') {
            notes.add(Kind::Missing, &item.span, format!("`{header}`: slots name headers: write them one by one"));
        } else if header.eq_ignore_ascii_case("authorization") {
            slots.extend(["bearer", "basic", "bare"].map(str::to_owned));
        } else {
            slots.extend(header_slot(header, &item.span, notes));
        }
    }
    slots.dedup();
    slots
}

fn header_slot(header: &str, at: &Range<usize>, notes: &mut Notes<'_>) -> Option<String> {
    let slot = format!("header:{}", header.to_ascii_lowercase());
    if crate::compile::is_slot(&slot) {
        return Some(slot);
    }
    notes.add(Kind::Missing, at, format!("the header `{header}` can't hold a stub"));
    None
}

/// Where the secret is read from; a file that is to be made where that has no equivalent.
fn source(node: &Node, older: Option<&str>, name: &str, notes: &mut Notes<'_>) -> Source {
    let from = node.get("source").filter(|source| source.text().is_none());
    let kind = from.and_then(|from| from.text_of("type")).or(older).unwrap_or_default();
    let of = |key: &str| from.and_then(|from| from.text_of(key)).or_else(|| node.text_of(key));
    let at = node.get("source").map_or(&node.span, |source| &source.span);
    let file = Source::File(format!("/run/secrets/{name}"));
    if let Some(from) = from
        && from.get("json_key").is_some()
    {
        let text =
            format!("`json_key`: a source holds the credential alone: put that one field into /run/secrets/{name}");
        notes.add(Kind::Changed, place(from, "json_key"), text);
        return file;
    }
    match (kind, of("var"), of("path")) {
        ("env", Some(var), _) if is_variable(var) => Source::Env(var.to_owned()),
        ("file", _, Some(path))
            if path.starts_with('/') && !path.ends_with('/') && !path.contains(char::is_control) =>
        {
            Source::File(path.to_owned())
        }
        (kind, _, _) => {
            let kind = if kind.is_empty() { "without a type".to_owned() } else { format!("of type `{kind}`") };
            let text = format!("a source {kind} has no equivalent as it is: put the secret into /run/secrets/{name}");
            notes.add(Kind::Changed, at, text);
            file
        }
    }
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// `OPENAI_API_KEY` → `openai-api-key`, unique.
fn name(node: &Node, all: &[Secret]) -> String {
    let from = |key| node.get("source").and_then(|source| source.text_of(key)).or_else(|| node.text_of(key));
    let given = ["var", "id", "secret_ref", "secret_id", "path", "credential_id", "placeholder", "name"]
        .into_iter()
        .find_map(from);
    let mut parts: Vec<&str> = given.unwrap_or("secret").split(['/', ':']).filter(|part| !part.is_empty()).collect();
    let last = parts.pop().unwrap_or("secret");
    let vague = ["credential", "credentials", "password", "token", "key", "secret", "value"];
    let base = match parts.pop().filter(|_| vague.contains(&last)) {
        Some(before) => format!("{before}-{last}"),
        None => last.to_owned(),
    };
    let base: String =
        base.chars().map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' }).collect();
    let base: String = base.trim_matches('-').chars().take(40).collect();
    let base = if base.is_empty() { "secret".to_owned() } else { base };
    let mut name = base.clone();
    let mut number = 2_u32;
    while all.iter().any(|secret| secret.name == name) {
        name = format!("{base}-{number}");
        number += 1;
    }
    name
}
