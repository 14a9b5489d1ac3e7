//! `stubgate credential test`: one request with the real value, read from its source by this process.
//!
//! It may run beside an appliance, so it changes nothing there: a login in escrow is looked at and never refreshed. Of the
//! answer only the status is used; its body is dropped unseen, as it may hold anything (law 4).

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use http::StatusCode;
use stubgate_certs::Anchor;
use stubgate_credentials::escrow::{self, Escrow, system_dial};
use stubgate_credentials::{Fetched, Means, describe, opener, trial};
use stubgate_policy::{Check, Credential, Source};
use tokio::time::timeout;

use super::super::say::say;
use super::super::{WRONG, fail, stub};
use super::Test;
use crate::config::{Config, EscrowStore};
use crate::programs::{self, Helper, Runner};
use crate::{lockdown, logins, start};

/// How long a source may take, whatever it asks on the way.
const LIMIT: Duration = Duration::from_secs(90);

pub(super) fn main(asked: &Test) -> ExitCode {
    // A key that is made is said there.
    super::super::run::log();
    let (config, policy) = match stub::read(&asked.config) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let name = &asked.name;
    let Some(id) = policy.credential_named(name) else {
        return fail(WRONG, format!("the policy defines no credential {name}"));
    };
    let credential = policy.credential(id);
    let Some(check) = credential.check() else {
        return fail(WRONG, format!("credential {name} {}", stubgate_credentials::NoTrial::NoCheck));
    };
    match attempt(&config, credential) {
        Ok(status) => {
            let (meaning, is_good) = meaning(&check, status);
            say(format_args!("credential {name}: {check} answers {status}: {meaning}"));
            if is_good { ExitCode::SUCCESS } else { ExitCode::from(WRONG) }
        }
        Err(error) => fail(WRONG, format!("credential {name}: {error:#}")),
    }
}

/// Reads the value, and shows it to the check's server; the status of its answer.
fn attempt(config: &Config, credential: &Credential) -> anyhow::Result<StatusCode> {
    // As who the appliance is, and with what it may read.
    let ca = start::anchors_as_user(config)?;
    let helper = match programs::of(credential) {
        // While there are no threads.
        Some(program) => Some(Helper::start(vec![program.clone()]).context("programs can't be run")?),
        None => None,
    };
    // From here on it holds a real value, which other processes of its user are not to read.
    lockdown::not_dumpable().map_err(|error| anyhow!("the process can't be shut against others: {error}"))?;
    let escrow = open_escrow(config, credential, &ca)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let http = logins::way(config, &ca)?;
        let programs = helper.map_or_else(|| Ok(Runner::without(Vec::new())), Runner::through)?;
        let means = Means { http: Arc::clone(&http), programs: Arc::new(programs), escrow };
        let fetched = timeout(LIMIT, read(credential, means)).await;
        let fetched =
            fetched.map_err(|_| anyhow!("its source gives no answer within {} seconds", LIMIT.as_secs()))??;
        if fetched.expires.is_some_and(|end| end <= SystemTime::now()) {
            bail!("its source gives a value that has ended already");
        }
        let request = trial(credential, &fetched.secret)?;
        drop(fetched);
        Ok(http.send(request).await?.status())
    })
}

/// The escrow, where the credential is a login in it. A look makes none where there is none.
fn open_escrow(config: &Config, credential: &Credential, ca: &[Anchor]) -> anyhow::Result<Option<Arc<Escrow>>> {
    let Source::Oauth(oauth) = credential.source() else { return Ok(None) };
    let is_here = config.escrow.as_ref().is_none_or(|escrow| escrow.store == EscrowStore::Sqlite);
    if is_here && !escrow::folder(&config.state_dir).exists() {
        let (provider, login) = (&oauth.provider.name, &oauth.login);
        bail!("nobody has logged in yet: stubgate login {provider} --name {login}");
    }
    Ok(Some(Arc::new(logins::open(config, ca, system_dial())?)))
}

async fn read(credential: &Credential, means: Means) -> anyhow::Result<Fetched> {
    let (reading, from) = (credential.reading(), describe(credential.source()));
    if let (Source::Oauth(oauth), Some(escrow)) = (&reading.source, &means.escrow) {
        let standing = escrow.standing(oauth, &means.http).await;
        return standing.map_err(|unready| {
            anyhow!("{from}: {unready}; only the appliance refreshes it: see stubgate credential status")
        });
    }
    let source = opener(means)(credential.name(), reading);
    let hint = match reading.source {
        Source::Env(_) => " (the appliance has an environment of its own: set it here too)",
        _ => "",
    };
    source.fetch().await.map_err(|error| anyhow!("{from} {error}{hint}"))
}

/// What an answer says of the credential, and whether it is the one that was expected.
fn meaning(check: &Check, status: StatusCode) -> (&'static str, bool) {
    if check.is_expected(status.as_u16()) {
        return ("the credential works", true);
    }
    let why = match status.as_u16() {
        401 => "the origin refuses the credential: it is wrong, has ended, or was revoked",
        403 => "the origin knows the credential, which lacks the right to ask this (or refuses this address)",
        404 => "there is nothing there that the credential may see; look at the check's address",
        429 => "the origin has been asked too often; try again later",
        300..=399 => "the origin sends elsewhere, which is not followed; name that address in the check",
        500..=599 => "the origin fails, which says nothing of the credential",
        _ => "the check expects another status",
    };
    (why, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_means_depends_on_what_is_expected() {
        let check = |more: &str| {
            let text = format!(
                "version: 1\nagents: {{ a: {{ sources: [\"192.0.2.1/32\"] }} }}\ncredentials:\n  x: {{ stub: \
                 proxy-token-x, slots: [bearer], hosts: [x.example], source: {{ env: X }}, check: {{ url: \
                 \"https://x.example\"{more} }} }}\n"
            );
            let file = stubgate_policy::SourceFile { name: "p.yaml".into(), text };
            let policy = stubgate_policy::compile(&[file]).unwrap_or_else(|found| panic!("{found:?}")).policy;
            policy.credentials()[0].check().unwrap()
        };
        for (more, status, said, is_good) in [
            ("", 200, "works", true),
            ("", 204, "works", true),
            ("", 401, "refuses the credential", false),
            ("", 403, "lacks the right", false),
            ("", 302, "is not followed", false),
            ("", 503, "says nothing of the credential", false),
            (", expect: [404]", 404, "works", true),
            (", expect: [404]", 200, "expects another", false),
        ] {
            let (text, good) = meaning(&check(more), StatusCode::from_u16(status).unwrap());
            assert!(text.contains(said) && good == is_good, "{status}{more}: {text}");
        }
    }
}
