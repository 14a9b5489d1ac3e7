//! The CA's life in a running appliance: [`Life`] decides, this has it in force, and tells agents, operators and records of it.
//!
//! A task of its own turns it: woken by the folder of the CA and by the operator's files, by an agent that was seen, and by a slow
//! clock. Who is *seen* says so itself, by how it asks for the bundle ([`bundle`]), and is believed: an agent that lies has leaves
//! that it does not trust, and nobody else has. One that never says so holds a rotation up until its deadline and no longer.

mod audience;
mod bundle;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Response;
use rustls::RootCertStore;
use stubgate_certs::{Anchor, CaError, CertificateAuthority, Life, Phase, Role, Terms, Turned, bundle_pem, is_trusted};
use tokio::sync::{Notify, mpsc};

use crate::appliance::Appliance;
use crate::decide::BundleAsked;
use crate::identify;
use crate::record::{Event, Layer, Line};
use crate::reload::Watch;
use crate::respond::ResponseBody;
use crate::scrub::Alarm;
use audience::Agents;
use bundle::Bundle;

pub use bundle::{Form, make_folder};

/// How often it is looked whether something is due.
const TURN: Duration = Duration::from_secs(1);
/// Turns between two looks at the disk without any sign of a change.
const TURNS_PER_LOOK: u32 = 30;
/// How long after a change the files are read: they are written one after the other.
const SETTLE: Duration = Duration::from_millis(100);
/// Agents that a record or the log names at most.
const NAMED: usize = 20;

/// The CAs of an appliance, and what agents are told of them.
pub struct Authorities {
    life: Mutex<Life>,
    terms: Terms,
    /// Who is trusted upstream, which no CA of ours may be.
    roots: RootCertStore,
    bundle_file: Option<PathBuf>,
    /// The system's certificates, PEM: where the process is locked down it can't read them again.
    system: String,
    bundle: ArcSwap<Bundle>,
    agents: Agents,
    woken: Notify,
    said: Mutex<Said>,
    distrust_alarm: Alarm,
}

/// What has been said, so that it is said once.
#[derive(Default)]
struct Said {
    problem: Option<String>,
    file: Option<String>,
}

impl Authorities {
    /// With the bundle written where it is to be.
    pub fn new(life: Life, terms: Terms, roots: RootCertStore, bundle_file: Option<PathBuf>) -> Self {
        let system = bundle_pem(&[], true);
        let bundle = Bundle::new(&life, &system);
        let agents = Agents::new(life.coming(), life.audience());
        let authorities = Self {
            life: Mutex::new(life),
            terms,
            roots,
            bundle_file,
            system,
            bundle: ArcSwap::from_pointee(bundle),
            agents,
            woken: Notify::new(),
            said: Mutex::default(),
            distrust_alarm: Alarm::new(),
        };
        authorities.write_file();
        authorities
    }

    /// Notes that an agent was shown a leaf, at this address.
    pub fn hear(&self, agent: &Arc<str>, address: IpAddr) {
        self.agents.hear(agent, address.to_canonical(), SystemTime::now());
    }

    /// The bundle for an agent, and whether it needed it: whoever names the one in force in `If-None-Match` has it.
    pub fn answer(&self, asked: &BundleAsked) -> Response<ResponseBody> {
        let BundleAsked { agent, address, form, known } = asked;
        let (bundle, now, address) = (self.bundle.load(), SystemTime::now(), address.to_canonical());
        let (response, is_seen) = bundle.answer(*form, known.as_ref(), now);
        self.agents.hear(agent, address, now);
        if is_seen && self.agents.see(agent, address, bundle.coming(), now) {
            self.woken.notify_one();
        }
        response
    }

    /// What agents must trust, PEM; with the system's where they take one file for everything.
    pub fn bundle(&self, form: Form) -> Bytes {
        self.bundle.load().pem(form)
    }

    fn life(&self) -> std::sync::MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vet(&self, authority: &CertificateAuthority) -> Result<(), CaError> {
        if is_trusted(&self.roots, &authority.anchor()) { Err(CaError::TrustedUpstream) } else { Ok(()) }
    }

