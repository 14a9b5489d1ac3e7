//! A life on a disk, with a clock that is moved by hand, and killed at every step.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::atomic::Ordering;

use super::store::tests_step::LEFT;
use super::*;
use crate::pem;

mod folder;
mod overlaps;

const TERMS: Terms = Terms { least: Duration::from_secs(10), deadline: Duration::from_secs(1000) };
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn made() -> Origin {
    Origin::Made(Subtrees::default())
}

fn open(folder: &Path, now: SystemTime) -> Life {
    Life::open(folder, made(), TERMS, now).unwrap()
}

fn seconds_on(now: SystemTime, seconds: u64) -> SystemTime {
    now + Duration::from_secs(seconds)
}

/// A turn that hears of nobody.
fn turn(life: &mut Life, now: SystemTime) -> Turned {
    life.turn(now, TERMS, true, |_| Ok(()), |_| Audience::new())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.join("ca"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn fingerprints(life: &Life) -> Vec<(&'static str, String)> {
    life.anchors().iter().map(|(role, anchor)| (role.as_str(), anchor.id())).collect()
}

/// The operator's pair in a folder as a mounted secret: two files behind a link that is exchanged.
fn mount(folder: &Path, version: &str) -> (PathBuf, PathBuf, String) {
    let (authority, key) = CertificateAuthority::create_new(&Subtrees::default(), SystemTime::now()).unwrap();
    let real = folder.join(format!("..{version}"));
    fs::create_dir_all(&real).unwrap();
    fs::write(real.join("tls.crt"), authority.certificate_pem()).unwrap();
    fs::write(real.join("tls.key"), key.as_bytes()).unwrap();
    fs::set_permissions(real.join("tls.key"), fs::Permissions::from_mode(0o640)).unwrap();
    swap(folder, version);
    for name in ["tls.crt", "tls.key"] {
        let _ = std::os::unix::fs::symlink(format!("..data/{name}"), folder.join(name));
    }
    (folder.join("tls.crt"), folder.join("tls.key"), authority.id())
}

fn swap(folder: &Path, version: &str) {
    let fresh = folder.join("..data_tmp");
    std::os::unix::fs::symlink(format!("..{version}"), &fresh).unwrap();
    fs::rename(&fresh, folder.join("..data")).unwrap();
}

fn given(files: &(PathBuf, PathBuf, String)) -> Origin {
    Origin::Given(Given::read(&files.0, &files.1, None).unwrap())
}

#[test]
fn one_ca_follows_another_and_a_restart_at_any_time_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut life = open(folder.path(), now);
    let first = life.signing().id();
    assert_eq!(
        (life.phase(), life.is_new(), names(folder.path())),
        (Phase::Stable, true, vec!["certificate.pem".into(), "key.pem".into()])
    );

    life.rotate(&Subtrees::default(), TERMS, now).unwrap();
    assert!(matches!(life.rotate(&Subtrees::default(), TERMS, now), Err(CaError::UnderWay)));
    let second = life.coming().unwrap();
    let during = [("signing", first.clone()), ("next", second.clone())];
    assert_eq!(fingerprints(&life), during);
    assert_eq!(fingerprints(&open(folder.path(), now)), during);

    assert!(!turn(&mut life, seconds_on(now, 9)).is_changed);
    assert!(turn(&mut life, seconds_on(now, 10)).is_changed);
    let after = [("signing", second.clone()), ("past", first.clone())];
    assert_eq!((life.phase(), &*fingerprints(&life)), (Phase::Trailing, &after[..]));
    assert_eq!(fingerprints(&open(folder.path(), now)), after);
    let left = [
        "certificate.pem".into(),
        format!("{second}.certificate.pem"),
        format!("{second}.key.pem"),
        "state.json".into(),
    ];
    let mut left = left.to_vec();
    left.sort();
    assert_eq!(names(folder.path()), left, "a key that signs no more is gone");

    assert!(!turn(&mut life, seconds_on(now, 9) + WEEK).is_changed);
    assert!(turn(&mut life, seconds_on(now, 10) + WEEK).is_changed);
    assert_eq!((life.phase(), fingerprints(&life)), (Phase::Stable, vec![("signing", second.clone())]));
    assert_eq!(
        names(folder.path()),
        [format!("{second}.certificate.pem"), format!("{second}.key.pem"), "state.json".into()]
    );
    assert_eq!(fingerprints(&open(folder.path(), now)), [("signing", second)]);
}

#[test]
fn who_was_seen_is_known_after_a_restart_and_the_deadline_stays() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut life = open(folder.path(), now);
    life.rotate(&Subtrees::default(), TERMS, now).unwrap();
    let heard = |seen| Heard { heard: seconds(now), seen };
    let at = |heard: Heard| BTreeMap::from([("10.0.0.1".parse().unwrap(), heard)]);
    let audience = Audience::from([("a".into(), at(heard(Some(seconds(now))))), ("b".into(), at(heard(None)))]);
    let told = audience.clone();
    life.turn(seconds_on(now, 20), TERMS, true, |_| Ok(()), |_| told);
    let mut again = open(folder.path(), seconds_on(now, 30));
    assert_eq!(again.audience(), &audience);
    let overlap = again.overlap().unwrap();
    assert_eq!(overlap.deadline.duration_since(overlap.since).unwrap(), TERMS.deadline);
    let told = audience.clone();
    assert!(!again.turn(seconds_on(now, 990), TERMS, true, |_| Ok(()), |_| told).is_changed, "b is awaited");
    assert!(again.turn(seconds_on(now, 1000), TERMS, true, |_| Ok(()), |_| audience).is_changed);
}

