//! The appliance's own resolver, used to dial. It asks for whole names only, A and AAAA together: no search list, no hosts
//! file, no names of an agent's making (law 6; the caller resolves only what a Permit names). Types of the resolving
//! library stay inside.
//!
//! What it finds is kept between 30 and 300 seconds whatever the records say (a TTL of 0 or of 2^31 is of no use to
//! anybody), one question is under way for a name at a time, and while no server answers the last good addresses serve
//! for ten minutes more. Whether an address may be dialled is for the caller to judge, each time.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use hickory_resolver::{
    TokioResolver,
    config::{
        ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig as HickoryConfig,
        ResolverOpts,
    },
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::rr::Name as HickoryName,
    system_conf::read_system_conf,
};
use moka::{Expiry, future::Cache};
use stubgate_policy::Name;

use crate::{ForwardZone, zones::Zones};

const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(300);
const LAST_GOOD: Duration = Duration::from_secs(600);

/// Settings of a [`Resolver`].
#[derive(Clone, Debug)]
pub struct ResolverConfig {
    /// Servers for all names that lie in none of `zones`. Empty: those of `/etc/resolv.conf`, never its search list.
    pub nameservers: Vec<SocketAddr>,
    /// Zones with servers of their own; the longest one wins.
    pub zones: Vec<ForwardZone>,
    /// How long one lookup may take in all.
    pub timeout: Duration,
    /// The most names that are kept.
    pub cache_entries: u64,
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// `/etc/resolv.conf` could not be read.
    #[error("the system's name servers could not be read: {0}")]
    System(String),
    /// There is nobody to ask.
    #[error("no name server for {0}")]
    NoServers(&'static str),
    /// The resolver could not be set up.
    #[error("the resolver could not be set up: {0}")]
    Setup(String),
}

/// Why a name has no address now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No server answered in time.
    #[error("no name server answered in time")]
    Timeout,
    /// The name does not exist, or has no address.
    #[error("the name has no address")]
    NotFound,
    /// The servers answered, but with an error or with nothing of use.
    #[error("the name servers failed")]
    Failed,
}

/// Resolves names for the appliance itself.
pub struct Resolver {
    upstream: TokioResolver,
    zones: Zones<TokioResolver>,
    timeout: Duration,
    fresh: Cache<Name, Found>,
    last_good: Cache<Name, Arc<[IpAddr]>>,
}

#[derive(Clone)]
struct Found {
    /// Empty if the name has none.
    addresses: Arc<[IpAddr]>,
    keep: Duration,
}

impl Resolver {
    /// Builds a resolver; must be called inside a tokio runtime only for lookups, not for this.
    pub fn new(config: ResolverConfig) -> Result<Resolver, ResolverError> {
        let servers = if config.nameservers.is_empty() {
            let (system, _) = read_system_conf().map_err(|error| ResolverError::System(error.to_string()))?;
            system.name_servers().to_vec()
        } else {
            config.nameservers.iter().map(name_server).collect()
        };
        let upstream = build(servers, "the world", config.timeout)?;
        let mut zones = Vec::new();
        for entry in &config.zones {
            let resolver = build(entry.to.iter().map(name_server).collect(), "a forwarded zone", config.timeout)?;
            zones.extend(entry.zones.iter().map(|zone| (zone.clone(), resolver.clone())));
        }
        let last_good = Cache::builder().max_capacity(config.cache_entries).time_to_live(LAST_GOOD + LONGEST).build();
        Ok(Resolver {
            upstream,
            zones: Zones::new(zones),
            timeout: config.timeout,
            fresh: Cache::builder().max_capacity(config.cache_entries).expire_after(KeepAsFound).build(),
            last_good,
        })
    }

    /// The addresses of a name; never an empty list.
    pub async fn lookup(&self, name: &Name) -> Result<Vec<IpAddr>, ResolveError> {
        match self.fresh.try_get_with_by_ref(name, self.ask(name)).await {
            Ok(found) if found.addresses.is_empty() => Err(ResolveError::NotFound),
            Ok(found) => Ok(found.addresses.to_vec()),
            Err(error) => match self.last_good.get(name).await {
                Some(addresses) => Ok(addresses.to_vec()),
                None => Err(*error),
            },
        }
    }

    async fn ask(&self, name: &Name) -> Result<Found, ResolveError> {
        let mut asked = HickoryName::from_ascii(name.as_str()).map_err(|_| ResolveError::NotFound)?;
        asked.set_fqdn(true);
        let resolver = self.zones.find(name).unwrap_or(&self.upstream);
        let answer = tokio::time::timeout(self.timeout, resolver.lookup_ip(asked)).await;
        match answer.map_err(|_| ResolveError::Timeout)? {
            Ok(answer) => {
                let addresses: Arc<[IpAddr]> = answer.iter().collect();
                let keep = answer.valid_until().saturating_duration_since(Instant::now()).clamp(SHORTEST, LONGEST);
                if !addresses.is_empty() {
                    self.last_good.insert(name.clone(), addresses.clone()).await;
                }
                Ok(Found { addresses, keep })
            }
            Err(error) => match fault(&error) {
                ResolveError::NotFound => {
                    self.last_good.invalidate(name).await;
                    Ok(Found { addresses: Arc::new([]), keep: SHORTEST })
                }
                other => Err(other),
            },
        }
    }
}

struct KeepAsFound;

impl Expiry<Name, Found> for KeepAsFound {
    fn expire_after_create(&self, _: &Name, found: &Found, _: Instant) -> Option<Duration> {
        Some(found.keep)
    }
}

fn fault(error: &NetError) -> ResolveError {
    match error {
        NetError::Timeout => ResolveError::Timeout,
        NetError::Dns(DnsError::NoRecordsFound(_)) => ResolveError::NotFound,
        _ => ResolveError::Failed,
    }
}

fn name_server(server: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.to_vec())
}

fn build(servers: Vec<NameServerConfig>, of: &'static str, timeout: Duration) -> Result<TokioResolver, ResolverError> {
    if servers.is_empty() {
        return Err(ResolverError::NoServers(of));
    }
    let config = HickoryConfig::from_parts(None, Vec::new(), servers);
    let mut options = ResolverOpts::default();
    options.ndots = 0;
    options.attempts = 1;
    options.timeout = timeout / 2;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.case_randomization = true;
    options.edns_payload_len = crate::wire::UDP_PAYLOAD;
    TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(|error| ResolverError::Setup(error.to_string()))
}

#[cfg(test)]
mod tests;
