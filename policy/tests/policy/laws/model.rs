//! The plainest decision that can be written: hosts are lists of labels, paths lists of segments, and every rule is
//! looked at for every request. Nothing here uses the crate's matchers.

use stubgate_policy::{OnCredential, Reason, SlotRef};

use super::world::{BASIC, BODIES, CREDENTIALS, Effect, ON_CREDENTIAL, Request, Rule, Verdict};

impl Rule {
    fn covers(&self, request: &Request) -> bool {
        let agent = self.agents.is_empty() || self.agents.contains(&request.agent);
        agent && self.hosts.iter().any(|host| host_covers(host, request, self.effect == Effect::Deny))
    }

    /// Whether a `**` of this rule holds the name, for this agent.
    pub(crate) fn is_hole(&self, name: &str, agent: &str) -> bool {
        let agent = self.agents.is_empty() || self.agents.contains(&agent);
        agent
            && self.effect != Effect::Deny
            && self.hosts.iter().any(|host| host.starts_with("**") && name_covers(host, name))
    }

    fn has_method(&self, request: &Request) -> bool {
        request.method != "TRACE"
            && (self.methods.is_empty()
                || self.methods.iter().any(|method| method.eq_ignore_ascii_case(request.method)))
    }
}

fn host_covers(text: &str, request: &Request, deny: bool) -> bool {
    if text == "any" {
        return true;
    }
    let (scheme, rest) = text.split_once("://").map_or((None, text), |(scheme, rest)| (Some(scheme), rest));
    let (host, port) =
        rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port.parse::<u16>().unwrap())));
    let ends = if deny {
        scheme.is_none_or(|scheme| scheme == request.scheme) && port.is_none_or(|port| port == request.port)
    } else {
        let scheme = scheme.unwrap_or("https");
        scheme == request.scheme && port.unwrap_or(if scheme == "http" { 80 } else { 443 }) == request.port
    };
    ends && name_covers(host, request.host)
}

fn name_covers(pattern: &str, host: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('.').collect();
    let host: Vec<&str> = host.split('.').collect();
    match pattern[0] {
        "*" => host.len() == pattern.len() && host[1..] == pattern[1..],
        "**" => host.len() >= pattern.len() && host[host.len() - pattern.len() + 1..] == pattern[1..],
        _ => host == pattern,
    }
}

/// Whether some host of the rule covers the name, whatever the rest of the request.
pub(crate) fn touches(rule: &Rule, request: &Request) -> bool {
    rule.hosts.iter().any(|text| {
        let rest = text.split_once("://").map_or(*text, |(_, rest)| rest);
        *text == "any" || name_covers(rest.split(':').next().unwrap(), request.host)
    })
}

fn is_odd(path: &str) -> bool {
    path.contains("..") || path.contains("//")
}

fn segments_match(pattern: &[&str], path: &[&str], slash: bool, deny: bool) -> bool {
    match pattern {
        [] => path.is_empty() || (deny && *path == [""]),
        ["**", after @ ..] => {
            let least = usize::from(!deny || after.is_empty());
            (least..=path.len()).any(|taken| {
                path[..taken].iter().all(|segment| slash || !segment.contains("%2F"))
                    && segments_match(after, &path[taken..], slash, deny)
            })
        }
        [first, after @ ..] => path.first().is_some_and(|segment| {
            segment_matches(first, segment, deny) && segments_match(after, &path[1..], slash, deny)
        }),
    }
}

fn segment_matches(pattern: &str, segment: &str, deny: bool) -> bool {
    if pattern == "*" && segment.is_empty() {
        return deny;
    }
    if !pattern.contains('*') {
        return pattern == segment || (deny && pattern.eq_ignore_ascii_case(segment));
    }
    // The world's globs are `*` and `*%2F*`.
    let slashes = segment.matches("%2F").count();
    match pattern {
        "*" => deny || slashes == 0,
        "*%2F*" => slashes == 1 || (deny && slashes >= 1),
        other => panic!("{other}"),
    }
}

