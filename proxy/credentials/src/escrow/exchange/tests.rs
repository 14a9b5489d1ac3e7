use super::*;

fn answer(status: u16, body: &str) -> Response<Zeroizing<Vec<u8>>> {
    Response::builder().status(status).body(Zeroizing::new(body.as_bytes().to_vec())).unwrap()
}

fn word(status: u16, body: &str) -> String {
    match judge(&answer(status, body)) {
        Verdict::Granted(tokens) => {
            let text = |secret: &Arc<Secret>| String::from_utf8_lossy(secret.reveal()).into_owned();
            let refresh = tokens.refresh.as_ref().map_or("-".into(), text);
            let life = tokens.life.map_or("-".into(), |life| life.as_secs().to_string());
            format!("{} {refresh} {life} {:?}", text(&tokens.access), tokens.scopes.unwrap_or_default())
        }
        Verdict::Gone => "gone".into(),
        Verdict::Refused(why) => format!("refused: {why}"),
        Verdict::Later(why, _) => format!("later: {why}"),
        Verdict::Unclear(why, _) => format!("unclear: {why}"),
    }
}

#[test]
fn the_life_of_a_refresh_token_is_taken_where_it_is_said() {
    for (more, expected) in [
        ("", None),
        (r#","refresh_token_expires_in":2592000"#, Some(2_592_000)),
        (r#","refresh_expires_in":"1800""#, Some(1800)),
        (r#","refresh_expires_in":0"#, None),
        (r#","refresh_token_expires_in":null"#, None),
        (r#","refresh_token_expires_in":-1"#, None),
    ] {
        let body = format!(r#"{{"access_token":"access-1","refresh_token":"refresh-1"{more}}}"#);
        let Verdict::Granted(tokens) = judge(&answer(200, &body)) else { panic!("{more}") };
        assert_eq!(tokens.refresh_life, expected.map(Duration::from_secs), "{more}");
    }
}

#[test]
fn answers_are_told_apart_by_what_may_have_happened() {
    for (status, body, expected) in [
        (
            200,
            r#"{"access_token":"access-1","refresh_token":"refresh-1","expires_in":20,"scope":"a b","token_type":"Bearer"}"#,
            r#"access-1 refresh-1 20 ["a", "b"]"#,
        ),
        (200, r#"{"access_token":"access-1","expires_in":"3600"}"#, "access-1 - 3600 []"),
        (200, r#"{"access_token":"access-1","expires_in":null}"#, "access-1 - - []"),
        (200, r#"{"access_token":"access-1","expires_in":-1}"#, "access-1 - - []"),
        (200, r#"{"error":"bad_refresh_token"}"#, "unclear: the provider's answer has no access token"),
        (200, r#"{"access_token":"a"}"#, "unclear: the provider's answer has an access token that is none"),
        (
            200,
            r#"{"access_token":"access-1","refresh_token":"r\n"}"#,
            "unclear: the provider's answer has a refresh token that is none",
        ),
        (200, "<html>", "unclear: the provider's answer is not the JSON of tokens"),
        (202, "", "unclear: the provider answered 202"),
        (201, r#"{"access_token":"access-1"}"#, "unclear: the provider answered 201"),
        (204, r#"{"error":"temporarily_unavailable"}"#, "unclear: the provider answered 204 temporarily_unavailable"),
        (400, r#"{"error":"invalid_grant","error_description":"secret"}"#, "gone"),
        (401, r#"{"error":"invalid_grant"}"#, "gone"),
        (400, r#"{"error":"invalid_client"}"#, "refused: the provider answered 400 invalid_client"),
        (400, r#"{"error":"words of its own"}"#, "refused: the provider answered 400"),
        (403, "no", "refused: the provider answered 403"),
        (302, "", "refused: the provider answered 302"),
        (429, "", "later: the provider answered 429"),
        (400, r#"{"error":"temporarily_unavailable"}"#, "later: the provider answered 400 temporarily_unavailable"),
        (500, r#"{"error":"invalid_grant"}"#, "unclear: the provider answered 500 invalid_grant"),
        (529, "", "unclear: the provider answered 529"),
    ] {
        assert_eq!(word(status, body), expected, "{status} {body}");
    }
}

#[test]
fn a_provider_may_have_us_wait_for_an_hour_at_most() {
    for (given, expected) in [("7", Some(7)), (" 30 ", Some(30)), ("86400", Some(3600)), ("soon", None), ("-1", None)] {
        let mut answer = answer(429, "");
        answer.headers_mut().insert(RETRY_AFTER, given.parse().unwrap());
        let Verdict::Later(_, after) = judge(&answer) else { panic!("later") };
        assert_eq!(after, expected.map(Duration::from_secs));
    }
}

#[test]
fn requests_are_written_as_the_provider_wants_them() {
    let fields: &[(&str, &[u8])] = &[("grant_type", b"refresh_token"), ("refresh_token", b"a+b/c=\"\\")];
    assert_eq!(*written::object(fields), *br#"{"grant_type":"refresh_token","refresh_token":"a+b/c=\"\\"}"#);
    assert_eq!(*form(fields), *b"grant_type=refresh_token&refresh_token=a%2Bb%2Fc%3D%22%5C");
    let read: serde_json::Value = serde_json::from_slice(&written::object(fields)).unwrap();
    assert_eq!(read["refresh_token"], "a+b/c=\"\\");
    let secret = Secret::new(Zeroizing::new(b"se cret/1".iter().map(|b| if *b == b' ' { b'+' } else { *b }).collect()));
    let value = basic("an id", &secret.ok().unwrap()).unwrap();
    assert!(value.is_sensitive());
    assert_eq!(value, format!("Basic {}", STANDARD.encode("an%20id:se%2Bcret%2F1")));
}
