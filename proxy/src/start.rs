//! Wiring: from a checked configuration to a running appliance, and from SIGTERM to its end.

mod authorities;
mod drain;
mod handed;
mod inside;
mod sockets;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use rustls::RootCertStore;
use stubgate_certs::{Anchor, Minter, MinterConfig, TrustRoots, client_config, system_clock};
use stubgate_credentials::minted::{self, Minting, Revoked, StubKey};
use stubgate_credentials::{CredentialStore, VersionKey};
use stubgate_dns::{ForwardZone, NameBudget, Resolver, ResolverConfig};
use stubgate_policy::compile;
use stubgate_policy::secret_source::Exec;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin;
use crate::appliance::Appliance;
use crate::budget::Budgets;
use crate::ca::{self, Authorities};
use crate::config::{AuditSink, Config, policy_files};
use crate::forward::Pool;
use crate::forward::dial::Dialer;
use crate::gateways::Gateways;
use crate::guard::Guard;
use crate::health::Health;
use crate::inspect::Budget;
use crate::keeping;
use crate::listen::{self, Admissions, Handshakes};
use crate::live::{Live, Rate};
use crate::lockdown::{self, Confinement, Identity, Part, Plan};
use crate::logins;
use crate::manager::Manager;
use crate::metrics::Metrics;
use crate::pods::{self, Pods};
use crate::programs::{self, Helper};
use crate::quarantine::Quarantine;
use crate::record::{Audit, Event, Layer, Line};
use crate::reload::{First, Reloader};
use crate::request::Ids;
use crate::snapshot::Snapshot;

pub(crate) use authorities::{anchors, anchors_as_user, authorities_as_user};
pub use authorities::{authorities, given_authority};
pub use drain::Stop;
pub use handed::{Handed, HandedError};
pub use inside::start_for;
pub use sockets::Addresses;
use sockets::{Sockets, listed};

/// How often waiting records are written and idle connections looked through.
const TICK: Duration = Duration::from_millis(100);
/// Ticks between two looks at what takes too long: about a second.
const TICKS_PER_LOOK: u32 = 10;
/// How long a request's body may come slowly.
const BODY_GRACE: Duration = Duration::from_secs(60);
/// How long a refresh that is under way, and what it had, is seen to at the end: a request and its repetition.
const SETTLE: Duration = Duration::from_secs(42);
/// How long questions that are with other servers are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// An appliance with its sockets open, that serves nothing yet.
pub struct Started {
    /// What all parts share.
    pub appliance: Arc<Appliance>,
    config: Arc<Config>,
    config_file: Option<PathBuf>,
    sockets: Sockets,
    first: Option<First>,
    /// What runs programs for credentials, where there are any; or those that nobody can run.
    helper: Option<Result<Helper, Vec<Exec>>>,
    anchors: Vec<Anchor>,
}

/// Opens everything that a configuration names: the sockets, and after them, as the user that it names, the files.
/// Nothing is served before [`Started::serve`]. Needs no runtime.
///
/// # Errors
/// What could not be opened, by name. A bad policy is no error here: it serves refusals and is not ready.
pub fn start(config: Config) -> anyhow::Result<Started> {
    start_with(config, Handed::none())
}

/// The same, with sockets that were open before; those that were not are opened.
///
/// # Errors
/// As above, and where one was handed over that the configuration does not have.
pub fn start_with(config: Config, handed: Handed) -> anyhow::Result<Started> {
    let sockets = Sockets::open(&config, &zones(&config), handed)?;
    start_on(config, sockets, Vec::new())
}

