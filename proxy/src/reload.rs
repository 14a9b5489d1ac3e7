//! Reloads of policy and credentials, without a restart and without a gap.
//!
//! Woken by changes in the folders (Kubernetes swaps symlinks, so folders are watched, not files), by SIGHUP, and by a
//! slow clock in case a change was missed. A reload is all or nothing: a broken policy keeps the last good one in force,
//! says what is wrong where, moves a metric, and turns nothing off (law 5). After a good one everything under way is
//! decided again.
//!
//! What is wrong is said once, not with every look at the files. `stubgate.yaml` itself is not reloaded; SIGHUP says
//! when it is no longer what runs.

mod evidence;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use stubgate_policy::diagnostic::Diagnostic;
use stubgate_policy::{Compiled, Policy, SourceFile, compile, render};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use crate::appliance::Appliance;
use crate::config::{Config, open_to_all, policy_files};
use crate::keeping::Said;
use crate::lockdown::Outside;
use crate::logins;
use crate::metrics::Reload;
use crate::programs;
use crate::record::{Event, Layer, Line};
use crate::snapshot::Snapshot;

/// How long after a change the files are read: an editor writes in several steps.
const SETTLE: Duration = Duration::from_millis(100);
/// How often the files are compared without any sign of a change.
const RECHECK: Duration = Duration::from_secs(30);

/// Most warnings that are written to the log when a policy is taken.
const WARNINGS_SHOWN: usize = 20;

/// Keeps the appliance's policy and credentials as the files say.
pub struct Reloader {
    appliance: Arc<Appliance>,
    config: Arc<Config>,
    /// Where `config` was read.
    config_file: Option<PathBuf>,
    tried: Option<Vec<SourceFile>>,
    /// What has been said about policy files that can't be read.
    unreadable: Option<String>,
    /// What has been said about credentials.
    said: Arc<Said>,
    /// Whether a person asked for it.
    by_hand: bool,
    exposed: BTreeSet<Arc<str>>,
    /// What has been said about the list of revoked stubs.
    revoked_problem: Option<String>,
    generation: u64,
    /// Of the policy in force.
    files: evidence::Files,
    first: Option<First>,
}

/// A policy that was compiled before the reloader was there.
pub struct First {
    /// What it was read from.
    pub files: Vec<SourceFile>,
    /// The policy, or what is wrong with it.
    pub compiled: Result<Compiled, Vec<Diagnostic>>,
}

impl Reloader {
    /// Reads nothing yet. `first` saves compiling the first policy twice.
    pub fn new(
        appliance: Arc<Appliance>,
        said: Arc<Said>,
        config: Arc<Config>,
        config_file: Option<PathBuf>,
        first: Option<First>,
    ) -> Self {
        Reloader {
            appliance,
            config,
            config_file,
            tried: None,
            unreadable: None,
            said,
            by_hand: false,
            exposed: BTreeSet::new(),
            revoked_problem: None,
            generation: 0,
            files: evidence::Files::default(),
            first,
        }
    }

    /// Reads the policy and the credentials. Whether there is a good policy in force afterwards.
    pub fn reload(&mut self) -> bool {
        self.reload_revoked();
        let before = self.appliance.snapshot.load_full();
        let took = self.took_policy();
        if let Some(keeper) = self.appliance.keeper.get() {
            // Values are read in the background; what is new in a policy was read when it was taken.
            if std::mem::take(&mut self.by_hand) {
                keeper.ask_all();
            } else {
                keeper.look_again();
                // Not with every look: who fails is asked after times that grow.
                if took {
                    keeper.ask_failing();
                }
            }
        }
        crate::appliance::refresh(&self.appliance);
        self.appliance.decide_again();
        if took {
            self.tell(&before);
        }
        self.look_at_rights();
        self.appliance.snapshot.load().is_ready()
    }

