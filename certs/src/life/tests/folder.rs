//! The folder as others left it, and as it is when there is more to keep than fits.

use std::net::Ipv6Addr;

use super::*;

fn address(agent: u32, place: u32) -> IpAddr {
    Ipv6Addr::from(u128::MAX - u128::from(agent << 16 | place)).into()
}

/// Agents at so many places each.
fn crowd(agents: u32, places: u32, now: SystemTime) -> Audience {
    let heard = |place: u32| Heard { heard: seconds(now), seen: (place % 2 == 1).then_some(seconds(now)) };
    let at = |agent: u32| (0..places).map(move |place| (address(agent, place), heard(place)));
    (0..agents).map(|agent| (format!("agent-{agent}"), at(agent).collect())).collect()
}

#[test]
fn an_audience_that_does_not_fit_is_left_out_and_the_cas_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut life = open(folder.path(), now);
    life.rotate(&Subtrees::default(), TERMS, now).unwrap();
    let during = fingerprints(&life);
    let many = crowd(4, 1024, now);
    let told = || many.clone();
    for looks in [false, true] {
        let turned = life.turn(seconds_on(now, 1), TERMS, looks, |_| Ok(()), |_| told());
        assert!(turned.problem.is_none() && !turned.is_changed, "{turned:?}");
        assert_eq!(life.audience(), &many, "it is known while it runs");
    }
    let path = folder.path().join("ca/state.json");
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    life.turn(seconds_on(now, 2), TERMS, true, |_| Ok(()), |_| told());
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written, "and is no news over and over");

    let mut again = open(folder.path(), seconds_on(now, 20));
    assert_eq!((fingerprints(&again), again.audience().len()), (during, 0));
    assert!(!again.turn(seconds_on(now, 20), TERMS, true, |_| Ok(()), |_| Audience::new()).is_changed);
    let next = again.coming();
    assert!(again.turn(seconds_on(now, 1000), TERMS, true, |_| Ok(()), |_| told()).is_changed, "the deadline");
    assert_eq!(Some(again.signing().id()), next);
}

#[test]
fn an_audience_that_fits_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut life = open(folder.path(), now);
    life.rotate(&Subtrees::default(), TERMS, now).unwrap();
    let some = crowd(2, 1024, now);
    life.turn(now, TERMS, false, |_| Ok(()), |_| some.clone());
    assert_eq!(open(folder.path(), now).audience(), &some);
}

#[test]
fn what_is_wiped_is_a_file_of_the_folder_and_nothing_that_a_link_leads_to() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut life = open(folder.path(), now);
    let (outside, ca) = (folder.path().join("outside"), folder.path().join("ca"));
    let (linked, named) = (outside.join("linked"), outside.join("named"));
    fs::create_dir(&outside).unwrap();
    for file in [&linked, &named] {
        fs::write(file, "precious").unwrap();
    }
    std::os::unix::fs::symlink(&linked, ca.join(".linked.new")).unwrap();
    fs::hard_link(&named, ca.join(".named.new")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, ca.join(".pipe.new"), rustix::fs::Mode::RUSR).unwrap();
    life.rotate(&Subtrees::default(), TERMS, now).unwrap();
    for file in [&linked, &named] {
        assert_eq!(fs::read_to_string(file).unwrap(), "precious", "{}", file.display());
    }
    assert!(!names(folder.path()).iter().any(|name| name.ends_with(".new")), "{:?}", names(folder.path()));
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), SystemTime::now());
    let path = folder.path().join("ca/state.json");
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
    let error = Life::look(folder.path(), None).unwrap_err();
    assert!(error.to_string().contains("state.json"), "{error}");
}

#[test]
fn a_folder_without_a_ca_is_no_ca() {
    let now = SystemTime::now();
    for left in [&[][..], &[".0123456789abcdef.key.pem.new", "0123456789abcdef.key.pem"]] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("ca")).unwrap();
        for name in left {
            fs::write(folder.path().join("ca").join(name), "a key").unwrap();
        }
        assert!(!Life::is_there(folder.path()));
        assert!(open(folder.path(), now).is_new(), "{left:?}");
        assert_eq!(names(folder.path()), ["certificate.pem", "key.pem"], "{left:?}");
        assert!(Life::is_there(folder.path()));
    }
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), now);
    fs::remove_file(folder.path().join("ca/certificate.pem")).unwrap();
    assert!(matches!(Life::open(folder.path(), made(), TERMS, now), Err(CaError::Half { .. })), "half of one is");
}

#[test]
fn a_lost_record_is_no_reason_to_make_another_ca_or_to_wipe_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut life = open(folder.path(), now);
    life.rotate(&Subtrees::default(), TERMS, now).unwrap();
    for later in [Duration::from_secs(10), WEEK * 2] {
        assert!(turn(&mut life, now + later).is_changed);
    }
    fs::remove_file(folder.path().join("ca/state.json")).unwrap();
    let left = names(folder.path());
    let error = Life::open(folder.path(), made(), TERMS, now).unwrap_err();
    assert!(error.to_string().contains("state.json is missing beside"), "{error}");
    assert_eq!(names(folder.path()), left);
}

#[test]
fn an_operators_key_may_be_of_the_user_that_the_appliance_becomes() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = mount(secret.path(), "1");
    // Only root can give a file away, and only root reads one that is another user's.
    if std::os::unix::fs::chown(secret.path().join("..1/tls.key"), Some(4711), None).is_err() {
        return;
    }
    for user in [None, Some(4712)] {
        assert!(
            matches!(Given::read(&files.0, &files.1, user), Err(CaError::KeyOwner { owner: 4711, .. })),
            "{user:?}"
        );
    }
    let origin = Origin::Given(Given::read(&files.0, &files.1, Some(4711)).unwrap());
    let mut life = Life::open(folder.path(), origin, TERMS, SystemTime::now()).unwrap();
    mount(secret.path(), "2");
    std::os::unix::fs::chown(secret.path().join("..2/tls.key"), Some(4711), None).unwrap();
    assert!(turn(&mut life, SystemTime::now()).is_changed, "and when it is exchanged");
}