    /// Keeps the bundle's file as it is to be. What can't be written is said, and tried again with each look.
    fn write_file(&self) {
        let Some(path) = &self.bundle_file else { return };
        let problem = bundle::write(path, &self.bundle(Form::WithSystem)).err().map(|error| error.to_string());
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &problem
            && said.file != problem
        {
            tracing::error!(file = %path.display(), error, "the bundle's file can't be kept; those who mount it go on with the old one");
        }
        said.file = problem;
    }

    /// Folders that tell of a change.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let life = self.life();
        let files = life.files().into_iter().flatten().filter_map(Path::parent);
        life.folder().into_iter().chain(files).map(Path::to_owned).collect()
    }
}

/// Turns it until the appliance drains.
pub async fn run(appliance: Arc<Appliance>) {
    let (woken, mut wakes) = mpsc::channel(1);
    let mut watch = Watch::new(move || {
        // A full channel holds a wake-up already.
        let _ = woken.try_send(());
    });
    watch.follow(appliance.authorities.folders());
    let mut turns: u32 = 0;
    loop {
        let mut looks = turns.is_multiple_of(TURNS_PER_LOOK);
        turns = turns.wrapping_add(1);
        tokio::select! {
            Some(()) = wakes.recv() => {
                tokio::time::sleep(SETTLE).await;
                looks = true;
            }
            () = appliance.authorities.woken.notified() => {}
            () = tokio::time::sleep(TURN) => {}
            () = appliance.draining.cancelled() => return,
        }
        while wakes.try_recv().is_ok() {}
        let turning = Arc::clone(&appliance);
        // Files are read and written, and keys made.
        let turned = tokio::task::spawn_blocking(move || while turn(&turning, looks) {}).await;
        if let Err(error) = turned {
            tracing::error!(%error, "the CA was not looked after; it is tried again");
        }
    }
}

/// One turn; whether there may be more to do at once.
fn turn(appliance: &Appliance, looks: bool) -> bool {
    let authorities = &appliance.authorities;
    let snapshot = appliance.snapshot.load();
    // Without a policy nobody is known, and everybody is waited for.
    let may_come =
        |name: &str, address| !snapshot.is_ready() || identify::may_come(appliance, &snapshot.policy, name, address);
    let now = SystemTime::now();
    let mut life = authorities.life();
    if looks && life.coming().is_none() {
        authorities.agents.prune(now, may_come);
    }
    let before = Before { names: names(&life), phase: life.phase(), signing: Arc::clone(life.signing()) };
    let audience = |coming: &str| authorities.agents.told(coming, now, may_come);
    let vet = |authority: &CertificateAuthority| authorities.vet(authority);
    let Turned { is_changed, problem } = life.turn(now, authorities.terms, looks, vet, audience);
    if is_changed {
        authorities.bundle.store(Arc::new(Bundle::new(&life, &authorities.system)));
        authorities.agents.await_with(life.coming());
        tell(appliance, &life, &before);
    }
    // Also if it could not be had the last time.
    let is_behind = !Arc::ptr_eq(&appliance.minter.authority(), life.signing());
    if is_behind && let Err(error) = appliance.minter.sign_with(Arc::clone(life.signing())) {
        tracing::error!(%error, "the CA that signs now can't be put in force; the one before goes on, and it is tried again");
    }
    if looks || problem.is_some() {
        say(appliance, problem);
    }
    count(appliance, &life);
    drop(life);
    if looks || is_changed {
        authorities.write_file();
    }
    is_changed
}

/// Every CA by its part.
fn names(life: &Life) -> String {
    let named = |(role, anchor): &(Role, Anchor)| format!("{} {}", role.as_str(), anchor.fingerprint_sha256());
    life.anchors().iter().map(named).collect::<Vec<_>>().join(", ")
}

/// How it was before a turn.
struct Before {
    names: String,
    phase: Phase,
    signing: Arc<CertificateAuthority>,
}

