//! Ways past the appliance: packets to anywhere else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Probe, failed, passed, probe, skipped, verdict};
use crate::attack::wire::{Conn, Hello};
use crate::attack::{Outcome, Scene, at};

const ROUTE: &str = "give the container no route but to stubgate: an internal network, a NetworkPolicy, or rules of the host's firewall";
/// How long a datagram may be unanswered.
const SILENCE: Duration = Duration::from_secs(2);

pub(super) fn probes() -> Vec<Probe> {
    vec![
        probe!("direct-https", "TLS to addresses outside, past DNS and proxy", "ATT&CK T1048", ROUTE, https),
        probe!("direct-http", "plain HTTP to addresses outside", "ATT&CK T1048.003", ROUTE, http),
        probe!("direct-ssh", "SSH to addresses outside", "ATT&CK T1572", ROUTE, ssh),
        probe!("direct-high-port", "TLS on another port to addresses outside", "ATT&CK T1571", ROUTE, high_port),
        probe!("direct-quic", "QUIC to addresses outside (UDP 443)", "RFC 9000 section 6", ROUTE, quic),
        probe!("direct-ipv6", "TLS to IPv6 addresses outside", "RFC 8200", ROUTE, ipv6),
        probe!("direct-icmp", "an echo request to addresses outside", "ATT&CK T1095", ROUTE, icmp),
        probe!("other-resolver-udp", "questions to name servers outside (UDP 53)", "ATT&CK T1071.004", ROUTE, dns_udp),
        probe!("other-resolver-tcp", "questions to name servers outside (TCP 53)", "RFC 7766", ROUTE, dns_tcp),
        probe!("other-resolver-tls", "DNS over TLS to name servers outside (TCP 853)", "RFC 7858", ROUTE, dns_tls),
        probe!("multicast-dns", "questions to the neighbours (UDP 5353)", "RFC 6762", ROUTE, multicast),
        probe!(
            "metadata-direct",
            "the metadata services of clouds, at their addresses",
            "AWS IMDS, Google, Azure, Alibaba; Capital One (2019)",
            "close 169.254.0.0/16, fd00:ec2::/32 and 100.100.100.200 for the container's network",
            metadata
        ),
        probe!(
            "admin-port",
            "the appliance's metrics and health endpoint",
            "docs/configuration.md, `listen.admin`",
            "let `listen.admin` be an address that agents can't reach, such as 127.0.0.1",
            admin
        ),
    ]
}

/// What a connection to somewhere outside shows: `None` where there is none, or where stubgate took and refused it.
async fn beyond(scene: &Scene, to: SocketAddr) -> Option<String> {
    let conn = Conn::plain(to).await.ok()?;
    match conn.hello(&scene.tls, scene.denied()).await {
        Hello::Refused => None,
        Hello::Answered => Some(format!("{to} answered a handshake for {}", scene.denied())),
        Hello::Other => Some(format!("{to} answered")),
        Hello::Silent => Some(format!("{to} took a connection")),
    }
}

async fn none_beyond(scene: &Scene, port: u16) -> Outcome {
    let tried = scene.outside();
    let found = join_all(tried.iter().map(|ip| beyond(scene, at(*ip, port)))).await;
    verdict(found.into_iter().flatten().collect(), format!("none of {} addresses was reached", tried.len()))
}

async fn https(scene: &Scene) -> Outcome {
    none_beyond(scene, 443).await
}

async fn ssh(scene: &Scene) -> Outcome {
    none_beyond(scene, 22).await
}

async fn high_port(scene: &Scene) -> Outcome {
    none_beyond(scene, 8443).await
}

async fn dns_tls(scene: &Scene) -> Outcome {
    let tried = scene.resolvers();
    let found = join_all(tried.iter().map(|ip| beyond(scene, at(*ip, 853)))).await;
    verdict(found.into_iter().flatten().collect(), format!("none of {} name servers was reached", tried.len()))
}

/// An answer to plain HTTP that is not stubgate's own.
async fn http_beyond(to: SocketAddr, host: &str, path: &str) -> Option<String> {
    let mut conn = Conn::plain(to).await.ok()?;
    let answer = conn.ask(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await?;
    (answer.reason().is_none()).then(|| format!("{to} answered {}", answer.words()))
}

async fn http(scene: &Scene) -> Outcome {
    let tried = scene.outside();
    let found = join_all(tried.iter().map(|ip| http_beyond(at(*ip, 80), scene.denied(), "/"))).await;
    verdict(found.into_iter().flatten().collect(), format!("none of {} addresses answered", tried.len()))
}

/// A version that nobody speaks: whoever speaks QUIC answers which ones it does (RFC 9000 section 6.1).
async fn quic(scene: &Scene) -> Outcome {
    let mut initial = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 7, 6, 5, 4, 3, 2, 1];
    initial.resize(1200, 0);
    let tried = scene.outside();
    let found = join_all(tried.iter().map(|ip| datagram(at(*ip, 443), &initial))).await;
    verdict(found.into_iter().flatten().collect(), format!("none of {} addresses answered", tried.len()))
}

async fn datagram(to: SocketAddr, bytes: &[u8]) -> Option<String> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(to).await.ok()?;
    socket.send(bytes).await.ok()?;
    let mut answer = [0; 2048];
    timeout(SILENCE, socket.recv(&mut answer)).await.ok()?.ok().map(|length| format!("{to} answered {length} bytes"))
}

