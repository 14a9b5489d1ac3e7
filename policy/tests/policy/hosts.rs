//! The paragraph "Hosts" and "Methods" of the format, sentence by sentence.

use stubgate_policy::Reason;

use crate::support::{ask, connect, errors, policy, reason, said, with_rules};

fn rule(hosts: &str) -> String {
    with_rules(&format!("  - {{ name: r, agents: [a], hosts: [{hosts}], methods: [any] }}"))
}

fn reaches(hosts: &str, url: &str) -> bool {
    let policy = policy(&rule(hosts));
    let allowed = ask(&policy, "a", &format!("GET {url}")).granted().is_some();
    assert_eq!(
        connect(&policy, "a", url.strip_suffix('/').unwrap_or(url)).granted().is_some(),
        allowed,
        "{hosts} {url}"
    );
    allowed
}

#[test]
fn a_star_is_exactly_one_label_and_two_are_one_or_more() {
    for (hosts, url, allowed) in [
        ("x.example", "https://x.example", true),
        ("x.example", "https://a.x.example", false),
        ("x.example", "https://evilx.example", false),
        ("'*.x.example'", "https://a.x.example", true),
        ("'*.x.example'", "https://a.b.x.example", false),
        ("'*.x.example'", "https://x.example", false),
        ("'*.x.example'", "https://evilx.example", false),
        ("'**.x.example'", "https://a.x.example", true),
        ("'**.x.example'", "https://a.b.c.x.example", true),
        ("'**.x.example'", "https://x.example", false),
        ("'**.x.example'", "https://evilx.example", false),
        ("'**.x.example'", "https://a.x.example.evil.example", false),
        ("X.Example.", "https://x.example", true),
        ("münchen.example", "https://xn--mnchen-3ya.example", true),
    ] {
        assert_eq!(reaches(hosts, url), allowed, "{hosts} {url}");
    }
}

#[test]
fn an_allow_rule_means_https_on_443_unless_it_says_more() {
    for (hosts, url, allowed) in [
        ("x.example", "https://x.example:443", true),
        ("x.example", "https://x.example:8443", false),
        ("x.example", "http://x.example", false),
        ("x.example", "http://x.example:443", false),
        ("'x.example:8443'", "https://x.example:8443", true),
        ("'x.example:8443'", "https://x.example", false),
        ("'x.example:8443'", "http://x.example:8443", false),
        ("'x.example:80'", "https://x.example:80", true),
        ("'x.example:80'", "http://x.example", false),
        ("'http://x.example'", "http://x.example", true),
        ("'http://x.example'", "http://x.example:8080", false),
        ("'http://x.example'", "https://x.example", false),
        ("'http://x.example:8080'", "http://x.example:8080", true),
        ("'http://x.example:8080'", "http://x.example", false),
        ("'http://*.x.example'", "http://a.x.example", true),
        ("'*.x.example:8443'", "https://a.x.example:8443", true),
        ("'*.x.example:8443'", "https://a.x.example", false),
    ] {
        assert_eq!(reaches(hosts, url), allowed, "{hosts} {url}");
    }
}

#[test]
fn addresses_are_reached_only_as_the_literal_that_is_written() {
    for (hosts, url, allowed) in [
        ("'10.0.0.5:8006'", "https://10.0.0.5:8006", true),
        ("'10.0.0.5:8006'", "https://10.0.0.5", false),
        ("'10.0.0.5:8006'", "https://10.0.0.6:8006", false),
        ("'[2001:db8::1]'", "https://[2001:db8::1]", true),
        ("'[2001:db8::1]'", "https://[2001:DB8:0::1]", true),
        ("'[2001:db8::1]:8443'", "https://[2001:db8::1]:8443", true),
        ("'**.x.example'", "https://10.0.0.5", false),
    ] {
        assert_eq!(reaches(hosts, url), allowed, "{hosts} {url}");
    }
}