fn path_matches(rule: &Rule, path: &str, deny: bool) -> bool {
    let split = |text: &'static str| text[1..].split('/').collect::<Vec<_>>();
    let path: Vec<&str> = path[1..].split('/').collect();
    let slash = deny || rule.flags.slash;
    rule.paths
        .as_ref()
        .is_none_or(|paths| paths.iter().any(|pattern| segments_match(&split(pattern), &path, slash, deny)))
}

/// The plainest decision.
pub(crate) fn decide(rules: &[Rule], request: &Request) -> Verdict {
    match judge(rules, request) {
        Ok(verdict) => verdict,
        Err(reason) => Verdict::Deny(reason),
    }
}

fn judge(rules: &[Rule], request: &Request) -> Result<Verdict, Reason> {
    if request.agent == "locked" {
        return Err(Reason::Quarantined);
    }
    let denies: Vec<&Rule> = rules
        .iter()
        .filter(|rule| rule.effect == Effect::Deny && rule.covers(request) && rule.has_method(request))
        .collect();
    let everything = |rule: &&&Rule| rule.paths.as_ref().is_none_or(|paths| paths.contains(&"/**"));
    let odd = is_odd(request.path);
    let slashed = request.path.replace("%2F", "/");
    let hit = |rule: &&&Rule| {
        path_matches(rule, request.path, true) || (!slashed.contains("//") && path_matches(rule, &slashed, true))
    };
    if denies.iter().any(|rule| everything(&rule) || (!odd && hit(&rule))) {
        return Err(Reason::DeniedByRule);
    }
    if !denies.is_empty() && (odd || slashed.contains("//")) {
        return Err(Reason::PathAmbiguous);
    }
    let here: Vec<&Rule> = rules.iter().filter(|rule| rule.effect != Effect::Deny && rule.covers(request)).collect();
    if here.is_empty() {
        return Err(Reason::HostNotAllowed);
    }
    let with_method: Vec<&Rule> = here.into_iter().filter(|rule| rule.has_method(request)).collect();
    if with_method.is_empty() {
        return Err(Reason::MethodNotAllowed);
    }
    // `/**` in a deny rule is every path there is, and so no path.
    let has_paths = |rule: &&Rule| rule.paths.is_some() && (rule.effect != Effect::Deny || !everything(&rule));
    if odd && rules.iter().filter(|rule| touches(rule, request)).any(|rule| has_paths(&rule)) {
        return Err(Reason::PathAmbiguous);
    }
    let matched: Vec<&Rule> =
        with_method.into_iter().filter(|rule| odd || path_matches(rule, request.path, false)).collect();
    let allowed: Vec<&Rule> = matched.iter().copied().filter(|rule| rule.effect == Effect::Allow).collect();
    match (allowed.is_empty(), matched.is_empty()) {
        (true, true) => Err(Reason::PathNotAllowed),
        (true, false) => match tokens(&matched, request) {
            Err(tripwire @ (Reason::StubOutOfSlot | Reason::StubWrongHost | Reason::StubOverPlain)) => Err(tripwire),
            _ => Err(Reason::Observed),
        },
        _ => looked(&allowed, request),
    }
}

/// What is allowed without a look, or with what the look finds.
fn looked(allowed: &[&Rule], request: &Request) -> Result<Verdict, Reason> {
    let stubs = |verdict: Verdict| match verdict {
        Verdict::Allow { rule, swap, ranges, .. } => Verdict::Allow {
            rule,
            ranges,
            deny_stub_in_body: allowed.iter().any(|rule| rule.flags.body),
            on_credential: on_credential(allowed, swap.is_some(), request),
            swap,
        },
        denied @ Verdict::Deny(_) => denied,
    };
    let blind: Vec<&Rule> = allowed.iter().copied().filter(|rule| rule.demand.is_none()).collect();
    if let (false, Ok(verdict)) = (blind.is_empty(), tokens(&blind, request)) {
        return Ok(stubs(verdict));
    }
    tokens(allowed, request)?;
    let met = |rule: &Rule| rule.demand.map(|demand| BODIES[request.body].1.as_bytes()[demand]);
    let holding: Vec<&Rule> = allowed.iter().copied().filter(|rule| met(rule).is_none_or(|met| met == b'y')).collect();
    match tokens(&holding, request) {
        Ok(verdict) if !holding.is_empty() => Ok(stubs(verdict)),
        _ if allowed.iter().any(|rule| met(rule) == Some(b'n')) => Err(Reason::BodyNotAllowed),
        _ => Err(Reason::BodyNotInspectable),
    }
}

