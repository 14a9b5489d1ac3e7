use std::time::{Duration, SystemTime};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn a_ca_within_a_week_of_its_end_is_refused() {
    let born = SystemTime::now();
    let authority = CertificateAuthority::create("test", born).unwrap();
    let end = authority.not_after();
    authority.check_usable(born).unwrap();
    authority.check_usable(end - MINIMUM_REMAINING).unwrap();
    for now in [end - MINIMUM_REMAINING + Duration::from_secs(1), end, end + DAY] {
        assert!(matches!(authority.check_usable(now), Err(CaError::Ending { .. })));
    }
    assert!(matches!(authority.check_usable(born - DAY * 2), Err(CaError::NotYetValid { .. })));
}

#[test]
fn common_names_are_bounded() {
    for bad in ["", "a\nb", "\u{7}", "x".repeat(65).as_str()] {
        let outcome = CertificateAuthority::create(bad, SystemTime::now());
        assert!(matches!(outcome, Err(CaError::CommonName)), "{bad:?}");
    }
    CertificateAuthority::create(&"x".repeat(64), SystemTime::now()).unwrap();
}

#[test]
fn the_encoded_key_is_wiped_once_loaded() {
    let (authority, key_pem) =
        CertificateAuthority::create_with_key("test", &Subtrees::default(), SystemTime::now()).unwrap();
    assert!(authority.issuer.key().key.serialized_der().is_empty());
    let loaded = CertificateAuthority::load(authority.certificate_pem().as_bytes(), key_pem.as_bytes()).unwrap();
    assert!(loaded.issuer.key().key.serialized_der().is_empty());
    assert_eq!(loaded.fingerprint_sha256(), authority.fingerprint_sha256());
}

#[test]
fn checking_at_load_is_not_counted_as_minting() {
    assert_eq!(CertificateAuthority::create("test", SystemTime::now()).unwrap().signatures_total(), 0);
}

#[test]
fn an_operators_subject_of_several_parts_is_reproduced() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CountryName, "DE");
    params.distinguished_name.push(DnType::OrganizationName, "B\u{fc}cher & Co");
    params.distinguished_name.push(DnType::CommonName, "Egress CA");
    let certificate = params.self_signed(&key).unwrap();
    let pem = pem::private_key(key.serialized_der());
    CertificateAuthority::load(pem::certificate(certificate.der()).as_bytes(), pem.as_bytes()).unwrap();
}
