use std::fs;
use std::path::Path;

use stubgate_policy::{Ask, Authority, BasicField, Decision, Method, RequestStage, Scheme, SourceFile, Target, Token};

use super::*;

const STUB: &str = "proxy-token-github";

fn policy_text(folder: &Path, file: &str) -> String {
    format!(
        r#"
version: 1
agents:
  devbot: {{ sources: ["10.42.0.11/32"] }}
credentials:
  github:
    stub: {STUB}
    slots: [bearer, basic]
    hosts: [api.github.com]
    source: {{ file: {} }}
rules:
  - name: github
    agents: [devbot]
    hosts: [api.github.com]
    methods: [GET]
    credentials: [github]
"#,
        folder.join(file).display()
    )
}

fn policy(text: &str) -> Policy {
    let files = [SourceFile { name: "policy.yaml".into(), text: text.into() }];
    match stubgate_policy::compile(&files) {
        Ok(compiled) => compiled.policy,
        Err(found) => panic!("{}", stubgate_policy::render(&found, &files, false)),
    }
}

/// A real permit: the only way to get one.
fn permit(policy: &Policy, slot: Option<SlotRef<'_>>) -> Permit {
    let authority = Authority::parse(Scheme::Https, b"api.github.com").unwrap();
    let tokens: Vec<Token<'_>> = slot.into_iter().map(|slot| Token::literal(slot, STUB.as_bytes())).collect();
    let stage = RequestStage {
        authority: &authority,
        method: &Method::parse(b"GET").unwrap(),
        target: &Target::parse(b"/user").unwrap(),
        tokens: &tokens,
    };
    match policy.decide(&Ask::new(policy.agent_named("devbot").unwrap(), stage)) {
        Decision::Allow(permit) => permit,
        Decision::Deny(denial) => panic!("{denial:?}"),
        Decision::Answer(answer) => panic!("{answer:?}"),
    }
}

fn header_value(
    store: &CredentialStore,
    policy: &Policy,
    permit: &Permit,
    slot: SlotRef<'_>,
    original: &HeaderValue,
) -> Result<HeaderValue, SwapError> {
    store.granted(policy, permit)?.header_value(slot, original)
}

fn bearer(store: &CredentialStore, policy: &Policy) -> Result<String, SwapError> {
    let permit = permit(policy, Some(SlotRef::Bearer));
    let original = HeaderValue::try_from(format!("bearer {STUB}")).unwrap();
    let value = header_value(store, policy, &permit, SlotRef::Bearer, &original)?;
    Ok(value.to_str().unwrap().to_owned())
}

/// What the keeper does with a credential whose time has come.
fn read_again(store: &CredentialStore, policy: &Policy) -> (Vec<Put>, Vec<String>) {
    let (mut puts, mut problems) = (Vec::new(), Vec::new());
    for credential in policy.credentials() {
        let (name, reading) = (credential.name(), credential.reading());
        match sources::read_now(reading) {
            Ok(fetched) => puts.push(store.put(name, reading, fetched)),
            Err(error) => {
                let kept = store.is_kept_without(name, reading);
                problems.push(sentence(name, &sources::describe(&reading.source), &error, kept));
            }
        }
    }
    (puts, problems)
}

struct Set {
    folder: tempfile::TempDir,
    policy: Policy,
}

impl Set {
    fn new(content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("github"), content).unwrap();
        let policy = policy(&policy_text(folder.path(), "github"));
        Self { folder, policy }
    }

    fn write(&self, content: &str) {
        fs::write(self.folder.path().join("github"), content).unwrap();
    }
}

