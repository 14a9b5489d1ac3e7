//! An agent that has an origin say guesses, and looks at what of them does not come (CWE-203): when something leaves must not
//! tell what it was compared with.

use tokio::sync::mpsc;

use crate::client::{Conn, Way};
use crate::frames::{masked, plain, tunnel};
use crate::lab::{DEVBOT, Lab, REAL, Setup};
use crate::origin::Reply;

const OPEN: &str = "open.example.test";

async fn lab(held: u32) -> Lab {
    let limits = format!("refusals_per_second: 100000, scrub_held_milliseconds: {held}");
    Lab::with(Setup { limits, ..Setup::default() }).await
}

/// Guesses of one length: right and wrong, as it is and escaped.
fn guesses() -> [String; 4] {
    let right = &REAL[..12];
    let wrong = "real-axe-api";
    let escaped = |text: &str| text.bytes().map(|byte| format!("\\u{byte:04x}")).collect::<String>();
    [right.to_owned(), wrong.to_owned(), escaped(right), escaped(wrong)]
}

#[tokio::test(flavor = "multi_thread")]
async fn right_and_wrong_guesses_come_through_while_the_origin_stands_still() {
    let lab = lab(1).await;
    for guess in guesses() {
        let (says, receiver) = mpsc::unbounded_channel::<Vec<u8>>();
        let receiver = std::sync::Mutex::new(Some(receiver));
        lab.origin.answer("/guess", move |_| receiver.lock().unwrap().take().map_or(Reply::Silence, Reply::Stream));
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        says.send(format!("{head}{:x}\r\n{guess}\r\n", guess.len()).into_bytes()).unwrap();
        let mut conn = Conn::sni(&lab, OPEN, DEVBOT).await;
        conn.send(format!("GET /guess HTTP/1.1\r\nhost: {OPEN}\r\n\r\n")).await;
        assert_eq!(conn.head().await.status, 200);
        let mut body = Vec::new();
        while !body.windows(guess.len()).any(|window| window == guess.as_bytes()) {
            let more = conn.some().await;
            assert!(!more.is_empty(), "{guess}: {}", body.escape_ascii());
            body.extend(more);
        }
        drop(says);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_in_frames_come_through_too() {
    let lab = lab(1).await;
    for guess in guesses() {
        let (mut conn, says) = tunnel(&lab, Way::Sni, "/ws").await;
        let frame = plain(0x01, guess.as_bytes());
        says.send(frame.clone()).unwrap();
        assert_eq!(conn.exactly(frame.len()).await, frame, "{guess}");
    }
}

/// Whoever ends a tunnel chooses the moment; what is held at that moment goes nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_tunnel_brings_out_nothing_that_was_held() {
    let lab = lab(60_000).await;
    let (mut conn, says) = tunnel(&lab, Way::Sni, "/ws").await;
    let frame = plain(0x01, format!("token: {REAL}").as_bytes());
    let begun = &frame[..frame.len() - 5];
    says.send(begun.to_vec()).unwrap();
    assert_eq!(conn.exactly(9).await, frame[..9], "what is before it has come");
    conn.send(masked(0xc1, b"x")).await;
    let rest = conn.rest().await;
    assert!(
        !REAL.as_bytes().windows(8).any(|part| rest.windows(8).any(|shown| shown == part)),
        "{}",
        rest.escape_ascii()
    );
    lab.is_well("a tunnel that was ended").await;
}
