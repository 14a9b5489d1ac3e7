use std::fs;

use super::*;

fn policy(text: &str) -> Policy {
    let file = SourceFile { name: "p.yaml".into(), text: format!("version: 1\n{text}") };
    stubgate_policy::compile(&[file]).unwrap_or_else(|found| panic!("{found:?}")).policy
}

const AGENT: &str = "agents: { sandbox: { sources: [\"198.18.0.1/32\"] } }\n";

fn with_credential(source: &str, hosts: &str, slots: &str) -> Policy {
    policy(&format!(
        "{AGENT}credentials:\n  c: {{ stub: stub-of-c-0, slots: [{slots}], hosts: [{hosts}], source: {source} }}\n\
         rules:\n  - {{ name: r, agents: [sandbox], hosts: [{hosts}], methods: [GET], credentials: [c] }}\n"
    ))
}

fn sandbox(policy: &Policy) -> AgentId {
    policy.agent_named("sandbox").unwrap()
}

#[test]
fn the_variable_that_a_credential_comes_from_holds_its_stub() {
    let policy = with_credential("{ env: ACME_TOKEN }", "api.acme.example", "bearer");
    let found = stubs(&policy, sandbox(&policy), |_| false);
    assert_eq!(found, BTreeMap::from([("ACME_TOKEN".into(), "stub-of-c-0".into())]));
}

#[test]
fn every_variable_that_a_credential_comes_from_is_withheld_with_a_stub_or_without() {
    let app = "{ github_app: { app_id: 1, installation: 1, private_key: { env: ACME } } }";
    for source in ["{ env: ACME }", app] {
        let policy = with_credential(source, "a.example", "bearer");
        assert_eq!(withheld(&policy), BTreeSet::from(["ACME".to_owned()]), "{source}");
    }
    let minted = policy(&format!(
        "{AGENT}credentials:\n  c: {{ stub: stub-of-c-0, minted_only: true, slots: [bearer], hosts: [a.example], source: {{ env: ACME }} }}\n\
         rules:\n  - {{ name: r, agents: [sandbox], hosts: [a.example], methods: [GET], credentials: [c] }}\n"
    ));
    assert_eq!(withheld(&minted), BTreeSet::from(["ACME".to_owned()]));
    assert!(stubs(&minted, sandbox(&minted), |_| true).is_empty());
}

#[test]
fn an_agent_gets_the_stubs_and_the_proxy_of_what_is_granted_to_it_and_no_others() {
    let policy = policy(
        "agents: { sandbox: { sources: [\"198.18.0.1/32\"] }, other: { sources: [\"198.18.0.2/32\"] } }\ncredentials:\n\
         \x20 own: { stub: stub-of-own, slots: [bearer], hosts: [own.example], source: { env: OWN } }\n\
         \x20 theirs: { stub: stub-of-theirs, slots: [bearer], hosts: [gitlab.com], source: { env: THEIRS } }\nrules:\n\
         \x20 - { name: a, agents: [sandbox], hosts: [own.example], methods: [GET], credentials: [own] }\n\
         \x20 - { name: b, agents: [other], hosts: [gitlab.com], methods: [GET], credentials: [theirs] }\n\
         \x20 - { name: c, agents: [other], hosts: [\"a.example:8443\"], methods: [GET] }\n",
    );
    let names = |agent: &str| {
        let agent = policy.agent_named(agent).unwrap();
        (stubs(&policy, agent, |_| true).into_keys().collect::<Vec<_>>(), needs_proxy(&policy, agent))
    };
    assert_eq!(names("sandbox"), (vec!["OWN".to_owned()], false));
    assert_eq!(names("other"), (vec!["GITLAB_TOKEN".to_owned(), "THEIRS".to_owned()], true));
    assert_eq!(withheld(&policy), BTreeSet::from(["OWN".to_owned(), "THEIRS".to_owned()]));
}

