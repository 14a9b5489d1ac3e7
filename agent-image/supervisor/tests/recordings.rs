//! What is pressed, and what is reported, where real clients printed what stands in `recordings/`.
#![allow(clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use stubgate_agent::screen::Screen;
use stubgate_agent::screen::dialog::{Guard, Table, Verdict};

const DOWN: &str = "\x1b[B";
const ENTER: &str = "\r";

/// A recording: its client's version, its size, and what was written when (in seconds).
struct Recording {
    version: String,
    rows: u16,
    columns: u16,
    events: Vec<(f64, String, String)>,
}

/// What came of it, each once: names and keys that were pressed, and texts that were reported.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    pressed: Vec<(String, String)>,
    blocked: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

fn read(name: &str) -> Recording {
    let text = fs::read_to_string(folder().join(format!("{name}.cast"))).expect("a recording");
    let mut lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let header = lines.next().expect("a header");
    let number = |name: &str| u16::try_from(header[name].as_u64().expect("a number")).expect("small");
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let events = lines.map(|event| (event[0].as_f64().expect("a time"), text(&event[1]), text(&event[2]))).collect();
    Recording { version: text(&header["client"]), rows: number("height"), columns: number("width"), events }
}

/// Every recording of a scene, or of all.
fn names() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let names = entries.filter_map(|name| Some(name.to_str()?.strip_suffix(".cast")?.to_owned()));
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

fn guard(version: &str) -> Guard {
    Guard::new(Table::built_in(), version).in_folder(Path::new("/srv/workspace"), Path::new("/srv/workspace/site"))
}

impl Outcome {
    fn take(&mut self, verdict: Option<Verdict>) {
        match verdict {
            Some(Verdict::Press { dialog, keys }) => {
                self.pressed.push((dialog, String::from_utf8(keys).expect("keys")));
            }
            Some(Verdict::Blocked { text }) if self.blocked.last() != Some(&text) => self.blocked.push(text),
            Some(Verdict::Blocked { .. }) | None => {}
        }
    }
}

/// Looks as `run` does: when it is quiet, and some times more while it is.
fn replay(name: &str, chunk: usize) -> Outcome {
    let recording = read(name);
    let mut screen = Screen::new(recording.rows, recording.columns);
    let mut guard = guard(&recording.version);
    let mut outcome = Outcome::default();
    for (at, (time, kind, text)) in recording.events.iter().enumerate() {
        if kind == "o" {
            text.as_bytes().chunks(chunk).for_each(|piece| screen.feed(piece));
        }
        let next = recording.events.get(at + 1).map_or(f64::INFINITY, |next| next.0);
        if kind == "o" && next - time > 0.6 {
            (0..4).for_each(|_| outcome.take(guard.look(&screen)));
        }
    }
    outcome
}

fn pressed(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, keys)| ((*name).to_owned(), (*keys).to_owned())).collect()
}

#[test]
fn each_known_dialog_is_answered_once_with_the_keys_that_its_client_needs() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("2.1.154-trust", &[("trust", ENTER)]),
        ("2.1.329-trust", &[("trust", DOWN), ("trust", ENTER)]),
        ("2.1.154-trust-narrow", &[("trust", ENTER)]),
        ("2.1.329-trust-narrow", &[("trust", DOWN)]),
        ("2.1.154-bypass", &[("bypass-permissions", DOWN), ("bypass-permissions", ENTER)]),
        ("2.1.329-bypass", &[("bypass-permissions", DOWN), ("bypass-permissions", ENTER)]),
        ("2.1.154-bypass-narrow", &[("bypass-permissions", DOWN)]),
        ("2.1.329-bypass-narrow", &[("bypass-permissions", DOWN)]),
        ("2.1.154-api-key", &[("api-key", ENTER)]),
        ("2.1.329-api-key", &[("api-key", ENTER)]),
        ("2.1.154-resume", &[("resume", DOWN), ("resume", ENTER)]),
        ("2.1.329-resume", &[]),
        (
            "2.1.329-first-run",
            &[
                ("theme", DOWN),
                ("theme", ENTER),
                ("security-notes", ENTER),
                ("trust", DOWN),
                ("trust", ENTER),
                ("bypass-permissions", DOWN),
                ("bypass-permissions", ENTER),
            ],
        ),
    ];
    for (name, keys) in cases {
        for chunk in [1, 7, 64, usize::MAX] {
            let outcome = replay(name, chunk);
            assert_eq!(outcome, Outcome { pressed: pressed(keys), blocked: Vec::new() }, "{name} in pieces of {chunk}");
        }
    }
}