#[test]
fn a_permit_turns_the_stub_into_the_secret() {
    let set = Set::new("ghp_real_value\n");
    let (store, Loaded { problems, .. }) = CredentialStore::load(&set.policy);
    assert!(problems.is_empty());
    assert!(store.available("github"));
    assert_eq!(bearer(&store, &set.policy), Ok("Bearer ghp_real_value".into()));

    let slot = SlotRef::Basic(BasicField::Password);
    let permit = permit(&set.policy, Some(slot));
    let original = HeaderValue::from_bytes(&crate::slots::encode_basic(b"x", STUB.as_bytes())).unwrap();
    let value = header_value(&store, &set.policy, &permit, slot, &original).unwrap();
    assert_eq!(value.as_bytes(), &crate::slots::encode_basic(b"x", b"ghp_real_value")[..]);
    assert!(value.is_sensitive());
}

#[test]
fn nothing_is_revealed_without_a_granted_swap_in_a_declared_slot() {
    let set = Set::new("ghp_real_value");
    let (store, _) = CredentialStore::load(&set.policy);
    let original = HeaderValue::from_static("Bearer proxy-token-github");
    let without = permit(&set.policy, None);
    let outcome = header_value(&store, &set.policy, &without, SlotRef::Bearer, &original);
    assert_eq!(outcome.unwrap_err(), SwapError::NotGranted);
    let with = permit(&set.policy, Some(SlotRef::Bearer));
    for slot in [SlotRef::Bare, SlotRef::Header("x-api-key"), SlotRef::Query("key"), SlotRef::Elsewhere] {
        let outcome = header_value(&store, &set.policy, &with, slot, &original);
        assert_eq!(outcome.unwrap_err(), SwapError::Slot, "{slot:?}");
    }
    let other = HeaderValue::from_static("Bearer proxy-token-gitlab");
    let outcome = header_value(&store, &set.policy, &with, SlotRef::Bearer, &other);
    assert_eq!(outcome.unwrap_err(), SwapError::NotTheStub);
}

#[test]
fn a_permit_that_is_open_until_the_body_was_looked_at_reveals_nothing() {
    let set = Set::new("real-secret");
    let text = policy_text(set.folder.path(), "github");
    let policy = policy(
        &text.replace("credentials: [github]\n", "credentials: [github]\n    body: { json: { allow_keys: [a] } }\n"),
    );
    let (store, _) = CredentialStore::load(&policy);
    assert!(store.available("github"));
    assert_eq!(bearer(&store, &policy), Err(SwapError::NotLooked));
}

#[test]
fn a_missing_credential_is_refused_and_named() {
    let set = Set::new("");
    let (store, Loaded { problems, .. }) = CredentialStore::load(&set.policy);
    assert!(!store.available("github"));
    assert!(!store.available("unknown"));
    assert_eq!(bearer(&store, &set.policy), Err(SwapError::Missing));
    let said = problems[0].to_string();
    assert!(said.starts_with("credential github: file ") && said.contains("is empty"), "{said}");
    assert!(said.ends_with("requests that need it are refused"), "{said}");
}

#[test]
fn rotation_takes_effect_at_once() {
    let set = Set::new("ghp_first_value");
    let (store, _) = CredentialStore::load(&set.policy);
    set.write("ghp_second_value");
    assert_eq!(bearer(&store, &set.policy), Ok("Bearer ghp_first_value".into()));
    assert_eq!(read_again(&store, &set.policy), (vec![Put::Changed], vec![]));
    assert_eq!(bearer(&store, &set.policy), Ok("Bearer ghp_second_value".into()));
    assert_eq!(read_again(&store, &set.policy), (vec![Put::Same], vec![]), "nothing is told twice");
    let loaded = store.reload(&set.policy);
    assert!(loaded.changed.is_empty() && loaded.problems.is_empty());
    assert_eq!(bearer(&store, &set.policy), Ok("Bearer ghp_second_value".into()));
}