    /// Reads the list of stubs that were called back, and says what is news. What is under way with one of them is decided
    /// again with everything else.
    fn reload_revoked(&mut self) {
        let Some(minting) = &self.appliance.minting else { return };
        match minting.revoked.reload() {
            Ok(is_new) => {
                if is_new && !minting.revoked.is_empty() {
                    tracing::info!(revoked = minting.revoked.len(), "stubs are revoked");
                }
                self.revoked_problem = None;
            }
            Err(error) => {
                let error = error.to_string();
                if self.revoked_problem.as_ref() != Some(&error) {
                    tracing::error!("the list of revoked stubs can't be read; it stays as it was: {error}");
                }
                self.revoked_problem = Some(error);
            }
        }
    }

    /// Says what the policy in force changed. The first policy is all there is, and no change.
    fn tell(&mut self, before: &Snapshot) {
        let after = self.appliance.snapshot.load_full();
        let files = evidence::Files::of(self.tried.as_deref().unwrap_or_default());
        if before.is_ready() {
            let audit = &self.appliance.audit;
            evidence::tell_files(audit, &self.files, &files, after.policy.fingerprint());
            evidence::tell_policy(audit, &before.policy, &after.policy);
        }
        self.files = files;
    }

    /// Says which credentials others can read, once each.
    fn look_at_rights(&mut self) {
        let Some(exposed) = self.appliance.credentials.exposed() else { return };
        for name in exposed.difference(&self.exposed) {
            tracing::warn!(credential = &**name, "every user of this machine can read its file; run chmod 600 on it");
        }
        self.exposed = exposed;
    }

    /// Reads the policy, and puts it and its credentials in force if it changed and is good.
    fn took_policy(&mut self) -> bool {
        let files = match self.read() {
            Ok(files) => files,
            Err(why) => {
                if self.unreadable.as_ref() != Some(&why) {
                    self.failed(&why);
                }
                self.unreadable = Some(why);
                // Once it can be read again it is a reload, even if nothing else changed.
                self.tried = None;
                return false;
            }
        };
        self.unreadable = None;
        if self.tried.as_ref() == Some(&files) {
            return false;
        }
        let compiled = match self.first.take() {
            Some(first) if first.files == files => first.compiled,
            _ => compile(&files),
        };
        let outside = compiled.as_ref().ok().and_then(|compiled| self.why_outside(&compiled.policy));
        let is_good = match compiled {
            Ok(_) if outside.is_some() => {
                self.failed(&outside.unwrap_or_default());
                false
            }
            Ok(compiled) => {
                self.look_at_pods(&compiled.policy);
                if !compiled.warnings.is_empty() {
                    let first = compiled.warnings.get(..WARNINGS_SHOWN).unwrap_or(&compiled.warnings);
                    tracing::warn!(
                        warnings = compiled.warnings.len(),
                        "policy has warnings; `stubgate policy check` shows all\n{}",
                        render(first, &files, false)
                    );
                }
                self.take(compiled.policy);
                true
            }
            Err(diagnostics) => {
                self.failed(&render(&diagnostics, &files, false));
                false
            }
        };
        self.tried = Some(files);
        is_good
    }

    /// What a policy needs to know of pods is known before it is in force.
    fn look_at_pods(&self, policy: &Policy) {
        match &self.appliance.pods {
            Some(pods) => pods.ready_for(policy),
            None if policy.has_pods() => tracing::warn!(
                "policy knows agents by their pods, and the configuration names no cluster (`kubernetes`): those agents are nobody"
            ),
            None => {}
        }
    }

    /// The files of policy, or why nothing is taken from them.
    fn read(&self) -> Result<Vec<SourceFile>, String> {
        let paths = &self.config.policy;
        let files = policy_files(paths)
            .map_err(|error| format!("the policy can't be read: {error}{}", self.why_unreadable()))?;
        match open_to_all(paths, &files) {
            None => Ok(files),
            Some(open) => {
                Err(format!("every user of this machine can write to {}: run chmod o-w on it", open.display()))
            }
        }
    }

