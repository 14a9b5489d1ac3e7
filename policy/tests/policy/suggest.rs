//! Suggestions: for what was seen and nothing else, whatever the records hold.

use proptest::prelude::*;
use stubgate_policy::suggest::{Record, Suggest, Suggestion};
use stubgate_policy::{Policy, QueryKind, Reason, SlotRef};

use crate::support::{ask, ask_with, connect, file, name, policy, policy_of, said, with_rules};

const RULES: &str = "  - { name: read, agents: [a], hosts: [api.github.com], methods: [GET], paths: ['/repos/**'] }
  - { name: git, agents: [a], hosts: [github.com], methods: [GET], credentials: [github] }
  - { name: no-keys, effect: deny, agents: ['*'], hosts: [api.github.com], methods: [any], paths: ['/user/keys'] }
  - { name: watch, effect: observe, agents: [b], hosts: [new.example], methods: [any] }";

/// `agent`, `reason`, and `METHOD https://host:port/path` with ` stub NAME` where one was presented.
fn http(agent: &'static str, reason: &'static str, request: &'static str) -> Record<'static> {
    let (request, stub_of) = request.split_once(" stub ").unwrap_or((request, ""));
    let (method, url) = request.split_once(' ').unwrap();
    let at = url.find("://").unwrap() + 3;
    let slash = url[at..].find('/').unwrap() + at;
    Record {
        layer: "http".into(),
        authority: url[..slash].into(),
        method: method.into(),
        path: url[slash..].into(),
        stub_of: stub_of.into(),
        ..refusal(agent, reason)
    }
}

fn refusal(agent: &'static str, reason: &'static str) -> Record<'static> {
    Record {
        time: "2026-11-20T10:00:00.000001Z".into(),
        event: "refused".into(),
        agent: agent.into(),
        decision: if reason == "observed" { "observe".into() } else { "deny".into() },
        reason: reason.into(),
        ..Record::default()
    }
}

fn dns(agent: &'static str, name: &'static str, qtype: u16) -> Record<'static> {
    Record { layer: "dns".into(), name: name.into(), qtype: Some(qtype), ..refusal(agent, "name_not_allowed") }
}

fn tls(agent: &'static str, authority: &'static str) -> Record<'static> {
    Record { layer: "tls".into(), authority: authority.into(), ..refusal(agent, "connect_not_allowed") }
}

