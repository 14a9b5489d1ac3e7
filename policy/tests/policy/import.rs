//! Translations decide as the originals' documentation says, are never wider in silence, and say what is left out.

use proptest::prelude::*;
use stubgate_policy::import::{Import, Kind, iron_proxy};
use stubgate_policy::{Policy, SlotRef, SourceFile, compile, render};

use crate::support::{ask, ask_with, name, said};

fn original(file: &str) -> SourceFile {
    let path = format!("{}/tests/policy/import/{file}.yaml", env!("CARGO_MANIFEST_DIR"));
    SourceFile { name: format!("{file}.yaml"), text: std::fs::read_to_string(path).unwrap() }
}

fn translated(file: &str) -> (Import, Policy) {
    of(&original(file))
}

fn of(source: &SourceFile) -> (Import, Policy) {
    let import = iron_proxy(source, &[])
        .unwrap_or_else(|found| panic!("{}", render(&found, std::slice::from_ref(source), false)));
    let files = [SourceFile { name: "policy.yaml".into(), text: import.policy.clone() }];
    let compiled =
        compile(&files).unwrap_or_else(|found| panic!("{}\n{}", import.policy, render(&found, &files, false)));
    // A policy that allows nothing is fair where nothing could be translated; no other warning is.
    assert!(
        compiled.warnings.iter().all(|warning| warning.code == "SG0180"),
        "{:?}\n{}",
        compiled.warnings,
        import.policy
    );
    (import, compiled.policy)
}

/// A rule list of the original, translated.
fn allowlist(config: &str) -> (Import, Policy) {
    let text = format!("transforms:\n  - name: allowlist\n    config: {{ {config} }}\n");
    of(&SourceFile { name: "a.yaml".into(), text })
}

fn shown(import: &Import) -> String {
    let notes: Vec<String> =
        import.notes.iter().map(|note| format!("{}: {}: {}", note.line, note.kind.as_str(), note.text)).collect();
    format!("{}\n=== stubgate.yaml\n{}\n=== report\n{}\n", import.policy, import.config, notes.join("\n"))
}

fn check(policy: &Policy, cases: &[(&str, &str)]) {
    for (request, expected) in cases {
        assert_eq!(said(policy, &ask(policy, "workload", request)), *expected, "{request}");
    }
}

/// The credential that a request with this stub gets.
fn swapped(policy: &Policy, request: &str, slot: SlotRef<'_>, stub: &str) -> Result<String, String> {
    let decision = ask_with(policy, "workload", request, &[(slot, stub)]);
    match decision.granted().and_then(|permit| permit.swap()) {
        Some(swap) => Ok(swap.name.to_string()),
        None => Err(said(policy, &decision)),
    }
}