/// The same, on sockets that are open. `stamped` are the agents that have some of them to themselves.
fn start_on(config: Config, sockets: Sockets, stamped: Vec<Arc<str>>) -> anyhow::Result<Started> {
    let config = Arc::new(config);
    let metrics = Metrics::new();
    let life = authorities_as_user(&config)?;
    if life.is_new() {
        tracing::warn!(
            folder = %config.state_dir.join("ca").display(),
            sha256_fingerprint = life.signing().fingerprint_sha256(),
            "made a new certificate authority; agents must trust its bundle (stubgate ca bundle)"
        );
    }
    if !config.ca.subtrees.is_empty() && life.signing().permitted_subtrees() != config.ca.subtrees.names() {
        tracing::warn!(
            "the CA that signs has other name constraints than stubgate.yaml; `stubgate ca rotate` makes one that has them"
        );
    }
    let anchors = anchors(&life);
    let minting = MinterConfig::default().with_cache_entries(config.limits.minted_certificates);
    let minter = Minter::new(Arc::clone(life.signing()), &minting, system_clock())?;
    let roots = roots(&config, &anchors)?;
    let dialer = dialer_trusting(&config, roots.clone())?;
    if let Some(folder) = config.ca.bundle_file.as_deref().and_then(Path::parent)
        && let Err(error) = ca::make_folder(folder)
    {
        tracing::warn!(%error, folder = %folder.display(), "the folder of the bundle's file can't be made");
    }
    let authorities = Authorities::new(life, config.ca.terms, roots, config.ca.bundle_file.clone());
    let credentials = CredentialStore::new(version_key(&config)?);
    let stubs = minted_stubs(&config)?;
    let audit = Audit::open(&config.audit, config.limits.refusals_per_second, metrics.clone())?;
    let limits = config.limits.clone();
    let names = NameBudget {
        names: limits.wildcard_names_per_minute,
        label_bytes: limits.wildcard_label_bytes_per_minute,
        label_bits: limits.wildcard_label_bits_per_minute,
    };
    let budgets = Budgets::new(limits.requests_per_agent, names, metrics.clone());
    let appliance = Arc::new(Appliance {
        snapshot: ArcSwap::from_pointee(Snapshot::refusing(&metrics)),
        credentials: Arc::new(credentials),
        keeper: OnceLock::new(),
        health: Health::new(metrics.clone(), Arc::new(SystemTime::now)),
        escrow: OnceLock::new(),
        programs: OnceLock::new(),
        minting: stubs,
        audit,
        held: Budget::new(limits.inspected_bytes, limits.inspected_bytes_per_agent),
        pool: Pool::new(limits.upstream_idle_per_authority, config.timeouts.upstream_idle),
        stamped,
        pods: config.kubernetes.clone().map(Pods::new),
        gateways: Gateways::of_this_machine(),
        nobody_alarm: crate::scrub::Alarm::new(),
        admissions: Admissions::new(limits.connections_per_agent, limits.connections, metrics.clone()),
        timeouts: config.timeouts.clone(),
        minter,
        dialer: Arc::new(dialer),
        live: Arc::new(Live::default()),
        handshakes: Handshakes::new(limits.handshakes_per_agent, &metrics),
        budgets,
        quarantine: Quarantine::default(),
        metrics,
        limits,
        scrub_alarm: crate::scrub::Alarm::new(),
        tripwire_alarm: crate::scrub::Alarm::new(),
        shown_alarm: crate::scrub::Alarm::new(),
        ids: Ids::new(),
        authorities,
        leaving: CancellationToken::new(),
        draining: CancellationToken::new(),
        closing: CancellationToken::new(),
        tasks: TaskTracker::new(),
        earlier: TaskTracker::new(),
        manager: OnceLock::new(),
        confinement: OnceLock::new(),
    });
    ca::announce(&appliance);
    Ok(Started { appliance, config, config_file: None, sockets, first: None, helper: None, anchors })
}

/// What makes connections to origins, and to whoever else the configuration names.
///
/// # Errors
/// What it takes and could not be opened.
pub(crate) fn dialer(config: &Config, own: &[Anchor]) -> anyhow::Result<Dialer> {
    dialer_trusting(config, roots(config, own)?)
}

fn roots(config: &Config, own: &[Anchor]) -> anyhow::Result<RootCertStore> {
    TrustRoots::load(&config.upstream.ca_files, own).context("the certificates trusted for origins")
}

