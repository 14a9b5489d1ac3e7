//! The process shuts itself in, once its sockets are open and its configuration is read.
//!
//! Whoever takes over a thread of the appliance finds no privilege, no program to run, no file beyond the folders that it
//! reads and writes, no other process to look into and no port to open. The parts are independent of each other: what a
//! kernel or container does not offer is left out and reported, and `require_lockdown` turns that into a refusal to start.
//! There is no setting that turns a part off.
//!
//! Everything here holds for the calling thread and those that it starts later, so that it must be called while there is
//! no other: before the runtime is built. [`apply`] counts the threads and reports where it came too late.
//!
//! What it refuses to do: to protect anything from an administrator of the machine, and to replace the container's or the
//! service manager's own walls.

mod calls;
mod folders;
mod privileges;
mod user;

use std::fmt;

pub use folders::{Boundary, Outside, Plan};
pub(crate) use privileges::not_dumpable;
pub use user::Identity;

/// A part of the lock-down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Files and folders: those of the [`Plan`] and no others; no TCP port is bound.
    Landlock,
    /// System calls: those that serving takes and no others.
    Seccomp,
    /// No capability is held, and none can be had.
    Capabilities,
    /// No program that is run could have more rights.
    NoNewPrivileges,
    /// No other process of the user may look into this one, and there is no core dump.
    NotDumpable,
    /// Credentials lie in memory that is never swapped out.
    LockedMemory,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 6] = [
        Part::Landlock,
        Part::Seccomp,
        Part::Capabilities,
        Part::NoNewPrivileges,
        Part::NotDumpable,
        Part::LockedMemory,
    ];

    /// The word in metrics, logs and `/readyz`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Part::Landlock => "landlock",
            Part::Seccomp => "seccomp",
            Part::Capabilities => "capabilities",
            Part::NoNewPrivileges => "no_new_privileges",
            Part::NotDumpable => "not_dumpable",
            Part::LockedMemory => "locked_memory",
        }
    }
}

/// How a part stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds for the whole process. With what a person should know of it, or nothing.
    InForce(String),
    /// It does not hold, and why.
    Missing(String),
}

impl State {
    /// Whether it holds.
    pub const fn is_in_force(&self) -> bool {
        matches!(self, State::InForce(_))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            State::InForce(note) if note.is_empty() => f.write_str("in force"),
            State::InForce(note) => write!(f, "in force ({note})"),
            State::Missing(why) => write!(f, "missing ({why})"),
        }
    }
}

/// What of the lock-down is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    states: Vec<(Part, State)>,
}

impl Report {
    /// How a part stands.
    pub fn state(&self, part: Part) -> Option<&State> {
        self.states.iter().find(|(known, _)| *known == part).map(|(_, state)| state)
    }

    /// Every part with how it stands, in the order of [`Part::ALL`].
    pub fn states(&self) -> impl Iterator<Item = (Part, &State)> {
        self.states.iter().map(|(part, state)| (*part, state))
    }

    /// The parts that do not hold.
    pub fn missing(&self) -> Vec<Part> {
        self.states().filter(|(_, state)| !state.is_in_force()).map(|(part, _)| part).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (part, state)) in self.states.iter().enumerate() {
            write!(f, "{}{}: {state}", if at > 0 { "; " } else { "" }, part.as_str())?;
        }
        Ok(())
    }
}

/// What a running appliance is locked down to.
#[derive(Debug)]
pub struct Confinement {
    /// What of it was in force at the start.
    pub report: Report,
    /// Where policy and credentials may be read from.
    pub boundary: Boundary,
}

impl Confinement {
    /// How a part stands now. Memory may run short of what can be locked later than at the start.
    pub fn state(&self, part: Part) -> State {
        let unlocked = stubgate_credentials::unlocked_secrets();
        match self.report.state(part) {
            Some(State::InForce(_)) if part == Part::LockedMemory && unlocked > 0 => {
                State::Missing(format!("the memory of {unlocked} credentials could not be locked; see RLIMIT_MEMLOCK"))
            }
            Some(state) => state.clone(),
            None => State::Missing("not tried".into()),
        }
    }
}

/// Locks the process down to a plan, as far as the system allows. Never undone, and nothing is left to undo it with.
pub fn apply(plan: &Plan) -> Report {
    let alone = is_alone();
    let whole = |result: Result<String, String>| match result {
        Ok(note) if alone => State::InForce(note),
        Ok(_) => State::Missing("other threads were there before, which it does not hold for".into()),
        Err(why) => State::Missing(why),
    };
    // Of the process, not of the thread. First, because nothing after it may be watched.
    let not_dumpable = privileges::not_dumpable().map_or_else(State::Missing, State::InForce);
    // Before the filter forbids it, and after the capability that ignores the limit of locked memory is gone.
    let capabilities = whole(privileges::drop_capabilities());
    let locked_memory = match stubgate_credentials::try_lock_memory() {
        Ok(()) => State::InForce(String::new()),
        Err(error) => State::Missing(format!("memory can't be locked: {error}; see RLIMIT_MEMLOCK")),
    };
    let no_new_privileges = whole(privileges::no_new_privileges());
    let landlock = whole(folders::restrict(plan));
    let seccomp = whole(calls::filter());
    let states = Part::ALL.map(|part| {
        let state = match part {
            Part::Landlock => &landlock,
            Part::Seccomp => &seccomp,
            Part::Capabilities => &capabilities,
            Part::NoNewPrivileges => &no_new_privileges,
            Part::NotDumpable => &not_dumpable,
            Part::LockedMemory => &locked_memory,
        };
        (part, state.clone())
    });
    Report { states: states.into() }
}

/// Whether this kernel has what takes a try: landlock and seccomp, each put in force on a thread that ends with that.
pub(crate) fn probe() -> [(Part, State); 2] {
    let tried = |try_it: fn() -> Result<String, String>| {
        let ended = std::thread::spawn(try_it).join();
        ended.unwrap_or_else(|_| Err("the try failed".into())).map_or_else(State::Missing, State::InForce)
    };
    [(Part::Landlock, tried(|| folders::restrict(&Plan::default()))), (Part::Seccomp, tried(calls::filter))]
}

/// What a process gives up that only runs programs for the appliance: capabilities, new privileges, being looked into.
///
/// # Errors
/// What the system did not take.
pub(crate) fn give_up_rights() -> Result<(), String> {
    privileges::not_dumpable()?;
    privileges::drop_capabilities()?;
    privileges::no_new_privileges()?;
    Ok(())
}

/// Whether this is the only thread. Where that can't be seen, it is taken to be.
fn is_alone() -> bool {
    std::fs::read_dir("/proc/self/task").map_or(true, |tasks| tasks.count() <= 1)
}
