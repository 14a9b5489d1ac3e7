//! The files that a command must not see or change, and the folders that must stay where they are for that.
//!
//! What the configuration names is asked of [`Config::paths`] and what credentials need of the policy. What can't be kept from the
//! command is refused in words, and nothing is run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use stubgate_policy::Policy;
use stubgate_policy::secret_source::Source;

use super::links::{can_be_exchanged, is_changeable, links};
use crate::config::{Config, Use, given_to};

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

/// What a person asked for beside. All canonical.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// To be hidden.
    pub hide: &'a [PathBuf],
    /// Not to be hidden, of what is by custom.
    pub show: &'a [PathBuf],
    /// The user's homes: what `HOME` says, and what the system does.
    pub homes: &'a [PathBuf],
    /// The folder that the command starts in.
    pub folder: &'a Path,
    /// Folders that can be written although root's system can not.
    pub writable: &'a [PathBuf],
}

impl Asked<'_> {
    /// The folder of a file, where the command can do without it. What covers a file is gone once somebody outside exchanges the
    /// file for another of its name, as editors and rotations do; what covers its folder stays.
    fn folder_of(&self, path: &Path) -> Option<PathBuf> {
        let folder = path.parent()?;
        (!is_everybodys(folder) && !self.works_in(folder)).then(|| folder.to_owned())
    }

    /// That a file has a folder which can be kept from the command, whether it is there yet or not.
    ///
    /// # Errors
    /// In words for a person.
    pub fn apart(&self, what: &str, path: &Path) -> Result<PathBuf, String> {
        let real =
            path.canonicalize().ok().or_else(|| Some(path.parent()?.canonicalize().ok()?.join(path.file_name()?)));
        let real = real.unwrap_or_else(|| path.to_owned());
        self.folder_of(&real).ok_or_else(|| in_the_way(what, path))
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

    fn can_exchange(&self, link: &Path) -> bool {
        if rustix::process::geteuid().is_root() { self.is_roots_to_write(link) } else { can_be_exchanged(link) }
    }

    fn can_write(&self, folder: &Path) -> bool {
        if rustix::process::geteuid().is_root() { self.is_roots_to_write(folder) } else { is_changeable(folder) }
    }

    /// Root's system can't be written but where it is said; a user can write what is the user's, whatever its mode.
    fn is_roots_to_write(&self, path: &Path) -> bool {
        let customary = ["/tmp", "/var/tmp"].map(Path::new);
        let asked = self.homes.iter().chain(self.writable).map(PathBuf::as_path);
        let mut writable =
            customary.into_iter().chain([self.folder]).chain(asked).filter(|path| *path != Path::new("/"));
        writable.any(|folder| path.starts_with(folder))
    }

    fn works_in(&self, folder: &Path) -> bool {
        self.folder.starts_with(folder) || self.homes.iter().any(|home| home.starts_with(folder))
    }

    /// A secret: what to cover for it.
    fn secret(&self, path: PathBuf) -> Result<PathBuf, String> {
        if !path.is_dir() {
            return Ok(self.folder_of(&path).unwrap_or(path));
        }
        if self.works_in(&path) { Err(in_the_way("what must be hidden,", &path)) } else { Ok(path) }
    }

    /// A file of records: what to cover for it, so that a rotation uncovers nothing. The state folder is covered anyway.
    ///
    /// # Errors
    /// In words for a person.
    pub fn records(&self, path: &Path, state: &Path) -> Result<PathBuf, String> {
        let state = state.canonicalize().ok().filter(|state| path.starts_with(state) && !self.works_in(state));
        state.map_or_else(|| self.apart("the file of records", path), Ok)
    }

    /// A program that is run outside, or what it is given: what to protect for it. Beside a script lie those that it reads.
    fn program(&self, path: PathBuf) -> Result<Option<PathBuf>, String> {
        let folder = if path.is_dir() { path.clone() } else { path.parent().unwrap_or(&path).to_owned() };
        if !self.works_in(&folder) {
            return Ok(Some(if is_everybodys(&folder) { path } else { folder }));
        }
        if self.can_write(&folder) { Err(in_the_way("the program", &path)) } else { Ok(path.is_file().then_some(path)) }
    }
}