fn dialer_trusting(config: &Config, roots: RootCertStore) -> anyhow::Result<Dialer> {
    let guard = Guard::new(
        own_addresses(config).context("the addresses of this machine")?,
        config.upstream.allow_private.clone(),
        config.upstream.connect_to.clone(),
    );
    Ok(Dialer::new(
        resolver(config, zones(config))?,
        guard,
        client_config(roots.clone(), &[b"http/1.1"])?,
        client_config(roots, &[b"h2", b"http/1.1"])?,
        config.timeouts.connect,
    ))
}

fn resolver(config: &Config, zones: Vec<ForwardZone>) -> anyhow::Result<Resolver> {
    Ok(Resolver::new(ResolverConfig {
        nameservers: config.upstream.nameservers.clone(),
        zones,
        timeout: config.timeouts.connect,
        cache_entries: 10_000,
    })?)
}

fn zones(config: &Config) -> Vec<ForwardZone> {
    config.forward.iter().map(|zone| ForwardZone { zones: zone.zones.clone(), to: zone.to.clone() }).collect()
}

/// What minted stubs need. A key that is ours and can't be had stops no appliance; it then takes none.
fn minted_stubs(config: &Config) -> anyhow::Result<Option<Arc<Minting>>> {
    let key = match stub_key(config) {
        Ok(key) => key,
        Err(error) if !config.stubs.has_own_key => {
            tracing::warn!(%error, "no minted stub is taken: there is no key for them");
            return Ok(None);
        }
        Err(error) => return Err(error).context("stubs.key_file"),
    };
    if let Some(folder) = config.stubs.revoked_file.parent()
        && let Err(error) = minted::make_folder(folder)
    {
        tracing::warn!(%error, folder = %folder.display(), "the folder of revoked stubs can't be made");
    }
    Ok(Some(Arc::new(Minting { key, revoked: Revoked::new(config.stubs.revoked_file.clone()) })))
}

/// The key that a configuration means: the operator's file, or the one in `state_dir`, made if it is not there.
///
/// # Errors
/// Where it can't be read or made.
pub fn stub_key(config: &Config) -> Result<StubKey, minted::KeyError> {
    let path = &config.stubs.key_file;
    if config.stubs.has_own_key { StubKey::load(path) } else { StubKey::load_or_create(path) }
}

/// Where the key of versions is.
pub(crate) fn version_key_file(config: &Config) -> PathBuf {
    config.state_dir.join("version.key")
}

/// What versions of credentials are made with: the key in `state_dir`, made if it is not there. One that can't be had stops
/// no appliance; records of one run can then not be compared with those of another.
fn version_key(config: &Config) -> anyhow::Result<VersionKey> {
    let kept = VersionKey::load_or_create(&version_key_file(config));
    kept.or_else(|error| {
        tracing::warn!(%error, "versions of credentials in records are of this run alone: there is no key for them");
        VersionKey::random().context("the key of versions")
    })
}

/// Becomes the user that the configuration names, with folders to write in.
fn become_user(config: &Config) -> anyhow::Result<()> {
    let Some(user) = &config.process.user else { return Ok(()) };
    let identity = Identity::find(user)?;
    let audit = config.audit.iter().filter_map(|file| match &file.sink {
        AuditSink::File(path) => path.parent(),
        AuditSink::Stdout => None,
    });
    for folder in audit.chain([config.state_dir.as_path()]) {
        identity.make_folder(folder).with_context(|| format!("the folder {}", folder.display()))?;
    }
    identity.assume()
}

impl Started {
    /// Says which file the configuration was read from, so that SIGHUP can tell whether it is still what runs.
    #[must_use]
    pub fn read_from(mut self, file: &Path) -> Self {
        self.config_file = Some(file.to_owned());
        self
    }

