//! Configuration and policy, as values that are known to be no secret. What a person may have put one into (URLs, headers,
//! arguments, paths of requests, texts of tests) has no place here.

use serde_json::{Value, json};
use stubgate_policy::Policy;

use crate::config::{AuditSink, Config, EscrowStore};

/// Addresses, paths of files, names and numbers.
pub(super) fn config(config: &Config) -> Value {
    let listen = &config.listen;
    let texts = |items: Vec<String>| Value::from(items);
    let all = |items: &[std::net::SocketAddr]| texts(items.iter().map(ToString::to_string).collect());
    let path = |path: &std::path::Path| path.display().to_string();
    let upstream = &config.upstream;
    json!({
        "listen": {
            "dns": all(&listen.dns), "http": all(&listen.http), "https": all(&listen.https), "proxy": all(&listen.proxy),
            "transparent": all(&listen.transparent), "tproxy": all(&listen.tproxy), "admin": all(&listen.admin),
        },
        "advertise": {
            "v4": texts(config.advertise.v4.iter().map(ToString::to_string).collect()),
            "v6": texts(config.advertise.v6.iter().map(ToString::to_string).collect()),
        },
        "policy": texts(config.policy.iter().map(|one| path(one)).collect()),
        "state_dir": path(&config.state_dir),
        "has_own_ca": config.ca.files.is_some(),
        "forward": config.forward.iter().map(|forward| {
            json!({ "zones": texts(forward.zones.iter().map(ToString::to_string).collect()), "to": all(&forward.to) })
        }).collect::<Vec<_>>(),
        // Numbers alone, by name.
        "limits": format!("{:?}", config.limits),
        "timeouts": format!("{:?}", config.timeouts),
        "upstream": {
            "nameservers": all(&upstream.nameservers),
            "ca_files": texts(upstream.ca_files.iter().map(|one| path(one)).collect()),
            "connect_to": texts(upstream.connect_to.iter().map(|((host, port), to)| format!("{host}:{port} {to}")).collect()),
            "allow_private": upstream.allow_private.iter().map(|grant| {
                json!({
                    "hosts": texts(grant.hosts.iter().map(ToString::to_string).collect()),
                    "networks": texts(grant.networks.iter().map(ToString::to_string).collect()),
                })
            }).collect::<Vec<_>>(),
        },
        "audit": config.audit.iter().map(|file| {
            let to = match &file.sink {
                AuditSink::Stdout => "-".to_owned(),
                AuditSink::File(file) => path(file),
            };
            json!({ "path": to, "max_bytes": file.max_bytes, "keep": file.keep, "durable": file.durable })
        }).collect::<Vec<_>>(),
        "process": {
            "has_user": config.process.user.is_some(),
            "require_lockdown": config.process.require_lockdown,
            "credential_folders": texts(config.process.credential_folders.iter().map(|one| path(one)).collect()),
        },
        "escrow": config.escrow.as_ref().map(|escrow| match escrow.store {
            EscrowStore::Sqlite => "sqlite",
            EscrowStore::Postgres { .. } => "postgres",
        }),
    })
}

/// Who, where to, and with what kind of credential; not how a request looks.
pub(super) fn policy(policy: &Policy) -> Value {
    let credential = |id| policy.credential(id).name().to_owned();
    json!({
        "fingerprint": policy.fingerprint(),
        "agents": policy.agents().iter().map(|agent| {
            json!({ "name": agent.name(), "quarantined": agent.quarantined() })
        }).collect::<Vec<_>>(),
        "credentials": policy.credentials().iter().map(|one| {
            json!({
                "name": one.name(),
                "source": one.source().kind(),
                "hosts": one.hosts().iter().map(ToString::to_string).collect::<Vec<_>>(),
                "minted_only": one.minted_only(),
                "has_check": one.check().is_some(),
            })
        }).collect::<Vec<_>>(),
        "rules": policy.rules().iter().map(|rule| {
            json!({
                "name": rule.name(),
                "effect": format!("{:?}", rule.effect()).to_lowercase(),
                "hosts": rule.hosts().iter().map(ToString::to_string).collect::<Vec<_>>(),
                "credentials": rule.credentials().iter().copied().map(credential).collect::<Vec<_>>(),
                "looks_into_bodies": rule.body().is_some(),
            })
        }).collect::<Vec<_>>(),
    })
}
