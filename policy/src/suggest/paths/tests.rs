//! Patterns of paths, and their bounds.

use super::*;

fn patterns(paths: &[&str]) -> Vec<String> {
    patterns_of(true, paths)
}

fn patterns_of(words: bool, paths: &[&str]) -> Vec<String> {
    let mut all = Paths::new(words);
    for path in paths {
        all.add(path, "2026-11-20T00:00:00.000000Z", &mut 0).unwrap();
    }
    all.patterns().keys().map(ToString::to_string).collect()
}

#[test]
fn segments_that_vary_become_stars_and_nothing_else_does() {
    let uuid = ["/u/0e2b7c1a-0c58-4a71-9d3e-0123456789ab", "/u/1e2b7c1a-0c58-4a71-9d3e-0123456789ab"];
    for (paths, expected) in [
        (&["/a"][..], &["/a"][..]),
        (&["/repos/acme/site/issues/7"], &["/repos/acme/site/issues/7"]),
        (&["/repos/acme/site/issues/7", "/repos/acme/site/issues/8"], &["/repos/acme/site/issues/*"]),
        (&["/o/1/i/10", "/o/2/i/11"], &["/o/1/i/10", "/o/2/i/11"]),
        (&["/o/1/i/10", "/o/1/i/11"], &["/o/1/i/*"]),
        (&["/o/1/x", "/o/2/y"], &["/o/1/x", "/o/2/y"]),
        (&["/c/3f2a91b", "/c/0a1b2c3d4e"], &["/c/*"]),
        (&uuid, &["/u/*"]),
        (&["/i/1", "/i/2", "/i/new"], &["/i/*"]),
        (&["/i/1", "/i/2", "/i/"], &["/i/", "/i/*"]),
        (&["/i/1", "/i/2", "/i/a%2Fb"], &["/i/*", "/i/a%2Fb"]),
        (&["/d/a", "/d/b", "/d/c"], &["/d/a", "/d/b", "/d/c"]),
        (&["/d/a", "/d/b", "/d/c", "/d/d", "/d/e", "/d/f", "/d/g", "/d/h"], &["/d/*"]),
        (
            &["/d/a", "/d/b", "/d/c", "/d/d", "/d/e", "/d/f", "/d/g", "/d/h/x"],
            &["/d/a", "/d/b", "/d/c", "/d/d", "/d/e", "/d/f", "/d/g", "/d/h/x"],
        ),
    ] {
        assert_eq!(patterns(paths), expected, "{paths:?}");
    }
}

