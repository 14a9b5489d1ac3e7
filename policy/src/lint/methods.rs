//! Methods that nobody knows, and that are a slip of one that everybody knows: `POTS` never matches anything.

use super::Lint;
use super::written::List;
use crate::diagnostic::{codes, nearest};
use crate::model::{Method, Rule};

pub(super) fn check(lint: &mut Lint<'_>) {
    for rule in lint.policy.rules().iter().filter(|rule| has_unknown(rule)) {
        for (method, place) in lint.written.list(rule.name(), List::Methods) {
            let known = Method::KNOWN.iter().map(Method::as_str);
            let is_known = known.clone().any(|known| known == method) || REGISTERED.contains(&method);
            let Some(meant) = nearest(method, known).filter(|_| !is_known && method != "any") else { continue };
            let message = format!("nobody knows the method `{method}`");
            let help = format!("did you mean `{meant}`?");
            lint.report(codes::MISTYPED_METHOD, message, vec![(place, String::new())], help);
        }
    }
}

fn has_unknown(rule: &Rule) -> bool {
    let known = |name: &str| Method::KNOWN.iter().any(|known| known.as_str() == name);
    rule.methods.names().is_some_and(|names| names.iter().any(|name| !known(name)))
}

/// The registry of RFC 9110 §16.1.1 beyond the methods that have a name in this crate, and QUERY.
const REGISTERED: &[&str] = &[
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "ORDERPATCH",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];
