//! A certificate authority of the test's own, and a server of its.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;

/// The certificate of `localhost` and of the authority that signed it.
pub(crate) struct Authority {
    /// The authority's certificate, as `SSL_CERT_FILE` wants it.
    pub(crate) file: PathBuf,
    /// The server's certificate and key, as files.
    pub(crate) server: (PathBuf, PathBuf),
    /// The same for a server in this process.
    pub(crate) config: Arc<ServerConfig>,
    /// For a client in this process.
    pub(crate) trust: Arc<ClientConfig>,
}

impl Authority {
    pub(crate) fn new(folder: &Path) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::from_params(&params, &key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
        let file = folder.join("authority.pem");
        let server = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&file, certificate.pem()).unwrap();
        std::fs::write(&server.0, leaf.pem()).unwrap();
        std::fs::write(&server.1, leaf_key.serialize_pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let trust = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap())
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Authority { file, server, config: Arc::new(config), trust: Arc::new(trust) }
    }
}