fn with_deny(deny: &str) -> String {
    with_rules(&format!(
        "  - {{ name: all, agents: [a], hosts: [x.example, 'x.example:8443', 'http://x.example', 'http://x.example:8080', sub.x.example], methods: [any] }}
  - {{ name: no, effect: deny, agents: [\"*\"], {deny} }}"
    ))
}

#[test]
fn a_deny_rule_covers_every_scheme_and_port_that_it_does_not_name() {
    let all = [
        "https://x.example",
        "https://x.example:8443",
        "http://x.example",
        "http://x.example:8080",
        "https://sub.x.example",
    ];
    for (hosts, denied) in [
        ("x.example", [true, true, true, true, false]),
        ("'x.example:8443'", [false, true, false, false, false]),
        ("'x.example:443'", [true, false, false, false, false]),
        ("'http://x.example'", [false, false, true, true, false]),
        ("'http://x.example:8080'", [false, false, false, true, false]),
        ("any", [true; 5]),
        ("'*.x.example'", [false, false, false, false, true]),
        ("'**.example'", [true; 5]),
    ] {
        let policy = policy(&with_deny(&format!("hosts: [{hosts}], methods: [any]")));
        for (url, denied) in all.iter().zip(denied) {
            let expected = if denied { "deny denied_by_rule" } else { "allow all" };
            assert_eq!(said(&policy, &ask(&policy, "a", &format!("GET {url}/"))), expected, "{hosts} {url}");
            assert_eq!(connect(&policy, "a", url).granted().is_none(), denied, "{hosts} {url}");
        }
    }
}

#[test]
fn a_wildcard_directly_under_a_public_suffix_is_refused() {
    for host in [
        "*.com",
        "**.com",
        "*.co.uk",
        "*.github.io",
        "**.github.io",
        "*.s3.amazonaws.com",
        "*.ck",
        "*.foo.ck",
        "*.xn--p1ai",
        "*.рф",
        "*.compute.amazonaws.com",
        "*.blogspot.com",
    ] {
        assert_eq!(errors(&rule(&format!("'{host}'"))), ["SG0132"], "{host}");
    }
    for host in [
        "*.example.com",
        "*.acme.co.uk",
        "*.acme.github.io",
        "**.svc.cluster.local",
        "*.internal.example",
        "github.io",
        "*.www.ck",
    ] {
        assert_eq!(errors(&rule(&format!("'{host}'"))), Vec::<&str>::new(), "{host}");
    }
    let credential = with_rules("").replace("hosts: [api.github.com, github.com]", "hosts: [\"*.github.io\"]");
    assert!(errors(&credential.replace("rules:\n", "")).contains(&"SG0132"), "a credential's hosts too");
}

#[test]
fn hosts_that_could_be_misread_are_refused() {
    for (host, code) in [
        ("*github.com", "SG0131"),
        ("api.*.com", "SG0131"),
        ("a*.x.example", "SG0131"),
        ("*", "SG0131"),
        ("**", "SG0131"),
        ("*.*.x.example", "SG0131"),
        ("*.", "SG0130"),
        ("***.x.example", "SG0131"),
        ("any", "SG0135"),
        ("https://x.example", "SG0134"),
        ("ftp://x.example", "SG0134"),
        ("HTTP://x.example", "SG0134"),
        ("x.example/", "SG0130"),
        ("x.example/path", "SG0130"),
        ("user@x.example", "SG0130"),
        ("x.example:", "SG0133"),
        ("x.example:0443", "SG0133"),
        ("x.example:0", "SG0133"),
        ("x.example:70000", "SG0133"),
        ("127.1", "SG0130"),
        ("2130706433.", "SG0130"),
        ("0x7f.1", "SG0130"),
        ("010.0.0.1", "SG0130"),
        ("2001:db8::1", "SG0130"),
        ("[2001:DB8::1]", "SG0130"),
        ("[2001:db8:0::1]", "SG0130"),
        ("[::ffff:10.0.0.1]", "SG0130"),
        ("[fe80::1%eth0]", "SG0130"),
        ("*.10.0.0.1", "SG0130"),
        ("*.[::1]", "SG0130"),
        ("x example", "SG0130"),
        ("x..example", "SG0130"),
        ("-x.example", "SG0130"),
        ("ａpi.github.com", "SG0130"),
        ("stubgate.internal", "SG0136"),
        ("http://stubgate.internal", "SG0136"),
    ] {
        assert_eq!(errors(&rule(&format!("\"{host}\""))), [code], "{host}");
    }
}

#[test]
fn a_host_stands_once_in_a_list_whatever_its_spelling() {
    assert_eq!(errors(&rule("x.example, X.example")), ["SG0108"]);
    assert_eq!(errors(&rule("x.example, 'x.example:443'")), ["SG0108"]);
    assert_eq!(errors(&rule("x.example, x.example")), ["SG0108"]);
}

#[test]
fn any_stands_alone_and_in_deny_rules_only() {
    let deny = |hosts: &str| {
        with_rules(&format!("  - {{ name: r, effect: deny, agents: [a], hosts: [{hosts}], methods: [any] }}"))
    };
    assert_eq!(errors(&deny("any")), Vec::<&str>::new());
    assert_eq!(errors(&deny("any, x.example")), ["SG0135"]);
}

#[test]
fn methods_are_compared_in_exact_case_and_imply_nothing() {
    let policy = policy(&with_rules(
        "  - { name: read, agents: [a], hosts: [x.example], methods: [GET] }
  - { name: any, agents: [a], hosts: [y.example], methods: [any] }
  - { name: sockets, agents: [a], hosts: [z.example], methods: [WEBSOCKET] }
  - { name: dav, agents: [a], hosts: [w.example], methods: [PROPFIND, POST] }",
    ));
    for (request, expected) in [
        ("GET https://x.example/", "allow read"),
        ("HEAD https://x.example/", "deny method_not_allowed"),
        ("get https://x.example/", "deny method_not_allowed"),
        ("POST https://x.example/", "deny method_not_allowed"),
        ("GET wss://x.example/", "deny method_not_allowed"),
        ("GET https://y.example/", "allow any"),
        ("get https://y.example/", "allow any"),
        ("BREW https://y.example/", "allow any"),
        ("GET wss://y.example/", "allow any"),
        ("TRACE https://y.example/", "deny method_not_allowed"),
        ("CONNECT https://y.example/", "deny method_not_allowed"),
        ("GET wss://z.example/", "allow sockets"),
        ("GET https://z.example/", "deny method_not_allowed"),
        ("PROPFIND https://w.example/", "allow dav"),
        ("PROPPATCH https://w.example/", "deny method_not_allowed"),
    ] {
        assert_eq!(said(&policy, &ask(&policy, "a", request)), expected, "{request}");
    }
    assert_eq!(reason(&ask(&policy, "b", "GET https://x.example/")), Some(Reason::HostNotAllowed));
}

#[test]
fn methods_that_nobody_can_mean_are_refused() {
    let rule = |methods: &str| {
        with_rules(&format!("  - {{ name: r, agents: [a], hosts: [x.example], methods: [{methods}] }}"))
    };
    for (methods, code) in [
        ("get", "SG0140"),
        ("Post", "SG0140"),
        ("ANY", "SG0140"),
        ("'*'", "SG0140"),
        ("'GE T'", "SG0140"),
        ("TRACE", "SG0141"),
        ("CONNECT", "SG0141"),
        ("any, GET", "SG0108"),
        ("GET, GET", "SG0108"),
    ] {
        assert_eq!(errors(&rule(methods)), [code], "{methods}");
    }
}
