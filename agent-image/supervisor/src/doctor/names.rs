//! Which names resolve. Every nameserver of the container must be the firewall: one that knows its own name is, and one that
//! resolves a name of the public internet by itself is a way out.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dns::{self, Kind};
use super::report::Finding;
use super::{Setting, trust};

/// The firewall's own name.
const OWN: &str = "stubgate.internal";
/// A name that every public resolver knows, with an address of its own.
pub(super) const PUBLIC: &str = "one.one.one.one";
/// A name that nobody has (RFC 6761).
const NOBODY: &str = "stubgate-doctor.invalid";

const DEADLINE: Duration = Duration::from_secs(3);
/// Nameservers that a resolver takes from its file.
const SERVERS: usize = 3;
/// Bytes of the bundle at most.
const BUNDLE: u64 = 1024 * 1024;

/// Where names are asked for.
pub(super) struct Where {
    pub(super) resolv_conf: PathBuf,
    pub(super) dns_port: u16,
    pub(super) http_port: u16,
}

impl Default for Where {
    fn default() -> Self {
        Where { resolv_conf: "/etc/resolv.conf".into(), dns_port: 53, http_port: 80 }
    }
}

/// Asks; and says which addresses are the firewall's.
pub(super) async fn look(setting: &Setting) -> (Vec<Finding>, Vec<IpAddr>) {
    let path = &setting.names.resolv_conf;
    let servers = match fs::read_to_string(path) {
        Ok(text) => nameservers(&text),
        Err(error) => {
            return (vec![Finding::bad("names.servers", format!("{}: {error}", path.display()))], Vec::new());
        }
    };
    if servers.is_empty() {
        let what = format!("{} names no server", path.display());
        return (
            vec![Finding::warn("names.servers", what).advise("dnsPolicy: None, with stubgate as the nameserver")],
            Vec::new(),
        );
    }
    let mut findings = Vec::new();
    let mut firewall = Vec::new();
    for server in servers {
        let at = SocketAddr::new(server, setting.names.dns_port);
        let (own, public, nobody) = tokio::join!(
            dns::ask(at, OWN, Kind::A, DEADLINE),
            dns::ask(at, PUBLIC, Kind::A, DEADLINE),
            dns::ask(at, NOBODY, Kind::A, DEADLINE),
        );
        // An appliance that advertises only IPv6 has no address of the other kind.
        let own = match own {
            Ok(answer) if answer.code == 0 && answer.addresses.is_empty() => {
                dns::ask(at, OWN, Kind::Aaaa, DEADLINE).await
            }
            own => own,
        };
        let mine = own.as_ref().map(|answer| answer.addresses.clone()).unwrap_or_default();
        findings.push(firewall_itself(setting, server, &own));
        findings.push(denied("names.public", server, PUBLIC, &public, &mine));
        findings.push(denied("names.nobody", server, NOBODY, &nobody, &mine));
        firewall.extend(mine);
    }
    if let Some(address) = firewall.first() {
        findings.push(bundle(setting, SocketAddr::new(*address, setting.names.http_port)).await);
    }
    (findings, firewall)
}

/// The nameservers of a `resolv.conf`.
fn nameservers(text: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.trim().parse().ok()).take(SERVERS).collect()
}

fn firewall_itself(setting: &Setting, server: IpAddr, own: &io::Result<dns::Answer>) -> Finding {
    const CHECK: &str = "names.servers";
    match own {
        Ok(answer) if answer.code == 0 && !answer.addresses.is_empty() => {
            Finding::ok(CHECK, format!("{server} is stubgate, at {}", list(&answer.addresses)))
        }
        Ok(answer) => Finding::bad(CHECK, format!("{server} is not stubgate: {OWN} gives {}", answer.word()))
            .advise("dnsPolicy: None, with stubgate as the only nameserver"),
        Err(error) if setting.variable("HTTPS_PROXY").or(setting.variable("https_proxy")).is_some() => Finding::warn(
            CHECK,
            format!("{server} does not answer ({error}); programs that obey HTTPS_PROXY need no names"),
        ),
        Err(error) => Finding::bad(CHECK, format!("{server} does not answer: {error}"))
            .advise("is stubgate up, and does the network policy let UDP 53 through to it?"),
    }
}

/// A name that only the firewall may have answered.
fn denied(
    check: &'static str,
    server: IpAddr,
    name: &str,
    answer: &io::Result<dns::Answer>,
    own: &[IpAddr],
) -> Finding {
    match answer {
        Ok(answer) if answer.addresses.is_empty() => {
            Finding::ok(check, format!("{name} at {server}: {}", answer.word()))
        }
        Ok(answer) if is_own(&answer.addresses, own) => {
            Finding::ok(check, format!("{name} at {server}: stubgate's own address; policy has it"))
        }
        Ok(answer) => Finding::bad(check, format!("{server} resolves {name} to {}", list(&answer.addresses)))
            .advise("whoever resolves names for an agent tells the world what it asks for: only stubgate may"),
        Err(error) => Finding::warn(check, format!("{name} at {server}: {error}")),
    }
}

/// Whether these are all the firewall's.
pub(super) fn is_own(addresses: &[IpAddr], own: &[IpAddr]) -> bool {
    !addresses.is_empty() && addresses.iter().all(|address| own.contains(address))
}

fn list(addresses: &[IpAddr]) -> String {
    let words: Vec<String> = addresses.iter().take(4).map(IpAddr::to_string).collect();
    words.join(", ")
}

/// Whether what is trusted here is what the firewall signs with now.
async fn bundle(setting: &Setting, address: SocketAddr) -> Finding {
    const CHECK: &str = "trust.appliance";
    let given = match tokio::time::timeout(DEADLINE, fetch(address)).await {
        Ok(Ok(given)) => given,
        Ok(Err(error)) => return Finding::warn(CHECK, format!("http://{OWN}/ca.pem: {error}")),
        Err(_) => return Finding::warn(CHECK, format!("http://{OWN}/ca.pem: no answer in time")),
    };
    let ours = match setting.bundle() {
        Ok(ours) => ours,
        Err(why) => return Finding::bad(CHECK, why).advise("mount the bundle (`stubgate ca bundle`)"),
    };
    // Its own authority stands first.
    match trust::parsed(&given).ok().and_then(|given| given.into_iter().next()) {
        Some(own) if ours.contains(&own) => Finding::ok(CHECK, "the bundle has the authority that stubgate signs with"),
        Some(_) => Finding::bad(CHECK, "the bundle has not the authority that stubgate signs with")
            .advise("it was rotated: mount the new bundle (`stubgate ca bundle`), or run `stubgate-agent setup`"),
        None => Finding::warn(CHECK, format!("http://{OWN}/ca.pem: no certificates")),
    }
}

async fn fetch(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    // It looks on, and must not be taken for the client, which may not trust what is given here.
    let request =
        format!("GET /ca.pem HTTP/1.1\r\nHost: {OWN}\r\nIf-None-Match: \"doctor\"\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(BUNDLE).read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("it is refused"));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests;
