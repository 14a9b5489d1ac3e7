//! The beginning of a bridge: a server of a hundred lines, its entry, the rules that it needs of the firewall, and tests that pass as
//! they are. Written into a folder that there is not yet; nothing is ever overwritten.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file;

/// Where it will run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In the agent's container: it speaks HTTP, with a stub.
    InContainer,
    /// Elsewhere: it speaks something else, with a credential.
    Workload,
}

/// Why nothing is written.
#[derive(Debug, Error)]
pub enum Failed {
    /// No name.
    #[error("{0:?} is no name of a bridge: lower-case letters, digits and -, 40 at most, a letter first")]
    Name(String),
    /// It is there already.
    #[error("{} is there already, and is left as it is; write to another folder with --to DIR", .0.display())]
    There(PathBuf),
    /// It can't be written.
    #[error("{}: {why}", path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

macro_rules! files {
    ($kind:literal, $($name:literal),+) => {
        [$(($name, include_str!(concat!("../../../bridges/_new/", $kind, "/", $name)))),+]
    };
}

const IN_CONTAINER: [(&str, &str); 6] = files!(
    "in-container",
    "README.md",
    "bridges.yaml",
    "policy/policy.yaml",
    "policy/tests/__NAME__.yaml",
    "server.py",
    "test_server.py"
);

const WORKLOAD: [(&str, &str); 7] = files!(
    "workload",
    "README.md",
    "bridges.yaml",
    "policy/policy.yaml",
    "policy/tests/__NAME__.yaml",
    "serve.yaml",
    "server.py",
    "test_server.py"
);

/// Writes the beginning of a bridge; gives the files.
///
/// # Errors
///
/// The name is none, or a file is there already.
pub fn write(name: &str, kind: Kind, folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    if !file::is_name(name) {
        return Err(Failed::Name(name.into()));
    }
    let upper = name.to_ascii_uppercase().replace('-', "_");
    let filled = |text: &str| text.replace("__NAME__", name).replace("__UPPER__", &upper);
    let files: &[(&str, &str)] = match kind {
        Kind::InContainer => &IN_CONTAINER,
        Kind::Workload => &WORKLOAD,
    };
    let mut written = Vec::new();
    for (file, text) in files {
        let path = folder.join(filled(file));
        let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
            file.write_all(filled(text).as_bytes())
        });
        made.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Failed::There(path.clone()),
            _ => Failed::Disk { path: path.clone(), why: source.to_string() },
        })?;
        written.push(path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_has_right_entries_and_nothing_left_to_fill_in() {
        for (kind, names) in
            [(Kind::InContainer, ["bridges.yaml"].as_slice()), (Kind::Workload, &["bridges.yaml", "serve.yaml"])]
        {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path().join("lab-tickets");
            for path in write("lab-tickets", kind, &folder).unwrap() {
                let text = fs::read_to_string(&path).unwrap();
                assert!(!text.contains("__NAME__") && !text.contains("__UPPER__"), "{}", path.display());
                assert!(!path.to_str().unwrap().contains("__"));
            }
            for name in names {
                let entries = file::read_one(&folder.join(name)).unwrap();
                assert_eq!(entries.keys().collect::<Vec<_>>(), ["lab-tickets"]);
            }
        }
    }

    #[test]
    fn nothing_is_overwritten_and_a_name_is_no_path() {
        let folder = tempfile::tempdir().unwrap();
        write("one", Kind::Workload, folder.path()).unwrap();
        fs::write(folder.path().join("server.py"), "mine").unwrap();
        assert!(matches!(write("one", Kind::Workload, folder.path()), Err(Failed::There(_))));
        assert_eq!(fs::read_to_string(folder.path().join("server.py")).unwrap(), "mine");
        assert!(matches!(write("../one", Kind::Workload, folder.path()), Err(Failed::Name(_))));
    }
}
