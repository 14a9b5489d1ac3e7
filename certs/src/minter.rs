//! Server configurations for the names that agents may reach, each with a leaf minted for that name.
//!
//! All leaves share one key of the process, made at start and never the CA's. A name is minted once (single flight),
//! kept in a bounded cache, and minted again at half its life, so that no client sees a leaf near its end (TL-07,
//! TL-20, TL-22). It does not decide: whoever calls has asked policy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use moka::future::Cache;
use moka::ops::compute::Op;
use rcgen::{KeyPair, PublicKeyData as _, SubjectPublicKeyInfo};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::Semaphore;
use zeroize::Zeroize as _;

use crate::authority::{SKEW, leaf_params};
use crate::clock::whole_seconds;
use crate::{CaError, CertificateAuthority, Clock, LeafName, provider};

/// Days that a leaf is good for; never beyond the CA's end.
const LEAF_DAYS: u16 = 7;
/// The same.
pub(crate) const LONGEST_LEAF: Duration = Duration::from_secs(LEAF_DAYS as u64 * 24 * 60 * 60);
/// Signatures that may be made at the same time; the rest wait, so that minting never takes the whole machine.
const CONCURRENT_MINTS: usize = 4;

/// How leaves are minted and kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MinterConfig {
    /// Names kept at most. Default 10,000 (about 4 KiB each).
    pub cache_entries: u64,
}

impl Default for MinterConfig {
    fn default() -> Self {
        Self { cache_entries: 10_000 }
    }
}

impl MinterConfig {
    /// The default with another bound on the names kept.
    #[must_use]
    pub fn with_cache_entries(mut self, entries: u64) -> Self {
        self.cache_entries = entries;
        self
    }
}

/// Why there is no certificate for a name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// The caller passed a name that is not canonical.
    #[error("not a name that a certificate can be minted for")]
    Name,
    /// The CA has ended while the appliance ran.
    #[error("the CA has ended")]
    AuthorityEnded,
    /// The CA is constrained to other names.
    #[error("the CA may not sign for this name: it lies outside of its name constraints")]
    Constrained,
    /// The crypto library failed.
    #[error("minting failed: {0}")]
    Signing(#[from] CaError),
    /// The worker was cancelled: the runtime shuts down.
    #[error("minting was cancelled")]
    Cancelled,
}

impl From<rustls::Error> for MintError {
    fn from(error: rustls::Error) -> Self {
        Self::Signing(error.into())
    }
}

/// Mints leaves and hands out server configurations. Shared behind an `Arc`.
pub struct Minter {
    current: ArcSwap<Signing>,
    config: MinterConfig,
    /// Leaves that CAs before the current one signed.
    signed_before: AtomicU64,
    slots: Semaphore,
    clock: Clock,
}

/// What one CA signed and how, so that none of it outlives its turn.
struct Signing {
    press: Arc<Press>,
    cache: Cache<Key, Entry>,
}

impl Signing {
    fn new(authority: Arc<CertificateAuthority>, config: &MinterConfig) -> Result<Self, MintError> {
        Ok(Self { press: Arc::new(Press::new(authority)?), cache: Cache::new(config.cache_entries) })
    }
}

impl Minter {
    /// Makes the process's leaf key and an empty cache.
    ///
    /// # Errors
    /// [`MintError::Signing`] where there is no randomness.
    pub fn new(authority: Arc<CertificateAuthority>, config: &MinterConfig, clock: Clock) -> Result<Self, MintError> {
        Ok(Self {
            current: ArcSwap::from_pointee(Signing::new(authority, config)?),
            config: config.clone(),
            signed_before: AtomicU64::new(0),
            slots: Semaphore::new(CONCURRENT_MINTS),
            clock,
        })
    }

    /// Has another CA sign from now on. Leaves of the one before are forgotten, and no session that was begun with one is
    /// resumed: its client would go on to believe in a certificate of before.
    ///
    /// # Errors
    /// [`MintError::Signing`] where there is no randomness; the one before goes on.
    pub fn sign_with(&self, authority: Arc<CertificateAuthority>) -> Result<(), MintError> {
        let before = self.current.swap(Arc::new(Signing::new(authority, &self.config)?));
        self.signed_before.fetch_add(before.press.authority.signatures_total(), Ordering::Relaxed);
        Ok(())
    }

    /// The configuration to finish a handshake for `host` with: TLS 1.2 and 1.3, ALPN `h2` and `http/1.1`, resumption
    /// for the same name. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`MintError::Name`] for a name that is not canonical; the others are ours.
    pub async fn server_config(&self, host: &LeafName<'_>) -> Result<Arc<ServerConfig>, MintError> {
        let key = match host {
            LeafName::Dns(name) => Key::Dns(Arc::from(*name)),
            LeafName::Ip(address) => Key::Ip(*address),
        };
        let now = (self.clock)();
        let signing = self.current.load_full();
        if let Some(entry) = signing.cache.get(&key).await
            && now < entry.renew_at
        {
            return Ok(entry.config);
        }
        if !host.is_canonical() {
            return Err(MintError::Name);
        }
        self.mint(&signing, key, now).await
    }

    /// Leaves signed since start.
    pub fn minted_total(&self) -> u64 {
        let before = self.signed_before.load(Ordering::Relaxed);
        before + self.current.load().press.authority.signatures_total()
    }