#[test]
fn clients_that_are_known_find_their_stub() {
    let policy = with_credential("{ file: /x }", "api.anthropic.com", "bearer");
    let names =
        |set: &[&str]| stubs(&policy, sandbox(&policy), |name| set.contains(&name)).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&[]), ["ANTHROPIC_AUTH_TOKEN"]);
    assert_eq!(names(&["CLAUDE_CODE_OAUTH_TOKEN"]), ["ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"]);
    let key = with_credential("{ file: /x }", "api.anthropic.com", "\"header:x-api-key\"");
    assert_eq!(stubs(&key, sandbox(&key), |_| false).into_keys().collect::<Vec<_>>(), ["ANTHROPIC_API_KEY"]);
}

#[test]
fn a_proxy_is_needed_for_other_ports_and_for_addresses() {
    let with = |host: &str| {
        policy(&format!("{AGENT}rules:\n  - {{ name: r, agents: [sandbox], hosts: [{host}], methods: [GET] }}\n"))
    };
    for (host, expected) in
        [("a.example", false), ("\"http://a.example\"", false), ("\"a.example:8443\"", true), ("8.8.8.8", true)]
    {
        let policy = with(host);
        assert_eq!(needs_proxy(&policy, sandbox(&policy)), expected, "{host}");
    }
}

#[test]
fn keys_and_credentials_are_hidden_policy_is_read_only_and_nothing_above_can_be_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    let at = |name: &str| base.join(name);
    for name in ["state", "project/policy", "home/.ssh", "home/.aws", "secrets", "work"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    for name in ["project/policy/p.yaml", "home/.bashrc", "secrets/c"] {
        fs::write(at(name), "").unwrap();
    }
    let config = configuration(&[at("project/policy")], &at("state")).unwrap();
    let policy = with_credential(&format!("{{ file: {}/secrets/c }}", base.display()), "a.example", "bearer");
    let asked = Asked { hide: &[], show: &[at("home/.aws")], homes: &[at("home")], folder: &at("work"), writable: &[] };
    let guarded = Guarded::new(&config, None, &policy, asked).unwrap();
    assert_eq!(
        guarded.hidden,
        [at("home/.ssh"), at("secrets"), at("state")],
        "the folder, not the file, which may be exchanged"
    );
    for name in ["project/policy", "home/.bashrc", "home/.aws"] {
        assert!(guarded.read_only.contains(&at(name)), "{name}: {guarded:?}");
    }
    let refused = Guarded::new(&config, None, &policy, Asked { show: &[at("state")], ..asked }).unwrap_err();
    assert!(refused.contains("--show") && refused.contains("/state"), "{refused}");
    // Where the command works in the folder of a credential, the file alone is covered.
    let beside = Guarded::new(&config, None, &policy, Asked { folder: &at("secrets"), ..asked }).unwrap();
    assert!(beside.hidden.contains(&at("secrets/c")), "{beside:?}");
    for name in ["project", "home"] {
        assert!(guarded.fixed.contains(&at(name)), "{name}: {guarded:?}");
    }
    let position = |path: &Path| guarded.fixed.iter().position(|fixed| fixed == path);
    assert!(position(&base) < position(&at("project")));
}

#[test]
fn a_policy_where_the_command_works_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    fs::create_dir_all(base.join("project/policy")).unwrap();
    for name in ["project/p.yaml", "project/policy/p.yaml"] {
        fs::write(base.join(name), "").unwrap();
    }
    let policy = with_credential("{ env: ACME_TOKEN }", "a.example", "bearer");
    for (path, is_taken) in
        [("project/p.yaml", false), ("project", false), ("project/policy", true), ("project/policy/p.yaml", true)]
    {
        let config = configuration(&[base.join(path)], &base.join("state")).unwrap();
        let asked = Asked { hide: &[], show: &[], homes: &[], folder: &base.join("project"), writable: &[] };
        let guarded = Guarded::new(&config, None, &policy, asked);
        assert_eq!(guarded.is_ok(), is_taken, "{path}: {guarded:?}");
    }
}

