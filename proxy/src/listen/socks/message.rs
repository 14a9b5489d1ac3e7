//! The messages of SOCKS5 (RFC 1928): bytes in, values out; pure, and fuzzed by itself.
//!
//! A message is read from the front of what has come so far, so that it may come byte by byte, and what follows it stays
//! for whoever is next. The target is parsed by the same type as every other authority (law 2): a name with a NUL, a
//! number in disguise or an IPv4 address in IPv6 clothes can't be held.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;

use stubgate_policy::Host;

/// The version that every message begins with.
pub(crate) const VERSION: u8 = 5;
/// The version of the protocol before, which has no way to say why it refuses.
pub(crate) const VERSION_4: u8 = 4;
/// The longest request: four bytes, a length, a name of 255 octets, a port.
pub(crate) const LONGEST: usize = 4 + 1 + 255 + 2;

const NO_AUTHENTICATION: u8 = 0;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;

/// What a client offers to prove who it is (section 3). We know agents by their address alone, so that only the method
/// that proves nothing is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    /// Whether it would go on without a proof.
    pub(crate) without_proof: bool,
}

/// What a client asks for (section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A connection.
    Connect(Target),
    /// BIND, UDP ASSOCIATE, or what nobody defined.
    OtherCommand,
    /// A type of address that nobody defined; where the message ends can't be told.
    OtherAddress,
}

/// Whom a connection is for; its scheme shows itself later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A host and port.
    Place(Host, NonZeroU16),
    /// No host, or port 0.
    Odd,
}

/// Not a message of SOCKS5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// How a request is answered (section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Go on.
    Succeeded,
    /// Not a request.
    GeneralFailure,
    /// Policy, or no host at all.
    NotAllowed,
    /// Only CONNECT is served.
    CommandNotSupported,
    /// Neither IPv4, IPv6 nor a name.
    AddressTypeNotSupported,
}

/// Reads a greeting; `None` while it is not whole. Also how many bytes it takes.
///
/// # Errors
/// Another version, or no method at all.
pub(crate) fn greeting(bytes: &[u8]) -> Result<Option<(Greeting, usize)>, Malformed> {
    let mut rest = bytes;
    let Some(version) = take::<1>(&mut rest) else { return Ok(None) };
    if version != [VERSION] {
        return Err(Malformed);
    }
    let Some([count]) = take::<1>(&mut rest) else { return Ok(None) };
    if count == 0 {
        return Err(Malformed);
    }
    let Some(methods) = rest.get(..usize::from(count)) else { return Ok(None) };
    let greeting = Greeting { without_proof: methods.contains(&NO_AUTHENTICATION) };
    Ok(Some((greeting, 2 + methods.len())))
}

/// Reads a request; `None` while it is not whole. Also how many bytes it takes.
///
/// # Errors
/// Another version, or a reserved byte that is not 0.
pub(crate) fn request(bytes: &[u8]) -> Result<Option<(Request, usize)>, Malformed> {
    let mut rest = bytes;
    if bytes.first().is_some_and(|version| *version != VERSION) || bytes.get(2).is_some_and(|reserved| *reserved != 0) {
        return Err(Malformed);
    }
    let Some([_, command, _, kind]) = take::<4>(&mut rest) else { return Ok(None) };
    let host = match kind {
        1 => take::<4>(&mut rest).map(|octets| Host::parse(Ipv4Addr::from(octets).to_string().as_bytes())),
        4 => take::<16>(&mut rest).map(|octets| Host::parse(format!("[{}]", Ipv6Addr::from(octets)).as_bytes())),
        3 => name(&mut rest).map(Host::parse),
        _ => return Ok(Some((Request::OtherAddress, bytes.len() - rest.len()))),
    };
    let (Some(host), Some(port)) = (host, take::<2>(&mut rest)) else { return Ok(None) };
    let request = match (command, host, NonZeroU16::new(u16::from_be_bytes(port))) {
        (1, Ok(host), Some(port)) => Request::Connect(Target::Place(host, port)),
        (1, _, _) => Request::Connect(Target::Odd),
        (_, _, _) => Request::OtherCommand,
    };
    Ok(Some((request, bytes.len() - rest.len())))
}

impl Greeting {
    /// The method that is chosen.
    pub(crate) fn answer(self) -> [u8; 2] {
        [VERSION, if self.without_proof { NO_AUTHENTICATION } else { NO_ACCEPTABLE_METHOD }]
    }
}

impl Reply {
    /// The bytes of the reply. The address that it has a place for is none of the client's business.
    pub(crate) fn bytes(self) -> [u8; 10] {
        let code = match self {
            Reply::Succeeded => 0,
            Reply::GeneralFailure => 1,
            Reply::NotAllowed => 2,
            Reply::CommandNotSupported => 7,
            Reply::AddressTypeNotSupported => 8,
        };
        [VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

fn name<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, left) = rest.split_first()?;
    let (name, left) = left.split_at_checked(usize::from(*length))?;
    *rest = left;
    Some(name)
}
