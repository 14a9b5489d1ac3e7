//! What the service manager is told (`NOTIFY_SOCKET`, as systemd has it): that it serves, reads its files again, stops, and
//! is alive.
//!
//! Its socket is opened before the lock-down, which forbids Unix sockets. Nothing here waits: a word that the manager does
//! not take is lost. It is told states, never a name, an address or anything else from the wire.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::sys;

/// Whoever started this process and wants to know.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that the environment names; `None` where it names none, or one that can't be told.
    pub fn from_environment() -> Option<Self> {
        let place = std::env::var_os("NOTIFY_SOCKET")?;
        let socket = open(place.as_bytes());
        let socket = socket.inspect_err(|error| tracing::warn!(%error, "the service manager can't be told anything"));
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| is_meant && *micros > 0).map(Duration::from_micros);
        Some(Manager { socket: socket.ok()?, watchdog })
    }

    /// It serves; `ready` says whether a policy is in force.
    pub fn serving(&self, ready: bool) {
        let status = if ready { "serving" } else { "no usable policy: everything is refused; see the log" };
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads its files again. [`Manager::serving`] must follow.
    pub fn reloading(&self) {
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reading its files again",
            sys::monotonic().as_micros()
        ));
    }

    /// It takes nothing new soon, and ends within this time.
    pub fn stopping(&self, within: Duration) {
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS=draining", within.as_micros()));
    }

    /// How often it is to be told that this process is alive.
    pub fn pulse(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// It is alive.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, words: &str) {
        // A manager that does not listen is not waited for.
        let _ = self.socket.send(words.as_bytes());
    }
}

/// A path, or the name of an abstract socket behind `@`.
fn open(place: &[u8]) -> io::Result<UnixDatagram> {
    let address = match place.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        Some((b'/', _)) => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(place))?,
        Some(_) | None => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_told_by_path_and_by_abstract_name_and_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("@stubgate-test-{}", std::process::id());
        for place in [path.as_os_str().as_bytes(), name.as_bytes()] {
            let bound = match place.split_first() {
                Some((b'@', name)) => UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()),
                _ => UnixDatagram::bind(&path),
            };
            let bound = bound.unwrap();
            bound.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let manager = Manager { socket: open(place).unwrap(), watchdog: Some(Duration::from_secs(4)) };
            let heard = || {
                let mut room = [0; 512];
                let length = bound.recv(&mut room).unwrap();
                String::from_utf8_lossy(&room[..length]).into_owned()
            };
            manager.serving(false);
            assert!(heard().starts_with("READY=1\nSTATUS=no usable policy"));
            manager.reloading();
            let said = heard();
            let micros = said.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
            assert!(said.starts_with("RELOADING=1\n") && micros.parse::<u64>().unwrap() > 0, "{said}");
            manager.stopping(Duration::from_secs(2));
            assert!(heard().starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=2000000"));
            assert_eq!(manager.pulse(), Some(Duration::from_secs(2)));
            // More than anybody's queue holds.
            for _ in 0..10_000 {
                manager.alive();
            }
            assert_eq!(heard(), "WATCHDOG=1");
        }
        assert!(open(b"notify").is_err() && open(b"").is_err());
    }
}
