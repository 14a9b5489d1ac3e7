//! Hosts of rules, credentials and `dns:` entries, and what to say about those that are none.

use super::reader::{Item, Reader};
use crate::decide::own;
use crate::diagnostic::{Diagnostic, codes};
use crate::model::hosts::{HostPattern, HostRule, HostRuleError, Place};
use crate::model::paths::PathPattern;
use crate::model::{NameError, PathError};

/// Most hosts in one list.
const MAX_HOSTS: usize = 4096;

/// The hosts of a list, and whether all of it could be read.
pub(super) fn read(items: &[Item<'_>], place: Place, reader: &mut Reader<'_>) -> (Vec<HostRule>, bool) {
    let mut hosts: Vec<HostRule> = Vec::new();
    for item in items {
        match HostRule::parse(item.value, place) {
            Ok(host) if is_own(&host) => {
                let ours = Diagnostic::error(codes::RESERVED_HOST, format!("`{}` is stubgate's own", item.value));
                reader.report(ours, item.span, "", "every agent reaches it without a rule; remove it");
            }
            // In the same spelling it has been said.
            Ok(host) if hosts.contains(&host) && is_repeated(items, item) => {}
            Ok(host) if hosts.contains(&host) => {
                let again = Diagnostic::error(
                    codes::REPEATED,
                    format!("`{}` is in this list already, as `{host}`", item.value),
                );
                reader.report(again, item.span, "", "keep one");
            }
            Ok(host) => hosts.push(host),
            Err(error) => {
                let (code, message, help) = explain(item.value, place, &error);
                reader.report(Diagnostic::error(code, message), item.span, "", &help);
            }
        }
    }
    if let Some(any) = items.iter().find(|item| item.value == "any" && items.len() > 1 && place == Place::Deny) {
        let more = Diagnostic::error(codes::BAD_ANY, "`any` is every host, and others stand beside it");
        reader.report(more, any.span, "", "keep `any` alone, or name the hosts");
    }
    if let Some(over) = items.get(MAX_HOSTS) {
        let many = Diagnostic::error(codes::TOO_MANY, format!("more than {MAX_HOSTS} hosts in one list"));
        reader.report(many, over.span, "", "split the rule");
    }
    let whole = hosts.len() == items.len();
    (hosts, whole)
}

fn is_repeated(items: &[Item<'_>], item: &Item<'_>) -> bool {
    items.iter().take_while(|other| other.span != item.span).any(|other| other.value == item.value)
}

fn is_own(host: &HostRule) -> bool {
    matches!(&host.pattern, HostPattern::Exact(name) if own::is_own_name(name))
}

fn explain(text: &str, place: Place, error: &HostRuleError) -> (&'static str, String, String) {
    use HostRuleError as E;
    let said = |code, message: String, help: String| (code, message, help);
    let bare = text.rsplit_once("://").map_or(text, |(_, rest)| rest);
    match error {
        E::Any => said(codes::BAD_ANY, "`any` may stand in deny rules only".into(), "name the hosts".into()),
        E::Scheme => {
            let help = match (text.starts_with("https://"), without_path(bare, place)) {
                (true, Some(instead)) => format!("https is what a host means: {instead}"),
                (false, _) if matches!(place, Place::Credential | Place::Dns) => "write the name alone".into(),
                _ => "write a host, or `http://host` for plain HTTP".into(),
            };
            said(codes::BAD_SCHEME, format!("`{text}` has a scheme that may not stand here"), help)
        }
        E::Plain if place == Place::Credential => said(
            codes::PLAIN_CREDENTIAL,
            "a credential never goes out over plain HTTP".into(),
            without_path(bare, place).unwrap_or_else(|| "write the host alone".into()),
        ),
        E::Plain => said(codes::BAD_SCHEME, "only names may stand here".into(), format!("write `{bare}`")),
        E::Path => {
            let help = without_path(text, place).unwrap_or_else(|| "write the host alone".into());
            said(codes::BAD_HOST, format!("`{text}` holds a path"), help)
        }
        E::Userinfo => said(codes::BAD_HOST, format!("`{text}` holds a user"), "write the host alone".into()),
        E::Port if text.contains('[') && !text.contains(']') => {
            said(codes::BAD_HOST, format!("the bracket of `{text}` is not closed"), "write `[2001:db8::1]`".into())
        }
        E::Port => said(
            codes::BAD_PORT,
            format!("the port of `{text}` is not a number from 1 to 65535"),
            "write `host:8443`, without leading zeros".into(),
        ),
        E::PortHere => said(codes::BAD_PORT, "a port may not stand here".into(), "write the name alone".into()),
        E::Wildcard => said(codes::BAD_WILDCARD, wildcard(text), whole_labels(bare, place)),
        E::PublicSuffix(base) => said(
            codes::PUBLIC_SUFFIX,
            format!("anybody can have a name under `{base}`"),
            format!("put a name that is yours before it: `*.yours.{base}`"),
        ),
        E::Address => said(
            codes::BAD_HOST,
            format!("`{text}` is an address, and only names are asked for"),
            "write a name".into(),
        ),
        E::Ipv6(ip) => {
            said(codes::BAD_HOST, format!("`{text}` is not how this address is written"), format!("write `[{ip}]`"))
        }
        E::Name(error) => said(codes::BAD_HOST, format!("`{text}` is not a host: {error}"), name_help(*error).into()),
    }
}

fn wildcard(text: &str) -> String {
    if text == "*" || text == "**" {
        return format!("`{text}` would be every host");
    }
    let tail = text.trim_start_matches('*');
    if tail.contains('*') || !text.starts_with('*') || tail.starts_with('.') {
        return format!("a wildcard in `{text}` is not whole labels in front");
    }
    format!("`{text}` would also match `evil{tail}`")
}

/// The nearest thing that may be written; never one that is refused next.
fn whole_labels(text: &str, place: Place) -> String {
    let after = text.rsplit('*').next().unwrap_or(text).trim_start_matches(['.', '-']);
    let instead = format!("*.{after}");
    if HostRule::parse(&instead, place).is_ok() {
        return format!("write `{instead}`");
    }
    "name each host, or write a wildcard before a name that is yours: `*.example.com`".into()
}

/// Where host and path belong that were written as one; `None` if the host is none either.
fn without_path(text: &str, place: Place) -> Option<String> {
    let (scheme, bare) = text.split_at(text.find("://").map_or(0, |at| at + 3));
    let end = bare.find(['/', '?', '#']).unwrap_or(bare.len());
    let host = format!("{scheme}{}", bare.get(..end)?);
    HostRule::parse(&host, place).ok()?;
    let path = bare.get(end..)?.split(['?', '#']).next()?;
    let has_paths = matches!(place, Place::Grant | Place::Deny);
    if path.len() > 1 && has_paths && PathPattern::parse(path).is_ok() {
        return Some(format!("write `{host}` here, and `paths: [{path}]` in the rule"));
    }
    Some(format!("write `{host}`"))
}

fn name_help(error: NameError) -> &'static str {
    match error {
        NameError::Numeric => "write an address as four numbers: 10.0.0.5",
        NameError::BadIpv6 => "write an IPv6 address in brackets, and an IPv4 address as four numbers",
        NameError::NotIdna => "write the name in its xn-- form",
        NameError::Empty
        | NameError::TooLong
        | NameError::EmptyLabel
        | NameError::Hyphen
        | NameError::BadByte
        | NameError::NotAscii => "write a name, `*.name`, `**.name` or an address, and `:port` if it is not 443",
    }
}

/// Why a path pattern is none.
pub(super) fn path_help(error: PathError) -> &'static str {
    match error {
        PathError::NotAbsolute => "begin it with `/`",
        PathError::Query | PathError::Fragment => "leave off what follows the path: the query is not matched",
        PathError::BadPercent => "write `%25` for a percent sign",
        PathError::IllegalByte => {
            "patterns have `*` and `**` only: write each alternative out, or encode the character, as `%7B` for `{`"
        }
        PathError::Space | PathError::NotAscii | PathError::ControlByte => "encode it: `%20` for a space",
        PathError::DotSegment
        | PathError::EmptySegment
        | PathError::Backslash
        | PathError::Semicolon
        | PathError::EncodedControl
        | PathError::DoubleEncoding
        | PathError::NotUtf8 => {
            "write it in plain form: no request of this form is ever allowed where rules have paths"
        }
    }
}