fn tokens(allowed: &[&Rule], request: &Request) -> Result<Verdict, Reason> {
    let is_stub = |text: &str| CREDENTIALS.iter().find(|credential| credential.stub == text);
    if request.tokens.iter().any(|(slot, _)| *slot == SlotRef::Elsewhere) {
        return Err(Reason::StubOutOfSlot);
    }
    let mut swap = None;
    for (at, (slot, text)) in request.tokens.iter().enumerate() {
        let Some(credential) = is_stub(text) else {
            continue;
        };
        if request.scheme == "http" {
            return Err(Reason::StubOverPlain);
        }
        if !credential.hosts.iter().any(|(host, port)| name_covers(host, request.host) && *port == request.port) {
            return Err(Reason::StubWrongHost);
        }
        if !allowed.iter().any(|rule| rule.credentials.contains(&credential.name)) {
            return Err(Reason::StubNotGranted);
        }
        if !credential.slots.contains(slot) {
            return Err(Reason::StubOutOfSlot);
        }
        if swap.is_some() {
            return Err(Reason::TwoCredentials);
        }
        swap = Some((credential.name.to_owned(), at));
    }
    if swap.is_some() && foreign(request) {
        return Err(Reason::TwoCredentials);
    }
    let bound = CREDENTIALS
        .iter()
        .flat_map(|credential| credential.hosts)
        .any(|(host, port)| name_covers(host, request.host) && (request.scheme == "http" || *port == request.port));
    if foreign(request) && bound && !allowed.iter().any(|rule| rule.flags.foreign) {
        return Err(Reason::ForeignCredential);
    }
    if swap.is_none() && allowed.iter().all(|rule| rule.flags.required) {
        return Err(Reason::CredentialRequired);
    }
    let granting: Vec<&&Rule> = allowed
        .iter()
        .filter(|rule| swap.as_ref().is_none_or(|(name, _)| rule.credentials.iter().any(|own| own == name)))
        .collect();
    Ok(Verdict::Allow {
        rule: granting.iter().map(|rule| rule.name.clone()).min().unwrap_or_default(),
        ranges: granting.iter().any(|rule| rule.flags.ranges),
        deny_stub_in_body: allowed.iter().any(|rule| rule.flags.body),
        on_credential: on_credential(allowed, swap.is_some(), request),
        swap,
    })
}

/// The strictest that a rule says; else what changes something with a credential shows none in its answer.
fn on_credential(allowed: &[&Rule], swaps: bool, request: &Request) -> OnCredential {
    let reads = ["GET", "HEAD", "OPTIONS", "websocket"].contains(&request.method);
    let unsaid = if swaps && !reads { OnCredential::Deny } else { OnCredential::Allow };
    let said = allowed.iter().filter_map(|rule| rule.flags.response).max();
    said.map_or(unsaid, |said| ON_CREDENTIAL[said])
}

/// Whether some token is neither a stub nor the harmless half of a Basic pair.
fn foreign(request: &Request) -> bool {
    let stub = |text: &str| CREDENTIALS.iter().any(|credential| credential.stub == text);
    let basic: Vec<_> = request.tokens.iter().filter(|(slot, _)| BASIC.contains(slot)).collect();
    let pair = basic.len() == 2 && basic[0].0 != basic[1].0;
    request.tokens.iter().filter(|(_, text)| !stub(text)).any(|(slot, text)| {
        let other_is_stub = pair && basic.iter().any(|(other, text)| other != slot && stub(text));
        let harmless = BASIC.contains(slot) && other_is_stub && (*slot == BASIC[0] || text.len() < 16);
        !harmless
    })
}