#[test]
fn what_the_table_does_not_have_is_reported_and_not_answered() {
    let cases: &[(&str, &str)] = &[
        ("channels", "I am using this for local development"),
        ("settings-error", "Fix with Claude"),
        ("trust-odd-name", "Accessing workspace:"),
        ("fake-in-question", "Chat about this"),
        ("picker", "Select model"),
    ];
    for version in ["2.1.154", "2.1.329"] {
        for (scene, words) in cases {
            for chunk in [1, 64, usize::MAX] {
                let outcome = replay(&format!("{version}-{scene}"), chunk);
                assert_eq!(outcome.pressed, [], "{version}-{scene}");
                let last = outcome.blocked.last().expect("it is reported");
                assert!(last.contains(words), "{version}-{scene}: {last}");
                assert!(!last.contains('\x1b'));
            }
        }
    }
    let outcome = replay("2.1.154-first-run", usize::MAX);
    assert_eq!(outcome.pressed, pressed(&[("theme", ENTER)]));
    assert!(outcome.blocked.last().expect("a login").contains("Select login method:"));
    assert!(replay("2.1.154-permission", 64).blocked.last().expect("a question").contains("Do you want to proceed?"));
}

#[test]
fn words_of_dialogs_in_a_session_press_nothing_and_block_nothing() {
    for name in names() {
        let is_session = ["turns", "failing", "fake-in-answer", "fake-in-tool", "fake-in-input", "login"];
        if !is_session.iter().any(|scene| name.contains(scene)) && name != "2.1.329-permission" {
            continue;
        }
        for chunk in [1, 7, 64, usize::MAX] {
            assert_eq!(replay(&name, chunk), Outcome::default(), "{name} in pieces of {chunk}");
        }
    }
}

#[test]
fn nothing_is_pressed_at_a_moment_that_was_not_one_of_a_dialog() {
    // Looks after each small piece, as if it were quiet there: a screen half drawn.
    for name in names() {
        let recording = read(&name);
        let (mut screen, mut guard) = (Screen::new(recording.rows, recording.columns), guard(&recording.version));
        let mut outcome = Outcome::default();
        for (_, kind, text) in &recording.events {
            if kind == "o" {
                for piece in text.as_bytes().chunks(16) {
                    screen.feed(piece);
                    (0..2).for_each(|_| outcome.take(guard.look(&screen)));
                }
            }
        }
        let quiet = replay(&name, usize::MAX);
        assert!(outcome.pressed.iter().all(|pair| quiet.pressed.contains(pair)), "{name}: {:?}", outcome.pressed);
        assert!(outcome.pressed.len() <= quiet.pressed.len(), "{name}");
    }
}

#[test]
fn the_highlighted_option_is_where_the_marker_is_now() {
    for version in ["2.1.154", "2.1.329"] {
        let recording = read(&format!("{version}-bypass-moved"));
        let mut screen = Screen::new(recording.rows, recording.columns);
        recording.events.iter().filter(|event| event.1 == "o").for_each(|event| screen.feed(event.2.as_bytes()));
        let mut guard = guard(version);
        assert_eq!(guard.look(&screen), None, "it must stand for two looks");
        let keys = ENTER.as_bytes().to_vec();
        assert_eq!(guard.look(&screen), Some(Verdict::Press { dialog: "bypass-permissions".into(), keys }));
    }
}

/// The screen of a recording at its first keys, or at its end, and a guard for it.
fn first(name: &str) -> (Screen, Recording) {
    let recording = read(name);
    let mut screen = Screen::new(recording.rows, recording.columns);
    let first = recording.events.iter().take_while(|event| event.1 == "o");
    first.for_each(|event| screen.feed(event.2.as_bytes()));
    (screen, recording)
}

