//! The policy and the `stubgate.yaml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::super::{Import, Kind};
use super::Original;
use super::matching::{Host, Methods, Paths};
use super::secrets::{Secret, Source};
use super::settings::Settings;

pub(super) fn import(mut original: Original<'_>, sources: &[ipnet::IpNet]) -> Import {
    tell_apart(&mut original);
    let rules = rules(&mut original);
    let policy = policy(&original, &rules, sources);
    let config = config(&original.settings);
    let mut notes = original.notes.all;
    notes.sort();
    Import { policy, config, notes }
}

/// What a rule is for: what it grants, where its hosts share all else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kindred {
    credentials: BTreeSet<String>,
    required: bool,
    methods: Methods,
    paths: Paths,
}

type Rules = BTreeMap<Kindred, BTreeSet<Host>>;

/// Stubs must be found whole and stand for one credential: one that is another's, or part of another, is replaced.
fn tell_apart(original: &mut Original<'_>) {
    for at in 0..original.secrets.len() {
        let Some(secret) = original.secrets.get(at) else { continue };
        let clash = original.secrets.iter().enumerate().any(|(other, with)| {
            let same = with.stub == secret.stub && other < at;
            same || (with.stub != secret.stub
                && with.stub.to_ascii_lowercase().contains(&secret.stub.to_ascii_lowercase()))
        });
        if !clash {
            continue;
        }
        let mut number = 1_u32;
        let stub = loop {
            let stub = format!("stub-{number}-of-{}", secret.name);
            if !original.secrets.iter().any(|with| with.stub.contains(&stub) || stub.contains(&with.stub)) {
                break stub;
            }
            number += 1;
        };
        let text = format!(
            "the stub `{}` is also that of another secret, or part of it: give the agents `{stub}` instead",
            secret.stub
        );
        original.notes.add(Kind::Changed, &secret.span, text);
        if let Some(secret) = original.secrets.get_mut(at) {
            secret.stub = stub;
        }
    }
}

fn rules(original: &mut Original<'_>) -> Rules {
    let mut rules = Rules::new();
    let mut insert = |credential: Option<&str>, required: bool, host: &Host, methods: &Methods, paths: &Paths| {
        let kindred = Kindred {
            credentials: credential.map(str::to_owned).into_iter().collect(),
            required,
            methods: methods.clone(),
            paths: paths.clone(),
        };
        rules.entry(kindred).or_default().insert(host.clone());
    };
    for secret in &original.secrets {
        let mut used = false;
        for rule in &secret.rules {
            for grant in original.grants.iter().flatten() {
                let (Some(host), Some(methods)) = (rule.host.common(&grant.host), rule.methods.common(&grant.methods))
                else {
                    continue;
                };
                if rule.paths.is_unclear(&grant.paths) {
                    let text = "paths of this secret and of the allowlist may overlap in part; there the credential is not granted";
                    original.notes.add(Kind::Narrower, &rule.span, text);
                }
                let paths = rule.paths.common(&grant.paths);
                if secret.required
                    && !is_whole(secret, grant)
                    && (paths.is_some() || rule.paths.is_unclear(&grant.paths))
                {
                    let text = format!(
                        "`require`: a request without this secret was refused; here it goes on without a credential, because the allowlist entry for {} reaches further than the secret's rules",
                        shown(&grant.host)
                    );
                    original.notes.add(Kind::Wider, &secret.span, text);
                }
                let Some(paths) = paths else { continue };
                if host == Host::Every {
                    let text = "a credential must say where it may go: name the hosts of this secret";
                    original.notes.add(Kind::Missing, &rule.span, text);
                    continue;
                }
                used = true;
                insert(Some(&secret.name), secret.required && is_whole(secret, grant), &host, &methods, &paths);
            }
        }
        if !used {
            let text = format!("no allowed request meets the rules of `{}`: no rule grants it", secret.name);
            original.notes.add(Kind::Changed, &secret.span, text);
        }
    }
    for grant in original.grants.iter().flatten() {
        if grant.host == Host::Every {
            let text = "every host is allowed there; no rule can say that: only hosts that are named elsewhere are allowed; find others with `effect: observe` and `stubgate policy suggest`";
            original.notes.add(Kind::Narrower, &grant.span, text);
        } else if !original.secrets.iter().any(|secret| is_whole(secret, grant)) {
            // Else the rule with the credential allows the same, with a stub and, if that is not required, without.
            insert(None, false, &grant.host, &grant.methods, &grant.paths);
        }
    }
    shared_hosts(original);
    together(without_repeats(rules))
}

