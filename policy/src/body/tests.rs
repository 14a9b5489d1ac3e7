use super::*;
use crate::model::body::{GraphqlRule, JsonRule, Text};
use crate::model::pointer::Pointer;

fn texts(of: &[&str]) -> Box<[Text]> {
    of.iter().map(|text| Text::parse(text)).collect()
}

fn names(of: &[&str]) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = of.iter().map(|name| (*name).into()).collect();
    names.sort();
    names.into()
}

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn rule() -> BodyRule {
    let json = JsonRule {
        allow_keys: Some(names(&["model", "messages", "tools"])),
        deny_pointers: [pointer("/messages/**/cache"), pointer("/tools/*/secret")].into(),
        deny_values: [(pointer("/messages/*/source/type"), texts(&["url", "file*"]))].into(),
        allow_values: [(pointer("/tools/*/type"), texts(&["custom", "bash_*"]))].into(),
    };
    BodyRule { max_bytes: 4096, form: Form::Json(json) }
}

fn seen<'a>(bytes: &'a [u8], kind: &'a str) -> Body<'a> {
    Body { content_types: vec![kind.as_bytes()], bytes, ..Body::none() }
}

/// `ok`, `not allowed`, `not inspectable` or `too large`.
fn verdict(rule: &BodyRule, body: &Body<'_>) -> &'static str {
    match check(rule, body) {
        Ok(()) => "ok",
        Err(Fault { is_too_large: true, .. }) => "too large",
        Err(Fault { reason: Reason::BodyNotAllowed, .. }) => "not allowed",
        Err(_) => "not inspectable",
    }
}

#[test]
fn what_a_rule_demands_is_held_against_the_body() {
    for (text, expected) in [
        (r#"{}"#, "ok"),
        (r#"{"model":"m","messages":[{"role":"user","content":"mcp_servers"}]}"#, "ok"),
        (r#"{"mcp_servers":[]}"#, "not allowed"),
        // Keys and values are compared after their escapes are read.
        (r#"{"mcp\u005fservers":[]}"#, "not allowed"),
        (r#"{"\u006dodel":1}"#, "ok"),
        // Keys that are allowed are compared in exact case.
        (r#"{"Model":1}"#, "not allowed"),
        ("{\"\":1}", "not allowed"),
        (r#"{"model\u0000":1}"#, "not allowed"),
        (r#"[]"#, "not allowed"),
        (r#""model""#, "not allowed"),
        (r#"null"#, "not allowed"),
        // Nothing may stand there, null neither.
        (r#"{"tools":[{"name":"x"},{"secret":null}]}"#, "not allowed"),
        (r#"{"tools":{"a":{"secret":1}}}"#, "not allowed"),
        (r#"{"tools":[{"SECRET":1}]}"#, "not allowed"),
        (r#"{"tools":[[{"secret":1}]]}"#, "ok"),
        (r#"{"messages":{"a":[{"b":{"cache":1}}]}}"#, "not allowed"),
        (r#"{"messages":{"cache":1}}"#, "not allowed"),
        (r#"{"messages":[{"cached":1}]}"#, "ok"),
        // Values that are denied are compared without case, those that are allowed in exact case.
        (r#"{"messages":[{"source":{"type":"url"}}]}"#, "not allowed"),
        (r#"{"messages":[{"source":{"type":"URL"}}]}"#, "not allowed"),
        (r#"{"messages":[{"source":{"type":"u\u0072l"}}]}"#, "not allowed"),
        (r#"{"messages":[{"source":{"Type":"url"}}]}"#, "not allowed"),
        (r#"{"messages":[{"source":{"type":"file_id"}}]}"#, "not allowed"),
        (r#"{"messages":[{"source":{"type":"base64"}}]}"#, "ok"),
        (r#"{"messages":[{"source":{"type":["url"]}}]}"#, "ok"),
        (r#"{"tools":[{"type":"custom"},{"name":"x"}]}"#, "ok"),
        (r#"{"tools":[{"type":"bash_20250124"}]}"#, "ok"),
        (r#"{"tools":[{"type":"Custom"}]}"#, "not allowed"),
        (r#"{"tools":[{"type":"web_search_20250305"}]}"#, "not allowed"),
        (r#"{"tools":[{"TYPE":"web_search_20250305"}]}"#, "not allowed"),
        (r#"{"tools":[{"type":null}]}"#, "not allowed"),
        (r#"{"tools":[{"type":1}]}"#, "not allowed"),
        (r#"{"tools":[{"type":["custom"]}]}"#, "not allowed"),
    ] {
        assert_eq!(verdict(&rule(), &seen(text.as_bytes(), "application/json")), expected, "{text}");
    }
}

/// Frameworks that take a list as so many documents would find in it what the pointers of the rule no longer name.
#[test]
fn a_document_that_is_no_object_is_refused_whatever_the_rule_demands() {
    let json = |deny: &[&str], values: &[&str]| JsonRule {
        allow_keys: None,
        deny_pointers: deny.iter().map(|text| pointer(text)).collect(),
        deny_values: values.iter().map(|text| (pointer(text), texts(&["url"]))).collect(),
        allow_values: [].into(),
    };
    for json in [json(&["/secret"], &[]), json(&[], &["/type"]), json(&["/*/secret"], &[]), json(&["/**/x"], &[])] {
        let rule = BodyRule { max_bytes: 4096, form: Form::Json(json) };
        for text in [r#"[{"secret":1,"type":"url"}]"#, "[[]]", "[]", "null", "\"secret\"", "1", "true"] {
            assert_eq!(verdict(&rule, &seen(text.as_bytes(), "application/json")), "not allowed", "{text}");
        }
        assert_eq!(verdict(&rule, &seen(br#"{"model":1}"#, "application/json")), "ok");
    }
}

/// Many servers take a field from the query as well as from the body, and some let the query win.
#[test]
fn a_query_that_names_what_a_rule_looks_for_is_refused() {
    let json = JsonRule {
        allow_keys: Some(names(&["a", "assignees", "tools", "x"])),
        deny_pointers: [pointer("/agent_assignment"), pointer("/*/hidden"), pointer("/**/deep"), pointer("/a~1b/c")]
            .into(),
        deny_values: [(pointer("/assignees/*"), texts(&["copilot*"]))].into(),
        allow_values: [(pointer("/tools/*/type"), texts(&["custom"]))].into(),
    };
    let rule = BodyRule { max_bytes: 4096, form: Form::Json(json) };
    for (query, expected) in [
        ("", "ok"),
        ("beta=true", "ok"),
        ("per_page=agent_assignment&x=tools", "ok"),
        ("agent_assignment", "not allowed"),
        ("agent_assignment=x", "not allowed"),
        ("beta=true&agent_assignment[repo]=x", "not allowed"),
        ("beta=true;agent_assignment=x", "not allowed"),
        ("AGENT_Assignment=x", "not allowed"),
        ("agent%5Fassignment=x", "not allowed"),
        ("%61gent_assignment%5brepo%5D=x", "not allowed"),
        ("agent_assignment.repo=x", "not allowed"),
        ("+agent_assignment+=x", "not allowed"),
        ("agent_assignment_of=x", "ok"),
        ("assignees[]=copilot", "not allowed"),
        ("assignees=me", "not allowed"),
        ("tools[0][type]=custom", "not allowed"),
        ("a%2Fb=1", "not allowed"),
        ("a%2Fb[c]=1", "not allowed"),
        ("x[hidden]=1", "not allowed"),
        ("hidden=1", "ok"),
        ("deep=1", "not allowed"),
        ("x[y][deep][z]=1", "not allowed"),
        ("x[y]=deep", "ok"),
        ("a%zz=1&%=2&=3&&", "ok"),
    ] {
        let body = Body { query: Some(query.as_bytes()), ..seen(br#"{"a":1}"#, "application/json") };
        assert_eq!(verdict(&rule, &body), expected, "{query}");
    }
}

/// What two parsers could read in different ways is read in none.
#[test]
fn json_with_two_readings_is_refused() {
    let deep = |levels: usize| format!("{{\"model\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    let (deep_enough, too_deep, bottomless) = (deep(63), deep(64), format!("{{\"model\":{}", "[".repeat(4000)));
    for (text, expected) in [
        (&b"{\"model\":1,\"model\":2}"[..], "not inspectable"),
        (b"{\"model\":1,\"\\u006dodel\":2}", "not inspectable"),
        (b"{\"model\":{\"a\":[{\"b\":1,\"b\":1}]}}", "not inspectable"),
        (b"{\"model\":{\"a\":1,\"A\":2}}", "ok"),
        (b"\xef\xbb\xbf{}", "not inspectable"),
        (b"{}{}", "not inspectable"),
        (b"{} x", "not inspectable"),
        (b"{}\0", "not inspectable"),
        (b" \t\r\n{} \n", "ok"),
        (b"\x0b{}", "not inspectable"),
        (b"{}\xc2\xa0", "not inspectable"),
        (b"\xff\xfe{\0}\0", "not inspectable"),
        (b"\0{\0}", "not inspectable"),
        (b"{\"model\":\"\xff\"}", "not inspectable"),
        (b"{\"model\":\"\xc0\xaf\"}", "not inspectable"),
        (b"{\"model\":\"\xed\xa0\x80\"}", "not inspectable"),
        (b"{\"model\":\"\\ud800\"}", "not inspectable"),
        (b"{\"model\":\"\\udc00\\ud800\"}", "not inspectable"),
        (b"{\"model\":\"\\ud83d\\ude00\"}", "ok"),
        (b"{\"\\ud800\":1}", "not inspectable"),
        (b"{\"model\":\"\\x41\"}", "not inspectable"),
        (b"{\"model\":\"a\nb\"}", "not inspectable"),
        (b"{\"model\":NaN}", "not inspectable"),
        (b"{\"model\":Infinity}", "not inspectable"),
        (b"{\"model\":1e999}", "not inspectable"),
        (b"{\"model\":-1e999}", "not inspectable"),
        (b"{\"model\":1e-999}", "ok"),
        (b"{\"model\":01}", "not inspectable"),
        (b"{\"model\":+1}", "not inspectable"),
        (b"{\"model\":.5}", "not inspectable"),
        (b"{\"model\":1.}", "not inspectable"),
        (b"{\"model\":0x1}", "not inspectable"),
        (b"{\"model\":-0}", "ok"),
        (b"{\"model\":123456789012345678901234567890}", "ok"),
        (b"{\"model\":True}", "not inspectable"),
        (b"{\"model\":1,}", "not inspectable"),
        (b"{\"model\":[1,]}", "not inspectable"),
        (b"{'model':1}", "not inspectable"),
        (b"{model:1}", "not inspectable"),
        (b"{\"model\":1 // x\n}", "not inspectable"),
        (b"{/**/\"model\":1}", "not inspectable"),
        (b"{\"model\":1", "not inspectable"),
        (b"", "not inspectable"),
        (b" ", "not inspectable"),
        (deep_enough.as_bytes(), "ok"),
        (too_deep.as_bytes(), "not inspectable"),
        (bottomless.as_bytes(), "not inspectable"),
    ] {
        let found = verdict(&rule(), &seen(text, "application/json"));
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn only_plain_json_in_utf_8_is_looked_at() {
    for (kind, expected) in [
        ("application/json", "ok"),
        ("Application/JSON", "ok"),
        ("application/json; charset=utf-8", "ok"),
        ("application/json;charset=\"UTF-8\"", "ok"),
        ("application/problem+json", "ok"),
        ("application/json; charset=utf-16", "not inspectable"),
        ("application/json; charset=utf-8; charset=utf-16", "not inspectable"),
        ("application/json; charset=utf-7", "not inspectable"),
        ("application/json;", "not inspectable"),
        ("application/json, text/plain", "not inspectable"),
        ("application/+json", "not inspectable"),
        ("application/a b+json", "not inspectable"),
        ("application/jsonp", "not inspectable"),
        ("text/json", "not inspectable"),
        ("text/plain", "not inspectable"),
        ("application/x-www-form-urlencoded", "not inspectable"),
        ("multipart/form-data; boundary=x", "not inspectable"),
        ("", "not inspectable"),
    ] {
        assert_eq!(verdict(&rule(), &seen(b"{}", kind)), expected, "{kind}");
    }
    let none = Body { bytes: b"{}", ..Body::none() };
    assert_eq!(verdict(&rule(), &none), "not inspectable");
    let two = Body { content_types: vec![b"application/json", b"application/json"], ..none.clone() };
    assert_eq!(verdict(&rule(), &two), "not inspectable");
    for (coding, expected) in
        [("gzip", "not inspectable"), ("identity", "ok"), ("identity, br", "not inspectable"), ("", "not inspectable")]
    {
        let body = Body { content_encodings: vec![coding.as_bytes()], ..seen(b"{}", "application/json") };
        assert_eq!(verdict(&rule(), &body), expected, "{coding}");
    }
    let long = format!("{{\"model\":\"{}\"}}", "x".repeat(4096));
    assert_eq!(verdict(&rule(), &seen(long.as_bytes(), "application/json")), "too large");
}

#[test]
fn a_fault_names_what_the_agent_sent_in_plain_letters_and_not_all_of_it() {
    let text = format!("{{\"tools\":[{{\"\u{202e}\\u001b{}\":{{\"secret\":1}},\"x\":1}}]}}", "k".repeat(200));
    let BodyRule { form: Form::Json(json), .. } = rule() else { panic!("json") };
    let anywhere = JsonRule { deny_pointers: [pointer("/**/secret")].into(), ..json };
    let fault = json::check(&anywhere, text.as_bytes()).unwrap_err();
    assert!(fault.text.starts_with("the body has something at /tools/0/\\u{202e}\\u{1b}kkk"), "{}", fault.text);
    assert!(fault.hint().is_ascii() && fault.hint().len() < 300, "{}", fault.hint());
}

fn graphql(query: bool, fields: Option<&[&str]>, mutations: &[&str]) -> GraphqlRule {
    GraphqlRule { query, subscription: false, fields: fields.map(names), mutations: names(mutations) }
}

fn asked(rule: &GraphqlRule, document: &str) -> &'static str {
    let body = serde_json::json!({ "query": document, "variables": { "a": [1] }, "operationName": null }).to_string();
    let rule = BodyRule { max_bytes: 1 << 20, form: Form::Graphql(rule.clone()) };
    verdict(&rule, &seen(body.as_bytes(), "application/json"))
}

#[test]
fn every_root_field_of_every_operation_counts() {
    let reads = graphql(true, Some(&["viewer", "repository"]), &["addComment"]);
    for (document, expected) in [
        ("{ viewer { login } }", "ok"),
        ("query { viewer { login } repository(name: \"x\") { id } }", "ok"),
        ("{ gist }", "not allowed"),
        // The real name counts, not the alias.
        ("{ viewer: gist }", "not allowed"),
        ("{ gist: viewer }", "ok"),
        ("mutation { addComment(input: {a: 1}) { id } }", "ok"),
        ("mutation { addComment: deleteRepository }", "not allowed"),
        ("mutation { a: addComment b: deleteRepository }", "not allowed"),
        // A field of mutations is none of queries, and the other way round.
        ("{ addComment }", "not allowed"),
        ("mutation { viewer }", "not allowed"),
        // Which of them a server runs is its own affair.
        ("query A { viewer } mutation B { deleteRepository }", "not allowed"),
        ("query A { viewer } query B { gist }", "not allowed"),
        ("query A { viewer } query B { repository }", "ok"),
        ("subscription { viewer }", "not allowed"),
        // Fragments at the root are followed, wherever they stand.
        ("{ ...F } fragment F on Query { gist }", "not allowed"),
        ("{ ...F } fragment F on Query { viewer }", "ok"),
        ("fragment F on Query { ...G } fragment G on Query { ... on Query { gist } } { ...F }", "not allowed"),
        ("{ ... { gist } }", "not allowed"),
        ("{ ... on Query { viewer } }", "ok"),
        ("{ ... @include(if: true) { gist } }", "not allowed"),
        ("query @x(a: {b: [\"c\"]}) { viewer @skip(if: true) gist @skip(if: true) }", "not allowed"),
        // What stands deeper, in strings or in comments is no root field.
        ("{ viewer { gist } }", "ok"),
        ("{ viewer(a: \"} mutation { deleteRepository }\") }", "ok"),
        ("{ viewer(a: \"\"\"\" } \\\"\"\" { gist \"\"\") }", "ok"),
        ("{ viewer # } mutation { deleteRepository }\n }", "ok"),
        ("{ viewer # x\r gist }", "not allowed"),
        ("{ viewer # x\u{2028} gist\n }", "ok"),
        ("{ viewer(a: \"\\\" gist: \\\\\") gist }", "not allowed"),
        ("{ viewer, , , gist }", "not allowed"),
        ("{ __typename viewer }", "ok"),
        ("{ __schema { types { name } } }", "not allowed"),
        ("query ($a: [[Int!]!]! = [[1, -2.5e3]], $b: X = {c: ENUM} @d) { viewer(a: $a, b: null, c: true) }", "ok"),
        ("{ query mutation fragment on }", "not allowed"),
    ] {
        assert_eq!(asked(&reads, document), expected, "{document}");
    }
    let any = graphql(true, None, &[]);
    for (document, expected) in [
        ("{ __schema { types { name } } gist }", "ok"),
        ("{ __type(name: \"Repository\") { name } }", "ok"),
        ("mutation { addComment }", "not allowed"),
        ("mutation { __typename }", "not allowed"),
    ] {
        assert_eq!(asked(&any, document), expected, "{document}");
    }
}

#[test]
fn graphql_that_can_not_be_read_is_refused() {
    let any = graphql(true, None, &["addComment"]);
    let deep = format!("{}x{}", "{ a ".repeat(65), "}".repeat(65));
    let listed = format!("{{ a(b: {}1{}) }}", "[".repeat(64), "]".repeat(64));
    let many = format!("{{ {} }}", "a ".repeat(60_000));
    for document in [
        "",
        "   # nothing",
        "{",
        "{}",
        "{ a",
        "{ a } }",
        "{ a } { b }",
        "query A { a } { b }",
        "query A { a } query A { b }",
        "{ a } type X { y: Int }",
        "schema { query: Q }",
        "extend type X { y: Int }",
        "{ ...F }",
        "{ a { ...F } }",
        "{ ...F } fragment F on Query { ...F }",
        "{ ...F } fragment F on Query { ...G } fragment G on Query { a { ...F } }",
        "{ ...F } fragment F on Query { a } fragment F on Query { b }",
        "{ a } fragment on on Query { b }",
        "fragment F($x: Int = 1) on Query { a } { ...F }",
        "{ a! }",
        "{ a? }",
        "{ a(b: 01) }",
        "{ a(b: 1.) }",
        "{ a(b: 1x) }",
        "{ a(b: .5) }",
        "{ a(b: \"x) }",
        "{ a(b: \"x\ny\") }",
        "{ a(b: \"\\x41\") }",
        "{ a(b: \"\\u{41}\") }",
        "{ a(b: \"\"\"x) }",
        "{ a(b: \"\"\"x\"\"\"\") }",
        "{ a(b: \"\u{0}\") }",
        "{ a # \u{0b}\n }",
        "{ \u{e9} }",
        "{ a\u{a0}b }",
        "{ a\u{2028}b }",
        "\u{feff}{ a }",
        "{ a } \u{c}",
        "query ($a: Int = $b) { a }",
        "query ($a) { a }",
        "query (a: Int) { a }",
        "{ a: b: c }",
        "{ a .. b }",
        "quer { a }",
        &deep,
        &listed,
        &many,
    ] {
        assert_eq!(asked(&any, document), "not inspectable", "{document}");
    }
}

#[test]
fn a_graphql_request_is_one_json_object_with_its_text() {
    let rule = BodyRule { max_bytes: 1 << 20, form: Form::Graphql(graphql(true, None, &[])) };
    for (text, expected) in [
        (r#"{"query":"{a}"}"#, "ok"),
        (r#"{"query":"{a}","variables":null,"operationName":"A"}"#, "ok"),
        (r#"{"\u0071uery":"{\u0061}"}"#, "ok"),
        (r#"[{"query":"{a}"}]"#, "not inspectable"),
        (r#""{a}""#, "not inspectable"),
        (r#"{}"#, "not inspectable"),
        (r#"{"query":null}"#, "not inspectable"),
        (r#"{"query":["{a}"]}"#, "not inspectable"),
        (r#"{"query":"{a}","query":"mutation{b}"}"#, "not inspectable"),
        (r#"{"query":"{a}","Query":"mutation{b}"}"#, "not inspectable"),
        (r#"{"query":"{a}","mutation":"mutation{b}"}"#, "not inspectable"),
        (r#"{"query":"{a}","id":"x"}"#, "not inspectable"),
        (r#"{"query":"{a}","variables":"{}"}"#, "not inspectable"),
        (r#"{"query":"{a}","operationName":1}"#, "not inspectable"),
        (r#"{"query":"{a}","extensions":{}}"#, "not inspectable"),
        (r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}"#, "not inspectable"),
    ] {
        assert_eq!(verdict(&rule, &seen(text.as_bytes(), "application/json")), expected, "{text}");
    }
    let body = seen(br#"{"query":"{a}"}"#, "application/json");
    assert_eq!(verdict(&rule, &Body { query: Some(b"query={b}"), ..body.clone() }), "not inspectable");
    for kind in ["application/graphql", "application/graphql+json", "text/plain"] {
        assert_eq!(verdict(&rule, &Body { content_types: vec![kind.as_bytes()], ..body.clone() }), "not inspectable");
    }
}

#[test]
fn a_rule_covers_another_only_where_it_lets_pass_all_that_the_other_does() {
    let json = |change: &dyn Fn(&mut JsonRule)| {
        let BodyRule { max_bytes, form: Form::Json(mut json) } = rule() else { panic!("json") };
        change(&mut json);
        BodyRule { max_bytes, form: Form::Json(json) }
    };
    let narrower = [
        json(&|_| {}),
        json(&|rule| rule.allow_keys = Some(names(&["model"]))),
        json(&|rule| {
            rule.deny_pointers = [pointer("/tools/*/secret"), pointer("/x"), pointer("/messages/**/cache")].into()
        }),
        json(&|rule| rule.deny_values = [(pointer("/messages/*/source/type"), texts(&["*"]))].into()),
        json(&|rule| rule.allow_values = [(pointer("/tools/*/type"), texts(&["bash_2*"]))].into()),
        BodyRule { max_bytes: 1, ..rule() },
    ];
    let others = [
        json(&|rule| rule.allow_keys = None),
        json(&|rule| rule.allow_keys = Some(names(&["system"]))),
        json(&|rule| rule.deny_pointers = Box::default()),
        json(&|rule| rule.deny_values = [(pointer("/messages/*/source/type"), texts(&["url", "file"]))].into()),
        json(&|rule| rule.allow_values = [(pointer("/tools/*/type"), texts(&["bash*"]))].into()),
        json(&|rule| rule.allow_values = Box::default()),
        BodyRule { max_bytes: 1 << 30, ..rule() },
        BodyRule { max_bytes: 1, form: Form::Graphql(graphql(true, None, &[])) },
    ];
    assert!(narrower.iter().all(|narrow| rule().covers(narrow)));
    assert!(!others.iter().any(|other| rule().covers(other)));
    let of = |rule| BodyRule { max_bytes: 1, form: Form::Graphql(rule) };
    let wide = of(graphql(true, Some(&["a", "b"]), &["c", "d"]));
    assert!(wide.covers(&of(graphql(true, Some(&["a"]), &["d"]))));
    assert!(wide.covers(&of(graphql(false, None, &["d"]))));
    assert!(!wide.covers(&of(graphql(true, None, &[]))));
    assert!(!wide.covers(&of(graphql(true, Some(&["a"]), &["e"]))));
    assert!(!of(graphql(false, None, &["c"])).covers(&of(graphql(true, Some(&["a"]), &["c"]))));
}
