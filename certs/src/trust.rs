//! Whom stubgate trusts upstream, and what agents are told to trust.
//!
//! Upstream roots are the system's plus the operator's files. The environment has no say (`SSL_CERT_FILE` and
//! `SSL_CERT_DIR` are ignored, TL-19), the appliance's own CA is never among them, and verification cannot be turned
//! off (TL-18).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::{Anchor, pem, provider};

/// Where systems keep their bundle: Debian, Alpine, Arch; Fedora, RHEL; openSUSE; others.
const SYSTEM_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// Sessions kept for resumption towards upstreams.
const UPSTREAM_SESSIONS: usize = 1024;

/// Why there are no roots to verify upstreams with. Always the operator's matter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootsError {
    /// A file is unreadable, holds no certificate, or holds a broken one.
    #[error("{}: {why}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file holds the appliance's own CA: whoever has its leaves could then stand in for any upstream.
    #[error("{} holds stubgate's own CA, which must never be trusted for upstreams; take it out", path.display())]
    OwnAuthority {
        /// Which one.
        path: PathBuf,
    },
    /// Neither the system nor the configuration has any.
    #[error("no root certificates: the system has none, and upstream.ca_files names none")]
    Empty,
}

/// Loads the roots that upstreams are verified against.
#[derive(Debug)]
pub struct TrustRoots;

impl TrustRoots {
    /// The system's roots and those in `extra_ca_files`, without the appliance's own CA.
    ///
    /// # Errors
    /// Where a named file does not give at least one good root, holds our own CA, or there is no root at all.
    pub fn load(extra_ca_files: &[PathBuf], own: &[Anchor]) -> Result<RootCertStore, RootsError> {
        Self::assemble(system_certificates(), extra_ca_files, own)
    }

    fn assemble(
        system: Vec<CertificateDer<'static>>,
        extra_ca_files: &[PathBuf],
        own: &[Anchor],
    ) -> Result<RootCertStore, RootsError> {
        let mut store = RootCertStore::empty();
        // Single odd ones among a system's hundreds are skipped, as every client does.
        store.add_parsable_certificates(system);
        remove_own(&mut store, own);
        for path in extra_ca_files {
            let before = store.len();
            for certificate in read_certificates(path)? {
                store
                    .add(certificate)
                    .map_err(|error| RootsError::File { path: path.clone(), why: error.to_string() })?;
            }
            let added = store.len();
            remove_own(&mut store, own);
            if store.len() != added {
                return Err(RootsError::OwnAuthority { path: path.clone() });
            }
            if added == before {
                return Err(RootsError::File { path: path.clone(), why: "no PEM certificate in it".into() });
            }
        }
        if store.is_empty() { Err(RootsError::Empty) } else { Ok(store) }
    }
}

/// Removes every root with the key of our CA: a re-issued certificate with the same key is just as much our own.
fn remove_own(store: &mut RootCertStore, own: &[Anchor]) {
    let mut ours = RootCertStore::empty();
    ours.add_parsable_certificates(own.iter().filter_map(|own| own.issuing().cloned()));
    store.roots.retain(|root| ours.roots.iter().all(|our| our.subject_public_key_info != root.subject_public_key_info));
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| RootsError::File { path: path.to_owned(), why: error.to_string() })
}

fn system_certificates() -> Vec<CertificateDer<'static>> {
    SYSTEM_BUNDLES
        .iter()
        .map(Path::new)
        .find(|path| path.is_file())
        .map(|path| rustls_native_certs::load_certs_from_paths(Some(path), None).certs)
        .unwrap_or_default()
}

/// The configuration for connections to upstreams: TLS 1.2 or 1.3, names verified against `roots`, resumption on.
///
/// # Errors
/// Where the crypto provider supports neither version, which would be our own mistake.
pub fn client_config(roots: RootCertStore, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(UPSTREAM_SESSIONS);
    Ok(Arc::new(config))
}

/// Whether upstreams would be verified by this CA.
pub fn is_trusted(store: &RootCertStore, own: &Anchor) -> bool {
    let mut left = store.clone();
    remove_own(&mut left, std::slice::from_ref(own));
    left.len() != store.len()
}

/// What an agent must trust, as PEM: our CAs, and the system's roots where its tools take one file for everything
/// (`SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`).
pub fn bundle_pem<'a>(own: impl IntoIterator<Item = &'a Anchor>, include_system: bool) -> String {
    let mut out: String = own.into_iter().map(Anchor::pem).collect();
    if include_system {
        for certificate in system_certificates() {
            out.push_str(&pem::certificate(&certificate));
        }
    }
    out
}

#[cfg(test)]
mod tests;
