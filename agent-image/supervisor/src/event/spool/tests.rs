use std::collections::BTreeMap;

use super::*;

fn spool(folder: &Path) -> Spool {
    Spool { folder: folder.join("spool"), most_events: 5, most_bytes: 4096 }
}

fn message(task: &str) -> Message {
    let fields = BTreeMap::from([("task".into(), task.into()), ("summary".into(), "x".into())]);
    Message::new("devbot", "task_done", fields, Some(task), Timestamp::UNIX_EPOCH).unwrap()
}

fn ids(entries: &[Entry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.id.as_str()).collect()
}

#[test]
fn events_come_out_in_the_order_in_which_they_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    assert!(spool.waiting().unwrap().is_empty());
    for id in ["c", "a-b", "b"] {
        assert!(spool.add(&message(id)).unwrap());
    }
    assert!(!spool.add(&message("a-b")).unwrap(), "waits already");
    let waiting = spool.waiting().unwrap();
    assert_eq!(ids(&waiting), ["c", "a-b", "b"]);
    let kept = spool.read(&waiting[1]).unwrap().unwrap();
    assert_eq!((kept.kind.as_str(), kept.event.get()), ("task_done", message("a-b").json()));
    spool.remove(&waiting[1]).unwrap();
    spool.remove(&waiting[1]).unwrap();
    assert!(spool.read(&waiting[1]).unwrap().is_none());
    assert_eq!(ids(&spool.waiting().unwrap()), ["c", "b"]);
}

#[test]
fn a_full_spool_takes_nothing_and_keeps_all() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    for id in ["a", "b", "c", "d", "e"] {
        spool.add(&message(id)).unwrap();
    }
    spool.put_aside(&spool.waiting().unwrap()[0]).unwrap();
    let error = spool.add(&message("f")).unwrap_err().to_string();
    assert!(error.contains("5 events of 5") && error.contains("1 of them put aside"), "{error}");
    assert_eq!(ids(&spool.waiting().unwrap()), ["b", "c", "d", "e"]);
    let small = Spool { most_bytes: spool.bytes().unwrap() + 10, most_events: 100, ..spool };
    assert!(matches!(small.add(&message("g")), Err(Full::Full { .. })));
}

#[test]
fn what_was_put_aside_comes_back_at_the_end_with_its_refusals_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    for id in ["a", "b"] {
        spool.add(&message(id)).unwrap();
    }
    let first = spool.waiting().unwrap().remove(0);
    let mut kept = spool.read(&first).unwrap().unwrap();
    kept.refused = 7;
    kept.why = Some("no".into());
    spool.refused(&first, &kept).unwrap();
    assert_eq!(spool.read(&first).unwrap().unwrap().refused, 7);
    spool.put_aside(&first).unwrap();
    assert_eq!(spool.read_aside(&first).unwrap().unwrap().why.as_deref(), Some("no"));
    assert_eq!(spool.take_back().unwrap(), 1);
    let waiting = spool.waiting().unwrap();
    assert_eq!(ids(&waiting), ["b", "a"]);
    assert_eq!(spool.read(&waiting[1]).unwrap().unwrap().refused, 0);
    assert!(spool.drop_event("a").unwrap());
    assert!(!spool.drop_event("a").unwrap());
}

#[test]
fn halves_of_files_are_no_events_and_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    spool.add(&message("a")).unwrap();
    let half = spool.folder.join(".00000000000000000002-b.json.4711.new");
    fs::write(&half, "{\"kind\":").unwrap();
    assert_eq!(ids(&spool.waiting().unwrap()), ["a"]);
    spool.add(&message("c")).unwrap();
    assert!(!half.exists());
    fs::write(spool.folder.join("00000000000000000009-d.json"), "{\"kind\":").unwrap();
    let last = spool.waiting().unwrap().pop().unwrap();
    assert!(spool.read(&last).is_err());
}

#[test]
fn what_somebody_else_put_there_is_not_all_taken_in() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    spool.add(&message("a")).unwrap();
    for number in 2..200 {
        File::create(spool.folder.join(format!("{number:020}-x.json"))).unwrap();
    }
    let waiting = spool.waiting().unwrap();
    assert_eq!((waiting.len(), waiting[0].id.as_str()), (5, "a"));
    assert!(matches!(spool.add(&message("b")), Err(Full::Full { .. })));
}

#[test]
fn a_name_that_holds_no_id_is_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    spool.add(&message("a")).unwrap();
    for id in ["x\r\nNats-Rollup: all", "\u{1b}[2J", "", "a b"] {
        File::create(spool.folder.join(format!("{:020}-{id}.json", 1))).unwrap();
    }
    assert_eq!(ids(&spool.waiting().unwrap()), ["a"]);
}

#[test]
fn only_one_sends() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(folder.path());
    let lock = spool.sending().unwrap();
    assert!(lock.is_some());
    assert!(spool.sending().unwrap().is_none());
    drop(lock);
    assert!(spool.sending().unwrap().is_some());
}

#[test]
fn many_at_once_add_each_event_once() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool { most_events: 100, most_bytes: 1 << 20, ..spool(folder.path()) };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..10 {
                    spool.add(&message(&format!("e{number}"))).unwrap();
                }
            });
        }
    });
    let waiting = spool.waiting().unwrap();
    assert_eq!(waiting.len(), 10);
    let numbers: std::collections::BTreeSet<u64> = waiting.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers.len(), 10);
}
