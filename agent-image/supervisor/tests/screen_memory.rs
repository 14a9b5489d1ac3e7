//! What a terminal's bytes cost, measured in a process of its own.
#![allow(clippy::expect_used, missing_docs)]

use stubgate_agent::screen::Screen;

/// Kilobytes of memory that this process has in use.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a line of it");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn what_never_ends_takes_no_memory() {
    // A title, a device string, an application's string, a sequence, lines that nobody takes: 16 MiB of each.
    for (head, piece) in
        [("\x1b]0;", "x"), ("\x1bPq", "x"), ("\x1b_G", "x"), ("\x1b[", "1;"), ("", "line after line\r\n")]
    {
        let mut screen = Screen::new(50, 220);
        screen.feed(head.as_bytes());
        let piece = piece.repeat(64 * 1024 / piece.len());
        let before = resident();
        (0..256).for_each(|_| screen.feed(piece.as_bytes()));
        let grown = resident().saturating_sub(before);
        assert!(grown < 2 * 1024, "{head:?}: {grown} KiB");
    }
}