fn looks(guard: &mut Guard, screen: &Screen, times: usize) -> Outcome {
    let mut outcome = Outcome::default();
    (0..times).for_each(|_| outcome.take(guard.look(screen)));
    outcome
}

#[test]
fn a_dialog_that_stays_is_reported_and_one_of_the_next_start_is_answered_again() {
    let (screen, recording) = first("2.1.329-bypass");
    let mut guard = guard(&recording.version);
    let outcome = looks(&mut guard, &screen, 20);
    assert_eq!(outcome.pressed.len(), 1);
    assert!(outcome.blocked.last().expect("it stays").contains("Bypass Permissions mode"));
    guard.restarted();
    assert_eq!(looks(&mut guard, &screen, 3).pressed.len(), 1);
}

#[test]
fn nothing_is_pressed_for_a_client_that_the_table_does_not_know() {
    let (screen, _) = first("2.1.329-bypass");
    for version in ["", "2.1", "2.1.20", "2.2.0", "3.0.0", "2.1.329-beta", "latest"] {
        let outcome = looks(&mut guard(version), &screen, 4);
        assert_eq!((outcome.pressed.len(), outcome.blocked.len()), (0, 1), "{version}");
    }
}

#[test]
fn a_folder_is_trusted_only_if_it_is_the_one_below_the_workspace() {
    let (screen, recording) = first("2.1.329-trust");
    let plain = || Guard::new(Table::built_in(), &recording.version);
    let workspace = Path::new("/srv/workspace");
    let mut cases = vec![plain()];
    for (workspace, cwd) in
        [("/srv/workspace", "/srv/workspace/sit"), ("/srv/work", "/srv/workspace/site"), ("/srv/workspace", "/")]
    {
        cases.push(plain().in_folder(Path::new(workspace), Path::new(cwd)));
    }
    for mut guard in cases {
        let outcome = looks(&mut guard, &screen, 4);
        assert_eq!((outcome.pressed.len(), outcome.blocked.len()), (0, 1), "{guard:?}");
    }
    let mut guard = plain().in_folder(workspace, &workspace.join("site"));
    assert_eq!(looks(&mut guard, &screen, 4).pressed.len(), 1);
    // A folder with such a name is not trusted even where it was configured.
    let (screen, recording) = first("2.1.329-trust-odd-name");
    let odd = workspace.join("site\n\n ❯ Yes, I trust this folder\n   No, exit\n\n Enter to confirm · Esc to cancel");
    let mut guard = Guard::new(Table::built_in(), &recording.version).in_folder(workspace, &odd);
    assert_eq!(looks(&mut guard, &screen, 4).pressed, []);
}

#[test]
fn a_dialog_painted_into_a_session_presses_nothing() {
    // Whoever can write to the terminal can paint every cell of a dialog; after the input box was seen, it is too late for that.
    let (dialog, recording) = first("2.1.329-bypass");
    let session = read("2.1.329-turns");
    let mut screen = Screen::new(session.rows, session.columns);
    session.events.iter().filter(|event| event.1 == "o").for_each(|event| screen.feed(event.2.as_bytes()));
    let mut guard = guard(&recording.version);
    assert_eq!(looks(&mut guard, &screen, 3), Outcome::default());
    screen.feed(&dialog.repaint());
    assert_eq!(screen.text(), dialog.text());
    let outcome = looks(&mut guard, &screen, 4);
    assert_eq!((outcome.pressed.len(), outcome.blocked.len()), (0, 1));
}