/// Without hosts of rules for which another rule does the same and more.
fn without_repeats(rules: Rules) -> Rules {
    let all: Vec<(Kindred, BTreeSet<Host>)> = rules.into_iter().collect();
    let does = |own: &Kindred, other: &Kindred| {
        own.credentials.is_superset(&other.credentials)
            && (!own.required || other.required)
            && own.methods.holds(&other.methods)
            && own.paths.holds(&other.paths)
    };
    let mut left = Rules::new();
    for (at, (kindred, hosts)) in all.iter().enumerate() {
        let is_repeated = |host: &&Host| {
            all.iter().enumerate().any(|(by, (other, others))| {
                // Of two that do the same, the first stays.
                let first = by < at || !does(kindred, other);
                by != at && first && does(other, kindred) && others.iter().any(|own| own.holds(host))
            })
        };
        let kept: BTreeSet<Host> = hosts.iter().filter(|host| !is_repeated(host)).cloned().collect();
        if !kept.is_empty() {
            left.insert(kindred.clone(), kept);
        }
    }
    left
}

/// Rules that differ in their credentials only become one.
fn together(rules: Rules) -> Rules {
    let mut alike: BTreeMap<(bool, Methods, Paths, BTreeSet<Host>), BTreeSet<String>> = BTreeMap::new();
    let mut joined = Rules::new();
    for (kindred, hosts) in rules {
        if kindred.credentials.is_empty() {
            joined.insert(kindred, hosts);
        } else {
            alike
                .entry((kindred.required, kindred.methods, kindred.paths, hosts))
                .or_default()
                .extend(kindred.credentials);
        }
    }
    for ((required, methods, paths, hosts), credentials) in alike {
        joined.entry(Kindred { credentials, required, methods, paths }).or_default().extend(hosts);
    }
    joined
}

/// Whether a secret is for all that an entry of the allowlist allows.
fn is_whole(secret: &Secret, grant: &super::Grant) -> bool {
    grant.host != Host::Every
        && secret.rules.iter().any(|rule| {
            rule.host.holds(&grant.host) && rule.methods.holds(&grant.methods) && rule.paths.holds(&grant.paths)
        })
}

/// Two secrets on one host.
fn shared_hosts(original: &mut Original<'_>) {
    for (at, secret) in original.secrets.iter().enumerate() {
        for other in original.secrets.iter().take(at) {
            let meet =
                secret.rules.iter().any(|rule| other.rules.iter().any(|with| rule.host.common(&with.host).is_some()));
            if !meet {
                continue;
            }
            let text = format!(
                "`{}` and `{}` are for the same host: a request may carry one of them, not both",
                other.name, secret.name
            );
            original.notes.add(Kind::Narrower, &secret.span, text);
            if secret.required && other.required {
                let text = format!("`{}` and `{}` were both required; here either is enough", other.name, secret.name);
                original.notes.add(Kind::Wider, &secret.span, text);
            } else if secret.required || other.required {
                let text = format!(
                    "`require`: as only one of `{}` and `{}` is required, a request without either passes",
                    other.name, secret.name
                );
                original.notes.add(Kind::Wider, &secret.span, text);
            }
        }
    }
}

