//! Processes, numbered as the test process sees them, looked up in `/proc`.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};

/// All processes that there are.
fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc").map_while(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The first child of a process.
pub fn child_of(parent: u32) -> Option<u32> {
    all().find(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name, in brackets, may hold anything.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        after.split_whitespace().nth(1).and_then(|number| number.parse().ok()) == Some(parent)
    })
}

/// What the kernel calls it: the program's file name, 15 bytes at most; empty if it is gone.
pub fn name(pid: u32) -> String {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    name.trim_end().to_owned()
}

/// Its arguments; empty if it is gone or a zombie.
pub fn arguments(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    words.collect::<Vec<_>>().join("\0").trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

/// All processes of the pid namespace that this one is in.
pub fn in_namespace_of(pid: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(wanted) = namespace(pid) else {
        return Vec::new();
    };
    all().filter(|pid| namespace(*pid).as_ref() == Some(&wanted)).collect()
}

/// Sends a signal; nothing happens where nobody is.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
