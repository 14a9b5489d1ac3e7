use std::time::Duration;

use stubgate_policy::{SourceFile, compile};

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct World {
    health: Health,
    metrics: Metrics,
    now: Arc<Mutex<SystemTime>>,
}

impl World {
    fn new() -> Self {
        let now = Arc::new(Mutex::new(SystemTime::UNIX_EPOCH + 20_000 * DAY));
        let (metrics, clock) = (Metrics::new(), Arc::clone(&now));
        let health = Health::new(metrics.clone(), Arc::new(move || *clock.lock().unwrap()));
        World { health, metrics, now }
    }

    fn pass(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    fn after(&self, time: Duration) -> Option<SystemTime> {
        Some(*self.now.lock().unwrap() + time)
    }

    /// What Prometheus sees of single credentials.
    fn series(&self) -> Vec<String> {
        let text = self.metrics.render();
        let of_one = |line: &&str| line.starts_with("stubgate_credential_") && !line.contains("_swaps_");
        text.lines().filter(of_one).map(|line| line.replace("stubgate_credential_", "")).collect()
    }

    fn due(&self) -> Vec<(String, Due)> {
        self.health.look().into_iter().map(|ending| (ending.name.into(), ending.due)).collect()
    }
}

/// Credentials of these names, each from a program.
fn policy(names: &[&str], more: &str) -> Policy {
    let mut text = "version: 1\nagents: { a: { sources: [\"192.0.2.1/32\"] } }\ncredentials:\n".to_owned();
    for name in names {
        text.push_str(&format!(
            "  {name}: {{ stub: proxy-token-{name}, slots: [bearer], hosts: [{name}.example], \
             source: {{ exec: [/bin/{name}, \"x{more}\"] }} }}\n"
        ));
    }
    if names.is_empty() {
        return Policy::empty();
    }
    let file = SourceFile { name: "p.yaml".into(), text };
    compile(&[file]).unwrap_or_else(|found| panic!("{found:?}")).policy
}

#[test]
fn series_follow_what_sources_do_and_go_with_their_credential() {
    let world = World::new();
    world.health.follow(&policy(&["one", "two"], ""));
    assert_eq!(
        world.series(),
        [
            "refreshes_total{credential=\"one\"} 0",
            "refreshes_total{credential=\"two\"} 0",
            "rejections_total{credential=\"one\"} 0",
            "rejections_total{credential=\"two\"} 0",
        ]
    );
    world.health.fetched("one", world.after(DAY), None);
    world.health.failed("two", "timeout", "gave no answer", false);
    world.health.failed("two", "timeout", "gave no answer", false);
    world.health.fetched("stranger", world.after(DAY), None);
    world.health.failed("stranger", "timeout", "", true);
    assert_eq!(
        world.series(),
        [
            "expiry_timestamp_seconds{credential=\"one\"} 1728086400",
            "failures_total{credential=\"two\",kind=\"timeout\"} 2",
            "last_success_timestamp_seconds{credential=\"one\"} 1728000000",
            "refreshes_total{credential=\"one\"} 1",
            "refreshes_total{credential=\"two\"} 0",
            "rejections_total{credential=\"one\"} 0",
            "rejections_total{credential=\"two\"} 0",
        ]
    );
    world.health.failed("one", "ended", "has ended", false);
    assert!(!world.series().iter().any(|line| line.starts_with("expiry")), "no value, no end");
    world.health.follow(&policy(&["one"], ""));
    assert_eq!(
        world.series(),
        [
            "failures_total{credential=\"one\",kind=\"ended\"} 1",
            "last_success_timestamp_seconds{credential=\"one\"} 1728000000",
            "refreshes_total{credential=\"one\"} 1",
            "rejections_total{credential=\"one\"} 0",
        ]
    );
    world.health.follow(&policy(&["one"], "elsewhere"));
    assert_eq!(
        world.series(),
        ["refreshes_total{credential=\"one\"} 0", "rejections_total{credential=\"one\"} 0"],
        "what comes from elsewhere begins anew"
    );
    world.health.follow(&policy(&[], ""));
    assert_eq!(world.series(), Vec::<String>::new());
}

#[test]
fn people_are_told_of_an_end_once_after_the_source_was_asked_for_better() {
    let world = World::new();
    world.health.follow(&policy(&["one", "two"], ""));
    let end = world.after(30 * DAY);
    world.health.fetched("one", end, None);
    world.health.fetched("two", world.after(DAY / 24), None);
    world.pass(22 * DAY);
    assert_eq!(world.due(), []);
    world.pass(DAY + DAY / 2);
    assert_eq!(world.due(), [("one".to_owned(), Due::Ask)]);
    assert_eq!((world.due(), world.health.ending()), (vec![], 0), "its answer is waited for");
    world.health.fetched("one", end, None);
    let told = world.health.look();
    assert_eq!(told, [Ending { name: "one".into(), due: Due::Tell(Ahead::Week), end: end.unwrap() }]);
    assert_eq!((world.due(), world.health.ending()), (vec![], 1));
    world.health.failed("one", "timeout", "gave no answer", true);
    assert_eq!(world.due(), [], "once for each value");
    world.health.fetched("one", world.after(30 * DAY), None);
    assert_eq!((world.due(), world.health.ending()), (vec![], 0));
}

#[test]
fn a_report_says_how_each_stands_and_no_more() {
    let world = World::new();
    let policy = policy(&["one", "two"], "");
    let store = CredentialStore::new(stubgate_credentials::VersionKey::new(&[7; 32]));
    store.reload(&policy);
    world.health.follow(&policy);
    world.health.failed("two", "timeout", "gave no answer", false);
    let report = world.health.report(true, &store, None);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(
        text,
        r#"{"ready":true,"credentials":[{"name":"one","source":"exec","state":"no_value","version":null,"last_success":null,"#
            .to_owned()
            + r#""expires":null,"ends_within":null,"refreshes":0,"failures":0,"last_failure":null,"login":null},"#
            + r#"{"name":"two","source":"exec","state":"no_value","version":null,"last_success":null,"expires":null,"ends_within":null,"#
            + r#""refreshes":0,"failures":1,"last_failure":{"time":"2024-10-04T00:00:00.000000Z","kind":"timeout","#
            + r#""text":"gave no answer"},"login":null}]}"#
    );
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}
