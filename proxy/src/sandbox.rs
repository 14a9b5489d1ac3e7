//! What a sandbox is made from: the configuration that it needs where none is given, the variables that become stubs, and the
//! files that its command must not see or change.
//!
//! A command of the same user could otherwise read the CA's key, or write the policy that it lives under. Both would be stubgate's
//! fault and not the user's, so that they are closed here; what else of the user's files it may write is the user's to say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use stubgate_policy::secret_source::Source;
use stubgate_policy::{Credential, Effect, Policy, Slot, SourceFile};

use crate::config::{self, AuditSink, Config, ConfigProblem};

/// Variables that are set to a stub where policy has a credential for the host that fits: those that are set outside, and the
/// first of each host in any case.
const CUSTOMARY: &[(&str, &str, bool)] = &[
    ("GH_TOKEN", "api.github.com", true),
    ("GITHUB_TOKEN", "api.github.com", true),
    ("ANTHROPIC_AUTH_TOKEN", "api.anthropic.com", true),
    ("CLAUDE_CODE_OAUTH_TOKEN", "api.anthropic.com", true),
    ("ANTHROPIC_API_KEY", "api.anthropic.com", false),
    ("OPENAI_API_KEY", "api.openai.com", true),
    ("GITLAB_TOKEN", "gitlab.com", true),
];

/// What a shell outside or the next login runs: can't be changed by the command.
const STARTUP: &[&str] = &[
    ".bash_aliases",
    ".bash_login",
    ".bash_logout",
    ".bash_profile",
    ".bashrc",
    ".config/autostart",
    ".config/environment.d",
    ".config/fish",
    ".config/git/config",
    ".config/systemd",
    ".gitconfig",
    ".local/share/systemd",
    ".login",
    ".pam_environment",
    ".profile",
    ".xinitrc",
    ".xprofile",
    ".xsession",
    ".zlogin",
    ".zlogout",
    ".zprofile",
    ".zshenv",
    ".zshrc",
];

/// Credentials of a home, by where programs keep them: not seen by the command.
const CREDENTIALS: &[&str] = &[
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".claude/.credentials.json",
    ".npmrc",
    ".pypirc",
    ".aws",
    ".azure",
    ".config/gcloud",
    ".config/gh",
    ".config/hub",
    ".config/rclone",
    ".config/sops",
    ".docker",
    ".git-credentials",
    ".config/git/credentials",
    ".gnupg",
    ".kube",
    ".local/share/keyrings",
    ".netrc",
    ".password-store",
    ".pgpass",
    ".ssh",
    ".vault-token",
];

/// A configuration that needs nothing but a policy and a folder for state. Both canonical.
///
/// # Errors
/// Where a path can't stand in one.
pub fn configuration(policy: &[PathBuf], state: &Path) -> Result<Config, ConfigProblem> {
    let quoted = |path: &Path| serde_json::to_string(&path.to_string_lossy()).unwrap_or_default();
    let policy: Vec<String> = policy.iter().map(|path| quoted(path)).collect();
    let text = format!(
        "listen: {{ proxy: [\"127.0.0.1:0\"], admin: [] }}\npolicy: [{}]\nstate_dir: {}\n\
         timeouts: {{ drain_seconds: 1 }}\naudit: {{ files: [{{ path: {}, max_bytes: 10485760, keep: 3 }}] }}\n",
        policy.join(", "),
        quoted(state),
        quoted(&state.join("audit.jsonl")),
    );
    config::compile(SourceFile { name: "the sandbox's own configuration".into(), text })
}

/// Which variables are to hold which stub.
pub fn stubs(policy: &Policy, is_set: impl Fn(&str) -> bool) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let usable = |credential: &&Credential| !credential.minted_only() && !credential.stub().is_empty();
    for credential in policy.credentials().iter().filter(usable) {
        if let Source::Env(name) = credential.source() {
            found.insert(name.to_string(), credential.stub().to_owned());
        }
    }
    let mut served = BTreeSet::new();
    for &(name, host, is_bearer) in CUSTOMARY {
        let fits = |credential: &&Credential| {
            let at_host = credential.hosts().iter().any(|known| known.to_string() == host);
            let bearer = credential.slots().contains(&Slot::Bearer);
            let key =
                credential.slots().iter().any(|slot| matches!(slot, Slot::Header(name) if &**name == "x-api-key"));
            at_host && if is_bearer { bearer } else { key }
        };
        let Some(credential) = policy.credentials().iter().filter(usable).find(fits) else { continue };
        // Two variables for one host confuse clients, so that one that nobody set is only set where it is the first.
        if is_set(name) || !served.contains(host) {
            served.insert(host);
            found.entry(name.to_owned()).or_insert_with(|| credential.stub().to_owned());
        }
    }
    found
}