#[test]
fn a_whole_configuration_decides_as_its_documentation_says() {
    let (import, policy) = translated("whole");
    insta::assert_snapshot!("whole", shown(&import));
    check(
        &policy,
        &[
            // Flat domains: every method and path.
            ("DELETE https://packages.example/a/b", "allow allowed"),
            ("GET https://sub.packages.example/", "deny host_not_allowed"),
            // `*.x`: the apex and every depth.
            ("GET https://cdn.example/", "allow allowed"),
            ("GET https://a.cdn.example/", "allow allowed"),
            ("GET https://a.b.cdn.example/", "allow allowed"),
            ("GET https://evilcdn.example/", "deny host_not_allowed"),
            // Rules: `/v1/*` is /v1 and all below.
            ("POST https://api.model.example/v1", "allow with-model-api-key"),
            ("POST https://api.model.example/v1/chat/completions", "allow with-model-api-key"),
            ("POST https://api.model.example/v10", "deny path_not_allowed"),
            ("GET https://api.model.example/v1/models", "deny method_not_allowed"),
            // `require`: without the placeholder it is refused.
            ("POST https://chat.example/v1/messages", "deny credential_required"),
            ("POST https://eu.chat.example/v1/complete", "deny credential_required"),
            ("POST https://chat.example/v1/messages/batches", "deny path_not_allowed"),
            // A network is no host; a single address is.
            ("GET https://192.0.2.7/", "allow allowed"),
            ("GET https://10.0.0.1/", "deny host_not_allowed"),
        ],
    );
    let bearer = SlotRef::Bearer;
    let swap = |request, slot, stub| swapped(&policy, request, slot, stub);
    assert_eq!(
        swap("POST https://api.model.example/v1/x", bearer, "proxy-token-model-api-key").unwrap(),
        "model-api-key"
    );
    assert_eq!(
        swap("POST https://a.chat.example/v1/messages", SlotRef::Header("x-api-key"), "placeholder-chat-77").unwrap(),
        "chat-api-key"
    );
    assert_eq!(
        swap("POST https://a.chat.example/v1/messages", bearer, "placeholder-chat-77").unwrap_err(),
        "deny stub_out_of_slot"
    );
    assert_eq!(
        swap("GET https://packages.example/", bearer, "placeholder-chat-77").unwrap_err(),
        "deny stub_wrong_host"
    );
    // Names that were passed through are forwarded.
    for host in ["corp.example", "a.b.corp.example", "time.example"] {
        assert!(name(&policy, "workload", host, stubgate_policy::QueryKind::A).granted().is_some(), "{host}");
    }
}

#[test]
fn a_small_configuration_decides_as_its_documentation_says() {
    let (import, policy) = translated("compose");
    insta::assert_snapshot!("compose", shown(&import));
    check(
        &policy,
        &[
            ("GET https://echo.example/get", "allow with-internal-token-and-model-key"),
            ("GET https://whoami.example/", "allow allowed"),
            ("GET https://example.com/", "deny host_not_allowed"),
        ],
    );
    let swap = |slot, stub| swapped(&policy, "GET https://echo.example/headers", slot, stub);
    assert_eq!(swap(SlotRef::Bearer, "placeholder-model-a1").unwrap(), "model-key");
    assert_eq!(
        swap(SlotRef::Basic(stubgate_policy::BasicField::Password), "placeholder-model-a1").unwrap(),
        "model-key"
    );
    assert_eq!(swap(SlotRef::Bearer, "placeholder-internal").unwrap(), "internal-token");
    assert_eq!(swap(SlotRef::Query("token"), "placeholder-model-a1").unwrap_err(), "deny stub_out_of_slot");
}

#[test]
fn the_older_shape_of_secrets_is_read() {
    let (import, policy) = translated("older");
    insta::assert_snapshot!("older", shown(&import));
    let swap = swapped(&policy, "POST https://api.model.example/v1", SlotRef::Bearer, "placeholder-model-b2");
    assert_eq!(swap.unwrap(), "model-api-key");
}

#[test]
fn the_short_form_of_the_action_is_read() {
    let (import, policy) = translated("action");
    insta::assert_snapshot!("action", shown(&import));
    check(
        &policy,
        &[
            ("POST https://proxy.modules.example/x", "allow allowed"),
            ("GET https://forge.example/", "allow allowed"),
            ("GET https://api.forge.example/", "allow allowed"),
            ("GET https://a.b.usercontent.example/", "allow allowed"),
            ("GET https://usercontent.example/", "allow allowed"),
            ("GET https://raw.githubusercontent.com/", "deny host_not_allowed"),
            ("GET https://modules.example/", "deny host_not_allowed"),
        ],
    );
}

