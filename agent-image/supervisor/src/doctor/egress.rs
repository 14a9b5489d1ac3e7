//! That direct egress really fails: an attempt at each way out that a container may have. Where the firewall intercepts what is
//! sent elsewhere, a connection proves nothing, so what answers is looked at: only a stranger's answer is a way out.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Setting;
use super::dns::{self, Kind};
use super::names::{PUBLIC, is_own};
use super::report::Finding;

/// For one attempt.
const DEADLINE: Duration = Duration::from_secs(3);

/// A way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) check: &'static str,
    pub(super) address: SocketAddr,
    pub(super) by: By,
}

/// How it is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Tls,
    Http,
    DnsUdp,
    DnsTcp,
    Ping,
}

/// What came of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// Nothing: refused, unreachable, silent.
    Nothing(String),
    /// The firewall answered in its place.
    Firewall(&'static str),
    /// Somebody took the connection and told nothing about who it is.
    Unknown(&'static str),
    /// Somebody else answered.
    Stranger(&'static str),
}

/// Every way that is tried.
pub(super) fn targets(environment: &BTreeMap<String, String>) -> Vec<Target> {
    let v4 = |a, b, c, d, port| SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port);
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111)), 443);
    let mut targets = vec![
        Target { check: "egress.tcp", address: v4(1, 1, 1, 1, 443), by: By::Tls },
        Target { check: "egress.tcp6", address: v6, by: By::Tls },
        Target { check: "egress.dns_udp", address: v4(8, 8, 8, 8, 53), by: By::DnsUdp },
        Target { check: "egress.dns_tcp", address: v4(8, 8, 8, 8, 53), by: By::DnsTcp },
        Target { check: "egress.metadata", address: v4(169, 254, 169, 254, 80), by: By::Http },
        Target { check: "egress.ping", address: v4(1, 1, 1, 1, 0), by: By::Ping },
    ];
    let variable = |name| environment.get(name).map(String::as_str);
    let host = variable("KUBERNETES_SERVICE_HOST").and_then(|host| host.parse().ok());
    let port = variable("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok()).unwrap_or(443);
    targets.extend(host.map(|host| {
        let address = SocketAddr::new(host, port);
        Target { check: "egress.kubernetes", address, by: By::Tls }
    }));
    targets
}

/// Tries all of them at once.
pub(super) async fn look(setting: &Setting, firewall: &[IpAddr]) -> Vec<Finding> {
    // Of the bundle, only the firewall's own authority, which stands first: the others sign the public internet.
    let own = setting.bundle().ok().and_then(|bundle| bundle.into_iter().next());
    let trying = setting.targets.iter().map(|target| {
        let own = own.clone();
        async move {
            let came = tokio::time::timeout(DEADLINE, attempt(*target, own, firewall)).await;
            judged(target, came.unwrap_or_else(|_| Came::Nothing("silence".into())))
        }
    });
    futures_util::future::join_all(trying).await
}

fn judged(target: &Target, came: Came) -> Finding {
    let to = match target.by {
        By::Tls | By::Http | By::DnsTcp => format!("TCP to {}", target.address),
        By::DnsUdp => format!("UDP to {}", target.address),
        By::Ping => format!("ICMP to {}", target.address.ip()),
    };
    match came {
        Came::Nothing(why) => Finding::ok(target.check, format!("{to} fails: {why}")),
        Came::Firewall(what) => Finding::ok(target.check, format!("{to} is taken over by stubgate: {what}")),
        Came::Unknown(what) => Finding::warn(target.check, format!("{to}: {what}"))
            .advise("see on the node what takes it; if it is stubgate's transparent listener, all is well"),
        Came::Stranger(what) => Finding::bad(target.check, format!("{to} reaches somebody: {what}"))
            .advise("a network policy must leave the agent one destination: stubgate"),
    }
}

