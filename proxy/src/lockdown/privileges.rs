//! Capabilities, new privileges, core dumps.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    no_new_privs, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

/// Numbers of capabilities that a kernel may know.
const CAPABILITIES: u32 = 64;

/// Gives up every capability: bounding, ambient, inheritable, permitted and effective.
pub(super) fn drop_capabilities() -> Result<String, String> {
    let bounded = empty_bounding_set();
    // Kernels before 4.3 have none.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let nothing = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, nothing).map_err(|error| error.to_string())?;
    let left = capabilities(None).map_err(|error| error.to_string())?;
    if left != nothing {
        return Err("some are left".into());
    }
    // A bounding set only says what a program that is run could gain, and none gains anything without new privileges.
    let note = if bounded { "" } else { "the bounding set stays, as this user may not change it" };
    let root = rustix::process::geteuid().is_root();
    let note = if root { "the user is still root: name another as process.user" } else { note };
    Ok(note.into())
}

/// Whether the bounding set is empty in the end.
pub(super) fn empty_bounding_set() -> bool {
    let mut is_empty = true;
    for number in 0..CAPABILITIES {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // The first number that the kernel does not know is an error.
        match capability_is_in_bounding_set(capability) {
            Ok(true) => is_empty &= remove_capability_from_bounding_set(capability).is_ok(),
            Ok(false) => {}
            Err(_) => break,
        }
    }
    is_empty
}

/// Whatever is run from here on has no more rights than this process.
pub(super) fn no_new_privileges() -> Result<String, String> {
    set_no_new_privs(true).map_err(|error| error.to_string())?;
    match no_new_privs() {
        Ok(true) => Ok(String::new()),
        Ok(false) => Err("the system did not take it".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// No core dump, and no other process of the user may trace this one or read its memory.
pub(crate) fn not_dumpable() -> Result<String, String> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| error.to_string())?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(|error| error.to_string())?;
    Ok(String::new())
}