fn policy(original: &Original<'_>, rules: &Rules, sources: &[ipnet::IpNet]) -> String {
    let mut out = String::from(
        "# Translated by `stubgate policy import iron-proxy`; its report says what is not as it was.\nversion: 1\nagents:\n",
    );
    let nets: BTreeSet<String> = sources.iter().map(|net| quoted(&net.trunc().to_string())).collect();
    let mut nets: Vec<String> = nets.into_iter().collect();
    if nets.is_empty() {
        nets.push("\"192.0.2.1/32\"".into());
    }
    let hint = if sources.is_empty() { " # nobody's: write the networks of your agents" } else { "" };
    let _ = writeln!(out, "  workload: {{ sources: [{}] }}{hint}", nets.join(", "));
    let bound = bound(rules);
    let credentials: Vec<&Secret> = original.secrets.iter().filter(|secret| bound.contains_key(&secret.name)).collect();
    if !credentials.is_empty() {
        out.push_str("credentials:\n");
    }
    for secret in credentials {
        let hosts: Vec<String> =
            bound.get(&secret.name).into_iter().flatten().flat_map(Host::written).map(|host| quoted(&host)).collect();
        let source = match &secret.source {
            Source::Env(name) => format!("env: {name}"),
            Source::File(path) => format!("file: {}", quoted(path)),
        };
        let slots: Vec<String> = secret.slots.iter().map(|slot| quoted(slot)).collect();
        let _ = write!(
            out,
            "  {}:\n    stub: {}\n    slots: [{}]\n    hosts: [{}]\n    source: {{ {source} }}\n",
            quoted(&secret.name),
            quoted(&secret.stub),
            slots.join(", "),
            hosts.join(", ")
        );
    }
    if !rules.is_empty() {
        out.push_str("rules:\n");
    }
    let mut names = BTreeSet::new();
    for (kindred, hosts) in rules {
        let hosts: Vec<Host> = outer(hosts).into_iter().collect();
        for hosts in hosts.chunks(MOST_HOSTS) {
            rule(&mut out, kindred, hosts, &mut names);
        }
    }
    if !original.settings.forward.is_empty() {
        let hosts: Vec<String> = original
            .settings
            .forward
            .iter()
            .flat_map(Host::written)
            .collect::<BTreeSet<_>>()
            .iter()
            .map(|host| quoted(host))
            .collect();
        let _ = write!(out, "dns:\n  - {{ agents: [workload], names: [{}], types: [A, AAAA] }}\n", hosts.join(", "));
    }
    out
}

/// Where each credential goes: the hosts of the rules that grant it.
fn bound(rules: &Rules) -> BTreeMap<String, BTreeSet<Host>> {
    let mut bound: BTreeMap<String, BTreeSet<Host>> = BTreeMap::new();
    for (kindred, hosts) in rules {
        for credential in &kindred.credentials {
            bound.entry(credential.clone()).or_default().extend(outer(hosts));
        }
    }
    bound.into_iter().map(|(name, hosts)| (name, outer(&hosts))).collect()
}

/// Without those that another holds.
fn outer(hosts: &BTreeSet<Host>) -> BTreeSet<Host> {
    hosts.iter().filter(|host| !hosts.iter().any(|other| other != *host && other.holds(host))).cloned().collect()
}

