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

#[test]
fn the_variable_that_a_credential_comes_from_holds_its_stub() {
    let policy = with_credential("{ env: ACME_TOKEN }", "api.acme.example", "bearer");
    assert_eq!(stubs(&policy, |_| false), BTreeMap::from([("ACME_TOKEN".into(), "stub-of-c-0".into())]));
}

#[test]
fn clients_that_are_known_find_their_stub() {
    let policy = with_credential("{ file: /x }", "api.anthropic.com", "bearer");
    let names = |set: &[&str]| stubs(&policy, |name| set.contains(&name)).into_keys().collect::<Vec<_>>();
    assert_eq!(names(&[]), ["ANTHROPIC_AUTH_TOKEN"]);
    assert_eq!(names(&["CLAUDE_CODE_OAUTH_TOKEN"]), ["ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"]);
    let key = with_credential("{ file: /x }", "api.anthropic.com", "\"header:x-api-key\"");
    assert_eq!(stubs(&key, |_| false).into_keys().collect::<Vec<_>>(), ["ANTHROPIC_API_KEY"]);
}

#[test]
fn a_proxy_is_needed_for_other_ports_and_for_addresses() {
    let with = |host: &str| {
        policy(&format!("{AGENT}rules:\n  - {{ name: r, agents: [sandbox], hosts: [{host}], methods: [GET] }}\n"))
    };
    for (host, expected) in
        [("a.example", false), ("\"http://a.example\"", false), ("\"a.example:8443\"", true), ("8.8.8.8", true)]
    {
        assert_eq!(needs_proxy(&with(host)), expected, "{host}");
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
    let asked = Asked {
        hide: &[],
        show: &[at("home/.aws"), at("state")],
        home: Some(&at("home")),
        folder: &at("work"),
        writable: &[],
    };
    let guarded = Guarded::new(&config, None, &policy, asked).unwrap();
    assert_eq!(
        guarded.hidden,
        [at("home/.ssh"), at("secrets"), at("state")],
        "the folder, not the file, which may be exchanged"
    );
    for name in ["project/policy", "home/.bashrc", "home/.aws"] {
        assert!(guarded.read_only.contains(&at(name)), "{name}: {guarded:?}");
    }
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
        let asked = Asked { hide: &[], show: &[], home: None, folder: &base.join("project"), writable: &[] };
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
    let asked = Asked { hide: &[], show: &[], home: None, folder: &at("work"), writable: &[] };
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

#[test]
fn a_folder_that_its_owner_could_make_writable_is_one_that_can_be_changed() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    fs::create_dir_all(own.join("a")).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o555)).unwrap();
    assert!(is_changeable(&own));
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn odd_characters_of_a_path_stay_what_they_are() {
    let config = configuration(&[PathBuf::from("/a \"b\"/p: [x]")], Path::new("/s # t")).unwrap();
    assert_eq!(config.policy, [PathBuf::from("/a \"b\"/p: [x]")]);
    assert_eq!(config.state_dir, Path::new("/s # t"));
    assert!(config.listen.admin.is_empty());
}
