//! What a file that the agent made long costs, measured in a process of its own.
#![allow(clippy::expect_used, missing_docs)]

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;

use stubgate_agent::files;

/// Kilobytes of memory that this process has had in use at most.
fn most() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line of it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn a_file_that_is_replaced_is_not_read_whatever_its_length() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(".credentials.json");
    let file = File::create(&path).expect("a file");
    file.set_len(256 * 1024 * 1024).expect("a long one, of nothing");
    file.set_permissions(Permissions::from_mode(0o600)).expect("the mode that it should have");
    let before = most();
    assert!(files::replace(&path, b"{}\n", 0o600).expect("it is ours"));
    let grown = most().saturating_sub(before);
    assert!(grown < 2 * 1024, "{grown} KiB");
    assert_eq!(std::fs::read(&path).expect("it is there"), b"{}\n");
}