    /// Locks the process down to what serving takes, and says what of that is in force. Must be called before there is a
    /// runtime: what is locked down is the calling thread with those that it starts later. The first policy is read
    /// before, because it says where credentials are; credentials are read after, as each reload reads them.
    ///
    /// # Errors
    /// Where a part is not to be had that the configuration requires.
    pub fn lock_down(mut self) -> anyhow::Result<Self> {
        if let Some(manager) = Manager::from_environment() {
            // Nobody locks down twice.
            let _ = self.appliance.manager.set(manager);
        }
        // What is wrong with it is said by the reload that takes it.
        self.first = policy_files(&self.config.policy).ok().map(|files| First { compiled: compile(&files), files });
        let policy = self.first.as_ref().and_then(|first| first.compiled.as_ref().ok()).map(|good| &good.policy);
        let programs = policy.map(programs::named_by).unwrap_or_default();
        if !programs.is_empty() {
            // While processes may be started.
            self.helper = Some(Helper::start(programs.clone()).map_err(|error| {
                tracing::error!(%error, "programs for credentials can't be run");
                programs
            }));
        }
        if let Some(Ok(helper)) = &self.helper {
            let (programs, process) = (helper.programs().len(), helper.id());
            tracing::info!(programs, process, "programs for credentials can be run");
        }
        if logins::is_wanted(&self.config, policy) {
            self.open_escrow()?;
        }
        let plan = Plan::new(&self.config, self.config_file.as_deref(), policy);
        let report = lockdown::apply(&plan);
        let state = |part| report.state(part).map(ToString::to_string);
        let missing: Vec<&str> = report.missing().into_iter().map(Part::as_str).collect();
        let landlock = state(Part::Landlock);
        let seccomp = state(Part::Seccomp);
        let capabilities = state(Part::Capabilities);
        let no_new_privileges = state(Part::NoNewPrivileges);
        let not_dumpable = state(Part::NotDumpable);
        let locked_memory = state(Part::LockedMemory);
        if missing.is_empty() {
            let message = "locked down";
            tracing::info!(landlock, seccomp, capabilities, no_new_privileges, not_dumpable, locked_memory, message);
        } else {
            let message = "locked down in part";
            tracing::warn!(landlock, seccomp, capabilities, no_new_privileges, not_dumpable, locked_memory, message);
        }
        if self.config.process.require_lockdown && !missing.is_empty() {
            return Err(anyhow!("process.require_lockdown is set, and not all is in force: {report}"));
        }
        // It is set once: nobody locks down twice.
        let _ = self.appliance.confinement.set(Confinement { report, boundary: plan.boundary() });
        Ok(self)
    }

    fn open_escrow(&self) -> anyhow::Result<()> {
        let resolver = resolver(&self.config, zones(&self.config))?;
        let escrow = logins::open(&self.config, &self.anchors, logins::dial_by(Arc::new(resolver)))?;
        // Nobody locks down twice.
        let _ = self.appliance.escrow.set(Arc::new(escrow));
        Ok(())
    }

    /// Where it listens.
    pub fn addresses(&self) -> Addresses {
        self.sockets.addresses()
    }

