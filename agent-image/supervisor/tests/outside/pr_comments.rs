//! The hook of pull requests: wakes once for each thing that others wrote, and never holds the client up.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::github::{GitHub, Trouble, by, pull, review, thread};
use crate::home::{Home, Ran};

const HOOK: [&str; 2] = ["hook", "pr-comments"];

struct World {
    home: Home,
    github: GitHub,
}

impl World {
    fn new() -> World {
        let home = Home::new();
        let github = GitHub::open(&home.authority, "devbot");
        let world = World { home, github };
        world.configure("");
        world
    }

    fn configure(&self, more: &str) {
        let api = self.github.address();
        self.home.configure(&format!(
            "pr_comments: {{ repositories: [acme/site], api: \"{api}\", deadline_seconds: 5 }}\n{more}"
        ));
    }

    fn stop(&self) -> Ran {
        self.home.run_with(&HOOK, &input("Stop", false))
    }

    /// Stops with nothing to wake for.
    #[track_caller]
    fn rests(&self) {
        let ran = self.stop();
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", ""), "{ran:?}");
    }

    /// Stops, and is woken with this line.
    #[track_caller]
    fn wakes(&self, line: &str) {
        let ran = self.stop();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.lines().any(|has| has == line), "{ran:?}");
        // What the client takes where it does not rewake, on one line.
        let output: Value = serde_json::from_str(&ran.out).unwrap();
        let wanted = json!({ "hookEventName": "Stop", "additionalContext": ran.err.trim_end() });
        assert_eq!(output, json!({ "hookSpecificOutput": wanted }));
        self.rests();
    }
}

/// What the client of 2.1.329 writes, and the line end after it.
fn input(event: &str, is_active: bool) -> String {
    let input = json!({
        "session_id": "00000000-0000-4000-8000-000000000000", "transcript_path": "/home/agent/.claude/projects/x/y.jsonl",
        "cwd": "/workspace", "permission_mode": "bypassPermissions", "hook_event_name": event, "stop_hook_active": is_active,
        "last_assistant_message": "Done.", "background_tasks": [], "session_crons": [],
    });
    format!("{input}\n")
}

#[test]
fn the_first_look_wakes_nobody_and_each_new_thing_wakes_once() {
    let world = World::new();
    let first = by("ann", "c1");
    world.github.set(vec![pull(
        "acme/site",
        7,
        std::slice::from_ref(&first),
        &[],
        &[thread("t1", false, &[by("ann", "d1")])],
    )]);
    world.rests();
    world.rests();
    let two = [first.clone(), by("ann", "c2"), by("bob", "c3")];
    let open = thread("t1", false, &[by("ann", "d1")]);
    world.github.set(vec![pull("acme/site", 7, &two, &[], std::slice::from_ref(&open))]);
    world.wakes("- acme/site#7: 2 new comments");
    let answered = thread("t1", false, &[by("ann", "d1"), by("devbot", "d2"), by("ann", "d3")]);
    world.github.set(vec![pull("acme/site", 7, &two, &[], std::slice::from_ref(&answered))]);
    world.wakes("- acme/site#7: 1 unresolved review thread");
    let changes = [review("ann", "r1", "CHANGES_REQUESTED", 2), review("ann", "r2", "COMMENTED", 0)];
    world.github.set(vec![
        pull("acme/site", 7, &two, &changes, std::slice::from_ref(&answered)),
        pull("Acme/Site", 9, &[by("ann", "c9")], &[], &[]),
    ]);
    let ran = world.stop();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("acme/site#7: 2 new comments\n") && ran.err.contains("acme/site#9: 1 new comment\n"),
        "{ran:?}"
    );
}

#[test]
fn what_is_resolved_what_it_wrote_itself_and_what_is_elsewhere_does_not_count() {
    let world = World::new();
    world.github.set(vec![pull("acme/site", 7, &[], &[], &[])]);
    world.rests();
    world.github.set(vec![
        pull(
            "acme/site",
            7,
            &[by("devbot", "c1"), by("Devbot", "c2")],
            // Its threads count by themselves.
            &[review("ann", "r1", "COMMENTED", 3), review("devbot", "r2", "COMMENTED", 0)],
            &[thread("t1", true, &[by("ann", "d1")]), thread("t2", false, &[by("devbot", "d2")])],
        ),
        pull("acme/other", 1, &[by("ann", "c3")], &[], &[]),
        Value::Null,
    ]);
    world.rests();
    // Somebody opens the thread again; somebody who is no more writes.
    let ghost = json!({ "id": "c4", "author": null });
    world.github.set(vec![pull("acme/site", 7, &[ghost], &[], &[thread("t1", false, &[by("ann", "d1")])])]);
    world.wakes("- acme/site#7: 1 new comment, 1 unresolved review thread");
}