#[test]
fn a_second_star_takes_three_values_with_the_rest_the_same() {
    let of = |orgs: &[u8], items: &[u8]| {
        let paths: Vec<String> =
            orgs.iter().flat_map(|org| items.iter().map(move |item| format!("/o/{org}/i/{item}"))).collect();
        patterns(&paths.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert_eq!(of(&[1, 2], &[10, 11]), ["/o/1/i/*", "/o/2/i/*"]);
    assert_eq!(of(&[1, 2, 3], &[10]), ["/o/*/i/10"]);
    assert_eq!(of(&[1, 2, 3], &[10, 11]), ["/o/*/i/*"]);
    let push = ["/r/1111111/2222222/git-receive-pack", "/r/3333333/4444444/git-receive-pack"];
    assert_eq!(patterns(&push), push);
}

#[test]
fn the_first_segment_never_becomes_a_star() {
    let push = ["/1111111/2222222/git-receive-pack", "/3333333/4444444/git-receive-pack"];
    assert_eq!(patterns(&push), push);
    assert_eq!(patterns(&["/1", "/2", "/3"]), ["/1", "/2", "/3"]);
    let words: Vec<String> = ('a'..='z').map(|word| format!("/{word}")).collect();
    assert_eq!(patterns(&words.iter().map(String::as_str).collect::<Vec<_>>()), words);
}

#[test]
fn words_become_stars_only_where_they_may() {
    let words: Vec<String> = ('a'..='z').map(|word| format!("/d/{word}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(patterns_of(true, &words), ["/d/*"]);
    assert_eq!(patterns_of(false, &words), words);
    assert_eq!(patterns_of(false, &["/i/1", "/i/2", "/j/x"]), ["/i/*", "/j/x"]);
}

#[test]
fn what_a_star_was_is_kept_as_far_as_there_is_room() {
    let mut all = Paths::new(true);
    for number in 0..20 {
        all.add(&format!("/o/1/i/{number}"), "", &mut 0).unwrap();
    }
    let patterns = all.patterns();
    let values = &patterns["/o/1/i/*"].stars[&3];
    assert_eq!((values.some.len(), values.more), (EXAMPLES, true));
    assert!(values.some.contains("0"));
}

#[test]
fn long_paths_are_not_read_and_many_segments_take_no_time() {
    let add = |path: &str| Paths::new(true).add(path, "", &mut 0).err();
    assert_eq!(add(&"/x".repeat(MOST_SEGMENTS)), None);
    assert_eq!(add(&"/x".repeat(MOST_SEGMENTS + 1)), Some(Because::LONG_PATH));
    assert_eq!(add(&format!("/{}", "x".repeat(LONGEST - 1))), None);
    assert_eq!(add(&format!("/{}", "x".repeat(LONGEST))), Some(Because::LONG_PATH));
    let mut all = Paths::new(true);
    let mut kept = 0;
    for number in 0..2 * MOST {
        let path = format!("{}/{}{}", "/y".repeat(number % 60), number % 7, "/z".repeat(61 - number % 60));
        let _ = all.add(&format!("{path}/{number}"), "", &mut kept);
    }
    assert!(all.seen.len() <= MOST && all.bytes <= MOST_BYTES && kept <= MOST_BYTES);
    let began = std::time::Instant::now();
    let patterns = all.patterns();
    assert!(!patterns.is_empty() && began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

#[test]
fn the_room_of_an_agent_is_counted_in_bytes() {
    let mut kept = 0;
    let long = "x".repeat(LONGEST - 10);
    let mut places: Vec<Paths> = (0..8).map(|_| Paths::new(false)).collect();
    let mut left = 0;
    for number in 0..1_000 {
        for place in &mut places {
            left += usize::from(place.add(&format!("/{number}/{long}"), "", &mut kept).is_err());
        }
    }
    assert!(left > 0 && kept <= MOST_OF_AGENT);
    assert_eq!(kept, places.iter().map(|place| place.bytes).sum::<usize>());
}

#[test]
fn what_looks_like_an_id() {
    for id in ["7", "123456", "3f2a91b", "0e2b7c1a-0c58-4a71-9d3e-0123456789ab", "msg01AbCdEf9876543210"] {
        assert!(is_id(id), "{id}");
    }
    for word in ["", "v1", "issues", "deadbeef", "1.2.3", "my-great-project-of-2024", "0e2b7c1a-0c58"] {
        assert!(!is_id(word), "{word}");
    }
}

#[test]
fn a_flood_of_paths_stays_bounded() {
    let mut all = Paths::new(true);
    let mut kept = 0;
    for number in 0..3 * MOST {
        let _ = all.add(&format!("/x/{number}"), "2026-11-20T00:00:00Z", &mut kept);
    }
    assert!(all.seen.len() <= MOST && kept <= MOST_BYTES, "{kept}");
    let patterns = all.patterns();
    let (pattern, seen) = patterns.first_key_value().unwrap();
    assert_eq!((&**pattern, seen.sighting.count), ("/x/*", 3 * MOST as u64));
    assert_eq!(seen.stars[&1].some.len(), EXAMPLES);
    let mut all = Paths::new(true);
    let refused =
        (0..3 * MOST).filter(|n| all.add(&format!("/{}", "x/".repeat(*n % 5 + n / 5 % 900)), "", &mut kept).is_err());
    let _ = refused.count();
    assert!(all.seen.len() <= MOST);
}