#[test]
fn every_host_becomes_the_hosts_of_the_secrets() {
    let (import, policy) = translated("fragments");
    insta::assert_snapshot!("fragments", shown(&import));
    check(&policy, &[("GET https://anything.example/", "deny host_not_allowed")]);
    let basic = SlotRef::Basic(stubgate_policy::BasicField::Password);
    for (request, slot, stub, credential) in [
        ("POST https://api.model.example/v1", SlotRef::Bearer, "MODEL_API_KEY", "model-key"),
        ("POST https://chat.model.example/", SlotRef::Bearer, "proxy-token-model-login", "model-login"),
        (
            "POST https://chat.model.example/",
            SlotRef::Header("model-account-id"),
            "proxy-token-model-account-id",
            "model-account-id",
        ),
        ("GET https://forge.example/acme/site.git/info/refs", basic, "proxy-token-code-token", "code-token"),
    ] {
        assert_eq!(swapped(&policy, request, slot, stub).unwrap(), credential, "{request}");
    }
}

#[test]
fn odd_patterns_and_stubs_are_told_and_never_become_wider() {
    let (import, policy) = translated("managed");
    insta::assert_snapshot!("managed", shown(&import));
    check(
        &policy,
        &[
            ("GET https://api.store.example/", "deny credential_required"),
            ("GET https://api.store.example:8443/", "deny host_not_allowed"),
            ("GET https://api-eu.store.example/", "deny host_not_allowed"),
            ("GET https://vault.example/", "deny host_not_allowed"),
            ("GET https://forge.example/acme/x", "allow allowed-forge.example"),
            ("GET https://forge.example/x/mid/y", "allow allowed-forge.example"),
            ("GET https://forge.example/x/a/b/y", "deny path_not_allowed"),
            ("GET https://forge.example/o/public/x", "deny path_not_allowed"),
            ("POST https://forge.example/acme/x", "deny method_not_allowed"),
            ("GET https://wide.example/", "allow with-relative"),
            ("GET https://elsewhere.example/", "deny host_not_allowed"),
        ],
    );
    let stubs: Vec<&str> = policy.stubs().collect();
    assert!(stubs.iter().all(|stub| stubs.iter().all(|other| stub == other || !other.contains(stub))), "{stubs:?}");
}

#[test]
fn what_is_left_of_a_list_never_becomes_everything() {
    for config in [
        "rules: [{ host: x.example, paths: ['/a?'] }]",
        "rules: [{ host: x.example, methods: [TRACE] }]",
        "rules: [{ host: '*' }]",
        "rules: [{ methods: [GET] }]",
        "rules: [{ cidr: 10.0.0.0/8 }]",
        "rules: [{ host: 'x.*' }]",
        "domains: ['*']",
        "domains: ['*.com']",
        "domains: ['*.co.uk']",
        "domains: [{ a: b }, 7, null]",
        "domains: ['x.example\\n  - evil.example']",
        "domains: []",
        "cidrs: ['::/0', '0.0.0.0/0']",
        "domains: ['stubgate.internal']",
        "warn: true",
    ] {
        let (import, policy) = allowlist(config);
        assert!(policy.rules().is_empty(), "{config}\n{}", import.policy);
    }
}

#[test]
fn what_the_original_refused_and_policy_allows_is_said_to_be_wider() {
    let wider = |file: &str| -> Vec<usize> {
        let (import, _) = translated(file);
        import.notes.iter().filter(|note| note.kind == Kind::Wider).map(|note| note.line).collect()
    };
    // A public network that was closed, the judge, the service, the header filter, the tools.
    assert_eq!(wider("whole"), [24, 60, 96, 101, 105]);
    assert!(wider("compose").is_empty() && wider("older").is_empty() && wider("action").is_empty());
    // `require` on less than its host allows.
    assert_eq!(wider("managed"), [34]);
}

