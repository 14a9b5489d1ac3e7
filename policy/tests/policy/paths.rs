//! The paragraph "Paths" of the format, sentence by sentence.

use stubgate_policy::{Policy, Reason};

use crate::support::{ask, errors, policy, reason, said, with_rules};

fn allowing(paths: &str, more: &str) -> Policy {
    policy(&with_rules(&format!(
        "  - {{ name: r, agents: [a], hosts: [x.example], methods: [any], paths: [{paths}]{more} }}"
    )))
}

fn path(policy: &Policy, path: &str) -> String {
    said(policy, &ask(policy, "a", &format!("GET https://x.example{path}")))
}

#[test]
fn a_star_stays_in_its_segment_and_two_cross_segments() {
    for (pattern, path_, matches) in [
        ("/x", "/x", true),
        ("/x", "/x/", false),
        ("/x", "/X", false),
        ("/x", "/xy", false),
        ("/", "/", true),
        ("/", "/x", false),
        ("/x/", "/x/", true),
        ("/x/", "/x", false),
        ("/x/*", "/x/a", true),
        ("/x/*", "/x/a/b", false),
        ("/x/*", "/x/", false),
        ("/x/*", "/x", false),
        ("/x*", "/x", true),
        ("/x*", "/x10", true),
        ("/x*", "/x/a", false),
        ("/*.json", "/a.json", true),
        ("/*.json", "/a.jsonx", false),
        ("/*.json", "/d/a.json", false),
        ("/a*b*c", "/aXXbYYc", true),
        ("/a*b*c", "/abbcbc", true),
        ("/a*b*c", "/abcb", false),
        ("/*/*", "/a/b", true),
        ("/*/*", "/a", false),
        ("/x/**", "/x/", true),
        ("/x/**", "/x/a", true),
        ("/x/**", "/x/a/b/c", true),
        ("/x/**", "/x", false),
        ("/x/**", "/xy/a", false),
        ("/**", "/", true),
        ("/**", "/a/b", true),
        ("/a/**/z", "/a/b/z", true),
        ("/a/**/z", "/a/b/c/z", true),
        ("/a/**/z", "/a/z/z", true),
        ("/a/**/z", "/a/z", false),
        ("/a/**/z", "/a/b/z/c", false),
        ("/a/**/b/**/c", "/a/x/b/b/y/c", true),
        ("/a/**/b/**/c", "/a/x/b/c", false),
        ("/acme/**", "/acme/site.git/info/refs", true),
        ("/a/b/c/d/e/*", "/a/b/c/d/e/f", true),
        ("/a/b/c/d/e/*", "/a/b/c/d/x/f", false),
        ("/a/b/c/d/e", "/a/b/c/d/E", false),
        ("/a/b/c/d", "/a/b/c/d", true),
        ("/a/b/c", "/a/b/c/d", false),
        ("/caf%c3%a9", "/caf%C3%A9", true),
        ("/%61", "/a", true),
        ("/a", "/%61", true),
        ("/a%2Ab", "/a%2ab", true),
        ("/a%2Ab", "/aXb", false),
    ] {
        let policy = allowing(&format!("'{pattern}'"), "");
        let expected = if matches { "allow r" } else { "deny path_not_allowed" };
        assert_eq!(path(&policy, path_), expected, "{pattern} {path_}");
    }
}

