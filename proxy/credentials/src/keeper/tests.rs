//! On paused time: nothing here waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::*;

mod clocks;
use crate::fetch::{Fetched, Fetching};
use crate::secret::Secret;
use crate::sources::SourceError;

/// A source that does as the test says.
#[derive(Default)]
struct Double {
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    answers: Mutex<VecDeque<Answer>>,
    /// What it was asked to give another value for.
    refused: Mutex<Vec<String>>,
}

enum Answer {
    Value(&'static str, Option<SystemTime>),
    /// After the semaphore has a permit.
    Late(Arc<Semaphore>, &'static str),
    Never,
    Panic,
}

impl Double {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn then(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    async fn answer(&self) -> Result<Fetched, SourceError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        let _here = Here(&self.at_once);
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(Answer::Value(text, expires)) => Ok(fetched(text, expires)),
            Some(Answer::Late(permits, text)) => {
                permits.acquire().await.unwrap().forget();
                Ok(fetched(text, None))
            }
            Some(Answer::Never) => std::future::pending().await,
            Some(Answer::Panic) => panic!("as the test wants it"),
            None => Err(SourceError::Other("is down".into())),
        }
    }
}

struct Here<'a>(&'a AtomicUsize);

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn fetched(text: &str, expires: Option<SystemTime>) -> Fetched {
    Fetched { secret: Secret::new(Zeroizing::new(text.into())).ok().unwrap(), expires }
}

struct Shared(Arc<Double>);

impl Fetch for Shared {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(self.0.answer())
    }

    fn fetch_but(&self, refused: &Secret) -> Fetching<'_> {
        self.0.refused.lock().unwrap().push(String::from_utf8_lossy(refused.reveal()).into_owned());
        self.fetch()
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Witness for Heard {
    fn fetched(&self, name: &str, news: News, _expires: Option<SystemTime>) {
        self.0.lock().unwrap().push(format!("{name} {news:?}"));
    }

    fn failed(&self, name: &str, kind: &'static str, _text: &str, kept: bool) {
        self.0.lock().unwrap().push(format!("{name} {kind} {}", if kept { "kept" } else { "lost" }));
    }
}

struct World {
    keeper: Keeper,
    store: Arc<CredentialStore>,
    heard: Arc<Heard>,
    sources: HashMap<&'static str, Arc<Double>>,
    begun: Instant,
    /// By how much the time of day was set forward.
    set: Arc<Mutex<Duration>>,
}

const HOUR: Duration = Duration::from_secs(3600);

/// The same, read every so many seconds.
fn policy_with_ttl(seconds: u32) -> Policy {
    compile(policy_text(&["one"], "").replace(", \"\"] }", &format!(", \"\"], ttl_seconds: {seconds} }}")))
}

/// Credentials of these names, each from a program.
fn policy(names: &[&str], more: &str) -> Policy {
    compile(policy_text(names, more))
}

fn policy_text(names: &[&str], more: &str) -> String {
    let mut text = "version: 1\nagents: { a: { sources: [\"192.0.2.1/32\"] } }\ncredentials:\n".to_owned();
    for name in names {
        text.push_str(&format!(
            "  {name}: {{ stub: proxy-token-{name}, slots: [bearer], hosts: [{name}.example], \
             source: {{ exec: [/bin/{name}, \"{more}\"] }} }}\n"
        ));
    }
    text.push_str("rules:\n");
    for name in names {
        let rule = "agents: [a], methods: [GET], credentials:";
        text.push_str(&format!("  - {{ name: {name}, hosts: [{name}.example], {rule} [{name}] }}\n"));
    }
    text
}

fn compile(text: String) -> Policy {
    let file = stubgate_policy::SourceFile { name: "p.yaml".into(), text };
    stubgate_policy::compile(&[file]).unwrap_or_else(|found| panic!("{found:?}")).policy
}

impl World {
    fn new() -> Self {
        let (store, _) = CredentialStore::load(&Policy::empty());
        let (store, heard) = (Arc::new(store), Arc::<Heard>::default());
        let sources: HashMap<_, Arc<Double>> = [("one", Arc::default()), ("two", Arc::default())].into();
        let begun = Instant::now();
        let set = Arc::<Mutex<Duration>>::default();
        let by = Arc::clone(&set);
        let now = move || SystemTime::UNIX_EPOCH + begun.elapsed() + *by.lock().unwrap();
        let outside = Outside { now: Arc::new(now), chance: Arc::new(|| 0.5) };
        let of = sources.clone();
        let open: Opener = Arc::new(move |name, _| Arc::new(Shared(Arc::clone(&of[name]))));
        let terms = Terms { keep: HOUR, ..Terms::default() };
        let witness = Arc::clone(&heard) as Arc<dyn Witness>;
        let keeper = Keeper::new(Arc::clone(&store), open, witness, outside, terms, Handle::current());
        World { keeper, store, heard, sources, begun, set }
    }