#[test]
fn what_is_reached_by_a_link_that_the_command_could_exchange_is_refused() {
    use std::os::unix::fs::symlink;

    // In /tmp, so that root's command could exchange it too.
    let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    let base = folder.path().canonicalize().unwrap();
    let at = |name: &str| base.join(name);
    for name in ["policy", "real", "work", "shared"] {
        fs::create_dir(at(name)).unwrap();
    }
    for name in ["real/tool", "shared/p.yaml", "policy/own.yaml"] {
        fs::write(at(name), "").unwrap();
    }
    symlink(at("real"), at("by-link")).unwrap();
    symlink("../real/tool", at("work/tool")).unwrap();
    symlink("own.yaml", at("policy/beside.yaml")).unwrap();
    let config = configuration(&[at("policy")], &at("state")).unwrap();
    let asked = Asked { hide: &[], show: &[], homes: &[], folder: &at("work"), writable: &[] };
    for (path, is_taken) in
        [("real/tool", true), ("by-link/tool", false), ("work/tool", false), ("work/../real/tool", true)]
    {
        for source in [format!("{{ exec: [{}] }}", at(path).display()), format!("{{ file: {} }}", at(path).display())] {
            let policy = with_credential(&source, "a.example", "bearer");
            let guarded = Guarded::new(&config, None, &policy, asked);
            assert_eq!(guarded.is_ok(), is_taken, "{source}: {guarded:?}");
        }
        assert_eq!(asked.straight(&at(path)).is_ok(), is_taken, "{path}");
    }
    let policy = with_credential("{ env: ACME_TOKEN }", "a.example", "bearer");
    assert!(Guarded::new(&config, None, &policy, asked).is_ok(), "a link to a file beside it stays in the folder");
    symlink("../shared/p.yaml", at("policy/p.yaml")).unwrap();
    let refused = Guarded::new(&config, None, &policy, asked).unwrap_err();
    assert!(refused.contains("leads out of the policy's folder"), "{refused}");
}

/// What can't be seen or changed of a configuration with these lines more; all paths are below one folder.
fn guarded_with(base: &Path, lines: &str, source: &str) -> Result<Guarded, String> {
    let base_text = base.display().to_string();
    let text =
        format!("listen: {{ proxy: [\"127.0.0.1:0\"] }}\npolicy: [BASE/policy]\nstate_dir: BASE/state\n{lines}\n");
    let text = text.replace("BASE", &base_text);
    let file = SourceFile { name: base.join("etc/stubgate.yaml").display().to_string(), text };
    let config = config::compile(file).unwrap_or_else(|problem| panic!("{problem}"));
    let policy = with_credential(&source.replace("BASE", &base_text), "a.example", "bearer");
    let asked = Asked { hide: &[], show: &[], homes: &[base.join("home")], folder: &base.join("work"), writable: &[] };
    Guarded::new(&config, None, &policy, asked)
}

/// A folder for root's and any user's command to write in.
fn base_with(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    let base = folder.path().canonicalize().unwrap();
    for name in ["policy", "state", "work", "home"] {
        fs::create_dir(base.join(name)).unwrap();
    }
    for name in files {
        fs::create_dir_all(base.join(name).parent().unwrap()).unwrap();
        fs::write(base.join(name), "").unwrap();
    }
    (folder, base)
}

