use super::*;

fn secret(text: &str) -> Arc<Secret> {
    Arc::new(Secret::new(Zeroizing::new(text.as_bytes().to_vec())).ok().unwrap())
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn login(life: Option<u64>) -> Login {
    Login {
        generation: 7,
        provider: "claude".into(),
        access: secret("access-token-7"),
        obtained: at(1_000_000),
        ends: life.map(|life| at(1_000_000 + life)),
        refresh: Some(secret("refresh-token-7")),
        refresh_ends: Some(at(3_000_000)),
        scopes: vec!["user:profile".into(), "user:inference".into()],
        attempt: Some(Attempt { id: [3; 16], started: at(1_000_500), unanswered_since: Some(at(1_000_400)) }),
        lost: Some(Lost { at: at(1_000_600), unanswered_since: None }),
    }
}

#[test]
fn what_is_written_is_read_back() {
    let mut bare = login(None);
    (bare.refresh, bare.refresh_ends, bare.attempt, bare.lost, bare.scopes) = (None, None, None, None, Vec::new());
    for given in [login(Some(3600)), bare] {
        let read = Login::decode(&given.encode()).unwrap();
        assert_eq!(*read.encode(), *given.encode());
        assert_eq!((read.generation, read.ends, read.attempt, read.lost), (7, given.ends, given.attempt, given.lost));
        assert_eq!(read.access.reveal(), given.access.reveal());
        assert_eq!(read.refresh_ends, given.refresh_ends);
    }
}

#[test]
fn a_state_of_the_first_layout_is_read_and_has_no_end_of_its_refresh_token() {
    let given = login(Some(3600));
    let now = given.encode();
    let token = b"refresh-token-7";
    let place = now.windows(token.len()).position(|part| part == token).unwrap() + token.len();
    // It had a text behind the time of an attempt, empty for SQLite.
    let attempt = now.windows(16).position(|part| part == [3; 16]).unwrap() + 16 + 8;
    let before = [&[1], &now[1..place], &now[place + 8..attempt], &[0; 8], &now[attempt..]].concat();
    let read = Login::decode(&before).unwrap();
    assert_eq!(
        (read.refresh_ends, read.ends, read.attempt, read.scopes),
        (None, given.ends, given.attempt, given.scopes)
    );
    assert!(Login::decode(&[&[3], &now[1..]].concat()).is_none());
}

#[test]
fn a_state_cut_short_or_longer_is_none() {
    let whole = login(Some(3600)).encode();
    for length in 0..whole.len() {
        assert!(Login::decode(whole.get(..length).unwrap()).is_none(), "{length}");
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert!(Login::decode(&longer).is_none());
}

#[test]
fn room_is_enough_so_that_no_copy_is_left_behind() {
    let login = login(Some(3600));
    assert!(login.encode().len() <= login.room());
}

#[test]
fn a_token_is_refreshed_a_fifth_of_its_life_ahead_and_at_least_five_minutes() {
    for (life, ahead) in [(8 * 3600, 5760), (3600, 720), (1200, 300), (600, 200), (20, 6)] {
        let due = login(Some(life)).due(0.0);
        let found = at(1_000_000 + life).duration_since(due).unwrap();
        assert_eq!(found.as_secs(), ahead, "of {life}");
        let early = login(Some(life)).due(1.0);
        assert_eq!(due.duration_since(early).unwrap().as_millis(), (found / 10).as_millis());
    }
    assert_eq!(login(None).due(0.0), at(1_000_000 + 3600 - 720));
    assert_eq!(login(Some(0)).due(1.0), at(1_000_000));
}

#[test]
fn a_pair_of_the_future_is_due_at_once() {
    let login = login(Some(3600));
    for (now, expected) in [(999_000, true), (999_699, true), (999_700, false), (1_000_000, false), (1_003_000, true)] {
        assert_eq!(login.is_due(0.0, at(now)), expected, "{now}");
    }
}

#[test]
fn a_token_is_good_until_a_request_could_arrive_with_an_ended_one() {
    for (life, margin) in [(20, 1000), (40, 2000), (8 * 3600, 2000), (1, 50), (0, 0)] {
        let login = login(Some(life));
        let last = login.ends.unwrap() - Duration::from_millis(margin);
        assert_eq!(login.sent_until(), Some(last), "of {life}");
        assert!(login.is_good(last - Duration::from_millis(1)), "of {life}");
        assert!(!login.is_good(last), "of {life}");
        assert!(login.is_due(0.0, last), "of {life}");
    }
    assert!(login(None).is_good(at(9_000_000)));
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0u8.., 0..400)) {
        let _ = Login::decode(&bytes);
    }
}

#[test]
fn a_refresh_token_that_stays_keeps_its_end_and_another_one_has_its_own() {
    let tokens = |refresh: Option<&str>, refresh_life: Option<u64>| crate::escrow::exchange::Tokens {
        access: secret("access-token-8"),
        refresh: refresh.map(secret),
        life: None,
        refresh_life: refresh_life.map(Duration::from_secs),
        scopes: None,
    };
    let before = login(None);
    for (refresh, life, expected) in [
        (None, None, Some(at(3_000_000))),
        (Some("refresh-token-7"), None, Some(at(3_000_000))),
        (Some("refresh-token-8"), None, None),
        (Some("refresh-token-8"), Some(500), Some(at(2_000_500))),
        (None, Some(500), Some(at(2_000_500))),
    ] {
        let next = before.next(tokens(refresh, life), at(2_000_000));
        assert_eq!(next.refresh_ends, expected, "{refresh:?} {life:?}");
    }
}