    /// Names in the cache, approximately.
    pub fn cached_entries(&self) -> u64 {
        self.current.load().cache.entry_count()
    }

    /// Finishes evictions that are due, so that [`Minter::cached_entries`] is exact. The cache does this by itself as it
    /// is used; tests and a metrics scrape may ask for it.
    pub async fn settle(&self) {
        self.current.load_full().cache.run_pending_tasks().await;
    }

    /// The CA that signs.
    pub fn authority(&self) -> Arc<CertificateAuthority> {
        Arc::clone(&self.current.load().press.authority)
    }

    /// Single flight: the cache runs computations for one key one after the other, and all but the first find a fresh
    /// entry. A caller that goes away takes its turn with it, no lock stays behind.
    async fn mint(&self, signing: &Signing, key: Key, now: SystemTime) -> Result<Arc<ServerConfig>, MintError> {
        let name = key.clone();
        let mut answer = None;
        signing
            .cache
            .entry(key)
            .and_try_compute_with(|current| {
                let fresh = current.map(|entry| entry.into_value()).filter(|entry| now < entry.renew_at);
                let answer = &mut answer;
                async move {
                    let (entry, op) = match fresh {
                        Some(entry) => (entry, Op::Nop),
                        None => {
                            let entry = self.press_one(&signing.press, name, now).await?;
                            (entry.clone(), Op::Put(entry))
                        }
                    };
                    *answer = Some(entry.config);
                    Ok::<_, MintError>(op)
                }
            })
            .await?;
        answer.ok_or(MintError::Cancelled)
    }

    /// Signs off the reactor: an operator's RSA key takes a millisecond or more.
    async fn press_one(&self, press: &Arc<Press>, key: Key, now: SystemTime) -> Result<Entry, MintError> {
        let _slot = self.slots.acquire().await.map_err(|_| MintError::Cancelled)?;
        let press = Arc::clone(press);
        tokio::task::spawn_blocking(move || press.press(&key, now)).await.map_err(|_| MintError::Cancelled)?
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Dns(Arc<str>),
    Ip(std::net::IpAddr),
}

impl Key {
    fn name(&self) -> LeafName<'_> {
        match self {
            Self::Dns(name) => LeafName::Dns(name),
            Self::Ip(address) => LeafName::Ip(*address),
        }
    }
}

#[derive(Clone)]
struct Entry {
    config: Arc<ServerConfig>,
    renew_at: SystemTime,
}

/// What makes an entry: the CA, the leaf key, and the configuration that all names share.
struct Press {
    authority: Arc<CertificateAuthority>,
    leaf_key: Arc<dyn SigningKey>,
    leaf_public: SubjectPublicKeyInfo,
    life: time::Duration,
    base: ServerConfig,
}

impl Press {
    fn new(authority: Arc<CertificateAuthority>) -> Result<Self, MintError> {
        let (leaf_key, leaf_public) = leaf_key()?;
        Ok(Self {
            authority,
            leaf_key,
            leaf_public,
            life: time::Duration::days(i64::from(LEAF_DAYS)),
            base: base_config()?,
        })
    }

    fn press(&self, key: &Key, now: SystemTime) -> Result<Entry, MintError> {
        if !self.authority.admits(&key.name()) {
            return Err(MintError::Constrained);
        }
        let at = whole_seconds(now);
        let (begin, end) = self.authority.validity();
        let not_before = (at - SKEW).max(begin);
        let not_after = (at + self.life).min(end);
        if not_after <= at {
            return Err(MintError::AuthorityEnded);
        }
        let leaf = leaf_params(key.name(), not_before, not_after)?
            .signed_by(&self.leaf_public, self.authority.issuer())
            .map_err(CaError::from)?;

        let mut chain = vec![leaf.der().clone()];
        chain.extend_from_slice(self.authority.chain());
        let mut config = self.base.clone();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, Arc::clone(&self.leaf_key))));
        if let Key::Ip(_) = key {
            // rustls compares a ticket's SNI with the connection's, and an IP host has none: with the shared keys a
            // session for one address would resume at another. Its own keys make that impossible (TL-11).
            config.ticketer = provider::ticketer()?;
        }
        let half = Duration::try_from((not_after - at) / 2).unwrap_or_default();
        Ok(Entry { config: Arc::new(config), renew_at: now + half })
    }
}

fn leaf_key() -> Result<(Arc<dyn SigningKey>, SubjectPublicKeyInfo), MintError> {
    let mut pair = KeyPair::generate().map_err(CaError::from)?;
    let public = SubjectPublicKeyInfo::from_der(&pair.subject_public_key_info()).map_err(CaError::from)?;
    let mut der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialized_der().to_vec()));
    let key = provider::tls_key(&der);
    der.zeroize();
    pair.zeroize();
    Ok((key?, public))
}

/// What all names have in common. Tickets only: they cost no memory per session, and early data stays off (replay).
fn base_config() -> Result<ServerConfig, MintError> {
    let mut config = ServerConfig::builder_with_provider(provider::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(NoCertificate));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = provider::ticketer()?;
    config.send_tls13_tickets = 1;
    config.max_early_data_size = 0;
    // The provider's order of suites, not the agent's.
    config.ignore_client_order = true;
    Ok(config)
}

/// Stands in the base, which is never used for a handshake itself.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesServerCert for NoCertificate {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
