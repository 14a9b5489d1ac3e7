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
    assert!(
        CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap().is_new(),
        "none is no half"
    );
    fs::remove_dir_all(folder.path().join("ca")).unwrap();
    fs::write(folder.path().join("ca"), "no folder").unwrap();
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

#[test]
fn a_key_in_a_folder_that_everybody_can_write_to_is_refused_also_behind_a_symlink() {
    let folder = tempfile::tempdir().unwrap();
    CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap();
    let ca = folder.path().join("ca");
    let links = folder.path().join("links");
    fs::create_dir(&links).unwrap();
    std::os::unix::fs::symlink(ca.join("key.pem"), links.join("key.pem")).unwrap();
    let load = |key: &Path| CertificateAuthority::load_files(&ca.join("certificate.pem"), key);
    for (bits, good) in
        [(0o700, true), (0o755, true), (0o775, true), (0o1777, true), (0o3777, true), (0o777, false), (0o702, false)]
    {
        for open in [&ca, &links] {
            set_mode(open, bits);
            let loaded = load(&links.join("key.pem"));
            match loaded {
                Ok(_) => assert!(good, "{bits:o}"),
                Err(error) => {
                    assert!(!good, "{bits:o}: {error}");
                    let text = error.to_string();
                    assert!(text.starts_with(&format!("{} has mode {bits:04o}", open.display())), "{text}");
                    assert!(text.contains("chmod o-w"), "{text}");
                }
            }
            set_mode(open, 0o700);
        }
    }
    set_mode(&ca, 0o777);
    assert!(CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).is_err());
}

#[test]
fn a_key_of_another_user_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    CertificateAuthority::load_or_create(folder.path(), SystemTime::now()).unwrap();
    let key = folder.path().join("ca/key.pem");
    // Only root can give a file away; whoever else runs this test has the owner of the key looked at all the same.
    let gave = std::os::unix::fs::chown(&key, Some(4711), None).is_ok();
    let loaded = CertificateAuthority::load_or_create(folder.path(), SystemTime::now());
    assert_eq!(loaded.as_ref().err().map(ToString::to_string).is_some_and(|text| text.contains("user 4711")), gave);
    assert_eq!(loaded.is_ok(), !gave);
}

#[test]
fn a_draft_that_a_killed_process_left_goes_and_a_fresh_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (old, fresh) = (folder.path().join(".ca-0123456789abcdef"), folder.path().join(".ca-fedcba9876543210"));
    for draft in [&old, &fresh] {
        fs::create_dir(draft).unwrap();
        fs::write(draft.join("key.pem"), "half a k").unwrap();
    }
    fs::create_dir(folder.path().join("escrow")).unwrap();
    let now = SystemTime::now();
    let hour = std::time::Duration::from_secs(3600);
    fs::File::open(&old).unwrap().set_modified(now - hour).unwrap();
    let made = CertificateAuthority::load_or_create(folder.path(), now).unwrap();
    assert!(made.is_new());
    assert_eq!((old.exists(), fresh.exists(), folder.path().join("escrow").exists()), (false, true, true));
}
