//! The CA on disk: made once, private, refused when it is not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Barrier;
use std::time::SystemTime;

use stubgate_certs::{CaError, CertificateAuthority};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn is_made_once_and_taken_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("deep/state");
    let first = CertificateAuthority::load_or_create(&state, SystemTime::now()).unwrap();
    let second = CertificateAuthority::load_or_create(&state, SystemTime::now()).unwrap();
    assert_eq!(first.fingerprint_sha256(), second.fingerprint_sha256());
    assert!(first.is_new() && !second.is_new());
    first.check_usable(SystemTime::now()).unwrap();
    let left: Vec<_> = fs::read_dir(&state).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["ca"], "no drafts stay behind");
}

#[test]
fn key_is_private_from_the_beginning() {
    let folder = tempfile::tempdir().unwrap();
    CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap();
    assert_eq!(mode(&folder.path().join("ca")), 0o700);
    assert_eq!(mode(&folder.path().join("ca/key.pem")), 0o600);
}

#[test]
fn racing_starters_end_with_one_ca() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let barrier = Barrier::new(8);
        let found: Vec<(String, bool)> = std::thread::scope(|scope| {
            let starters: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let authority = CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap();
                        (authority.fingerprint_sha256(), authority.is_new())
                    })
                })
                .collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        assert!(found.iter().all(|(print, _)| *print == found[0].0), "{found:?}");
        assert_eq!(found.iter().filter(|(_, is_new)| *is_new).count(), 1, "{found:?}");
    }
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap();
    let key = folder.path().join("ca/key.pem");
    let certificate = folder.path().join("ca/certificate.pem");
    for (bits, own, mounted) in [
        (0o600, true, true),
        (0o400, true, true),
        (0o440, false, true),
        (0o640, false, true),
        (0o660, false, false),
        (0o604, false, false),
        (0o644, false, false),
        (0o602, false, false),
    ] {
        set_mode(&key, bits);
        let outcome = CertificateAuthority::load_or_create(folder.path(), SystemTime::now());
        assert_eq!(outcome.is_ok(), own, "{bits:o}");
        if let Err(error) = outcome {
            assert!(matches!(error, CaError::KeyExposed { .. }), "{error}");
        }
        let outcome = CertificateAuthority::load_files(&certificate, &key);
        assert_eq!(outcome.is_ok(), mounted, "{bits:o}");
    }
}

#[test]
fn half_a_ca_is_an_error_not_a_reason_to_make_another() {
    let folder = tempfile::tempdir().unwrap();
    CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap();
    fs::remove_file(folder.path().join("ca/key.pem")).unwrap();
    let error = CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap_err();
    assert!(error.to_string().contains("key.pem is missing beside"), "{error}");
    assert!(error.to_string().contains("restore it from a backup"), "{error}");
    fs::remove_file(folder.path().join("ca/certificate.pem")).unwrap();
    let error = CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap_err();
    assert!(matches!(error, CaError::Io { .. }), "{error}");
    assert!(std::error::Error::source(&error).is_none(), "what the text says is not said again by its chain");
}

#[test]
fn broken_files_are_named_for_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap();
    let certificate = fs::read(folder.path().join("ca/certificate.pem")).unwrap();
    let key = fs::read(folder.path().join("ca/key.pem")).unwrap();
    let other = tempfile::tempdir().unwrap();
    CertificateAuthority::load_or_create(other.path(), SystemTime::now()).unwrap();
    let other_key = fs::read(other.path().join("ca/key.pem")).unwrap();
    let leaf = rcgen::generate_simple_self_signed(vec!["a.test".into()]).unwrap();

    CertificateAuthority::load(&certificate, &key).unwrap();
    for (certificate, key, expected) in [
        (&b""[..], &key[..], "not a readable PEM certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, "not a readable PEM certificate"),
        (&certificate, b"", "not a readable PEM private key"),
        (&certificate, &certificate, "not a readable PEM private key"),
        (&certificate, &other_key, "do not belong together"),
        (leaf.cert.pem().as_bytes(), leaf.signing_key.serialize_pem().as_bytes(), "is not a CA"),
    ] {
        let error = CertificateAuthority::load(certificate, key).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_file_that_never_ends_is_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap();
    let key = folder.path().join("ca/key.pem");
    let error = CertificateAuthority::load_files(Path::new("/dev/zero"), &key).unwrap_err();
    assert!(matches!(error, CaError::Io { .. }), "{error}");
}
