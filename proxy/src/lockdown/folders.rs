//! The folders that a running appliance reads and writes, and no others.
//!
//! Named are folders, and not the files in them: Kubernetes and editors exchange a file, or a symlink, for another of its
//! name. What is opened before the lock-down and kept open (sockets, audit files, standard error) needs no folder.

use std::collections::BTreeSet;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};
use stubgate_policy::Policy;

use crate::config::{AuditSink, Config, Escrow};

/// The newest interface of the kernel whose rights are asked for; an older kernel takes those that it knows.
const NEWEST: ABI = ABI::V7;

/// What the process is locked down to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Folders that are read, with all that is below them.
    pub read: BTreeSet<PathBuf>,
    /// Folders in which files are made, written and renamed.
    pub write: BTreeSet<PathBuf>,
    /// Folders of the CA: listed, read, written and renamed in. Of what policy names, nothing is read there.
    pub kept: BTreeSet<PathBuf>,
    /// Folders of the operator's CA, which are read. Likewise.
    pub given: BTreeSet<PathBuf>,
    /// Pipes and devices that are opened anew for writing.
    pub write_files: BTreeSet<PathBuf>,
    /// Programs that credentials come from, as they are named. This process can run none: its helper does, and no others.
    pub programs: BTreeSet<PathBuf>,
}

impl Plan {
    /// What an appliance with this configuration and this first policy needs once it runs. Without a usable policy no
    /// folder of credentials is known but those that the configuration names.
    pub fn new(config: &Config, config_file: Option<&Path>, policy: Option<&Policy>) -> Self {
        let mut plan = Plan::default();
        for path in &config.policy {
            // The folder above too: deployments exchange whole folders.
            plan.reads(path);
            plan.reads_beside(path);
        }
        for path in &config.process.credential_folders {
            plan.reads(path);
        }
        for credential in policy.iter().flat_map(|policy| policy.credentials()) {
            for path in credential.source().files() {
                plan.reads_beside(path);
            }
            plan.programs.extend(credential.source().programs().into_iter().map(Path::to_owned));
        }
        let revoked = &config.stubs.revoked_file;
        if folder_of(revoked).is_some_and(Path::is_dir) {
            // Read again on each reload; the folder above it holds keys, and is not.
            plan.reads_beside(revoked);
        }
        if let Some(path) = config_file {
            // Compared with what runs on SIGHUP.
            plan.reads_beside(path);
        }
        // Tokens and the cluster's certificates are exchanged while it runs.
        for path in config.kubernetes.iter().flat_map(|settings| settings.access.paths()) {
            if path.is_dir() {
                plan.reads(path);
            } else {
                plan.reads_beside(path);
            }
        }
        // It is made before, where logins are kept in it.
        plan.write.extend(stubgate_credentials::escrow::folder(&config.state_dir).canonicalize());
        if let Some(path) = config.escrow.as_ref().and_then(Escrow::read_later) {
            plan.reads_beside(path);
        }
        // Made before, too.
        plan.kept.extend(config.state_dir.join("ca").canonicalize());
        if let Some(files) = &config.ca.files {
            for file in [&files.certificate_file, &files.key_file] {
                plan.given.extend(beside(file));
            }
        }
        if let Some(path) = &config.ca.bundle_file {
            plan.writes(path);
        }
        for file in &config.audit {
            if let AuditSink::File(path) = &file.sink {
                plan.writes(path);
            }
        }
        plan
    }

    /// Which folders policy and credentials may be read from later, and which programs run.
    pub fn boundary(&self) -> Boundary {
        Boundary { folders: self.read.clone(), programs: self.programs.clone() }
    }

    /// The folder of a file, as it is named and as symlinks lead to it.
    fn reads_beside(&mut self, path: &Path) {
        let target = path.canonicalize().ok();
        for folder in [Some(path), target.as_deref()].into_iter().flatten().filter_map(folder_of) {
            self.reads(folder);
        }
    }

    fn reads(&mut self, path: &Path) {
        // One that is to come later is covered by the folder that it will stand in.
        let there = if path.exists() { Some(path) } else { folder_of(path).filter(|above| above.exists()) };
        if let Some(real) = there.and_then(|path| path.canonicalize().ok())
            && real != Path::new("/")
        {
            self.read.insert(real);
        }
    }

    fn writes(&mut self, path: &Path) {
        let Ok(real) = path.canonicalize() else {
            self.write.extend(folder_of(path).and_then(|folder| folder.canonicalize().ok()));
            return;
        };
        let is_special = real.metadata().is_ok_and(|found| {
            let kind = found.file_type();
            kind.is_fifo() || kind.is_char_device() || kind.is_socket()
        });
        if is_special {
            self.write_files.insert(real);
            return;
        }
        for folder in [Some(path), Some(real.as_path())].into_iter().flatten().filter_map(folder_of) {
            self.write.extend(folder.canonicalize());
        }
    }
}

