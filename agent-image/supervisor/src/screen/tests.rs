//! Any bytes, cut anywhere.

use proptest::prelude::*;

use super::dialog::{Guard, Table, Verdict};
use super::*;

/// Bytes that are mostly escape codes, and often wrong ones.
fn codes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..24),
        2 => "[a-z❯─█🦀\u{301}\u{fe0f}\u{200d}家 ]{0,40}".prop_map(String::into_bytes),
        4 => ("\x1b\\[[?>! ]?[0-9;:]{0,12}", proptest::sample::select(b"@ABCDEFGHIJKLMPSTXZ`abcdefghlmnpqrstux".to_vec()))
            .prop_map(|(head, last)| [head.as_bytes(), &[last]].concat()),
        1 => proptest::sample::select(vec!["\x1b7", "\x1b8", "\x1bM", "\x1bc", "\x1b]0;", "\x1bP", "\x1b_G", "\r\n", "\x1b[?1049h", "\x1b[?6h"])
            .prop_map(|code| code.as_bytes().to_vec()),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// All that is seen of a screen.
fn seen(screen: &mut Screen) -> (String, Vec<u8>, Vec<String>) {
    let (first, second) = (screen.settled(), screen.settled());
    (screen.text(), screen.repaint(), [first, second].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_screen(
        bytes in codes(), rows in 0u16..60, columns in 0u16..140, cuts in proptest::collection::vec(0usize..2000, 0..6),
    ) {
        let mut whole = Screen::new(rows, columns);
        whole.feed(&bytes);
        let mut pieces = Screen::new(rows, columns);
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
        cuts.sort_unstable();
        cuts.windows(2).for_each(|pair| pieces.feed(&bytes[pair[0]..pair[1]]));
        prop_assert_eq!(seen(&mut whole), seen(&mut pieces));
    }

    #[test]
    fn any_bytes_press_nothing_and_leave_clean_lines(bytes in codes(), sizes in proptest::collection::vec((0u16..70, 0u16..300), 1..4)) {
        let mut screen = Screen::new(40, 120);
        let mut guard = Guard::new(Table::built_in(), "2.1.329");
        for (rows, columns) in sizes {
            screen.feed(&bytes);
            screen.resize(rows, columns);
            for _ in 0..3 {
                match guard.look(&screen) {
                    Some(Verdict::Press { dialog, .. }) => prop_assert!(false, "{dialog}"),
                    Some(Verdict::Blocked { text }) => prop_assert!(text.len() <= 4096),
                    None => {}
                }
                for line in screen.settled() {
                    prop_assert!(!line.chars().any(char::is_control) && line.len() <= 2048, "{line:?}");
                }
            }
        }
    }

    #[test]
    fn a_viewer_sees_what_is_there(bytes in codes()) {
        let mut screen = Screen::new(30, 100);
        screen.feed(&bytes);
        let mut viewer = Screen::new(30, 100);
        viewer.feed(&screen.repaint());
        prop_assert_eq!(viewer.text(), screen.text());
    }
}

#[test]
fn a_character_in_two_pieces_costs_no_other() {
    let mut screen = Screen::new(5, 20);
    screen.feed(b"\xc2");
    screen.feed("\u{b7}a❯".as_bytes().get(1..).unwrap());
    assert_eq!(screen.text(), "·a❯");
}

#[test]
fn what_was_scrolled_away_and_never_taken_is_cut() {
    let mut screen = Screen::new(10, 80);
    (0..100_000).for_each(|line| screen.feed(format!("line {line}\r\n").as_bytes()));
    let lines = screen.settled();
    assert_eq!(lines.first().map(String::as_str), Some("line 0"));
    assert!(lines.len() < 40_000 && lines.iter().map(String::len).sum::<usize>() <= 300 * 1024);
}

#[test]
fn a_line_is_given_once_however_often_it_is_drawn() {
    let mut screen = Screen::new(6, 40);
    screen.feed(b"one\r\ntwo\r\n");
    assert_eq!(screen.settled(), [] as [&str; 0]);
    assert_eq!(screen.settled(), ["one", "two"]);
    screen.feed(b"\x1b[2J\x1b[Hone\r\ntwo\r\nthree \x1b[31mred\x1b[0m\r\n");
    assert_eq!(screen.settled(), [] as [&str; 0]);
    assert_eq!(screen.settled(), ["three red"]);
    screen.feed(b"four\r\nfive\r\nsix\r\nseven\r\n");
    assert_eq!(screen.settled(), [] as [&str; 0], "what left the top was given before");
    assert_eq!(screen.settled(), ["four", "five", "six", "seven"]);
}
