//! `check:` of a credential: a request that could be sent, to a host that the credential may go to.

use super::reader::{Found, Reader};
use super::secret_sources;
use crate::diagnostic::{Diagnostic, codes};
use crate::model::check::Check;
use crate::model::{HostRule, Method};
use crate::raw::{self, CHECK_METHODS, CHECK_STATUS, Number};

/// `hosts` are the credential's; none where they could not be read.
pub(super) fn read(
    found: &Found<'_, raw::Check>,
    hosts: Option<&[HostRule]>,
    reader: &mut Reader<'_>,
) -> Option<Check> {
    let (raw, span) = (found.value, found.span);
    reader.unknown(&raw.unknown, raw::Check::KEYS);
    let bad = |message: String| Diagnostic::error(codes::BAD_CHECK, message);
    let url = reader.required(&raw.url, "url", span);
    let place = url.as_ref().and_then(|url| secret_sources::check_url(url, reader));
    if let (Some(url), Some((server, _)), Some(hosts)) = (&url, &place, hosts)
        && !hosts.iter().any(|host| host.covers(server))
    {
        let message = format!("the check would send the credential to `{server}`, which is not one of its `hosts`");
        let help = "ask something of one of its hosts, or bind it to this one too, if it may go there";
        reader.report(bad(message), url.span, "", help);
    }
    let method = match reader.optional(&raw.method) {
        None => Some(Method::GET),
        Some(item) if CHECK_METHODS.contains(&item.value.as_str()) => Method::parse(item.value.as_bytes()).ok(),
        Some(item) => {
            let other = Diagnostic::error(codes::BAD_CHOICE, format!("a check can't be made with `{}`", item.value));
            reader.report(other, item.span, "", &CHECK_METHODS.join(", "));
            None
        }
    };
    let mut expect = Vec::new();
    if let Some(list) = reader.optional(&raw.expect) {
        if list.value.is_empty() {
            let empty = Diagnostic::error(codes::EMPTY_LIST, "the list is empty");
            reader.report(
                empty,
                list.span,
                "",
                "write a status, or remove the key: every status from 200 to 299 is good then",
            );
        }
        for found in list.value.iter().filter_map(|given| reader.value(given)).collect::<Vec<_>>() {
            let Number(number) = *found.value;
            match u16::try_from(number).ok().filter(|status| (CHECK_STATUS.0..=CHECK_STATUS.1).contains(status)) {
                Some(status) => expect.push(status),
                None => reader.report(
                    bad(format!("`{number}` is no status of an answer")),
                    found.span,
                    "",
                    "write one from 200 to 599",
                ),
            }
        }
    }
    let (server, target) = place?;
    Some(Check { server, target, method: method?, expect: expect.into() })
}
