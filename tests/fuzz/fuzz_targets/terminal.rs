//! What an agent's client prints: however the bytes are cut, the same screen comes of them; lines for the log are clean, a viewer's
//! picture is the screen, and no key but arrows and Enter is ever pressed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stubgate_agent::screen::Screen;
use stubgate_agent::screen::dialog::{Guard, Table, Verdict};

fuzz_target!(|data: &[u8]| {
    let [rows, columns, step, data @ ..] = data else { return };
    let (rows, columns) = (u16::from(*rows), u16::from(*columns));
    let (mut screen, mut pieces) = (Screen::new(rows, columns), Screen::new(rows, columns));
    screen.feed(data);
    data.chunks(usize::from(*step) + 1).for_each(|piece| pieces.feed(piece));
    assert_eq!(screen.repaint(), pieces.repaint());
    let mut viewer = Screen::new(rows, columns);
    viewer.feed(&screen.repaint());
    assert_eq!(viewer.text(), screen.text());
    let mut guard = Guard::new(Table::built_in(), "2.1.329");
    for _ in 0..3 {
        match guard.look(&screen) {
            Some(Verdict::Press { keys, .. }) => {
                let arrows = keys.chunks(3).all(|key| key == b"\x1b[A" || key == b"\x1b[B");
                assert!(arrows || keys == b"\r");
            }
            Some(Verdict::Blocked { text }) => assert!(text.len() <= 4096 && !text.contains('\x1b')),
            None => {}
        }
        let lines = screen.settled();
        assert_eq!(lines, pieces.settled());
        assert!(lines.iter().all(|line| line.len() <= 2048 && !line.chars().any(char::is_control)));
    }
    screen.resize(columns, rows);
    screen.feed(data);
    let _ = screen.text();
});