#[test]
fn what_was_granted_is_sent_under_its_version_whatever_is_rotated_meanwhile() {
    let set = Set::new("ghp_first_value");
    let (store, _) = CredentialStore::load(&set.policy);
    let permit = permit(&set.policy, Some(SlotRef::Bearer));
    let granted = store.granted(&set.policy, &permit).ok().unwrap();
    let first = store.version("github");
    assert_eq!(first, Some(granted.version()));
    set.write("ghp_second_value");
    assert_eq!(read_again(&store, &set.policy).0, [Put::Changed]);
    let value = granted.header_value(SlotRef::Bearer, &HeaderValue::from_static("Bearer proxy-token-github"));
    assert_eq!(value.unwrap().to_str().unwrap(), "Bearer ghp_first_value");
    let second = store.version("github");
    assert!(second.is_some() && second != first);
    set.write("ghp_first_value\n");
    read_again(&store, &set.policy);
    assert_eq!(store.version("github"), first, "the same value has the same version");
    store.drop_value("github", set.policy.credentials()[0].reading());
    assert_eq!((store.version("github"), store.version("unknown")), (None, None));
}

#[test]
fn a_broken_source_keeps_the_last_good_value_and_says_so() {
    let set = Set::new("ghp_first_value");
    let (store, _) = CredentialStore::load(&set.policy);
    let path = set.folder.path().join("github");
    for content in [Some(""), Some("two\nlines-of-secret"), None] {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let (_, problems) = read_again(&store, &set.policy);
        assert!(store.is_stale("github") && store.available("github"));
        let said = &problems[0];
        assert!(said.contains("last good value stays") && !said.contains("lines-of"), "{said}");
        assert_eq!(bearer(&store, &set.policy), Ok("Bearer ghp_first_value".into()));
    }
    set.write("ghp_first_value");
    assert_eq!(read_again(&store, &set.policy).0, [Put::Same], "the same value is no rotation");
    assert!(!store.is_stale("github"));
}

#[test]
fn a_value_that_comes_at_last_is_told() {
    let set = Set::new("");
    let (store, loaded) = CredentialStore::load(&set.policy);
    assert!(loaded.changed.is_empty() && !store.is_stale("github"));
    set.write("ghp_first_value");
    assert_eq!(read_again(&store, &set.policy).0, [Put::First]);
}

#[test]
fn a_value_is_never_carried_over_to_another_source() {
    let set = Set::new("ghp_first_value");
    let (store, _) = CredentialStore::load(&set.policy);
    let moved = policy(&policy_text(set.folder.path(), "elsewhere"));
    let problems = store.reload(&moved).problems;
    assert!(!problems[0].kept);
    assert!(!store.available("github"));
    assert_eq!(bearer(&store, &moved), Err(SwapError::Missing));
}

#[test]
fn a_permit_of_before_gets_no_credential_that_was_redefined_since() {
    let set = Set::new("ghp_first_value");
    fs::write(set.folder.path().join("elsewhere"), "ghp_other_value").unwrap();
    let (store, _) = CredentialStore::load(&set.policy);
    store.reload(&policy(&policy_text(set.folder.path(), "elsewhere")));
    assert_eq!(bearer(&store, &set.policy), Err(SwapError::Changed));
    store.reload(&Policy::empty());
    assert_eq!(bearer(&store, &set.policy), Err(SwapError::Changed));
    assert!(!store.available("github"));
}

#[test]
fn a_permit_is_worth_nothing_with_another_policy() {
    let set = Set::new("ghp_first_value");
    let (store, _) = CredentialStore::load(&set.policy);
    let text = policy_text(set.folder.path(), "github");
    let other = policy(&text.replace(STUB, "another-stub"));
    let renamed = policy(&text.replace("github:", "gitlab:").replace("[github]", "[gitlab]"));
    let permit = permit(&set.policy, Some(SlotRef::Bearer));
    let original = HeaderValue::from_static("Bearer proxy-token-github");
    for wrong in [&other, &renamed, &Policy::empty()] {
        let outcome = header_value(&store, wrong, &permit, SlotRef::Bearer, &original);
        assert_eq!(outcome.unwrap_err(), SwapError::Changed);
    }
}

