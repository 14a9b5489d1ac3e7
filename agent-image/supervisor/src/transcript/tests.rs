//! Records of real sessions, and whatever an agent may write in their place.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::clean;

const CWD: &str = "/w/my_repo.x y";

/// A home with one session folder.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Home(TempDir::new().unwrap());
        fs::create_dir_all(home.folder()).unwrap();
        home
    }

    fn folder(&self) -> PathBuf {
        folder(self.0.path(), Path::new(CWD))
    }

    fn follow(&self) -> Follower {
        Follower::new(self.0.path(), Path::new(CWD)).masking(vec!["access-token-stub".into()])
    }

    /// Writes at the end of a session, later than all others.
    fn write(&self, session: &str, bytes: impl AsRef<[u8]>) {
        let path = self.folder().join(session).with_extension("jsonl");
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
        let ages =
            fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().modified().unwrap());
        file.set_modified(ages.max().unwrap() + Duration::from_secs(1)).unwrap();
    }
}

fn said(text: &str) -> String {
    let content = json!([{ "type": "text", "text": text }]);
    format!("{}\n", json!({ "type": "assistant", "message": { "content": content, "stop_reason": "tool_use" } }))
}

fn lines(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.line().unwrap_or_else(|| "ended".into())).collect()
}

#[test]
fn a_folder_is_named_as_the_client_names_it() {
    assert_eq!(folder(Path::new("/p"), Path::new(CWD)), Path::new("/p/-w-my-repo-x-y"));
    let home = Home::new();
    assert!(!has_session(home.0.path(), Path::new(CWD)));
    home.write("a", "");
    assert!(!has_session(home.0.path(), Path::new(CWD)));
    home.write("a", "{}\n");
    assert!(has_session(home.0.path(), Path::new(CWD)));
}

