//! Trust: the certificates in every form that a runtime reads, the variables that point there, and the system's own store under
//! the same certificates. The list is that of an agent's container (`docs/agent/setup.md`).

mod java;

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Where the forms are, inside.
pub(crate) const FOLDER: &str = "/run/stubgate";

/// Files that programs take for the system's store, of which those that are there are replaced, inside.
pub(crate) const STORES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];
/// The same for Java.
pub(crate) const JAVA_STORES: &[&str] = &["/etc/ssl/certs/java/cacerts", "/etc/pki/ca-trust/extracted/java/cacerts"];

fn at(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

/// One file of PEM.
pub(crate) fn bundle_file() -> PathBuf {
    at("ca-certificates.crt")
}

/// A key store of Java.
pub(crate) fn java_file() -> PathBuf {
    at("java/cacerts")
}

/// Every form, with its file.
///
/// # Errors
/// Where the bundle is no PEM of certificates.
pub(crate) fn forms(bundle: &[u8]) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let certificates: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(bundle).collect();
    let certificates = certificates.map_err(|error| format!("the bundle is no PEM: {error:?}"))?;
    if certificates.is_empty() {
        return Err("the bundle has no certificate".into());
    }
    Ok(vec![
        (bundle_file(), bundle.to_vec()),
        (at("certs/bundle.pem"), bundle.to_vec()),
        (java_file(), java::store(&certificates)),
    ])
}

/// The variables that say what to trust.
pub(crate) fn variables(own_java_options: Option<&str>) -> Vec<(&'static str, String)> {
    let text = |path: PathBuf| path.display().to_string();
    let file = text(bundle_file());
    let java = format!("-Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStoreType=JKS", text(java_file()));
    let mut all: Vec<(&'static str, String)> = [
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
        "REQUESTS_CA_BUNDLE",
        "PIP_CERT",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "CARGO_HTTP_CAINFO",
        "DENO_CERT",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "AWS_CA_BUNDLE",
        "NIX_SSL_CERT_FILE",
    ]
    .map(|name| (name, file.clone()))
    .into();
    all.push(("SSL_CERT_DIR", text(at("certs"))));
    all.push(("DENO_TLS_CA_STORE", "system".into()));
    all.push(("JAVA_TOOL_OPTIONS", own_java_options.map_or(java.clone(), |own| format!("{own} {java}"))));
    all
}