    /// Lets tasks run until all of them wait.
    async fn settle(&self) {
        sleep(Duration::from_millis(1)).await;
    }

    async fn pass(&self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            sleep((until - Instant::now()).min(Duration::from_secs(1))).await;
        }
        self.settle().await;
    }

    fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.0.lock().unwrap())
    }

    fn at(&self, time: Duration) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.begun.elapsed() + time
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_holds_up_no_other_and_is_given_up_on() {
    let world = World::new();
    world.sources["one"].then(Answer::Never);
    world.sources["two"].then(Answer::Value("value-of-two", None));
    world.keeper.follow(&policy(&["one", "two"], ""));
    world.settle().await;
    assert_eq!(world.heard(), ["two First"]);
    assert!(world.store.available("two") && !world.store.available("one"));
    assert_eq!(world.store.without_value().len(), 1);
    world.pass(309 * SECOND).await;
    assert!(
        !world.heard().iter().any(|one| one.starts_with("one")),
        "programs wait for each other beyond their own time"
    );
    world.pass(2 * SECOND).await;
    assert_eq!(world.heard()[0], "one timeout lost");
    assert!(world.sources["one"].asked() > 1, "and is asked again");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_again_after_times_that_grow() {
    let world = World::new();
    world.keeper.follow(&policy(&["one"], ""));
    // Half of 1, 2, 4, 8, 16, 32 and 60 seconds.
    for (questions, wait) in
        [(1, 0), (2, 501), (3, 1_001), (4, 2_001), (5, 4_001), (6, 8_001), (7, 16_001), (8, 30_001)]
    {
        sleep(Duration::from_millis(wait)).await;
        world.settle().await;
        assert_eq!(world.sources["one"].asked(), questions);
    }
    world.pass(20 * SECOND).await;
    assert_eq!(world.sources["one"].asked(), 8);
    // Someone who thinks it is well again need not wait.
    world.sources["one"].then(Answer::Value("value-of-one", None));
    world.keeper.ask_failing();
    world.settle().await;
    assert!(world.store.available("one"));
    world.keeper.ask_failing();
    world.settle().await;
    assert_eq!(world.sources["one"].asked(), 9, "what is well is left in peace");
}

#[tokio::test(start_paused = true)]
async fn one_question_is_asked_at_a_time_and_one_more_for_whoever_asks_meanwhile() {
    let world = World::new();
    let permits = Arc::new(Semaphore::new(0));
    world.sources["one"].then(Answer::Late(Arc::clone(&permits), "value-of-one"));
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    for _ in 0..100 {
        world.keeper.ask_all();
    }
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    world.sources["one"].then(Answer::Value("value-2-of-one", None));
    permits.add_permits(1);
    world.pass(60 * SECOND).await;
    assert_eq!((world.sources["one"].asked(), world.sources["one"].most_at_once.load(Ordering::SeqCst)), (2, 1));
    assert_eq!(world.heard(), ["one First", "one Changed"], "what the first answer was too old for is not missed");
}

#[tokio::test(start_paused = true)]
async fn a_last_good_value_stays_for_so_long_and_then_requests_are_refused() {
    let world = World::new();
    world.sources["one"].then(Answer::Value("value-of-one", None));
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    assert_eq!(world.heard(), ["one First"]);
    world.pass(HOUR - SECOND).await;
    assert!(world.store.available("one") && world.store.is_stale("one"));
    let heard = world.heard();
    assert!(heard.len() > 100 && heard.iter().all(|one| one == "one source kept"), "{heard:?}");
    world.pass(2 * SECOND).await;
    assert!(!world.store.available("one"));
    let ends = world.heard().into_iter().filter(|one| one == "one ended lost").count();
    assert_eq!(ends, 1);
    world.sources["one"].then(Answer::Value("value-of-one", None));
    world.pass(61 * SECOND).await;
    assert!(world.store.available("one") && !world.store.is_stale("one"));
}

#[tokio::test(start_paused = true)]
async fn a_value_is_renewed_ahead_of_its_end_and_dropped_at_its_end_if_it_is_not() {
    let world = World::new();
    let end = world.at(100 * SECOND);
    world.sources["one"].then(Answer::Value("value-1-of-one", Some(end)));
    world.sources["one"].then(Answer::Value("value-2-of-one", Some(world.at(175 * SECOND))));
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    assert_eq!(world.store.expires("one"), Some(end));
    world.pass(74 * SECOND).await;
    assert_eq!(world.sources["one"].asked(), 1);
    world.pass(2 * SECOND).await;
    assert_eq!(world.heard(), ["one First", "one Changed"]);
    // From now on it fails.
    world.pass(98 * SECOND).await;
    assert!(world.store.available("one") && world.store.is_stale("one"));
    world.pass(2 * SECOND).await;
    assert!(!world.store.available("one"));
    assert!(world.heard().contains(&"one ended lost".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_value_ends_also_while_its_source_is_being_asked() {
    let world = World::new();
    world.sources["one"].then(Answer::Value("value-1-of-one", Some(world.at(10 * SECOND))));
    world.sources["one"].then(Answer::Never);
    world.keeper.follow(&policy(&["one"], ""));
    world.pass(9 * SECOND).await;
    assert!(world.store.available("one") && world.sources["one"].asked() == 2);
    world.pass(2 * SECOND).await;
    assert!(!world.store.available("one"));
    assert_eq!(world.heard(), ["one First", "one ended lost"]);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_has_ended_already_is_not_taken() {
    let world = World::new();
    world.sources["one"].then(Answer::Value("value-1-of-one", Some(SystemTime::UNIX_EPOCH)));
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    assert!(!world.store.available("one"));
    assert_eq!(world.heard(), ["one ended lost"]);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_reads_from_the_same_place_changes_nothing_and_another_place_begins_anew() {
    let world = World::new();
    world.sources["one"].then(Answer::Value("value-of-one", None));
    world.sources["two"].then(Answer::Value("value-of-two", None));
    world.keeper.follow(&policy(&["one", "two"], ""));
    world.settle().await;
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    assert!(world.store.available("one") && !world.store.available("two"));
    world.pass(HOUR / 2).await;
    assert_eq!(world.sources["two"].asked(), 1, "what policy no longer names is not asked");
    let asked = world.sources["one"].asked();
    world.keeper.follow(&policy(&["one"], "elsewhere"));
    assert!(!world.store.available("one"), "a value is never carried over");
    world.sources["one"].then(Answer::Value("value-of-one", None));
    world.settle().await;
    assert!(world.store.available("one") && world.sources["one"].asked() == asked + 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_comes_after_its_policy_went_is_not_put_in_force() {
    let world = World::new();
    let permits = Arc::new(Semaphore::new(0));
    world.sources["one"].then(Answer::Late(Arc::clone(&permits), "value-of-one"));
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    world.keeper.follow(&Policy::empty());
    permits.add_permits(1);
    world.settle().await;
    assert!(!world.store.available("one") && world.heard().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_value_that_an_origin_refused_is_asked_for_once_more() {
    let world = World::new();
    for value in ["value-1-of-one", "value-1-of-one", "value-2-of-one"] {
        world.sources["one"].then(Answer::Value(value, None));
    }
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    let first = world.store.version("one").unwrap();
    assert!(!world.keeper.suspect("one", 0.into()), "it is not in use");
    assert!(!world.keeper.is_suspect("one"));
    assert!(world.keeper.suspect("one", first));
    world.settle().await;
    assert_eq!(world.sources["one"].asked(), 2);
    for _ in 0..10 {
        assert!(!world.keeper.suspect("one", first));
        world.settle().await;
    }
    assert_eq!(world.sources["one"].asked(), 2, "not again for the same value");
    assert!(world.keeper.is_suspect("one") && !world.keeper.is_suspect("unknown"), "nothing took its place");
    world.keeper.ask_all();
    world.settle().await;
    let second = world.store.version("one").unwrap();
    assert!(!world.keeper.is_suspect("one"));
    assert!(!world.keeper.suspect("one", first), "it is in use no more");
    assert!(!world.keeper.suspect("one", second), "so soon after the first");
    world.pass(SECOND).await;
    assert!(world.keeper.suspect("one", second) && !world.keeper.suspect("unknown", second));
    world.settle().await;
    assert_eq!(world.heard(), ["one First", "one Same", "one Changed", "one source kept"]);
    let refused = world.sources["one"].refused.lock().unwrap().clone();
    assert_eq!(refused, ["value-1-of-one", "value-2-of-one"], "the source is told which");
}

#[tokio::test(start_paused = true)]
async fn refusals_push_no_value_out_that_is_still_looked_for_in_responses() {
    let world = World::new();
    for value in
        ["value-1-of-one", "value-2-of-one", "value-3-of-one", "value-4-of-one", "value-5-of-one", "value-6-of-one"]
    {
        world.sources["one"].then(Answer::Value(value, None));
    }
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    let is_found = || world.store.scrubber().scrub(b"value-1-of-one".to_vec().as_mut()) == 1;
    for wait in [1, 2, 4, 8] {
        assert!(world.keeper.suspect("one", world.store.version("one").unwrap()));
        world.pass(SECOND * wait).await;
        assert!(is_found());
    }
    assert!(!world.keeper.suspect("one", world.store.version("one").unwrap()), "as many as are looked for");
    world.pass(SECOND * 61).await;
    world.store.forget_replaced(SECOND * 60);
    assert!(world.keeper.suspect("one", world.store.version("one").unwrap()), "once they are forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_keeper_that_is_dropped_asks_nobody_any_more() {
    let world = World::new();
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    let World { keeper, sources, .. } = world;
    drop(keeper);
    sleep(HOUR).await;
    assert_eq!(sources["one"].asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn another_time_between_two_readings_keeps_the_value_and_its_end_and_counts_from_now_on() {
    let world = World::new();
    let end = world.at(HOUR);
    world.sources["one"].then(Answer::Value("value-1-of-one", Some(end)));
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    assert!(world.keeper.follow(&policy_with_ttl(100)).changed.is_empty());
    assert!(world.store.available("one") && world.store.expires("one") == Some(end));
    world.pass(90 * SECOND).await;
    assert_eq!(world.sources["one"].asked(), 1);
    world.pass(10 * SECOND).await;
    assert!(world.sources["one"].asked() > 1 && world.store.is_stale("one"));
    // Failing all along, it ends when it would have.
    world.keeper.follow(&policy_with_ttl(200));
    world.pass(HOUR - 110 * SECOND).await;
    assert!(world.store.available("one"));
    world.pass(20 * SECOND).await;
    assert!(!world.store.available("one"));
}

#[tokio::test(start_paused = true)]
async fn other_times_do_not_let_a_value_of_a_source_that_fails_stay_for_longer() {
    let world = World::new();
    world.sources["one"].then(Answer::Value("value-1-of-one", None));
    world.keeper.follow(&policy(&["one"], ""));
    world.pass(HOUR / 2).await;
    assert!(world.store.is_stale("one"));
    world.keeper.follow(&policy_with_ttl(100));
    world.pass(HOUR / 2 + 2 * SECOND).await;
    assert!(!world.store.available("one"));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_our_own_drops_the_value_and_the_credential_is_kept_again_after_a_pause() {
    let world = World::new();
    world.sources["one"].then(Answer::Value("value-1-of-one", None));
    world.sources["one"].then(Answer::Panic);
    world.keeper.follow(&policy(&["one"], ""));
    world.settle().await;
    world.keeper.ask_all();
    world.settle().await;
    assert!(!world.store.available("one"));
    world.sources["one"].then(Answer::Value("value-2-of-one", None));
    world.pass(9 * SECOND).await;
    assert_eq!(world.heard(), ["one First", "one internal lost"]);
    world.pass(2 * SECOND).await;
    assert_eq!(world.heard(), ["one First"]);
    world.sources["one"].then(Answer::Value("value-3-of-one", None));
    world.keeper.ask_all();
    world.settle().await;
    assert_eq!(world.heard(), ["one Changed"], "and it can be woken as before");
}

#[test]
fn a_question_has_the_time_of_all_that_is_asked_on_the_way() {
    let ten = Duration::from_secs(10);
    let exec = |policy: &Policy| policy.credentials()[0].reading().clone();
    let program = exec(&policy(&["one"], ""));
    let of_program = task::limit(&program, ten);
    assert!(of_program > ten);
    let app = stubgate_policy::secret_source::GithubApp {
        server: stubgate_policy::Authority::parse(stubgate_policy::Scheme::Https, b"api.github.com").unwrap(),
        base_path: "".into(),
        app_id: "1".into(),
        private_key: Box::new(program),
        installation: 1,
        repositories: Box::default(),
        permissions: Box::default(),
    };
    let app = stubgate_policy::Source::GithubApp(Box::new(app)).into();
    assert_eq!(task::limit(&app, ten), of_program + ten);
}
