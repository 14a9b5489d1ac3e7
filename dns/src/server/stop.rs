//! Tells threads that block on a socket to stop.

use std::{
    io,
    net::UdpSocket,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

/// Set once, for all who hold it.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    shared: Arc<(AtomicBool, OwnedFd)>,
}

/// Sets a [`Stop`] when dropped, so that no thread outlives what it serves.
pub(super) struct StopOnDrop(pub(super) Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

impl Stop {
    pub(super) fn new() -> io::Result<Stop> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Stop { shared: Arc::new((AtomicBool::new(false), event)) })
    }

    pub(super) fn set(&self) {
        self.shared.0.store(true, Ordering::Release);
        // Fails only if the counter is full, and then it is readable already.
        let _ = rustix::io::write(&self.shared.1, &1_u64.to_ne_bytes());
    }

    pub(super) fn is_set(&self) -> bool {
        self.shared.0.load(Ordering::Acquire)
    }

    /// Blocks until `socket` has something to read, or this is set.
    pub(super) fn or_readable(&self, socket: &UdpSocket) -> io::Result<()> {
        let mut both = [PollFd::new(socket, PollFlags::IN), PollFd::new(&self.shared.1, PollFlags::IN)];
        match poll(&mut both, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