/// The folder of a file, as it is named and as symlinks lead to it.
fn beside(path: &Path) -> Vec<PathBuf> {
    let target = path.canonicalize().ok();
    let folders = [Some(path), target.as_deref()].into_iter().flatten().filter_map(folder_of);
    folders.filter_map(|folder| folder.canonicalize().ok()).filter(|real| real != Path::new("/")).collect()
}

/// The folder that a file stands in; the root folder stands in none.
fn folder_of(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

/// The folders that policy and credentials are read from, and the programs that they come from, for as long as the process
/// lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary {
    folders: BTreeSet<PathBuf>,
    programs: BTreeSet<PathBuf>,
}

/// What a credential of a policy needs that the process has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside<'p> {
    /// A file in a folder that was not named at the start.
    File(&'p Path),
    /// A program that was not named at the start.
    Program(&'p Path),
}

impl Boundary {
    /// Whether a file or folder lies within, as symlinks lead to it at this moment.
    pub fn holds(&self, path: &Path) -> bool {
        let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let real = path.ancestors().find_map(|above| {
            let rest = path.strip_prefix(above).ok()?;
            above.canonicalize().ok().map(|real| real.join(rest))
        });
        let real = real.as_deref().unwrap_or(path);
        self.folders.iter().any(|folder| real.starts_with(folder))
    }

    /// The first credential of a policy that needs a file or program outside, with that file or program.
    pub fn outside<'p>(&self, policy: &'p Policy) -> Option<(&'p str, Outside<'p>)> {
        policy.credentials().iter().find_map(|credential| {
            let source = credential.source();
            let file = source.files().into_iter().find(|path| !self.holds(path)).map(Outside::File);
            let program = || source.programs().into_iter().find(|path| !self.programs.contains(*path));
            Some((credential.name(), file.or_else(|| program().map(Outside::Program))?))
        })
    }
}

/// Reading files and folders; never running them.
const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
/// Appending to files, making them, and exchanging them as a rotation does. Reading shows how the last line ended.
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | WriteFile | MakeReg | MakeDir | RemoveFile
});

/// Restricts the calling thread.
pub(super) fn restrict(plan: &Plan) -> Result<String, String> {
    let result = try_restrict(plan).map_err(|error| error.to_string())?;
    let abi = match result.landlock {
        LandlockStatus::NotEnabled => return Err("the kernel has it switched off".into()),
        LandlockStatus::NotImplemented => return Err("the kernel has it not".into()),
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
    };
    match result.ruleset {
        RulesetStatus::FullyEnforced => Ok(format!("ABI {}", abi as i32)),
        RulesetStatus::PartiallyEnforced if abi < ABI::V4 => {
            Ok(format!("ABI {}, which knows files but no ports", abi as i32))
        }
        RulesetStatus::PartiallyEnforced => Ok(format!("ABI {}", abi as i32)),
        RulesetStatus::NotEnforced => Err("the kernel did not take it".into()),
    }
}