fn rule(out: &mut String, kindred: &Kindred, hosts: &[Host], names: &mut BTreeSet<String>) {
    let first = hosts.first().map(shown).unwrap_or_default();
    let credentials: Vec<&str> = kindred.credentials.iter().map(String::as_str).collect();
    let base: String = match kindred.credentials.first() {
        Some(_) => format!("with-{}", credentials.join("-and-")),
        None if kindred.methods.0.is_none() && kindred.paths.0.is_none() => "allowed".to_owned(),
        None => format!("allowed-{first}"),
    };
    let base: String =
        base.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '-' }).take(56).collect();
    let mut name = base.clone();
    let mut number = 2_u32;
    while !names.insert(name.clone()) {
        name = format!("{base}-{number}");
        number += 1;
    }
    let written: BTreeSet<String> = hosts.iter().flat_map(Host::written).collect();
    let _ = write!(out, "  - name: {}\n    agents: [workload]\n    hosts:\n", quoted(&name));
    for host in written {
        let _ = writeln!(out, "      - {}", quoted(&host));
    }
    let methods = match &kindred.methods.0 {
        None => "any".to_owned(),
        Some(methods) => methods.iter().cloned().collect::<Vec<_>>().join(", "),
    };
    let _ = writeln!(out, "    methods: [{methods}]");
    if let Some(paths) = &kindred.paths.0 {
        let paths: BTreeSet<String> = paths.iter().flat_map(super::matching::PathGlob::written).collect();
        // Encoded slashes are decoded there before paths are compared, and only `**` takes them.
        let is_deep = paths.iter().any(|path| path.ends_with("/**"));
        out.push_str("    paths:\n");
        for path in paths {
            let _ = writeln!(out, "      - {}", quoted(&path));
        }
        if is_deep {
            out.push_str("    encoded_slash: allow\n");
        }
    }
    if !kindred.credentials.is_empty() {
        let credentials: Vec<String> = kindred.credentials.iter().map(|name| quoted(name)).collect();
        let _ = writeln!(out, "    credentials: [{}]", credentials.join(", "));
    }
    if kindred.required {
        out.push_str("    credential_required: true\n");
    }
}

fn config(settings: &Settings) -> String {
    let mut out = String::from(
        "# Translated by `stubgate policy import iron-proxy`; its report says what is not as it was.\nlisten:\n",
    );
    for (key, address) in
        [("dns", settings.dns), ("http", settings.http), ("https", settings.https), ("proxy", settings.proxy)]
    {
        if let Some(address) = address {
            let _ = writeln!(out, "  {key}: [\"{address}\"]");
        }
    }
    match settings.admin {
        Some(admin) => {
            let _ = writeln!(out, "  admin: [\"{admin}\"] # keep it from agents");
        }
        None => out.push_str("  admin: [\"127.0.0.1:9090\"]\n"),
    }
    if let Some(ip) = settings.advertise {
        let _ = writeln!(out, "advertise: [\"{ip}\"]");
    }
    out.push_str("policy: [\"policy.yaml\"]\n");
    if let Some((certificate, key)) = &settings.ca {
        let _ = writeln!(out, "ca: {{ certificate_file: {}, key_file: {} }}", quoted(certificate), quoted(key));
    }
    if let Some(server) = settings.nameserver {
        let zones: Vec<String> = outer(&settings.forward.iter().cloned().collect())
            .iter()
            .filter_map(|host| host.written().first().map(|zone| quoted(zone)))
            .collect();
        if !zones.is_empty() {
            let _ = write!(out, "dns:\n  forward:\n    - zones: [{}]\n      to: [\"{server}\"]\n", zones.join(", "));
        }
        let _ = write!(out, "upstream:\n  nameservers: [\"{server}\"]\n");
    }
    if let Some(minted) = settings.minted {
        let _ = writeln!(out, "limits: {{ minted_certificates: {minted} }}");
    }
    if let Some(seconds) = settings.header_seconds {
        let _ = writeln!(out, "timeouts: {{ upstream_header_seconds: {seconds} }}");
    }
    out.push_str("audit:\n  files: [{ path: \"-\" }]\n");
    out
}

fn shown(host: &Host) -> String {
    match host {
        Host::Every => "*".to_owned(),
        Host::Exact(host) | Host::Under(host) => host.clone(),
    }
}

fn quoted(text: &str) -> String {
    let text = super::super::one_line(text);
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Hosts of one rule; each may be written twice.
const MOST_HOSTS: usize = 2_000;