#[test]
fn of_two_allowlists_only_what_both_allow_is_allowed() {
    let list = |config: &str| format!("  - name: allowlist\n    config: {{ {config} }}\n");
    let both = |own: &str, other: &str| {
        of(&SourceFile { name: "a.yaml".into(), text: format!("transforms:\n{}{}", list(own), list(other)) })
    };
    let (import, policy) = both(
        "domains: ['*.x.example', y.example]",
        "rules: [{ host: a.x.example, methods: [GET, POST], paths: ['/v1/*'] }, { host: z.example }]",
    );
    check(
        &policy,
        &[
            ("GET https://a.x.example/v1/q", "allow allowed-a.x.example"),
            ("PUT https://a.x.example/v1/q", "deny method_not_allowed"),
            ("GET https://a.x.example/", "deny path_not_allowed"),
            ("GET https://b.x.example/v1/q", "deny host_not_allowed"),
            ("GET https://y.example/", "deny host_not_allowed"),
            ("GET https://z.example/", "deny host_not_allowed"),
        ],
    );
    let told = |import: &Import, kind, text: &str| {
        assert!(
            import.notes.iter().any(|note| note.kind == kind && note.text.contains(text)),
            "{text}: {:?}",
            import.notes
        );
    };
    told(&import, Kind::Changed, "more than one allowlist");
    let (import, policy) =
        both("rules: [{ host: x.example, paths: ['/*/a'] }]", "rules: [{ host: x.example, paths: ['/v1/*'] }]");
    assert!(policy.rules().is_empty());
    told(&import, Kind::Narrower, "overlap in part");
    for (own, other) in [("domains: [x.example]", "domains: []"), ("domains: ['a.*']", "domains: [x.example]")] {
        assert!(both(own, other).1.rules().is_empty() && both(other, own).1.rules().is_empty(), "{own} {other}");
    }
}

#[test]
fn a_rule_with_a_host_and_a_network_is_left_out() {
    for key in ["host", "name"] {
        let (import, policy) = allowlist(&format!("rules: [{{ {key}: x.example, cidr: 192.0.2.7/32 }}]"));
        assert!(policy.rules().is_empty(), "{}", import.policy);
        let told = |note: &stubgate_policy::import::Note| {
            note.kind == Kind::Missing && note.text.contains("both a host and a network")
        };
        assert!(import.notes.iter().any(told), "{:?}", import.notes);
    }
}

/// One secret of x.example, which is allowed.
fn secret(config: &str) -> (Import, Policy) {
    let secret = format!("{{ source: {{ type: env, var: KEY }}, rules: [{{ host: x.example }}], {config} }}");
    of(&SourceFile {
        name: "a.yaml".into(),
        text: format!(
            "transforms:\n  - name: allowlist\n    config: {{ domains: [x.example] }}\n  - name: secrets\n    config: {{ secrets: [{secret}] }}\n"
        ),
    })
}

#[test]
fn a_secret_that_was_required_is_required_or_that_is_said() {
    let told = |import: &Import, kind, text: &str| {
        import.notes.iter().any(|note| note.kind == kind && note.text.contains(text))
    };
    for (config, required) in [
        ("inject: { header: Authorization, require: true }", true),
        ("inject: { header: Authorization, require: false }", false),
        ("replace: { proxy_value: placeholder-1, require: true }", true),
        ("replace: { proxy_value: placeholder-1 }", false),
        ("inject: null, replace: { proxy_value: placeholder-1, require: true }", true),
        ("require: true, replace: { proxy_value: placeholder-1 }", true),
        ("inject: { header: x-key }, replace: { proxy_value: placeholder-1, require: true }", true),
    ] {
        let (import, policy) = secret(config);
        let expected = if required { "deny credential_required" } else { "allow with-key" };
        assert_eq!(said(&policy, &ask(&policy, "workload", "GET https://x.example/")), expected, "{config}");
        assert!(!told(&import, Kind::Wider, "require"), "{config}: {:?}", import.notes);
        let is_both = config.contains("inject: {") && config.contains("replace");
        assert_eq!(told(&import, Kind::Missing, "`replace` is left out"), is_both, "{config}: {:?}", import.notes);
    }
    for config in [
        "inject: { query_param: key, require: true }",
        "inject: { header: x-key, formatter: 'a {{.Value}}', require: true }",
        "replace: { require: true }",
        "replace: { proxy_value: placeholder-1, match_body: true, require: true }",
    ] {
        let (import, policy) = secret(config);
        assert_eq!(said(&policy, &ask(&policy, "workload", "GET https://x.example/")), "allow allowed", "{config}");
        assert!(told(&import, Kind::Wider, "`require`"), "{config}: {:?}", import.notes);
    }
    // A rule of the secret that can't be said.
    let (import, _) = secret("replace: { proxy_value: placeholder-1, require: true }, hosts: []");
    assert!(!told(&import, Kind::Wider, "`require`"), "{:?}", import.notes);
    let odd = "{ source: { type: env, var: KEY }, rules: [{ host: 'x.*' }], replace: { proxy_value: placeholder-1, require: true } }";
    let text = format!(
        "transforms:\n  - name: allowlist\n    config: {{ domains: [x.example] }}\n  - name: secrets\n    config: {{ secrets: [{odd}] }}\n"
    );
    let (import, _) = of(&SourceFile { name: "a.yaml".into(), text });
    assert!(told(&import, Kind::Wider, "`require`"), "{:?}", import.notes);
}