fn try_restrict(plan: &Plan) -> Result<landlock::RestrictionStatus, landlock::RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        // Connections go out to any port; none is ever accepted on a new one.
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for (paths, access) in [(&plan.read, READ), (&plan.given, READ), (&plan.write, WRITE), (&plan.kept, READ | WRITE)] {
        for path in paths {
            // One that has gone meanwhile can't be read later either.
            let Ok(folder) = PathFd::new(path) else { continue };
            let access = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
            rules = rules.add_rule(PathBeneath::new(folder, access))?;
        }
    }
    for path in &plan.write_files {
        if let Ok(file) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(file, AccessFs::WriteFile))?;
        }
    }
    rules.restrict_self()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn config(folder: &Path, text: &str) -> Config {
        let name = folder.join("etc/stubgate.yaml").display().to_string();
        let text = format!("listen: {{ proxy: [\"127.0.0.1:0\"] }}\n{text}");
        crate::config::compile(stubgate_policy::SourceFile { name, text }).unwrap_or_else(|problem| panic!("{problem}"))
    }

    fn policy(text: &str) -> Policy {
        let text = format!(
            "version: 1\nagents: {{ a: {{ sources: [\"192.0.2.1/32\"] }} }}\ncredentials:\n  c:\n    stub: proxy-token-c\n    \
             slots: [bearer]\n    hosts: [c.example]\n    source: {text}\nrules:\n  - {{ name: r, agents: [a], hosts: \
             [c.example], methods: [GET], credentials: [c] }}\n"
        );
        let file = stubgate_policy::SourceFile { name: "p.yaml".into(), text };
        stubgate_policy::compile(&[file]).unwrap_or_else(|found| panic!("{found:?}")).policy
    }

    fn names(folders: &BTreeSet<PathBuf>, base: &Path) -> Vec<String> {
        folders.iter().map(|path| path.strip_prefix(base).unwrap().display().to_string()).collect()
    }

    #[test]
    fn a_plan_names_the_folders_of_what_is_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        for name in ["etc/policy", "secrets/..2026", "log", "elsewhere", "more"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        fs::write(base.join("secrets/..2026/c"), "").unwrap();
        symlink("..2026", base.join("secrets/..data")).unwrap();
        symlink("..data/c", base.join("secrets/c")).unwrap();
        fs::write(base.join("elsewhere/audit"), "").unwrap();
        symlink(base.join("elsewhere/audit"), base.join("log/audit")).unwrap();
        let config = config(
            &base,
            "policy: [policy]\nprocess: { credential_folders: [../more] }\n\
             audit: { files: [{ path: ../log/audit }, { path: /dev/null }, { path: \"-\" }] }\n",
        );
        let policy = policy(&format!("{{ file: {}/secrets/c }}", base.display()));
        let plan = Plan::new(&config, None, Some(&policy));
        assert_eq!(names(&plan.read, &base), ["etc", "etc/policy", "more", "secrets", "secrets/..2026"]);
        assert_eq!(names(&plan.write, &base), ["elsewhere", "log"]);
        assert_eq!(plan.write_files, BTreeSet::from(["/dev/null".into()]));
    }

    #[test]
    fn a_credential_outside_of_the_folders_is_named_also_behind_a_symlink() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        for name in ["etc", "secrets", "other"] {
            fs::create_dir(base.join(name)).unwrap();
        }
        let config = config(&base, "policy: [policy.yaml]\n");
        let at = |path: &str| policy(&format!("{{ file: {}/{path} }}", base.display()));
        let boundary = Plan::new(&config, None, Some(&at("secrets/c"))).boundary();
        assert_eq!(boundary.outside(&at("secrets/c")), None);
        assert_eq!(boundary.outside(&at("secrets/deeper/not-there-yet")), None);
        assert_eq!(boundary.outside(&policy("{ env: HOME }")), None);
        let outside = at("other/c");
        assert_eq!(boundary.outside(&outside), Some(("c", Outside::File(&base.join("other/c")))));
        assert!(boundary.outside(&at("secrets/../other/c")).is_some());
        assert!(boundary.outside(&at("secrets-of-another/c")).is_some());
        symlink(base.join("other"), base.join("secrets/link")).unwrap();
        assert!(boundary.outside(&at("secrets/link/c")).is_some());
    }

    #[test]
    fn every_file_of_a_source_has_its_folder_named_and_a_reload_that_needs_another_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        for name in ["etc", "one", "two", "other"] {
            fs::create_dir(base.join(name)).unwrap();
        }
        let config = config(&base, "policy: [policy.yaml]\n");
        let vault =
            |auth: &str| format!("vault: {{ address: \"https://v.example\", path: p, key: k, auth: {{ {auth} }} }}");
        let app = |key: &str| format!("github_app: {{ app_id: 1, installation: 1, private_key: {{ {key} }} }}");
        let own = "oauth: { provider: { name: o, token_url: \"https://o.example/t\", client_id: c, \
                   client_secret_file: BASE/one/x } }";
        for source in [
            vault("token_file: BASE/one/x"),
            vault("approle: { role_id_file: BASE/two/r, secret_id_file: BASE/one/x }"),
            vault("kubernetes: { role: r, token_file: BASE/one/x }"),
            "infisical: { project: p, environment: e, name: n, client_id_file: BASE/two/i, client_secret_file: BASE/one/x }"
                .to_owned(),
            app("file: BASE/one/x"),
            app(&vault("token_file: BASE/one/x")),
            own.to_owned(),
        ] {
            let at = |place: &str| policy(&format!("{{ {source} }}").replace("BASE/one", &base.join(place).display().to_string()).replace("BASE", &base.display().to_string()));
            let plan = Plan::new(&config, None, Some(&at("one")));
            let read = names(&plan.read, &base);
            assert!(read.contains(&"one".to_owned()), "{source}: {read:?}");
            let boundary = plan.boundary();
            assert_eq!(boundary.outside(&at("one")), None, "{source}");
            let outside = at("other");
            let expected = base.join("other/x");
            assert_eq!(boundary.outside(&outside), Some(("c", Outside::File(&expected))), "{source}");
        }
    }

    #[test]
    fn a_program_that_was_not_named_at_the_start_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "policy: [policy.yaml]\n");
        let boundary = Plan::new(&config, None, Some(&policy("{ exec: [/opt/get, a] }"))).boundary();
        assert_eq!(boundary.outside(&policy("{ exec: [/opt/get, b], timeout_seconds: 5 }")), None);
        let key = "{ github_app: { app_id: 1, installation: 1, private_key: { exec: [/opt/get] } } }";
        assert_eq!(boundary.outside(&policy(key)), None);
        for source in ["{ exec: [/opt/other] }", &key.replace("/opt/get", "/opt/other")] {
            let other = policy(source);
            assert_eq!(boundary.outside(&other), Some(("c", Outside::Program(Path::new("/opt/other")))));
        }
    }

    #[test]
    fn the_root_folder_is_never_named() {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), "policy: [/policy-that-is-not-there.yaml]\n");
        assert_eq!(Plan::new(&config, None, None), Plan::default());
    }
}
