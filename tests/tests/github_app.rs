//! Installation tokens that live for seconds: git in the pod, which has a stub, clones all the while, and each request arrives
//! with a token that is good at that time and can do no more than policy writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use stubgate_tests::builder::fresh_secret;
use stubgate_tests::lab::WAYS;
use stubgate_tests::origin::app::Shown;
use stubgate_tests::origin::{App, Nginx};
use stubgate_tests::{Lab, Shared, Way};

static WORLD: Shared<World> = Shared::new(World::new);

/// How long tokens live.
const LIFE: Duration = Duration::from_secs(6);
/// Megabytes of `acme/large`, and how many of them are sent a second: a clone takes longer than a token lives.
const LARGE: (u64, u64) = (32, 4);

const POLICY: &str = r#"version: 1
agents:
  pod: { sources: ["10.99.0.2/32"] }
credentials:
  github:
    stub: proxy-token-github
    slots: [bearer, basic]
    hosts: [api.github.com, github.com]
    source:
      github_app:
        app_id: 12345
        installation: 678
        private_key: { file: "@SECRETS@/app-key" }
        repositories: [site, large]
        permissions: { contents: read }
rules:
  - name: github-git
    agents: [pod]
    hosts: [github.com]
    methods: [GET, POST]
    paths: ["/acme/**"]
    credentials: [github]
"#;

struct World {
    lab: Lab,
    app: App,
}

impl AsRef<Lab> for World {
    fn as_ref(&self) -> &Lab {
        &self.lab
    }
}

impl World {
    fn new() -> World {
        let secret = fresh_secret("app");
        let number = secret.rsplit('~').next().unwrap().trim_end_matches('=');
        let app = App::new(&format!("ghs_{number}"), &["site", "large"], "read", LIFE);
        let lab = Lab::new()
            .origin(app.clone())
            .origin(Nginx::git_of_app("github.com", &app, LARGE.0, LARGE.1))
            .credential("app-key", app.private_key())
            .policy(POLICY)
            .start();
        let world = World { lab, app };
        world.lab.appliance().until("a token", || world.has_token());
        world
    }

    fn has_token(&self) -> bool {
        self.lab.appliance().get("/readyz").is_ok_and(|(_, body)| !body.contains("no value"))
    }

    /// Clones a repository into a folder of the pod, and removes it; whether that went well, and what git said.
    fn clone(&self, way: Way, repository: &str, name: &str) -> Result<(), String> {
        let folder = self.lab.scratch(name);
        let url = format!("https://github.com/acme/{repository}.git");
        let ran = self.lab.client(way).git().args(["clone", "-q", &url]).arg(folder.join("work")).run();
        let is_there = folder.join("work/README").exists();
        std::fs::remove_dir_all(&folder).unwrap();
        if ran.status.success() && is_there { Ok(()) } else { Err(ran.errors()) }
    }

    /// No token, and nothing of the key, where an agent or a reader of logs could see it.
    fn assert_nothing_leaked(&self) {
        let line = self.app.private_key().lines().nth(5).unwrap();
        let secrets = [("token".to_owned(), self.app.prefix().to_owned()), ("key".to_owned(), line.to_owned())];
        let leaks = self.lab.leaks_of(&secrets);
        assert!(leaks.is_empty(), "{leaks:?}");
    }
}

