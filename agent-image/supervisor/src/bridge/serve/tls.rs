//! The certificate of a bridge that is served: read again when its files change, and the last good one kept while they are wrong.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// A certificate and its key, as two files.
#[derive(Debug)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    present: Mutex<Present>,
}

#[derive(Debug)]
struct Present {
    stamp: Stamp,
    config: Arc<ServerConfig>,
}

/// What a file was: a mounted secret changes by a link, and so by its number.
type Stamp = [Option<(u64, u64, SystemTime)>; 2];

/// Why there is none.
#[derive(Debug, Error)]
pub enum Unusable {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no PEM, or not what it should be.
    #[error("{}: no certificate or key in PEM", .0.display())]
    Pem(PathBuf),
    /// They do not go together.
    #[error("the certificate and its key can't be used: {0}")]
    Pair(rustls::Error),
}

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// One can't be read, or they do not go together.
    pub fn read(certificate: PathBuf, key: PathBuf) -> Result<Self, Unusable> {
        let stamp = stamp(&certificate, &key);
        let config = config(&certificate, &key)?;
        Ok(Certificate { certificate, key, present: Mutex::new(Present { stamp, config }) })
    }

    /// What a connection that comes now is served with.
    pub fn present(&self) -> Arc<ServerConfig> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = stamp(&self.certificate, &self.key);
        if present.stamp != stamp {
            match config(&self.certificate, &self.key) {
                Ok(config) => {
                    present.config = config;
                    tracing::info!("the certificate was read again");
                }
                Err(error) => tracing::error!(%error, "the certificate that was read before stays in use"),
            }
            present.stamp = stamp;
        }
        Arc::clone(&present.config)
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    [certificate, key].map(|path| {
        let file = fs::metadata(path).ok()?;
        Some((file.ino(), file.len(), file.modified().ok()?))
    })
}

fn config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Unusable> {
    let read = |path: &Path| fs::read(path).map_err(|source| Unusable::Unreadable { path: path.into(), source });
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(certificate)?).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| Unusable::Pem(certificate.into()))?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| Unusable::Pem(key.into()))?;
    let mut config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(Unusable::Pair)?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(Unusable::Pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
