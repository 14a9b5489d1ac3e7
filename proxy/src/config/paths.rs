//! Every file and folder that a configuration names, and what for.
//!
//! `stubgate sandbox` guards them by this: a setting that is new does not compile before it is said here what it names. The
//! lock-down has rules of its own for what stays open of each.

use std::path::Path;

use stubgate_credentials::escrow::{Database, KeySource};
use stubgate_kubernetes::Settings;

use super::{AuditFile, AuditSink, Ca, CaFiles, Config, Escrow, EscrowStore, Process, Stubs, Upstream};

/// What a path is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Policy: a file, or a folder of them.
    Policy,
    /// A secret, or a folder with secrets.
    Secret,
    /// Read, and no secret.
    Read,
    /// Written for others to read.
    Written,
    /// Records.
    Records,
    /// A program that is run, or what it is given: a script, say.
    Program,
}

impl Config {
    /// All of them, in no order that means anything.
    pub fn paths(&self) -> Vec<(Use, &Path)> {
        let Config {
            listen: _,
            advertise: _,
            policy,
            state_dir,
            ca,
            forward: _,
            limits: _,
            timeouts: _,
            upstream,
            audit,
            stubs,
            process,
            escrow,
            kubernetes,
        } = self;
        let Ca { files, subtrees: _, bundle_file, terms: _ } = ca;
        let Upstream { nameservers: _, ca_files, connect_to: _, allow_private: _ } = upstream;
        let Stubs { key_file, has_own_key: _, revoked_file } = stubs;
        let Process { user: _, require_lockdown: _, credential_folders } = process;
        let mut all: Vec<(Use, &Path)> = vec![
            (Use::Secret, state_dir.as_path()),
            (Use::Secret, key_file.as_path()),
            (Use::Read, revoked_file.as_path()),
        ];
        all.extend(policy.iter().map(|path| (Use::Policy, path.as_path())));
        all.extend(credential_folders.iter().map(|path| (Use::Secret, path.as_path())));
        if let Some(CaFiles { certificate_file, key_file }) = files {
            all.extend([(Use::Read, certificate_file.as_path()), (Use::Secret, key_file.as_path())]);
        }
        all.extend(bundle_file.as_deref().map(|path| (Use::Written, path)));
        all.extend(ca_files.iter().map(|path| (Use::Read, path.as_path())));
        for AuditFile { sink, max_bytes: _, keep: _, durable: _ } in audit {
            match sink {
                AuditSink::Stdout => {}
                AuditSink::File(path) => all.push((Use::Records, path)),
            }
        }
        if let Some(Escrow { store, key }) = escrow {
            all.extend(of_store(store));
            all.extend(of_key(key));
        }
        if let Some(Settings { access, namespaces: _, stale_after: _ }) = kubernetes {
            all.extend(access.paths().into_iter().map(|path| (Use::Secret, path)));
        }
        all
    }
}

fn of_store(store: &EscrowStore) -> Vec<(Use, &Path)> {
    let EscrowStore::Postgres { database, ca_file } = store else { return Vec::new() };
    let secret = match database {
        Database::UrlFile(path) => Some(path.as_path()),
        Database::Parts { host: _, port: _, database: _, user: _, password_file } => password_file.as_deref(),
    };
    let secret = secret.into_iter().map(|path| (Use::Secret, path));
    secret.chain(ca_file.as_deref().map(|path| (Use::Read, path))).collect()
}

fn of_key(key: &KeySource) -> Vec<(Use, &Path)> {
    match key {
        KeySource::File(path) | KeySource::Passphrase(path) => vec![(Use::Secret, path)],
        KeySource::Exec(command) => given_to(command).map(|path| (Use::Program, path)).collect(),
        // In the state folder.
        KeySource::Made => Vec::new(),
    }
}

/// What of a command may be a program, or a script of one: its absolute paths.
pub(crate) fn given_to<'c, T: AsRef<str> + 'c>(
    command: impl IntoIterator<Item = &'c T>,
) -> impl Iterator<Item = &'c Path> {
    command.into_iter().map(|word| Path::new(word.as_ref())).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use crate::config::compile;

    #[test]
    fn everything_that_is_named_has_its_use() {
        let text = "listen: { proxy: [\"127.0.0.1:0\"] }\npolicy: [/p]\nstate_dir: /state\n\
            ca: { certificate_file: /ca.pem, key_file: /ca.key, bundle_file: /out/bundle.pem }\n\
            upstream: { ca_files: [/corp.pem] }\naudit: { files: [{ path: /log/a }, { path: \"-\" }] }\n\
            stubs: { key_file: /stub.key, revoked_file: /revoked }\nprocess: { credential_folders: [/secrets] }\n\
            escrow: { store: { postgres: { url_file: /url, ca_file: /db.pem } }, key: { exec: [/bin/sh, /key.sh, a] } }\n";
        let file = stubgate_policy::SourceFile { name: "/c.yaml".into(), text: text.into() };
        let config = compile(file).unwrap_or_else(|problem| panic!("{problem}"));
        let mut found: Vec<String> =
            config.paths().iter().map(|(kind, path)| format!("{kind:?} {}", path.display())).collect();
        found.sort();
        let expected = [
            "Policy /p",
            "Program /bin/sh",
            "Program /key.sh",
            "Read /ca.pem",
            "Read /corp.pem",
            "Read /db.pem",
            "Read /revoked",
            "Records /log/a",
            "Secret /ca.key",
            "Secret /secrets",
            "Secret /state",
            "Secret /stub.key",
            "Secret /url",
            "Written /out/bundle.pem",
        ];
        assert_eq!(found, expected);
    }
}
