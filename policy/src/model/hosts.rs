//! Hosts as policy writes them: names, `*.x`, `**.x`, address literals, `any`; with or without scheme and port.
//!
//! A wildcard stands for whole labels in front, never for the apex and never for part of a label. What is not written
//! is filled in by effect, always to the careful side: an allow rule means https on 443, a deny rule means every
//! scheme and port that it does not name (`host:8443` both schemes, `http://host` every port).

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;

use super::authority::{Authority, Bracketed, Scheme, parse_port, split};
use super::name::{Host, Name, NameError};

/// A host of a rule or credential, with the schemes and ports that it covers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostRule {
    pub(crate) pattern: HostPattern,
    pub(crate) ends: Ends,
}

impl HostRule {
    /// The one authority that it covers, where it is written without a wildcard.
    pub fn authority(&self) -> Option<Authority> {
        let host = match &self.pattern {
            HostPattern::Exact(name) => Host::Name(name.clone()),
            HostPattern::Ip(ip) => Host::Ip(*ip),
            HostPattern::Any | HostPattern::One(_) | HostPattern::Deep(_) => return None,
        };
        Some(Authority::new(self.ends.scheme?, host, self.ends.port?))
    }
}

/// Schemes and ports; `None` is all of them, which only deny rules have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ends {
    pub(crate) scheme: Option<Scheme>,
    pub(crate) port: Option<NonZeroU16>,
}

/// Which hosts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum HostPattern {
    /// All; only in deny rules.
    Any,
    /// This name.
    Exact(Name),
    /// Exactly one label more than this name.
    One(Name),
    /// One or more labels more.
    Deep(Name),
    /// This address, reached as a literal.
    Ip(IpAddr),
}

/// Where a host is written, which decides what it may be and what is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An allow or observe rule.
    Grant,
    /// A deny rule.
    Deny,
    /// A credential's `hosts`: https only.
    Credential,
    /// `names` of a `dns:` entry: names and wildcards only.
    Dns,
}

/// Why a text is no [`HostRule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostRuleError {
    /// `any`, outside a deny rule.
    Any,
    /// `https://`, or a scheme that is not HTTP.
    Scheme,
    /// `http://` where it may not stand.
    Plain,
    /// A path behind the host.
    Path,
    /// `user@`.
    Userinfo,
    /// Not 1 to 65535.
    Port,
    /// A port where none may stand.
    PortHere,
    /// `*` elsewhere than as whole labels in front.
    Wildcard,
    /// A wildcard right under this public suffix.
    PublicSuffix(Name),
    /// An address where only names may stand.
    Address,
    /// IPv6 without brackets, or not in its canonical spelling, which is this.
    Ipv6(Ipv6Addr),
    /// Not a name.
    Name(NameError),
}

impl HostRule {
    /// Reads a host of a policy file.
    pub(crate) fn parse(text: &str, place: Place) -> Result<HostRule, HostRuleError> {
        if text == "any" {
            let ends = Ends { scheme: None, port: None };
            let any = HostRule { pattern: HostPattern::Any, ends };
            return if place == Place::Deny { Ok(any) } else { Err(HostRuleError::Any) };
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(_) => return Err(HostRuleError::Scheme),
            None => (None, text),
        };
        if scheme.is_some() && matches!(place, Place::Credential | Place::Dns) {
            return Err(HostRuleError::Plain);
        }
        if rest.contains(['/', '?', '#']) {
            return Err(HostRuleError::Path);
        }
        if rest.contains('@') {
            return Err(HostRuleError::Userinfo);
        }
        if let Ok(ip) = rest.parse::<Ipv6Addr>() {
            return Err(HostRuleError::Ipv6(ip));
        }
        let (host, port) = split(rest.as_bytes());
        let host = std::str::from_utf8(host).map_err(|_| HostRuleError::Name(NameError::BadByte))?;
        let port = port.map(|port| parse_port(port).ok_or(HostRuleError::Port)).transpose()?;
        let pattern = HostPattern::parse(host)?;
        if place == Place::Dns {
            return HostRule::dns(pattern, port);
        }
        let ends = match place {
            Place::Deny => Ends { scheme, port },
            Place::Grant | Place::Credential | Place::Dns => Ends::written(scheme.unwrap_or(Scheme::Https), port),
        };
        Ok(HostRule { pattern, ends })
    }

    fn dns(pattern: HostPattern, port: Option<NonZeroU16>) -> Result<HostRule, HostRuleError> {
        if port.is_some() {
            return Err(HostRuleError::PortHere);
        }
        match pattern {
            HostPattern::Ip(_) | HostPattern::Any => Err(HostRuleError::Address),
            pattern => Ok(HostRule { pattern, ends: Ends { scheme: None, port: None } }),
        }
    }

    /// Whether a request to this authority falls under it.
    pub(crate) fn covers(&self, authority: &Authority) -> bool {
        self.ends.cover(authority) && self.pattern.covers(authority.host())
    }

    /// Whether all that falls under `other` falls under this too.
    pub(crate) fn covers_all(&self, other: &HostRule) -> bool {
        self.ends.cover_all(other.ends) && self.pattern.covers_all(&other.pattern)
    }

    /// Whether some authority falls under both.
    pub(crate) fn meets(&self, other: &HostRule) -> bool {
        self.ends.meet(other.ends) && self.pattern.meets(&other.pattern)
    }
}