#[test]
fn a_command_beside_it_is_noticed_and_ends_an_overlap_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut running = open(folder.path(), now);
    let mut command = Life::look(folder.path(), None).unwrap();
    command.rotate(&Subtrees::default(), TERMS, now).unwrap();
    assert!(turn(&mut running, now).is_changed);
    assert_eq!(fingerprints(&running), fingerprints(&command));
    Life::look(folder.path(), None).unwrap().finish(now).unwrap();
    while turn(&mut running, seconds_on(now, 1)).is_changed {}
    assert_eq!(fingerprints(&running), [("signing", command.coming().unwrap())]);
    assert!(matches!(running.finish(now), Err(CaError::NotUnderWay)));
}

#[test]
fn an_operators_pair_that_is_exchanged_begins_an_overlap_which_outlives_a_restart() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = SystemTime::now();
    let first = mount(secret.path(), "1");
    let mut life = Life::open(folder.path(), given(&first), TERMS, now).unwrap();
    assert_eq!((life.phase(), life.unkept()), (Phase::Stable, None));
    assert!(!turn(&mut life, now).is_changed);

    let second = mount(secret.path(), "2");
    assert!(turn(&mut life, now).is_changed);
    let during = [("signing", first.2.clone()), ("next", second.2.clone())];
    assert_eq!(fingerprints(&life), during);
    assert_eq!(fingerprints(&Life::open(folder.path(), given(&second), TERMS, now).unwrap()), during);
    let key = folder.path().join("ca").join(format!("{}.key.pem", first.2));
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(life.rotate(&Subtrees::default(), TERMS, now), Err(CaError::GivenByFiles)));

    let third = mount(secret.path(), "3");
    assert!(turn(&mut life, seconds_on(now, 1)).is_changed);
    let roles: Vec<_> = fingerprints(&life);
    assert_eq!(roles, [("signing", first.2.clone()), ("next", third.2.clone()), ("past", second.2)]);
    assert!(turn(&mut life, seconds_on(now, 11)).is_changed);
    assert_eq!(life.signing().id(), third.2);
}

#[test]
fn a_broken_pair_keeps_the_last_good_one_and_is_said_until_it_is_mended() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = SystemTime::now();
    let first = mount(secret.path(), "1");
    let mut life = Life::open(folder.path(), given(&first), TERMS, now).unwrap();
    let other = mount(tempfile::tempdir().unwrap().path(), "x");
    let before = fs::read(&first.0).unwrap();
    drop(other);
    for text in ["", "nonsense", &pem::certificate(b"nonsense")] {
        fs::write(&first.0, text).unwrap();
        let turned = turn(&mut life, now);
        assert!(turned.problem.is_some() && !turned.is_changed, "{text:?}");
        assert!(turn(&mut life, now).problem.is_some(), "and again: {text:?}");
    }
    let stranger = CertificateAuthority::create("another", now).unwrap().certificate_pem();
    fs::write(&first.0, stranger).unwrap();
    assert!(matches!(turn(&mut life, now).problem, Some(CaError::KeyMismatch)));
    assert_eq!(fingerprints(&life), [("signing", first.2.clone())]);
    fs::write(&first.0, before).unwrap();
    assert!(turn(&mut life, now).problem.is_none());

    mount(secret.path(), "2");
    let refused = life.turn(now, TERMS, true, |_| Err(CaError::TrustedUpstream), |_| Audience::new());
    assert!(matches!(refused.problem, Some(CaError::TrustedUpstream)) && !refused.is_changed);
    assert!(turn(&mut life, now).is_changed, "once nothing speaks against it");
}

