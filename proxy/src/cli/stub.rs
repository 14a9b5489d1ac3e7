//! `stubgate stub mint|revoke|show`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stubgate_credentials::minted::{
    self, Expiry, LONGEST_LIFE, Minting, NoStubId, Revoked, Shape, StubId, Verifier, looks_minted,
};
use stubgate_policy::{Compiled, Policy, Standing, compile};

use super::say::{put, say};
use super::{UNUSABLE, WRONG, check, fail};
use crate::config::{Config, policy_files};
use crate::record::rfc3339;
use crate::start;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Stub {
    /// Print a stub that one agent can use for one credential, and nobody else
    Mint {
        #[command(flatten)]
        config: ConfigFile,
        /// Whom it is for, as policy names it
        #[arg(long)]
        agent: String,
        /// What it stands for, as policy names it
        #[arg(long)]
        credential: String,
        /// How long it is good: hours or days, such as 12h or 30d; it ends with a whole hour
        #[arg(long, value_name = "TIME", value_parser = ttl, default_value = "30d")]
        ttl: Duration,
        /// What it looks like, for clients that check the shape of a token
        #[arg(long, value_parser = shape, default_value = "plain")]
        shape: Shape,
    },
    /// Call a stub back; the appliance refuses it within a second
    Revoke {
        #[command(flatten)]
        config: ConfigFile,
        /// The stub, or its id as `stub show` and records have it
        #[arg(value_name = "ID|STUB")]
        stub: String,
    },
    /// Say what a stub is for, when it ends, and whether it is good
    Show {
        #[command(flatten)]
        config: ConfigFile,
        /// The stub
        stub: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct ConfigFile {
    /// Configuration of the appliance, which says where key and policy are
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn main(command: &Stub) -> ExitCode {
    let done = match command {
        Stub::Mint { config, agent, credential, ttl, shape } => mint(&config.config, agent, credential, *ttl, *shape),
        Stub::Revoke { config, stub } => revoke(&config.config, stub),
        Stub::Show { config, stub } => show(&config.config, stub),
    };
    done.unwrap_or_else(|code| code)
}

fn mint(file: &Path, agent: &str, credential: &str, ttl: Duration, shape: Shape) -> Result<ExitCode, ExitCode> {
    let (config, policy) = read(file)?;
    if policy.agent_named(agent).is_none() {
        return Err(fail(WRONG, format!("the policy defines no agent {agent}")));
    }
    if policy.credential_named(credential).is_none() {
        return Err(fail(WRONG, format!("the policy defines no credential {credential}")));
    }
    let key = start::stub_key(&config).map_err(|error| fail(WRONG, error))?;
    let expiry = Expiry::at(SystemTime::now() + ttl).ok_or_else(|| fail(WRONG, "the clock is wrong"))?;
    let serial = minted::serial().map_err(|error| fail(WRONG, error))?;
    say(format_args!("{}", minted::mint(&key, agent, credential, expiry, serial, shape)));
    Ok(ExitCode::SUCCESS)
}

fn revoke(file: &Path, stub: &str) -> Result<ExitCode, ExitCode> {
    let now = SystemTime::now();
    let (config, policy) = read(file)?;
    let (id, end) = if looks_minted(stub.as_bytes()) {
        let verifier = verifier(&config, &policy)?;
        let said = verifier.said(stub.as_bytes(), now).ok_or_else(|| fail(WRONG, FORGED))?;
        (said.id(), said.expiry.time())
    } else {
        // Of an id alone nobody knows the end; no stub lives longer than this.
        let id: StubId = stub.parse().map_err(|error: NoStubId| fail(UNUSABLE, error))?;
        (id, now + LONGEST_LIFE)
    };
    let is_new = minted::revoke(&config.stubs.revoked_file, id, end, now).map_err(|error| fail(WRONG, error))?;
    say(format_args!("{} {id}", if is_new { "revoked" } else { "was revoked already:" }));
    Ok(ExitCode::SUCCESS)
}

fn show(file: &Path, stub: &str) -> Result<ExitCode, ExitCode> {
    let now = SystemTime::now();
    let (config, policy) = read(file)?;
    let verifier = verifier(&config, &policy)?;
    let Some(said) = verifier.said(stub.as_bytes(), now) else {
        return Err(fail(WRONG, if looks_minted(stub.as_bytes()) { FORGED } else { "this is no minted stub" }));
    };
    let standing = match said.stub.standing {
        Standing::Good => "good",
        Standing::Expired => "expired",
        Standing::Revoked => "revoked",
    };
    put(format_args!(
        "id          {}\nagent       {}\ncredential  {}\nshape       {}\nends        {}\nstate       {standing}\n",
        said.id(),
        policy.agent(said.stub.agent).name(),
        policy.credential(said.stub.credential).name(),
        said.shape.as_str(),
        rfc3339(said.expiry.time()),
    ));
    Ok(if said.stub.standing == Standing::Good { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

const FORGED: &str = "this is no stub of this policy: made up, altered, minted with another key, or for an agent or \
                      credential that the policy does not name";

/// Configuration and policy. What is wrong with them has been said.
pub(super) fn read(file: &Path) -> Result<(Config, Policy), ExitCode> {
    let config = Config::read(file).map_err(|problem| check::refuse(&problem))?;
    let files = policy_files(&config.policy).map_err(|error| fail(UNUSABLE, error))?;
    match compile(&files) {
        Ok(Compiled { policy, .. }) => Ok((config, policy)),
        Err(diagnostics) => {
            check::report(&diagnostics, &files);
            Err(ExitCode::from(WRONG))
        }
    }
}

fn verifier(config: &Config, policy: &Policy) -> Result<Verifier, ExitCode> {
    let key = start::stub_key(config).map_err(|error| fail(WRONG, error))?;
    let revoked = Revoked::new(config.stubs.revoked_file.clone());
    revoked.reload().map_err(|error| fail(WRONG, error))?;
    Ok(Verifier::new(Arc::new(Minting { key, revoked }), policy))
}

fn shape(word: &str) -> Result<Shape, String> {
    Shape::parse(word).ok_or_else(|| {
        let words: Vec<&str> = Shape::ALL.iter().map(|shape| shape.as_str()).collect();
        format!("one of {}", words.join(", "))
    })
}

fn ttl(text: &str) -> Result<Duration, String> {
    let bad = || format!("`{text}` is no time: write hours or days, such as 12h or 30d, up to 3650d");
    let unit = match text.as_bytes().last() {
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return Err(bad()),
    };
    let number: u64 = text.get(..text.len() - 1).and_then(|number| number.parse().ok()).ok_or_else(bad)?;
    let ttl = number.checked_mul(unit).map(Duration::from_secs).ok_or_else(bad)?;
    if ttl.is_zero() || ttl > LONGEST_LIFE { Err(bad()) } else { Ok(ttl) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_is_hours_or_days() {
        assert_eq!(ttl("12h"), Ok(Duration::from_secs(12 * 3_600)));
        assert_eq!(ttl("3650d"), Ok(LONGEST_LIFE));
        for bad in ["", "0d", "3651d", "30", "30m", "-1d", "1.5d", "99999999999999999999d", "999999999999999999d", "d"]
        {
            assert!(ttl(bad).is_err(), "{bad}");
        }
    }
}
