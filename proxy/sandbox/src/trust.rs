//! Trust: the certificates in every form that a runtime reads, the variables that point there, and the system's own store under
//! the same certificates. The list is that of an agent's container (`docs/agent/setup.md`).

mod java;

use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject, SectionKind};

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
/// Where the bundle is no PEM of certificates alone.
pub(crate) fn forms(bundle: &[u8]) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let mut certificates: Vec<CertificateDer<'static>> = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bundle) {
        let (kind, bytes) = section.map_err(|error| format!("the bundle is no PEM: {error:?}"))?;
        // All of it is for everybody inside to read.
        if kind != SectionKind::Certificate {
            return Err("the bundle has something that is no certificate; a private key has no business there".into());
        }
        certificates.push(bytes.into());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(kind: &str) -> String {
        format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n")
    }

    #[test]
    fn a_bundle_with_anything_but_certificates_is_refused() {
        assert_eq!(forms(pem("CERTIFICATE").as_bytes()).unwrap().len(), 3);
        for kind in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "CERTIFICATE REQUEST"] {
            let refused = forms((pem("CERTIFICATE") + &pem(kind)).as_bytes()).unwrap_err();
            assert!(refused.contains("no certificate"), "{kind}: {refused}");
        }
        assert!(forms(b"").is_err());
    }

    /// Of the table there, what says whom to trust.
    #[test]
    fn the_variables_are_those_of_an_agent_s_container() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/agent/setup.md");
        let page = std::fs::read_to_string(page).unwrap();
        let rows = page.split("| variable | value | who reads it |").nth(1).unwrap().split("\n\n").next().unwrap();
        let mut listed: Vec<(String, String)> = rows
            .lines()
            .filter_map(|line| {
                let mut cells = line.split('|').map(|cell| cell.trim().trim_matches('`'));
                let (name, value) = (cells.nth(1)?, cells.next()?);
                let is_trust = value.contains("TRUST/") || name == "DENO_TLS_CA_STORE";
                is_trust.then(|| (name.to_owned(), value.replace("TRUST/", &format!("{FOLDER}/"))))
            })
            .collect();
        let mut own: Vec<(String, String)> =
            variables(None).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        listed.sort();
        own.sort();
        assert_eq!(own, listed);
    }
}
