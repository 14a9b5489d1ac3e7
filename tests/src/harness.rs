//! One lab for all tests of a file: they take turns in it, and what must always hold is checked after
//! each. Where the run has no privilege, each test runs again as root of a user namespace of its own.

use std::any::type_name;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::lab::Lab;

/// A lab, with whatever a suite keeps beside it, made when the first test needs it.
pub struct Shared<W: 'static> {
    make: fn() -> W,
    world: OnceLock<Option<W>>,
    turn: Mutex<()>,
}

impl<W> std::fmt::Debug for Shared<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<W: AsRef<Lab>> Shared<W> {
    /// For a static: `static WORLD: Shared<World> = Shared::new(World::standard);`
    pub const fn new(make: fn() -> W) -> Shared<W> {
        Shared { make, world: OnceLock::new(), turn: Mutex::new(()) }
    }

    /// Runs one test in the lab. `body` must be a closure written in the test function, whose name is
    /// known by it.
    pub fn test<F: FnOnce(&W)>(&self, body: F) {
        if !as_root::<F>() {
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let world = self.world.get_or_init(|| catch_unwind(self.make).ok());
        let world = world.as_ref().expect("the lab did not come up; an earlier test says why");
        let outcome = catch_unwind(AssertUnwindSafe(|| body(world)));
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
        world.as_ref().oracles();
    }
}

/// Runs a test that makes its own lab, with the privilege that this takes.
pub fn alone<F: FnOnce()>(body: F) {
    if as_root::<F>() {
        body();
    }
}

/// True where this process may make namespaces; else the test named by `F` has been run in a process
/// that may, and has passed.
fn as_root<F>() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let closure = type_name::<F>();
    let path = closure.trim_end_matches("::{{closure}}");
    let test = path.split_once("::").map_or(path, |(_, test)| test);
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--kill-child", "--"])
        .arg(std::env::current_exe().expect("this test binary"))
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .output()
        .expect("unshare(1) of util-linux");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("1 passed"), "in a user namespace, {test}:\n{text}\n{errors}");
    false
}