async fn ipv6(scene: &Scene) -> Outcome {
    let outside: Vec<Ipv6Addr> = ["2606:4700:4700::1111", "2001:4860:4860::8888"]
        .iter()
        .filter_map(|text| text.parse().ok())
        .chain(scene.options.targets.iter().filter_map(|ip| match ip {
            IpAddr::V6(ip) => Some(*ip),
            IpAddr::V4(_) => None,
        }))
        .collect();
    // A route is what the kernel says of a datagram's destination; nothing is sent.
    let has_route = async |ip: Ipv6Addr| {
        let Ok(socket) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await else { return false };
        socket.connect((ip, 443)).await.is_ok()
    };
    let mut is_there = false;
    for ip in &outside {
        is_there |= has_route(*ip).await;
    }
    if !is_there {
        return skipped("there is no route for IPv6 here");
    }
    let found = join_all(outside.iter().map(|ip| beyond(scene, at(IpAddr::V6(*ip), 443)))).await;
    verdict(found.into_iter().flatten().collect(), "no address was reached")
}

async fn icmp(scene: &Scene) -> Outcome {
    // An echo request; the kernel fills identifier and checksum in.
    const ECHO: [u8; 12] = [8, 0, 0, 0, 0, 0, 0, 1, b's', b'g', b'a', b't'];
    let addresses: Vec<Ipv4Addr> = scene
        .outside()
        .into_iter()
        .filter_map(|ip| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        })
        .collect();
    let mut found = Vec::new();
    let opened = || Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4));
    let mut sockets = Vec::new();
    for ip in addresses {
        let socket = match opened() {
            Ok(socket) => socket,
            Err(_) => return skipped("this user may not send echo requests"),
        };
        let is_ready = socket.set_nonblocking(true).and_then(|()| socket.connect(&at(IpAddr::V4(ip), 0).into()));
        if is_ready.is_ok()
            && let Ok(socket) = UdpSocket::from_std(std::net::UdpSocket::from(socket))
        {
            sockets.push((ip, socket));
        }
    }
    let answers = sockets.iter().map(|(ip, socket)| async move {
        socket.send(&ECHO).await.ok()?;
        let mut answer = [0; 256];
        let length = timeout(SILENCE, socket.recv(&mut answer)).await.ok()?.ok()?;
        // An echo reply, and not a word of a router that there is no way.
        (length > 0 && answer.first() == Some(&0)).then(|| format!("{ip} answered"))
    });
    found.extend(join_all(answers).await.into_iter().flatten());
    verdict(found, "nobody answered")
}

async fn dns_udp(scene: &Scene) -> Outcome {
    resolvers(scene, false).await
}

async fn dns_tcp(scene: &Scene) -> Outcome {
    resolvers(scene, true).await
}

/// An answer with an address for a name that is not allowed comes from elsewhere; stubgate's, where questions are led to
/// it whatever server they are for, has none.
async fn resolvers(scene: &Scene, over_tcp: bool) -> Outcome {
    use crate::attack::dns::{A, ask, ask_tcp};
    let tried = scene.resolvers();
    let asking = tried.iter().map(|ip| async move {
        let server = at(*ip, 53);
        let said =
            if over_tcp { ask_tcp(server, scene.denied(), A).await } else { ask(server, scene.denied(), A).await };
        said.filter(|said| said.answers > 0).map(|_| format!("{ip} resolved {}", scene.denied()))
    });
    let found = join_all(asking).await;
    verdict(found.into_iter().flatten().collect(), format!("none of {} name servers answered", tried.len()))
}

async fn multicast(_: &Scene) -> Outcome {
    let mut question = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["_services", "_dns-sd", "_udp", "local"] {
        question.push(u8::try_from(label.len()).unwrap_or_default());
        question.extend_from_slice(label.as_bytes());
    }
    // PTR, and an answer to this socket alone.
    question.extend([0, 0, 12, 0x80, 1]);
    let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await else { return skipped("no socket") };
    if socket.send_to(&question, (Ipv4Addr::new(224, 0, 0, 251), 5353)).await.is_err() {
        return passed("there is no route for it");
    }
    let mut answer = [0; 2048];
    match timeout(SILENCE, socket.recv_from(&mut answer)).await {
        Ok(Ok((_, from))) => failed(format!("{} answered", from.ip())),
        Ok(Err(_)) | Err(_) => passed("nobody answered"),
    }
}

async fn metadata(_: &Scene) -> Outcome {
    let addresses =
        ["169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"];
    let asking = addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok()).map(|ip| async move {
        let host = at(ip, 80).to_string();
        http_beyond(at(ip, 80), host.trim_end_matches(":80"), "/latest/meta-data/").await
    });
    let found = join_all(asking).await;
    verdict(found.into_iter().flatten().collect(), format!("none of {} services answered", addresses.len()))
}

async fn admin(scene: &Scene) -> Outcome {
    let mut places: Vec<IpAddr> = vec![scene.resolver.ip()];
    places.extend(scene.proxy.map(|proxy| proxy.ip()));
    places.extend(scene.host.as_ref().map(|(_, ip)| *ip));
    places.sort();
    places.dedup();
    let asking = places.iter().map(|ip| async move {
        let mut conn = Conn::plain(at(*ip, 9090)).await.ok()?;
        let answer = conn.ask("GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let is_ours = answer.body.windows(9).any(|window| window == b"stubgate_");
        is_ours.then(|| format!("{ip}:9090 shows the appliance's metrics"))
    });
    let found = join_all(asking).await;
    verdict(found.into_iter().flatten().collect(), "it is not reached on port 9090")
}