/// Folders right below the root, which it counts too, and for what is not kept.
fn is_everybodys(folder: &Path) -> bool {
    folder.components().count() <= SHALLOW || folder == Path::new("/var/tmp")
}

fn in_the_way(what: &str, path: &Path) -> String {
    format!(
        "{what} {} lies in a folder that the command works in, which could change it: put it into a folder of its own, and name that",
        path.display()
    )
}

/// Folders right below the root, which it counts too.
const SHALLOW: usize = 2;
/// What is there is of the kernel, and the sandbox has its own.
const OF_THE_KERNEL: [&str; 3] = ["/dev", "/proc", "/sys"];

/// The programs of a credential, and what of their arguments may be scripts.
fn programs(source: &Source) -> Vec<&Path> {
    match source {
        Source::Exec(exec) => [&*exec.program].into_iter().chain(given_to(&exec.arguments)).collect(),
        Source::GithubApp(app) => programs(&app.private_key.source),
        Source::File(_) | Source::Env(_) | Source::Vault(_) | Source::Infisical(_) | Source::Oauth(_) => Vec::new(),
    }
}

impl Guarded {
    /// What of this configuration and policy, of the user's homes and of what was asked for.
    ///
    /// # Errors
    /// Where the policy, records or a program lie where the command works, or something leads there, and so can't be kept from it;
    /// where something is to be shown that is not hidden. In words for a person.
    pub fn new(
        config: &Config,
        config_file: Option<&Path>,
        policy: &Policy,
        asked: Asked<'_>,
    ) -> Result<Guarded, String> {
        let mut hidden: BTreeSet<PathBuf> = BTreeSet::new();
        let mut read_only: BTreeSet<PathBuf> = BTreeSet::new();
        // Never shown, whatever was asked for.
        let mut own: BTreeSet<PathBuf> = BTreeSet::new();
        let real = |path: &Path| path.canonicalize().ok();
        let of_credentials = policy.credentials().iter().flat_map(|credential| {
            let files = credential.source().files().into_iter().map(|path| (Use::Secret, path));
            files.chain(programs(credential.source()).into_iter().map(|path| (Use::Program, path)))
        });
        let given = config_file.map(|path| (Use::Read, path));
        for (kind, path) in config.paths().into_iter().chain(of_credentials).chain(given) {
            asked.straight(path)?;
            let Some(path) = real(path) else { continue };
            match kind {
                Use::Secret => drop(own.insert(asked.secret(path)?)),
                Use::Read => drop(read_only.insert(path)),
                Use::Written => drop(read_only.insert(asked.folder_of(&path).unwrap_or(path))),
                // Pipes and devices are what they were made for.
                Use::Records if !path.is_file() => {}
                Use::Records => drop(own.insert(asked.records(&path, &config.state_dir)?)),
                Use::Program if OF_THE_KERNEL.iter().any(|folder| path.starts_with(folder)) => {}
                Use::Program => read_only.extend(asked.program(path)?),
                Use::Policy if path.is_dir() => {
                    stays_within(&path)?;
                    if asked.works_in(&path) {
                        return Err(in_the_way("the policy", &path));
                    }
                    read_only.insert(path);
                }
                Use::Policy => drop(read_only.insert(asked.apart("the policy", &path)?)),
            }
        }
        // This program: whoever starts it next time is outside.
        read_only.extend(std::env::current_exe().ok().as_deref().and_then(real));
        let of_homes = |names: &[&str]| -> BTreeSet<PathBuf> {
            let all = asked.homes.iter().flat_map(|home| names.iter().map(|name| home.join(name)));
            all.filter_map(|path| real(&path)).collect()
        };
        let customary = of_homes(CREDENTIALS);
        if let Some(path) = asked.show.iter().find(|path| !customary.contains(*path)) {
            return Err(format!(
                "--show {}: this is none of the files and folders that are hidden by custom",
                path.display()
            ));
        }
        hidden.extend(customary.into_iter().filter(|path| !asked.show.contains(path)));
        read_only.extend(of_homes(STARTUP));
        // What is shown after all is still not the command's to change.
        read_only.extend(asked.show.iter().cloned());
        hidden.extend(asked.hide.iter().cloned());
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