/// Whether something that is allowed is reached only through the proxy: another port, or an address.
pub fn needs_proxy(policy: &Policy) -> bool {
    let allowing = policy.rules().iter().filter(|rule| rule.effect() == Effect::Allow);
    allowing.flat_map(|rule| rule.hosts()).any(|host| {
        let text = host.to_string();
        let name = text.strip_prefix("http://").unwrap_or(&text);
        name.contains(':') || name.contains('[') || name.parse::<std::net::IpAddr>().is_ok()
    })
}

/// Files that a command must not see or change, and folders that must stay where they are for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// Not seen.
    pub hidden: Vec<PathBuf>,
    /// Not changed.
    pub read_only: Vec<PathBuf>,
    /// Not renamed: outer ones first.
    pub fixed: Vec<PathBuf>,
}

/// What a person asked for beside.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// To be hidden.
    pub hide: &'a [PathBuf],
    /// Not to be hidden, of what is by custom.
    pub show: &'a [PathBuf],
    /// The user's home, if there is one.
    pub home: Option<&'a Path>,
    /// The folder that the command starts in. Canonical.
    pub folder: &'a Path,
    /// Folders that can be written although root's system can not.
    pub writable: &'a [PathBuf],
}

impl Asked<'_> {
    /// The folder of a file, where the command can do without it. What covers a file is gone once somebody outside exchanges the
    /// file for another of its name, as editors and rotations do; what covers its folder stays.
    fn folder_of(&self, path: &Path) -> Option<PathBuf> {
        let folder = path.parent()?;
        (folder.components().count() > SHALLOW && !self.works_in(folder)).then(|| folder.to_owned())
    }

    /// That nothing on the way to a file is a link which the command could exchange for another: what is covered is what a link
    /// leads to, and who is outside goes by the link (a program of a credential would be run there).
    ///
    /// # Errors
    /// In words for a person, with the link.
    pub fn straight(&self, path: &Path) -> Result<(), String> {
        match links(path).into_iter().find(|link| self.can_exchange(link)) {
            None => Ok(()),
            Some(link) => Err(format!(
                "{} is reached by the link {}, which the command could exchange for another: name the file itself",
                path.display(),
                link.display()
            )),
        }
    }

    /// Root's system can't be written but where it is said; a user can write what is the user's, whatever its mode.
    fn can_exchange(&self, link: &Path) -> bool {
        if rustix::process::geteuid().is_root() {
            let customary = ["/tmp", "/var/tmp"].map(Path::new);
            let writable = customary.into_iter().chain(self.home).chain([self.folder]);
            return writable.chain(self.writable.iter().map(PathBuf::as_path)).any(|folder| link.starts_with(folder));
        }
        link.parent().is_some_and(is_changeable)
    }

    fn works_in(&self, folder: &Path) -> bool {
        self.folder.starts_with(folder) || self.home.is_some_and(|home| home.starts_with(folder))
    }
}

/// Folders right below the root, which it counts too, belong to everybody.
const SHALLOW: usize = 2;

/// Every link that a path goes through, as it is written: at most as many as the kernel follows.
fn links(path: &Path) -> Vec<PathBuf> {
    const MOST: usize = 40;
    let mut found = Vec::new();
    let mut at = PathBuf::from("/");
    let mut left: VecDeque<OsString> =
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).iter().map(OsStr::to_owned).collect();
    while let Some(name) = left.pop_front().filter(|_| found.len() < MOST) {
        if name == "/" {
            at = PathBuf::from("/");
        } else if name == ".." {
            at.pop();
        } else if name != "." {
            let next = at.join(&name);
            match std::fs::read_link(&next) {
                Ok(target) => {
                    found.push(next);
                    for part in target.iter().collect::<Vec<_>>().into_iter().rev() {
                        left.push_front(part.to_owned());
                    }
                }
                Err(_) => at = next,
            }
        }
    }
    found
}

/// Whether this user can make and remove what is in a folder, or could after a change of its mode.
fn is_changeable(folder: &Path) -> bool {
    let is_own = |found: std::fs::Metadata| found.uid() == rustix::process::geteuid().as_raw();
    access(folder, Access::WRITE_OK).is_ok() || folder.metadata().is_ok_and(is_own)
}

