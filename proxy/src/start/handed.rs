//! Sockets that were open before this process was: a service manager (`LISTEN_FDS`, as systemd has it) keeps them while
//! one process ends and the next begins, so that nobody who connects meanwhile is refused.
//!
//! Each comes under a name, which says what is spoken there. It refuses to serve on one that `stubgate.yaml` does not have:
//! what is reachable stands in one file.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

use crate::sys;

/// The names that there are, as the keys of `listen`.
pub(super) const NAMES: [&str; 6] = ["dns", "http", "https", "proxy", "transparent", "admin"];
/// More than anybody listens on.
const MOST: i32 = 1024;

/// What was handed over and has not been taken.
#[derive(Debug, Default)]
pub struct Handed {
    doors: Vec<Door>,
}

/// What travels through a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

#[derive(Debug)]
struct Door {
    name: String,
    kind: Kind,
    address: SocketAddr,
    socket: Socket,
}

/// Why sockets can't be taken. What is to be written instead is part of the text.
#[derive(Debug, thiserror::Error)]
pub enum HandedError {
    /// The variables are not what they should be.
    #[error("LISTEN_FDS and LISTEN_FDNAMES: {0}")]
    Variables(String),
    /// A descriptor can't be used.
    #[error("descriptor {number} ({name}) was handed over, and {why}")]
    Unusable {
        /// Its number.
        number: usize,
        /// Its name.
        name: String,
        /// Why, and what to write instead.
        why: String,
    },
    /// They are for what nobody configured.
    #[error(
        "{kind} {address} was handed over as `{name}`, and `listen.{name}` has no such address: write \"{address}\" there, or \
         leave it out of the socket unit"
    )]
    NotConfigured {
        /// Its name.
        name: String,
        /// `TCP` or `UDP`.
        kind: &'static str,
        /// Where it is.
        address: SocketAddr,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Kind::Tcp => "TCP",
            Kind::Udp => "UDP",
        }
    }
}

impl Handed {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Handed::default()
    }

    /// What the environment says, where it speaks to this process. Called once, before anything is opened.
    ///
    /// # Errors
    /// Where something was handed over that can't be listened on.
    pub fn from_environment() -> Result<Self, HandedError> {
        let variable = |name: &str| std::env::var(name).ok();
        if variable("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
            return Ok(Handed::none());
        }
        let names = names(variable("LISTEN_FDS").as_deref(), variable("LISTEN_FDNAMES").as_deref())?;
        let count = i32::try_from(names.len()).unwrap_or(MOST);
        let taken = sys::take_descriptors(count).map_err(|error| HandedError::Variables(error.to_string()))?;
        let doors = names.into_iter().zip(taken).zip(3..);
        let doors = doors.map(|((name, socket), number)| {
            let socket = Socket::from(socket);
            let unusable = |why| HandedError::Unusable { number, name: name.clone(), why };
            let (kind, address) = examine(&name, &socket).map_err(unusable)?;
            Ok(Door { name, kind, address, socket })
        });
        Ok(Handed { doors: doors.collect::<Result<_, _>>()? })
    }

    /// Whether there is nothing (any more).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.doors.is_empty()
    }

    /// The one for an address of `listen.NAME`, if it was handed over. Port 0 takes any port.
    pub(super) fn take(&mut self, name: &str, kind: Kind, address: SocketAddr) -> Option<Socket> {
        let is_it = |door: &Door| {
            let is_there = door.address == address || address.port() == 0 && door.address.ip() == address.ip();
            door.name == name && door.kind == kind && is_there
        };
        let at = self.doors.iter().position(is_it)?;
        Some(self.doors.swap_remove(at).socket)
    }

    /// What is left is served by nobody.
    pub(super) fn finish(self) -> Result<(), HandedError> {
        match self.doors.into_iter().next() {
            None => Ok(()),
            Some(Door { name, kind, address, .. }) => {
                Err(HandedError::NotConfigured { name, kind: kind.as_str(), address })
            }
        }
    }
}

/// A name for each descriptor.
fn names(count: Option<&str>, names: Option<&str>) -> Result<Vec<String>, HandedError> {
    let wrong = |why: String| Err(HandedError::Variables(why));
    let Some(count) = count.and_then(|count| count.parse::<i32>().ok()).filter(|count| (0..=MOST).contains(count))
    else {
        return wrong("LISTEN_FDS is no number of descriptors".to_owned());
    };
    let names: Vec<String> = names.unwrap_or_default().split(':').filter(|_| count > 0).map(str::to_owned).collect();
    if i32::try_from(names.len()) != Ok(count) {
        return wrong(format!(
            "{count} descriptors have {} names; write FileDescriptorName= in each socket unit, one of {}",
            names.len(),
            NAMES.join(", ")
        ));
    }
    match names.iter().find(|name| !NAMES.contains(&name.as_str())) {
        None => Ok(names),
        Some(name) => wrong(format!(
            "`{name}` is no listener; write FileDescriptorName= in its socket unit, one of {}",
            NAMES.join(", ")
        )),
    }
}

