//! The ways in, as cases name them, and how a connection by each begins.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::Deserialize;

use super::bytes::{Words, to_bytes};
use super::case::{Case, From};
use crate::client::{Answer, Conn, socks_name, tcp, tls};
use crate::lab::{DEVBOT, Lab, OTHERBOT, STRANGER};

/// A way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    /// TLS, the host in the server name.
    Https,
    /// CONNECT, then TLS.
    Connect,
    /// Plain HTTP.
    Http,
    /// Absolute-form.
    Absolute,
    /// SOCKS5, then TLS.
    Socks,
    /// SOCKS5, then plain HTTP.
    SocksHttp,
    /// TLS, taken over on its way to elsewhere.
    Transparent,
    /// Plain HTTP likewise.
    TransparentHttp,
    /// CONNECT, and nothing after it.
    ConnectBare,
    /// SOCKS5, and nothing after it.
    SocksBare,
    /// Nothing but a connection to that listener.
    HttpPort,
    HttpsPort,
    ProxyPort,
    /// DNS.
    Udp,
    Tcp,
}

/// Several of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Ways {
    Group(Group),
    Each(Vec<By>),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Group {
    /// All that carry HTTP.
    All,
    /// All that carry TLS.
    Tls,
    /// All that carry HTTP in the clear.
    Plain,
    /// All that name their target before TLS.
    Tunnels,
    /// Both that carry DNS.
    Dns,
}

impl Ways {
    pub(crate) fn list(&self, case: &Case) -> Vec<By> {
        let tls = [By::Https, By::Connect, By::Socks, By::Transparent].as_slice();
        let plain = [By::Http, By::Absolute, By::SocksHttp, By::TransparentHttp].as_slice();
        match self {
            Ways::Group(Group::All) if case.frames.is_some() => tls.to_vec(),
            Ways::Group(Group::All) => [tls, plain].concat(),
            Ways::Group(Group::Tls) => tls.to_vec(),
            Ways::Group(Group::Plain) => plain.to_vec(),
            Ways::Group(Group::Tunnels) => vec![By::Connect, By::Socks],
            Ways::Group(Group::Dns) => vec![By::Udp, By::Tcp],
            Ways::Each(ways) => ways.clone(),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            By::Https => "https",
            By::Connect => "connect",
            By::Http => "http",
            By::Absolute => "absolute",
            By::Socks => "socks",
            By::SocksHttp => "socks-http",
            By::Transparent => "transparent",
            By::TransparentHttp => "transparent-http",
            By::ConnectBare => "connect-bare",
            By::SocksBare => "socks-bare",
            By::HttpPort => "http-port",
            By::HttpsPort => "https-port",
            By::ProxyPort => "proxy-port",
            By::Udp => "udp",
            By::Tcp => "tcp",
        })
    }
}

/// How a connection began.
pub(crate) enum Opened {
    /// What is sent now is what the way carries.
    Conn(Conn),
    /// CONNECT was answered so, and not with a tunnel.
    Refused(Answer, Conn),
    /// SOCKS replied so, and not with a tunnel.
    Socks(u8, Conn),
    /// The handshake failed.
    NoTls,
}

impl By {
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, By::Https | By::Connect | By::Socks | By::Transparent)
    }

    fn port(self, lab: &Lab) -> SocketAddr {
        let addresses = &lab.addresses;
        match self {
            By::Https | By::HttpsPort => addresses.https[0],
            By::Http | By::HttpPort => addresses.http[0],
            By::Transparent | By::TransparentHttp => addresses.transparent[0],
            By::Udp | By::Tcp => addresses.dns[0],
            _ => addresses.proxy[0],
        }
    }

    /// Where messages of this way go, by themselves.
    pub(crate) fn host(self) -> &'static str {
        match self {
            By::Http | By::Absolute | By::SocksHttp | By::TransparentHttp | By::HttpPort => "plain.example.test",
            _ => "open.example.test",
        }
    }

    /// As far as TLS, which is left to the case.
    pub(crate) async fn open_bare(self, lab: &Lab, case: &Case, host: &str, words: &Words) -> Opened {
        let mut conn = Conn::over(tcp(self.port(lab), case.from.address()).await);
        let port = if self == By::SocksHttp { 80 } else { 443 };
        let target = case.target.as_ref().map_or_else(|| format!("{host}:{port}"), |target| words.fill(target));
        match self {
            By::Connect | By::ConnectBare => {
                let answer = conn.connect(&target).await;
                if answer.status != 200 {
                    return Opened::Refused(answer, conn);
                }
            }
            By::Socks | By::SocksHttp | By::SocksBare => {
                let reply = conn.socks(&socks_target(&target)).await;
                if reply != 0 {
                    return Opened::Socks(reply, conn);
                }
            }
            _ => {}
        }
        Opened::Conn(conn)
    }

    pub(crate) async fn open(self, lab: &Lab, case: &Case, host: &str, words: &Words) -> Opened {
        let conn = match self.open_bare(lab, case, host, words).await {
            Opened::Conn(conn) => conn,
            other => return other,
        };
        if !self.is_tls() {
            return Opened::Conn(conn);
        }
        let config = if case.frames.is_some() { &lab.h2 } else { &lab.h1 };
        match tls(conn.io, config, case.sni.as_deref().unwrap_or(host)).await {
            Ok(io) => Opened::Conn(Conn::over(io)),
            Err(_) => Opened::NoTls,
        }
    }
}

/// Type, address and port of what a case writes as `host:port`; any bytes may be a name.
fn socks_target(target: &str) -> Vec<u8> {
    let (host, port) = target.rsplit_once(':').expect("a port");
    let port: u16 = port.parse().expect("a port");
    if let Ok(ip) = host.trim_matches(['[', ']']).parse::<Ipv6Addr>() {
        return [&[4], &ip.octets()[..], &port.to_be_bytes()].concat();
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return socks_name(host, port);
    }
    let name = to_bytes(host);
    [&[3, u8::try_from(name.len()).unwrap()], &name[..], &port.to_be_bytes()].concat()
}

impl From {
    pub(crate) fn address(self) -> &'static str {
        match self {
            From::Devbot => DEVBOT,
            From::Otherbot => OTHERBOT,
            From::Lockedbot => "127.0.0.3",
            From::Stranger => STRANGER,
        }
    }
}
