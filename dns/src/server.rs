//! Sockets around the responder: binds, serves UDP and TCP, forwards, and drains when told to stop.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener, UdpSocket},
    sync::Arc,
    thread,
    time::Instant,
};

use socket2::{Domain, Protocol, Socket, Type};
use stubgate_policy::Reason;
use tokio::{net::TcpListener, runtime::Handle, sync::oneshot, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    stop::{Stop, StopOnDrop},
    udp::Port,
};
use crate::{
    DnsConfig, QueryOutcome, Stamp, Surroundings, Transport, forward,
    respond::{Batch, Forward, Responder, Source},
    vet,
    wire::{ExtendedError, Query},
};

mod stop;
mod tcp;
mod udp;

/// How often another port is tried where the system chose one for UDP that TCP has taken.
const PORT_ATTEMPTS: usize = 16;

/// The DNS server that agents ask.
#[derive(Debug)]
pub struct DnsServer;

/// An address that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("DNS can't listen on {address} ({}): {source}", transport.as_str())]
pub struct BindError {
    /// The address as configured.
    pub address: SocketAddr,
    /// Which of its two sockets failed.
    pub transport: Transport,
    /// What the system said.
    pub source: io::Error,
}

/// A part of the server ended on its own. Everything else was stopped too.
#[derive(Debug, thiserror::Error)]
#[error("a part of the DNS server failed")]
pub struct ServeError;

/// A server with open sockets that reads nothing yet.
#[derive(Debug)]
pub struct Bound {
    config: DnsConfig,
    sockets: Vec<(Port, StdListener)>,
    stamp: Option<Stamp>,
    local_addrs: Vec<SocketAddr>,
}

impl DnsServer {
    /// Opens UDP and TCP sockets for every configured address; all or none. An IPv6 address serves IPv6 only. Needs no
    /// runtime, so that sockets can be opened before there are threads.
    pub fn bind(config: DnsConfig) -> Result<Bound, BindError> {
        DnsServer::bind_unless(config, |_, _| None)
    }

    /// The same, for a process that was given some of these sockets: `open` is asked for each before it is opened. What it
    /// gives must be bound to that address (where its port is 0: to any), and must not block.
    pub fn bind_unless(
        config: DnsConfig,
        mut open: impl FnMut(Transport, SocketAddr) -> Option<Socket>,
    ) -> Result<Bound, BindError> {
        let mut sockets = Vec::new();
        let mut local_addrs = Vec::new();
        for &address in &config.udp_and_tcp {
            let given = (open(Transport::Udp, address), open(Transport::Tcp, address));
            let (udp, tcp, local) = match given {
                (None, None) => bind_both(address)?,
                (udp, tcp) => complete(address, udp, tcp)?,
            };
            sockets.push((udp, tcp));
            local_addrs.push(local);
        }
        Ok(Bound { config, sockets, stamp: None, local_addrs })
    }

    /// Serves on sockets that somebody else opened and bound, instead of on the configured addresses.
    ///
    /// # Errors
    /// Where they can't be used.
    pub fn given(config: DnsConfig, udp: UdpSocket, tcp: StdListener) -> io::Result<Bound> {
        let local = udp.local_addr()?;
        udp.set_nonblocking(true)?;
        tcp.set_nonblocking(true)?;
        let sockets = vec![(Port::adopt(udp.into(), local)?, tcp)];
        Ok(Bound { config, sockets, stamp: None, local_addrs: vec![local] })
    }
}

impl Bound {
    /// Everyone who asks here is who this listener is for, whatever the address.
    #[must_use]
    pub fn stamped(self, listener: u16) -> Self {
        Bound { stamp: Some(Stamp::Listener(listener)), ..self }
    }

    /// The addresses that are served, with the ports that the system chose, in the order of the configuration.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    /// Serves until `shutdown` is cancelled, then stops reading, lets what is under way end within its deadlines, and
    /// returns.
    pub async fn serve(
        self,
        surroundings: Arc<dyn Surroundings>,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        let service = Arc::new(Service {
            responder: Responder::new(&self.config, Instant::now()),
            config: self.config,
            surroundings,
            underway: TaskTracker::new(),
            shutdown: shutdown.child_token(),
        });
        let stamp = self.stamp;
        let stop = Stop::new().map_err(|_| ServeError)?;
        let guard = StopOnDrop(stop.clone());
        let mut loops = JoinSet::new();
        for (udp, tcp) in self.sockets {
            let tcp = TcpListener::from_std(tcp).map_err(|_| ServeError)?;
            loops.spawn(udp_thread(udp, stamp, service.clone(), stop.clone()));
            loops.spawn(tcp::serve(tcp, stamp, service.clone()));
        }
        // With nothing to listen on, too.
        let mut result = Ok(());
        while !(stop.is_set() && loops.is_empty()) {
            tokio::select! {
                () = service.shutdown.cancelled(), if !stop.is_set() => stop.set(),
                Some(ended) = loops.join_next() => if !shutdown.is_cancelled() || !matches!(ended, Ok(Ok(()))) {
                    tracing::error!(?ended, "a part of the DNS server ended");
                    result = Err(ServeError);
                    service.shutdown.cancel();
                },
            }
        }
        drop(guard);
        service.underway.close();
        service.underway.wait().await;
        result
    }
}