impl Guarded {
    /// What of this configuration and policy, of the user's home and of what was asked for.
    ///
    /// # Errors
    /// Where the policy lies where the command works, or leads there, and so can't be kept from it; or a credential's file or
    /// program does. In words for a person.
    pub fn new(
        config: &Config,
        config_file: Option<&Path>,
        policy: &Policy,
        asked: Asked<'_>,
    ) -> Result<Guarded, String> {
        let mut hidden: BTreeSet<PathBuf> = BTreeSet::new();
        let mut read_only: BTreeSet<PathBuf> = BTreeSet::new();
        let real = |path: &Path| path.canonicalize().ok();
        // Never shown, whatever was asked for.
        let mut own: BTreeSet<PathBuf> = real(&config.state_dir).into_iter().collect();
        own.extend(config.process.credential_folders.iter().filter_map(|path| real(path)));
        own.extend(config.ca.files.iter().filter_map(|files| real(&files.key_file)));
        own.extend(real(&config.stubs.key_file));
        let cluster = config.kubernetes.iter().flat_map(|known| known.access.paths());
        own.extend(cluster.filter_map(real).map(|path| asked.folder_of(&path).unwrap_or(path)));
        own.extend(config.escrow.as_ref().and_then(|escrow| escrow.read_later()).and_then(real));
        for file in &config.audit {
            if let AuditSink::File(path) = &file.sink
                && let Some(path) = real(path).filter(|path| path.is_file())
            {
                own.insert(asked.folder_of(&path).unwrap_or(path));
            }
        }
        for credential in policy.credentials() {
            for path in credential.source().files().into_iter().chain(credential.source().programs()) {
                asked.straight(path)?;
            }
            let files = credential.source().files().into_iter().filter_map(real);
            own.extend(files.map(|path| asked.folder_of(&path).unwrap_or(path)));
            read_only.extend(credential.source().programs().into_iter().filter_map(real));
        }
        for path in config.policy.iter().filter_map(|path| real(path)) {
            if path.is_dir() {
                stays_within(&path)?;
            }
            let folder = if path.is_dir() {
                Some(path.clone()).filter(|path| !asked.works_in(path))
            } else {
                asked.folder_of(&path)
            };
            read_only.insert(folder.ok_or_else(|| {
                format!(
                    "the policy {} lies in a folder that the command works in, which could change it: put it into a folder of its \
                     own, and name that",
                    path.display()
                )
            })?);
        }
        read_only.extend(config_file.and_then(real));
        read_only.extend(config.upstream.ca_files.iter().filter_map(|path| real(path)));
        // This program: whoever starts it next time is outside.
        read_only.extend(std::env::current_exe().ok().as_deref().and_then(real));
        if let Some(home) = asked.home {
            let shown: BTreeSet<PathBuf> = asked.show.iter().filter_map(|path| real(path)).collect();
            hidden.extend(
                CREDENTIALS.iter().filter_map(|name| real(&home.join(name))).filter(|path| !shown.contains(path)),
            );
            read_only.extend(STARTUP.iter().filter_map(|name| real(&home.join(name))));
            // What is shown after all is still not the command's to change.
            read_only.extend(shown);
        }
        hidden.extend(asked.hide.iter().filter_map(|path| real(path)));
        hidden.extend(own);
        // What is in a hidden folder is hidden with it.
        let within = |path: &PathBuf| path.ancestors().skip(1).any(|above| hidden.contains(above));
        let hidden: BTreeSet<PathBuf> = hidden.iter().filter(|path| !within(path)).cloned().collect();
        let fixed = fixed(hidden.iter().chain(&read_only));
        Ok(Guarded { hidden: hidden.into_iter().collect(), read_only: read_only.into_iter().collect(), fixed })
    }
}

/// That no file of a folder of policy is a link to elsewhere.
fn stays_within(folder: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let leads_out = |path: &PathBuf| path.canonicalize().is_ok_and(|real| !real.starts_with(folder));
    match entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).find(leads_out) {
        None => Ok(()),
        Some(path) => Err(format!(
            "{} leads out of the policy's folder, to where the command could change it: put the file itself there",
            path.display()
        )),
    }
}

/// The folders above these that their user could rename.
fn fixed<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> Vec<PathBuf> {
    let above: BTreeSet<&Path> = paths.flat_map(|path| path.ancestors().skip(1)).collect();
    let can_be_renamed = |path: &&Path| path.parent().is_some_and(is_changeable);
    above.into_iter().filter(can_be_renamed).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests;
