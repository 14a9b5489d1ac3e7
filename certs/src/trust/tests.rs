use std::time::SystemTime;

use super::*;
use crate::CertificateAuthority;

fn authority() -> Anchor {
    CertificateAuthority::create("test", SystemTime::now()).unwrap().anchor()
}

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn own_ca_is_never_among_the_systems_roots() {
    let (own, other) = (authority(), authority());
    let system = vec![own.issuing().unwrap().clone(), other.issuing().unwrap().clone()];
    assert!(!is_trusted(&TrustRoots::assemble(system.clone(), &[], std::slice::from_ref(&own)).unwrap(), &own));
    assert!(is_trusted(&TrustRoots::assemble(system.clone(), &[], &[]).unwrap(), &own));
    let store = TrustRoots::assemble(system, &[], &[own]).unwrap();
    assert_eq!(store.len(), 1);
}

#[test]
fn own_ca_in_a_named_file_is_an_error() {
    let (own, other) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let both = file(&folder, "both.pem", &(other.pem() + &own.pem()));
    let error = TrustRoots::assemble(Vec::new(), &[both], std::slice::from_ref(&own)).unwrap_err();
    assert!(matches!(error, RootsError::OwnAuthority { .. }), "{error}");
}

#[test]
fn named_files_add_to_the_systems_roots() {
    let own = authority();
    let folder = tempfile::tempdir().unwrap();
    let extra = file(&folder, "extra.pem", &authority().pem());
    let store = TrustRoots::assemble(vec![authority().issuing().unwrap().clone()], &[extra], &[own]).unwrap();
    assert_eq!(store.len(), 2);
}

#[test]
fn files_without_roots_and_no_roots_at_all_are_errors() {
    let own = authority();
    let folder = tempfile::tempdir().unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [("empty.pem", ""), ("text.pem", "hello"), ("broken.pem", broken)] {
        let path = file(&folder, name, text);
        let error = TrustRoots::assemble(Vec::new(), &[path], std::slice::from_ref(&own)).unwrap_err();
        assert!(matches!(error, RootsError::File { .. }), "{name}: {error}");
    }
    let missing = folder.path().join("missing.pem");
    assert!(matches!(
        TrustRoots::assemble(Vec::new(), &[missing], std::slice::from_ref(&own)),
        Err(RootsError::File { .. })
    ));
    assert!(matches!(TrustRoots::assemble(Vec::new(), &[], &[own]), Err(RootsError::Empty)));
}

#[test]
fn bundle_holds_our_ca_first() {
    let own = authority();
    assert_eq!(bundle_pem([&own], false), own.pem());
    assert!(bundle_pem([&own], true).starts_with(&own.pem()));
}

/// Run by the test below, in a process of its own; by itself it checks that loading works at all or says why not.
#[test]
fn says_how_many_roots_there_are() {
    let said = match TrustRoots::load(&[], &[authority()]) {
        Ok(store) => store.len().to_string(),
        Err(RootsError::Empty) => "none".into(),
        Err(error) => panic!("{error}"),
    };
    println!("roots={said}.");
}

#[test]
fn environment_does_not_choose_the_roots() {
    let folder = tempfile::tempdir().unwrap();
    let poison = file(&folder, "poison.pem", &authority().pem());
    let count = |poisoned: bool| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "trust::tests::says_how_many_roots_there_are", "--nocapture"]);
        command.env_remove("SSL_CERT_FILE").env_remove("SSL_CERT_DIR");
        if poisoned {
            command.env("SSL_CERT_FILE", &poison).env("SSL_CERT_DIR", folder.path());
        }
        let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let start = output.find("roots=").expect("the child test ran");
        output[start..].split('.').next().unwrap().to_owned()
    };
    let clean = count(false);
    assert_ne!(clean, "roots=1");
    assert_eq!(count(true), clean);
}
