use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use stubgate_policy::source::SourceFile;

use super::*;

const SMALL: &str = "listen: { proxy: [\"127.0.0.1:3128\"] }\npolicy: [policy.yaml]\n";

fn check(text: &str) -> Result<Config, ConfigProblem> {
    compile(SourceFile { name: "/etc/stubgate/stubgate.yaml".into(), text: text.into() })
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Code, line and column of everything found.
fn findings(text: &str) -> Vec<String> {
    let Err(problem) = check(text) else {
        return Vec::new();
    };
    problem
        .diagnostics
        .iter()
        .map(|diagnostic| {
            let at = diagnostic.labels[0].span.start;
            let line = text[..at].matches('\n').count() + 1;
            let column = at - text[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
            let ours = diagnostic.code.starts_with("SC");
            assert!(!ours || diagnostic.help.is_some(), "{diagnostic:?} says no fix");
            format!("{} {line}:{column}", diagnostic.code)
        })
        .collect()
}

/// A file that is good but for these lines.
fn with(lines: &str) -> String {
    format!("{SMALL}{lines}\n")
}

#[test]
fn takes_the_normative_example() {
    let text = r#"
listen:
  dns: ["0.0.0.0:53"]             # UDP and TCP
  http: ["0.0.0.0:80"]
  https: ["0.0.0.0:443"]
  proxy: ["0.0.0.0:3128"]         # CONNECT, absolute-form and SOCKS5 on one port
  transparent: []                 # REDIRECT or TPROXY; the original destination is recorded, never dialled
  admin: ["127.0.0.1:9090"]       # /metrics /healthz /readyz
advertise: ["10.43.100.100"]      # what DNS answers with, v4 and v6
policy: ["/etc/stubgate/policy"]  # files or folders
state_dir: /var/lib/stubgate      # CA, escrow, whatever must survive
ca: {}                            # certificate_file, key_file
dns:
  forward:                        # only says where
    - zones: ["cluster.local"]
      to: ["10.43.0.10:53"]
limits: {}
timeouts: {}
upstream:
  nameservers: []                 # default: the system's
  ca_files: []                    # trusted besides the system's roots
  connect_to: {}
  allow_private: []
audit:
  files: [{ path: "-" }]          # "-" is standard output
"#;
    let config = check(text).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(config.listen.dns, [address("0.0.0.0:53")]);
    assert_eq!(config.advertise.v4, ["10.43.100.100".parse::<std::net::Ipv4Addr>().unwrap()]);
    assert_eq!(config.forward[0].zones[0].as_str(), "cluster.local");
    assert_eq!(config.policy, [Path::new("/etc/stubgate/policy")]);
    assert_eq!(config.ca, Ca::default());
    assert_eq!(config.audit[0].sink, AuditSink::Stdout);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.timeouts, Timeouts::default());
    assert_eq!(config.process, Process::default());
}

#[test]
fn the_appliance_never_becomes_root() {
    assert_eq!(findings(&with("process: { user: root }")), ["SC0020 3:18"]);
    assert_eq!(findings(&with("process: { user: \"0\" }")), ["SC0020 3:18"]);
    assert_eq!(findings(&with("process: { user: stubgate }")), [""; 0]);
}

#[test]
fn takes_every_setting() {
    let text = r#"
listen: { https: ["[::]:8443"], admin: [] }
advertise: ["192.0.2.1", "2001:db8::1"]
policy: [policy, /srv/extra.yaml]
state_dir: state
ca: { certificate_file: ca.pem, key_file: /run/secrets/ca.key }
limits: { connections: 9, header_bytes: 2048 }
timeouts: { drain_seconds: 1 }
upstream:
  nameservers: ["9.9.9.9:53"]
  ca_files: [corp.pem]
  connect_to: { "API.github.com:443": "127.0.0.1:8443", "[2001:db8::2]:8006": "[::1]:1" }
  allow_private: [{ hosts: [registry.corp.example, "10.1.2.9"], networks: ["10.1.2.0/24", "fd12::/64"] }]
audit:
  files:
    - { path: audit.jsonl, max_bytes: 1000000, keep: 3, durable: true }
    - { path: "-" }
process: { user: "65532:101", require_lockdown: true, credential_folders: [more, /run/more] }
"#;
    let config = check(text).unwrap_or_else(|problem| panic!("{problem}"));
    assert_eq!(config.listen.admin, []);
    assert_eq!(config.policy, [Path::new("/etc/stubgate/policy"), Path::new("/srv/extra.yaml")]);
    assert_eq!(config.state_dir, Path::new("/etc/stubgate/state"));
    let ca = config.ca.files.unwrap();
    assert_eq!(ca.certificate_file, Path::new("/etc/stubgate/ca.pem"));
    assert_eq!(ca.key_file, Path::new("/run/secrets/ca.key"));
    assert_eq!((config.limits.connections, config.limits.header_bytes), (9, 2048));
    assert_eq!(config.timeouts.drain, Duration::from_secs(1));
    let hosts: Vec<String> =
        config.upstream.connect_to.iter().map(|((host, port), _)| format!("{host} {port}")).collect();
    assert_eq!(hosts, ["api.github.com 443", "2001:db8::2 8006"]);
    assert_eq!(config.upstream.connect_to[0].1, address("127.0.0.1:8443"));
    assert_eq!(config.upstream.allow_private[0].hosts.len(), 2);
    assert_eq!(config.audit.len(), 2);
    assert_eq!(config.audit[0].max_bytes, Some(1_000_000));
    assert!(config.audit[0].durable);
    assert_eq!(config.process.user, Some(User::Numbers { user: 65532, group: 101 }));
    assert!(config.process.require_lockdown);
    assert_eq!(config.process.credential_folders, [Path::new("/etc/stubgate/more"), Path::new("/run/more")]);
}

#[test]
fn a_small_file_is_enough() {
    let config = check(SMALL).unwrap();
    assert_eq!(config.listen.admin, [address("127.0.0.1:9090")]);
    assert_eq!(config.policy, [Path::new("/etc/stubgate/policy.yaml")]);
    assert_eq!(config.state_dir, Path::new("/var/lib/stubgate"));
    assert_eq!(config.audit.len(), 1);
}

#[test]
fn every_error_of_a_broken_file_is_shown_at_once() {
    let text = r#"listn: {}
listen:
  dns: ["0.0.0.0", ":53"]
  http: "0.0.0.0:80"
  https: ["0.0.0.0:443", "0.0.0.0:443"]
  proxi: ["0.0.0.0:3128"]
advertise: ["10.43.100.100:53", "0.0.0.0", localhost]
policy: []
ca: { key_file: ca.key }
dns:
  forward:
    - zones: ["*.cluster.local"]
      to: ["127.0.0.1:0"]
    - to: []
limits:
  connections: 0
  headers: many
  header_bites: 1
timeouts: { idle_seconds: -1, drain_seconds: 99999 }
upstream:
  nameservers: [9]
  connect_to: { "api.github.com": "127.0.0.1:8443", "github.com:443": "localhost:1" }
  allow_private:
    - hosts: ["*.corp.example", "https://corp.example"]
      networks: ["0.0.0.0/0", "10.1.2.3/24", "10.1.2.3", "127.0.0.0/8", "169.254.0.0/16"]
audit:
  files: [{ path: "-", max_bytes: 100000 }, { path: a.log, keep: 3 }, { durable: true }]
"#;
    let problem = check(text).unwrap_err();
    insta::assert_snapshot!(problem.to_string());
    assert_eq!(problem.diagnostics.len(), findings(text).len());
}

#[test]
fn each_mistake_has_its_code_and_place() {
    for (text, expected) in [
        ("policy: [p]\n", "SG0011 1:1"),
        ("listen: { proxy: [\"127.0.0.1:3128\"] }\n", "SG0011 1:1"),
        ("listen: { admin: [\"127.0.0.1:9090\"] }\npolicy: [p]\n", "SC0005 1:9"),
        ("listen: { dns: [\"127.0.0.1:53\"] }\npolicy: [p]\n", "SC0006 1:1"),
        ("listen: { dns: [\"127.0.0.1:53\"] }\nadvertise: []\npolicy: [p]\n", "SC0006 2:12"),
        (&with("polcy: x"), "SG0010 3:1"),
        (&with("policy: x"), "SG0008 3:1"),
        (&with("state_dir: 7"), "SG0012 3:12"),
        (&with("state_dir: \"\""), "SC0007 3:12"),
        (&with("state_dir:"), "SG0009 3:10"),
        (&with("advertise: [\"224.0.0.1\"]"), "SC0003 3:13"),
        (&with("advertise: [\"fe80::1\"]"), "SC0003 3:13"),
        (&with("advertise: [\"::ffff:1.2.3.4\"]"), "SC0003 3:13"),
        (&with("advertise: [\"1.2.3.4\", \"1.2.3.4\"]"), "SC0004 3:24"),
        (&with("ca: { certificate_file: x }"), "SC0008 3:25"),
        (&with("dns: { forward: [{ zones: [\".\"], to: [\"9.9.9.9:53\"] }] }"), "SC0009 3:28"),
        (&with("dns: { forward: [{ zones: [a.test, A.test], to: [\"9.9.9.9:53\"] }] }"), "SC0004 3:36"),
        (
            "listen: { dns: [\"0.0.0.0:53\"] }\nadvertise: [\"192.0.2.1\"]\npolicy: [p]\nupstream: { nameservers: [\"192.0.2.1:53\"] }\n",
            "SC0010 4:27",
        ),
        (
            "listen: { dns: [\"0.0.0.0:53\"] }\nadvertise: [\"192.0.2.1\"]\npolicy: [p]\nupstream: { nameservers: [\"127.0.0.53:53\"] }\n",
            "SC0010 4:27",
        ),
        (&with("limits: { headers: 1.5 }"), "SC0011 3:20"),
        (&with("limits: { headers: 7 }"), "SC0011 3:20"),
        (&with("limits: { connections: 99999999999999999999999 }"), "SC0011 3:24"),
        (&with("limits: []"), "SG0012 3:9"),
        (&with("upstream: { connect_to: { \"a.test:0\": \"127.0.0.1:1\" } }"), "SC0012 3:27"),
        (&with("upstream: { connect_to: { \"[::1]\": \"127.0.0.1:1\" } }"), "SC0012 3:27"),
        (&with("upstream: { connect_to: { \"a.test:1\": \"0.0.0.0:1\" } }"), "SC0002 3:39"),
        (
            &with("upstream: { connect_to: { \"a.test:1\": \"127.0.0.1:1\", \"A.test:1\": \"127.0.0.1:1\" } }"),
            "SC0004 3:54",
        ),
        (&with("upstream: { allow_private: [{ hosts: [a.test], networks: [] }] }"), "SG0013 3:58"),
        (&with("upstream: { allow_private: [{ networks: [\"10.0.0.0/8\"] }] }"), "SG0011 3:29"),
        (&with("upstream: { allow_private: [{ hosts: [a.test], networks: [\"100.0.0.0/8\"] }] }"), "SC0015 3:59"),
        (&with("audit: { files: [] }"), "SC0016 3:17"),
        (&with("audit: { files: [{ path: a }, { path: a }] }"), "SC0004 3:39"),
        ("a: &x 1\n", "SG0005 1:4"),
        ("listen: [\n", "SG0001 1:9"),
        ("", "SG0014 1:1"),
    ] {
        assert_eq!(findings(text), [expected], "{text}");
    }
}

#[test]
fn listeners_can_share_port_0_only() {
    assert_eq!(findings("listen: { http: [\"127.0.0.1:0\"], proxy: [\"127.0.0.1:0\"] }\npolicy: [p]\n"), [""; 0]);
    let shared = "listen: { http: [\"127.0.0.1:80\"], proxy: [\"127.0.0.1:80\"] }\npolicy: [p]\n";
    assert_eq!(findings(shared), ["SC0004 1:43"]);
}

#[test]
fn a_transparent_listener_is_for_redirect_unless_it_says_tproxy() {
    let listen = |doors: &str| format!("listen: {{ transparent: {doors} }}\npolicy: [p.yaml]\n");
    let config = check(&listen("[\"0.0.0.0:15001\", { tproxy: \"[::]:15002\" }, \"[::]:15001\"]")).unwrap();
    assert_eq!(config.listen.transparent, [address("0.0.0.0:15001"), address("[::]:15001")]);
    assert_eq!(config.listen.tproxy, [address("[::]:15002")]);
    for (doors, code) in [
        ("[{ tproxy: \"0.0.0.0\" }]", "SC0002"),
        ("[{ redirect: \"0.0.0.0:15001\" }]", "SG0010"),
        ("[{ tproxy: \"0.0.0.0:1\" }, \"0.0.0.0:1\"]", "SC0004"),
        ("[{}]", "SG0011"),
        ("[15001]", "SG0012"),
    ] {
        let found = findings(&listen(doors));
        assert!(found.iter().any(|finding| finding.starts_with(code)), "{doors} {found:?}");
    }
    assert!(!findings("listen: { http: [{ tproxy: \"0.0.0.0:80\" }] }\npolicy: [p.yaml]\n").is_empty());
}

#[test]
fn every_number_takes_its_bounds_and_nothing_beyond() {
    for (section, ranges) in [("limits", Limits::RANGES), ("timeouts", Timeouts::RANGES)] {
        for (key, low, default, high) in ranges {
            let is_taken = |value: String| findings(&with(&format!("{section}: {{ {key}: {value} }}"))).is_empty();
            assert!(low <= default && default <= high, "{key}");
            assert!(is_taken(low.to_string()) && is_taken(high.to_string()), "{key}");
            let below = low.checked_sub(1).iter().flat_map(|less| [less.to_string(), "0".into()]).collect::<Vec<_>>();
            let beyond = [(high + 1).to_string(), "-1".into(), "1.5".into()].into_iter().chain(below);
            let odd = ["\"10\"".to_owned(), "true".into(), "[10]".into(), "0x7fffffffffffffff0".into()];
            for value in beyond.chain(odd) {
                assert!(!is_taken(value.clone()), "{key}: {value}");
            }
        }
    }
}

#[test]
fn an_unreadable_file_is_a_problem_like_any_other() {
    let problem = Config::read(Path::new("/nonexistent/stubgate.yaml")).unwrap_err();
    assert_eq!(problem.diagnostics[0].code, codes::UNREADABLE);
    assert!(problem.to_string().contains("/nonexistent/stubgate.yaml"), "{problem}");
    let problem = Config::read(Path::new("/dev/zero")).unwrap_err();
    assert!(problem.to_string().contains("not a regular file"), "{problem}");
}

mod policy_files {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path, policy: &str) -> Result<Vec<String>, String> {
        let path = folder.join("stubgate.yaml");
        fs::write(&path, format!("listen: {{ proxy: [\"127.0.0.1:0\"] }}\npolicy: {policy}\n")).unwrap();
        let config = Config::read(&path).unwrap_or_else(|problem| panic!("{problem}"));
        let files = policy_files(&config.policy).map_err(|error| error.to_string())?;
        let prefix = format!("{}/", folder.display());
        Ok(files.iter().map(|file| format!("{}={}", file.name.replace(&prefix, ""), file.text)).collect())
    }

    #[test]
    fn folders_are_expanded_sorted_and_not_recursed() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy");
        fs::create_dir_all(policy.join("tests")).unwrap();
        fs::create_dir(policy.join("folder.yaml")).unwrap();
        for name in ["b.yaml", "a.yaml", ".hidden.yaml", "c.yml", "README.md", "tests/t.yaml", "a.yaml~"] {
            fs::write(policy.join(name), name).unwrap();
        }
        fs::write(folder.path().join("z.txt"), "z").unwrap();
        let read = names(folder.path(), "[z.txt, policy]").unwrap();
        assert_eq!(read, ["z.txt=z", "policy/a.yaml=a.yaml", "policy/b.yaml=b.yaml"]);
    }

    #[test]
    fn what_an_author_could_believe_to_be_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy");
        for below in ["tests", "more", "empty", "folder.yaml", "..data"] {
            fs::create_dir_all(policy.join(below)).unwrap();
        }
        for name in
            ["a.yaml", "deny.yml", "B.YAML", "README.md", ".x.yml", "tests/t.yaml", "more/m.yaml", "..data/x.yaml"]
        {
            fs::write(policy.join(name), name).unwrap();
        }
        let (files, skipped) = policy_files_and_others(std::slice::from_ref(&policy)).unwrap();
        assert_eq!(files.len(), 1);
        let said: Vec<String> =
            skipped.iter().map(|one| one.message.replace(&format!("{}/", policy.display()), "")).collect();
        let rule = "is not read: only *.yaml directly in the folder";
        assert_eq!(said, ["B.YAML", "deny.yml", "folder.yaml", "more"].map(|name| format!("{name} {rule}")));
        assert!(skipped.iter().all(|one| one.code == "SG0213" && !one.is_error()));
        // A file that is named is read, whatever its name.
        assert_eq!(policy_files_and_others(&[policy.join("deny.yml")]).unwrap().1, []);
    }

    #[test]
    fn kubernetes_links_are_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy");
        fs::create_dir_all(policy.join("..2026")).unwrap();
        fs::write(policy.join("..2026/a.yaml"), "a").unwrap();
        symlink("..2026", policy.join("..data")).unwrap();
        symlink("..data/a.yaml", policy.join("a.yaml")).unwrap();
        assert_eq!(names(folder.path(), "[policy]").unwrap(), ["policy/a.yaml=a"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy");
        fs::create_dir(&policy).unwrap();
        assert!(names(folder.path(), "[missing]").unwrap_err().contains("missing"));
        symlink("nowhere", policy.join("dangling.yaml")).unwrap();
        assert!(names(folder.path(), "[policy]").unwrap_err().contains("dangling.yaml"));
        fs::remove_file(policy.join("dangling.yaml")).unwrap();
        fs::write(policy.join("latin.yaml"), b"\xfc").unwrap();
        assert!(names(folder.path(), "[policy]").unwrap_err().contains("latin.yaml: not UTF-8"));
    }

    #[test]
    fn all_files_together_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.yaml", "b.yaml"] {
            let file = fs::File::create(folder.path().join(name)).unwrap();
            file.set_len(70 * 1024 * 1024).unwrap();
        }
        let error = names(folder.path(), "[a.yaml, b.yaml]").unwrap_err();
        assert!(error.contains("b.yaml: too large"), "{error}");
    }
}