#[test]
fn without_a_state_folder_the_overlap_is_kept_in_memory_and_said_to_be() {
    let secret = tempfile::tempdir().unwrap();
    let nowhere = secret.path().join("file");
    fs::write(&nowhere, "").unwrap();
    let now = SystemTime::now();
    let first = mount(secret.path(), "1");
    let mut life = Life::open(&nowhere, given(&first), TERMS, now).unwrap();
    assert!(life.unkept().is_some());
    let second = mount(secret.path(), "2");
    assert!(turn(&mut life, now).is_changed);
    assert_eq!(fingerprints(&life), [("signing", first.2.clone()), ("next", second.2.clone())]);
    assert!(turn(&mut life, seconds_on(now, 10)).is_changed);
    assert_eq!(fingerprints(&life), [("signing", second.2), ("past", first.2)]);
}

#[test]
fn replicas_that_share_an_operators_pair_keep_it_as_long_as_any_of_them_may_sign_with_it() {
    let (one, two, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = time(seconds(SystemTime::now()));
    let first = mount(secret.path(), "1");
    let mut one = Life::open(one.path(), given(&first), TERMS, now).unwrap();
    let mut two = Life::open(two.path(), given(&first), TERMS, now).unwrap();
    mount(secret.path(), "2");
    assert!(turn(&mut one, now).is_changed && turn(&mut two, seconds_on(now, 5)).is_changed);
    // The second waits for an agent that the first never met.
    let places = BTreeMap::from([("::1".parse().unwrap(), Heard { heard: seconds(now) + 5, seen: None })]);
    let waits = |_: &str| Audience::from([("x".into(), places.clone())]);
    for at in [20, 999, 1004] {
        one.turn(seconds_on(now, at), TERMS, true, |_| Ok(()), |_| Audience::new());
        two.turn(seconds_on(now, at), TERMS, true, |_| Ok(()), waits);
        let bundle: Vec<String> = one.anchors().iter().map(|(_, anchor)| anchor.id()).collect();
        assert!(bundle.contains(&two.signing().id()), "what one signs is in the bundle of the other");
        assert_eq!((one.phase(), two.phase()), (Phase::Trailing, Phase::Overlap), "{at}");
    }
    two.turn(seconds_on(now, 1005), TERMS, true, |_| Ok(()), waits);
    assert_eq!(two.signing().id(), one.signing().id());
    let until = |life: &Life| match life.anchors().last() {
        Some((Role::Past(until), _)) => *until,
        _ => panic!("it has been"),
    };
    assert!(until(&one) >= seconds_on(now, 1005) + WEEK, "the last leaf of the second is over by then");
    assert!(until(&two) >= until(&one));
}

#[test]
fn an_own_ca_follows_the_operators_and_the_other_way_round() {
    let (folder, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let now = SystemTime::now();
    let own = open(folder.path(), now).signing().id();
    let files = mount(secret.path(), "1");
    let mut life = Life::open(folder.path(), given(&files), TERMS, now).unwrap();
    assert_eq!(fingerprints(&life), [("signing", own), ("next", files.2.clone())]);
    while life.phase() == Phase::Overlap {
        turn(&mut life, seconds_on(now, 10));
    }
    let life = open(folder.path(), seconds_on(now, 20));
    assert_eq!((life.phase(), life.signing().id()), (Phase::Overlap, files.2));
}

#[test]
fn what_the_folder_says_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now();
    let mut life = open(folder.path(), now);
    life.rotate(&Subtrees::default(), TERMS, now).unwrap();
    let path = folder.path().join("ca/state.json");
    let good = fs::read_to_string(&path).unwrap();
    let before = fingerprints(&life);
    for bad in [
        "",
        "{}",
        &good.replace("\"version\":1", "\"version\":2"),
        &good.replace("\"id\":\"\"", "\"id\":\"../../etc\""),
    ] {
        assert_ne!(bad, good);
        fs::write(&path, bad).unwrap();
        assert!(matches!(Life::open(folder.path(), made(), TERMS, now), Err(CaError::State { .. })), "{bad}");
        let turned = turn(&mut life, now);
        assert!(turned.problem.is_some() && fingerprints(&life) == before, "a running one goes on");
    }
}

/// What a child of the test below does until it is killed.
#[test]
fn a_part_of_a_life() {
    let Ok(what) = std::env::var("STUBGATE_LIFE") else { return };
    let folder = PathBuf::from(std::env::var("STUBGATE_LIFE_FOLDER").unwrap());
    let born = time(std::env::var("STUBGATE_LIFE_BORN").unwrap().parse().unwrap());
    let secret = folder.join("secret");
    let files = (secret.join("tls.crt"), secret.join("tls.key"), String::new());
    LEFT.store(std::env::var("STUBGATE_LIFE_STEPS").unwrap().parse().unwrap(), Ordering::SeqCst);
    let state = folder.join("state");
    match what.as_str() {
        "rotate" => Life::look(&state, None).unwrap().rotate(&Subtrees::default(), TERMS, born).unwrap(),
        "promote" => assert!(turn(&mut open(&state, born), seconds_on(born, 10)).is_changed),
        "retire" => assert!(turn(&mut open(&state, born), seconds_on(born, 10) + WEEK).is_changed),
        "exchange" => drop(Life::open(&state, given(&files), TERMS, born).unwrap()),
        _ => panic!("{what}"),
    }
}

#[test]
fn killed_at_any_step_it_is_in_one_phase_or_the_next_and_goes_on_from_there() {
    for (what, before, after) in [
        ("rotate", Phase::Stable, Phase::Overlap),
        ("promote", Phase::Overlap, Phase::Trailing),
        ("retire", Phase::Trailing, Phase::Stable),
        ("exchange", Phase::Stable, Phase::Overlap),
    ] {
        let mut phases = Vec::new();
        for steps in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let (state, secret) = (folder.path().join("state"), folder.path().join("secret"));
            let born = time(seconds(SystemTime::now()));
            let mut files = mount(&secret, "1");
            let is_given = what == "exchange";
            if is_given {
                Life::open(&state, given(&files), TERMS, born).unwrap();
                files = mount(&secret, "2");
            } else {
                let mut life = open(&state, born);
                if what != "rotate" {
                    life.rotate(&Subtrees::default(), TERMS, born).unwrap();
                }
                if what == "retire" {
                    assert!(turn(&mut life, seconds_on(born, 10)).is_changed);
                }
                assert_eq!(life.phase(), before);
            }
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "life::tests::a_part_of_a_life"])
                .env("STUBGATE_LIFE", what)
                .env("STUBGATE_LIFE_FOLDER", folder.path())
                .env("STUBGATE_LIFE_BORN", seconds(born).to_string())
                .env("STUBGATE_LIFE_STEPS", steps.to_string())
                .output()
                .unwrap()
                .status;
            let origin = || if is_given { given(&files) } else { made() };
            let look = is_given.then(|| Given::read(&files.0, &files.1, None).unwrap());
            let seen = Life::look(&state, look).unwrap_or_else(|error| panic!("{what} {steps}: {error}"));
            if !is_given {
                assert!([before, after].contains(&seen.phase()), "{what} {steps}: {:?}", seen.phase());
                phases.push(seen.phase());
            }
            // The next process goes on, and leaves nothing of what the killed one left.
            let mut life =
                Life::open(&state, origin(), TERMS, born).unwrap_or_else(|error| panic!("{what} {steps}: {error}"));
            let anchors = life.anchors();
            let keys =
                names(&state.parent().unwrap().join("state")).iter().filter(|name| name.ends_with("key.pem")).count();
            let signers = anchors.iter().filter(|(role, _)| !matches!(role, Role::Past(_))).count();
            let drafts = names(&state).iter().filter(|name| name.starts_with('.')).count();
            assert_eq!((keys, drafts), (signers, 0), "{what} {steps}: {:?}", names(&state));
            if life.phase() == Phase::Stable && what != "retire" {
                life.rotate(&Subtrees::default(), TERMS, born).unwrap();
            }
            for later in [1001, 10_000] {
                while turn(&mut life, seconds_on(born, later) + WEEK * u32::from(later > 1001)).is_changed {}
            }
            assert_eq!(life.phase(), Phase::Stable, "{what} {steps}");
            assert_eq!(names(&state).len(), 3, "{what} {steps}: {:?}", names(&state));
            if status.success() {
                println!("{what}: killed at each of {steps} steps");
                assert!(steps >= 4, "{what} has {steps} steps");
                break;
            }
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(6), "{what} {steps}: {status}");
        }
        assert!(phases.is_sorted_by_key(|phase| *phase == after), "{what}: {phases:?}");
    }
}