#[test]
fn folders_are_watched_where_links_lead_too() {
    let set = Set::new("ghp_first_value");
    let folder = set.folder.path();
    fs::create_dir(folder.join("..2026")).unwrap();
    fs::rename(folder.join("github"), folder.join("..2026/github")).unwrap();
    std::os::unix::fs::symlink("..2026", folder.join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/github", folder.join("github")).unwrap();
    let (store, Loaded { problems, .. }) = CredentialStore::load(&set.policy);
    assert!(problems.is_empty());
    let real = folder.canonicalize().unwrap();
    assert_eq!(store.watched_paths().unwrap(), [folder.to_owned(), real.join("..2026")].into());
}

#[test]
fn readers_see_the_old_or_the_new_value_while_it_rotates() {
    let set = Set::new("ghp_value_0000");
    let (store, _) = CredentialStore::load(&set.policy);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    (0..500).all(|_| {
                        bearer(&store, &set.policy).is_ok_and(|value| value.starts_with("Bearer ghp_value_00"))
                    })
                })
            })
            .collect();
        for round in 0..50 {
            let draft = set.folder.path().join("draft");
            fs::write(&draft, format!("ghp_value_{round:04}")).unwrap();
            fs::rename(&draft, set.folder.path().join("github")).unwrap();
            assert_eq!(read_again(&store, &set.policy).1, [""; 0]);
        }
        assert!(readers.into_iter().all(|reader| reader.join().unwrap()));
    });
    assert_eq!(bearer(&store, &set.policy), Ok("Bearer ghp_value_0049".into()));
}

#[test]
fn the_last_replaced_values_are_still_scrubbed_and_older_ones_are_not() {
    let set = Set::new("value-number-0");
    let (store, _) = CredentialStore::load(&set.policy);
    let value = |number: usize| format!("value-number-{number}");
    for number in 1..7 {
        set.write(&value(number));
        read_again(&store, &set.policy);
    }
    let is_found = |number| store.scrubber().scrub(value(number).as_bytes().to_vec().as_mut()) == 1;
    assert_eq!((0..8).map(is_found).collect::<Vec<_>>(), [false, false, true, true, true, true, true, false]);
}

fn fetched(value: &str, expires: Option<SystemTime>) -> Fetched {
    Fetched { secret: Secret::new(zeroize::Zeroizing::new(value.into())).ok().unwrap(), expires }
}

#[test]
fn a_value_is_put_in_force_only_where_policy_still_reads_it_from_there() {
    let set = Set::new("ghp_first_value");
    let (store, _) = CredentialStore::load(&set.policy);
    let reading = set.policy.credentials()[0].reading();
    let end = SystemTime::now() + Duration::from_secs(100);
    assert_eq!(store.put("github", reading, fetched("ghp_second_value", Some(end))), Put::Changed);
    assert_eq!(store.expires("github"), Some(end));
    let elsewhere = Reading::from(Source::Env("GITHUB".into()));
    assert_eq!(store.put("github", &elsewhere, fetched("ghp_third_value", None)), Put::Unwanted);
    assert_eq!(store.put("unknown", reading, fetched("ghp_third_value", None)), Put::Unwanted);
    assert_eq!(bearer(&store, &set.policy), Ok("Bearer ghp_second_value".into()));
}

