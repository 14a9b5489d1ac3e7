//! Trying a credential once, for a person: the request of its check, with the value in it.
//!
//! Beside [`CredentialStore::header_value`](crate::CredentialStore::header_value) the one place where a value is put into a
//! header. No agent is behind it and no stub is swapped; what holds is the rest of law 3: it stands in a slot that the
//! credential declares, and the request is for a host that it is bound to, since nothing but policy makes a
//! [`Check`](stubgate_policy::Check).

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Request, Uri};
use stubgate_policy::{Credential, Slot};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::slots::encode_basic;
use crate::swap::sensitive;

/// Whom a value in the slot `basic` is said to be of, where servers look at the password alone.
const USER: &[u8] = b"x-access-token";

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoTrial {
    /// Policy names no check, and no service is known among its hosts.
    #[error(
        "has no check, and none is known for its hosts: write `check: {{ url: \"https://…\" }}` under it in policy"
    )]
    NoCheck,
    /// It stands in the query alone, which is not swapped.
    #[error("has no slot in a header")]
    NoSlot,
    /// What policy made can't be sent.
    #[error("has a check that can't be sent")]
    Unfit,
}

/// The request with which a credential is tried. It must go where its address says, over TLS that is verified, and nowhere
/// else.
///
/// # Errors
/// Where the credential can't be tried.
pub fn trial(credential: &Credential, secret: &Secret) -> Result<Request<Zeroizing<Vec<u8>>>, NoTrial> {
    let check = credential.check().ok_or(NoTrial::NoCheck)?;
    let slot = credential.slots().iter().find(|slot| !matches!(slot, Slot::Query(_))).ok_or(NoTrial::NoSlot)?;
    let (name, value) = header(slot, secret).ok_or(NoTrial::Unfit)?;
    let uri = format!("https://{}{}", check.server().host_header(), check.target());
    let uri = Uri::try_from(uri).map_err(|_| NoTrial::Unfit)?;
    let mut request = Request::builder().method(check.method().as_str()).uri(uri).header(name, value);
    for (name, value) in check.headers() {
        request = request.header(*name, *value);
    }
    request.body(Zeroizing::default()).map_err(|_| NoTrial::Unfit)
}

/// The header of a slot, with the value in it.
fn header(slot: &Slot, secret: &Secret) -> Option<(HeaderName, HeaderValue)> {
    let in_authorization = |bytes: &[u8]| Some((AUTHORIZATION, sensitive(bytes).ok()?));
    match slot {
        Slot::Bearer => {
            let mut value = Zeroizing::new(Vec::with_capacity("Bearer ".len() + secret.reveal().len()));
            value.extend_from_slice(b"Bearer ");
            value.extend_from_slice(secret.reveal());
            in_authorization(&value)
        }
        Slot::Basic => in_authorization(&encode_basic(USER, secret.reveal())),
        Slot::Bare => in_authorization(secret.reveal()),
        Slot::Header(name) => Some((HeaderName::try_from(&**name).ok()?, sensitive(secret.reveal()).ok()?)),
        Slot::Query(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use stubgate_policy::{SourceFile, compile};

    use super::*;

    /// The request, as it would be written.
    fn tried(host: &str, slots: &str, more: &str) -> Result<String, NoTrial> {
        let text = format!(
            "version: 1\nagents: {{ a: {{ sources: [\"192.0.2.1/32\"] }} }}\ncredentials:\n  \
             x: {{ stub: proxy-token-x, slots: [{slots}], hosts: [{host}], source: {{ env: X }}{more} }}\n"
        );
        let file = SourceFile { name: "p.yaml".into(), text };
        let policy = compile(&[file]).unwrap_or_else(|found| panic!("{found:?}")).policy;
        let secret = Secret::new(Zeroizing::new(b"real-value-0123".to_vec())).ok().unwrap();
        let request = trial(&policy.credentials()[0], &secret)?;
        assert!(!format!("{request:?}").contains("real-value"), "it is marked as sensitive");
        let headers = request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let lines: Vec<String> =
            [format!("{} {}", request.method(), request.uri())].into_iter().chain(headers).collect();
        Ok(lines.join("\n"))
    }

    #[test]
    fn a_value_stands_in_the_first_slot_that_is_a_header() {
        let check = ", check: { url: \"https://api.example.test/me?x=1\", method: HEAD }";
        let expected = |header: &str| Ok(format!("HEAD https://api.example.test/me?x=1\n{header}"));
        for (slots, header) in [
            ("bearer, basic", "authorization: Bearer real-value-0123"),
            ("basic", "authorization: Basic eC1hY2Nlc3MtdG9rZW46cmVhbC12YWx1ZS0wMTIz"),
            ("bare", "authorization: real-value-0123"),
            ("\"header:X-Key\"", "x-key: real-value-0123"),
            ("\"query:key\", \"header:x-key\"", "x-key: real-value-0123"),
        ] {
            assert_eq!(tried("api.example.test", slots, check), expected(header), "{slots}");
        }
        assert_eq!(tried("api.example.test", "\"query:key\"", check), Err(NoTrial::NoSlot));
        assert_eq!(tried("api.example.test", "bearer", ""), Err(NoTrial::NoCheck));
    }

    #[test]
    fn a_known_service_is_asked_with_what_it_demands_also_by_a_check_of_ones_own() {
        let headers = "anthropic-version: 2023-06-01\nanthropic-beta: oauth-2025-04-20";
        for (more, url) in [
            ("", "GET https://api.anthropic.com/v1/models"),
            (", check: { url: \"https://api.anthropic.com/x\" }", "GET https://api.anthropic.com/x"),
        ] {
            let expected = format!("{url}\nx-api-key: real-value-0123\n{headers}");
            assert_eq!(tried("api.anthropic.com", "\"header:x-api-key\"", more), Ok(expected));
        }
    }
}
