//! SOCKS5 on the `proxy` port (RFC 1928): CONNECT to a name or an address, without a proof of who asks.
//!
//! It says less than CONNECT does, and is decided the same way: at the *connect* stage, for the target, which everything
//! inside must name too. It does not tell the scheme, so that the way is open if policy opens it for either (what is not
//! known yet is existentially quantified); the first byte tells it ([`first`]), and the request stage decides on it.
//!
//! Refused: SOCKS4; BIND and UDP ASSOCIATE, which would open ways that no policy speaks of. A user and password offered
//! are not asked for: where the connection came from alone says who the agent is (*identify*).

mod message;
#[cfg(test)]
mod tests;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use stubgate_policy::{Authority, Host, Reason, Scheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use self::message::{Malformed, Reply, Request, Target};
use super::tunnel::Refused;
use super::{first, tunnel};
use crate::appliance::Appliance;
use crate::budget::Limit;
use crate::client::Whence;
use crate::request::Refusal;

/// The word in records where CONNECT has its method.
const WORD: &str = "SOCKS";
/// SOCKS4's one way to refuse.
const REJECTED_4: [u8; 8] = [0, 0x5b, 0, 0, 0, 0, 0, 0];
/// How long a refused client that still sends is listened to, so that a reset does not take our reply from it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 << 10;

/// Whether a connection that begins with this byte is ours.
pub(super) fn is_socks(first: u8) -> bool {
    matches!(first, message::VERSION | message::VERSION_4)
}

/// Serves a connection of which `read` has come.
pub(super) async fn serve(appliance: &Arc<Appliance>, tcp: TcpStream, read: BytesMut, whence: Whence) {
    let mut asking = Asking { tcp, read };
    let deadline = Instant::now() + appliance.timeouts.handshake;
    let (host, port) = match timeout_at(deadline, asking.target()).await {
        Ok(Ok(Ok(place))) => place,
        Ok(Ok(Err((reason, reply)))) => {
            tunnel::refuse(appliance, &whence, WORD, None, &reason.into());
            return asking.end(&reply).await;
        }
        // Gone, or gone silent in the middle.
        Ok(Err(_)) => return,
        Err(_) => {
            appliance.metrics.limit_reached(Limit::Handshake).inc();
            return tunnel::refuse(appliance, &whence, WORD, None, &Reason::LimitReached.into());
        }
    };
    let targets = schemes(port).map(|scheme| Authority::new(scheme, host.clone(), port));
    let paid = match tunnel::decide(appliance, &whence, WORD, &targets) {
        Ok(paid) => paid,
        Err(Refused { refusal, .. }) => {
            tunnel::refuse(appliance, &whence, WORD, targets.first(), &refusal);
            return asking.end(&code(&refusal).bytes()).await;
        }
    };
    if asking.tcp.write_all(&Reply::Succeeded.bytes()).await.is_err() {
        return;
    }
    first::serve(appliance, asking.tcp, asking.read, Whence { paid, ..whence }, Some((host, port))).await;
}

/// The schemes that a connection to a port may speak, the likelier one first: it is the one that a refusal names.
fn schemes(port: NonZeroU16) -> [Scheme; 2] {
    if port == Scheme::Http.default_port() { [Scheme::Http, Scheme::Https] } else { [Scheme::Https, Scheme::Http] }
}

fn code(refusal: &Refusal) -> Reply {
    match refusal.reason {
        Reason::NotReady | Reason::ShuttingDown | Reason::Internal | Reason::LimitReached => Reply::GeneralFailure,
        _ => Reply::NotAllowed,
    }
}

/// What a refused client is told, whatever the message was.
type Told = (Reason, Vec<u8>);

struct Asking {
    tcp: TcpStream,
    read: BytesMut,
}

impl Asking {
    /// Greeting and request.
    async fn target(&mut self) -> std::io::Result<Result<(Host, NonZeroU16), Told>> {
        let refused = |reason, reply: Reply| Ok(Err((reason, reply.bytes().to_vec())));
        if self.read.first() == Some(&message::VERSION_4) {
            return Ok(Err((Reason::BadRequest, REJECTED_4.to_vec())));
        }
        let Ok(greeting) = self.message(message::greeting).await? else {
            return refused(Reason::BadRequest, Reply::GeneralFailure);
        };
        if !greeting.without_proof {
            return Ok(Err((Reason::BadRequest, greeting.answer().to_vec())));
        }
        self.tcp.write_all(&greeting.answer()).await?;
        match self.message(message::request).await? {
            Ok(Request::Connect(Target::Place(host, port))) => Ok(Ok((host, port))),
            Ok(Request::Connect(Target::Odd)) => refused(Reason::BadAuthority, Reply::NotAllowed),
            Ok(Request::OtherCommand) => refused(Reason::BadRequest, Reply::CommandNotSupported),
            Ok(Request::OtherAddress) => refused(Reason::BadAuthority, Reply::AddressTypeNotSupported),
            Err(Malformed) => refused(Reason::BadRequest, Reply::GeneralFailure),
        }
    }

    /// Reads until there is a whole message; what is behind it stays. A message is never longer than 262 bytes, so that a
    /// few bytes more are all that is ever held.
    async fn message<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> Result<Option<(T, usize)>, Malformed>,
    ) -> std::io::Result<Result<T, Malformed>> {
        loop {
            match parse(&self.read) {
                Ok(Some((value, length))) => {
                    self.read.advance(length);
                    return Ok(Ok(value));
                }
                Err(malformed) => return Ok(Err(malformed)),
                Ok(None) => {}
            }
            self.read.reserve(message::LONGEST);
            if self.tcp.read_buf(&mut self.read).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Says why not, and closes.
    async fn end(mut self, reply: &[u8]) {
        let saying = async {
            self.tcp.write_all(reply).await?;
            self.tcp.shutdown().await?;
            let mut thrown_away = 0;
            while thrown_away < LINGER_BYTES {
                self.read.clear();
                match self.tcp.read_buf(&mut self.read).await? {
                    0 => break,
                    n => thrown_away += n,
                }
            }
            Ok::<_, std::io::Error>(())
        };
        // Best effort: the connection ends in any case.
        let _ = timeout(LINGER, saying).await;
    }
}