    /// Reads the policy, then serves until `stop` completes, then drains as that says.
    ///
    /// # Errors
    /// Where a part failed that the appliance can't do without.
    pub async fn serve(self, stop: impl Future<Output = Stop>) -> anyhow::Result<()> {
        let addresses = self.addresses();
        let Started { appliance, config, config_file, sockets, first, helper, .. } = self;
        let Sockets { agents, admin, dns, all_handed, stamp } = sockets;
        // Before anything else: until someone listens for it, SIGHUP ends a process.
        let hangup = signal(SignalKind::hangup())?;
        let said = keeping::start(&appliance, helper);
        let mut reloader = Reloader::new(Arc::clone(&appliance), said, config, config_file, first);
        let ready = reloader.reload();
        lifecycle(&appliance, if ready { "started" } else { "started without a policy" });
        tracing::info!(
            ready,
            dns = listed(&addresses.dns),
            http = listed(&addresses.http),
            https = listed(&addresses.https),
            proxy = listed(&addresses.proxy),
            transparent = listed(&addresses.transparent),
            admin = listed(&addresses.admin),
            version = env!("CARGO_PKG_VERSION"),
            "serving"
        );
        let has_names = dns.is_some();
        let surroundings = Arc::clone(&appliance);
        for (listener, socket) in agents {
            let socket = TcpListener::from_std(socket)?;
            tokio::spawn(listen::accept(Arc::clone(&appliance), socket, listener, stamp));
        }
        for socket in admin {
            let socket = TcpListener::from_std(socket)?;
            tokio::spawn(admin::serve(Arc::clone(&appliance), socket));
        }
        // To the last: what is under way, and who comes to another replica, still asks.
        let asked = appliance.closing.child_token();
        let mut names = tokio::spawn(async move {
            match dns {
                Some(dns) => dns.serve(surroundings, asked).await,
                None => std::future::pending().await,
            }
        });
        let watching = tokio::spawn(pods::watch(Arc::clone(&appliance)));
        let living = tokio::spawn(ca::run(Arc::clone(&appliance)));
        let ticking = tokio::spawn(tick(Arc::clone(&appliance)));
        let refreshing = tokio::spawn(logins::run(Arc::clone(&appliance)));
        let reloading = tokio::spawn(reloader.run(hangup));
        if let Some(manager) = appliance.manager.get() {
            manager.serving(ready);
        }
        let mut failed = Ok(());
        let stop = tokio::select! {
            stop = stop => stop,
            ended = reloading => {
                failed = Err(anyhow!("reloading ended: {ended:?}"));
                Stop::Announced
            }
            ended = &mut names => {
                failed = Err(anyhow!("DNS ended: {ended:?}"));
                Stop::Announced
            }
        };
        drain::drain(&appliance, stop, all_handed).await;
        if has_names && failed.is_ok() {
            // Its own deadlines bound it; what is left ends with the process.
            let _ = tokio::time::timeout(FAREWELL, names).await;
        }
        refreshing.abort();
        living.abort();
        if let Some(escrow) = appliance.escrow.get() {
            // A refresh that has begun is seen to its end: its answer may hold the only token that is good from now on.
            let _ = tokio::time::timeout(SETTLE, escrow.settle()).await;
        }
        lifecycle(&appliance, "stopped");
        watching.abort();
        ticking.abort();
        appliance.audit.tick(Instant::now() + Duration::from_secs(1));
        failed
    }
}

async fn tick(appliance: Arc<Appliance>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let rate = Rate {
        bytes_per_second: appliance.limits.body_bytes_per_second,
        grace: appliance.timeouts.body_idle.min(BODY_GRACE),
    };
    let mut turn = 0_u32;
    let manager = appliance.manager.get().and_then(|manager| Some((manager, manager.pulse()?)));
    let mut told = Instant::now();
    loop {
        ticks.tick().await;
        if let Some((manager, pulse)) = manager
            && told.elapsed() >= pulse
        {
            manager.alive();
            told = Instant::now();
        }
        appliance.audit.tick(Instant::now());
        appliance.pool.sweep();
        if turn.is_multiple_of(TICKS_PER_LOOK) {
            keeping::look_ahead(&appliance);
            appliance.live.keep_pace(rate, &appliance.budgets, Instant::now());
            if appliance.credentials.forget_replaced(appliance.timeouts.credential_replaced) {
                // Buffers of a connection that it was sent on go with the connection; what is under way on one ends first.
                appliance.pool.clear();
            }
        }
        turn = turn.wrapping_add(1);
    }
}

fn lifecycle(appliance: &Appliance, outcome: &'static str) {
    let line = Line {
        outcome: Some(outcome),
        note: Some(concat!("stubgate ", env!("CARGO_PKG_VERSION"))),
        ..Line::new(Event::Lifecycle, Layer::Audit)
    };
    // A lost record is counted.
    let _ = appliance.audit.write(&line);
}

/// Addresses that must never be dialled: the machine's, and those that lead back to us.
fn own_addresses(config: &Config) -> std::io::Result<Vec<IpAddr>> {
    let mut own: Vec<IpAddr> = if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect();
    own.extend(config.advertise.v4.iter().copied().map(IpAddr::V4));
    own.extend(config.advertise.v6.iter().copied().map(IpAddr::V6));
    Ok(own)
}