#[test]
fn an_encoded_slash_is_matched_only_by_a_pattern_that_writes_it() {
    for (pattern, more, path_, matches) in [
        ("/@*%2F*", "", "/@scope%2fname", true),
        ("/@*%2f*", "", "/@scope%2Fname", true),
        ("/@*", "", "/@scope%2Fname", false),
        ("/*", "", "/a%2Fb", false),
        ("/*/*", "", "/a%2Fb", false),
        ("/a/b", "", "/a%2Fb", false),
        ("/a%2Fb", "", "/a/b", false),
        ("/a%2Fb", "", "/a%2fb", true),
        ("/@*%2F*", "", "/@a%2Fb%2Fc", false),
        ("/a*2Fb", "", "/a%2Fb", false),
        ("/**", "", "/a%2Fb", false),
        ("/**", ", encoded_slash: deny", "/a%2Fb", false),
        ("/**", ", encoded_slash: allow", "/a%2Fb", true),
        ("/x/**", ", encoded_slash: allow", "/x/@scope%2Fname/-/f.tgz", true),
        ("/x/**", ", encoded_slash: allow", "/x%2Fy", false),
        ("/*", ", encoded_slash: allow", "/a%2Fb", false),
        ("/**/@*%2F*/**", "", "/r/@s%2Fn/-", true),
        ("/**/@*%2F*/**", "", "/r/x%2Fy/@s%2Fn/-", false),
    ] {
        let policy = allowing(&format!("'{pattern}'"), more);
        let expected = if matches { "allow r" } else { "deny path_not_allowed" };
        assert_eq!(path(&policy, path_), expected, "{pattern} {path_}");
    }
    let all = policy(&with_rules("  - { name: r, agents: [a], hosts: [x.example], methods: [any] }"));
    assert_eq!(path(&all, "/a%2Fb"), "allow r", "paths defaults to all");
}

#[test]
fn odd_paths_are_refused_where_any_rule_of_that_host_has_paths() {
    let odd =
        ["/a/../b", "/%2e%2e/x", "//x", "/a\\b", "/a;b", "/%00", "/a%0a", "/%252e", "/%ff", "/a%zz", "/a%2F..%2Fb"];
    let all = policy(&with_rules("  - { name: r, agents: [a], hosts: [x.example], methods: [any] }"));
    let paths = allowing("'/**'", "");
    let other_agent = policy(&with_rules(
        "  - { name: r, agents: [a], hosts: [x.example], methods: [any] }
  - { name: other, agents: [b], hosts: ['*.example'], methods: [GET], paths: [/y] }",
    ));
    let other_host = policy(&with_rules(
        "  - { name: r, agents: [a], hosts: [x.example], methods: [any] }
  - { name: other, agents: [a], hosts: [y.example], methods: [GET], paths: [/y] }",
    ));
    for odd in odd {
        assert_eq!(path(&all, odd), "allow r", "{odd}");
        assert_eq!(path(&paths, odd), "deny path_ambiguous", "{odd}");
        assert_eq!(path(&other_agent, odd), "deny path_ambiguous", "{odd}");
        assert_eq!(path(&other_host, odd), "allow r", "{odd}");
    }
}