#[test]
fn a_script_that_a_credential_s_program_runs_is_guarded_as_the_program_is() {
    let (_folder, base) = base_with(&["bin/get", "scripts/get.py", "work/get.py", "home/get.py"]);
    let source = |script: &str| format!("{{ exec: [BASE/bin/get, -s, {script}, BASE/not-there] }}");
    let guarded = guarded_with(&base, "", &source("BASE/scripts/get.py")).unwrap();
    for name in ["bin", "scripts"] {
        assert!(guarded.read_only.contains(&base.join(name)), "{guarded:?}");
    }
    let app =
        |script: &str| format!("{{ github_app: {{ app_id: 1, installation: 1, private_key: {} }} }}", source(script));
    for script in ["BASE/work/get.py", "BASE/home/get.py", "BASE/work"] {
        for source in [source(script), app(script)] {
            let refused = guarded_with(&base, "", &source).unwrap_err();
            assert!(refused.contains("the program") && refused.contains("of its own"), "{source}: {refused}");
        }
    }
    // Programs of the system stay as they are.
    assert!(guarded_with(&base, "", "{ exec: [/bin/sh, -c, \"echo x\", /dev/null] }").is_ok());
}

#[test]
fn all_that_a_configuration_reads_and_writes_is_guarded() {
    let secrets = ["ca/ca.key", "keys/escrow", "keys/url", "stub/key"];
    let others = ["ca/ca.pem", "revoked/list", "corp/ca.pem", "db/ca.pem", "out/bundle.pem"];
    let (_folder, base) = base_with(&[&secrets[..], &others[..], &["log/a", "tools/key", "cluster/config"]].concat());
    let lines = "ca: { certificate_file: BASE/ca/ca.pem, key_file: BASE/ca/ca.key, bundle_file: BASE/out/bundle.pem }\n\
        stubs: { key_file: BASE/stub/key, revoked_file: BASE/revoked/list }\nupstream: { ca_files: [BASE/corp/ca.pem] }\n\
        audit: { files: [{ path: BASE/log/a }, { path: /dev/null }] }\n";
    let by_file = "escrow: { store: { postgres: { url_file: BASE/keys/url, ca_file: BASE/db/ca.pem } }, key: { file: BASE/keys/escrow } }";
    let guarded = guarded_with(&base, &format!("{lines}{by_file}"), "{ env: ACME }").unwrap();
    let is_in = |all: &[PathBuf], name: &str| base.join(name).ancestors().any(|path| all.contains(&path.to_owned()));
    for name in secrets.into_iter().chain(["log/a", "state"]) {
        assert!(is_in(&guarded.hidden, name), "{name}: {guarded:?}");
    }
    for name in others {
        assert!(is_in(&guarded.read_only, name), "{name}: {guarded:?}");
    }
    assert!(!guarded.hidden.contains(&"/dev".into()) && !guarded.read_only.contains(&"/dev/null".into()));
    let by_passphrase = guarded_with(&base, "escrow: { key: { passphrase_file: BASE/keys/escrow } }", "{ env: ACME }");
    assert!(is_in(&by_passphrase.unwrap().hidden, "keys/escrow"));
    let by_program = guarded_with(&base, "escrow: { key: { exec: [BASE/tools/key, a] } }", "{ env: ACME }").unwrap();
    assert!(is_in(&by_program.read_only, "tools/key"), "{by_program:?}");
}

#[test]
fn what_a_configuration_names_by_a_link_of_the_command_s_is_refused() {
    let (_folder, base) = base_with(&["real/x"]);
    std::os::unix::fs::symlink("../real", base.join("work/link")).unwrap();
    for lines in [
        "upstream: { ca_files: [BASE/work/link/x] }",
        "ca: { certificate_file: BASE/work/link/x, key_file: BASE/real/x }",
        "ca: { certificate_file: BASE/real/x, key_file: BASE/work/link/x }",
        "ca: { bundle_file: BASE/work/link/x }",
        "stubs: { key_file: BASE/work/link/x }",
        "stubs: { revoked_file: BASE/work/link/x }",
        "escrow: { key: { file: BASE/work/link/x } }",
        "audit: { files: [{ path: BASE/work/link/x }] }",
        "process: { credential_folders: [BASE/work/link] }",
    ] {
        let refused = guarded_with(&base, lines, "{ env: ACME }").unwrap_err();
        assert!(refused.contains("work/link"), "{lines}: {refused}");
    }
}

