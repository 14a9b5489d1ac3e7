//! openssl as the strict reader of what we sign (TL-21). Needs the `openssl` program.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;
use stubgate_certs::{CertificateAuthority, LeafName};

use super::fixture::{authority, client_at, dns, ip, leaf, minter, shake};

fn write_pem(path: &Path, der: &CertificateDer<'_>) {
    let mut child = Command::new("openssl")
        .args(["x509", "-inform", "DER", "-out"])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), der).unwrap();
    assert!(child.wait().unwrap().success());
}

fn verify(folder: &Path, extra: &[&str]) -> (bool, String) {
    let output = Command::new("openssl")
        .args(["verify", "-x509_strict", "-check_ss_sig", "-purpose", "sslserver"])
        .args(["-no-CApath", "-no-CAstore", "-CAfile", "ca.pem"])
        .args(extra)
        .arg("leaf.pem")
        .current_dir(folder)
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[tokio::test]
async fn leaves_pass_openssl_strictly() {
    let minter = minter(authority());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), minter.authority().certificate_pem()).unwrap();
    let long = format!("{}.{}.example.com", "a".repeat(63), "b".repeat(63));
    let hosts: [(LeafName<'_>, [&str; 2]); 4] = [
        (dns("api.github.com"), ["-verify_hostname", "api.github.com"]),
        (dns(&long), ["-verify_hostname", &long]),
        (ip("192.0.2.7"), ["-verify_ip", "192.0.2.7"]),
        (ip("2001:db8::1"), ["-verify_ip", "2001:db8::1"]),
    ];
    for (host, check) in hosts {
        let certificate = leaf(&minter, host, SystemTime::now()).await;
        write_pem(&folder.path().join("leaf.pem"), &certificate);
        let (good, said) = verify(folder.path(), &check);
        assert!(good, "{host:?}: {said}");
        let (good, _) = verify(folder.path(), &["-verify_hostname", "other.example.com"]);
        assert!(!good, "{host:?} is good for another name");
    }
}

#[tokio::test]
async fn leaves_have_the_profile_that_strict_clients_want() {
    let minter = minter(authority());
    let mut serials = HashSet::new();
    for i in 0..20 {
        let name = format!("h{i}.example.com");
        let der = leaf(&minter, dns(&name), SystemTime::now()).await;
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert_eq!(certificate.subject().iter().count(), 0, "no common name");
        assert!(!certificate.is_ca());
        assert_eq!(certificate.raw_serial().len(), 16);
        assert!(certificate.raw_serial()[0] < 0x80, "positive");
        assert!(serials.insert(certificate.raw_serial().to_vec()), "serials are random");
        let san = certificate.subject_alternative_name().unwrap().unwrap();
        assert!(san.critical, "the subject is empty");
        assert_eq!(san.value.general_names.len(), 1);
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && !usage.client_auth && !usage.any);
        let life = certificate.validity().not_after.timestamp() - certificate.validity().not_before.timestamp();
        assert_eq!(life, 8 * 24 * 60 * 60, "a day back, seven ahead");
    }
}

#[tokio::test]
async fn the_ca_says_what_it_is_and_prints_no_key() {
    let authority = authority();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, authority.certificate_pem()).unwrap();
    let output =
        Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&path).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.trim().ends_with(&authority.fingerprint_sha256()), "{said}");
    let printed = format!("{authority:?}");
    assert!(printed.contains(&authority.fingerprint_sha256()));
    assert!(!printed.to_lowercase().contains("key"), "{printed}");
}

#[tokio::test]
async fn an_intermediate_of_a_corporate_root_is_sent_with_the_leaf() {
    let root_key = KeyPair::generate().unwrap();
    let root = ca_params("Corp Root").self_signed(&root_key).unwrap();
    let issuer = Issuer::new(ca_params("Corp Root"), root_key);
    let key = KeyPair::generate().unwrap();
    let mut params = ca_params("Corp stubgate");
    params.use_authority_key_identifier_extension = true;
    let intermediate = params.signed_by(&key, &issuer).unwrap();

    let authority = CertificateAuthority::load(intermediate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    let minter = minter(Arc::new(authority));
    let server = minter.server_config(&dns("api.github.com")).await.unwrap();
    let trusted = CertificateAuthority::load(root.pem().as_bytes(), issuer.key().serialize_pem().as_bytes()).unwrap();
    let outcome = shake(server, client_at(&trusted, SystemTime::now()), "api.github.com").await.unwrap();
    assert_eq!(outcome.chain.len(), 2);

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
    std::fs::write(folder.path().join("intermediate.pem"), intermediate.pem()).unwrap();
    write_pem(&folder.path().join("leaf.pem"), &outcome.chain[0]);
    let (good, said) = verify(folder.path(), &["-untrusted", "intermediate.pem"]);
    assert!(good, "{said}");
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}
