//! The request with which a person tries a credential.
//!
//! Its server is one of the credential's own hosts: a [`Check`] is made by compile, which has looked, or from the list
//! below by [`Check::known`], which looks. So whoever holds one may show it the credential (law 3).

use super::authority::{Authority, Scheme};
use super::hosts::HostRule;
use super::method::Method;

/// What a credential is tried with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub(crate) server: Authority,
    pub(crate) target: Box<str>,
    pub(crate) method: Method,
    /// Empty: every status from 200 to 299.
    pub(crate) expect: Box<[u16]>,
}

/// A service that is known by its host.
#[derive(Clone, Copy, Debug)]
pub struct KnownCheck {
    /// Its host, https on port 443.
    pub host: &'static str,
    /// What is asked there, with GET.
    pub target: &'static str,
    /// Headers that the service demands of every request.
    pub headers: &'static [(&'static str, &'static str)],
}

/// Services that answer a question which takes no right but to be known. docs/credentials.md lists them.
pub const KNOWN_CHECKS: &[KnownCheck] = &[
    KnownCheck { host: "api.github.com", target: "/rate_limit", headers: &[] },
    KnownCheck {
        host: "api.anthropic.com",
        target: "/v1/models",
        headers: &[("anthropic-version", "2023-06-01"), ("anthropic-beta", "oauth-2025-04-20")],
    },
    KnownCheck { host: "api.openai.com", target: "/v1/models", headers: &[] },
];

impl Check {
    /// The first known service that is one of these hosts.
    pub(crate) fn known(hosts: &[HostRule]) -> Option<Check> {
        KNOWN_CHECKS.iter().find_map(|known| {
            let server = Authority::parse(Scheme::Https, known.host.as_bytes()).ok()?;
            let is_bound = hosts.iter().any(|host| host.covers(&server));
            let (target, method, expect) = (known.target.into(), Method::GET, Box::default());
            is_bound.then_some(Check { server, target, method, expect })
        })
    }

    /// Where it goes, https.
    pub fn server(&self) -> &Authority {
        &self.server
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// GET, HEAD or POST, without a body.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Whether a status says that the credential works.
    pub fn is_expected(&self, status: u16) -> bool {
        if self.expect.is_empty() { (200..300).contains(&status) } else { self.expect.contains(&status) }
    }

    /// Headers that the service is known to demand, whatever is asked.
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        let host = self.server.host().to_string();
        KNOWN_CHECKS.iter().find(|known| known.host == host).map_or(&[], |known| known.headers)
    }
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (method, server, target) = (&self.method, self.server.host_header(), &self.target);
        write!(f, "{method} https://{server}{target}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::hosts::Place;
    use super::*;

    fn known(host: &str) -> Option<String> {
        let host = HostRule::parse(host, Place::Credential).ok().unwrap();
        Check::known(&[host]).map(|check| check.to_string())
    }

    #[test]
    fn a_known_service_is_asked_only_where_the_credential_is_bound_to_it() {
        assert_eq!(known("api.github.com").as_deref(), Some("GET https://api.github.com/rate_limit"));
        for host in ["api.github.com:8443", "github.com", "api.github.com.example", "*.api.github.com"] {
            assert_eq!(known(host), None, "{host}");
        }
    }

    #[test]
    fn any_success_is_expected_where_nothing_is_written_and_nothing_else_where_something_is() {
        let host = HostRule::parse("api.github.com", Place::Credential).ok().unwrap();
        let mut check = Check::known(&[host]).unwrap();
        assert!(check.is_expected(200) && check.is_expected(204) && !check.is_expected(301) && !check.is_expected(401));
        check.expect = [404].into();
        assert!(check.is_expected(404) && !check.is_expected(200));
    }
}
