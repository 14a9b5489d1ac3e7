use std::collections::HashMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;

/// A directory whose time stands still until it is moved.
fn directory(bound: u64) -> (Directory, Arc<Mutex<Instant>>) {
    let time = Arc::new(Mutex::new(Instant::now()));
    let clock = Arc::clone(&time);
    (Directory::new(1, Duration::from_secs(bound), Arc::new(move || *clock.lock().unwrap())), time)
}

fn pod(uid: u32, addresses: &[u8]) -> Sighting {
    let addresses = addresses.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect();
    let labels = [("app".into(), format!("a{}", uid % 3).into()), ("other".into(), "x".into())].into();
    Sighting { uid: uid.to_string().into(), namespace: "n".into(), labels, addresses, ..Sighting::default() }
}

fn pod_at(directory: &Directory, address: IpAddr) -> Option<Arc<PodEntry>> {
    match directory.at(address) {
        At::Pod(entry) => Some(entry),
        At::Nobody | At::Contested | At::Stale(_) => None,
    }
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

#[test]
fn a_pod_is_at_its_addresses_until_it_goes_and_its_number_is_never_given_again() {
    let (directory, _) = directory(60);
    directory.replace_all(&[pod(1, &[1, 2])]);
    let first = pod_at(&directory, ip(1)).unwrap();
    assert_eq!(pod_at(&directory, ip(2)).unwrap(), first);
    assert_eq!(pod_at(&directory, "::ffff:10.0.0.1".parse().unwrap()).unwrap(), first);
    directory.forget("1");
    assert_eq!(directory.at(ip(1)), At::Nobody);
    directory.see(0, &pod(1, &[1, 2]));
    assert!(pod_at(&directory, ip(1)).unwrap().number > first.number);
}

#[test]
fn a_pod_that_changes_its_address_is_another_stay_and_one_that_changes_its_labels_is_not() {
    let (directory, _) = directory(60);
    directory.keep_labels(&["app".into()]);
    directory.replace_all(&[pod(1, &[1])]);
    let first = pod_at(&directory, ip(1)).unwrap();
    assert_eq!(&*first.labels, &[("app".into(), "a1".into())]);
    let mut relabelled = pod(1, &[1]);
    relabelled.labels.insert("app".into(), "b".into());
    directory.see(0, &relabelled);
    let second = pod_at(&directory, ip(1)).unwrap();
    assert_eq!((second.number, &*second.labels[0].1), (first.number, "b"));
    directory.see(0, &pod(1, &[2]));
    assert_eq!(directory.at(ip(1)), At::Nobody);
    assert_ne!(pod_at(&directory, ip(2)).unwrap().number, first.number);
}

#[test]
fn an_address_of_two_pods_is_nobodys_until_one_of_them_goes() {
    let (directory, _) = directory(60);
    directory.replace_all(&[pod(1, &[1])]);
    let first = pod_at(&directory, ip(1)).unwrap();
    directory.see(0, &pod(2, &[1]));
    assert_eq!(directory.at(ip(1)), At::Contested);
    assert_eq!(directory.contested(), 1);
    directory.forget("2");
    assert_eq!(pod_at(&directory, ip(1)).unwrap(), first);
}

#[test]
fn what_was_true_too_long_ago_is_not_told() {
    let (directory, time) = directory(60);
    assert_eq!((directory.age(), directory.is_fresh()), (None, false));
    directory.replace_all(&[pod(1, &[1])]);
    *time.lock().unwrap() += Duration::from_secs(60);
    assert!(pod_at(&directory, ip(1)).is_some());
    *time.lock().unwrap() += Duration::from_millis(1);
    assert!(matches!(directory.at(ip(1)), At::Stale(_)));
    assert_eq!(directory.at(ip(2)), At::Nobody);
    directory.surely_true(0, *time.lock().unwrap());
    assert!(pod_at(&directory, ip(1)).is_some());
}

#[test]
fn all_parts_must_be_known_for_any_to_be_told() {
    let time = Instant::now();
    let directory = Directory::new(2, Duration::from_secs(60), Arc::new(move || time));
    let keys = Keys::default();
    directory.replace(0, &[pod(1, &[1])], &keys, time);
    assert!(matches!(directory.at(ip(1)), At::Stale(_)));
    directory.replace(1, &[pod(2, &[2])], &keys, time);
    assert!(pod_at(&directory, ip(1)).is_some() && pod_at(&directory, ip(2)).is_some());
    directory.replace(1, &[], &keys, time);
    assert!(pod_at(&directory, ip(1)).is_some(), "a list of one part says nothing of another");
    assert_eq!(directory.at(ip(2)), At::Nobody);
}

#[test]
fn labels_are_known_once_pods_were_listed_with_them() {
    let (directory, _) = directory(60);
    let keys: [Box<str>; 1] = ["app".into()];
    directory.replace_all(&[]);
    assert!(directory.knows_labels(&[]) && !directory.knows_labels(&keys));
    directory.keep_labels(&keys);
    assert!(!directory.knows_labels(&keys));
    directory.replace_all(&[]);
    assert!(directory.knows_labels(&keys));
}

#[test]
fn nothing_is_held_of_labels_and_namespaces_that_pods_no_longer_have() {
    let (directory, _) = directory(60);
    directory.keep_labels(&["app".into()]);
    let most = 4 + 256 + 3;
    for round in 0..10_000 {
        let mut relabelled = pod(1, &[1]);
        relabelled.labels.insert("app".into(), round.to_string().into());
        directory.see(0, &relabelled);
        assert!(directory.writer().interned() <= most, "{round} labels: {}", directory.writer().interned());
    }
    directory.forget("1");
    for round in 0..10_000 {
        let own = Sighting { namespace: format!("n{round}").into(), ..pod(2, &[2]) };
        directory.see(0, &own);
        directory.forget("2");
        assert!(directory.writer().interned() <= most, "{round} namespaces: {}", directory.writer().interned());
    }
}

#[test]
fn nodes_are_those_of_the_latest_lists_and_events_since_and_have_a_bound() {
    let time = Instant::now();
    let directory = Directory::new(2, Duration::from_secs(60), Arc::new(move || time));
    let keys = Keys::default();
    let on = |nodes: Vec<IpAddr>| Sighting { nodes, ..pod(1, &[1]) };
    directory.replace(0, &[on(vec![ip(200)])], &keys, time);
    directory.replace(1, &[on(vec![ip(201)])], &keys, time);
    directory.see(0, &on(vec![ip(202)]));
    assert!([200, 201, 202].iter().all(|last| directory.is_node(ip(*last))));
    directory.replace(0, &[on(vec![ip(203)])], &keys, time);
    let known: Vec<bool> = [200, 201, 202, 203].iter().map(|last| directory.is_node(ip(*last))).collect();
    assert_eq!(known, [false, true, false, true], "a list says nothing of the nodes of another part");
    let many = (0..100_000_u32).map(|at| IpAddr::from(at.to_be_bytes())).collect();
    directory.see(1, &on(many));
    assert_eq!(directory.nodes[1].load().len(), MOST_NODES);
}

#[test]
fn each_part_has_its_own_problem() {
    let time = Instant::now();
    let directory = Directory::new(5, Duration::from_secs(60), Arc::new(move || time));
    let problem = || directory.problem().map(|text| text.to_string());
    assert_eq!(problem(), None);
    directory.set_problem(3, Some("d".into()));
    assert_eq!(problem().as_deref(), Some("d"));
    directory.set_problem(0, Some("a".into()));
    directory.set_problem(0, None);
    assert_eq!(problem().as_deref(), Some("d"));
    (0..5).for_each(|part| directory.set_problem(part, Some(part.to_string())));
    assert_eq!(problem().as_deref(), Some("0; 1; 2; and 2 more"));
}

#[tokio::test]
async fn whoever_hears_of_a_list_finds_it_fresh() {
    let (directory, time) = directory(60);
    directory.replace_all(&[pod(1, &[1])]);
    let heard = || tokio::time::timeout(Duration::ZERO, directory.changed());
    heard().await.unwrap();
    *time.lock().unwrap() += Duration::from_secs(61);
    directory.replace_all(&[pod(1, &[1])]);
    heard().await.unwrap();
    assert!(directory.is_fresh());
}

#[derive(Clone, Debug)]
enum Step {
    See(u32, Vec<u8>),
    Forget(u32),
    List(Vec<(u32, u8)>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let addresses = || proptest::collection::btree_set(0..6_u8, 0..3).prop_map(|set| set.into_iter().collect());
    let step = prop_oneof![
        6 => (0..8_u32, addresses()).prop_map(|(uid, addresses)| Step::See(uid, addresses)),
        2 => (0..8_u32).prop_map(Step::Forget),
        1 => proptest::collection::btree_map(0..8_u32, 0..6_u8, 0..5).prop_map(|map| Step::List(map.into_iter().collect())),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn what_is_shown_is_what_a_simple_model_says(steps in steps()) {
        let (directory, _) = directory(60);
        directory.replace_all(&[]);
        let mut model: HashMap<u32, Vec<u8>> = HashMap::new();
        // Every number ever seen, and whose stay it was.
        let mut numbers: HashMap<u64, (u32, Vec<u8>, usize)> = HashMap::new();
        let mut stays: HashMap<u32, usize> = HashMap::new();
        for step in steps {
            let before = model.clone();
            match step {
                Step::See(uid, addresses) => {
                    directory.see(0, &pod(uid, &addresses));
                    model.remove(&uid);
                    if !addresses.is_empty() {
                        model.insert(uid, addresses);
                    }
                }
                Step::Forget(uid) => {
                    directory.forget(&uid.to_string());
                    model.remove(&uid);
                }
                Step::List(pods) => {
                    let all: Vec<_> = pods.iter().map(|(uid, address)| pod(*uid, &[*address])).collect();
                    directory.replace_all(&all);
                    model = pods.into_iter().map(|(uid, address)| (uid, vec![address])).collect();
                }
            }
            for (uid, addresses) in &before {
                if model.get(uid) != Some(addresses) {
                    *stays.entry(*uid).or_default() += 1;
                }
            }
            for last in 0..6 {
                let holders: Vec<u32> = model.iter().filter(|(_, all)| all.contains(&last)).map(|(uid, _)| *uid).collect();
                match (directory.at(ip(last)), holders.as_slice()) {
                    (At::Nobody, []) | (At::Contested, [_, _, ..]) => {}
                    (At::Pod(entry), [uid]) => {
                        let stay = (*uid, model[uid].clone(), stays.get(uid).copied().unwrap_or_default());
                        let known = numbers.entry(entry.number).or_insert_with(|| stay.clone());
                        prop_assert_eq!(known, &stay);
                    }
                    (at, holders) => prop_assert!(false, "{:?} for {:?}", at, holders),
                }
            }
            prop_assert_eq!(directory.pods(), model.len());
        }
    }
}