#[test]
fn a_value_that_was_dropped_is_missing_until_there_is_another() {
    let set = Set::new("ghp_first_value");
    let (store, _) = CredentialStore::load(&set.policy);
    let reading = set.policy.credentials()[0].reading();
    assert!(store.drop_value("github", reading) && !store.drop_value("github", reading));
    assert_eq!(store.without_value(), BTreeSet::from(["github".into()]));
    assert_eq!(bearer(&store, &set.policy), Err(SwapError::Missing));
    assert!(!store.is_kept_without("github", reading) && !store.is_stale("github"));
    assert_eq!(store.put("github", reading, fetched("ghp_second_value", None)), Put::First);
    assert!(store.without_value().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_replaced_or_dropped_is_scrubbed_for_a_while_and_then_forgotten() {
    let set = Set::new("value-number-0");
    let (store, _) = CredentialStore::load(&set.policy);
    let reading = set.policy.credentials()[0].reading();
    let is_found = |value: &str| store.scrubber().scrub(value.as_bytes().to_vec().as_mut()) == 1;
    let minute = Duration::from_secs(60);
    store.put("github", reading, fetched("value-number-1", None));
    tokio::time::advance(minute / 2).await;
    store.reload(&Policy::empty());
    assert!(is_found("value-number-0") && is_found("value-number-1"), "requests with it are being cut");
    assert!(!store.forget_replaced(minute));
    tokio::time::advance(minute / 2).await;
    assert!(store.forget_replaced(minute));
    assert!(!is_found("value-number-0") && is_found("value-number-1"));
    tokio::time::advance(minute / 2).await;
    assert!(store.forget_replaced(minute) && !store.forget_replaced(minute));
    assert!(!is_found("value-number-1") && store.scrubber().is_empty());
}

#[test]
fn a_value_that_has_ended_is_not_revealed_even_where_nobody_dropped_it() {
    let set = Set::new("ghp_first_value");
    let (store, _) = CredentialStore::load(&set.policy);
    let reading = set.policy.credentials()[0].reading();
    store.put("github", reading, fetched("ghp_second_value", Some(SystemTime::now() - Duration::from_secs(1))));
    assert_eq!(bearer(&store, &set.policy), Err(SwapError::Missing));
}

#[test]
fn another_time_between_two_readings_is_no_other_credential() {
    let set = Set::new("ghp_first_value");
    let (store, _) = CredentialStore::load(&set.policy);
    let end = SystemTime::now() + Duration::from_secs(100);
    let reading = set.policy.credentials()[0].reading();
    store.put("github", reading, fetched("ghp_second_value", Some(end)));
    let text = policy_text(set.folder.path(), "github");
    let slower = policy(&text.replace("/github }", "/github, ttl_seconds: 77 }"));
    assert_ne!(slower.credentials()[0].reading(), reading);
    let loaded = store.reload(&slower);
    assert!(loaded.changed.is_empty() && store.expires("github") == Some(end));
    // Permits of before and of now; and what was asked for before arrives.
    assert_eq!(bearer(&store, &set.policy), Ok("Bearer ghp_second_value".into()));
    assert_eq!(bearer(&store, &slower), Ok("Bearer ghp_second_value".into()));
    assert_eq!(store.put("github", reading, fetched("ghp_third_value", None)), Put::Changed);
    assert_eq!(bearer(&store, &slower), Ok("Bearer ghp_third_value".into()));
}

#[tokio::test(start_paused = true)]
async fn what_is_still_good_somewhere_is_scrubbed_until_it_ends_and_for_a_day_at_most() {
    let set = Set::new("value-number-0");
    let (store, _) = CredentialStore::load(&set.policy);
    let reading = set.policy.credentials()[0].reading();
    let is_found = |value: &str| store.scrubber().scrub(value.as_bytes().to_vec().as_mut()) == 1;
    let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
    store.put("github", reading, fetched("value-number-1", Some(SystemTime::now() + hour)));
    store.put("github", reading, fetched("value-number-2", Some(SystemTime::now() + 1000 * hour)));
    store.drop_value("github", reading);
    tokio::time::advance(hour - minute).await;
    assert!(store.forget_replaced(minute) && !is_found("value-number-0"));
    assert!(is_found("value-number-1") && is_found("value-number-2"));
    tokio::time::advance(minute).await;
    assert!(store.forget_replaced(minute));
    assert!(!is_found("value-number-1") && is_found("value-number-2"));
    tokio::time::advance(23 * hour).await;
    assert!(store.forget_replaced(minute) && store.scrubber().is_empty());
}