fn suggest(policy: &Policy, records: &[Record<'_>]) -> Suggestion {
    let mut suggest = Suggest::new(policy);
    records.iter().for_each(|record| suggest.add(record));
    suggest.finish()
}

/// The policy and its suggestion together.
fn after(rules: &str, suggestion: &Suggestion) -> Policy {
    policy_of(&[file(&with_rules(rules)), file(&suggestion.yaml)])
}

#[test]
fn a_suggestion_says_what_was_seen_and_what_is_left_out() {
    let policy = policy(&with_rules(RULES));
    let later = |record: Record<'static>| Record { time: "2026-11-21T09:12:44.5Z".into(), ..record };
    let records = [
        http("a", "method_not_allowed", "POST https://api.github.com:443/repos/acme/site/issues"),
        http("a", "method_not_allowed", "POST https://api.github.com:443/repos/acme/site/issues/7/comments"),
        later(http("a", "method_not_allowed", "POST https://api.github.com:443/repos/acme/site/issues/12/comments")),
        http("a", "path_not_allowed", "GET https://api.github.com:443/user stub github"),
        http("a", "method_not_allowed", "POST https://github.com:443/acme/site.git/git-upload-pack stub github"),
        http("b", "observed", "GET https://new.example:443/v1"),
        http("b", "observed", "POST https://new.example:443/v1"),
        http("b", "host_not_allowed", "GET http://plain.example:8080/x"),
        http("b", "host_not_allowed", "GET https://10.0.0.5:8006/api2/json/nodes"),
        dns("a", "www.example.com", 1),
        dns("a", "www.example.com", 28),
        dns("b", "new.example", 1),
        tls("b", "https://other.example:8443"),
        http("a", "stub_wrong_host", "GET https://evil.example:443/ stub github"),
        later(http("a", "stub_wrong_host", "GET https://evil.example:443/x stub github")),
        http("a", "denied_by_rule", "POST https://api.github.com:443/user/keys"),
        http("a", "address_not_public", "GET https://api.github.com:443/x"),
        http("b", "host_not_allowed", "GET http://169.254.169.254:80/latest/meta-data"),
        Record {
            event: "suppressed".into(),
            layer: "http".into(),
            count: Some(41),
            ..refusal("b", "host_not_allowed")
        },
        Record { event: "begin".into(), decision: "allow".into(), ..refusal("a", "") },
    ];
    let suggestion = suggest(&policy, &records);
    insta::assert_snapshot!(suggestion.yaml);
    assert_eq!((suggestion.allows, suggestion.observes), (6, 2));
    let after = after(RULES, &suggestion);
    for (agent, request, expected) in [
        ("a", "POST https://api.github.com/repos/acme/site/issues", "allow a-api.github.com-post"),
        ("a", "POST https://api.github.com/repos/acme/site/issues/99/comments", "allow a-api.github.com-post"),
        ("a", "POST https://api.github.com/repos/acme/site/issues/99", "deny path_not_allowed"),
        ("a", "POST https://api.github.com/repos/acme/other/issues", "deny path_not_allowed"),
        ("b", "POST https://api.github.com/repos/acme/site/issues", "deny host_not_allowed"),
        ("b", "GET https://new.example/v1", "allow b-new.example-get-post"),
        ("b", "GET https://new.example/v2", "deny observed"),
        ("b", "GET http://plain.example:8080/x", "allow b-plain.example-8080-http-get"),
        ("b", "GET https://plain.example/x", "deny host_not_allowed"),
        ("a", "GET https://www.example.com/", "deny observed"),
        ("a", "GET https://evil.example/", "deny host_not_allowed"),
        ("b", "GET http://169.254.169.254/latest/meta-data", "deny host_not_allowed"),
        ("a", "POST https://api.github.com/user/keys", "deny denied_by_rule"),
    ] {
        assert_eq!(said(&after, &ask(&after, agent, request)), expected, "{agent} {request}");
    }
    let with_stub = |request| {
        let decision = ask_with(&after, "a", request, &[(SlotRef::Bearer, "stub-github")]);
        decision.granted().and_then(|permit| permit.swap().map(|swap| swap.name.to_string()))
    };
    assert_eq!(with_stub("GET https://api.github.com/user").as_deref(), Some("github"));
    assert_eq!(with_stub("POST https://api.github.com/repos/acme/site/issues"), None, "no stub was presented there");
    // From names alone: the name is answered and a head is read, and that is all.
    assert!(name(&after, "a", "www.example.com", QueryKind::A).granted().is_some());
    assert!(connect(&after, "b", "https://other.example:8443").granted().is_some());
    assert!(connect(&after, "b", "https://other.example").granted().is_none());
}

#[test]
fn no_reason_but_a_missing_grant_leads_to_a_rule() {
    let before = policy(&with_rules(RULES));
    for reason in Reason::ALL {
        let missing = matches!(
            reason.as_str(),
            "name_not_allowed"
                | "connect_not_allowed"
                | "host_not_allowed"
                | "method_not_allowed"
                | "path_not_allowed"
                | "observed"
                | "stub_not_granted"
        );
        let record = http("a", reason.as_str(), "POST https://github.com:443/x stub github");
        let suggestion = suggest(&before, &[record]);
        assert_eq!(suggestion.allows, usize::from(missing), "{reason}");
        assert_eq!(suggestion.yaml.contains("\nrules:"), missing, "{reason}");
        assert_eq!(suggestion.yaml.contains("# Not suggested:"), !missing, "{reason}");
        let _ = after(RULES, &suggestion);
    }
}

#[test]
fn what_no_rule_could_allow_is_not_suggested() {
    let looks = "{ name: looks, agents: [a], hosts: [looked.example], methods: [POST], paths: [/v1], \
                 body: { json: { allow_keys: [x] } } }";
    let policy = policy(&with_rules(&format!("{RULES}\n  - {looks}")));
    for (record, why) in [
        (http("a", "body_not_allowed", "POST https://looked.example:443/v1"), "looks into the bodies"),
        (http("a", "path_not_allowed", "POST https://looked.example:443/v1"), "looks into the bodies"),
        (http("a", "host_not_allowed", "GET https://x.example:443/ stub github"), "may not go"),
        (http("a", "host_not_allowed", "GET http://api.github.com:80/ stub github"), "plain HTTP"),
        (http("a", "stub_not_granted", "GET https://github.com:443/"), "whose stub"),
        (http("a", "host_not_allowed", "GET https://x.example:443/ stub other"), "no such credential"),
        (http("a", "path_not_allowed", "GET https://api.github.com:443/a*b"), "`*`"),
        (http("a", "path_not_allowed", "GET https://api.github.com:443/**"), "`*`"),
        (http("a", "path_not_allowed", "GET https://api.github.com:443/a/../b"), "more than one way"),
        (http("a", "path_not_allowed", "GET https://api.github.com:443/a\\u{1b}"), "more than one way"),
        (http("a", "path_not_allowed", "GET https://api.github.com:443/x[cut]"), "more than one way"),
        (http("a", "method_not_allowed", "get https://api.github.com:443/"), "name the method"),
        (http("a", "method_not_allowed", "TRACE https://api.github.com:443/"), "name the method"),
        (http("a", "method_not_allowed", "ANY https://api.github.com:443/"), "name the method"),
        (http("a", "path_not_allowed", "GET https://api.github.com:443/user/keys"), "deny rule"),
        (http("a", "host_not_allowed", "GET https://[::1]:443/"), "never dialled"),
        (http("a", "host_not_allowed", "GET http://stubgate.internal:80/x"), "stubgate's own"),
        (http("c", "host_not_allowed", "GET https://x.example:443/"), "no such agent"),
        (http("", "unknown_agent", "GET https://x.example:443/"), "no such agent"),
        (http("a", "mood", "GET https://x.example:443/"), "no reason"),
        (http("a", "host_not_allowed", "GET ftp://x.example:443/"), "no host"),
        (http("a", "host_not_allowed", "GET https://x..example:443/"), "no host"),
        (dns("a", "x.example", 16), "A and AAAA"),
        (dns("a", "1.0.0.10.in-addr.arpa", 1), "reverse"),
        (dns("a", "127.1", 1), "no host"),
    ] {
        let suggestion = suggest(&policy, std::slice::from_ref(&record));
        assert_eq!((suggestion.allows, suggestion.observes, suggestion.counts.left_out), (0, 0, 1), "{record:?}");
        let line = suggestion.yaml.lines().find(|line| line.starts_with("# - ")).unwrap_or_default();
        assert!(line.contains(why), "{record:?}: {line}");
    }
}

#[test]
fn a_quote_in_a_path_is_read_as_the_record_escaped_it() {
    let policy = policy(&with_rules(RULES));
    let suggestion = suggest(&policy, &[http("a", "path_not_allowed", "GET https://api.github.com:443/it\\'s")]);
    let after = after(RULES, &suggestion);
    assert_eq!(said(&after, &ask(&after, "a", "GET https://api.github.com/it's")), "allow a-api.github.com-get");
}

#[test]
fn text_of_records_can_not_become_a_rule() {
    let policy = policy(&with_rules(RULES));
    let evil = "x\n  - { name: all, agents: ['*'], hosts: [evil.example], methods: [any] }\n# \u{202e}\u{1b}[2J\"'\\";
    let clean = http("a", "path_not_allowed", "GET https://api.github.com:443/ok");
    let fields: [fn(&mut Record<'_>, String); 9] = [
        |record, text| record.time = text.into(),
        |record, text| record.agent = text.into(),
        |record, text| record.authority = format!("https://{text}").into(),
        |record, text| record.method = text.into(),
        |record, text| record.path = format!("/{text}").into(),
        |record, text| record.reason = text.into(),
        |record, text| record.stub_of = text.into(),
        |record, text| record.layer = text.into(),
        |record, text| record.name = text.into(),
    ];
    for (at, set) in fields.into_iter().enumerate() {
        for layer in ["http", "dns", "connect"] {
            for event in ["refused", "suppressed"] {
                let mut odd = Record { layer: layer.into(), event: event.into(), ..clean.clone() };
                set(&mut odd, evil.into());
                let suggestion = suggest(&policy, &[clean.clone(), odd]);
                let after = after(RULES, &suggestion);
                assert!(after.rule_named("all").is_none(), "field {at}: {}", suggestion.yaml);
                assert!(suggestion.yaml.is_ascii() && !suggestion.yaml.contains('\u{1b}'), "field {at}");
                assert!(after.rules().len() <= policy.rules().len() + 2, "field {at}: {}", suggestion.yaml);
            }
        }
    }
}

#[test]
fn an_agent_can_not_choose_a_pattern_that_reaches_far() {
    let policy = policy(&with_rules(RULES));
    let record = |request| http("a", "method_not_allowed", request);
    let suggestion = suggest(
        &policy,
        &[
            record("POST https://github.com:443/1111111/2222222/git-receive-pack stub github"),
            record("POST https://github.com:443/3333333/4444444/git-receive-pack stub github"),
        ],
    );
    assert!(!suggestion.yaml.contains('*'), "{}", suggestion.yaml);
    // Words: not in the first segment, and not where a credential would be used to change something.
    let of = |method: &str, folder: &str, stub: &'static str| {
        let mut all = Suggest::new(&policy);
        for word in "abcdefghij".chars() {
            let (path, method) = (format!("{folder}/{word}").into(), method.to_owned().into());
            let request = "GET https://github.com:443/";
            let path = Record { path, method, stub_of: stub.into(), ..http("a", "host_not_allowed", request) };
            all.add(&Record { authority: "https://api.github.com:443".into(), ..path });
        }
        all.finish().yaml
    };
    for (method, folder, stub, starred) in [
        ("GET", "", "", false),
        ("GET", "", "github", false),
        ("GET", "/d", "", true),
        ("GET", "/d", "github", true),
        ("HEAD", "/d", "github", true),
        ("POST", "/d", "", true),
        ("POST", "/d", "github", false),
        ("PUT", "/d", "github", false),
    ] {
        let yaml = of(method, folder, stub);
        assert_eq!(yaml.contains('*'), starred, "{method} {folder} {stub}\n{yaml}");
    }
    let yaml = of("GET", "/d", "");
    let line = "      - \"/d/*\" # 10; wider than what was seen, `*` was: a b c d e f g h and others\n";
    assert!(yaml.contains(line), "{yaml}");
}

#[test]
fn paths_of_any_length_take_no_time() {
    let policy = policy(&with_rules(RULES));
    let mut all = Suggest::new(&policy);
    let began = std::time::Instant::now();
    for number in 0..4_000 {
        let path = format!("{}/{number}{}", "/x".repeat(number % 600), "/x".repeat(600 - number % 600)).into();
        all.add(&Record { path, ..http("b", "host_not_allowed", "GET https://x.example:443/") });
        let path = format!("{}/{number}/{}", "/y".repeat(number % 60), number % 9).into();
        all.add(&Record { path, ..http("b", "host_not_allowed", "GET https://x.example:443/") });
    }
    let suggestion = all.finish();
    assert_eq!((suggestion.counts.suggested, suggestion.counts.left_out), (4_000, 4_000));
    let why = "(4000 times, 2026-11-20T10:00:00Z): the path is over 64 segments or 2 KiB long";
    assert!(suggestion.yaml.contains(why), "{}", suggestion.yaml);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

#[test]
fn the_same_without_a_stub_needs_no_rule_of_its_own() {
    let policy = policy(&with_rules(RULES));
    let records = [
        http("a", "path_not_allowed", "GET https://api.github.com:443/user"),
        http("a", "path_not_allowed", "GET https://api.github.com:443/user stub github"),
        http("a", "path_not_allowed", "GET https://api.github.com:443/zen"),
    ];
    let suggestion = suggest(&policy, &records);
    assert_eq!(suggestion.allows, 2, "{}", suggestion.yaml);
    let after = after(RULES, &suggestion);
    for (request, expected) in [
        ("GET https://api.github.com/user", "allow a-api.github.com-get-with-github"),
        ("GET https://api.github.com/zen", "allow a-api.github.com-get"),
    ] {
        assert_eq!(said(&after, &ask(&after, "a", request)), expected);
    }
}

#[test]
fn floods_of_names_are_told_and_not_suggested() {
    let policy = policy(&with_rules(RULES));
    let mut all = Suggest::new(&policy);
    for number in 0..50 {
        all.add(&Record { name: format!("x{number}.evil.example").into(), ..dns("a", "", 1) });
    }
    for number in 0..5_000 {
        let authority = format!("http://h{number}.example:80").into();
        all.add(&Record { authority, ..http("b", "host_not_allowed", "GET http://x:80/") });
    }
    all.add(&dns("a", "www.example.com", 1));
    let suggestion = all.finish();
    assert_eq!(suggestion.observes, 1);
    assert_eq!(suggestion.allows, 2_000, "of one agent");
    assert_eq!(suggestion.counts.left_out, 3_000 + 50);
    assert!(suggestion.yaml.contains("names below evil.example (50 times"));
}

#[test]
fn since_and_agent_leave_the_rest_out() {
    let policy = policy(&with_rules(RULES));
    let records = || {
        ["2026-11-19T23:59:59.999999Z", "2026-11-20T00:00:00.000000Z"].into_iter().flat_map(|time| {
            ["a", "b"].map(|agent| Record {
                time: time.into(),
                ..http(agent, "host_not_allowed", "GET https://x.example:443/")
            })
        })
    };
    let count = |mut suggest: Suggest<'_>| {
        records().for_each(|record| suggest.add(&record));
        let suggestion = suggest.finish();
        (suggestion.counts.records, suggestion.allows)
    };
    let a = policy.agent_named("a").unwrap();
    assert_eq!(count(Suggest::new(&policy)), (4, 2));
    assert_eq!(count(Suggest::new(&policy).only(a)), (2, 1));
    assert_eq!(count(Suggest::new(&policy).since("2026-11-20T00:00:00Z")), (2, 2));
    assert_eq!(count(Suggest::new(&policy).since("2026-11-20").only(a)), (1, 1));
    assert_eq!(count(Suggest::new(&policy).since("2026-11-21")), (0, 0));
}

#[test]
fn names_of_rules_are_unique_and_not_those_of_the_policy() {
    let long = "h".repeat(60) + ".example";
    let rules = format!("{RULES}\n  - {{ name: a-x.example-get, agents: [b], hosts: [y.example], methods: [GET] }}");
    let policy = policy(&with_rules(&rules));
    let mut all = Suggest::new(&policy);
    all.add(&http("a", "host_not_allowed", "GET https://x.example:443/"));
    for method in ["GET", "POST", "PUT"] {
        for path in ["/a", "/b"] {
            let authority = format!("https://{long}:443").into();
            let path = format!("{path}/{method}").into();
            let method = method.into();
            all.add(&Record { authority, path, method, ..http("a", "host_not_allowed", "GET https://x:443/") });
        }
    }
    let suggestion = all.finish();
    assert!(suggestion.yaml.contains("name: a-x.example-get-2\n"), "{}", suggestion.yaml);
    let after = policy_of(&[file(&with_rules(&rules)), file(&suggestion.yaml)]);
    assert_eq!(after.rules().len(), policy.rules().len() + 4);
}

const HOSTS: [&str; 3] = ["https://api.github.com:443", "https://github.com:443", "http://new.example:80"];
const METHODS: [&str; 3] = ["GET", "POST", "WEBSOCKET"];
const PATHS: [&str; 6] = ["/", "/repos/x", "/user/keys", "/repos", "/i/1", "/j/2"];
const STUBS: [&str; 2] = ["", "github"];

fn decided(policy: &Policy, agent: &str, host: &str, method: &str, path: &str, stub: &str) -> bool {
    let host = host.trim_end_matches(":443").trim_end_matches(":80");
    let request = match method {
        "WEBSOCKET" => format!("GET ws{}{path}", host.strip_prefix("http").unwrap()),
        method => format!("{method} {host}{path}"),
    };
    let tokens = [(SlotRef::Bearer, "stub-github")];
    let tokens = if stub.is_empty() { &[][..] } else { &tokens[..] };
    ask_with(policy, agent, &request, tokens).granted().is_some()
}

proptest! {
    #[test]
    fn exactly_what_was_seen_becomes_allowed(
        seen in prop::collection::vec((0..2_usize, 0..3_usize, 0..3_usize, 0..6_usize, 0..2_usize), 0..12)
    ) {
        let before = policy(&with_rules(RULES));
        let mut all = Suggest::new(&before);
        for (agent, host, method, path, stub) in &seen {
            all.add(&Record {
                layer: "http".into(),
                authority: HOSTS[*host].into(),
                method: METHODS[*method].into(),
                path: PATHS[*path].into(),
                stub_of: STUBS[*stub].into(),
                ..refusal(["a", "b"][*agent], "host_not_allowed")
            });
        }
        let suggestion = all.finish();
        let after = after(RULES, &suggestion);
        for (a, agent) in ["a", "b"].into_iter().enumerate() {
            for (h, host) in HOSTS.into_iter().enumerate() {
                for (m, method) in METHODS.into_iter().enumerate() {
                    for (p, path) in PATHS.into_iter().enumerate() {
                        for (s, stub) in STUBS.into_iter().enumerate() {
                            let (was, is) = (
                                decided(&before, agent, host, method, path, stub),
                                decided(&after, agent, host, method, path, stub),
                            );
                            let of = |stub| seen.contains(&(a, h, m, p, stub));
                            // Where a stub may go, the same request without one may go too; none goes over plain HTTP.
                            let expected = of(s) || (s == 0 && h != 2 && of(1));
                            let never = (path == "/user/keys" && h == 0) || (s == 1 && h == 2);
                            prop_assert!(!was || is, "nothing is taken away");
                            let case = format!("{agent} {method} {host}{path} {stub}\n{}", suggestion.yaml);
                            prop_assert_eq!(is, was || (expected && !never), "{}", case);
                        }
                    }
                }
            }
        }
    }
}
