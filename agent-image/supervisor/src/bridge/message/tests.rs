use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

fn said(text: &str) -> Result<Said<Tools>, Malformed> {
    read(text.as_bytes(), 7)
}

#[test]
fn an_answer_is_that_to_the_question_and_nothing_else() {
    let tools = Tools { tools: vec![Tool { name: "a".into() }], next_cursor: None };
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"a","inputSchema":{}}]}}"#;
    assert_eq!(said(answer), Ok(Said::Answer(tools)));
    for (text, expected) in [
        (r#"{"jsonrpc":"2.0","id":8,"result":{"tools":[]}}"#, Ok(Said::Other)),
        (r#"{"jsonrpc":"2.0","id":"7","result":{"tools":[]}}"#, Ok(Said::Other)),
        (r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#, Ok(Said::Other)),
        (r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#, Ok(Said::Asked { id: "\"x\"".into(), is_ping: true })),
        (r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#, Ok(Said::Asked { id: "7".into(), is_ping: false })),
        (r#"{"jsonrpc":"2.0","id":7,"result":{"tools":{}}}"#, Err(Malformed::Answer)),
        (r#"{"jsonrpc":"2.0","id":7,"result":{}}"#, Err(Malformed::Answer)),
        (r#"{"jsonrpc":"2.0","id":7}"#, Err(Malformed::Message)),
        (r#"{"jsonrpc":"1.0","id":7,"result":{"tools":[]}}"#, Err(Malformed::Message)),
        (r#"{"id":7,"result":{"tools":[]}}"#, Err(Malformed::Message)),
        (r#"[{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}]"#, Err(Malformed::Message)),
        ("Starting server...", Err(Malformed::Message)),
        ("", Err(Malformed::Message)),
    ] {
        assert_eq!(said(text), expected, "{text}");
    }
}

#[test]
fn a_refusal_is_shown_on_one_clean_line() {
    let text = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"no\n\u001b[31msuch \u202ething"}}"#;
    assert_eq!(said(text), Ok(Said::Refused(-32601, "no  [31msuch  thing".into())));
    let long = format!(r#"{{"jsonrpc":"2.0","id":7,"error":{{"code":1,"message":"{}"}}}}"#, "ä".repeat(9000));
    assert_eq!(said(&long), Ok(Said::Refused(1, "ä".repeat(SHOWN))));
}

#[test]
fn nesting_without_end_is_no_message() {
    let deep = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{}"#, "[".repeat(500_000));
    assert_eq!(said(&deep), Err(Malformed::Message));
}

fn events(text: &[u8]) -> Vec<Vec<u8>> {
    Events::new(1 << 20).feed(text).unwrap()
}

#[test]
fn events_are_read_as_the_standard_says() {
    for (text, expected) in [
        ("event: message\ndata: {}\n\n", vec!["{}"]),
        ("data:{}\r\n\r\ndata: 2\r\rdata:  3\n\n", vec!["{}", "2", " 3"]),
        (": ping\n\ndata: a\ndata: b\ndata\n\n", vec!["a\nb\n"]),
        ("\u{feff}data: a\n\n\u{feff}data: b\n\n", vec!["a"]),
        ("id: 1\nretry: 5\n\n\n", vec![]),
        ("data: a\nevent: x\n", vec![]),
        ("dataset: a\ndatab\n\n", vec![]),
        ("data:\n\n", vec![""]),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|text| text.as_bytes().to_vec()).collect();
        assert_eq!(events(text.as_bytes()), expected, "{text:?}");
    }
}

#[test]
fn a_stream_that_is_too_long_ends() {
    let mut stream = Events::new(10);
    assert_eq!(stream.feed(b"data: 12\n"), Ok(vec![]));
    assert_eq!(stream.feed(b"\n "), Err(Malformed::Long));
}

/// What stands in streams, more often than chance has it.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"data".to_vec()),
        Just(b": ".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just("\u{feff}".as_bytes().to_vec()),
        Just(br#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}"#.to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn where_a_stream_is_cut_makes_no_difference(bytes in stream(), cuts in prop::collection::vec(0usize..300, 0..9)) {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut stream = Events::new(bytes.len());
        let mut found = Vec::new();
        for pair in cuts.windows(2) {
            found.extend(stream.feed(&bytes[pair[0]..pair[1]]).unwrap());
        }
        let kept: usize = found.iter().map(Vec::len).sum();
        prop_assert!(kept <= bytes.len());
        prop_assert_eq!(found, events(&bytes));
    }

    #[test]
    fn no_bytes_are_an_answer_to_another_question(bytes in stream(), question in 0u64..20) {
        for event in events(&bytes) {
            match read::<Tools>(&event, question) {
                Ok(Said::Answer(_)) => prop_assert_eq!(question, 7),
                Ok(Said::Refused(_, text)) => prop_assert!(text.chars().all(is_plain)),
                _ => {}
            }
        }
        let _ = read::<IgnoredAny>(&bytes, question);
    }

    #[test]
    fn a_text_that_is_shown_is_one_short_line(text in any::<String>()) {
        let shown = shown(&text);
        prop_assert!(shown.chars().count() <= SHOWN && shown.chars().all(is_plain));
    }
}
