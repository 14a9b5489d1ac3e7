//! Reading the configuration file and the policy files that it names. Bounded: a mistyped path must not fill memory.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use stubgate_policy::diagnostic::Diagnostic;
use stubgate_policy::diagnostic::codes::NOT_READ;
use stubgate_policy::source::SourceFile;

use super::warnings::warnings;
use super::{Checked, Config, ConfigProblem, codes, compile};

const CONFIG_MAXIMUM_BYTES: usize = 1024 * 1024;
/// Of all policy files together; a hundred thousand rules need about a fifth of it.
const POLICY_MAXIMUM_BYTES: usize = 128 * 1024 * 1024;

/// Most files and folders that are said to be left out.
const MOST_SKIPPED: usize = 100;
/// Entries of a folder that are looked at to see whether it holds policy.
const MOST_LISTED: usize = 1000;

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, ConfigProblem> {
        compile(read_config(path)?)
    }

    /// Reads and checks the file at `path`, and looks for what a person should look at too, on disk as well.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn check(path: &Path) -> Result<Checked, ConfigProblem> {
        let file = read_config(path)?;
        let config = compile(file.clone())?;
        let warnings = warnings(&file, &config);
        Ok(Checked { config, warnings, files: vec![file] })
    }
}

fn read_config(path: &Path) -> Result<SourceFile, ConfigProblem> {
    read_file(path, CONFIG_MAXIMUM_BYTES).map_err(|error| ConfigProblem {
        diagnostics: vec![Diagnostic::error(codes::UNREADABLE, error.to_string()).help("name a file that can be read")],
        files: Vec::new(),
    })
}

/// All policy files: of a folder those named `*.yaml` without a leading dot, sorted by name, folders in it left alone.
///
/// # Errors
/// Where one can't be read, is no text, or all together are too large; the text names it.
pub fn policy_files(paths: &[PathBuf]) -> io::Result<Vec<SourceFile>> {
    policy_files_and_others(paths).map(|(files, _)| files)
}

/// The same, and a warning for each file or folder that an author could believe to be read.
///
/// # Errors
/// As [`policy_files`].
pub fn policy_files_and_others(paths: &[PathBuf]) -> io::Result<(Vec<SourceFile>, Vec<Diagnostic>)> {
    let mut room = POLICY_MAXIMUM_BYTES;
    let mut files = Vec::new();
    let mut skipped = Vec::new();
    for path in paths {
        for path in expand(path, &mut skipped)? {
            let file = read_file(&path, room)?;
            room = room.saturating_sub(file.text.len());
            files.push(file);
        }
    }
    skipped.sort();
    let warning = |path: &PathBuf| {
        let message = format!("{} is not read: only *.yaml directly in the folder", path.display());
        Diagnostic::warning(NOT_READ, message).help("rename or move it, or name it on its own")
    };
    Ok((files, skipped.iter().map(warning).collect()))
}

fn expand(path: &Path, skipped: &mut Vec<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let name = |error| at(path, &error);
    if !fs::metadata(path).map_err(name)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(name)? {
        let entry = entry.map_err(name)?;
        let file_name = entry.file_name();
        let file_name = file_name.as_encoded_bytes();
        // Kubernetes mounts files as symlinks into folders with a leading dot; only the links are read.
        if file_name.starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if !file_name.ends_with(b".yaml") {
            if skipped.len() < MOST_SKIPPED && seems_policy(file_name, &path) {
                skipped.push(path);
            }
        } else if !fs::metadata(&path).map_err(|error| at(&path, &error))?.is_dir() {
            found.push(path);
        } else if skipped.len() < MOST_SKIPPED {
            skipped.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether somebody could believe that it is read: YAML in another spelling, or a folder with YAML directly in it.
/// The folder `tests` has the policy's tests.
fn seems_policy(file_name: &[u8], path: &Path) -> bool {
    let is_yaml = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        name.ends_with(b".yaml") || name.ends_with(b".yml")
    };
    if !path.is_dir() {
        return is_yaml(file_name);
    }
    // What can't be listed is not read either; that is no reason to fail.
    let mut entries = fs::read_dir(path).into_iter().flatten().flatten().take(MOST_LISTED);
    file_name != b"tests" && entries.any(|entry| is_yaml(entry.file_name().as_encoded_bytes()))
}

fn read_file(path: &Path, room: usize) -> io::Result<SourceFile> {
    let name = |error| at(path, &error);
    // Asked before opening: opening a pipe would wait for a writer.
    if !fs::metadata(path).map_err(name)?.is_file() {
        return Err(name(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
    }
    let file = File::open(path).map_err(name)?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(room).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(name)?;
    if bytes.len() > room {
        return Err(name(io::Error::new(io::ErrorKind::FileTooLarge, "too large")));
    }
    let text =
        String::from_utf8(bytes).map_err(|_| name(io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text")))?;
    Ok(SourceFile { name: path.display().to_string(), text })
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
