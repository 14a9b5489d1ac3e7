//! What follows a 101 (WS-04, WS-07): frames are parsed both ways, and whoever breaks RFC 6455 is told so and recorded.

use tokio::sync::mpsc;

use crate::client::{Conn, Way};
use crate::lab::{DEVBOT, Lab, OTHER_REAL, OTHER_STUB, POLICY, REAL, STUB, Setup};
use crate::websocket::{handshake, switches};

/// A frame as an origin sends it.
pub(crate) fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(u8::try_from(short).unwrap()),
        middle @ 126..65_536 => {
            out.push(126);
            out.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
    out
}

/// A frame as an agent sends it.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut out = plain(first, payload);
    out[1] |= 0x80;
    let header = out.len() - payload.len();
    out.truncate(header);
    out.extend(KEY);
    out.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ KEY[at % 4]));
    out
}

/// The code of a Close frame at the front; the payload of a masked one is unmasked first.
fn close_code(bytes: &[u8]) -> Option<u16> {
    match bytes {
        [0x88, length, a, b, ..] if length & 0x80 == 0 => Some(u16::from_be_bytes([*a, *b])),
        [0x88, length, k1, k2, _, _, a, b, ..] if length & 0x80 != 0 => Some(u16::from_be_bytes([a ^ k1, b ^ k2])),
        _ => None,
    }
}

pub(crate) async fn tunnel(lab: &Lab, way: Way, path: &str) -> (Conn, mpsc::UnboundedSender<Vec<u8>>) {
    let says = switches(&lab.origin, path);
    let mut conn = way.open(lab).await;
    assert_eq!(conn.ask(&handshake(way, path)).await.status, 101, "{way:?}");
    (conn, says)
}

/// What the origin got behind the last head.
fn behind_the_head(lab: &Lab) -> Vec<u8> {
    let bytes = lab.origin.bytes();
    let end = bytes.windows(4).rposition(|window| window == b"\r\n\r\n").unwrap();
    bytes[end + 4..].to_vec()
}

/// The code of a Close frame, masked and without a reason, at the end of what the origin got.
fn last_close(lab: &Lab) -> Option<u16> {
    let got = behind_the_head(lab);
    close_code(&got[got.len().saturating_sub(8)..])
}

