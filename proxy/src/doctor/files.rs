//! Who may read and write what the appliance keeps, reads and writes. What policy may be written by is in the warnings of
//! the configuration.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{Finding, Setting};
use crate::config::{AuditSink, Config, Use};

/// Reading by others than owner and group, and writing by anybody else.
const OTHERS: u32 = 0o027;
/// Anybody at all: groups are the operator's matter where secrets are handed over.
const ALL: u32 = 0o007;

/// Who else may read or write a file that holds a key, if somebody may.
pub(super) fn exposed(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode();
    (mode & OTHERS != 0).then(|| format!("others can read it, or its group write it (mode {:o})", mode & 0o7777))
}

pub(super) fn look(config: &Config, secret_files: &BTreeSet<PathBuf>) -> Vec<Finding> {
    let mut found = state(config);
    found.extend(audit(config));
    let named = secrets_of(config);
    found.extend(secrets(secret_files.iter().map(PathBuf::as_path).chain(named)));
    found
}

/// The files that credentials are read from.
pub(super) fn secret_files(setting: &Setting) -> BTreeSet<PathBuf> {
    let policy = setting.policy().into_iter();
    policy.flat_map(|policy| policy.credentials()).flat_map(|one| one.source().files()).map(Path::to_owned).collect()
}

/// The files that the configuration has secrets in, such as a database's password. Those of the state folder are looked at there.
fn secrets_of(config: &Config) -> impl Iterator<Item = &Path> {
    let is_apart = |path: &Path| path.is_file() && !path.starts_with(&config.state_dir);
    let named = config.paths().into_iter().filter(move |(kind, path)| *kind == Use::Secret && is_apart(path));
    named.map(|(_, path)| path)
}

fn state(config: &Config) -> Vec<Finding> {
    let folder = &config.state_dir;
    let at = folder.display();
    let Ok(there) = fs::metadata(folder) else {
        let what = format!("{at} is not there; it is made at the first start, where that is allowed");
        return vec![Finding::warn("state", what).advise("make it, owned by the user that stubgate runs as, mode 700")];
    };
    if !there.is_dir() {
        return vec![Finding::bad("state", format!("{at} is no folder")).advise("correct state_dir")];
    }
    let mut found = Vec::new();
    if there.mode() & 0o1002 == 0o002 {
        let what =
            format!("every user can write to {at} (mode {:o}) and exchange what is kept there", there.mode() & 0o7777);
        found.push(Finding::warn("state", what).advise(format!("chmod o-w {at}")));
    }
    // Whatever is called a key, in it and one folder below.
    let folders = fs::read_dir(folder).into_iter().flatten().map_while(Result::ok).map(|entry| entry.path());
    let folders = folders.filter(|path| path.is_dir()).chain([folder.clone()]);
    let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().map_while(Result::ok).take(1000);
    for path in files.map(|entry| entry.path()) {
        // A CA that another one followed has its fingerprint before that.
        let is_named = path.file_name().is_some_and(|name| name.as_encoded_bytes().ends_with(b"key.pem"));
        let is_key = is_named || path.extension().is_some_and(|kind| kind == "key");
        if let Some(why) = exposed(&path).filter(|_| is_key) {
            let advice = format!("chmod 600 {}", path.display());
            found.push(Finding::bad("state.keys", format!("{}: {why}", path.display())).advise(advice));
        }
    }
    if found.is_empty() {
        found.push(Finding::ok("state", format!("{at}: nobody else can write there or read its keys")));
    }
    found
}

fn audit(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in &config.audit {
        let AuditSink::File(path) = &file.sink else {
            found.push(Finding::ok("audit", "records go to standard output"));
            continue;
        };
        let at = path.display();
        let folder = path.ancestors().skip(1).find(|above| above.exists());
        found.push(match (fs::metadata(path), folder) {
            (Ok(there), _) if there.mode() & ALL != 0 => {
                let what = format!(
                    "{at}: every user of the machine has rights to the records (mode {:o})",
                    there.mode() & 0o7777
                );
                Finding::warn("audit", what).advise(format!("chmod o= {at}"))
            }
            (Ok(_), _) => Finding::ok("audit", format!("records go to {at}")),
            (Err(_), Some(above)) => {
                Finding::ok("audit", format!("records will go to {at}, below {}", above.display()))
            }
            (Err(error), None) => Finding::bad("audit", format!("{at}: {error}")).advise("correct audit.files"),
        });
    }
    found
}

/// Of their content nothing is read.
fn secrets<'p>(files: impl Iterator<Item = &'p Path>) -> Vec<Finding> {
    let (mut found, mut count) = (Vec::new(), 0);
    for path in files {
        count += 1;
        let at = path.display();
        match fs::metadata(path) {
            Err(error) => {
                let advice = "put it there, or run this as who may see it; requests that need it are refused";
                found.push(Finding::bad("secrets", format!("{at}: {error}")).advise(advice));
            }
            Ok(there) if there.mode() & ALL != 0 => {
                let what = format!("{at}: every user of the machine can read it (mode {:o})", there.mode() & 0o7777);
                found.push(
                    Finding::warn("secrets", what).advise("chmod o= it; of a Secret in Kubernetes: defaultMode: 0440"),
                );
            }
            Ok(_) => {}
        }
    }
    if found.is_empty() && count > 0 {
        found.push(Finding::ok("secrets", format!("{count} files are there, and not every user's to read")));
    }
    found
}