impl Before {
    /// Whether the CA that came signs now: it may also have been taken back, or another come in its place.
    fn is_followed(&self, life: &Life) -> bool {
        self.phase == Phase::Overlap && self.signing.id() != life.signing().id()
    }
}

fn tell(appliance: &Appliance, life: &Life, before: &Before) {
    let now = life.phase();
    let outcome = if now == before.phase { "exchanged" } else { now.as_str() };
    let authorities = names(life);
    let unseen = if before.is_followed(life) { appliance.authorities.agents.left() } else { Vec::new() };
    let before = before.names.as_str();
    let named = unseen.get(..NAMED).unwrap_or(&unseen).join(", ");
    let note = match unseen.len() {
        0 => format!("{authorities}; before: {before}"),
        count => format!("{authorities}; before: {before}; {count} agents were not seen with the new bundle: {named}"),
    };
    if unseen.is_empty() {
        tracing::info!(phase = now.as_str(), authorities, before, "the CAs of the bundle are others");
    } else {
        let agents = unseen.len();
        tracing::warn!(
            phase = now.as_str(),
            authorities,
            before,
            agents,
            named,
            "the new CA signs, and some agents were not seen with it"
        );
    }
    let line = Line { outcome: Some(outcome), note: Some(&note), ..Line::new(Event::Ca, Layer::Ca) };
    // The life goes on; a lost record is counted.
    let _ = appliance.audit.write(&line);
}

fn say(appliance: &Appliance, problem: Option<CaError>) {
    let problem = problem.map(|problem| problem.to_string());
    let mut said = appliance.authorities.said.lock().unwrap_or_else(PoisonError::into_inner);
    appliance.metrics.ca.last_ok.set(i64::from(problem.is_none()));
    if said.problem == problem {
        return;
    }
    match &problem {
        Some(problem) => {
            tracing::error!(problem, "the CA can't be looked after; what is in force stays");
            let line = Line { outcome: Some("failed"), note: Some(problem), ..Line::new(Event::Ca, Layer::Ca) };
            let _ = appliance.audit.write(&line);
        }
        None => tracing::info!("the CA is looked after again"),
    }
    said.problem = problem;
}

/// What Prometheus is told.
pub(crate) fn count(appliance: &Appliance, life: &Life) {
    let unseen =
        if life.phase() == Phase::Overlap { appliance.authorities.agents.unseen(SystemTime::now()) } else { 0 };
    let anchors = life.anchors();
    let ends = |wanted: &str| {
        let of_role = anchors.iter().filter(|(role, _)| role.as_str() == wanted);
        of_role.map(|(_, anchor)| anchor.not_after()).min()
    };
    let deadline = life.overlap().map(|overlap| overlap.deadline);
    appliance.metrics.ca.set(life.phase(), ends, deadline, unseen);
}

/// Counts a handshake that an agent ended because it does not trust who signed. Whether it is one, and that is to be told: what
/// an agent may have the log say is bounded.
pub fn distrusted(appliance: &Appliance, error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let is_one = matches!(
        cause,
        Some(rustls::Error::AlertReceived(
            rustls::AlertDescription::UnknownCA
                | rustls::AlertDescription::BadCertificate
                | rustls::AlertDescription::CertificateUnknown,
        ))
    );
    if is_one {
        appliance.metrics.ca.distrusted.inc();
    }
    is_one && appliance.authorities.distrust_alarm.is_due()
}

/// At the start, before there is a task.
pub fn announce(appliance: &Appliance) {
    let life = appliance.authorities.life();
    count(appliance, &life);
    appliance.metrics.ca.last_ok.set(1);
    if let Some(why) = life.unkept() {
        tracing::warn!(why, "state_dir can't be used, so an overlap of CAs would end with the process");
    }
    if life.phase() != Phase::Stable {
        tracing::info!(phase = life.phase().as_str(), authorities = names(&life), "a rotation of the CA is under way");
    }
}
