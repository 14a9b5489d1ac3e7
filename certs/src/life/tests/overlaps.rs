//! Overlaps that are interrupted: by a restart, by who began them, by the end of what signs.

use super::*;

fn is_quiet(turned: &Turned) -> bool {
    turned.problem.is_none() && !turned.is_changed
}

#[test]
fn a_restart_in_an_overlap_waits_for_the_least_time_again() {
    let folder = tempfile::tempdir().unwrap();
    let now = time(seconds(SystemTime::now()));
    let mut life = open(folder.path(), now);
    life.rotate(&Subtrees::default(), TERMS, now).unwrap();
    // Of a day ago, so that it is awaited no more.
    let stale = Heard { heard: seconds(now) - record::ACTIVE, seen: None };
    let audience = Audience::from([("a".into(), BTreeMap::from([("10.0.0.1".parse().unwrap(), stale)]))]);
    let told = || audience.clone();
    life.turn(now, TERMS, true, |_| Ok(()), |_| told());
    let mut again = open(folder.path(), seconds_on(now, 50));
    assert_eq!(again.overlap().unwrap().least_until, seconds_on(now, 60));
    for at in [50, 59] {
        assert!(is_quiet(&again.turn(seconds_on(now, at), TERMS, true, |_| Ok(()), |_| told())), "{at}");
    }
    assert!(again.turn(seconds_on(now, 60), TERMS, true, |_| Ok(()), |_| told()).is_changed);

    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), now).rotate(&Subtrees::default(), TERMS, now).unwrap();
    let mut late = open(folder.path(), seconds_on(now, 995));
    assert!(is_quiet(&turn(&mut late, seconds_on(now, 999))));
    assert!(turn(&mut late, seconds_on(now, 1000)).is_changed, "the deadline stays");
}

#[test]
fn who_is_heard_of_again_is_written_every_hour() {
    let folder = tempfile::tempdir().unwrap();
    let now = time(seconds(SystemTime::now()) / 3600 * 3600);
    let mut life = open(folder.path(), now);
    let terms = Terms { deadline: WEEK, ..TERMS };
    life.rotate(&Subtrees::default(), terms, now).unwrap();
    let at = |later: u64| {
        let heard = Heard { heard: seconds(now) + later, seen: None };
        Audience::from([("a".into(), BTreeMap::from([("10.0.0.1".parse().unwrap(), heard)]))])
    };
    for (later, written) in [(0, 0), (3599, 0), (3600, 3600)] {
        life.turn(seconds_on(now, later), terms, false, |_| Ok(()), |_| at(later));
        assert_eq!(Life::look(folder.path(), None).unwrap().audience(), &at(written), "{later}");
    }
}

#[test]
fn a_pair_that_is_taken_back_never_signs_and_stays_for_replicas_that_it_signs_at() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = time(seconds(SystemTime::now()));
    let first = mount(secret.path(), "1");
    let mut life = Life::open(folder.path(), given(&first), TERMS, now).unwrap();
    let second = mount(secret.path(), "2");
    assert!(turn(&mut life, now).is_changed);
    for (name, kind) in [("tls.crt", "1"), ("tls.key", "1")] {
        let back = secret.path().join("..back");
        fs::create_dir_all(&back).unwrap();
        fs::copy(secret.path().join(format!("..{kind}")).join(name), back.join(name)).unwrap();
    }
    swap(secret.path(), "back");
    assert!(turn(&mut life, seconds_on(now, 1)).is_changed);
    let after = [("signing", first.2.clone()), ("past", second.2.clone())];
    assert_eq!((life.phase(), fingerprints(&life)), (Phase::Trailing, after.to_vec()));
    let Some((Role::Past(until), _)) = life.anchors().pop() else { panic!("it has been") };
    assert!(until >= seconds_on(now, 1000) + WEEK, "another replica may sign with it up to its deadline");
    assert!(is_quiet(&turn(&mut life, seconds_on(now, 2000))));
    assert_eq!(life.signing().id(), first.2);
    assert!(!names(folder.path()).contains(&format!("{}.key.pem", second.2)), "its copy is gone");
    let again = Life::open(folder.path(), given(&first), TERMS, seconds_on(now, 2000)).unwrap();
    assert_eq!(fingerprints(&again), after);
}

#[test]
fn an_own_ca_that_is_gone_back_to_goes_on_and_the_operators_never_signs() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = time(seconds(SystemTime::now()));
    let own = open(folder.path(), now).signing().id();
    let files = mount(secret.path(), "1");
    assert_eq!(Life::open(folder.path(), given(&files), TERMS, now).unwrap().phase(), Phase::Overlap);
    let mut life = open(folder.path(), seconds_on(now, 1));
    assert_eq!(fingerprints(&life), [("signing", own.clone()), ("past", files.2)]);
    assert!(is_quiet(&turn(&mut life, seconds_on(now, 2000))));
    assert_eq!(life.signing().id(), own);
}

#[test]
fn a_pair_that_another_process_put_in_has_to_pass_too() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = SystemTime::now();
    let first = mount(secret.path(), "1");
    let mut life = Life::open(folder.path(), given(&first), TERMS, now).unwrap();
    let second = mount(secret.path(), "2");
    Life::open(folder.path(), given(&second), TERMS, now).unwrap();
    let refused = life.turn(now, TERMS, true, |_| Err(CaError::TrustedUpstream), |_| Audience::new());
    assert!(matches!(refused.problem, Some(CaError::TrustedUpstream)) && !refused.is_changed);
    assert_eq!(fingerprints(&life), [("signing", first.2)]);
    assert!(turn(&mut life, now).is_changed);
}

#[test]
fn a_ca_that_ends_before_the_deadline_is_the_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let now = time(seconds(SystemTime::now()));
    let mut life = open(folder.path(), now);
    let end = life.signing().not_after();
    let late = end - Duration::from_secs(7200);
    life.rotate(&Subtrees::default(), Terms { least: Duration::ZERO, deadline: WEEK }, late).unwrap();
    assert_eq!(life.overlap().unwrap().deadline, end - Duration::from_secs(3600));
}
