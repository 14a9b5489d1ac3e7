//! That no process holds what looks like a credential in its environment or on its command line. Only processes of the same
//! user can be read; the agent has no others.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use super::report::Finding;
use super::{Setting, shapes};

const CHECK: &str = "credentials.processes";
/// Bytes of an environment or a command line that are looked at; the kernel's own bound is about as large.
const LARGEST: u64 = 2 * 1024 * 1024;
/// Processes, and findings that are told.
const MOST: usize = 4096;
const TOLD: usize = 20;

/// Looks at every process.
pub(super) fn look(setting: &Setting, end: Instant) -> Vec<Finding> {
    let own = rustix::process::geteuid().as_raw();
    let mut numbers: Vec<u32> = match fs::read_dir(&setting.proc) {
        Ok(entries) => entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).take(MOST).collect(),
        Err(error) => return vec![Finding::warn(CHECK, format!("{}: {error}", setting.proc.display()))],
    };
    numbers.sort_unstable();
    let (mut looked_at, mut found) = (0, Vec::new());
    for number in numbers {
        if Instant::now() >= end {
            found.push(Finding::warn(CHECK, "there was no time for all processes"));
            break;
        }
        let folder = setting.proc.join(number.to_string());
        if fs::metadata(&folder).is_ok_and(|folder| folder.uid() == own)
            && process(setting, number, &folder, &mut found)
        {
            looked_at += 1;
        }
    }
    let more = found.len().saturating_sub(TOLD);
    found.truncate(TOLD);
    if more > 0 {
        found.push(Finding::bad(CHECK, format!("and {more} more")));
    }
    if found.is_empty() {
        found.push(Finding::ok(CHECK, format!("{looked_at} processes hold nothing that looks real")));
    }
    found
}

/// Looks at one, and whether it could be read.
fn process(setting: &Setting, number: u32, folder: &Path, found: &mut Vec<Finding>) -> bool {
    // It may have ended by now.
    let Ok(environment) = read(&folder.join("environ")) else { return false };
    let name = read(&folder.join("comm")).unwrap_or_default();
    let who = format!("process {number} ({})", String::from_utf8_lossy(&name).trim());
    let mut tell = |what: String| {
        found.push(
            Finding::bad(CHECK, what).advise("give it the stub instead, and replace the credential: it was seen here"),
        );
    };
    for variable in environment.split(|byte| *byte == 0) {
        let at = variable.iter().position(|byte| *byte == b'=').unwrap_or(variable.len());
        let (name, value) = variable.split_at(at);
        let name = String::from_utf8_lossy(name);
        for hit in shapes::find(value, setting.mask.stubs(), true) {
            tell(format!("{who}: {} in the variable {name}", hit.kind));
        }
    }
    let line = read(&folder.join("cmdline")).unwrap_or_default();
    for hit in shapes::find(&line, setting.mask.stubs(), true) {
        tell(format!("{who}: {} on its command line", hit.kind));
    }
    true
}

/// The beginning of a file; the kernel's have no length.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
