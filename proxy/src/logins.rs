//! The escrow of OAuth logins, as the appliance and `stubgate login` open it.
//!
//! It is opened before the lock-down, because its key may come from a program and its store from a folder that is made.
//! The database of several replicas is found by the appliance's own resolver, as origins are, and not guarded as they are:
//! the operator named it.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use stubgate_certs::{Anchor, TrustRoots, client_config};
use stubgate_credentials::HttpClient;
use stubgate_credentials::escrow::{self, Database, Dial, Escrow, PostgresPlace, StorePlace};
use stubgate_dns::Resolver;
use stubgate_policy::{Name, Policy, Source};
use tokio::net::TcpStream;

use crate::appliance::Appliance;
use crate::config::{Config, EscrowStore};
use crate::secrets_client::SecretsClient;
use crate::start;

/// The logins that credentials of a policy are.
pub fn named_by(policy: &Policy) -> HashSet<&str> {
    let mut logins = HashSet::new();
    for credential in policy.credentials() {
        if let Source::Oauth(oauth) = credential.source() {
            logins.insert(&*oauth.login);
        }
    }
    logins
}

/// Whether the escrow is opened for this configuration and first policy.
pub fn is_wanted(config: &Config, policy: Option<&Policy>) -> bool {
    config.escrow.is_some() || policy.is_some_and(|policy| !named_by(policy).is_empty())
}

/// Opens the escrow of a configuration, blocking.
///
/// # Errors
/// Where its key is not to be had, or its store can't be used.
pub fn open(config: &Config, ca: &[Anchor], dial: Dial) -> anyhow::Result<Escrow> {
    let settings = config.escrow.clone().unwrap_or_default();
    let keyed = settings.key.load(&escrow::folder(&config.state_dir))?;
    if let Some(file) = &keyed.made {
        tracing::warn!(
            file = %file.display(),
            "made a key for the escrow of logins beside them; name another place as escrow.key, so that a copy of the state \
             folder is no copy of the logins"
        );
    }
    let place = match settings.store {
        EscrowStore::Sqlite => StorePlace::Sqlite,
        EscrowStore::Postgres { database, ca_file } => {
            let mut files = config.upstream.ca_files.clone();
            let is_plain = ca_file.is_none() && is_loopback(&database);
            files.extend(ca_file);
            let roots = TrustRoots::load(&files, ca).context("the certificates trusted for the store of logins")?;
            let tls = if is_plain { None } else { Some(client_config(roots, &[])?) };
            StorePlace::Postgres(PostgresPlace { database, tls, dial })
        }
    };
    Ok(Escrow::open(&place, keyed.key, &config.state_dir)?)
}

fn is_loopback(database: &Database) -> bool {
    match database {
        Database::Parts { host, .. } => host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        Database::UrlFile(_) => false,
    }
}

/// The way to the database by the appliance's resolver: the system's is out of reach once it is locked down.
pub fn dial_by(resolver: Arc<Resolver>) -> Dial {
    Arc::new(move |host, port| {
        let resolver = Arc::clone(&resolver);
        Box::pin(async move {
            let addresses = match host.parse::<IpAddr>() {
                Ok(ip) => vec![ip],
                Err(_) => {
                    let name = Name::parse(host.as_bytes()).map_err(std::io::Error::other)?;
                    resolver.lookup(&name).await.map_err(std::io::Error::other)?
                }
            };
            let mut last = std::io::Error::other("it has no address");
            for ip in addresses {
                match TcpStream::connect(SocketAddr::new(ip, port)).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    })
}

/// The way to providers, for a command.
///
/// # Errors
/// Where what it takes can't be opened.
pub fn way(config: &Config, ca: &[Anchor]) -> anyhow::Result<Arc<dyn HttpClient>> {
    Ok(Arc::new(SecretsClient::new(Arc::new(start::dialer(config, ca)?))))
}

/// Sees to the logins for as long as it is polled, and has the keeper ask for those that changed.
pub async fn run(appliance: Arc<Appliance>) {
    let Some(escrow) = appliance.escrow.get() else { return std::future::pending().await };
    let mut changes = escrow.changes();
    let telling = async {
        while changes.changed().await.is_ok() {
            if let Some(keeper) = appliance.keeper.get() {
                keeper.ask_logins();
            }
        }
    };
    tokio::join!(escrow.run(), telling);
}