mod warnings {
    use std::fs;

    use super::*;

    /// Code and line of every warning about a file with these lines, in a folder with a policy and a file.
    fn warned(lines: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for name in ["policy.yaml", "ca.pem"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let path = folder.path().join("stubgate.yaml");
        fs::write(&path, lines).unwrap();
        let checked = Config::check(&path).unwrap_or_else(|problem| panic!("{problem}"));
        let describe = |diagnostic: &Diagnostic| {
            assert!(!diagnostic.is_error() && diagnostic.help.is_some(), "{diagnostic:?}");
            let at = diagnostic.labels[0].span.start;
            format!("{} {}", diagnostic.code, lines[..at].matches('\n').count() + 1)
        };
        checked.warnings.iter().map(describe).collect()
    }

    #[test]
    fn files_that_are_not_there_are_named_at_their_place() {
        assert_eq!(warned(SMALL), [""; 0]);
        let nothing = "listen: { proxy: [\"127.0.0.1:3128\"] }\npolicy: [nowhere, policy.yaml]\n\
                       ca: { certificate_file: ca.pem, key_file: ca.key }\nupstream:\n  ca_files: [ca.pem, corp.pem]\n";
        assert_eq!(warned(nothing), ["SC0019 2", "SC0019 3", "SC0019 5"]);
    }

    #[test]
    fn an_audit_file_is_warned_of_only_where_it_cant_be_made() {
        let audit = |path: &str| warned(&with(&format!("audit: {{ files: [{{ path: \"{path}\" }}] }}")));
        for path in ["-", "audit.jsonl", "deep/log/audit.jsonl"] {
            assert_eq!(audit(path), [""; 0], "{path}");
        }
        for path in [".", "ca.pem/audit.jsonl", "ca.pem/log/audit.jsonl"] {
            assert_eq!(audit(path), ["SC0019 3"], "{path}");
        }
    }

    #[test]
    fn an_admin_endpoint_that_agents_can_reach_is_warned_of() {
        for (admin, is_warned) in [
            ("127.0.0.1:9090", false),
            ("192.0.2.9:9090", false),
            ("0.0.0.0:9090", true),
            ("[::]:9090", true),
            ("192.0.2.1:9090", true),
            ("[2001:db8::1]:9090", true),
            ("192.0.2.2:9090", true),
        ] {
            let text = format!(
                "listen: {{ proxy: [\"192.0.2.2:3128\"], admin: [\"{admin}\"] }}\npolicy: [policy.yaml]\n\
                 advertise: [\"192.0.2.1\", \"2001:db8::1\"]\n"
            );
            assert_eq!(warned(&text) == ["SC0018 1"], is_warned, "{admin}: {:?}", warned(&text));
        }
    }
}