#[test]
fn a_real_session_is_told_in_the_same_words_by_both_clients() {
    for version in ["2.1.154", "2.1.329"] {
        let recorded = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
        let turns = fs::read(recorded.join(format!("{version}-turns.jsonl"))).unwrap();
        let failing = fs::read(recorded.join(format!("{version}-failing.jsonl"))).unwrap();
        let home = Home::new();
        let mut follower = home.follow();
        // However it comes, a line at a time or half of one.
        let mut entries = Vec::new();
        for piece in turns.chunks(777) {
            home.write("a", piece);
            entries.extend(follower.poll());
        }
        let told = lines(&entries);
        let expected = [
            "asked: say hello",
            "said: Hello. I am ready.",
            "ended",
            "asked: look around",
            "said: On it.",
            r"used Bash: printf 'one\n\033[31mtwo\033[0m\n'",
            "said: Two lines were printed.",
            "ended",
        ];
        assert_eq!(told, expected, "{version}");
        let Some(Entry::TurnEnded { at }) = entries.last() else { panic!("it ended") };
        assert!(*at > SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        home.write("b", failing);
        let told = lines(&follower.poll());
        assert_eq!(told, ["asked: say hello", "failed: API Error: 400 the double says no"], "{version}");
        assert_eq!(follower.skipped(), 0);
    }
}

#[test]
fn what_was_there_before_is_not_told_and_an_older_session_goes_on_where_it_was() {
    let home = Home::new();
    home.write("old", said("before"));
    home.write("older", said("before"));
    let mut follower = home.follow();
    assert_eq!(follower.poll(), []);
    home.write("old", said("one"));
    assert_eq!(lines(&follower.poll()), ["said: one"]);
    home.write("new", said("two"));
    assert_eq!(lines(&follower.poll()), ["said: two"]);
    let (half, rest) = (said("three").into_bytes(), 9);
    home.write("old", &half[..rest]);
    assert_eq!(follower.poll(), []);
    home.write("new", said("four"));
    assert_eq!(lines(&follower.poll()), ["said: four"]);
    home.write("old", &half[rest..]);
    assert_eq!(lines(&follower.poll()), ["said: three"]);
}

#[test]
fn what_is_no_line_of_the_client_is_skipped_and_counted() {
    let home = Home::new();
    let mut follower = home.follow();
    home.write(
        "a",
        format!("no JSON\n[]\n{{\"type\":5}}\n\n{{\"type\":\"user\",\"message\":7}}\n\x00\u{fffd}\n{}", said("on")),
    );
    home.write("a", [b"\xff\xfe\n", said("and on").as_bytes()].concat());
    assert_eq!(lines(&follower.poll()), ["said: on", "said: and on"]);
    assert_eq!(follower.skipped(), 6);
}

#[test]
fn a_huge_line_is_skipped_in_bounded_steps() {
    let home = Home::new();
    let mut follower = home.follow();
    home.write("a", said("before"));
    home.write("a", said(&"x".repeat(5 * tail::MOST)));
    home.write("a", said("after"));
    let mut entries = Vec::new();
    let mut polls = 0;
    while entries.len() < 2 && polls < 20 {
        entries.extend(follower.poll());
        polls += 1;
    }
    assert_eq!(lines(&entries), ["said: before", "said: after"]);
    assert!(polls >= 5, "{polls}");
    assert_eq!(follower.skipped(), 1);
}

#[test]
fn a_record_that_is_written_anew_is_read_anew_and_what_is_no_file_is_left_alone() {
    let home = Home::new();
    let mut follower = home.follow();
    home.write("a", said("a long line before"));
    assert_eq!(lines(&follower.poll()), ["said: a long line before"]);
    fs::write(home.folder().join("a.jsonl"), said("anew")).unwrap();
    assert_eq!(lines(&follower.poll()), ["said: anew"]);
    rustix::fs::mknodat(rustix::fs::CWD, home.folder().join("z.jsonl"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    std::os::unix::fs::symlink("/dev/zero", home.folder().join("y.jsonl")).unwrap();
    fs::create_dir(home.folder().join("x.jsonl")).unwrap();
    assert_eq!(follower.poll(), []);
    fs::remove_dir_all(home.folder()).unwrap();
    assert_eq!(follower.poll(), []);
}

#[test]
fn a_turn_ends_once_and_a_failed_one_never() {
    let home = Home::new();
    let mut follower = home.follow();
    let assistant = |kind: &str| {
        let content = json!([{ "type": kind, "text": "t", "thinking": "x" }]);
        json!({ "type": "assistant", "timestamp": "2026-01-02T03:04:05Z", "message": { "content": content, "stop_reason": "end_turn" } })
    };
    let duration = json!({ "type": "system", "subtype": "turn_duration" });
    let asked =
        json!({ "type": "user", "isMeta": true, "message": { "content": "<channel source=\"c\">\nhi\n</channel>" } });
    let hidden = json!({ "type": "user", "isMeta": true, "message": { "content": "a reminder" } });
    let aside = json!({ "type": "assistant", "isSidechain": true, "message": { "content": "aside", "stop_reason": "end_turn" } });
    let failed = json!({ "type": "assistant", "isApiErrorMessage": true, "message": { "content": "API Error: 500" } });
    for line in [
        &asked,
        &aside,
        &assistant("thinking"),
        &assistant("text"),
        &duration,
        &hidden,
        &failed,
        &duration,
        &asked,
        &duration,
    ] {
        home.write("a", format!("{line}\n"));
    }
    let entries = follower.poll();
    let channel = "asked: <channel source=\"c\"> hi </channel>";
    assert_eq!(lines(&entries), [channel, "ended", "said: t", "failed: API Error: 500", channel, "ended"]);
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    assert_eq!(entries[1], Entry::TurnEnded { at });
}

#[test]
fn a_stub_does_not_reach_the_log_however_it_is_hidden() {
    let home = Home::new();
    let mut follower = home.follow();
    home.write("a", said("it is access-token-stub, a\u{200b}ccess-\u{7}token-s\u{202e}tub\u{1b}[0m"));
    home.write("a", said(&format!("{}access-token-stub", "x".repeat(clean::LONGEST - 8))));
    let told = lines(&follower.poll());
    assert_eq!(told[0], "said: it is [stub], [stub][0m");
    assert!(told[1].len() <= clean::LONGEST && !told[1].contains("acce"), "{}", told[1]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn lines_are_clean_and_short(text in "(\\PC|\\pC|[\u{1b}\u{9b}\u{202e}\u{2066}\r\n\t access\\-token\\-stub]){0,3000}") {
        let line = clean::line(&text);
        prop_assert!(line.len() <= clean::LONGEST);
        let is_wrong = |letter: char| letter.is_control() || ('\u{202a}'..='\u{202e}').contains(&letter) || ('\u{2066}'..='\u{2069}').contains(&letter);
        prop_assert!(!line.chars().any(is_wrong), "{line:?}");
        prop_assert_eq!(&clean::line(&line), &line);
        let plain: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if plain.len() <= clean::LONGEST && plain.chars().all(|letter| letter.is_ascii_graphic() || letter == ' ') {
            prop_assert_eq!(line, plain);
        }
    }

    #[test]
    fn any_bytes_in_any_pieces_are_read_alike(
        pieces in proptest::collection::vec(prop_oneof![
            any::<Vec<u8>>(),
            "[a-z\n]{0,9}".prop_map(|text| said(&text).into_bytes()),
            Just(b"\n".to_vec()),
            Just(b"{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"\\u001b]0;".to_vec()),
            Just(b"\"}]}}\n".to_vec()),
        ], 0..12),
        cut in 1usize..50,
    ) {
        let bytes = pieces.concat();
        let (whole, parts) = (Home::new(), Home::new());
        let (mut at_once, mut piecewise) = (whole.follow(), parts.follow());
        whole.write("a", &bytes);
        let all = at_once.poll();
        let mut told = Vec::new();
        for piece in bytes.chunks(cut.max(bytes.len() / 20 + 1)) {
            parts.write("a", piece);
            told.extend(piecewise.poll());
        }
        prop_assert_eq!(lines(&told), lines(&all));
        prop_assert_eq!(piecewise.skipped(), at_once.skipped());
    }
}