/// What a descriptor is.
fn examine(name: &str, socket: &Socket) -> Result<(Kind, SocketAddr), String> {
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    let address =
        address.ok_or("it is no socket of an Internet address; write ListenStream= or ListenDatagram= with one")?;
    let is_listening = socket.is_listener().unwrap_or(false);
    let kind = match socket.r#type() {
        Ok(kind) if kind == Type::STREAM && is_listening => Kind::Tcp,
        Ok(kind) if kind == Type::DGRAM && name == "dns" => Kind::Udp,
        Ok(kind) if kind == Type::DGRAM => {
            return Err(format!("{name} is no UDP; write ListenStream= instead of ListenDatagram="));
        }
        Ok(_) | Err(_) => return Err("nothing can be accepted on it; write ListenStream=, and Accept=no".to_owned()),
    };
    let is_any = address.ip() == Ipv6Addr::UNSPECIFIED;
    if is_any && socket.domain().is_ok_and(|domain| domain == Domain::IPV6) && !socket.only_v6().unwrap_or(false) {
        return Err(
            "it takes IPv4 as well, which is an address of its own in `listen`; write BindIPv6Only=ipv6-only, and \
                    ListenStream=0.0.0.0:PORT for IPv4"
                .to_owned(),
        );
    }
    // Of the open socket, which its keeper shares: it never reads from it.
    socket.set_nonblocking(true).map_err(|error| format!("it can't be used: {error}"))?;
    Ok((kind, address))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn door(name: &str, socket: impl Into<Socket>) -> Door {
        let socket = socket.into();
        let (kind, address) = examine(name, &socket).unwrap_or_else(|why| panic!("{why}"));
        Door { name: name.to_owned(), kind, address, socket }
    }

    #[test]
    fn each_descriptor_has_a_name_and_each_name_is_a_listener() {
        for (count, given, expected) in [
            ("0", None, Ok(vec![])),
            ("1", Some("dns"), Ok(vec!["dns"])),
            ("3", Some("dns:dns:https"), Ok(vec!["dns", "dns", "https"])),
            ("2", Some("dns"), Err("2 descriptors have 1 names")),
            ("1", None, Err("`` is no listener")),
            ("1", Some("stubgate.socket"), Err("`stubgate.socket` is no listener; write FileDescriptorName=")),
            ("-1", Some("dns"), Err("no number")),
            ("x", Some("dns"), Err("no number")),
            ("99999", Some("dns"), Err("no number")),
        ] {
            match (names(Some(count), given), expected) {
                (Ok(names), Ok(expected)) => assert_eq!(names, expected),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                other => panic!("{count} {given:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_configured_is_taken_once_and_what_is_not_is_an_error_that_names_the_fix() {
        let tcp = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = (tcp(), tcp());
        let (at, left) = (one.local_addr().unwrap(), other.local_addr().unwrap());
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp_at = udp.local_addr().unwrap();
        let doors = vec![door("https", one), door("proxy", other), door("dns", udp)];
        let mut handed = Handed { doors };
        assert!(handed.take("http", Kind::Tcp, at).is_none(), "another name");
        assert!(handed.take("https", Kind::Udp, at).is_none(), "another kind");
        assert!(handed.take("https", Kind::Tcp, at).is_some());
        assert!(handed.take("https", Kind::Tcp, at).is_none(), "taken");
        assert!(handed.take("dns", Kind::Udp, SocketAddr::new(udp_at.ip(), 0)).is_some(), "any port");
        let error = handed.finish().unwrap_err().to_string();
        for part in [format!("TCP {left}"), "listen.proxy".into(), "leave it out of the socket unit".into()] {
            assert!(error.contains(&part), "{error}");
        }
        assert!(Handed::none().finish().is_ok());
    }

    #[test]
    fn what_can_not_be_listened_on_is_refused_with_what_to_write_instead() {
        let datagrams = || Socket::from(UdpSocket::bind("127.0.0.1:0").unwrap());
        assert!(examine("https", &datagrams()).unwrap_err().contains("ListenStream="));
        assert!(examine("dns", &datagrams()).is_ok());
        let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert!(examine("https", &deaf).unwrap_err().contains("Accept=no"));
        let (unix, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(examine("https", &Socket::from(std::os::fd::OwnedFd::from(unix))).is_err());
        let both = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        both.set_only_v6(false).unwrap();
        both.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        both.listen(1).unwrap();
        assert!(examine("https", &both).unwrap_err().contains("BindIPv6Only"));
    }
}