impl Ends {
    fn written(scheme: Scheme, port: Option<NonZeroU16>) -> Ends {
        Ends { scheme: Some(scheme), port: Some(port.unwrap_or(scheme.default_port())) }
    }

    pub(crate) fn cover(self, authority: &Authority) -> bool {
        self.scheme.is_none_or(|scheme| scheme == authority.scheme())
            && self.port.is_none_or(|port| port.get() == authority.port())
    }

    /// Whether all that falls under `other` falls under this too.
    pub(crate) fn cover_all(self, other: Ends) -> bool {
        (self.scheme.is_none() || self.scheme == other.scheme) && (self.port.is_none() || self.port == other.port)
    }

    /// Whether something falls under both.
    pub(crate) fn meet(self, other: Ends) -> bool {
        fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
            a.is_none() || b.is_none() || a == b
        }
        same(self.scheme, other.scheme) && same(self.port, other.port)
    }
}

impl HostPattern {
    fn parse(host: &str) -> Result<HostPattern, HostRuleError> {
        if let Some(base) = host.strip_prefix("**.") {
            return wildcard_base(base).map(HostPattern::Deep);
        }
        if let Some(base) = host.strip_prefix("*.") {
            return wildcard_base(base).map(HostPattern::One);
        }
        if host.contains('*') {
            return Err(HostRuleError::Wildcard);
        }
        if !host.is_ascii() {
            return Name::parse_policy(host).map(HostPattern::Exact).map_err(HostRuleError::Name);
        }
        match Host::parse(host.as_bytes()).map_err(HostRuleError::Name)? {
            Host::Name(name) => Ok(HostPattern::Exact(name)),
            Host::Ip(IpAddr::V6(ip)) if host != format!("[{ip}]") => Err(HostRuleError::Ipv6(ip)),
            Host::Ip(ip) => Ok(HostPattern::Ip(ip)),
        }
    }

    pub(crate) fn covers(&self, host: &Host) -> bool {
        match (self, host) {
            (HostPattern::Any, _) => true,
            (HostPattern::Exact(name), Host::Name(host)) => name == host,
            (HostPattern::One(base), Host::Name(host)) => is_child(host, base),
            (HostPattern::Deep(base), Host::Name(host)) => host.is_below(base),
            (HostPattern::Ip(ip), Host::Ip(host)) => ip == host,
            _ => false,
        }
    }

    /// Whether every host that falls under `other` falls under this too.
    pub(crate) fn covers_all(&self, other: &HostPattern) -> bool {
        use HostPattern as P;
        match (self, other) {
            (P::Any, _) => true,
            (pattern, P::Exact(name)) => pattern.covers(&Host::Name(name.clone())),
            (pattern, P::Ip(ip)) => pattern.covers(&Host::Ip(*ip)),
            (P::One(a), P::One(b)) => a == b,
            (P::Deep(a), P::One(b) | P::Deep(b)) => a == b || b.is_below(a),
            (P::Exact(_) | P::Ip(_) | P::One(_) | P::Deep(_), _) => false,
        }
    }

    /// Whether some host falls under both.
    fn meets(&self, other: &HostPattern) -> bool {
        use HostPattern as P;
        match (self, other) {
            (P::Any, _) | (_, P::Any) => true,
            (pattern, P::Exact(name)) | (P::Exact(name), pattern) => pattern.covers(&Host::Name(name.clone())),
            (P::Ip(a), P::Ip(b)) => a == b,
            (P::Ip(_), _) | (_, P::Ip(_)) => false,
            (P::One(a), P::One(b)) => a == b,
            (P::One(one), P::Deep(deep)) | (P::Deep(deep), P::One(one)) => one == deep || one.is_below(deep),
            (P::Deep(a), P::Deep(b)) => a == b || a.is_below(b) || b.is_below(a),
        }
    }
}

fn is_child(host: &Name, base: &Name) -> bool {
    host.as_str().split_once('.').is_some_and(|(_, parent)| parent == base.as_str())
}

fn wildcard_base(base: &str) -> Result<Name, HostRuleError> {
    if base.contains('*') {
        return Err(HostRuleError::Wildcard);
    }
    let base = Name::parse_policy(base).map_err(HostRuleError::Name)?;
    if is_public_suffix(base.as_str()) || is_public_suffix(&format!("x.{base}")) {
        return Err(HostRuleError::PublicSuffix(base));
    }
    Ok(base)
}

/// On the compiled-in list, ICANN and private sections. A name that the list doesn't know is somebody's own.
fn is_public_suffix(name: &str) -> bool {
    psl::suffix(name.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix.as_bytes() == name.as_bytes())
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.ends.scheme == Some(Scheme::Http);
        if plain {
            f.write_str("http://")?;
        }
        self.pattern.fmt(f)?;
        let default = self.ends.scheme.map(Scheme::default_port);
        match self.ends.port {
            Some(port) if Some(port) != default => write!(f, ":{port}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Any => f.write_str("any"),
            HostPattern::Exact(name) => name.fmt(f),
            HostPattern::One(base) => write!(f, "*.{base}"),
            HostPattern::Deep(base) => write!(f, "**.{base}"),
            HostPattern::Ip(ip) => Bracketed(&Host::Ip(*ip)).fmt(f),
        }
    }
}