/// The end record of the last tunnel: its reason, note and outcome.
async fn end_of(lab: &Lab, number: usize) -> (String, String, String) {
    let ends = || -> Vec<serde_json::Value> {
        let records = lab.records().into_iter();
        records.filter(|record| record["event"] == "end" && record["status"] == 101).collect()
    };
    lab.until("the end of the tunnel is recorded", || ends().len() >= number).await;
    let end = ends().pop().unwrap();
    let text = |key: &str| end[key].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("note"), text("outcome"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violation_of_the_agent_ends_the_tunnel_with_its_code() {
    let lab = Lab::new().await;
    let good = masked(0x81, b"good");
    let mut number = 0;
    for (name, bytes, code, note) in [
        ("RSV", masked(0xc1, b"x"), 1002, "a reserved bit is set"),
        ("opcode 3", masked(0x83, b"x"), 1002, "a reserved opcode"),
        ("unmasked", plain(0x81, b"x"), 1002, "a frame of the client is not masked"),
        ("a fragmented ping", masked(0x09, b"x"), 1002, "a control frame is fragmented"),
        ("a ping of 126", masked(0x89, &[0; 126]), 1002, "a control frame is too long"),
        ("2^63", b"\x82\xff\x80\0\0\0\0\0\0\0".to_vec(), 1002, "a length that is not encoded as it must be"),
        ("5 in two bytes", b"\x82\xfe\0\x05".to_vec(), 1002, "a length that is not encoded as it must be"),
        ("2^62", b"\x82\xff\x40\0\0\0\0\0\0\0kkkk".to_vec(), 1009, "a message that is too large"),
        ("a continuation", masked(0x80, b"x"), 1002, "a continuation of nothing"),
        (
            "text in a message",
            [masked(0x01, b"a"), masked(0x81, b"b")].concat(),
            1002,
            "a message inside a fragmented message",
        ),
        ("bad UTF-8", masked(0x81, b"ab\xff"), 1007, "text that is not UTF-8"),
        ("half a character", [masked(0x01, b"\xc3"), masked(0x80, b"x")].concat(), 1007, "text that is not UTF-8"),
        ("close 1005", masked(0x88, &1005u16.to_be_bytes()), 1002, "a close code that may not be sent"),
        ("close of one byte", masked(0x88, b"\x03"), 1002, "a close code that may not be sent"),
        (
            "data after close",
            [masked(0x88, b"\x03\xe8"), masked(0x81, b"x")].concat(),
            1002,
            "a frame after the Close frame",
        ),
        ("a flood of pings", masked(0x89, b"").repeat(500), 1008, "too many control frames"),
        (
            "fragments",
            [masked(0x02, b""), masked(0x00, b"").repeat(70_000)].concat(),
            1009,
            "a message of too many fragments",
        ),
    ] {
        for way in Way::ALL {
            number += 1;
            let (mut conn, says) = tunnel(&lab, way, &format!("/ws{number}")).await;
            conn.send([good.clone(), bytes.clone()].concat()).await;
            let told = conn.rest().await;
            assert_eq!(close_code(&told), Some(code), "WS-07 {name} {way:?}: {told:?}");
            assert!(String::from_utf8_lossy(&told).contains(note), "{name}");
            let expected = ("websocket_protocol".into(), format!("agent: {note}"), "aborted".into());
            assert_eq!(end_of(&lab, number).await, expected, "{name} {way:?}");
            if name != "data after close" {
                lab.until("the origin is left", || last_close(&lab) == Some(1001)).await;
            }
            lab.until("what was good before it arrives", || behind_the_head(&lab).starts_with(&good)).await;
            drop(says);
        }
    }
    assert!(lab.metrics().contains("reason=\"websocket_protocol\""));
    lab.is_well("WS-07").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_violation_of_the_origin_ends_the_tunnel_and_is_not_blamed_on_the_agent() {
    let lab = Lab::new().await;
    let good = plain(0x81, b"good");
    for (number, (name, bytes, code, note)) in [
        ("masked", masked(0x81, b"x"), 1002, "a frame of the server is masked"),
        ("RSV1, as a compressed message has", plain(0xc1, b"x"), 1002, "a reserved bit is set"),
        ("bad UTF-8", plain(0x81, b"ab\xed\xa0\x80"), 1007, "text that is not UTF-8"),
        ("2^62", b"\x82\x7f\x40\0\0\0\0\0\0\0".to_vec(), 1009, "a message that is too large"),
        ("a flood of pongs", plain(0x8a, b"").repeat(500), 1008, "too many control frames"),
        ("close 999", plain(0x88, &999u16.to_be_bytes()), 1002, "a close code that may not be sent"),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut conn, says) = tunnel(&lab, Way::Sni, &format!("/ws{number}")).await;
        says.send([good.clone(), bytes].concat()).unwrap();
        let told = conn.rest().await;
        assert!(told.starts_with(&good), "{name}: {told:?}");
        let close = told.windows(2).rposition(|window| window == b"\x88\x7d" || window[0] == 0x88).unwrap();
        assert_eq!(close_code(&told[close..]), Some(1014), "{name}: {told:?}");
        let expected = ("websocket_protocol".into(), format!("origin: {note}"), "aborted".into());
        assert_eq!(end_of(&lab, number + 1).await, expected, "{name}");
        lab.until("the origin is told", || close_code(&behind_the_head(&lab)) == Some(code)).await;
        // Our presence is not told to an origin.
        assert_eq!(behind_the_head(&lab).len(), 8, "{name}");
    }
    lab.is_well("WS-07").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_pass_as_they_came_however_they_are_cut() {
    let lab = Lab::new().await;
    let (mut conn, says) = tunnel(&lab, Way::Sni, "/ws").await;
    // Fragments with control frames between them, a character over a border, an empty message, and one of 70,000 bytes.
    let parts: [(u8, &[u8]); 8] = [
        (0x01, b"caf\xc3"),
        (0x89, b"ping"),
        (0x00, b""),
        (0x8a, b""),
        (0x80, b"\xa9"),
        (0x82, b""),
        (0x82, &[0xff; 70_000]),
        (0x88, b"\x03\xe8bye"),
    ];
    let down: Vec<u8> = parts.iter().flat_map(|(first, payload)| plain(*first, payload)).collect();
    let up: Vec<u8> = parts.iter().flat_map(|(first, payload)| masked(*first, payload)).collect();
    // Byte by byte through the headers, then in one piece.
    for at in 0..40 {
        says.send(down[at..=at].to_vec()).unwrap();
        conn.send(&up[at..=at]).await;
    }
    says.send(down[40..].to_vec()).unwrap();
    conn.send(&up[40..]).await;
    lab.until("all arrives at the origin", || behind_the_head(&lab).len() == up.len()).await;
    assert_eq!(behind_the_head(&lab), up);
    drop(says);
    assert_eq!(conn.rest().await, down);
    drop(conn);
    assert_eq!(end_of(&lab, 1).await, (String::new(), String::new(), "complete".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_closed_tunnel_still_carries_the_other_half() {
    let lab = Lab::new().await;
    let (mut conn, says) = tunnel(&lab, Way::Plain, "/ws").await;
    drop(says);
    // The origin has ended; what the agent has to say still arrives.
    assert!(conn.is_over().await);
    let late = masked(0x81, b"late");
    conn.send(&late).await;
    drop(conn);
    assert_eq!(end_of(&lab, 1).await.2, "complete");
    let (mut conn, says) = tunnel(&lab, Way::Plain, "/other").await;
    says.send(plain(0x82, b"half")[..3].to_vec()).unwrap();
    drop(says);
    // All that the origin said has come by its end.
    conn.rest().await;
    drop(conn);
    assert_eq!(end_of(&lab, 2).await.2, "aborted", "a frame without its end is no end");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_a_message_and_of_control_frames_are_configured() {
    let limits = "refusals_per_second: 1000, websocket_message_bytes: 2000, websocket_control_frames_per_second: 3";
    let lab = Lab::with(Setup { limits: limits.into(), ..Setup::default() }).await;
    let (mut conn, _says) = tunnel(&lab, Way::Sni, "/ws1").await;
    conn.send([masked(0x82, &[1; 2000]), masked(0x02, &[1; 1000]), masked(0x80, &[1; 1001])].concat()).await;
    assert_eq!(close_code(&conn.rest().await), Some(1009));
    let (mut conn, _says) = tunnel(&lab, Way::Sni, "/ws2").await;
    conn.send(masked(0x89, b"").repeat(4)).await;
    assert_eq!(close_code(&conn.rest().await), Some(1008));
}

#[tokio::test(flavor = "multi_thread")]
async fn extensions_are_declined_and_subprotocols_are_those_that_were_offered() {
    let lab = Lab::new().await;
    let offers = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n\
                  sec-websocket-protocol: chat, mcp\r\nsec-websocket-protocol: v2\r\n";
    for (number, (name, lines, status)) in [
        ("none", "", 101),
        ("the second", "sec-websocket-protocol: mcp\r\n", 101),
        ("of the second header", "sec-websocket-protocol: v2\r\n", 101),
        ("another", "sec-websocket-protocol: other\r\n", 502),
        ("another case", "sec-websocket-protocol: MCP\r\n", 502),
        ("two", "sec-websocket-protocol: chat, mcp\r\n", 502),
        ("two headers", "sec-websocket-protocol: chat\r\nsec-websocket-protocol: mcp\r\n", 502),
        ("an extension", "sec-websocket-extensions: permessage-deflate\r\n", 502),
        ("an unknown extension", "sec-websocket-extensions: x\r\n", 502),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/ws{number}");
        let switching = crate::websocket::switching("").replace("\r\n\r\n", &format!("\r\n{lines}\r\n"));
        lab.origin.answer_bytes(&path, switching);
        lab.refusals();
        let mut conn = Way::Sni.open(&lab).await;
        let asked = handshake(Way::Sni, &path).replace("\r\n\r\n", &format!("\r\n{offers}\r\n"));
        let answer = conn.ask(&asked).await;
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert_eq!(lab.refusals(), vec!["upgrade_refused"; usize::from(status == 502)], "{name}");
        let seen = lab.origin.requests().pop().unwrap();
        assert_eq!(seen.headers("sec-websocket-extensions").len(), 0, "not asked for");
        assert_eq!(seen.headers("sec-websocket-protocol"), ["chat, mcp", "v2"]);
    }
    // What was not offered must not be chosen.
    lab.origin.answer_bytes(
        "/ws",
        crate::websocket::switching("").replace("\r\n\r\n", "\r\nsec-websocket-protocol: x\r\n\r\n"),
    );
    assert_eq!(Way::Sni.open(&lab).await.ask(&handshake(Way::Sni, "/ws")).await.status, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn stubs_in_frames_are_counted_and_pass() {
    let lab = Lab::new().await;
    let (mut conn, says) = tunnel(&lab, Way::Sni, "/ws").await;
    let (front, back) = STUB.split_at(6);
    let sent = [
        masked(0x81, STUB.as_bytes()),
        // Over fragments, with a ping between, then over messages, then in a ping.
        masked(0x01, front.as_bytes()),
        masked(0x89, b"?"),
        masked(0x80, back.as_bytes()),
        masked(0x82, front.as_bytes()),
        masked(0x82, back.as_bytes()),
        masked(0x89, STUB.as_bytes()),
        masked(0x88, b"\x03\xe8"),
    ]
    .concat();
    for piece in sent.chunks(5) {
        conn.send(piece).await;
    }
    lab.until("all arrives", || behind_the_head(&lab).len() == sent.len()).await;
    assert_eq!(behind_the_head(&lab), sent, "WS-04: nothing is swapped");
    drop(says);
    assert!(conn.is_over().await);
    drop(conn);
    end_of(&lab, 1).await;
    let end = lab.records().into_iter().rfind(|record| record["event"] == "end").unwrap();
    assert_eq!((&end["stubs_in_body"], &end["outcome"]), (&4.into(), &"complete".into()), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_with_a_stub_is_not_sent_where_a_rule_denies_stubs_in_bodies() {
    let grant = "    methods: [GET, POST, PUT, HEAD, OPTIONS, WEBSOCKET]\n";
    let lab = Lab::new().await;
    assert_eq!(lab.reload(&POLICY.replacen(grant, &format!("{grant}    stub_in_body: deny\n"), 1)).await, "taken");
    let good = masked(0x81, b"good");
    let (front, back) = STUB.split_at(6);
    for (number, bytes) in [
        masked(0x81, format!("a {STUB} b").as_bytes()),
        masked(0x82, STUB.to_uppercase().as_bytes()),
        masked(0x89, STUB.as_bytes()),
        [masked(0x01, front.as_bytes()), masked(0x80, back.as_bytes())].concat(),
    ]
    .into_iter()
    .enumerate()
    {
        lab.refusals();
        let (mut conn, says) = tunnel(&lab, Way::Sni, &format!("/ws{number}")).await;
        conn.send([good.clone(), bytes].concat()).await;
        assert_eq!(close_code(&conn.rest().await), Some(1008));
        assert_eq!(end_of(&lab, number + 1).await.0, "stub_in_body");
        assert_eq!(lab.refusals(), ["stub_in_body"]);
        let end = lab.records().into_iter().rfind(|record| record["event"] == "end").unwrap();
        assert_eq!((&end["tripwire"], &end["stubs_in_body"]), (&true.into(), &1.into()), "{end}");
        lab.until("the origin is left, behind whole frames only", || last_close(&lab) == Some(1001)).await;
        drop(says);
        let got = behind_the_head(&lab);
        assert!(got.starts_with(&good));
        let first = masked(0x01, front.as_bytes());
        let expected = good.len() + 8 + if number == 3 { first.len() } else { 0 };
        assert_eq!(got.len(), expected);
    }
    assert!(lab.metrics().contains("stubgate_tripwires_total{reason=\"stub_in_body\"} 4"));
    // What has gone out of a frame stays without its end.
    let (mut conn, says) = tunnel(&lab, Way::Sni, "/cut").await;
    let frame = masked(0x82, format!("{}{STUB}{}", "x".repeat(40), "y".repeat(40)).as_bytes());
    conn.send(&frame[..30]).await;
    lab.until("it begins", || behind_the_head(&lab) == frame[..30]).await;
    conn.send(&frame[30..]).await;
    assert_eq!(close_code(&conn.rest().await), Some(1008));
    drop(says);
    end_of(&lab, 5).await;
    assert_eq!(behind_the_head(&lab), frame[..30]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_websocket_is_parsed_too() {
    let lab = Lab::new().await;
    let says = switches(&lab.origin, "/ws");
    let mut conn = Conn::sni(&lab, "api.example.test", DEVBOT).await;
    let asked = handshake(Way::Sni, "/ws").replace("open.example.test", "api.example.test");
    let asked = asked.replace("\r\n\r\n", &format!("\r\nauthorization: Bearer {STUB}\r\n\r\n"));
    assert_eq!(conn.ask(&asked).await.status, 101);
    conn.send(b"GET / HTTP/1.1\r\nhost: other.example.test\r\n\r\n").await;
    assert_eq!(close_code(&conn.rest().await), Some(1002), "HTTP behind a 101 goes nowhere");
    drop(says);
    assert_eq!(end_of(&lab, 1).await.0, "websocket_protocol");
}

/// What stands in the place of a credential: its stub, filled up to the same length.
fn replaced(real: &str, stub: &str) -> String {
    format!("{stub:*<length$}", length = real.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_in_frames_of_the_origin_is_replaced_however_it_is_cut() {
    let lab = Lab::new().await;
    let text = format!("your token is {REAL}, keep it; caf\u{e9}");
    let clean = text.replace(REAL, &replaced(REAL, STUB));
    let (text, clean) = (text.as_bytes(), clean.as_bytes());
    let (mut said, mut expected) = (Vec::new(), Vec::new());
    let mut say = |frames: &dyn Fn(&[u8]) -> Vec<u8>| {
        said.extend(frames(text));
        expected.extend(frames(clean));
    };
    say(&|text| plain(0x81, text));
    say(&|text| plain(0x82, text));
    say(&|text| plain(0x89, text));
    say(&|text| plain(0x8a, text));
    for at in 0..text.len() {
        // In two fragments, cut at every place, with a ping between.
        say(&|text| [plain(0x01, &text[..at]), plain(0x89, b"?"), plain(0x80, &text[at..])].concat());
    }
    // A fragment a byte, and a message a byte.
    say(&|text| {
        let fragments = text.iter().map(|byte| plain(0x00, &[*byte]));
        [plain(0x02, b"")].into_iter().chain(fragments).chain([plain(0x80, b"")]).flatten().collect()
    });
    say(&|text| text.iter().flat_map(|byte| plain(0x82, &[*byte])).collect());
    // Far into a long message.
    say(&|text| plain(0x82, &[&[0xff; 100_000], text, &[0xfe; 50_000]].concat()));
    say(&|_| plain(0x88, b"\x03\xe8bye"));
    let (mut conn, says) = tunnel(&lab, Way::Sni, "/ws").await;
    for piece in said.chunks(1000) {
        says.send(piece.to_vec()).unwrap();
    }
    drop(says);
    let got = conn.rest().await;
    assert_eq!(got.len(), expected.len());
    for at in 0..got.len() {
        // Where the origin paused, the first bytes may have gone already.
        assert!(got[at] == expected[at] || got[at] == said[at], "headers and all else stay as they came: {at}");
    }
    let shown = payload(&got);
    let shows = |part: &[u8]| shown.windows(part.len()).any(|window| window == part);
    assert!(!REAL.as_bytes().windows(8).any(shows), "no more than 7 bytes of it");
    assert!(shows(replaced(REAL, STUB).as_bytes()));
}

/// All payload of data, of frames as an origin sends them.
fn payload(mut frames: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let [first, short, rest @ ..] = frames {
        let more = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let long = rest[..more].iter().fold(0, |sum, byte| sum * 256 + usize::from(*byte));
        let length = if more == 0 { usize::from(*short) } else { long };
        if first & 8 == 0 {
            all.extend_from_slice(&rest[more..more + length]);
        }
        frames = &rest[more + length..];
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_comes_byte_by_byte_is_never_whole() {
    let limits = "scrub_held_milliseconds: 60000".into();
    let lab = Lab::with(Setup { limits, ..Setup::default() }).await;
    let (mut conn, says) = tunnel(&lab, Way::Tunnel, "/ws").await;
    let frame = plain(0x81, format!("<{REAL}>").as_bytes());
    let before = lab.origin.taken();
    for (at, byte) in frame.iter().enumerate() {
        says.send(vec![*byte]).unwrap();
        lab.until("the byte is sent", || lab.origin.taken() > before + at).await;
    }
    // The frame comes to its end without another one behind it.
    let mut got = Vec::new();
    while got.len() < frame.len() {
        got.extend(conn.some().await);
    }
    assert_eq!(got.len(), frame.len());
    let text = String::from_utf8_lossy(&got);
    assert!(text.ends_with('>') && !text.contains(&REAL[8..]), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_another_agent_or_of_after_the_handshake_is_replaced_too() {
    let lab = Lab::new().await;
    let (mut conn, says) = tunnel(&lab, Way::Sni, "/ws").await;
    says.send(plain(0x81, OTHER_REAL.as_bytes())).unwrap();
    let expected = plain(0x81, replaced(OTHER_REAL, OTHER_STUB).as_bytes());
    assert_eq!(conn.exactly(expected.len()).await, expected);
    let fresh = "fresh-secret-of-api-9876543210";
    let reloads = || lab.records().iter().filter(|record| record["layer"] == "credential").count();
    let before = reloads();
    lab.write_secret("api", fresh);
    lab.until("the new value is taken", || reloads() > before).await;
    // That of now, and that of before, which an origin may still send.
    for real in [fresh, REAL] {
        says.send(plain(0x82, real.as_bytes())).unwrap();
        let expected = plain(0x82, replaced(real, STUB).as_bytes());
        assert_eq!(conn.exactly(expected.len()).await, expected);
    }
}