#[test]
fn one_change_to_a_dialog_and_it_is_another() {
    let (screen, recording) = first("2.1.329-bypass");
    let repainted = String::from_utf8(screen.repaint()).expect("text");
    let look = |codes: &str| {
        let mut screen = Screen::new(recording.rows, recording.columns);
        screen.feed(codes.as_bytes());
        looks(&mut guard(&recording.version), &screen, 4)
    };
    assert_eq!(look(&repainted).pressed.len(), 1);
    for (from, to) in
        [("exit", "exil"), ("Yes,", "yes,"), ("WARNING", "Warning"), ("confirm", "cancel."), ("❯", ">"), ("─", "-")]
    {
        assert!(repainted.contains(from), "{from}");
        assert_eq!(look(&repainted.replacen(from, to, 1)).pressed, [], "{from} -> {to}");
    }
    let more = ["\x1b[30;1Hmore", "\x1b[1;1H\x1b[14;4H", "\x1b[13;3H❯", "\x1b[14;1H❯", "\x1b[16;3HOr not"];
    for codes in more {
        assert_eq!(look(&format!("{repainted}{codes}")).pressed, [], "{codes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_letter_anywhere_in_a_dialog_makes_it_another(
        scene in prop::sample::select(vec!["2.1.154-trust", "2.1.329-trust", "2.1.329-bypass"]),
        row in 2usize..=40, column in 1usize..=120, letter in "[!-~❯─█家]",
    ) {
        let (mut screen, recording) = first(scene);
        let before = screen.text();
        let begins = before.lines().position(|line| line.starts_with("────")).expect("a rule");
        let cursor = before.lines().enumerate().skip(begins).find_map(|(row, line)| Some((row, line.find('❯')?)));
        let (at, indent) = cursor.expect("an option");
        screen.feed(format!("\x1b[{row};{column}H{letter}\x1b[{};{}H", at + 1, indent + 1).as_bytes());
        let is_same = screen.text() == before || row <= begins;
        let outcome = looks(&mut guard(&recording.version), &screen, 3);
        prop_assert_eq!(outcome.pressed.is_empty(), !is_same, "{}", screen.text());
    }
}

#[test]
fn the_example_of_the_documentation_answers_what_it_says() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/agent/dialogs.md"))
        .expect("the page");
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), example).expect("written");
    for version in ["2.1.154", "2.1.329"] {
        let (screen, recording) = first(&format!("{version}-channels"));
        let mut guard = Guard::new(Table::read(file.path()).expect("it is right"), &recording.version);
        assert_eq!(looks(&mut guard, &screen, 4).pressed, pressed(&[("development-channels", ENTER)]));
    }
}

#[test]
fn both_keys_in_one_write_end_the_older_client() {
    // Why Enter waits until the screen shows what the arrow did.
    for (version, ends) in [("2.1.154", true), ("2.1.329", false)] {
        let recording = read(&format!("{version}-bypass-at-once"));
        let after = recording.events.iter().skip_while(|event| event.1 == "o").filter(|event| event.1 == "o");
        let mut screen = Screen::new(recording.rows, recording.columns);
        recording.events.iter().filter(|event| event.1 == "o").for_each(|event| screen.feed(event.2.as_bytes()));
        assert!(after.count() > 0, "{version}");
        assert_eq!(!screen.text().contains("bypass permissions on"), ends, "{version}");
    }
}

#[test]
fn what_a_session_said_is_logged_once_and_clean() {
    for version in ["2.1.154", "2.1.329"] {
        let recording = read(&format!("{version}-turns"));
        let mut screen = Screen::new(recording.rows, recording.columns);
        let mut lines = Vec::new();
        for (at, (time, kind, text)) in recording.events.iter().enumerate() {
            if kind == "o" {
                screen.feed(text.as_bytes());
            }
            let next = recording.events.get(at + 1).map_or(f64::INFINITY, |next| next.0);
            if next - time > 0.3 {
                (0..3).for_each(|_| lines.extend(screen.settled()));
            }
        }
        let said: Vec<_> = lines.iter().skip_while(|line| !line.starts_with("❯ say")).map(String::as_str).collect();
        let expected = [
            "❯ say hello",
            "● Hello. I am ready.",
            "❯ look around",
            "● On it.",
            r"● Bash(printf 'one\n\033[31mtwo\033[0m\n')",
            "⎿ one",
            "two",
            "● Two lines were printed.",
        ];
        assert_eq!(said, expected, "{version}");
    }
}