/// Tells those who clone to stop, also where an assertion failed.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn clones_run_one_after_the_other_and_at_once_while_tokens_are_renewed_and_none_fails() {
    WORLD.test(|world| {
        let (before, uses_before, refused_before) =
            (world.app.tokens().len(), world.app.uses().len(), world.app.refused());
        let begun = Instant::now();
        let (stop, small, large) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let until_stopped = |repository: &str, name: &str, way: Way, done: &AtomicUsize| {
            while !stop.load(Ordering::Relaxed) {
                world.clone(way, repository, name).unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            let ended = Stop(&stop);
            let (small, large, until_stopped) = (&small, &large, &until_stopped);
            let mut agents: Vec<_> = WAYS
                .iter()
                .map(|way| scope.spawn(move || until_stopped("site", &format!("small-{way:?}"), *way, small)))
                .collect();
            agents.push(scope.spawn(move || until_stopped("large", "large", Way::Dns, large)));
            let is_enough = || world.app.tokens().len() >= before + 4 && large.load(Ordering::Relaxed) >= 2;
            while !is_enough() && !agents.iter().any(|agent| agent.is_finished()) {
                assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", world.app.tokens());
                thread::sleep(Duration::from_millis(100));
            }
            drop(ended);
            for agent in agents {
                agent.join().expect("no clone fails");
            }
        });
        let (tokens, uses) = (world.app.tokens(), world.app.uses().split_off(uses_before));
        let bad: Vec<_> = uses.iter().filter(|one| one.shown == Shown::Other || one.status == 403).collect();
        assert!(bad.is_empty(), "shown something that was no good token for that: {bad:?}");
        let shown: BTreeSet<_> =
            uses.iter().filter_map(|one| Some(one.shown).filter(|one| *one != Shown::Nothing)).collect();
        let ahead: Vec<Duration> = tokens[before - 1..]
            .windows(2)
            .map(|pair| pair[0].1.duration_since(pair[1].0).expect("ahead of the end"))
            .collect();
        println!(
            "{} small and {} large clones in {:?}; {} requests with {} tokens of {}, renewed {ahead:?} ahead",
            small.load(Ordering::Relaxed),
            large.load(Ordering::Relaxed),
            begun.elapsed(),
            uses.iter().filter(|one| one.shown != Shown::Nothing).count(),
            shown.len(),
            tokens.len() - before + 1,
        );
        assert!(shown.len() >= 4, "{shown:?}");
        assert_eq!(
            world.app.refused(),
            refused_before,
            "each was asked for as policy writes it, and signed by the app"
        );
        world.assert_nothing_leaked();
    });
}

#[test]
fn a_token_is_no_good_for_another_repository_or_for_more_than_was_asked_for() {
    WORLD.test(|world| {
        let said = world.clone(Way::Dns, "other", "other").unwrap_err();
        assert!(said.contains("403"), "{said}");
        let uses = world.app.uses();
        let last = uses.last().unwrap();
        assert!(matches!(last.shown, Shown::Token(_)) && last.status == 403, "{last:?}");
        let folder = world.lab.scratch("push");
        let git = || world.lab.client(Way::Dns).git();
        git().args(["clone", "-q", "https://github.com/acme/site.git"]).arg(&folder).run().success();
        let said = git().dir(&folder).args(["push", "-q", "origin", "main:more"]).run().failure();
        assert!(said.contains("403"), "{said}");
        world.assert_nothing_leaked();
    });
}

#[test]
fn with_the_key_of_another_app_the_last_token_serves_to_its_end_and_the_right_key_mends_it() {
    WORLD.test(|world| {
        let appliance = world.lab.appliance();
        let key = world.lab.pod().dir().join("secrets/app-key");
        let write = |pem: &str| {
            std::fs::write(key.with_extension("new"), pem).unwrap();
            std::fs::rename(key.with_extension("new"), &key).unwrap();
        };
        let another = App::new("ghs_", &["site"], "read", LIFE);
        let refused = world.app.refused();
        write(another.private_key());
        appliance.until("a refusal", || world.app.refused() > refused);
        let says = |text: &str| appliance.with_process(|running| running.errors().contains(text));
        let why = "refuses the app's signature (status 401): is `private_key` one of app 12345";
        appliance.until("a line of the log", || says(why));
        let (_, ends) = *world.app.tokens().last().unwrap();
        appliance.until("the end of the last token", || SystemTime::now() > ends && !world.has_token());
        let before = world.app.uses().len();
        world.clone(Way::Dns, "site", "without").unwrap_err();
        assert!(
            world.app.uses()[before..].iter().all(|one| one.shown == Shown::Nothing),
            "nothing that has ended is shown"
        );
        write(world.app.private_key());
        appliance.until("a token", || world.has_token());
        world.clone(Way::Dns, "site", "mended").unwrap();
        world.assert_nothing_leaked();
    });
}