#[test]
fn records_where_the_command_works_are_refused() {
    let (_folder, base) = base_with(&["work/records", "home/records"]);
    for place in ["work", "home"] {
        let lines = format!("audit: {{ files: [{{ path: BASE/{place}/records }}] }}");
        let refused = guarded_with(&base, &lines, "{ env: ACME }").unwrap_err();
        assert!(refused.contains("the file of records") && refused.contains("of its own"), "{refused}");
    }
    let lines = "process: { credential_folders: [BASE/home] }";
    assert!(guarded_with(&base, lines, "{ env: ACME }").is_err(), "what the command works in can't be hidden from it");
    let in_state = guarded_with(&base, "audit: { files: [{ path: BASE/state/deeper/a }] }", "{ env: ACME }").unwrap();
    assert!(in_state.hidden.contains(&base.join("state")) && in_state.hidden.len() == 1, "{in_state:?}");
    let asked = Asked { hide: &[], show: &[], homes: &[], folder: &base.join("work"), writable: &[] };
    // One right below the root is nobody's own, but what is in the state folder is covered with that.
    assert!(asked.records(Path::new("/usr/records"), Path::new("/usr")).is_ok());
    assert!(asked.records(Path::new("/usr/records"), &base).is_err());
    assert!(asked.apart("x", &base.join("work/not-yet")).is_err());
    assert!(asked.apart("x", &base.join("work/log/not-yet")).is_ok());
}

/// A folder that its user can't write may lie in one that can be exchanged as a whole.
#[test]
fn a_link_below_a_folder_that_can_be_renamed_can_be_exchanged() {
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["theirs/of-root", "of-root/theirs"] {
        fs::create_dir_all(at(name)).unwrap();
        symlink("/etc/hosts", at(name).join("link")).unwrap();
    }
    if !rustix::process::geteuid().is_root() {
        assert!(links::can_be_exchanged(&at("theirs/of-root/link")) && !links::can_be_exchanged(Path::new("/bin/sh")));
        return;
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    chown(at("theirs"), Some(65534), None).unwrap();
    let [theirs, of_root] = ["theirs/of-root/link", "of-root/theirs/link"].map(at);
    // As another user, which is a thread's own matter.
    std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        assert!(!links::is_changeable(theirs.parent().unwrap()) && links::can_be_exchanged(&theirs));
        assert!(!links::can_be_exchanged(&of_root), "what is another's in /tmp is not to be renamed");
        assert!(!links::can_be_exchanged(Path::new("/bin/sh")));
    })
    .join()
    .unwrap();
}

#[test]
fn both_homes_are_known_and_one_that_is_not_there_is_none() {
    let (_folder, base) = base_with(&[]);
    let listed = base.join("work");
    let passwd =
        format!("root:x:0:0::/root:/bin/sh\nu:x:7:7:U:{}:/bin/sh\nv:x:8:8::/not/there:/bin/sh\n", listed.display());
    assert_eq!(homes(Some(base.join("home")), &passwd, 7), [base.join("home"), listed.clone()]);
    assert_eq!(homes(Some(listed.clone()), &passwd, 7), std::slice::from_ref(&listed));
    assert_eq!(homes(None, &passwd, 7), [listed]);
    assert!(homes(Some("relative".into()), &passwd, 8).is_empty());
}

#[test]
fn a_folder_that_its_owner_could_make_writable_is_one_that_can_be_changed() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    fs::create_dir_all(own.join("a")).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o555)).unwrap();
    assert!(links::is_changeable(&own));
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn odd_characters_of_a_path_stay_what_they_are() {
    let config = configuration(&[PathBuf::from("/a \"b\"/p: [x]")], Path::new("/s # t")).unwrap();
    assert_eq!(config.policy, [PathBuf::from("/a \"b\"/p: [x]")]);
    assert_eq!(config.state_dir, Path::new("/s # t"));
    assert!(config.listen.admin.is_empty());
}