    /// Why a policy can't be taken by this process: the lock-down holds to the folders that were named at the start.
    fn why_outside(&self, policy: &Policy) -> Option<String> {
        if let Some(programs) = self.appliance.programs.get()
            && let Some(new) = programs::named_by(policy).into_iter().find(|exec| !programs.knows(exec))
        {
            return Some(format!(
                "a credential is read from the program {}, which stubgate was not started with in this way: restart to run a \
                 new program, or one with new arguments or another time",
                new.program.display()
            ));
        }
        let (credential, outside) = self.appliance.confinement.get()?.boundary.outside(policy)?;
        Some(match outside {
            Outside::File(path) => format!(
                "credential {credential} is read from {}, outside of the folders that stubgate was started with: restart \
                 to read from a new folder, or name it in process.credential_folders of stubgate.yaml before the next start",
                path.display()
            ),
            Outside::Program(path) => format!(
                "credential {credential} comes from the program {}, which stubgate was not started with: restart to run a \
                 new program",
                path.display()
            ),
        })
    }

    /// A policy folder can be a symlink that leads elsewhere now.
    fn why_unreadable(&self) -> &'static str {
        let Some(confinement) = self.appliance.confinement.get() else { return "" };
        if self.config.policy.iter().all(|path| confinement.boundary.holds(path)) {
            return "";
        }
        "; it lies outside of the folders that stubgate was started with: restart to read from a new folder"
    }

    fn take(&mut self, policy: Policy) {
        self.generation += 1;
        let appliance = Arc::clone(&self.appliance);
        let metrics = &appliance.metrics;
        let snapshot = Arc::new(Snapshot::with_minting(policy, self.generation, metrics, appliance.minting.as_ref()));
        // Secrets first, so that no request of the new policy meets the old ones.
        self.said.before(&snapshot.policy);
        if let Some(keeper) = appliance.keeper.get() {
            keeper.follow(&snapshot.policy);
        }
        appliance.health.count_read(&appliance.credentials);
        if let Some(escrow) = appliance.escrow.get() {
            escrow.keep(&logins::named_by(&snapshot.policy));
        }
        appliance.quarantine.hold_in(&snapshot.policy);
        appliance.snapshot.store(Arc::clone(&snapshot));
        // Once more: whoever was quarantined just now was held in the policy before this one.
        appliance.quarantine.hold_in(&snapshot.policy);
        appliance.budgets.keep(&snapshot.policy);
        metrics.reload(Reload::Taken).inc();
        metrics.policy_last_ok.set(1);
        metrics.policy_generation.set(i64::try_from(self.generation).unwrap_or(i64::MAX));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        metrics.policy_last_success.set(i64::try_from(now).unwrap_or(i64::MAX));
        self.record("taken", snapshot.policy.fingerprint());
        tracing::info!(
            generation = self.generation,
            fingerprint = snapshot.policy.fingerprint(),
            rules = snapshot.policy.rules().len(),
            agents = snapshot.policy.agents().len(),
            "policy taken"
        );
    }

    fn failed(&self, why: &str) {
        self.appliance.metrics.reload(Reload::Failed).inc();
        self.appliance.metrics.policy_last_ok.set(0);
        let snapshot = self.appliance.snapshot.load();
        self.record("failed", snapshot.policy.fingerprint());
        if snapshot.is_ready() {
            tracing::error!("policy not taken; the last good one stays in force\n{why}");
        } else {
            tracing::error!("no usable policy; everything is refused until there is one\n{why}");
        }
    }

    fn record(&self, outcome: &'static str, fingerprint: &str) {
        let line = Line {
            outcome: Some(outcome),
            policy: Some(fingerprint),
            generation: Some(self.generation),
            ..Line::new(Event::Reload, Layer::Policy)
        };
        // A reload does not wait for its record; a lost one is counted.
        let _ = self.appliance.audit.write(&line);
    }

    /// Says whether `stubgate.yaml` is still what runs. It is read at the start only.
    fn compare_config(&self) {
        let Some(file) = &self.config_file else { return };
        match Config::read(file) {
            Ok(config) if config == *self.config => {}
            Ok(_) => {
                tracing::warn!(file = %file.display(), "the configuration differs from what runs; a restart puts it in force");
            }
            Err(problem) => {
                tracing::error!(file = %file.display(), "the configuration is broken; a restart would fail\n{problem}");
            }
        }
    }

    /// Has everything read and said anew.
    fn forget(&mut self) {
        self.tried = None;
        self.unreadable = None;
        self.said.forget();
        self.by_hand = true;
        self.revoked_problem = None;
        self.exposed.clear();
    }

    /// Reloads when there is a reason to, until the appliance drains. `hangup` tells of SIGHUP.
    pub async fn run(mut self, mut hangup: Signal) -> std::io::Result<()> {
        let (woken, mut wakes) = mpsc::channel(1);
        let mut watcher = Watch::new(move || {
            // A full channel holds a wake-up already.
            let _ = woken.try_send(());
        });
        let draining = self.appliance.draining.clone();
        let appliance = Arc::clone(&self.appliance);
        let mut folders = self.folders(BTreeSet::new());
        loop {
            let mut told = None;
            // What changed after it was read and before its folder was watched would be missed: read once more.
            let is_new = watcher.follow(folders);
            tokio::select! {
                biased;
                () = std::future::ready(()), if is_new => {}
                Some(()) = wakes.recv() => tokio::time::sleep(SETTLE).await,
                _ = hangup.recv() => {
                    told = appliance.manager.get().inspect(|manager| manager.reloading());
                    if let Err(error) = self.appliance.audit.reopen() {
                        tracing::error!(%error, "an audit file can't be opened anew");
                    }
                    self.compare_config();
                    self.forget();
                }
                () = tokio::time::sleep(RECHECK) => {}
                () = draining.cancelled() => return Ok(()),
            }
            while wakes.try_recv().is_ok() {}
            let watched = watcher.followed.clone();
            // Reading and compiling may take a while; requests go on meanwhile.
            let moved = tokio::task::spawn_blocking(move || {
                self.reload();
                let folders = self.folders(watched);
                (self, folders)
            });
            (self, folders) = moved.await.map_err(std::io::Error::other)?;
            if let Some(manager) = told {
                manager.serving(appliance.snapshot.load().is_ready());
            }
        }
    }

    /// What is to be watched. Where the file system of a credential hangs, what is watched now goes on being watched.
    fn folders(&self, watched: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
        let mut folders = self.appliance.credentials.watched_paths().unwrap_or(watched);
        let revoked = self.appliance.minting.as_ref().and_then(|minting| minting.revoked.path().parent());
        folders.extend(revoked.filter(|folder| folder.is_dir()).map(Path::to_owned));
        for path in &self.config.policy {
            if path.is_dir() {
                folders.insert(path.clone());
            } else if let Some(parent) = path.parent() {
                folders.insert(parent.to_owned());
            }
        }
        folders
    }
}

/// Watches a changing set of folders. What can't be watched is left to the slow clock.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    followed: BTreeSet<PathBuf>,
}

impl Watch {
    pub(crate) fn new(wake: impl Fn() + Send + 'static) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too; waking for it would never end.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                wake();
            }
        });
        let watcher = watcher
            .inspect_err(
                |error| tracing::warn!(%error, "folders can't be watched; changes are seen within half a minute"),
            )
            .ok();
        Watch { watcher, followed: BTreeSet::new() }
    }

    /// Watches these folders and no others; whether some of them were not watched before.
    pub(crate) fn follow(&mut self, folders: BTreeSet<PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        for gone in self.followed.difference(&folders) {
            // It may be gone from the disk too.
            let _ = watcher.unwatch(gone);
        }
        for new in folders.difference(&self.followed) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, folder = %new.display(), "a folder can't be watched");
            }
        }
        let is_new = !folders.is_subset(&self.followed);
        self.followed = folders;
        is_new
    }
}