/// Runs the UDP loop of one socket on a thread, and ends with it, also if it panics.
async fn udp_thread(port: Port, stamp: Option<Stamp>, service: Arc<Service>, stop: Stop) -> io::Result<()> {
    let (done, ended) = oneshot::channel();
    let runtime = Handle::current();
    thread::Builder::new().name("dns-udp".into()).spawn(move || {
        // Nobody listens any more only if the server was dropped.
        let _ = done.send(udp::serve(port, stamp, &service, &stop, &runtime));
    })?;
    ended.await.map_err(io::Error::other)?
}

/// What every loop and connection of one server shares.
struct Service {
    config: DnsConfig,
    responder: Responder,
    surroundings: Arc<dyn Surroundings>,
    /// Connections and forwarded questions.
    underway: TaskTracker,
    shutdown: CancellationToken,
}

impl Service {
    /// Decides and records what arrived. `false`: it could not be recorded, so that nothing may be sent or forwarded.
    fn take<'p>(&self, batch: &mut Batch, arrived: impl Iterator<Item = (Source, &'p [u8])>) -> bool {
        let now = Instant::now();
        batch.decide(&self.responder, &*self.surroundings, self.surroundings.policy(), arrived, now);
        batch.record(&*self.surroundings, now.elapsed())
    }

    /// Has a granted question answered by its zone, and records how that ended. `None`: nothing may be sent.
    async fn forward(&self, forward: Forward) -> Option<Vec<u8>> {
        let query = Query::parse(&forward.packet).ok()?;
        let relayed =
            forward::relay(&query, forward.transport, &forward.zone.servers, self.config.forward_timeout).await;
        let vetted = relayed
            .map(|answer| vet::vet(&answer, &query, |name| self.responder.is_served(name, &forward.zone.servers)));
        let failed = |error| self.responder.unanswered(&query, error);
        let (outcome, reason, answer) = match vetted {
            Ok(Some(answer)) if forward.transport == Transport::Udp && answer.len() > query.udp_limit() => {
                (QueryOutcome::Forwarded, None, self.responder.truncated(&query))
            }
            Ok(Some(answer)) => (QueryOutcome::Forwarded, None, answer),
            Ok(None) => (QueryOutcome::ForwardFailed, Some(Reason::UpstreamProtocol), failed(ExtendedError::Untrusted)),
            Err(forward::Unanswered) => {
                let error = ExtendedError::NoReachableAuthority;
                (QueryOutcome::ForwardFailed, Some(Reason::Unresolvable), failed(error))
            }
        };
        let record = forward.record(outcome, reason, Instant::now());
        self.surroundings.record(&forward.policy, &[record]).then_some(answer)
    }
}

fn bind_both(address: SocketAddr) -> Result<(Port, StdListener, SocketAddr), BindError> {
    let mut attempts = if address.port() == 0 { PORT_ATTEMPTS } else { 1 };
    loop {
        let failed = |transport| move |source| BindError { address, transport, source };
        let udp = Port::bind(address).map_err(failed(Transport::Udp))?;
        let local = udp.socket().local_addr().map_err(failed(Transport::Udp))?;
        attempts -= 1;
        match bind_tcp(local) {
            Ok(tcp) => return Ok((udp, tcp, local)),
            Err(error) if attempts > 0 && error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(failed(Transport::Tcp)(error)),
        }
    }
}

/// The socket that was not given beside the one that was, or none if both were.
fn complete(
    address: SocketAddr,
    udp: Option<Socket>,
    tcp: Option<Socket>,
) -> Result<(Port, StdListener, SocketAddr), BindError> {
    let failed = |transport| move |source| BindError { address, transport, source };
    let given = udp.as_ref().or(tcp.as_ref()).and_then(|socket| socket.local_addr().ok()?.as_socket());
    let local = given.unwrap_or(address);
    let udp = match udp {
        Some(socket) => Port::adopt(socket, local),
        None => Port::bind(local),
    };
    let tcp = tcp.map_or_else(|| bind_tcp(local), |socket| Ok(socket.into()));
    Ok((udp.map_err(failed(Transport::Udp))?, tcp.map_err(failed(Transport::Tcp))?, local))
}

fn bind_tcp(address: SocketAddr) -> io::Result<StdListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}
