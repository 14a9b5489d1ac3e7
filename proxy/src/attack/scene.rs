//! The place that the probes run in, as any client there would make it out.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;

use super::{ANSWER, Options, at, dns};

/// Variables that name a file of certificates to trust, in the order that they are tried.
const TRUST: [&str; 5] =
    ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"];
/// Where systems keep the certificates that they trust.
const SYSTEM: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// Variables that name a proxy.
const PROXY: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];
/// Hosts that agents are often allowed; the first that is resolved is taken where none is given.
const USUAL: [&str; 3] = ["api.github.com", "api.anthropic.com", "github.com"];
/// Addresses on the internet that answer on 443, 53 and 853.
const WELL_KNOWN: [IpAddr; 3] = [
    IpAddr::V4(std::net::Ipv4Addr::new(1, 1, 1, 1)),
    IpAddr::V4(std::net::Ipv4Addr::new(8, 8, 8, 8)),
    IpAddr::V4(std::net::Ipv4Addr::new(9, 9, 9, 9)),
];

/// The place.
pub struct Scene {
    /// What was asked for.
    pub options: Options,
    /// The resolver of this place.
    pub resolver: SocketAddr,
    /// Its proxy, if it has one.
    pub proxy: Option<SocketAddr>,
    /// An allowed host, with the address that the resolver answers for it.
    pub host: Option<(String, IpAddr)>,
    /// Another one.
    pub other: Option<(String, IpAddr)>,
    /// What this place trusts, for HTTP/1.1.
    pub tls: Arc<ClientConfig>,
    /// Where those certificates were found.
    pub trust: PathBuf,
}

/// Why a place can't be made out.
#[derive(Debug, Error)]
pub enum SceneError {
    /// Nothing tells where names are resolved.
    #[error("/etc/resolv.conf names no name server")]
    NoResolver,
    /// No certificates.
    #[error("no certificates to trust: set SSL_CERT_FILE to the bundle that the agent has")]
    NoTrust,
    /// A file that can't be used.
    #[error("{0} holds no certificates")]
    BadTrust(PathBuf),
    /// A proxy that can't be reached by its name.
    #[error("the proxy {0} can't be resolved")]
    NoProxy(String),
    /// TLS can't be set up.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

impl Scene {
    /// Looks around.
    pub(super) async fn look(options: Options) -> Result<Scene, SceneError> {
        let resolver = resolver().ok_or(SceneError::NoResolver)?;
        let (trust, roots) = roots()?;
        let proxy = match options.proxy.clone().or_else(|| PROXY.iter().find_map(|name| variable(name))) {
            Some(text) => Some(proxy(&text, resolver).await?),
            None => None,
        };
        let wanted: Vec<String> = match &options.host {
            Some(host) => vec![host.clone()],
            None => USUAL.iter().map(|host| (*host).to_owned()).collect(),
        };
        let mut host = None;
        for name in wanted {
            if let Some(ip) = dns::address(resolver, &name).await {
                host = Some((name, ip));
                break;
            }
        }
        let other = match &options.other_host {
            Some(name) => dns::address(resolver, name).await.map(|ip| (name.clone(), ip)),
            None => None,
        };
        let tls = stubgate_certs::client_config(roots, &[b"http/1.1"])?;
        Ok(Scene { options, resolver, proxy, host, other, tls, trust })
    }

    /// Addresses outside.
    pub(super) fn outside(&self) -> Vec<IpAddr> {
        WELL_KNOWN.iter().chain(&self.options.targets).copied().filter(|ip| *ip != self.resolver.ip()).collect()
    }

    /// Name servers outside.
    pub(super) fn resolvers(&self) -> Vec<IpAddr> {
        WELL_KNOWN.iter().chain(&self.options.resolvers).copied().filter(|ip| *ip != self.resolver.ip()).collect()
    }

    /// A name that must not be reached.
    pub(super) fn denied(&self) -> &str {
        &self.options.denied
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn resolver() -> Option<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf").ok()?;
    let mut servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.find_map(|rest| rest.trim().parse().ok()).map(|ip| at(ip, 53))
}

fn roots() -> Result<(PathBuf, RootCertStore), SceneError> {
    let named = TRUST.iter().find_map(|name| variable(name)).map(PathBuf::from);
    let file = named.or_else(|| SYSTEM.iter().map(PathBuf::from).find(|file| file.exists()));
    let file = file.ok_or(SceneError::NoTrust)?;
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(&file).map_err(|_| SceneError::BadTrust(file.clone()))?;
    roots.add_parsable_certificates(found.flatten());
    if roots.is_empty() {
        return Err(SceneError::BadTrust(file));
    }
    Ok((file, roots))
}

/// Where a proxy is, from how the environment writes it: `http://host:3128`.
async fn proxy(text: &str, resolver: SocketAddr) -> Result<SocketAddr, SceneError> {
    let plain = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    let plain = plain.rsplit_once('@').map_or(plain, |(_, rest)| rest);
    if let Ok(address) = plain.parse() {
        return Ok(address);
    }
    let no = || SceneError::NoProxy(plain.to_owned());
    let (host, port) = plain.rsplit_once(':').unwrap_or((plain, "3128"));
    let port: u16 = port.parse().map_err(|_| no())?;
    // By /etc/hosts first, as libc does; a denied name takes its time there.
    let by_libc = tokio::time::timeout(ANSWER, tokio::net::lookup_host((host, port))).await;
    if let Ok(Ok(Some(address))) = by_libc.map(|found| found.map(|mut found| found.next())) {
        return Ok(address);
    }
    dns::address(resolver, host).await.map(|ip| at(ip, port)).ok_or_else(no)
}