fn denying(paths: &str) -> Policy {
    policy(&with_rules(&format!(
        "  - {{ name: r, agents: [a], hosts: [x.example], methods: [any] }}
  - {{ name: no, effect: deny, agents: [\"*\"], hosts: [x.example], methods: [GET], paths: [{paths}] }}"
    )))
}

#[test]
fn deny_rules_compare_paths_without_case_and_deny_what_cannot_be_compared() {
    let policy = denying("/gists, '/gists/**', '/P/*', '/a/**/z'");
    for (path_, expected) in [
        ("/gists", "deny denied_by_rule"),
        ("/GISTS", "deny denied_by_rule"),
        ("/Gists/1", "deny denied_by_rule"),
        ("/gists/", "deny denied_by_rule"),
        ("/g%69sts", "deny denied_by_rule"),
        ("/gists%2F1", "deny denied_by_rule"),
        ("/gists%2f1%2F2", "deny denied_by_rule"),
        ("/p/q", "deny denied_by_rule"),
        ("/p/q%2Fr", "deny denied_by_rule"),
        ("/p/", "deny denied_by_rule"),
        ("/a/z", "deny denied_by_rule"),
        ("/a/b/c/Z", "deny denied_by_rule"),
        ("/gist", "allow r"),
        ("/gist/", "allow r"),
        ("/gistss", "allow r"),
        ("/x%2Fy", "allow r"),
        ("/x%2F%2Fgists", "deny path_ambiguous"),
        ("/x/../gists", "deny path_ambiguous"),
        ("//gists", "deny path_ambiguous"),
        ("/%67ists;x", "deny path_ambiguous"),
        ("/%2567ists", "deny path_ambiguous"),
        ("/anything%ff", "deny path_ambiguous"),
    ] {
        assert_eq!(path(&policy, path_), expected, "{path_}");
    }
    let post = ask(&policy, "a", "POST https://x.example/gists");
    assert_eq!(said(&policy, &post), "allow r", "another method is not denied");
    let denied = ask(&policy, "a", "GET https://x.example/gists").denial().unwrap();
    assert_eq!(policy.rule(denied.rule.unwrap()).name(), "no");
}

#[test]
fn a_deny_rule_reads_over_a_slash_at_the_end_and_an_allow_rule_does_not() {
    let policy = denying("/x/forks, '/p/*', '/**/z', /end/");
    for (path_, expected) in [
        ("/x/forks/", "deny denied_by_rule"),
        ("/X/Forks/", "deny denied_by_rule"),
        ("/x/forks%2F", "deny denied_by_rule"),
        ("/x%2Fforks/", "deny denied_by_rule"),
        ("/p/q/", "deny denied_by_rule"),
        ("/a/b/z/", "deny denied_by_rule"),
        ("/end/", "deny denied_by_rule"),
        ("/x/forks%2F/", "deny path_ambiguous"),
        ("/x/forks/1", "allow r"),
        ("/x/", "allow r"),
        ("/p/q/r", "allow r"),
        ("/end", "allow r"),
    ] {
        assert_eq!(path(&policy, path_), expected, "{path_}");
    }
    assert_eq!(path(&allowing("/x/forks", ""), "/x/forks/"), "deny path_not_allowed");
}

#[test]
fn a_rule_with_many_paths_is_found_by_each() {
    let policy = allowing("/one, '/two/**', '/*.txt', '/three/x%2Fy/**', '/three/**'", "");
    for path_ in ["/one", "/two/a", "/a.txt", "/three/x%2Fy/z", "/three/a"] {
        assert_eq!(path(&policy, path_), "allow r", "{path_}");
    }
    let denied = denying("/one, '/Two/**', '/*.txt', '/three/x%2Fy/**'");
    for path_ in ["/ONE", "/two/a", "/A.TXT", "/three/X%2fY/z", "/two%2Fa"] {
        assert_eq!(path(&denied, path_), "deny denied_by_rule", "{path_}");
    }
}

#[test]
fn a_deny_of_every_path_denies_odd_ones_too() {
    for paths in ["", ", paths: ['/**']"] {
        let policy = policy(&with_rules(&format!(
            "  - {{ name: r, agents: [a], hosts: [x.example], methods: [any] }}
  - {{ name: no, effect: deny, agents: [a], hosts: [any], methods: [GET]{paths} }}"
        )));
        for path_ in ["/", "/a/../b", "/%zz", "/a%2Fb"] {
            assert_eq!(path(&policy, path_), "deny denied_by_rule", "{path_}");
        }
        assert_eq!(said(&policy, &ask(&policy, "a", "POST https://x.example/a/../b")), "allow r");
    }
}

#[test]
fn the_reason_names_what_came_nearest() {
    let policy = policy(&with_rules(
        "  - { name: one, agents: [a], hosts: [x.example], methods: [GET], paths: [/one] }
  - { name: two, agents: [a], hosts: ['*.example'], methods: [POST], paths: [/two] }",
    ));
    for (request, expected) in [
        ("GET https://y.test/", Reason::HostNotAllowed),
        ("GET https://x.example:8443/one", Reason::HostNotAllowed),
        ("PUT https://x.example/one", Reason::MethodNotAllowed),
        ("GET https://x.example/two", Reason::PathNotAllowed),
        ("POST https://x.example/one", Reason::PathNotAllowed),
    ] {
        assert_eq!(reason(&ask(&policy, "a", request)), Some(expected), "{request}");
    }
}

#[test]
fn patterns_that_no_request_could_match_are_refused() {
    let rule = |path: &str| {
        with_rules(&format!("  - {{ name: r, agents: [a], hosts: [x.example], methods: [GET], paths: ['{path}'] }}"))
    };
    for path in [
        "x", "", "**", "/a/../b", "/a//b", "/a;b", "/a?b", "/a#b", "/a b", "/%zz", "/%2561", "/a**", "/**a",
        "/a/b**/c", "/{x}", "/%00", "/é",
    ] {
        assert_eq!(errors(&rule(path)), ["SG0150"], "{path}");
    }
}