#[test]
fn a_turn_that_it_caused_itself_wakes_nobody_and_loses_nothing() {
    let world = World::new();
    world.github.set(vec![pull("acme/site", 7, &[], &[], &[])]);
    world.rests();
    world.github.asked();
    world.github.set(vec![pull("acme/site", 7, &[by("ann", "c1")], &[], &[])]);
    for quiet in [input("Stop", true), input("SubagentStop", false)] {
        let ran = world.home.run_with(&HOOK, &quiet);
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", ""));
    }
    assert_eq!(world.github.asked(), 0);
    world.wakes("- acme/site#7: 1 new comment");
}

#[test]
fn quiet_hours_put_it_off() {
    let world = World::new();
    world.github.set(vec![pull("acme/site", 7, &[], &[], &[])]);
    world.rests();
    world.github.set(vec![pull("acme/site", 7, &[by("ann", "c1")], &[], &[])]);
    world.github.asked();
    world.configure("quiet_hours: { window: \"00:00-24:00\" }\n");
    world.rests();
    world.configure("");
    let dnd = world.home.path().join(".claude/dnd.json");
    fs::create_dir_all(dnd.parent().unwrap()).unwrap();
    fs::write(&dnd, r#"{"active":true}"#).unwrap();
    world.rests();
    assert_eq!(world.github.asked(), 0);
    fs::write(&dnd, r#"{"active":false}"#).unwrap();
    world.wakes("- acme/site#7: 1 new comment");
}

#[test]
fn all_pages_are_read_and_no_more_than_ten() {
    let world = World::new();
    let pulls = |said: &str| {
        (1..=12).map(|number| pull("acme/site", number, &[by("ann", &format!("{said}{number}"))], &[], &[])).collect()
    };
    world.github.set(pulls("a"));
    world.github.pages_of(5);
    world.rests();
    assert_eq!(world.github.asked(), 3);
    world.github.set(pulls("b"));
    let ran = world.stop();
    assert_eq!(ran.err.lines().filter(|line| line.ends_with(": 1 new comment")).count(), 12, "{ran:?}");
    world.github.pages_of(1);
    world.github.asked();
    world.rests();
    assert_eq!(world.github.asked(), 10);
}

#[test]
fn whatever_goes_wrong_is_a_note_and_nothing_is_forgotten() {
    let world = World::new();
    world.github.set(vec![pull("acme/site", 7, &[], &[], &[])]);
    world.rests();
    world.github.set(vec![pull("acme/site", 7, &[by("ann", "c1")], &[], &[])]);
    let refused = r#"{"reason":"no_rule","hint":"ask for it"}"#;
    for (trouble, why) in [
        (Trouble::Status(502, vec![], "<html>"), "502 Bad Gateway"),
        (Trouble::Status(403, vec![], refused), "403 Forbidden: no_rule: ask for it"),
        (Trouble::Status(401, vec![], r#"{"message":"Bad credentials"}"#), "Bad credentials"),
        (Trouble::Status(200, vec![], "{}"), "can't be read"),
        (Trouble::Error("Something went wrong"), "Something went wrong"),
    ] {
        world.github.trouble(Some(trouble));
        let ran = world.stop();
        assert_eq!((ran.code, &*ran.out), (Some(0), ""), "{ran:?}");
        assert!(ran.err.starts_with("stubgate-agent hook pr-comments: ") && ran.err.contains(why), "{ran:?}");
    }
    world.github.trouble(None);
    for bad in ["not json", "[]", "{\"stop_hook_active\":1}"] {
        let ran = world.home.run_with(&HOOK, bad);
        assert!(ran.code == Some(0) && ran.out.is_empty() && !ran.err.is_empty(), "{ran:?}");
    }
    world.wakes("- acme/site#7: 1 new comment");
}

#[test]
fn it_ends_in_time_when_github_says_nothing() {
    let world = World::new();
    world.github.trouble(Some(Trouble::Silence));
    let began = Instant::now();
    let ran = world.stop();
    assert!(ran.code == Some(0) && ran.err.contains("within"), "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[test]
fn limits_of_github_are_kept() {
    let world = World::new();
    world.github.set(vec![pull("acme/site", 7, &[], &[], &[])]);
    world.github.remaining(99);
    world.rests();
    world.github.asked();
    world.rests();
    assert_eq!(world.github.asked(), 0, "what is left of the hour is the agent's");
    fs::remove_file(world.home.kept().join("pr-comments.json")).unwrap();
    world.github.remaining(4000);
    world.rests();
    world.github.trouble(Some(Trouble::Status(403, vec![("retry-after", "60".into())], r#"{"message":"slow down"}"#)));
    assert!(world.stop().err.contains("slow down"));
    world.github.trouble(None);
    world.github.set(vec![pull("acme/site", 7, &[by("ann", "c1")], &[], &[])]);
    world.github.asked();
    world.rests();
    assert_eq!(world.github.asked(), 0);
}

#[test]
fn without_repositories_or_with_a_file_that_is_wrong_it_rests() {
    let world = World::new();
    world.home.configure("{}\n");
    world.rests();
    world.home.configure("pr_comments: { repos: [acme/site] }\n");
    let ran = world.stop();
    assert!(ran.code == Some(0) && ran.err.contains("repos"), "{ran:?}");
    assert_eq!(world.github.asked(), 0);
}