#[test]
fn a_file_that_can_not_be_read_is_an_error_with_its_place() {
    for text in ["", "- a\n", "a: [\n", "a: &x 1\nb: *x\n", "a: 1\na: 2\n"] {
        let source = SourceFile { name: "a.yaml".into(), text: text.into() };
        assert!(iron_proxy(&source, &[]).is_err(), "{text:?}");
    }
}

#[test]
fn networks_of_agents_are_written_where_they_are_given() {
    let import = iron_proxy(&original("older"), &["10.42.0.0/24".parse().unwrap()]).unwrap();
    assert!(import.policy.contains("sources: [\"10.42.0.0/24\"]"), "{}", import.policy);
}

#[test]
fn many_hosts_are_split_over_rules() {
    let hosts: Vec<String> = (0..2_500).map(|number| format!("'*.h{number}.example'")).collect();
    let (_, policy) = allowlist(&format!("domains: [{}]", hosts.join(", ")));
    assert_eq!(policy.rules().len(), 2);
    check(&policy, &[("GET https://a.b.h999.example/", "allow allowed-2")]);
}

/// What the original does, said by its documentation.
mod model {
    pub(super) fn host(pattern: &str, host: &str) -> bool {
        match pattern.strip_prefix("*.") {
            _ if pattern == "*" => true,
            Some(base) => host == base || host.ends_with(&format!(".{base}")),
            None => pattern == host,
        }
    }

    pub(super) fn path(pattern: &str, path: &str) -> bool {
        match pattern.strip_suffix("/*") {
            Some(base) => path == base || path.starts_with(&format!("{base}/")),
            None if pattern.contains('*') => {
                let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
                pattern.len() == path.len() && pattern.iter().zip(&path).all(|(own, with)| *own == "*" || own == with)
            }
            None => pattern == path,
        }
    }
}

const HOST_PATTERNS: [&str; 6] = ["x.example", "*.x.example", "a.x.example", "*.a.x.example", "y.example", "*"];
const METHOD_LISTS: [&[&str]; 4] = [&[], &["*"], &["GET"], &["get", "POST"]];
const PATH_LISTS: [&[&str]; 7] =
    [&[], &["/v1/*"], &["/v1/a"], &["/v1/a", "/v2"], &["/*"], &["/v1/*", "/v1/a/*"], &["/*/a"]];
const REQUEST_HOSTS: [&str; 6] = ["x.example", "a.x.example", "b.a.x.example", "y.example", "z.y.example", "q.example"];
const REQUEST_PATHS: [&str; 6] = ["/", "/v1", "/v1/a", "/v1/a/b", "/v2", "/v10"];

/// Host, methods and paths of a rule, by position.
type Rule = (usize, usize, usize);