async fn attempt(target: Target, own: Option<CertificateDer<'static>>, firewall: &[IpAddr]) -> Came {
    match target.by {
        By::DnsUdp => match dns::ask(target.address, PUBLIC, Kind::A, DEADLINE).await {
            Ok(answer) => of_dns(&answer, firewall),
            Err(error) => nothing(&error),
        },
        By::Ping => tokio::task::spawn_blocking(move || ping(target.address.ip()))
            .await
            .unwrap_or_else(|_| Came::Nothing("not tried".into())),
        By::Tls | By::Http | By::DnsTcp => {
            let stream = match TcpStream::connect(target.address).await {
                Ok(stream) => stream,
                Err(error) => return nothing(&error),
            };
            // From here on somebody is there, so silence is told apart.
            let talking = async {
                match target.by {
                    By::Http => http(stream).await,
                    By::DnsTcp => dns_tcp(stream, firewall).await,
                    By::Tls | By::DnsUdp | By::Ping => tls(stream, own).await,
                }
            };
            let came = tokio::time::timeout(DEADLINE / 2, talking).await;
            came.unwrap_or(Came::Unknown("it connects, and then there is silence"))
        }
    }
}

fn nothing(error: &io::Error) -> Came {
    Came::Nothing(error.to_string())
}

/// Whoever answers a name of the public internet with an address that is not the firewall's resolves it.
fn of_dns(answer: &dns::Answer, firewall: &[IpAddr]) -> Came {
    if answer.addresses.is_empty() || is_own(&answer.addresses, firewall) {
        return Came::Firewall("it answers names as policy says");
    }
    Came::Stranger("it resolves public names")
}

async fn dns_tcp(mut stream: TcpStream, firewall: &[IpAddr]) -> Came {
    let id = dns::id();
    let question = dns::question(id, PUBLIC, Kind::A);
    let talking = async {
        stream.write_u16(u16::try_from(question.len()).unwrap_or(0)).await?;
        stream.write_all(&question).await?;
        let mut answer = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    match talking.await {
        Ok(bytes) => match dns::answer(&bytes, id) {
            Some(answer) => of_dns(&answer, firewall),
            None => Came::Stranger("it answers something else"),
        },
        Err(_) => Came::Nothing("closed at once".into()),
    }
}

async fn http(mut stream: TcpStream) -> Came {
    let talking = async {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: 169.254.169.254\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        stream.take(8 * 1024).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    match talking.await {
        Ok(answer) if answer.is_empty() => Came::Nothing("closed at once".into()),
        Ok(answer) => {
            let answer = String::from_utf8_lossy(&answer);
            // How stubgate refuses.
            let is_ours = answer.starts_with("HTTP/1.1 4") && answer.contains("\"request_id\"");
            if is_ours { Came::Firewall("it refuses") } else { Came::Stranger("it answers") }
        }
        Err(_) => Came::Nothing("closed at once".into()),
    }
}

/// Who is there, by its certificate. A server of the public internet shows one to everybody.
async fn tls(stream: TcpStream, own: Option<CertificateDer<'static>>) -> Came {
    let mut roots = RootCertStore::empty();
    // One that can't be an authority is none.
    let _ = own.map(|own| roots.add(own));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let Ok(config) = config else { return Came::Unknown("it connects; TLS was not tried") };
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let Ok(name) = ServerName::try_from(PUBLIC) else { return Came::Unknown("it connects; TLS was not tried") };
    match TlsConnector::from(Arc::new(config)).connect(name, stream).await {
        Ok(_) => Came::Firewall("it shows a certificate of its own authority"),
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => {
                Came::Stranger("it shows a certificate that is not stubgate's")
            }
            Some(rustls::Error::AlertReceived(_)) => Came::Firewall("it refuses the name"),
            Some(_) => Came::Unknown("it connects, and does not speak TLS"),
            None => Came::Nothing("closed at once".into()),
        },
    }
}

/// An echo request on a socket that needs no rights, where the kernel gives one.
fn ping(address: IpAddr) -> Came {
    let trying = || -> rustix::io::Result<()> {
        let (family, protocol, first) = match address {
            IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
            IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
        };
        let socket = rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(protocol))?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(DEADLINE / 2))?;
        rustix::net::connect(&socket, &SocketAddr::new(address, 0))?;
        // The kernel writes checksum and identifier, and takes only what answers this.
        rustix::net::send(&socket, &[first, 0, 0, 0, 0, 0, 0, 1], SendFlags::empty())?;
        let mut answer = [0_u8; 64];
        rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
        Ok(())
    };
    match trying() {
        Ok(()) => Came::Stranger("it answers an echo request"),
        Err(rustix::io::Errno::AGAIN) => Came::Nothing("silence".into()),
        Err(error) => Came::Nothing(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
