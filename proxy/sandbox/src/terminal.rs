//! The user's terminal, passed on to the one inside byte by byte, as `ssh` does: what the command has is never the user's own,
//! into which it could type for the shell that comes after it.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize};

/// Bytes that are taken at once.
const AT_ONCE: usize = 16 << 10;

/// Which of standard input, output and error are terminals.
#[must_use]
pub fn terminals() -> [bool; 3] {
    [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()]
}

/// The user's terminal while a command has its stand-in.
pub(crate) struct Relay {
    front: OwnedFd,
    /// Whether keys are passed on: not where the terminal is another's to read.
    reads: bool,
    writes: bool,
    /// Typed, and not taken inside yet.
    typed: VecDeque<u8>,
    before: Option<Termios>,
    /// Which of the standard descriptors what is shown goes to.
    shown_on: Shown,
}

#[derive(Clone, Copy)]
enum Shown {
    Output,
    Errors,
    Input,
}

impl Relay {
    /// Takes over the terminal for the front of another one.
    pub(crate) fn new(front: OwnedFd, terminals: [bool; 3]) -> Result<Relay, Errno> {
        let [input, output, errors] = terminals;
        let shown_on = match (output, errors) {
            (true, _) => Shown::Output,
            (false, true) => Shown::Errors,
            (false, false) => Shown::Input,
        };
        fcntl_setfl(&front, fcntl_getfl(&front)? | OFlags::NONBLOCK)?;
        let mut relay = Relay { front, reads: false, writes: true, typed: VecDeque::new(), before: None, shown_on };
        relay.fit();
        let stdin = io::stdin();
        // In the background a change of settings would stop this process.
        let is_ours = input && tcgetpgrp(&stdin).is_ok_and(|group| group == rustix::process::getpgrp());
        if is_ours {
            let before = tcgetattr(&stdin)?;
            // What is typed before the change is for the command too.
            tcsetattr(&relay.front, OptionalActions::Now, &before)?;
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(&stdin, OptionalActions::Now, &raw)?;
            relay.before = Some(before);
            relay.reads = true;
        }
        Ok(relay)
    }

    fn shown(&self) -> BorrowedFd<'static> {
        match self.shown_on {
            Shown::Output => rustix::stdio::stdout(),
            Shown::Errors => rustix::stdio::stderr(),
            Shown::Input => rustix::stdio::stdin(),
        }
    }

    /// Gives the one inside the size of the user's.
    pub(crate) fn fit(&self) {
        if let Ok(size) = tcgetwinsize(self.shown()) {
            // Where it has gone there is nobody to see it.
            let _ = tcsetwinsize(&self.front, size);
        }
    }

    /// What to wait for: the front, and the user's keys while there is room for them.
    pub(crate) fn wanted(&self) -> [Option<PollFd<'_>>; 2] {
        let flags = if self.typed.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        [
            self.writes.then(|| PollFd::new(&self.front, flags)),
            (self.reads && self.typed.is_empty())
                .then(|| PollFd::from_borrowed_fd(rustix::stdio::stdin(), PollFlags::IN)),
        ]
    }

    /// Passes on what is there; whether the user's side has hung up.
    pub(crate) fn pass(&mut self, front_is_ready: bool, keys_are_ready: bool) -> bool {
        let mut hung_up = false;
        if keys_are_ready {
            let mut keys = [0; AT_ONCE];
            match rustix::io::read(rustix::stdio::stdin(), &mut keys) {
                Ok(0) => hung_up = true,
                Ok(length) => self.typed.extend(keys.get(..length).unwrap_or_default()),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => hung_up = true,
            }
            self.reads &= !hung_up;
        }
        self.type_in();
        if front_is_ready {
            self.show();
        }
        hung_up
    }

    fn type_in(&mut self) {
        while !self.typed.is_empty() {
            let (first, _) = self.typed.as_slices();
            match rustix::io::write(&self.front, first) {
                Ok(length) => drop(self.typed.drain(..length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody is there who would read it.
                Err(_) => self.typed.clear(),
            }
        }
    }

    /// Shows what there is; whether there may be more.
    fn show(&mut self) -> bool {
        let mut shown = [0; AT_ONCE];
        match rustix::io::read(&self.front, &mut shown) {
            Ok(length) if length > 0 => {
                let mut rest = shown.get(..length).unwrap_or_default();
                while !rest.is_empty() {
                    match rustix::io::write(self.shown(), rest) {
                        Ok(length) => rest = rest.get(length..).unwrap_or_default(),
                        Err(Errno::INTR | Errno::AGAIN) => {}
                        Err(_) => break,
                    }
                }
                true
            }
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => false,
            // The last who had it open has closed it.
            _ => {
                self.writes = false;
                false
            }
        }
    }

    /// Shows what is left.
    pub(crate) fn finish(&mut self) {
        while self.show() {}
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that has gone has no settings.
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
        }
    }
}