fn matches(rule: &Rule, host: &str, method: &str, path: &str) -> bool {
    let (methods, paths) = (METHOD_LISTS[rule.1], PATH_LISTS[rule.2]);
    model::host(HOST_PATTERNS[rule.0], host)
        && (methods.is_empty() || methods == ["*"] || methods.iter().any(|own| own.eq_ignore_ascii_case(method)))
        && (paths.is_empty() || paths.iter().any(|own| model::path(own, path)))
}

fn written(rules: &[Rule]) -> String {
    let rule = |(host, methods, paths): &Rule| {
        let (host, methods, paths) = (HOST_PATTERNS[*host], METHOD_LISTS[*methods], PATH_LISTS[*paths]);
        format!("{{ host: '{host}', methods: {methods:?}, paths: {paths:?} }}")
    };
    rules.iter().map(rule).collect::<Vec<_>>().join(", ")
}

proptest! {
    #[test]
    fn a_translation_never_allows_what_the_original_refused_unless_it_says_so(
        lists in prop::collection::vec(prop::collection::vec((0..6_usize, 0..4_usize, 0..7_usize), 0..4), 1..3),
        secrets in prop::collection::vec((prop::collection::vec((0..6_usize, 0..4_usize, 0..7_usize), 1..3), any::<bool>()), 0..3),
    ) {
        let listed: Vec<String> = secrets.iter().enumerate().map(|(at, (rules, require))| {
            format!(
                "{{ source: {{ type: env, var: S{at} }}, replace: {{ proxy_value: placeholder-{at}, match_headers: [Authorization], require: {require} }}, rules: [{}] }}",
                written(rules)
            )
        }).collect();
        let allowlist =
            |rules: &Vec<Rule>| format!("  - name: allowlist\n    config: {{ rules: [{}] }}\n", written(rules));
        let text = format!(
            "transforms:\n{}  - name: secrets\n    config: {{ secrets: [{}] }}\n",
            lists.iter().map(allowlist).collect::<String>(), listed.join(", ")
        );
        let import = iron_proxy(&SourceFile { name: "a.yaml".into(), text: text.clone() }, &[]).unwrap();
        let policy = crate::support::policy(&import.policy);
        let wider = import.notes.iter().any(|note| note.kind == Kind::Wider);
        let every = import.notes.iter().any(|note| note.text.starts_with("every host"));
        let overlaps = import.notes.iter().any(|note| note.text.contains("overlap in part"));
        for host in REQUEST_HOSTS {
            for method in ["GET", "POST", "PUT"] {
                for path in REQUEST_PATHS {
                    let request = format!("{method} https://{host}{path}");
                    let case = || format!("{request}\n{text}\n{}", import.policy);
                    let passes = lists.iter().all(|list| list.iter().any(|rule| matches(rule, host, method, path)));
                    let mine = |at: usize| secrets[at].0.iter().any(|rule| matches(rule, host, method, path));
                    let refused = (0..secrets.len()).any(|at| secrets[at].1 && mine(at));
                    let is = ask(&policy, "workload", &request).granted().is_some();
                    prop_assert!(!is || passes, "{}", case());
                    prop_assert!(!is || !refused || wider, "{}", case());
                    // And not less either, but for what it says.
                    prop_assert!(is || !passes || refused || every || (lists.len() > 1 && overlaps), "{}", case());
                    for at in 0..secrets.len() {
                        let stub = format!("placeholder-{at}");
                        let swapped = swapped(&policy, &request, SlotRef::Bearer, &stub).is_ok();
                        let others = (0..secrets.len()).any(|other| other != at && secrets[other].1 && mine(other));
                        prop_assert!(!swapped || (passes && mine(at)), "{stub} {}", case());
                        prop_assert!(!swapped || !others || wider, "{stub} {}", case());
                        prop_assert!(swapped || !(passes && mine(at)) || others || every || overlaps, "{stub} {}", case());
                    }
                }
            }
        }
    }
}
