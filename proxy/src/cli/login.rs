//! `stubgate login`: a person puts an OAuth login in escrow.
//!
//! It opens the store of the appliance's configuration, also while the appliance runs, which takes the new login within a
//! second. Nothing of a token is ever printed.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow, bail};
use stubgate_credentials::HttpClient;
use stubgate_credentials::escrow::{Consent, Device, Escrow, Granted, LoginError, system_dial};
use stubgate_policy::secret_source::{Oauth, OauthProvider};
use stubgate_policy::{Source, built_in_provider, compile};

use super::say::say;
use super::{WRONG, check, fail};
use crate::config::{Config, policy_files};
use crate::{logins, start};

pub(super) const NOTES: &str = "\
The provider is `claude`, or one that a credential of the policy describes (source: { oauth: { provider: { name: … } } }).
It prints an address to open, and takes the code that is shown there from the terminal or standard input.

Exit status: 0 the login is in escrow; 1 it is not; 2 usage, or a path that can't be read";

#[derive(Debug, clap::Args)]
pub(super) struct Login {
    /// Who issues it: claude, or a provider that the policy names
    #[arg(value_name = "PROVIDER")]
    provider: String,
    /// The login's name in escrow; by default the one that the policy's credential of this provider names
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Configuration of the appliance, which says where logins are kept
    #[arg(long, value_name = "FILE", default_value = "/etc/stubgate/stubgate.yaml")]
    config: PathBuf,
    /// Take the login from a .credentials.json of Claude Code instead (of claude alone)
    #[arg(long, value_name = "PATH")]
    import: Option<PathBuf>,
}

pub(super) fn main(asked: &Login) -> ExitCode {
    // A key that is made is said there.
    super::run::log();
    let config = match Config::read(&asked.config) {
        Ok(config) => config,
        Err(problem) => return check::refuse(&problem),
    };
    match login(asked, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(WRONG, format!("{error:#}")),
    }
}

fn login(asked: &Login, config: &Config) -> anyhow::Result<()> {
    let (provider, name) = meant(asked, config)?;
    // Read before the user is another one.
    let imported = asked.import.as_deref().map(|path| import(path, &provider)).transpose()?;
    // What is written must be the appliance's.
    let ca = start::anchors_as_user(config)?;
    let escrow = logins::open(config, &ca, system_dial())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let granted = match imported {
            Some(granted) => granted,
            None => consent(&provider, &logins::way(config, &ca)?).await?,
        };
        put(&escrow, &name, &provider, granted).await
    })?;
    if let Some(path) = &asked.import {
        say(format_args!(
            "now delete {}: two holders of one login break it, because each refresh makes the other's token worthless",
            path.display()
        ));
    }
    Ok(())
}

/// The provider, and the login's name.
fn meant(asked: &Login, config: &Config) -> anyhow::Result<(OauthProvider, String)> {
    let files = policy_files(&config.policy).context("the policy")?;
    let compiled = compile(&files).map_err(|_| anyhow!("the policy is wrong; see stubgate policy check"))?;
    let all = compiled.policy.credentials().iter().filter_map(|credential| match credential.source() {
        Source::Oauth(oauth) => Some((**oauth).clone()),
        _ => None,
    });
    let (named, others): (Vec<Oauth>, Vec<Oauth>) = all.partition(|oauth| *oauth.provider.name == *asked.provider);
    let of_name = named.iter().find(|oauth| asked.name.as_deref().is_some_and(|name| *name == *oauth.login));
    let found = of_name.or(named.first());
    let provider = found.map(|oauth| oauth.provider.clone()).or_else(|| built_in_provider(&asked.provider));
    let provider = provider.ok_or_else(|| {
        anyhow!("no provider `{}` is built in, and no credential of the policy describes it", asked.provider)
    })?;
    let name = match (&asked.name, named.as_slice()) {
        (Some(name), _) => name.clone(),
        (None, []) => asked.provider.clone(),
        (None, [one]) => one.login.to_string(),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|oauth| &*oauth.login).collect();
            bail!(
                "the policy names several logins of {}: choose one with --name ({})",
                asked.provider,
                names.join(", ")
            )
        }
    };
    // Its tokens would be in the place of that provider's.
    if let Some(other) = others.iter().find(|oauth| *oauth.login == *name) {
        bail!(
            "the policy uses the login {name} for {}: choose another one for {} with --name",
            other.provider.name,
            asked.provider
        );
    }
    if found.is_none_or(|oauth| *oauth.login != *name) {
        eprintln!("stubgate: no credential of the policy uses the login {name} yet");
    }
    Ok((provider, name))
}

fn import(path: &Path, provider: &OauthProvider) -> anyhow::Result<Granted> {
    let text = zeroize::Zeroizing::new(std::fs::read(path).with_context(|| path.display().to_string())?);
    Granted::from_claude_file(&text, provider, SystemTime::now()).with_context(|| path.display().to_string())
}

async fn consent(provider: &OauthProvider, http: &Arc<dyn HttpClient>) -> anyhow::Result<Granted> {
    if provider.authorization_url.is_none() || provider.redirect_uri.is_none() {
        let device = Device::begin(provider, http).await?;
        say(format_args!("open {} and type {}", device.address, device.user_code));
        return Ok(device.wait(provider, http).await?);
    }
    let consent = Consent::begin(provider)?;
    say(format_args!("open this address, and paste the code that is shown there:\n\n{}\n", consent.url()));
    for line in std::io::stdin().lock().lines() {
        match consent.finish(provider, http, &zeroize::Zeroizing::new(line?)).await {
            Err(error @ (LoginError::NotWhole | LoginError::OtherState)) => say(error),
            done => return Ok(done?),
        }
    }
    bail!("no code was given")
}

async fn put(escrow: &Escrow, name: &str, provider: &OauthProvider, granted: Granted) -> anyhow::Result<()> {
    let is_short = !granted.can_be_refreshed();
    let scopes = granted.scopes().join(" ");
    let generation = escrow.deposit(name, &provider.name, granted).await?;
    say(format_args!("the login {name} of {} is in escrow, generation {generation} ({scopes})", provider.name));
    if is_short {
        say("the provider gave no refresh token: log in again when it ends");
    }
    Ok(())
}
